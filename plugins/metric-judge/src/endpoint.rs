//! One request to an OpenAI-compatible chat endpoint, and what its answer means.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bomf_plugin_api::{PluginError, Result};
use serde_json::Value;
use ureq::http::{HeaderMap, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::key::Key;
use crate::options::AskOptions;

/// An answer larger than this is refused.
const LARGEST_ANSWER: u64 = 1 << 20;
/// Most characters of an answer that an error shows.
const MOST_SHOWN: usize = 300;

/// Where requests go. Keeps connections open between requests; may be used from several threads at once.
pub struct Endpoint {
    agent: Agent,
    url: String,
    key: Option<Key>,
    key_variable: Option<String>,
}

/// A model's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it said; empty if it said nothing.
    pub text: String,
    /// Tokens of request and reply, if the endpoint counts them.
    pub tokens: Option<u64>,
}

/// Why there is no reply.
#[derive(Debug)]
pub enum Fault {
    /// It may be another time: what was found, and how long the endpoint wants to be left alone.
    Passing(String, Option<Duration>),
    /// Asking again will not help.
    Lasting(PluginError),
}

impl Endpoint {
    /// Looks at the options and at the environment: nothing is sent yet.
    ///
    /// # Errors
    /// When the address is none, or the key is not there.
    pub fn new(options: &AskOptions) -> Result<Self> {
        let base = options.base_url.trim_end_matches('/');
        let base = base.strip_suffix("/chat/completions").unwrap_or(base);
        let is_local = check(base)?;
        let key = options
            .api_key_env
            .as_deref()
            .map(Key::from_env)
            .transpose()?;
        if key.is_some() && !is_local && base.starts_with("http://") {
            tracing::warn!("base_url: {base} is not encrypted: the key can be read on its way");
        }
        // What runs on this machine is not reached through another one.
        let proxy = if is_local {
            None
        } else {
            Proxy::try_from_env()
        };
        let config = Agent::config_builder()
            .tls_config(tls(base)?)
            .proxy(proxy)
            .timeout_global(Some(Duration::from_secs_f64(options.timeout_s)))
            .http_status_as_error(false)
            // A redirect would take the texts, if not the key, to an address that nobody named.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(options.concurrency)
            .max_idle_connections_per_host(options.concurrency)
            .user_agent(concat!("bomf-metric-judge/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: config.into(),
            url: format!("{base}/chat/completions"),
            key,
            key_variable: options.api_key_env.clone(),
        })
    }

    /// Makes one request.
    ///
    /// # Errors
    /// When there is no reply; the key is in no error.
    pub fn post(&self, body: &str) -> Result<Reply, Fault> {
        let mut request = self
            .agent
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key.bearer());
        }
        let mut response = request.send(body).map_err(|error| self.no_answer(&error))?;
        let status = response.status().as_u16();
        let wait = retry_after(response.headers(), SystemTime::now());
        let text = response
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER)
            .read_to_string();
        match text {
            Ok(text) if status / 100 == 2 => self.reply(&text),
            Ok(text) => Err(self.refusal(status, &text, wait)),
            Err(_) if status / 100 != 2 => Err(self.refusal(status, "", wait)),
            Err(error) => Err(self.no_answer(&error)),
        }
    }

    fn no_answer(&self, error: &ureq::Error) -> Fault {
        let message = format!(
            "found no answer from {}: {}",
            self.url,
            self.shown(&error.to_string())
        );
        match error {
            ureq::Error::BodyExceedsLimit(_) => Fault::Lasting(
                PluginError::input(format!(
                    "found an answer of more than {LARGEST_ANSWER} bytes from {}",
                    self.url
                ))
                .hint("set `max_tokens`, and check that `base_url` is that of a chat endpoint"),
            ),
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::TlsRequired => Fault::Lasting(
                PluginError::input(message).hint(
                    "the certificate has to be known to this machine: its own list, or `SSL_CERT_FILE`",
                ),
            ),
            ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl => {
                Fault::Lasting(PluginError::input(message).hint("check `base_url`, and `HTTPS_PROXY` if it is set"))
            }
            _ => Fault::Passing(message, None),
        }
    }

    fn reply(&self, text: &str) -> Result<Reply, Fault> {
        let odd = |what: &str| {
            Fault::Passing(
                format!("{what} from {}, found `{}`", self.url, self.shown(text)),
                None,
            )
        };
        let answer: Value =
            serde_json::from_str(text).map_err(|_| odd("expected an answer in JSON"))?;
        let message = answer["choices"][0]["message"].as_object();
        let message = message.ok_or_else(|| odd("expected `choices[0].message`"))?;
        let said = match message.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts
                .iter()
                .filter_map(|part| part["text"].as_str())
                .collect(),
            // A refusal, or a model that spent all its tokens on thinking.
            None | Some(Value::Null) => String::new(),
            Some(_) => return Err(odd("expected a text in `choices[0].message.content`")),
        };
        Ok(Reply {
            text: self.struck(&said),
            tokens: answer["usage"]["total_tokens"].as_u64(),
        })
    }

    fn refusal(&self, status: u16, text: &str, wait: Option<Duration>) -> Fault {
        let answer: Option<Value> = serde_json::from_str(text).ok();
        let said = answer.as_ref().and_then(complaint).unwrap_or(text);
        let said = match self.shown(said) {
            said if said.is_empty() => String::new(),
            said => format!(": `{said}`"),
        };
        let message = format!("found status {status} from {}{said}", self.url);
        let is_broke = text.contains("insufficient_quota");
        if matches!(status, 408 | 409 | 425 | 429) && !is_broke || status >= 500 {
            return Fault::Passing(message, wait);
        }
        let hint = match (status, &self.key_variable) {
            (429, _) => "the account has nothing left to spend".to_owned(),
            (401 | 403, Some(variable)) => format!("check the key in the environment variable `{variable}`"),
            (401 | 403, None) => "name the environment variable that holds the key with `api_key_env`".to_owned(),
            (300..=399, _) => "`base_url` has moved: redirects are not followed".to_owned(),
            (404 | 405, _) => "check `base_url`, often with `/v1` at its end, and `model`".to_owned(),
            _ => "check `model`, `max_tokens`, `temperature`, `seed` and `extra`: `null` leaves one out".to_owned(),
        };
        Fault::Lasting(PluginError::input(message).hint(hint))
    }

    fn struck(&self, text: &str) -> String {
        match &self.key {
            Some(key) => key.strike(text),
            None => text.to_owned(),
        }
    }

    /// A text from outside as an error may show it: no key, no control characters, not too long.
    pub fn shown(&self, text: &str) -> String {
        let struck = self.struck(text);
        let mut characters = struck.trim().chars();
        let mut shown = String::new();
        for character in characters.by_ref().take(MOST_SHOWN) {
            match character {
                character if character.is_control() => shown.extend(character.escape_default()),
                character => shown.push(character),
            }
        }
        if characters.next().is_some() {
            shown.push('…');
        }
        shown
    }
}

