//! Quality corrected by human labels: a judge's scores of all interactions, and
//! people's of a few, give one estimate of what people would say of all
//! (prediction-powered inference).
//!
//! The estimate is the judge's mean over all interactions, less what the judge
//! gets wrong where people looked. A judge that says nothing costs nothing: its
//! part λ in the estimate is tuned, and goes to 0.
//!
//! Where the labels cannot carry an interval, there is none, and the answer
//! says why. Whether that rule is right is shown by simulation
//! (`benches/coverage.rs`), not believed.

mod estimator;

use serde::Serialize;

use super::intervals::{Interval, clopper_pearson, student_quantile, wilson_at};
use super::{CLUSTERS_MIN, Cluster, clustered_proportion};
use estimator::{Estimate, Lambda, Sample};

/// Fewer labels of either answer, at the labels' effective number, carry no
/// asymptotic interval.
pub const ANSWERS_MIN: f64 = 20.0;
/// With fewer degrees of freedom a variance is a guess.
pub const FREEDOM_MIN: f64 = 10.0;
/// What labels stand for, by their probabilities, over what there is: beyond
/// this factor they are no sample of it.
const STANDS_FOR_MAX: f64 = 1.5;
/// A stratum with fewer labels takes λ from all strata together.
const LABELS_FOR_OWN_LAMBDA: usize = 30;

/// An interaction that the judge scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The judge's score, from 0 to 1.
    pub judge: f64,
    /// What a person said of it, where one was asked.
    pub label: Option<Label>,
    /// The probability with which the interaction came to be scored; none if unknown.
    pub taken: Option<f64>,
    /// What it shares its fate with: its user or session.
    pub cluster: u64,
    /// The stratum in which clusters were drawn.
    pub stratum: u32,
}

/// A person's answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label {
    /// The value, from 0 to 1; 0 and 1 alone for a yes or no.
    pub human: f64,
    /// The probability with which a scored interaction came to be reviewed; none if unknown.
    pub reviewed: Option<f64>,
}

/// What the estimate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The process that these interactions came from: others could have come.
    Process,
    /// These interactions: only which of them were reviewed is chance.
    TheseInteractions,
}

/// How an interval came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Clopper and Pearson's, from the labels alone.
    Exact,
    /// Power-tuned prediction-powered inference.
    PredictionPowered,
}

/// A corrected estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Corrected {
    /// The mean that people would give.
    pub estimate: f64,
    /// Its interval.
    pub interval: Interval,
    /// How the interval came about.
    pub method: Method,
    /// The judge's part in the estimate, from 0 (none) to 1.
    pub lambda: f64,
    /// The estimate's standard error; none where the interval is exact.
    pub standard_error: Option<f64>,
    /// Independent labels that would tell as much without a judge.
    pub effective_n: f64,
}

/// The corrected estimate, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Correction {
    /// There is one.
    Estimated(Corrected),
    /// There is none.
    Refused {
        /// Why.
        reason: Refusal,
    },
}

/// An estimate to set beside the corrected one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Uncorrected {
    /// The mean.
    pub estimate: f64,
    /// Its interval, where the clusters carry one.
    pub interval: Option<Interval>,
    /// Independent observations that would tell as much.
    pub effective_n: f64,
}

/// What labels make of a judge's scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CorrectedQuality {
    /// The corrected estimate.
    pub corrected: Correction,
    /// What the judge alone says: no estimate of what people would say.
    pub judge_only: Option<Uncorrected>,
    /// What the labels alone say.
    pub human_only: Option<Uncorrected>,
    /// Interactions with a label.
    pub labelled: u64,
    /// Interactions without one.
    pub unlabelled: u64,
    /// Clusters with a label.
    pub labelled_clusters: u64,
}

