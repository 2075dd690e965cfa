//! Two answers to each item: how far apart are their rates, their means?

use statrs::distribution::{Binomial, Discrete as _, DiscreteCDF as _};

use super::super::CLUSTERS_MIN;
use super::super::intervals::{Interval, IntervalError, normal_quantile, student_quantile};
use super::super::survey::Design;
use super::Difference;

/// Items by what first and second answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairedAnswers {
    /// Yes and no.
    pub only_first: u64,
    /// No and yes.
    pub only_second: u64,
    /// All items, also those with twice the same.
    pub items: u64,
}

/// The score interval of the difference of paired rates, second less first, for
/// independent items (Tango 1998, Statistics in Medicine 17:891–908).
pub fn tango(answers: PairedAnswers, confidence: f64) -> Result<Interval, IntervalError> {
    if answers.items == 0 {
        return Err(IntervalError::NoItems);
    }
    let discordant = answers.only_first + answers.only_second;
    if discordant > answers.items {
        return Err(IntervalError::MoreSuccessesThanItems { successes: discordant, items: answers.items });
    }
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(IntervalError::Confidence(confidence));
    }
    let n = answers.items as f64;
    let (second, first) = (answers.only_second as f64 / n, answers.only_first as f64 / n);
    Ok(tango_at(second, first, n, normal_quantile(confidence)))
}

