//! A language model as the judge of generated texts, over any OpenAI-compatible chat endpoint.
//!
//! | name | scores | range |
//! |---|---|---|
//! | `llm-judge` | `judge`: mean of a number that the model gives to each prediction | 0 to 100 |
//! | `llm-judge-pairwise` | `win_rate`: how often it prefers the prediction to another text, asked both ways round | 0 to 1 |
//!
//! Both also give `judge_failed`, the share of examples without a readable reply; they are left out of the other score,
//! which then has no values per example. Replies are kept on disk, so that no question is asked twice.
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//!
//! use bomf_plugin_api::{Context, Table, column};
//!
//! // Stands for a language model: it says the same to everybody.
//! let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! let address = server.local_addr().unwrap();
//! std::thread::spawn(move || {
//!     for stream in server.incoming() {
//!         let mut stream = stream.unwrap();
//!         let mut lines = BufReader::new(&stream).lines();
//!         while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
//!         let reply = r#"{"choices": [{"message": {"content": "I give it 80."}}]}"#;
//!         let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", reply.len());
//!         stream.write_all((head + reply).as_bytes()).unwrap();
//!     }
//! });
//!
//! let options = format!(r#"{{"base_url": "http://{address}/v1", "model": "any"}}"#);
//! let judge = metric_judge::library().make_metric("llm-judge", &options, &Context::default()).unwrap();
//! let examples = Table::new(1)
//!     .with_texts(column::PREDICTED_TEXT, ["Tom is late."])
//!     .and_then(|table| table.with_texts(column::REFERENCE_TEXT, ["Tom will not be on time."]))
//!     .unwrap();
//! assert_eq!(judge.score(&examples).unwrap().get("judge"), Some(80.0));
//! ```
//!
//! The types to know: [`Judge`], [`Pairwise`], and [`AskOptions`], which both have.

mod cache;
mod endpoint;
mod judge;
mod key;
mod options;
mod pace;
mod pairwise;
mod panel;
mod prompt;
mod reading;
mod request;

pub use judge::{Judge, JudgeOptions, RangeOptions, References};
pub use options::{AskOptions, Budget};
pub use pairwise::{Pairwise, PairwiseOptions};

bomf_plugin_api::export_plugin!(metric: Judge, metric: Pairwise);

#[cfg(test)]
mod tests;
