//! Two groups that share no item: their rates, their means.

use super::super::CLUSTERS_MIN;
use super::super::clusters::ClusteredProportion;
use super::super::intervals::{Interval, student_quantile};
use super::super::survey::DesignMean;
use super::Difference;

/// The difference of two rates, second less first, from each one's interval
/// (Newcombe 1998, Statistics in Medicine 17:873–890, method 10; with intervals
/// of clustered rates Donner & Zou 2012, Statistical Methods in Medical Research 21:347–359).
/// There is an interval where both rates have one.
pub fn difference_of_proportions(first: &ClusteredProportion, second: &ClusteredProportion) -> Difference {
    let difference = second.rate - first.rate;
    let interval = first.interval.zip(second.interval).map(|(one, other)| Interval {
        low: difference - (second.rate - other.low).hypot(one.high - first.rate),
        high: difference + (other.high - second.rate).hypot(first.rate - one.low),
    });
    let n = first.n + second.n;
    let effective = first.n as f64 / first.design_effect + second.n as f64 / second.design_effect;
    Difference {
        difference,
        interval,
        n,
        clusters: (first.clusters + second.clusters) as u64,
        design_effect: n as f64 / effective,
    }
}

/// The difference of two means, second less first, with cluster-robust variances that may differ and
/// Satterthwaite's degrees of freedom (Welch 1947, Biometrika 34:28–35). Clusters
/// must not lie in both groups.
pub fn difference_of_means(first: &DesignMean, second: &DesignMean, confidence: f64) -> Difference {
    let difference = second.mean - first.mean;
    let parts = [first, second].map(|mean| mean.standard_error.powi(2));
    let variance: f64 = parts.iter().sum();
    let uncertainty = parts[0].powi(2) / first.freedom + parts[1].powi(2) / second.freedom;
    let freedom = if uncertainty > 0.0 { variance * variance / uncertainty } else { f64::INFINITY };
    let enough = first.clusters >= CLUSTERS_MIN && second.clusters >= CLUSTERS_MIN;
    let n = first.n + second.n;
    Difference {
        difference,
        interval: enough.then(|| {
            let half =
                if variance > 0.0 { student_quantile(freedom, confidence) * variance.sqrt() } else { 0.0 };
            Interval { low: difference - half, high: difference + half }
        }),
        n,
        clusters: (first.clusters + second.clusters) as u64,
        design_effect: n as f64 / (first.effective_n + second.effective_n),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::survey::Design;
    use super::super::super::{Cluster, clustered_proportion, intervals::wilson};
    use super::*;

    #[test]
    fn of_independent_items_it_is_newcombes_interval() {
        // statsmodels.stats.proportion.confint_proportions_2indep(180, 200, 150, 190, method="newcomb"),
        // statsmodels 0.15.0: 0.038841069682994694, 0.18263636411028994.
        let rate = |successes: u64, n: u64| ClusteredProportion {
            rate: successes as f64 / n as f64,
            n,
            clusters: n as usize,
            design_effect: 1.0,
            interval: Some(wilson(successes, n, 0.95).expect("valid counts")),
        };
        let found = difference_of_proportions(&rate(150, 190), &rate(180, 200));
        let interval = found.interval.expect("both have one");
        assert!((interval.low - 0.038841069682994694).abs() < 1e-9, "{interval:?}");
        assert!((interval.high - 0.18263636411028994).abs() < 1e-9, "{interval:?}");
        assert_eq!((found.n, found.clusters, found.design_effect), (390, 390, 1.0));
    }

    #[test]
    fn of_values_that_stand_alone_it_is_welchs_interval() {
        // scipy.stats.ttest_ind(b, a, equal_var=False).confidence_interval(.95), SciPy 1.17.1;
        // a = (i*i*7)%41 of arange(40), b = (j*j*5)%37 + 4 of arange(30).
        let mean = |values: &[(f64, f64)]| {
            let design = Design::new((0..values.len() as u64).map(|cluster| (0, cluster)));
            design.mean(values, 0.95).expect("observed")
        };
        let a: Vec<_> = (0..40_u32).map(|i| (f64::from((i * i * 7) % 41), 1.0)).collect();
        let b: Vec<_> = (0..30_u32).map(|j| (f64::from((j * j * 5) % 37 + 4), 1.0)).collect();
        let found = difference_of_means(&mean(&a), &mean(&b), 0.95);
        let interval = found.interval.expect("enough clusters");
        assert!((found.difference - 2.275).abs() < 1e-9, "{found:?}");
        assert!((interval.low + 2.60181873288923).abs() < 1e-7, "{interval:?}");
        assert!((interval.high - 7.151818732889234).abs() < 1e-7, "{interval:?}");
        let few = difference_of_means(&mean(&a[..19]), &mean(&b), 0.95);
        assert_eq!(few.interval, None);
    }

    #[test]
    fn a_group_without_an_interval_leaves_the_difference_without_one() {
        let few = clustered_proportion(&[Cluster::unweighted(1, 2); 19], 0.95).expect("observed");
        let many = clustered_proportion(&[Cluster::unweighted(2, 2); 30], 0.95).expect("observed");
        let found = difference_of_proportions(&few, &many);
        assert_eq!((found.difference, found.interval), (0.5, None));
    }
}
