//! How instants are written in a file.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde_json::Value;

use crate::domain::clock::Timestamp;

/// How instants are written in a file. An RFC 3339 instant is read whatever
/// the format says, because it cannot be mistaken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339, or microseconds since 1970.
    #[default]
    Standard,
    /// A number of units since an origin.
    Since {
        /// Nanoseconds of one unit.
        unit_ns: i64,
        /// What is counted from.
        origin: Timestamp,
    },
    /// A pattern of `strftime`; UTC where it has no offset.
    Pattern(String),
}

impl TimeFormat {
    /// Reads what a user wrote: `s`, `ms`, `us` or `ns` for a number of them
    /// since `origin` (else 1970), or a pattern.
    pub fn parse(format: Option<&str>, origin: Option<Timestamp>) -> Result<Self, String> {
        let unit_ns = match format {
            None => {
                return match origin {
                    None => Ok(Self::Standard),
                    Some(_) => Err("an origin needs a unit: `s`, `ms`, `us` or `ns`".into()),
                };
            }
            Some("s") => 1_000_000_000,
            Some("ms") => 1_000_000,
            Some("us") => 1_000,
            Some("ns") => 1,
            Some(pattern) if pattern.contains('%') => {
                let items = chrono::format::StrftimeItems::new(pattern);
                return if origin.is_some() {
                    Err("an origin goes with a unit, and not with a pattern".into())
                } else if items.into_iter().any(|item| item == chrono::format::Item::Error) {
                    Err(format!("`{pattern}` is no pattern for times"))
                } else {
                    Ok(Self::Pattern(pattern.to_owned()))
                };
            }
            Some(other) => {
                return Err(format!("`{other}` is neither `s`, `ms`, `us`, `ns` nor a pattern with `%`"));
            }
        };
        Ok(Self::Since { unit_ns, origin: origin.unwrap_or(Timestamp(0)) })
    }

    /// Reads an instant.
    pub fn read(&self, value: &Value) -> Result<Timestamp, String> {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            other => return Err(format!("`{other}` is no instant")),
        };
        if let Ok(at) = DateTime::parse_from_rfc3339(&text) {
            return Ok(Timestamp::from_utc(at.to_utc()));
        }
        let no_instant = || match self {
            Self::Standard => {
                format!("`{text}` is neither RFC 3339 nor microseconds since 1970 (see --time-format)")
            }
            Self::Since { .. } => format!("`{text}` is no number"),
            Self::Pattern(pattern) => format!("`{text}` does not fit `{pattern}`"),
        };
        match self {
            Self::Standard => text.parse().map(Timestamp).map_err(|_| no_instant()),
            Self::Since { unit_ns, origin } => {
                let since_us = since_us(&text, *unit_ns).ok_or_else(no_instant)?;
                origin.0.checked_add(since_us).map(Timestamp).ok_or_else(no_instant)
            }
            Self::Pattern(pattern) => parse(&text, pattern).ok_or_else(no_instant),
        }
    }
}

/// Microseconds of a number of units. A whole number stays exact.
fn since_us(text: &str, unit_ns: i64) -> Option<i64> {
    if let Ok(whole) = text.parse::<i64>() {
        let ns = i128::from(whole) * i128::from(unit_ns);
        return i64::try_from(ns.div_euclid(1_000)).ok();
    }
    let us = text.parse::<f64>().ok()? * (unit_ns as f64 / 1e3);
    // 2^53: up to there a microsecond is told from the next.
    (us.abs() < 9.0e15).then(|| us.round() as i64)
}

fn parse(text: &str, pattern: &str) -> Option<Timestamp> {
    let at: DateTime<Utc> = if let Ok(at) = DateTime::parse_from_str(text, pattern) {
        at.to_utc()
    } else if let Ok(at) = NaiveDateTime::parse_from_str(text, pattern) {
        at.and_utc()
    } else {
        NaiveDate::parse_from_str(text, pattern).ok()?.and_time(NaiveTime::MIN).and_utc()
    };
    Some(Timestamp::from_utc(at))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(format: &str, value: Value) -> Result<i64, String> {
        TimeFormat::parse(Some(format), None)?.read(&value).map(|at| at.0)
    }

    /// `date -ud '2023-11-16 18:17:03' +%s`.
    const AT_S: i64 = 1_700_158_623;

    #[test]
    fn units_and_patterns_are_read_alike() {
        assert_eq!(read("s", json!(AT_S)), Ok(AT_S * 1_000_000));
        assert_eq!(read("s", json!("1700158623.9799600")), Ok(AT_S * 1_000_000 + 979_960));
        assert_eq!(read("ms", json!(AT_S * 1_000 + 7)), Ok(AT_S * 1_000_000 + 7_000));
        assert_eq!(read("ns", json!(AT_S * 1_000_000_000 + 1_999)), Ok(AT_S * 1_000_000 + 1));
        let pattern = "%Y-%m-%d %H:%M:%S%.f";
        assert_eq!(read(pattern, json!("2023-11-16 18:17:03.9799600")), Ok(AT_S * 1_000_000 + 979_960));
        let offset = "%d/%b/%Y:%H:%M:%S %z";
        assert_eq!(read(offset, json!("16/Nov/2023:19:17:03 +0100")), Ok(AT_S * 1_000_000));
        assert_eq!(read("%Y-%m-%d", json!("2023-11-16")), Ok((AT_S - AT_S % 86_400) * 1_000_000));
        // What is RFC 3339 is read whatever the format says.
        assert_eq!(read(pattern, json!("2023-11-16T18:17:03Z")), Ok(AT_S * 1_000_000));
    }

    #[test]
    fn numbers_are_counted_from_an_origin() {
        let origin = Timestamp(AT_S * 1_000_000);
        let times = TimeFormat::parse(Some("ms"), Some(origin)).expect("valid");
        assert_eq!(times.read(&json!(1_500)), Ok(Timestamp(origin.0 + 1_500_000)));
        assert_eq!(times.read(&json!(0)), Ok(origin));
    }

    #[test]
    fn what_fits_no_format_is_told() {
        for (format, value, reason) in [
            ("ms", json!("soon"), "is no number"),
            ("%Y", json!("x"), "does not fit `%Y`"),
            ("s", json!(true), "no instant"),
            ("hours", json!(1), "neither `s`"),
            ("%Q", json!(1), "no pattern"),
            ("s", json!(i64::MAX), "is no number"),
        ] {
            let error = read(format, value).expect_err(format);
            assert!(error.contains(reason), "{format}: {error}");
        }
        assert!(TimeFormat::parse(None, Some(Timestamp(0))).is_err());
        assert!(TimeFormat::default().read(&json!("2023-11-16 18:17:03")).is_err());
    }
}
