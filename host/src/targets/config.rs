//! Checks a target's description before anything is asked.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::target::Target;

/// Most questions that one client asks at a time.
pub const CONCURRENCY_MAX: usize = 256;
/// Most times that a question is asked again.
pub const RETRIES_MAX: u32 = 20;
/// Longest time-out of an attempt, in milliseconds.
pub const TIMEOUT_MS_MAX: u64 = 3_600_000;

/// Headers that the client sets itself.
const OWN_HEADERS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
];
/// Headers that carry secrets, which have their own place in `key`.
const SECRET_HEADERS: [&str; 6] =
    ["api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"];

/// A field of a [`Target`] that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("target field `{field}`: {reason}")]
pub struct ConfigError {
    /// The field's name.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

fn wrong(field: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError { field, reason: reason.into() }
}

/// Where requests to an interface go: what stands before its path, and the path.
/// The reasons do not quote the URL: it may hold what should not have been written
/// there.
pub fn endpoint(base_url: &str, path: &str) -> Result<Url, String> {
    let mut url: Url =
        base_url.parse().map_err(|error| format!("is not a URL with a scheme and a host: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("begins with neither `https://` nor `http://`".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or a password; give the key in `key`".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment".into());
    }
    let before = url.path().trim_end_matches('/');
    if before.ends_with(path) {
        return Err(format!("ends in `{path}`; give what stands before it"));
    }
    let whole = format!("{before}{path}");
    url.set_path(&whole);
    Ok(url)
}

impl Target {
    /// Checks every field, without reading the key or asking the endpoint.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.url()?;
        self.header_map()?;
        if self.model.trim().is_empty() {
            return Err(wrong("model", "is empty"));
        }
        if self.temperature.is_some_and(|value| !value.is_finite() || value < 0.0) {
            return Err(wrong("temperature", "is not a number of at least 0"));
        }
        if self.max_output_tokens == Some(0) {
            return Err(wrong("max_output_tokens", "is 0"));
        }
        if !(1..=CONCURRENCY_MAX).contains(&self.concurrency) {
            return Err(wrong(
                "concurrency",
                format!("{} is not in 1..={CONCURRENCY_MAX}", self.concurrency),
            ));
        }
        if !(1..=TIMEOUT_MS_MAX).contains(&self.timeout_ms) {
            return Err(wrong("timeout_ms", format!("{} is not in 1..={TIMEOUT_MS_MAX}", self.timeout_ms)));
        }
        if let Some(first) = self.first_byte_timeout_ms
            && !(1..=self.timeout_ms).contains(&first)
        {
            return Err(wrong(
                "first_byte_timeout_ms",
                format!("{first} is not in 1..={}, the time-out of the whole attempt", self.timeout_ms),
            ));
        }
        if self.retries > RETRIES_MAX {
            return Err(wrong("retries", format!("{} is more than {RETRIES_MAX}", self.retries)));
        }
        match &self.key {
            Some(source) => source.validate().map_err(|reason| wrong("key", reason)),
            None => Ok(()),
        }
    }

    /// Where requests go.
    pub(super) fn url(&self) -> Result<Url, ConfigError> {
        endpoint(&self.base_url, "/chat/completions").map_err(|reason| wrong("base_url", reason))
    }

    pub(super) fn header_map(&self) -> Result<HeaderMap, ConfigError> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName =
                name.parse().map_err(|_| wrong("headers", format!("`{name}` is not a header's name")))?;
            if SECRET_HEADERS.contains(&name.as_str()) {
                return Err(wrong("headers", format!("`{name}` carries a secret; give it in `key`")));
            }
            if OWN_HEADERS.contains(&name.as_str()) {
                return Err(wrong("headers", format!("`{name}` is set by the client")));
            }
            let value = HeaderValue::from_str(value)
                .map_err(|_| wrong("headers", format!("the value of `{name}` cannot be sent")))?;
            map.insert(name, value);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with(field: &str, value: Value) -> Target {
        let mut target =
            json!({ "kind": "openai-chat", "base_url": "https://models.example/v1", "model": "m" });
        target[field] = value;
        serde_json::from_value(target).expect("a target")
    }

    #[test]
    fn fills_in_the_documented_defaults() {
        let target = with("model", json!("m"));
        assert!(target.stream);
        assert_eq!((target.concurrency, target.timeout_ms, target.retries), (8, 120_000, 4));
        assert_eq!(target.validate(), Ok(()));
        assert_eq!(
            serde_json::to_value(&target).expect("serialisable"),
            json!({
                "kind": "openai-chat", "base_url": "https://models.example/v1", "model": "m",
                "stream": true, "concurrency": 8, "timeout_ms": 120_000, "retries": 4,
            })
        );
    }

    #[test]
    fn refuses_a_field_that_it_does_not_know() {
        let text = r#"{"kind":"openai-chat","base_url":"https://a/v1","model":"m","api_key":"k"}"#;
        let error = serde_json::from_str::<Target>(text).expect_err("unknown");
        assert!(error.to_string().contains("`api_key`"), "{error}");
    }

    #[test]
    fn does_not_repeat_a_key_that_was_written_in_place_of_its_source() {
        for key in [r#""sk-hunter2""#, r#"{"sk-hunter2":"x"}"#, r#"{"env":"A","file":"sk-hunter2"}"#, "{}"] {
            let text =
                format!(r#"{{"kind":"openai-chat","base_url":"https://a/v1","model":"m","key":{key}}}"#);
            let error = serde_json::from_str::<Target>(&text).expect_err("no source").to_string();
            assert!(error.contains("{\"env\": NAME} or {\"file\": PATH}"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let cases = [
            ("base_url", json!("models.example/v1")),
            ("base_url", json!("ftp://models.example/v1")),
            ("base_url", json!("https://user:hunter2@models.example/v1")),
            ("base_url", json!("https://models.example/v1?key=hunter2")),
            ("base_url", json!("https://models.example/v1/chat/completions")),
            ("model", json!(" ")),
            ("temperature", json!(-0.5)),
            ("max_output_tokens", json!(0)),
            ("concurrency", json!(0)),
            ("concurrency", json!(257)),
            ("timeout_ms", json!(0)),
            ("timeout_ms", json!(3_600_001)),
            ("first_byte_timeout_ms", json!(120_001)),
            ("retries", json!(21)),
            ("key", json!({ "env": "sk-hunter2" })),
            ("key", json!({ "file": "" })),
            ("headers", json!({ "Authorization": "Bearer hunter2" })),
            ("headers", json!({ "Host": "elsewhere" })),
            ("headers", json!({ "no good": "x" })),
            ("headers", json!({ "x-team": "hunter2\nx" })),
        ];
        for (field, value) in cases {
            let error = with(field, value.clone()).validate().expect_err(field);
            assert_eq!(error.field, field, "{value}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn puts_the_path_behind_the_base_with_and_without_a_slash() {
        for base in ["https://models.example/v1", "https://models.example/v1/"] {
            let url = with("base_url", json!(base)).url().expect("valid");
            assert_eq!(url.as_str(), "https://models.example/v1/chat/completions");
        }
        let url = with("base_url", json!("http://[::1]:8080")).url().expect("valid");
        assert_eq!(url.as_str(), "http://[::1]:8080/chat/completions");
    }
}