/// Tango's interval of `plus` − `minus`, the shares of discordant items, at a
/// size and a quantile that need not be whole and normal.
fn tango_at(plus: f64, minus: f64, n: f64, z: f64) -> Interval {
    // What the score is at a true difference: it falls as the difference grows.
    let score = |d: f64| {
        let b = (2.0 - plus + minus) * d - plus - minus;
        let c = -minus * d * (1.0 - d);
        let rare = ((b * b - 8.0 * c).max(0.0).sqrt() - b) / 4.0;
        let variance = (2.0 * rare + d * (1.0 - d)).max(0.0) / n;
        let distance = plus - minus - d;
        if distance == 0.0 { 0.0 } else { distance / variance.sqrt() }
    };
    let root = |target: f64| {
        let (mut low, mut high) = (-1.0, 1.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if score(middle) > target { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    };
    Interval { low: root(z), high: root(-z) }
}

/// The exact probability of so uneven a split if both rates were equal
/// (McNemar 1947, Psychometrika 12:153–157, by the binomial). It answers only whether there is
/// a difference.
pub fn mcnemar_exact(answers: PairedAnswers) -> f64 {
    let (fewer, discordant) = split(answers);
    if discordant == 0 { 1.0 } else { (2.0 * half(discordant).cdf(fewer)).min(1.0) }
}

/// The same, with only half the probability of the split that was seen:
/// nearly as safe and less often wrong about a difference that is there
/// (Fagerland, Lydersen & Laake 2013, BMC Medical Research Methodology 13:91).
pub fn mcnemar_mid_p(answers: PairedAnswers) -> f64 {
    let (fewer, discordant) = split(answers);
    if discordant == 0 {
        return 1.0;
    }
    let half = half(discordant);
    (2.0 * half.cdf(fewer) - half.pmf(fewer)).min(1.0)
}

fn split(answers: PairedAnswers) -> (u64, u64) {
    (answers.only_first.min(answers.only_second), answers.only_first + answers.only_second)
}

fn half(discordant: u64) -> Binomial {
    Binomial::new(0.5, discordant).expect("a half is a probability")
}

/// The difference of paired rates, second less first, of items in clusters with weights:
/// Tango's interval at the size that has the linearised variance, with
/// Student's t. Each item is (first, second, weight). None where nothing was observed.
pub fn paired_difference(
    design: &Design,
    items: &[(bool, bool, f64)],
    confidence: f64,
) -> Option<Difference> {
    let value = |answer: bool| f64::from(u8::from(answer));
    let values: Vec<(f64, f64)> =
        items.iter().map(|(first, second, weight)| (value(*second) - value(*first), *weight)).collect();
    let mean = design.mean(&values, confidence)?;
    let total: f64 = items.iter().map(|item| item.2).sum();
    let share = |is: &dyn Fn(&(bool, bool, f64)) -> bool| {
        items.iter().filter(|item| is(item)).map(|item| item.2).sum::<f64>() / total
    };
    let (plus, minus) = (share(&|item| !item.0 && item.1), share(&|item| item.0 && !item.1));
    // Independent pairs would not tell more than they are.
    let effective = mean.effective_n.min(mean.n as f64);
    let interval = (mean.clusters >= CLUSTERS_MIN)
        .then(|| tango_at(plus, minus, effective, student_quantile(mean.freedom, confidence)));
    Some(Difference {
        difference: mean.mean,
        interval,
        n: mean.n,
        clusters: mean.clusters as u64,
        design_effect: mean.n as f64 / effective,
    })
}

/// The difference of paired means, second less first, with the cluster-robust
/// variance and Student's t. Each item is (first, second, weight). None where nothing
/// was observed.
pub fn paired_means(design: &Design, items: &[(f64, f64, f64)], confidence: f64) -> Option<Difference> {
    let values: Vec<(f64, f64)> =
        items.iter().map(|(first, second, weight)| (second - first, *weight)).collect();
    let mean = design.mean(&values, confidence)?;
    Some(Difference {
        difference: mean.mean,
        interval: mean.interval,
        n: mean.n,
        clusters: mean.clusters as u64,
        design_effect: mean.n as f64 / mean.effective_n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(only_second: u64, only_first: u64, items: u64) -> PairedAnswers {
        PairedAnswers { only_first, only_second, items }
    }

    #[test]
    fn tangos_interval_agrees_with_a_likelihood_maximised_by_brute_force() {
        // SciPy 1.17.1: the multinomial likelihood at a given difference maximised with
        // minimize_scalar, the score's roots with brentq. 1, 7 of 21 are the airway data of Fagerland, Lydersen &
        // Laake 2014, Statistics in Medicine 33:2850–2875, where the interval is −0.517 to −0.026.
        for (second, first, items, low, high) in [
            (1, 7, 21, -0.5172322772712079, -0.026003032171185478),
            (40, 20, 160, 0.03086453287267851, 0.218064243830407),
            (0, 5, 50, -0.2136023178227891, -0.021517641662611567),
            (59, 6, 161, 0.24463433033249157, 0.4131812402409911),
            (0, 0, 30, -0.11351339, 0.11351339),
        ] {
            let found = tango(answers(second, first, items), 0.95).expect("valid counts");
            assert!(
                (found.low - low).abs() < 1e-6 && (found.high - high).abs() < 1e-6,
                "{second}, {first} of {items}: {found:?}"
            );
        }
        let one = tango(answers(1, 0, 1), 0.95).expect("valid counts");
        assert!(one.low > -1.0 && one.high > 0.999, "{one:?}");
    }

    #[test]
    fn tango_refuses_counts_that_make_no_sense() {
        assert_eq!(tango(answers(0, 0, 0), 0.95), Err(IntervalError::NoItems));
        let error = tango(answers(2, 2, 3), 0.95).expect_err("too many");
        assert_eq!(error, IntervalError::MoreSuccessesThanItems { successes: 4, items: 3 });
        assert_eq!(tango(answers(0, 0, 3), 1.0), Err(IntervalError::Confidence(1.0)));
    }

    #[test]
    fn mcnemar_agrees_with_statsmodels() {
        // statsmodels.stats.contingency_tables.mcnemar(exact=True).pvalue, statsmodels 0.15.0;
        // mid-p less scipy.stats.binom.pmf, SciPy 1.17.1.
        for (second, first, exact, mid_p) in [
            (1, 7, 0.0703125, 0.0390625),
            (59, 6, 4.964650327128616e-12, 2.7258031986068867e-12),
            (0, 5, 0.0625, 0.03125),
            (16, 4, 0.01181793212890625, 0.007197380065917967),
            (0, 0, 1.0, 1.0),
            (3, 3, 1.0, 1.0),
        ] {
            let answers = answers(second, first, 200);
            assert!((mcnemar_exact(answers) / exact - 1.0).abs() < 1e-8, "{answers:?}");
            assert!((mcnemar_mid_p(answers) / mid_p - 1.0).abs() < 1e-8, "{answers:?}");
        }
    }

    #[test]
    fn independent_pairs_of_equal_weight_get_tangos_interval() {
        let items: Vec<_> = (0..160).map(|i| ((40..120).contains(&i), i < 100, 2.0)).collect();
        let design = Design::new((0..160).map(|cluster| (0, cluster)));
        let found = paired_difference(&design, &items, 0.95).expect("observed");
        assert_eq!((found.difference, found.n, found.clusters), (0.125, 160, 160));
        let interval = found.interval.expect("enough clusters");
        // With Student's t on 159 degrees of freedom a little wider than 0.0309 to 0.2181.
        assert!(
            (interval.low - 0.0309).abs() < 0.0015 && (interval.high - 0.2181).abs() < 0.0015,
            "{interval:?}"
        );
        // Each pair four times is no more evidence.
        let design = Design::new((0..640).map(|i| (0, i / 4)));
        let items: Vec<_> = items.iter().flat_map(|item| [*item; 4]).collect();
        let fourfold = paired_difference(&design, &items, 0.95).expect("observed");
        let again = fourfold.interval.expect("enough clusters");
        assert!((again.low - interval.low).abs() < 1e-3 && (again.high - interval.high).abs() < 1e-3);
        assert!((fourfold.design_effect - 4.0).abs() < 0.05, "{fourfold:?}");
    }

    #[test]
    fn a_difference_needs_clusters_and_no_luck() {
        let few = Design::new((0..38).map(|i| (0, i / 2)));
        let found = paired_difference(&few, &[(true, false, 1.0); 38], 0.95).expect("observed");
        assert_eq!((found.difference, found.interval), (-1.0, None));
        let enough = Design::new((0..40).map(|i| (0, i / 2)));
        let found = paired_difference(&enough, &[(true, true, 1.0); 40], 0.95).expect("observed");
        let interval = found.interval.expect("enough clusters");
        assert!(found.difference == 0.0 && interval.low < -0.08 && interval.high > 0.08, "{interval:?}");
        let means = paired_means(&enough, &[(0.5, 0.75, 1.0); 40], 0.95).expect("observed");
        assert_eq!(means.difference, 0.25);
        assert_eq!(paired_means(&Design::new([]), &[], 0.95), None);
    }
}
