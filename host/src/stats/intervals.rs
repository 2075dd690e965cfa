//! Intervals of a proportion.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};
use statrs::function::beta::beta_reg;

/// A two-sided confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(missing_docs, reason = "named after its two ends")]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Why there is no interval.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IntervalError {
    /// Nothing was observed.
    #[error("an interval needs at least one item")]
    NoItems,
    /// The counts contradict each other.
    #[error("{successes} successes are more than {items} items")]
    MoreSuccessesThanItems {
        /// Successes given.
        successes: u64,
        /// Items given.
        items: u64,
    },
    /// The level is not a probability strictly between 0 and 1.
    #[error("confidence {0} is not between 0 and 1")]
    Confidence(f64),
}

/// Wilson's score interval for independent items, in [0, 1], without
/// continuity correction (Wilson 1927, JASA 22:209–212).
///
/// Traffic is clustered in sessions: there this interval is too narrow.
pub fn wilson(successes: u64, items: u64, confidence: f64) -> Result<Interval, IntervalError> {
    check(successes, items, confidence)?;
    Ok(wilson_at(successes as f64 / items as f64, items as f64, normal_quantile(confidence)))
}

fn check(successes: u64, items: u64, confidence: f64) -> Result<(), IntervalError> {
    if items == 0 {
        return Err(IntervalError::NoItems);
    }
    if successes > items {
        return Err(IntervalError::MoreSuccessesThanItems { successes, items });
    }
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(IntervalError::Confidence(confidence));
    }
    Ok(())
}

/// The exact interval for independent items (Clopper & Pearson 1934, Biometrika
/// 26:404–413): it covers at least as often as it says, at every size.
pub fn clopper_pearson(successes: u64, items: u64, confidence: f64) -> Result<Interval, IntervalError> {
    check(successes, items, confidence)?;
    let tail = (1.0 - confidence) / 2.0;
    let (x, n) = (successes as f64, items as f64);
    Ok(Interval {
        low: if successes == 0 { 0.0 } else { beta_quantile(x, n - x + 1.0, tail) },
        high: if successes == items { 1.0 } else { beta_quantile(x + 1.0, n - x, 1.0 - tail) },
    })
}

/// By bisection, to the last bit that a rate needs.
fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if beta_reg(a, b, middle) < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// How many standard errors a two-sided interval reaches.
pub(super) fn normal_quantile(confidence: f64) -> f64 {
    Normal::standard().inverse_cdf(0.5 + confidence / 2.0)
}

/// How many standard errors it reaches where these are estimated. Without a
/// degree of freedom there is no bound.
pub(super) fn student_quantile(freedom: f64, confidence: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, freedom) {
        Ok(t) => t.inverse_cdf(0.5 + confidence / 2.0),
        Err(_) => f64::INFINITY,
    }
}

/// Wilson's interval of a rate at a size and a quantile, which need not be
/// whole and normal.
pub(super) fn wilson_at(p: f64, n: f64, z: f64) -> Interval {
    let shrink = 1.0 + z * z / n;
    let middle = (p + z * z / (2.0 * n)) / shrink;
    let half = z / shrink * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    // At the ends the interval touches 0 or 1 exactly; rounding must not move it.
    Interval {
        low: if p == 0.0 { 0.0 } else { middle - half },
        high: if p == 1.0 { 1.0 } else { middle + half },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binomtest(k, n).proportion_ci(level, method="wilson")`, SciPy 1.17.1.
    const SCIPY: [(u64, u64, f64, f64, f64); 7] = [
        (0, 10, 0.95, 0.0, 0.27753279986288926),
        (10, 10, 0.95, 0.7224672001371109, 1.0),
        (1, 1, 0.95, 0.20654931437723745, 1.0),
        (286, 1319, 0.95, 0.19543139440558893, 0.2398750854306672),
        (515, 1319, 0.95, 0.36447409684415993, 0.41705679026785886),
        (1, 30, 0.95, 0.005908590381612441, 0.16670390991409173),
        (286, 1319, 0.99, 0.18906009645042163, 0.24743633109887062),
    ];

    #[test]
    fn wilson_agrees_with_scipy() {
        for (successes, items, confidence, low, high) in SCIPY {
            let found = wilson(successes, items, confidence).expect("valid counts");
            assert!(
                (found.low - low).abs() < 1e-9 && (found.high - high).abs() < 1e-9,
                "{successes} of {items}: {found:?}"
            );
        }
    }

    /// `scipy.stats.binomtest(k, n).proportion_ci(level, method="exact")`, SciPy 1.17.1.
    const SCIPY_EXACT: [(u64, u64, f64, f64, f64); 5] = [
        (0, 10, 0.95, 0.0, 0.30849710781876294),
        (10, 10, 0.95, 0.6915028921812371, 1.0),
        (1, 30, 0.95, 0.0008435709266493071, 0.17216945563341293),
        (286, 1319, 0.95, 0.19486357539914526, 0.24006746581229235),
        (297, 300, 0.99, 0.9638917402496356, 0.9988706557320057),
    ];

    #[test]
    fn clopper_pearson_agrees_with_scipy() {
        for (successes, items, confidence, low, high) in SCIPY_EXACT {
            let found = clopper_pearson(successes, items, confidence).expect("valid counts");
            assert!(
                (found.low - low).abs() < 1e-9 && (found.high - high).abs() < 1e-9,
                "{successes} of {items}: {found:?}"
            );
        }
    }

    #[test]
    fn refuses_counts_and_levels_that_make_no_sense() {
        assert_eq!(wilson(0, 0, 0.95), Err(IntervalError::NoItems));
        let error = wilson(3, 2, 0.95).expect_err("too many successes");
        assert_eq!(error.to_string(), "3 successes are more than 2 items");
        for confidence in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(matches!(wilson(1, 2, confidence), Err(IntervalError::Confidence(_))), "{confidence}");
        }
    }
}
