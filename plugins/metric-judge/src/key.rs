//! The key: read from the environment, sent to the endpoint, and seen nowhere else.

use bomf_plugin_api::{PluginError, Result};

/// Keys shorter than this are place-holders of local servers (`EMPTY`, `x`): striking them out would strike out words.
const SHORTEST_SECRET: usize = 8;

/// An endpoint's key. Has no `Debug` and no `Display` on purpose.
pub struct Key(String);

impl Key {
    /// Reads the key from an environment variable.
    ///
    /// # Errors
    /// When it is not set or cannot be sent; does not say what was found.
    pub fn from_env(variable: &str) -> Result<Self> {
        let fault = |what: &str| {
            PluginError::input(format!(
                "api_key_env: {what} in the environment variable `{variable}`"
            ))
        };
        match std::env::var(variable) {
            Ok(text) => Self::new(&text).ok_or_else(|| {
                fault("found something other than one line of visible ASCII characters")
            }),
            Err(std::env::VarError::NotUnicode(_)) => Err(fault("found no text")),
            Err(std::env::VarError::NotPresent) => Err(fault("found no key").hint(format!(
                "set `{variable}` to the endpoint's key, or leave `api_key_env` out where none is needed"
            ))),
        }
    }

    fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_sendable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_sendable.then(|| Self(text.to_owned()))
    }

    /// The header's value.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The text with the key struck out, as it is and as JSON may write it.
    pub fn strike(&self, text: &str) -> String {
        if self.0.len() < SHORTEST_SECRET {
            return text.to_owned();
        }
        let escaped = self.0.replace('\\', "\\\\").replace('"', "\\\"");
        let slashed = escaped.replace('/', "\\/");
        let mut text = text.replace(&self.0, "[key]");
        for form in [escaped, slashed] {
            text = text.replace(&form, "[key]");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_struck_out_however_it_is_escaped() {
        let key = Key::new(" sk/live\"12\\34 \n").unwrap();
        for form in [
            "sk/live\"12\\34",
            "sk/live\\\"12\\\\34",
            "sk\\/live\\\"12\\\\34",
        ] {
            assert_eq!(key.strike(&format!("no {form}!")), "no [key]!");
        }
        assert_eq!(Key::new("1").unwrap().strike("100"), "100");
    }

    #[test]
    fn keys_that_would_break_a_header_are_refused_unseen() {
        for text in ["", " ", "two words", "a\r\nHost: b", "schl\u{fc}ssel"] {
            assert!(Key::new(text).is_none(), "{text}");
        }
        let error = Key::from_env("BOMF_TEST_NO_SUCH_VARIABLE").err().unwrap();
        assert!(
            error.message.contains("BOMF_TEST_NO_SUCH_VARIABLE"),
            "{error}"
        );
    }
}