/// Certificates are checked against the machine's own list, which is read once.
fn tls(base: &str) -> Result<TlsConfig> {
    let builder = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    if !base.starts_with("https://") {
        return Ok(builder.build());
    }
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<Certificate<'static>> = found
        .certs
        .iter()
        .map(|root| Certificate::from_der(root).to_owned())
        .collect();
    if roots.is_empty() {
        return Err(PluginError::input(format!(
            "base_url: found no certificates on this machine to check {base} against, expected some"
        ))
        .hint("install the system's package of them, often `ca-certificates`, or name a file with `SSL_CERT_FILE`"));
    }
    Ok(builder
        .root_certs(RootCerts::new_with_certs(&roots))
        .build())
}

/// Refuses what is no address. Returns whether it is this machine's own.
fn check(base: &str) -> Result<bool> {
    let fault = |what: &str| {
        PluginError::input(format!(
            "base_url: {what}, expected one such as `https://api.openai.com/v1`"
        ))
    };
    let uri: Uri = base
        .parse()
        .map_err(|_| fault("found something that is no address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(fault("found an address without `http://` or `https://`"));
    }
    // They would end in reports. Not shown, for the same reason.
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(fault("found a user name or password in the address")
            .hint("name the environment variable that holds the key with `api_key_env`"));
    }
    if uri.query().is_some() {
        return Err(fault("found a `?` in the address"));
    }
    let host = uri.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    Ok(host == "localhost" || address.is_ok_and(|address| address.is_loopback()))
}

/// What an endpoint says about a request that it refuses.
fn complaint(answer: &Value) -> Option<&str> {
    let places = [
        &answer["error"]["message"],
        &answer["error"],
        &answer["message"],
        &answer["detail"],
    ];
    places.into_iter().find_map(Value::as_str)
}

/// How long the endpoint wants to be left alone: `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, expected) in [
            ("2", Some(2.0)),
            ("0.5", Some(0.5)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60.0)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0.0)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
            let found = retry_after(&headers, now).map(|wait| wait.as_secs_f64());
            assert_eq!(found, expected, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn addresses_that_cannot_be_asked_are_refused() {
        for (base, piece) in [
            ("", "no address"),
            ("api.openai.com/v1", "no address"),
            ("localhost", "without `http://`"),
            ("ftp://host/v1", "without `http://`"),
            ("https://me:secret@host/v1", "password"),
            ("https://host/v1?key=1", "`?`"),
        ] {
            let message = check(base).unwrap_err().message;
            assert!(
                message.contains(piece) && !message.contains("secret"),
                "{base}: {message}"
            );
        }
        for (base, is_local) in [
            ("http://localhost:8000/v1", true),
            ("http://127.0.0.1:1", true),
            ("http://[::1]:8000/v1", true),
            ("https://api.openai.com/v1", false),
        ] {
            assert_eq!(check(base).unwrap(), is_local, "{base}");
        }
    }
}