/// Why there is no corrected estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, thiserror::Error, utoipa::ToSchema)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Refusal {
    /// Nobody was asked.
    #[error("no interaction has a label")]
    NoLabels,
    /// What was not drawn with a known probability stands for nothing.
    #[error("{items} interactions were taken or reviewed with an unknown probability")]
    UnknownProbability {
        /// Interactions without a probability between 0 (exclusive) and 1.
        items: u64,
    },
    /// A value that cannot be worked with.
    #[error("{items} interactions have a label or a score outside 0 to 1")]
    BadValue {
        /// Such interactions.
        items: u64,
    },
    /// Too few independent pieces of evidence.
    #[error("the labels are worth those of {clusters:.1} users or sessions, fewer than {CLUSTERS_MIN}")]
    TooFewClusters {
        /// The effective number of clusters with labels.
        clusters: f64,
    },
    /// One answer is too rare among the labels.
    #[error(
        "the labels are worth {failures:.1} independent failures and {successes:.1} successes, \
        of which {ANSWERS_MIN} each are needed"
    )]
    TooFewAnswers {
        /// Expected failures at the labels' effective number.
        failures: f64,
        /// Expected successes at it.
        successes: f64,
    },
    /// So few labels stand for so much that their variance is a guess.
    #[error(
        "a few labels stand for most interactions: their variance has {freedom:.1} degrees of freedom, of \
         which {FREEDOM_MIN} are needed"
    )]
    TooUnequal {
        /// Degrees of freedom.
        freedom: f64,
    },
    /// The labels' probabilities do not fit the interactions.
    #[error(
        "by their probabilities the labels stand for {:.0} % of the interactions: a part \
         was missed, or probabilities are wrong",
        100.0 * share
    )]
    DoNotAddUp {
        /// What the labels stand for, over what there is.
        share: f64,
    },
    /// A part of the interactions that nobody could look at.
    #[error("interactions of {strata} strata have labels in fewer than two users or sessions")]
    StratumWithoutLabels {
        /// Such strata.
        strata: u64,
    },
    /// The level is not a probability strictly between 0 and 1.
    #[error("confidence {confidence} is not between 0 and 1")]
    Confidence {
        /// The level.
        confidence: f64,
    },
}

/// What people would say of all these interactions on average, by power-tuned
/// prediction-powered inference (PPI++: Angelopoulos, Duchi & Zrnic 2023,
/// arXiv:2311.01453, for a mean), with weights, clusters and strata.
///
/// Within each stratum the estimate is λF + Σw(y − λf) / Σw: F is the judge's
/// weighted mean over all interactions, the sum is over the labelled ones, w is
/// one over the probability of being labelled (the difference estimator of
/// Särndal, Swensson & Wretman 1992, §6.3, with Hájek's weights). λ is
/// cov(y, f) / var(f). In PPI++, where the judge's mean is over the unlabelled
/// only, the same estimate has λ·N/(N + n), which is the λ reported and kept in
/// \[0, 1\]. Strata weigh as much as they have interactions (Fisch et al. 2024,
/// arXiv:2406.04291).
///
/// The variance is that of the linearised estimate, summed over clusters and
/// compared within strata. To it comes what one and a half labelled clusters
/// would add that the judge gets wrong altogether: rare errors of a good judge
/// may not have shown yet (after Agresti & Min 2005, Statistics in Medicine 24:729–740, who add
/// to each cell of a paired table). The interval is Wilson's at the size that
/// has this variance, with Student's t on labelled clusters less strata.
///
/// Below [`ANSWERS_MIN`] effective labels of either answer no such interval
/// holds. There, independent labels of equal probability get Clopper and
/// Pearson's interval, and others get none.
pub fn corrected_quality(items: &[Judged], target: Target, confidence: f64) -> CorrectedQuality {
    let labelled = items.iter().filter(|item| item.label.is_some()).count();
    let mut quality = CorrectedQuality {
        corrected: Correction::Refused { reason: Refusal::NoLabels },
        judge_only: None,
        human_only: None,
        labelled: labelled as u64,
        unlabelled: (items.len() - labelled) as u64,
        labelled_clusters: 0,
    };
    if let Err(reason) = check(items, confidence) {
        quality.corrected = Correction::Refused { reason };
        return quality;
    }
    let sample = Sample::new(items);
    quality.labelled_clusters = sample.labelled_clusters() as u64;
    quality.judge_only =
        clustered_proportion(&sample.judge_by_cluster(), confidence).map(|found| Uncorrected {
            estimate: found.rate,
            interval: found.interval,
            effective_n: found.n as f64 / found.design_effect,
        });
    let human = sample.estimate(Lambda::Zero, target);
    quality.human_only = Some(Uncorrected {
        estimate: human.value,
        interval: (quality.labelled_clusters >= CLUSTERS_MIN as u64)
            .then(|| interval(&sample, &human, target, confidence)),
        effective_n: effective(&sample, &human),
    });
    quality.corrected = match corrected(&sample, &human, target, confidence) {
        Ok(corrected) => Correction::Estimated(corrected),
        Err(reason) => Correction::Refused { reason },
    };
    quality
}

