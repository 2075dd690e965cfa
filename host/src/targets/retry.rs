//! When to ask again, and how long to wait before it.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use rand::{Rng, RngExt};

/// Longest wait that a `Retry-After` can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// Waits between attempts: exponential with full jitter, that is a random time
/// between nothing and min(`cap`, `base` · 2ⁿ) before the n-th retry, counted
/// from 0 (AWS Architecture Blog, "Exponential Backoff And Jitter").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper end of the first wait.
    pub base: Duration,
    /// Upper end of every wait.
    pub cap: Duration,
    /// A longer `Retry-After` is cut to this.
    pub retry_after_max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            retry_after_max: RETRY_AFTER_MAX,
        }
    }
}

impl Backoff {
    /// How long to wait before retry number `retry`, counted from 0. What the
    /// endpoint asks for is never cut short by luck.
    pub fn wait(&self, retry: u32, retry_after: Option<Duration>, rng: &mut impl Rng) -> Duration {
        let end = self.base.saturating_mul(2_u32.saturating_pow(retry)).min(self.cap);
        let jitter = end.mul_f64(rng.random::<f64>());
        match retry_after {
            Some(asked) => asked.min(self.retry_after_max).max(jitter),
            None => jitter,
        }
    }
}

/// Whether a status may be another one in a moment. 409 is among them because
/// OpenAI's own clients ask again after it.
pub fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Reads `Retry-After`: seconds, or a date in one of the three forms of HTTP
/// (RFC 9110, sections 5.6.7 and 10.2.3). Fractions of seconds, which the RFC
/// does not know, are met in practice. A date that has passed is no wait.
pub fn retry_after(value: &str, now_us: i64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let at_us = http_date(value)?.timestamp_micros();
    Some(Duration::from_micros(u64::try_from(at_us.saturating_sub(now_us)).unwrap_or(0)))
}

fn http_date(value: &str) -> Option<DateTime<Utc>> {
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
        .map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// RFC 9110, section 5.6.7 gives one instant in three forms; its Unix time
    /// is from `date -ud '1994-11-06 08:49:37' +%s`.
    const EXAMPLE_US: i64 = 784_111_777_000_000;

    #[test]
    fn reads_seconds_and_all_three_forms_of_a_date() {
        assert_eq!(retry_after("7", 0), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(" 0.25 ", 0), Some(Duration::from_millis(250)));
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(
                retry_after(date, EXAMPLE_US - 1_500_000),
                Some(Duration::from_millis(1500)),
                "{date}"
            );
            assert_eq!(retry_after(date, EXAMPLE_US + 1), Some(Duration::ZERO), "{date}");
        }
    }

    #[test]
    fn ignores_what_is_neither() {
        for value in ["", "soon", "-3", "NaN", "Sun, 06 Nov 1994"] {
            assert_eq!(retry_after(value, 0), None, "{value}");
        }
    }

    #[test]
    fn cuts_a_wait_that_is_too_long() {
        let mut rng = StdRng::seed_from_u64(1);
        for value in ["100000", "inf", "1e300"] {
            let asked = retry_after(value, 0);
            assert_eq!(Backoff::default().wait(0, asked, &mut rng), RETRY_AFTER_MAX, "{value}");
        }
    }

    #[test]
    fn waits_at_random_below_a_doubling_end_and_never_above_the_cap() {
        let backoff = Backoff::default();
        let mut rng = StdRng::seed_from_u64(7);
        for (retry, end_ms) in [(0, 500), (1, 1000), (2, 2000), (6, 30_000), (4_000_000, 30_000)] {
            let waits: Vec<_> = (0..200).map(|_| backoff.wait(retry, None, &mut rng)).collect();
            let longest = *waits.iter().max().expect("200 waits");
            let shortest = *waits.iter().min().expect("200 waits");
            assert!(longest <= Duration::from_millis(end_ms), "{retry}: {longest:?}");
            assert!(longest > Duration::from_millis(end_ms).mul_f64(0.9), "{retry}: {longest:?}");
            assert!(shortest < Duration::from_millis(end_ms).mul_f64(0.1), "{retry}: {shortest:?}");
        }
    }

    #[test]
    fn one_seed_gives_one_row_of_waits() {
        let row = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..5).map(|retry| Backoff::default().wait(retry, None, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(row(3), row(3));
        assert_ne!(row(3), row(4));
    }
}
