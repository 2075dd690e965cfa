//! A difference of means between two groups that are compared only within
//! strata, where what else could make the difference is alike.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::Interval;
use super::moments::Moments;

/// A difference of means, first minus second, over all strata that can say
/// anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StratifiedDifference {
    /// The weighted mean of the strata's differences.
    pub difference: f64,
    /// Its interval; none where the values do not vary.
    pub interval: Option<Interval>,
    /// How many strata contribute.
    pub strata: u64,
    /// Values of the first group in them.
    pub first: u64,
    /// Values of the second group in them.
    pub second: u64,
}

/// The difference within strata. A stratum contributes if it has at least two
/// values of each group, so that its own variance is known, and weighs
/// n₁n₂/(n₁ + n₂), which gives the smallest variance where the values scatter
/// alike (Cochran 1954, Biometrics 10:417–451). Variances may differ between groups and
/// strata; the interval takes Student's t with Satterthwaite's degrees of
/// freedom (1946, Biometrics Bulletin 2:110–114).
///
/// The values of a stratum are taken for independent. None where no stratum
/// contributes.
pub fn stratified_difference<'a>(
    strata: impl IntoIterator<Item = (&'a Moments, &'a Moments)>,
    confidence: f64,
) -> Option<StratifiedDifference> {
    let mut found = StratifiedDifference { difference: 0.0, interval: None, strata: 0, first: 0, second: 0 };
    let (mut weights, mut variance, mut over_freedom) = (0.0, 0.0, 0.0);
    for (first, second) in strata {
        let (Some(s1), Some(s2)) = (first.variance(), second.variance()) else { continue };
        let (n1, n2) = (first.n as f64, second.n as f64);
        let weight = n1 * n2 / (n1 + n2);
        weights += weight;
        found.difference += weight * (first.mean - second.mean);
        for part in [(s1, n1), (s2, n2)] {
            let of_mean = weight * weight * part.0 / part.1;
            variance += of_mean;
            over_freedom += of_mean * of_mean / (part.1 - 1.0);
        }
        found.strata += 1;
        found.first += first.n;
        found.second += second.n;
    }
    if found.strata == 0 {
        return None;
    }
    found.difference /= weights;
    if variance > 0.0 {
        let t = StudentsT::new(0.0, 1.0, variance * variance / over_freedom)
            .expect("there is at least one degree of freedom")
            .inverse_cdf(0.5 + confidence / 2.0);
        let half = t * variance.sqrt() / weights;
        found.interval = Some(Interval { low: found.difference - half, high: found.difference + half });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(n: u32, value: impl Fn(u32) -> f64) -> Moments {
        let mut moments = Moments::default();
        (0..n).for_each(|i| moments.add(value(i)));
        moments
    }

    fn strata() -> Vec<(Moments, Moments)> {
        (0..12_u32)
            .map(|s| {
                let first = moments(2 + s, |i| f64::from(200 + 30 * s + (7 * i * i + 3 * s) % 41));
                let second = moments(1 + 3 * s % 7, |i| {
                    f64::from(260 + 28 * s) + f64::from((5 * i * i + 11 * s) % 67) * 1.5
                });
                (first, second)
            })
            .collect()
    }

    fn difference(strata: &[(Moments, Moments)]) -> Option<StratifiedDifference> {
        stratified_difference(strata.iter().map(|(first, second)| (first, second)), 0.95)
    }

    #[test]
    fn agrees_with_an_independent_calculation() {
        // NumPy 2.4.6 and SciPy 1.17.1: w = n1*n2/(n1+n2); d = (w*(m1-m2)).sum()/w.sum();
        // q = w**2*s2/n over both groups; t = scipy.stats.t.ppf(.975, q.sum()**2/(q**2/(n-1)).sum()).
        let found = difference(&strata()).expect("strata that contribute");
        assert_eq!((found.strata, found.first, found.second), (10, 79, 47));
        let interval = found.interval.expect("values that vary");
        for (value, expected) in [
            (found.difference, -79.1184249045535),
            (interval.low, -88.09513995707871),
            (interval.high, -70.1417098520283),
        ] {
            assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
        }
    }

    #[test]
    fn of_one_stratum_it_is_welchs_interval() {
        // scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95), SciPy 1.17.1.
        let found = difference(&strata()[11..]).expect("it contributes");
        let interval = found.interval.expect("values that vary");
        assert!((found.difference + 63.78846153846155).abs() < 1e-9, "{found:?}");
        assert!((interval.low + 102.40440304343606).abs() < 1e-6, "{interval:?}");
        assert!((interval.high + 25.172520033487032).abs() < 1e-6, "{interval:?}");
    }

    #[test]
    fn a_stratum_without_a_comparison_says_nothing() {
        let alone = (moments(5, f64::from), Moments::default());
        let single = (moments(5, f64::from), moments(1, f64::from));
        assert_eq!(difference(&[alone, single]), None);
        let still = (moments(3, |_| 2.0), moments(3, |_| 1.0));
        let found = difference(&[still]).expect("it contributes");
        assert_eq!((found.difference, found.interval), (1.0, None));
    }

    #[test]
    fn a_mix_that_differs_between_strata_does_not_make_a_difference() {
        // Both groups are alike in each stratum, but the first is mostly in the slow one.
        let fast = (moments(4, |i| f64::from(10 + i % 2)), moments(40, |i| f64::from(10 + i % 2)));
        let slow = (moments(40, |i| f64::from(90 + i % 2)), moments(4, |i| f64::from(90 + i % 2)));
        let found = difference(&[fast, slow]).expect("they contribute");
        assert!(found.difference.abs() < 1e-9, "{found:?}");
    }
}
