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

/// Observations that belong together: of one item, one session, one user.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cluster {
    /// Sum of the weights of its successes.
    pub successes: f64,
    /// Sum of the weights of its observations; a weight is one over the
    /// probability with which the observation was taken.
    pub weight: f64,
    /// Its observations.
    pub n: u64,
}

impl Cluster {
    /// Observations that were all taken.
    pub fn unweighted(successes: u64, n: u64) -> Self {
        Self { successes: successes as f64, weight: n as f64, n }
    }
}

/// Wilson's interval at the effective size n / deff, with Student's t on G − 1
/// degrees of freedom in place of the normal quantile.
///
/// The rate is Hájek's, Σwy / Σw; its variance is the ratio estimator's,
/// G/(G−1) · Σ(Yᵢ − p̂Wᵢ)² / W², with the weighted sums Yᵢ and Wᵢ of each cluster
/// (Cochran 1977, Sampling Techniques, 3rd ed., eq. 11.30; Särndal, Swensson &
/// Wretman 1992, §5.7; the interval after Korn & Graubard 1998, Survey
/// Methodology 24:193–201). Where every observation agrees there is no variance
/// to estimate, and clusters count as single observations, less where their
/// weights differ (Kish 1965, §11.7). The design effect is never taken below 1.
///
/// Clusters without observations are left out. None where nothing was observed.
pub fn clustered_proportion(clusters: &[Cluster], confidence: f64) -> Option<ClusteredProportion> {
    let clusters: Vec<_> = clusters.iter().filter(|cluster| cluster.n > 0 && cluster.weight > 0.0).collect();
    let g = clusters.len();
    let n: u64 = clusters.iter().map(|cluster| cluster.n).sum();
    if n == 0 {
        return None;
    }
    let (n_f, g_f) = (n as f64, g as f64);
    let weight: f64 = clusters.iter().map(|cluster| cluster.weight).sum();
    // Rounding must not carry a rate of all successes past 1.
    let rate = (clusters.iter().map(|cluster| cluster.successes).sum::<f64>() / weight).clamp(0.0, 1.0);
    let independent = rate * (1.0 - rate) / n_f;
    let design_effect = if independent > 0.0 && g > 1 {
        let squares: f64 =
            clusters.iter().map(|cluster| (cluster.successes - rate * cluster.weight).powi(2)).sum();
        g_f / (g_f - 1.0) * squares / (weight * weight) / independent
    } else {
        let squares: f64 = clusters.iter().map(|cluster| cluster.weight.powi(2)).sum();
        n_f * squares / (weight * weight)
    }
    .max(1.0);
    let interval = (g >= CLUSTERS_MIN).then(|| {
        let t = StudentsT::new(0.0, 1.0, g_f - 1.0)
            .expect("there are at least two clusters")
            .inverse_cdf(0.5 + confidence / 2.0);
        wilson_at(rate, n_f / design_effect, t)
    });
    Some(ClusteredProportion { rate, n, clusters: g, design_effect, interval })
}

/// A mean from clustered observations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusteredMean {
    /// The mean over observations.
    pub mean: f64,
    /// Observations.
    pub n: u64,
    /// Clusters.
    pub clusters: usize,
    /// The interval; none with fewer than [`CLUSTERS_MIN`] clusters.
    pub interval: Option<Interval>,
}

