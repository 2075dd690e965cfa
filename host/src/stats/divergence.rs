//! Whether two measures of the same visits part: what scorers say and what
//! users show.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::CLUSTERS_MIN;
use super::intervals::Interval;

/// A visit's score and satisfaction, each so that more is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visit {
    /// Mean score.
    pub score: f64,
    /// Mean satisfaction.
    pub satisfaction: f64,
}

/// How two measures moved against a baseline, in standard deviations of the
/// baseline's visits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Divergence {
    /// How far the score moved.
    pub score_change: f64,
    /// How far satisfaction moved.
    pub satisfaction_change: f64,
    /// The first less the second: positive where scores look better than users do.
    pub divergence: f64,
    /// The divergence's interval.
    pub interval: Interval,
}

/// Why there is no divergence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoDivergence {
    /// Too few visits to estimate a variance.
    #[error("fewer than {CLUSTERS_MIN} visits in the baseline or now")]
    TooFew,
    /// There is no unit to measure a change in.
    #[error("every visit of the baseline has the same score or the same satisfaction")]
    NoVariance,
}

/// Standardised change in score less standardised change in satisfaction.
///
/// The difference is that of two means of x = score/s₁ − satisfaction/s₂ over
/// the same visits, so what both have in common cancels; its interval is Welch's
/// (Welch 1947, Biometrika 34:28–35). The standard deviations s₁ and s₂ are the
/// baseline's, and taken as known. Visits must be independent: one for each user.
pub fn divergence(baseline: &[Visit], now: &[Visit], confidence: f64) -> Result<Divergence, NoDivergence> {
    if baseline.len() < CLUSTERS_MIN || now.len() < CLUSTERS_MIN {
        return Err(NoDivergence::TooFew);
    }
    let score = |visit: &Visit| visit.score;
    let satisfaction = |visit: &Visit| visit.satisfaction;
    let (score_before, score_variance) = moments(baseline, score);
    let (satisfaction_before, satisfaction_variance) = moments(baseline, satisfaction);
    // What rounding leaves of no variance is none.
    if score_variance < 1e-18 || satisfaction_variance < 1e-18 {
        return Err(NoDivergence::NoVariance);
    }
    let (s1, s2) = (score_variance.sqrt(), satisfaction_variance.sqrt());
    let both = |visit: &Visit| visit.score / s1 - visit.satisfaction / s2;
    let ((mean_before, variance_before), (mean_now, variance_now)) =
        (moments(baseline, both), moments(now, both));
    let (n_before, n_now) = (baseline.len() as f64, now.len() as f64);
    let (share_before, share_now) = (variance_before / n_before, variance_now / n_now);
    let standard_error = (share_before + share_now).sqrt();
    let divergence = mean_now - mean_before;
    let half = if standard_error > 0.0 {
        let freedom = (share_before + share_now).powi(2)
            / (share_before.powi(2) / (n_before - 1.0) + share_now.powi(2) / (n_now - 1.0));
        let t = StudentsT::new(0.0, 1.0, freedom).expect("there are degrees of freedom");
        t.inverse_cdf(0.5 + confidence / 2.0) * standard_error
    } else {
        0.0
    };
    Ok(Divergence {
        score_change: (moments(now, score).0 - score_before) / s1,
        satisfaction_change: (moments(now, satisfaction).0 - satisfaction_before) / s2,
        divergence,
        interval: Interval { low: divergence - half, high: divergence + half },
    })
}

/// Mean and variance (n − 1).
fn moments(visits: &[Visit], value: impl Fn(&Visit) -> f64) -> (f64, f64) {
    let n = visits.len() as f64;
    let mean = visits.iter().map(&value).sum::<f64>() / n;
    let squares: f64 = visits.iter().map(|visit| (value(visit) - mean).powi(2)).sum();
    (mean, squares / (n - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visits(n: i32, visit: impl Fn(i32) -> (f64, f64)) -> Vec<Visit> {
        (0..n).map(visit).map(|(score, satisfaction)| Visit { score, satisfaction }).collect()
    }

    fn baseline() -> Vec<Visit> {
        visits(40, |i| (0.8 + 0.05 * f64::from((i * 7) % 5 - 2), 0.7 + 0.1 * (f64::from((i * 3) % 4) - 1.5)))
    }

    #[test]
    fn agrees_with_an_independent_calculation() {
        // NumPy 2.4.6 and SciPy 1.17.1: b, c = arange(40), arange(25); s1 = bs.std(ddof=1); s2 = bu.std(ddof=1);
        // ttest_ind(cs/s1 - cu/s2, bs/s1 - bu/s2, equal_var=False).confidence_interval(.95).
        let now = visits(25, |i| {
            (0.83 + 0.05 * f64::from((i * 4) % 5 - 2), 0.55 + 0.1 * (f64::from((i * 5) % 4) - 1.5))
        });
        let found = divergence(&baseline(), &now, 0.95).expect("enough visits");
        for (value, expected) in [
            found.score_change,
            found.satisfaction_change,
            found.divergence,
            found.interval.low,
            found.interval.high,
        ]
        .into_iter()
        .zip(EXPECTED)
        {
            assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
        }
    }

    const EXPECTED: [f64; 5] =
        [0.4189272013130671, -1.377754695147143, 1.7966818964602105, 1.0896448598543143, 2.5037189330661067];

    #[test]
    fn refuses_few_visits_and_a_baseline_without_variance() {
        assert_eq!(divergence(&baseline()[..19], &baseline(), 0.95), Err(NoDivergence::TooFew));
        let flat = visits(30, |i| (1.0, f64::from(i % 2)));
        assert_eq!(divergence(&flat, &baseline(), 0.95), Err(NoDivergence::NoVariance));
    }
}
