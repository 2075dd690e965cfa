//! What is measured of how fast production answers, and by what it is told apart.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Microseconds of an hour.
pub const HOUR_US: i64 = 3_600_000_000;

/// The confidence of the intervals that stand beside these figures.
pub const CONFIDENCE: f64 = 0.95;

/// Something that is measured of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Microseconds from the request to the last token, of requests that neither
    /// failed nor broke off.
    Total,
    /// Microseconds until the first token, of requests that did not fail.
    FirstToken,
    /// Output tokens a second after the first: (output − 1) / (total − time to
    /// first token). Streamed answers of at least two tokens.
    TokensPerSecond,
    /// Microseconds for each output token after the first: the inverse.
    TimePerOutputToken,
    /// Input tokens, the cached ones included.
    InputTokens,
    /// Output tokens, of requests that neither failed nor broke off.
    OutputTokens,
    /// Microseconds until a request had failed.
    FailedTotal,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 7] = [
        Self::Total,
        Self::FirstToken,
        Self::TokensPerSecond,
        Self::TimePerOutputToken,
        Self::InputTokens,
        Self::OutputTokens,
        Self::FailedTotal,
    ];

    /// What its values are counted in.
    pub fn unit(self) -> Unit {
        match self {
            Self::Total | Self::FirstToken | Self::TimePerOutputToken | Self::FailedTotal => Unit::Us,
            Self::TokensPerSecond => Unit::TokensPerSecond,
            Self::InputTokens | Self::OutputTokens => Unit::Tokens,
        }
    }
}

/// What values are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Microseconds.
    Us,
    /// Tokens.
    Tokens,
    /// Tokens a second.
    TokensPerSecond,
}

/// By what requests are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The prompt template.
    Template,
    /// Its version.
    TemplateVersion,
    /// The model as the response named it.
    Model,
    /// The request's class.
    RequestClass,
    /// The bucket of its input tokens.
    InputLength,
    /// Whether any of its input tokens were cached.
    Cache,
    /// The hour, UTC, in which it started.
    Hour,
    /// The day, UTC, in which it started.
    Day,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 8] = [
        Self::Template,
        Self::TemplateVersion,
        Self::Model,
        Self::RequestClass,
        Self::InputLength,
        Self::Cache,
        Self::Hour,
        Self::Day,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::TemplateVersion => "template_version",
            Self::Model => "model",
            Self::RequestClass => "request_class",
            Self::InputLength => "input_length",
            Self::Cache => "cache",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// Whether any of a request's input tokens were cached. Not being told is no miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheState {
    /// The client does not say.
    Unknown,
    /// None were.
    Miss,
    /// Some were.
    Hit,
}

impl CacheState {
    /// What a count of cached tokens means.
    pub fn of(cached_tokens: Option<u64>) -> Self {
        match cached_tokens {
            None => Self::Unknown,
            Some(0) => Self::Miss,
            Some(_) => Self::Hit,
        }
    }
}

/// A bucket of input lengths: 0, 1, 2–3, 4–7 and so on in powers of two, or
/// unknown. Ordered by length, with the unknown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LengthBucket(u8);

impl LengthBucket {
    /// The bucket of a number of input tokens.
    pub fn of(input_tokens: Option<u64>) -> Self {
        Self(input_tokens.map_or(0, |tokens| 1 + (u64::BITS - tokens.leading_zeros()) as u8))
    }

    /// A small number for it.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The bucket of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        (number <= 1 + u64::BITS as u8).then_some(Self(number))
    }
}

impl fmt::Display for LengthBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("unknown"),
            1 => f.write_str("0"),
            2 => f.write_str("1"),
            number => {
                let low = 1_u64 << (number - 2);
                write!(f, "{low}-{}", low + (low - 1))
            }
        }
    }
}

impl Serialize for LengthBucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two_and_name_their_ends() {
        for (tokens, label) in [
            (None, "unknown"),
            (Some(0), "0"),
            (Some(1), "1"),
            (Some(2), "2-3"),
            (Some(3), "2-3"),
            (Some(256), "256-511"),
            (Some(511), "256-511"),
            (Some(512), "512-1023"),
            (Some(u64::MAX), "9223372036854775808-18446744073709551615"),
        ] {
            let bucket = LengthBucket::of(tokens);
            assert_eq!(bucket.to_string(), label);
            assert_eq!(LengthBucket::from_number(bucket.number()), Some(bucket));
        }
        assert_eq!(LengthBucket::from_number(66), None);
        assert!(LengthBucket::of(None) < LengthBucket::of(Some(0)));
    }

    #[test]
    fn the_words_are_those_of_the_wire() {
        for dimension in Dimension::ALL {
            assert_eq!(serde_json::to_value(dimension).expect("a word"), dimension.name());
        }
        assert_eq!(CacheState::of(None), CacheState::Unknown);
        assert_eq!(CacheState::of(Some(0)), CacheState::Miss);
    }
}