/// The mean of clusters given as (sum, observations), with Student's t on G − 1
/// degrees of freedom and the ratio estimator's variance, as in
/// [`clustered_proportion`]. None where nothing was observed.
pub fn clustered_mean(clusters: &[(f64, u64)], confidence: f64) -> Option<ClusteredMean> {
    let clusters: Vec<_> = clusters.iter().filter(|(_, n)| *n > 0).collect();
    let g = clusters.len();
    let n: u64 = clusters.iter().map(|(_, n)| n).sum();
    if n == 0 {
        return None;
    }
    let (n_f, g_f) = (n as f64, g as f64);
    let mean = clusters.iter().map(|(sum, _)| sum).sum::<f64>() / n_f;
    let interval = (g >= CLUSTERS_MIN).then(|| {
        let squares: f64 = clusters.iter().map(|(sum, n)| (sum - mean * *n as f64).powi(2)).sum();
        let error = (g_f / (g_f - 1.0) * squares).sqrt() / n_f;
        let t = StudentsT::new(0.0, 1.0, g_f - 1.0).expect("there are at least two clusters");
        let half = t.inverse_cdf(0.5 + confidence / 2.0) * error;
        Interval { low: mean - half, high: mean + half }
    });
    Some(ClusteredMean { mean, n, clusters: g, interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 clusters of 1 to 5 observations; the successes follow no pattern.
    fn clusters() -> Vec<Cluster> {
        (0..40_u64).map(|i| Cluster::unweighted((i * 7 + 3) % (i % 5 + 2), i % 5 + 1)).collect()
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
    fn weights_enter_the_rate_and_its_variance() {
        // As above with w = 1 + i%3; Y = y*w; W = n*w; p = Y.sum()/W.sum();
        // v = G/(G-1)*((Y-p*W)**2).sum()/W.sum()**2. NumPy 2.4.6 and SciPy 1.17.1.
        let scaled = |w: &dyn Fn(usize) -> f64| -> Vec<Cluster> {
            let scale = |(i, cluster): (usize, Cluster)| Cluster {
                successes: cluster.successes * w(i),
                weight: cluster.weight * w(i),
                ..cluster
            };
            clusters().into_iter().enumerate().map(scale).collect()
        };
        let found = clustered_proportion(&scaled(&|i| (1 + i % 3) as f64), 0.95).expect("observed");
        let interval = found.interval.expect("enough clusters");
        for (value, expected) in [
            (found.rate, 0.6440677966101694),
            (found.design_effect, 2.405600769652237),
            (interval.low, 0.5008753803137674),
            (interval.high, 0.7654196224891522),
        ] {
            assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
        }
        // The same weight for all changes nothing.
        assert_eq!(clustered_proportion(&scaled(&|_| 2.0), 0.95), clustered_proportion(&clusters(), 0.95));
    }

    #[test]
    fn a_mean_agrees_with_an_independent_calculation() {
        // NumPy 2.4.6 and SciPy 1.17.1: i = arange(30); n = i%4+1; s = ((i*5+2)%7)*0.5*n**0.5;
        // m = s.sum()/n.sum(); v = G/(G-1)*((s-m*n)**2).sum()/n.sum()**2; m -+ t.ppf(.975, G-1)*v**.5.
        let clusters: Vec<_> = (0..30_u32)
            .map(|i| {
                let n = i % 4 + 1;
                (f64::from((i * 5 + 2) % 7) * 0.5 * f64::from(n).sqrt(), u64::from(n))
            })
            .collect();
        let found = clustered_mean(&clusters, 0.95).expect("observed");
        let interval = found.interval.expect("enough clusters");
        for (value, expected) in [
            (found.mean, 0.8977503545806947),
            (interval.low, 0.6444345477222609),
            (interval.high, 1.1510661614391284),
        ] {
            assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
        }
        assert_eq!(clustered_mean(&clusters[..19], 0.95).expect("observed").interval, None);
        assert_eq!(clustered_mean(&[(0.0, 0)], 0.95), None);
    }

    #[test]
    fn refuses_an_interval_from_few_clusters_and_is_not_sure_when_all_agree() {
        assert_eq!(clustered_proportion(&[], 0.95), None);
        let few = clustered_proportion(&[Cluster::unweighted(1, 2); 19], 0.95).expect("observed");
        assert_eq!((few.clusters, few.interval), (19, None));
        let sure = clustered_proportion(&[Cluster::unweighted(3, 3); 30], 0.95).expect("observed");
        let interval = sure.interval.expect("enough clusters");
        assert_eq!((sure.rate, sure.design_effect, interval.high), (1.0, 3.0, 1.0));
        assert!(interval.low > 0.8 && interval.low < 0.9, "{interval:?}");
    }
}
