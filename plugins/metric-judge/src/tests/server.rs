//! A chat endpoint on this machine that answers as a test wants it to. Plain std: the end-to-end tests use it too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the server does with a request.
pub enum Answer {
    /// Says something, as a model would, after a while.
    Say(String, Duration),
    /// Sends a status with further header lines and a body.
    Status(u16, String, String),
    /// Closes the connection in the middle of the answer.
    Drop,
}

/// One request.
#[derive(Clone)]
pub struct Request {
    /// Header lines.
    pub head: String,
    /// The body.
    pub body: String,
    /// When it had been read.
    pub at: Instant,
}

type Answerer = dyn Fn(usize, &Request) -> Answer + Send + Sync;

/// A running server. It ends with the process.
pub struct Server {
    /// `http://127.0.0.1:PORT/v1`.
    pub base_url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    busiest: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts it. `answer` is called with the number of requests before and the request.
    pub fn new(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = Self {
            base_url: format!("http://{address}/v1"),
            seen: Arc::default(),
            busiest: Arc::default(),
            connections: Arc::default(),
        };
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            seen: server.seen.clone(),
            busy: AtomicUsize::new(0),
            busiest: server.busiest.clone(),
        });
        let connections = server.connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let shared = shared.clone();
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        server
    }

    /// A server whose model always says the same.
    pub fn saying(text: &str) -> Self {
        let text = text.to_owned();
        Self::new(move |_, _| Answer::Say(text.clone(), Duration::ZERO))
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no answerer panics").clone()
    }

    /// Number of requests so far.
    pub fn count(&self) -> usize {
        self.seen().len()
    }

    /// Most requests that were under way at once.
    pub fn busiest(&self) -> usize {
        self.busiest.load(Ordering::SeqCst)
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

struct Shared {
    answer: Box<Answerer>,
    seen: Arc<Mutex<Vec<Request>>>,
    busy: AtomicUsize,
    busiest: Arc<AtomicUsize>,
}

impl Shared {
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader) {
            let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
            self.busiest.fetch_max(busy, Ordering::SeqCst);
            let number = {
                let mut seen = self.seen.lock().expect("no answerer panics");
                seen.push(request.clone());
                seen.len() - 1
            };
            let answer = (self.answer)(number, &request);
            let goes_on = write(stream, answer);
            self.busy.fetch_sub(1, Ordering::SeqCst);
            if !goes_on {
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    let at = Instant::now();
    Some(Request { head, body, at })
}

/// Returns whether the connection stays open.
fn write(mut stream: &TcpStream, answer: Answer) -> bool {
    match answer {
        Answer::Say(text, wait) => {
            std::thread::sleep(wait);
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let body = format!(
                r#"{{"choices": [{{"message": {{"role": "assistant", "content": "{text}"}}}}], "usage": {{"total_tokens": 10}}}}"#
            );
            send(stream, 200, "", &body)
        }
        Answer::Status(status, head, body) => send(stream, status, &head, &body),
        Answer::Drop => {
            // More is promised than comes.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"choi");
            let _ = stream.shutdown(std::net::Shutdown::Both);
            false
        }
    }
}

fn send(mut stream: &TcpStream, status: u16, head: &str, body: &str) -> bool {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} X\r\n{head}content-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).is_ok()
}
