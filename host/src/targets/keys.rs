//! Keys: where they lie, and how they stay out of everything that is written.

use std::path::PathBuf;
use std::{env, fmt, io};

use reqwest::header::HeaderValue;
use serde_json::Value;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::domain::target::KeySource;

/// More than any key has; a wrong path does not fill the memory.
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// A shorter key (`none`, `ollama`) is a word that an answer may well contain.
const DISTINCT_BYTES: usize = 16;
const REDACTED: &str = "[redacted]";

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The environment variable is not there.
    #[error("key: environment variable `{0}` is not set")]
    Unset(String),
    /// The file cannot be read.
    #[error("key: read file `{}`: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Nothing but blanks.
    #[error("key: {0} is empty")]
    Empty(String),
    /// It cannot stand in a header.
    #[error("key: {0} holds what cannot be sent in a header")]
    Unsendable(String),
}

/// A key in memory. It cannot be serialised, and its `Debug` shows nothing.
#[derive(Clone)]
pub struct Key {
    text: String,
    header: HeaderValue,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable `{name}`"),
            Self::File(path) => write!(f, "file `{}`", path.display()),
        }
    }
}

impl KeySource {
    /// The reason why this cannot be a source. It does not quote the name, for
    /// a common mistake is to write the key itself there.
    pub(super) fn validate(&self) -> Result<(), String> {
        match self {
            Self::Env(name) => {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if name.is_empty()
                    || name.starts_with(|c: char| c.is_ascii_digit())
                    || !name.chars().all(word)
                {
                    return Err("`env` is not a variable's name (letters, digits, `_`)".into());
                }
            }
            Self::File(path) if path.as_os_str().is_empty() => return Err("`file` is empty".into()),
            Self::File(_) => {}
        }
        Ok(())
    }

    /// Reads the key as it is now, so that a changed one needs no restart.
    pub async fn read(&self) -> Result<Key, KeyError> {
        let text = match self {
            Self::Env(name) => match env::var(name) {
                Ok(text) => text,
                Err(env::VarError::NotPresent) => return Err(KeyError::Unset(name.clone())),
                Err(env::VarError::NotUnicode(_)) => return Err(KeyError::Unsendable(self.to_string())),
            },
            Self::File(path) => {
                let unreadable = |error| KeyError::Unreadable { path: path.clone(), error };
                let mut bytes = Vec::new();
                let file = File::open(path).await.map_err(unreadable)?;
                file.take(KEY_BYTES_MAX).read_to_end(&mut bytes).await.map_err(unreadable)?;
                String::from_utf8(bytes).map_err(|_| KeyError::Unsendable(self.to_string()))?
            }
        };
        Key::new(text.trim(), self)
    }
}

impl Key {
    fn new(text: &str, source: &KeySource) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty(source.to_string()));
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}"))
            .map_err(|_| KeyError::Unsendable(source.to_string()))?;
        header.set_sensitive(true);
        Ok(Self { text: text.to_owned(), header })
    }

    /// The value of the `authorization` header, marked as sensitive.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// The key by itself as a header's value, marked as sensitive.
    pub fn plain_header(&self) -> HeaderValue {
        let mut header = HeaderValue::from_str(&self.text).expect("behind `Bearer` it was one");
        header.set_sensitive(true);
        header
    }

    /// Takes the key out of a text for people, also where JSON escaped it.
    pub fn redact(&self, text: &str) -> String {
        let quoted = Value::from(self.text.as_str()).to_string();
        let escaped = &quoted[1..quoted.len() - 1];
        text.replace(&self.text, REDACTED)
            .replace(escaped, REDACTED)
            .replace(&escaped.replace('/', "\\/"), REDACTED)
    }

    /// Takes the key out of an answer. A short one stays: it says nothing
    /// secret, and what the product wrote is judged as it wrote it.
    pub(super) fn redact_answer(&self, text: &mut String) {
        if self.text.len() >= DISTINCT_BYTES && text.contains(&self.text) {
            *text = text.replace(&self.text, REDACTED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text, &KeySource::Env("NAME".into())).expect("a key")
    }

    #[test]
    fn shows_nothing_of_a_key() {
        let key = key("sk-abcdefghijklmnop");
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert!(!format!("{:?}", key.header()).contains("abc"));
    }

    #[test]
    fn takes_a_key_out_of_a_text_also_where_json_escaped_it() {
        let key = key(r#"ab/cd"ef\gh"#);
        for text in [r#"no ab/cd"ef\gh!"#, r#"no ab/cd\"ef\\gh!"#, r#"no ab\/cd\"ef\\gh!"#] {
            assert_eq!(key.redact(text), "no [redacted]!");
        }
    }

    #[test]
    fn leaves_an_answer_alone_where_the_key_is_an_ordinary_word() {
        let mut text = String::from("ollama is a server");
        key("ollama").redact_answer(&mut text);
        assert_eq!(text, "ollama is a server");
        let mut text = String::from("it is sk-abcdefghijklmnop");
        key("sk-abcdefghijklmnop").redact_answer(&mut text);
        assert_eq!(text, "it is [redacted]");
    }

    #[test]
    fn refuses_a_key_with_a_line_break_inside() {
        let error = Key::new("abc\ndef", &KeySource::Env("NAME".into())).expect_err("two lines");
        assert_eq!(
            error.to_string(),
            "key: environment variable `NAME` holds what cannot be sent in a header"
        );
    }
}
