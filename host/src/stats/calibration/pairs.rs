//! A calibration from pairs of values.

use super::super::intervals::Interval;
use super::figures::agreement;
use super::{Calibration, ClassAgreement, NoCalibration, Pair, Resampling, Scale};

/// Every agreement figure of pairs of a judge's and a person's values.
///
/// Accuracy and recall have the interval of
/// [`clustered_proportion`](crate::stats::clustered_proportion), bias of a yes or no that of
/// [`paired_difference`](crate::stats::paired_difference), all others a bootstrap over clusters within
/// strata; classes get half as many replicates.
pub fn calibration(
    pairs: &[Pair],
    scale: Scale,
    resampling: Resampling,
) -> Result<Calibration, NoCalibration> {
    check(pairs, scale, resampling)?;
    let weighted = agreement(pairs, scale, resampling);
    let first = pairs[0].weight;
    let of_reviewed = if pairs.iter().all(|pair| pair.weight == first) {
        weighted.clone()
    } else {
        let unweighted: Vec<Pair> = pairs.iter().map(|pair| Pair { weight: 1.0, ..*pair }).collect();
        agreement(&unweighted, scale, resampling)
    };
    let mut by_class = pairs.to_vec();
    // Clusters stay in order within a class, which makes them cheap to find.
    by_class.sort_by_key(|pair| (pair.class, pair.stratum, pair.cluster));
    let classes: Vec<&[Pair]> = by_class.chunk_by(|one, other| one.class == other.class).collect();
    let classes = if classes.len() > 1 { classes } else { Vec::new() };
    let for_classes = Resampling { replicates: resampling.replicates.div_ceil(2), ..resampling };
    let classes = classes.into_iter().map(|pairs| ClassAgreement {
        class: pairs[0].class,
        agreement: agreement(pairs, scale, for_classes),
    });
    Ok(Calibration { scale, weighted, of_reviewed, classes: classes.collect() })
}

fn check(pairs: &[Pair], scale: Scale, resampling: Resampling) -> Result<(), NoCalibration> {
    if pairs.is_empty() {
        return Err(NoCalibration::NoPairs);
    }
    if !(resampling.confidence > 0.0 && resampling.confidence < 1.0) {
        return Err(NoCalibration::Confidence(resampling.confidence));
    }
    for pair in pairs {
        if let Some(value) = [pair.judge, pair.human].into_iter().find(|value| !scale.holds(*value)) {
            return Err(NoCalibration::OffScale { value, scale });
        }
        if !(pair.weight.is_finite() && pair.weight > 0.0) {
            return Err(NoCalibration::Weight(pair.weight));
        }
    }
    Ok(())
}