fn corrected(
    sample: &Sample<'_>,
    human: &Estimate,
    target: Target,
    confidence: f64,
) -> Result<Corrected, Refusal> {
    let clusters = sample.effective_clusters();
    // Rounding must not refuse exactly as many as are needed.
    if clusters < CLUSTERS_MIN as f64 - 1e-6 {
        return Err(Refusal::TooFewClusters { clusters });
    }
    let strata = sample.strata_without_labels() as u64;
    if strata > 0 {
        return Err(Refusal::StratumWithoutLabels { strata });
    }
    let freedom = sample.freedom();
    if freedom < FREEDOM_MIN {
        return Err(Refusal::TooUnequal { freedom });
    }
    let share = sample.stands_for();
    if !(1.0 / STANDS_FOR_MAX..=STANDS_FOR_MAX).contains(&share) {
        return Err(Refusal::DoNotAddUp { share });
    }
    // How many answers were seen does not depend on what they are to tell of.
    let worth = effective(sample, &sample.estimate(Lambda::Zero, Target::Process));
    let (failures, successes) = (worth * (1.0 - human.value), worth * human.value);
    if failures < ANSWERS_MIN || successes < ANSWERS_MIN {
        let refusal = Refusal::TooFewAnswers { failures, successes };
        let exact = sample.yes_and_no().filter(|_| sample.is_simple_random()).ok_or(refusal)?;
        let labels = sample.labels();
        let interval = clopper_pearson(exact, labels, confidence).map_err(|_| refusal)?;
        return Ok(Corrected {
            estimate: human.value,
            interval,
            method: Method::Exact,
            lambda: 0.0,
            standard_error: None,
            effective_n: labels as f64,
        });
    }
    let tuned = sample.estimate(Lambda::Tuned, target);
    Ok(Corrected {
        estimate: tuned.value.clamp(0.0, 1.0),
        interval: interval(sample, &tuned, target, confidence),
        method: Method::PredictionPowered,
        lambda: tuned.lambda,
        standard_error: Some(tuned.variance.sqrt()),
        effective_n: effective(sample, &tuned),
    })
}

/// Independent labels of equal weight that would have the estimate's variance.
/// Where it shows none, clusters count as single labels.
fn effective(sample: &Sample<'_>, estimate: &Estimate) -> f64 {
    if estimate.variance > 0.0 {
        sample.variance_of_one_label() / estimate.variance
    } else {
        sample.effective_clusters()
    }
}

fn interval(sample: &Sample<'_>, estimate: &Estimate, target: Target, confidence: f64) -> Interval {
    let p = estimate.value.clamp(0.0, 1.0);
    if target == Target::TheseInteractions && sample.is_complete() {
        return Interval { low: p, high: p };
    }
    let t = student_quantile(sample.freedom(), confidence);
    if estimate.variance > 0.0 && p > 0.0 && p < 1.0 {
        wilson_at(p, p * (1.0 - p) / estimate.variance, t)
    } else {
        wilson_at(p, sample.effective_clusters(), t)
    }
}

