//! Intervals where observations come in clusters: several answers to one item,
//! several interactions of one session.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::intervals::{Interval, wilson_at};

/// With fewer clusters no interval is honest.
pub const CLUSTERS_MIN: usize = 20;

/// A proportion from clustered observations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusteredProportion {
    /// Successes over observations.
    pub rate: f64,
    /// Observations.
    pub n: u64,
    /// Clusters.
    pub clusters: usize,
    /// Design effect: the variance over that of independent observations.
    pub design_effect: f64,
    /// The interval; none with fewer than [`CLUSTERS_MIN`] clusters.
    pub interval: Option<Interval>,
}

/// Wilson's interval at the effective size n / deff, with Student's t on G − 1
/// degrees of freedom in place of the normal quantile.
///
/// The variance of the rate is the ratio estimator's, G/(G−1) · Σ(yᵢ − p̂nᵢ)² / n²
/// (Cochran 1977, Sampling Techniques, 3rd ed., eq. 11.30; the interval after
/// Korn & Graubard 1998, Survey Methodology 24:193–201). Where every
/// observation agrees there is no variance to estimate, and clusters count as
/// single observations. The design effect is never taken below 1.
///
/// `clusters` has (successes, observations) of each; empty ones are left out.
/// None where nothing was observed.
pub fn clustered_proportion(clusters: &[(u64, u64)], confidence: f64) -> Option<ClusteredProportion> {
    let clusters: Vec<_> = clusters.iter().filter(|(_, n)| *n > 0).collect();
    let g = clusters.len();
    let n: u64 = clusters.iter().map(|(_, n)| n).sum();
    if n == 0 {
        return None;
    }
    let (n_f, g_f) = (n as f64, g as f64);
    let rate = clusters.iter().map(|(successes, _)| *successes as f64).sum::<f64>() / n_f;
    let independent = rate * (1.0 - rate) / n_f;
    let design_effect = if independent > 0.0 && g > 1 {
        let squares: f64 =
            clusters.iter().map(|(successes, n)| (*successes as f64 - rate * *n as f64).powi(2)).sum();
        (g_f / (g_f - 1.0) * squares / (n_f * n_f) / independent).max(1.0)
    } else {
        n_f / g_f
    };
    let interval = (g >= CLUSTERS_MIN).then(|| {
        let t = StudentsT::new(0.0, 1.0, g_f - 1.0)
            .expect("there are at least two clusters")
            .inverse_cdf(0.5 + confidence / 2.0);
        wilson_at(rate, n_f / design_effect, t)
    });
    Some(ClusteredProportion { rate, n, clusters: g, design_effect, interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 clusters of 1 to 5 observations; the successes follow no pattern.
    fn clusters() -> Vec<(u64, u64)> {
        (0..40_u64).map(|i| ((i * 7 + 3) % (i % 5 + 2), i % 5 + 1)).collect()
    }

    #[test]
    fn agrees_with_an_independent_calculation() {
        // NumPy 2.4.6 and SciPy 1.17.1: p = y.sum()/n.sum(); v = G/(G-1)*((y-p*n)**2).sum()/n.sum()**2;
        // deff = v/(p*(1-p)/n.sum()); t = scipy.stats.t.ppf(.975, G-1); Wilson with z = t, n = n.sum()/deff.
        let found = clustered_proportion(&clusters(), 0.95).expect("observed");
        let interval = found.interval.expect("enough clusters");
        for (value, expected) in [
            (found.rate, EXPECTED[0]),
            (found.design_effect, EXPECTED[1]),
            (interval.low, EXPECTED[2]),
            (interval.high, EXPECTED[3]),
        ] {
            assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
        }
    }

    const EXPECTED: [f64; 4] =
        [0.5916666666666667, 2.5116756706293923, 0.4462005023362815, 0.722671783745732];

    #[test]
    fn refuses_an_interval_from_few_clusters_and_is_not_sure_when_all_agree() {
        assert_eq!(clustered_proportion(&[], 0.95), None);
        let few = clustered_proportion(&[(1, 2); 19], 0.95).expect("observed");
        assert_eq!((few.clusters, few.interval), (19, None));
        let sure = clustered_proportion(&[(3, 3); 30], 0.95).expect("observed");
        let interval = sure.interval.expect("enough clusters");
        assert_eq!((sure.rate, sure.design_effect, interval.high), (1.0, 3.0, 1.0));
        assert!(interval.low > 0.8 && interval.low < 0.9, "{interval:?}");
    }
}