/// Labels that would make an interval as narrow as wanted, if it narrows with
/// the square root of their number as intervals of many labels do. At least as many as there are
/// where it is narrow enough.
pub fn labels_needed(labels: u64, interval: Interval, wanted_width: f64) -> Option<u64> {
    let width = interval.high - interval.low;
    if !(wanted_width > 0.0 && width.is_finite() && labels > 0) {
        return None;
    }
    let more = (width / wanted_width).powi(2).max(1.0);
    Some((labels as f64 * more - 1e-9).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::super::agreement::{Point, Undefined, kendall_tau_b, spearman_rho};
    use super::super::super::bootstrap::NoInterval;
    use super::super::{
        Agreement, Figure, HumanItem, JudgeIdentity, Measure, Reason, Requirements, Verdict, human_agreement,
        in_words, verdict,
    };
    use super::*;

    /// Pairs of a table, each by itself and with weight 1: rows are people's answers.
    fn of_table(table: &[&[usize]]) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (human, row) in table.iter().enumerate() {
            for (judge, count) in row.iter().enumerate() {
                pairs.extend((0..*count).map(|_| pair(judge as f64, human as f64)));
            }
        }
        pairs.iter_mut().zip(0..).for_each(|(pair, cluster)| pair.cluster = cluster);
        pairs
    }

    fn pair(judge: f64, human: f64) -> Pair {
        Pair { judge, human, weight: 1.0, cluster: 0, stratum: 0, class: 0 }
    }

    fn of(pairs: &[Pair], scale: Scale) -> Calibration {
        calibration(pairs, scale, Resampling::default()).expect("pairs are on the scale")
    }

    fn near(found: Option<Figure>, value: f64, low: f64, high: f64, within: f64) {
        let Some(Figure::Known { value: estimate, interval }) = found else { panic!("{found:?}") };
        assert!((estimate - value).abs() < 1e-9, "{estimate} is not {value}");
        assert!((interval.low - low).abs() < within && (interval.high - high).abs() < within, "{interval:?}");
    }

    #[test]
    fn kappa_and_its_interval_agree_with_statsmodels() {
        // statsmodels.stats.inter_rater.cohens_kappa, statsmodels 0.15.0; its interval is the asymptotic one.
        let two = of(&of_table(&[&[60, 20], &[15, 305]]), Scale::YesNo);
        near(two.weighted.kappa, 0.72, 0.6328704497249585, 0.8071295502750414, 0.015);
        let table: &[&[usize]] = &[&[80, 20, 5], &[15, 120, 25], &[4, 18, 113]];
        let three = of(&of_table(table), Scale::Ordinal { levels: 3 }).weighted;
        near(three.kappa, 0.6686345458007997, 0.6067221738391989, 0.7305469177624005, 0.012);
        near(three.kappa_linear, 0.712143928035982, 0.6548697928747105, 0.7694180631972536, 0.012);
        near(three.kappa_quadratic, 0.7602019352124527, 0.7018765989273952, 0.8185272714975103, 0.012);
        assert_eq!((three.n, three.effective_n, three.clusters), (400, 400.0, 400));
        // Between categories there is no order, and so neither rank nor bias.
        let unordered = of(&of_table(table), Scale::Category { categories: 3 }).weighted;
        assert_eq!((unordered.kappa_linear, unordered.spearman, unordered.bias), (None, None, None));
        assert_eq!(unordered.kappa, three.kappa);
        assert_eq!(
            unordered.confusion,
            Some(vec![vec![80.0, 20.0, 5.0], vec![15.0, 120.0, 25.0], vec![4.0, 18.0, 113.0]])
        );
    }

    #[test]
    fn intervals_of_numbers_agree_with_scipy_ranking_each_sample_again() {
        // i = arange(300); h = round(((i*i*7)%97)/97, 1); j = 0.6*((i*i*7)%97)/97
        // + 0.4*((i*37)%101)/101 + 0.03; scipy.stats.bootstrap(paired=True, method="BCa", n_resamples=4000) of spearmanr and
        // kendalltau, and of mean(j - h), SciPy 1.17.1.
        let pairs: Vec<Pair> = (0..300_u32)
            .map(|i| {
                let exact = f64::from((i * i * 7) % 97) / 97.0;
                let judge = 0.6 * exact + 0.4 * f64::from((i * 37) % 101) / 101.0 + 0.03;
                Pair { cluster: u64::from(i), ..pair(judge, (exact * 10.0).round_ties_even() / 10.0) }
            })
            .collect();
        let found = of(&pairs, Scale::Number).weighted;
        near(found.spearman, 0.8165730384504148, 0.7834198870706326, 0.8453615613371448, 0.006);
        near(found.kendall, 0.6402670108000308, 0.6041392909428074, 0.6728413767638886, 0.006);
        near(found.bias, 0.030707325371712432, 0.013759466003583885, 0.04786578152443715, 0.002);
        assert_eq!((found.accuracy, found.kappa, found.prevalence), (None, None, None));
    }

    /// Interactions of which bad ones are reviewed ten times as often, two a user.
    fn oversampled() -> Vec<Pair> {
        (0..600_u64)
            .map(|i| {
                let human = f64::from(u8::from(i % 3 == 0));
                let judge = if i % 11 == 0 { 1.0 - human } else { human };
                let weight = if human == 1.0 { 20.0 } else { 2.0 };
                Pair { judge, human, weight, cluster: i / 2, stratum: 0, class: (i % 2) as u32 }
            })
            .collect()
    }

    #[test]
    fn weights_tell_of_all_interactions_and_their_absence_of_the_reviewed_ones() {
        let found = of(&oversampled(), Scale::YesNo);
        // Good: 200 of weight 20; bad: 400 of weight 2.
        let share = |agreement: &Agreement| agreement.prevalence.as_ref().map(|shares| shares[1]);
        assert!((share(&found.weighted).expect("a table") - 4000.0 / 4800.0).abs() < 1e-12);
        assert!((share(&found.of_reviewed).expect("a table") - 1.0 / 3.0).abs() < 1e-12);
        let effective = 4800.0_f64.powi(2) / (200.0 * 400.0 + 400.0 * 4.0);
        assert!((found.weighted.effective_n - effective).abs() < 1e-9, "{}", found.weighted.effective_n);
        assert_eq!((found.of_reviewed.effective_n, found.weighted.clusters), (600.0, 300));
        let confusion = found.weighted.confusion.as_ref().expect("a table");
        assert!((confusion.iter().flatten().sum::<f64>() - 4800.0).abs() < 1e-6);
        assert_eq!(
            found.classes.iter().map(|class| (class.class, class.agreement.n)).collect::<Vec<_>>(),
            [(0, 300), (1, 300)]
        );
    }

    #[test]
    fn ranks_and_alpha_are_those_of_the_weighted_pairs() {
        let pairs: Vec<Pair> = oversampled()
            .into_iter()
            .map(|pair| Pair {
                judge: pair.judge * 2.0 + (pair.cluster % 2) as f64,
                human: pair.human * 3.0,
                ..pair
            })
            .collect();
        let points: Vec<Point> =
            pairs.iter().map(|pair| Point { x: pair.human, y: pair.judge, weight: pair.weight }).collect();
        for scale in [Scale::Ordinal { levels: 4 }, Scale::Number] {
            let found = of(&pairs, scale).weighted;
            for (figure, expected) in
                [(found.spearman, spearman_rho(&points)), (found.kendall, kendall_tau_b(&points))]
            {
                let value = figure.and_then(|figure| figure.value()).expect("defined");
                assert!((value - expected.expect("defined")).abs() < 1e-9, "{scale:?}: {value}");
            }
        }
    }

    #[test]
    fn items_of_one_user_are_less_evidence_than_items_of_many() {
        let alone = of_table(&[&[60, 20], &[15, 305]]);
        let mut together = alone.clone();
        together.iter_mut().for_each(|pair| pair.cluster /= 10);
        let width = |pairs: &[Pair]| {
            let interval =
                of(pairs, Scale::YesNo).weighted.kappa.and_then(|kappa| kappa.interval()).expect("known");
            interval.high - interval.low
        };
        assert!(width(&together) > 1.5 * width(&alone));
        together.iter_mut().for_each(|pair| pair.cluster %= 19);
        let few = of(&together, Scale::YesNo).weighted;
        assert!(matches!(
            few.kappa,
            Some(Figure::WithoutInterval { reason: NoInterval::TooFewClusters, .. })
        ));
        assert_eq!(few.accuracy.and_then(|accuracy| accuracy.interval()), None);
        assert_eq!(few.bias.and_then(|bias| bias.interval()), None);
    }

    #[test]
    fn a_judge_that_was_never_seen_to_err_is_not_known_to_be_perfect() {
        let found = of(&of_table(&[&[5, 0], &[0, 95]]), Scale::YesNo).weighted;
        let Some(Figure::Known { value, interval }) = found.kappa else { panic!("{:?}", found.kappa) };
        // Accuracy is at least 0.963, and chance agrees in 0.905.
        assert!(value == 1.0 && interval.high == 1.0 && interval.low < 0.65, "{interval:?}");
        let bias = found.bias.and_then(|bias| bias.interval()).expect("enough items");
        assert!(bias.low < -0.03 && bias.high > 0.03, "{bias:?}");
        let words = in_words(&found, Scale::YesNo);
        assert!(words.starts_with("the judge agrees with people well: kappa 1.00 [0.6"), "{words}");
    }

    #[test]
    fn with_one_class_kappa_is_undefined_and_the_sentence_says_so() {
        let found = of(&of_table(&[&[0, 0], &[0, 50]]), Scale::YesNo).weighted;
        assert_eq!(found.kappa, Some(Figure::Undefined { reason: Undefined::OneClass }));
        assert_eq!(found.alpha, Figure::Undefined { reason: Undefined::OneClass });
        let accuracy = found.accuracy.and_then(|accuracy| accuracy.interval()).expect("enough items");
        assert!(accuracy.high == 1.0 && accuracy.low > 0.9 && accuracy.low < 0.95);
        let recall = found.recall.as_ref().expect("categories");
        assert_eq!(recall[0], Figure::Undefined { reason: Undefined::NoItems });
        let words = in_words(&found, Scale::YesNo);
        assert!(words.ends_with("they say the same in 100 % of cases, and kappa is undefined"), "{words}");
    }

    #[test]
    fn one_item_is_no_calibration_but_no_error() {
        let found = of(&[pair(1.0, 1.0)], Scale::Ordinal { levels: 3 }).weighted;
        assert_eq!((found.n, found.clusters), (1, 1));
        assert_eq!(found.spearman, Some(Figure::Undefined { reason: Undefined::NoVariance }));
        assert!(matches!(found.bias, Some(Figure::WithoutInterval { value: 0.0, .. })));
        let number = of(&[pair(0.3, 0.7)], Scale::Number).weighted;
        assert!(number.alpha.value().is_some() && number.alpha.interval().is_none());
    }

    #[test]
    fn the_sentence_says_when_accuracy_comes_from_a_common_class() {
        // 92 % of answers are good, and the judge's few noes hardly ever meet people's.
        let found = of(&of_table(&[&[3, 77], &[20, 900]]), Scale::YesNo).weighted;
        let words = in_words(&found, Scale::YesNo);
        assert!(
            words.starts_with("the judge agrees with people no more than chance would: kappa 0.02 [-0."),
            "{words}"
        );
        assert!(words.ends_with("], at accuracy 0.90 because 92 % of answers are good"), "{words}");
        let well = of(&of_table(&[&[200, 25], &[25, 250]]), Scale::YesNo).weighted;
        let words = in_words(&well, Scale::YesNo);
        assert!(words.starts_with("the judge agrees with people well: kappa 0.80 ["), "{words}");
        assert!(words.ends_with("], at accuracy 0.90"), "{words}");
        let few = of(&of_table(&[&[5, 2], &[1, 10]]), Scale::YesNo).weighted;
        let words = in_words(&few, Scale::YesNo);
        assert!(words.ends_with("of which the error is unknown: fewer than 20 users or sessions"), "{words}");
        let numbers: Vec<Pair> = (0..90_u32)
            .map(|i| Pair {
                cluster: u64::from(i),
                ..pair(f64::from((i * 19) % 90) / 90.0, f64::from((i * i * 11) % 41) / 90.0)
            })
            .collect();
        let words = in_words(&of(&numbers, Scale::Number).weighted, Scale::Number);
        assert!(
            words.starts_with("the judge does not order answers as people do: rank correlation "),
            "{words}"
        );
        assert!(words.contains("its scores are higher by 0."), "{words}");
    }

    #[test]
    fn a_judge_is_calibrated_only_without_any_reason_against_it() {
        let found = of(&of_table(&[&[60, 20], &[15, 305]]), Scale::YesNo).weighted;
        let enough =
            Requirements { labels_min: 400, measure: Measure::Kappa, agreement_min: 0.6, bias_max: 0.05 };
        assert_eq!(verdict(&found, enough, JudgeIdentity::Same), Verdict::Calibrated);
        let strict = Requirements { labels_min: 401, agreement_min: 0.7, bias_max: 0.01, ..enough };
        let Verdict::NotCalibrated { reasons } = verdict(&found, strict, JudgeIdentity::Changed) else {
            panic!("too few labels")
        };
        let said: Vec<String> = reasons.iter().map(|reason| reason.to_string()).collect();
        assert_eq!(said[0], "the judge is not the one that was labelled");
        assert_eq!(said[1], "400 labels are fewer than 401");
        assert!(
            said[2].starts_with("Kappa could be 0.6") && said[2].ends_with("which is under 0.7"),
            "{said:?}"
        );
        assert!(matches!(reasons[3], Reason::BiasBeyondMargin { bias, .. } if (bias - 0.0125).abs() < 1e-9));
        // A figure that does not exist is no agreement.
        let one_class = of(&of_table(&[&[0, 0], &[0, 500]]), Scale::YesNo).weighted;
        let unknown =
            Verdict::NotCalibrated { reasons: vec![Reason::AgreementUnknown { measure: Measure::Kappa }] };
        assert_eq!(verdict(&one_class, enough, JudgeIdentity::Same), unknown);
        let no_ranks = Requirements { measure: Measure::Spearman, ..enough };
        assert!(matches!(verdict(&found, no_ranks, JudgeIdentity::Same), Verdict::NotCalibrated { .. }));
    }

    #[test]
    fn people_are_compared_with_each_other_where_items_were_reviewed_twice() {
        let items: Vec<HumanItem> = (0..200_u64)
            .map(|i| {
                let first = f64::from(u8::from(i % 4 > 0));
                let second = if i % 10 == 0 { 1.0 - first } else { first };
                let ratings = if i % 2 == 0 { vec![first, second] } else { vec![first] };
                HumanItem { ratings, weight: 1.0 + (i % 3) as f64, cluster: i, stratum: 0 }
            })
            .collect();
        let found = human_agreement(&items, Scale::YesNo, Resampling::default()).expect("on the scale");
        assert_eq!((found.items, found.reviewed_twice), (200, 100));
        // Of 100 items twenty differ, of weight 1, 2 and 3 in turn.
        let total: f64 = (0..100).map(|i| 1.0 + ((2 * i) % 3) as f64).sum();
        let differ: f64 = (0..20).map(|i| 1.0 + ((10 * i) % 3) as f64).sum();
        let same = found.agreement.and_then(|figure| figure.value()).expect("yes or no");
        assert!((same - (1.0 - differ / total)).abs() < 1e-12, "{same}");
        let alpha = found.alpha.interval().expect("enough clusters");
        assert!(alpha.low < found.alpha.value().expect("defined") && alpha.high < 1.0);
        let once: Vec<HumanItem> = items.iter().filter(|item| item.ratings.len() == 1).cloned().collect();
        let none = human_agreement(&once, Scale::Number, Resampling::default()).expect("numbers");
        assert_eq!((none.reviewed_twice, none.alpha), (0, Figure::Undefined { reason: Undefined::NoItems }));
    }

    #[test]
    fn half_the_width_needs_four_times_the_labels() {
        let interval = Interval { low: 0.5, high: 0.7 };
        assert_eq!(labels_needed(100, interval, 0.1), Some(400));
        assert_eq!(labels_needed(100, interval, 0.3), Some(100));
        assert_eq!(labels_needed(0, interval, 0.1), None);
        assert_eq!(labels_needed(100, interval, 0.0), None);
    }

    #[test]
    fn refuses_values_and_weights_that_make_no_sense() {
        let refused = |pair: Pair, scale| {
            calibration(&[pair], scale, Resampling::default()).expect_err("refused").to_string()
        };
        assert_eq!(refused(pair(2.0, 1.0), Scale::YesNo), "2 is no value of the scale YesNo");
        assert_eq!(
            refused(pair(0.5, 1.0), Scale::Ordinal { levels: 3 }),
            "0.5 is no value of the scale Ordinal { levels: 3 }"
        );
        assert_eq!(refused(pair(f64::NAN, 1.0), Scale::Number), "NaN is no value of the scale Number");
        let weightless = Pair { weight: 0.0, ..pair(1.0, 1.0) };
        assert_eq!(refused(weightless, Scale::YesNo), "a weight of 0 is not a positive number");
        assert_eq!(calibration(&[], Scale::YesNo, Resampling::default()), Err(NoCalibration::NoPairs));
        let sure = Resampling { confidence: 1.0, ..Resampling::default() };
        assert_eq!(calibration(&[pair(1.0, 1.0)], Scale::YesNo, sure), Err(NoCalibration::Confidence(1.0)));
    }
}