fn check(items: &[Judged], confidence: f64) -> Result<(), Refusal> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(Refusal::Confidence { confidence });
    }
    if items.iter().all(|item| item.label.is_none()) {
        return Err(Refusal::NoLabels);
    }
    let unknown = |probability: Option<f64>| !probability.is_some_and(|p| p > 0.0 && p <= 1.0);
    let count = |is: &dyn Fn(&Judged) -> bool| items.iter().filter(|item| is(item)).count() as u64;
    let unknown =
        count(&|item| unknown(item.taken) || item.label.is_some_and(|label| unknown(label.reviewed)));
    if unknown > 0 {
        return Err(Refusal::UnknownProbability { items: unknown });
    }
    let bad = count(&|item| {
        !(0.0..=1.0).contains(&item.judge)
            || item.label.is_some_and(|label| !(0.0..=1.0).contains(&label.human))
    });
    if bad > 0 {
        return Err(Refusal::BadValue { items: bad });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels of which the first `failures` fail, and a judge that is right
    /// about all but every twentieth; ten times as many have no label.
    fn items(labels: u64, failures: u64) -> Vec<Judged> {
        (0..11 * labels)
            .map(|index| {
                let human = index % labels >= failures;
                let judge = human != (index % 20 == 7);
                Judged {
                    judge: f64::from(u8::from(judge)),
                    label: (index < labels)
                        .then(|| Label { human: f64::from(u8::from(human)), reviewed: Some(1.0 / 11.0) }),
                    taken: Some(1.0),
                    cluster: index,
                    stratum: 0,
                }
            })
            .collect()
    }

    fn refusal(items: &[Judged]) -> Refusal {
        match corrected_quality(items, Target::Process, 0.95).corrected {
            Correction::Refused { reason } => reason,
            Correction::Estimated(found) => panic!("not refused: {found:?}"),
        }
    }

    fn estimate(items: &[Judged], target: Target) -> Corrected {
        match corrected_quality(items, target, 0.95).corrected {
            Correction::Estimated(found) => found,
            Correction::Refused { reason } => panic!("refused: {reason}"),
        }
    }

    #[test]
    fn a_good_judge_makes_the_interval_narrower_than_labels_alone() {
        let quality = corrected_quality(&items(300, 60), Target::Process, 0.95);
        let found = estimate(&items(300, 60), Target::Process);
        let human = quality.human_only.expect("labelled");
        let of_labels = human.interval.expect("enough clusters");
        assert_eq!(
            (found.method, quality.labelled, quality.unlabelled),
            (Method::PredictionPowered, 300, 3000)
        );
        assert!((found.estimate - 0.8).abs() < 0.01 && (human.estimate - 0.8).abs() < 1e-9, "{found:?}");
        assert!(found.interval.high - found.interval.low < 0.8 * (of_labels.high - of_labels.low));
        assert!(found.lambda > 0.7 && found.effective_n > 450.0, "{found:?}");
        // The judge alone is wrong by what it gets wrong, and sure of it.
        let judge = quality.judge_only.expect("scored");
        assert!(judge.interval.expect("enough clusters").high < 0.8, "{judge:?}");
    }

    #[test]
    fn a_judge_that_says_nothing_leaves_the_labels_as_they_are() {
        let mut items = items(300, 60);
        items.iter_mut().for_each(|item| item.judge = f64::from(u8::from(item.cluster % 2 == 0)));
        let quality = corrected_quality(&items, Target::Process, 0.95);
        let found = estimate(&items, Target::Process);
        let human = quality.human_only.and_then(|human| human.interval).expect("labelled");
        assert!(found.lambda < 0.05, "{found:?}");
        assert!((found.interval.low - human.low).abs() < 0.005, "{found:?} {human:?}");
    }

    #[test]
    fn few_failures_get_an_exact_interval_or_none() {
        let found = estimate(&items(300, 3), Target::Process);
        assert_eq!((found.method, found.lambda, found.standard_error), (Method::Exact, 0.0, None));
        assert_eq!(found.interval, clopper_pearson(297, 300, 0.95).expect("valid"));
        let mut two_a_user = items(300, 3);
        two_a_user.iter_mut().for_each(|item| item.cluster /= 2);
        assert!(matches!(refusal(&two_a_user), Refusal::TooFewAnswers { .. }));
        let mut unequal = items(300, 3);
        unequal.iter_mut().take(100).for_each(|item| {
            item.label = item.label.map(|label| Label { reviewed: Some(0.05), ..label });
        });
        let reason = refusal(&unequal);
        assert!(matches!(reason, Refusal::TooFewAnswers { .. }));
        assert!(reason.to_string().contains("of which 20 each are needed"), "{reason}");
        // Scores between 0 and 1 have no exact interval either.
        let mut scores = items(300, 3);
        scores[7].label = Some(Label { human: 0.5, reviewed: Some(1.0 / 11.0) });
        assert!(matches!(refusal(&scores), Refusal::TooFewAnswers { .. }));
    }

    #[test]
    fn refuses_what_cannot_be_known() {
        let all = items(100, 40);
        let mut none = all.clone();
        none.iter_mut().for_each(|item| item.label = None);
        assert_eq!(refusal(&none), Refusal::NoLabels);
        assert_eq!(refusal(&[]), Refusal::NoLabels);
        let mut unknown = all.clone();
        unknown[500].taken = None;
        unknown[3].label = Some(Label { human: 1.0, reviewed: Some(0.0) });
        assert_eq!(refusal(&unknown), Refusal::UnknownProbability { items: 2 });
        let mut bad = all.clone();
        bad[500].judge = f64::NAN;
        bad[3].label = Some(Label { human: 5.0, reviewed: Some(0.1) });
        assert_eq!(refusal(&bad), Refusal::BadValue { items: 2 });
        let mut few = all.clone();
        few.iter_mut().for_each(|item| item.cluster %= 19);
        assert!(
            matches!(refusal(&few), Refusal::TooFewClusters { clusters } if (18.0..19.1).contains(&clusters))
        );
        let mut missed = all.clone();
        missed.iter_mut().for_each(|item| item.stratum = u32::from(item.cluster > 600));
        assert_eq!(refusal(&missed), Refusal::StratumWithoutLabels { strata: 1 });
        let mut wrong = all.clone();
        wrong.iter_mut().for_each(|item| {
            item.label = item.label.map(|label| Label { reviewed: Some(1.0), ..label });
        });
        assert!(
            matches!(refusal(&wrong), Refusal::DoNotAddUp { share } if (share - 1.0 / 11.0).abs() < 1e-9)
        );
        let mut heavy = all.clone();
        heavy.iter_mut().take(5).for_each(|item| {
            item.label = item.label.map(|label| Label { reviewed: Some(0.01), ..label });
        });
        assert!(matches!(refusal(&heavy), Refusal::TooFewClusters { .. } | Refusal::TooUnequal { .. }));
        let quality = corrected_quality(&all, Target::Process, 1.0);
        assert_eq!(
            quality.corrected,
            Correction::Refused { reason: Refusal::Confidence { confidence: 1.0 } }
        );
    }

    #[test]
    fn of_these_interactions_nothing_is_left_to_chance_where_all_were_reviewed() {
        let mut all = items(300, 60);
        all.truncate(300);
        all.iter_mut().for_each(|item| {
            item.label = item.label.map(|label| Label { reviewed: Some(1.0), ..label });
        });
        let process = estimate(&all, Target::Process);
        assert!(process.interval.high - process.interval.low > 0.05, "{process:?}");
        let these = estimate(&all, Target::TheseInteractions);
        assert_eq!((these.estimate, these.interval), (0.8, Interval { low: 0.8, high: 0.8 }));
    }
}
