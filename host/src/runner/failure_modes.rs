//! How a run's answers fail: a distribution over failure modes.
//!
//! A failure is an answer that did not complete its task; without a completion
//! rule, one that a classifier named a mode for. Each failure counts for one
//! mode, the one with the highest confidence, so that shares add up to one;
//! failures that no classifier knows are `unclassified`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::result::CONFIDENCE;
use super::{Runner, RunnerError};
use crate::domain::completion::Completion;
use crate::domain::ids::RunId;
use crate::domain::run::{Run, RunScorer, answer_name};
use crate::domain::slice::UNCLASSIFIED;
use crate::stats::{Cluster, Interval, clustered_proportion, wilson};
use crate::store::{AnswerValue, RunAnswer};

/// Examples of each mode.
const EXAMPLES_MAX: usize = 5;
/// What answers without a template stand under.
const NO_TEMPLATE: &str = "none";

/// What answers are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailuresBy {
    /// Request class.
    Class,
    /// Prompt template.
    Template,
    /// Day, UTC.
    Day,
}

/// How a run's answers failed.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FailureModes {
    /// The run.
    pub run: RunId,
    /// What a failure is: `not_completed`, or `labelled` where there is no
    /// completion rule.
    pub failures_are: &'static str,
    /// The level of every interval.
    pub confidence: f64,
    /// All answers first, then group by group.
    pub groups: Vec<FailureGroup>,
}

/// The failures of one group of answers.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FailureGroup {
    /// Its class, template or day; none for all answers.
    pub group: Option<String>,
    /// Answers that are known to be failures or not.
    pub answers: u64,
    /// Failures among them.
    pub failures: Share,
    /// The modes, the most frequent first, `unclassified` among them.
    pub modes: Vec<FailureModeShare>,
}

/// A share with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Share {
    /// How many.
    pub n: u64,
    /// Which share, weighted by one over the probability of being taken.
    pub share: Option<f64>,
    /// Its interval; none where no honest one can be given.
    pub interval: Option<Interval>,
    /// How the interval was made: `wilson` or `wilson_clustered`.
    pub interval_method: &'static str,
}

/// One failure mode.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FailureModeShare {
    /// The mode.
    pub failure_mode: String,
    /// The classifier that names it; none of `unclassified`.
    pub classifier: Option<String>,
    /// Failures whose first mode it is, as a share of all failures.
    pub of_failures: Share,
    /// The same failures as a share of all answers.
    pub of_answers: Share,
    /// Failures that have it as any of their modes.
    pub named: u64,
    /// Answers that are no failures and have it.
    pub named_elsewhere: u64,
    /// Some of the failures, the most confident first: items' keys or ids of
    /// interactions.
    pub examples: Vec<String>,
}

/// An answer and what classifiers named: the value is the confidence.
#[derive(Debug, Clone)]
struct ClassifiedAnswer {
    answer: RunAnswer,
    modes: Vec<AnswerValue>,
}

impl Runner {
    /// How a run's answers failed, over all and by group.
    pub async fn failure_modes(
        &self,
        id: RunId,
        by: Option<FailuresBy>,
    ) -> Result<FailureModes, RunnerError> {
        let run = self.shared.store.run_get(id).await?;
        let classifiers = run
            .scorers
            .iter()
            .enumerate()
            .filter_map(|(position, scorer)| scorer.is_classifier().then_some(position))
            .collect();
        let answers = self.shared.store.run_answers(id, classifiers).await?;
        let answers: Vec<_> =
            answers.into_iter().map(|(answer, modes)| ClassifiedAnswer { answer, modes }).collect();
        Ok(summary(&run, &answers, by))
    }
}

fn summary(run: &Run, answers: &[ClassifiedAnswer], by: Option<FailuresBy>) -> FailureModes {
    let has_rule = run.definition.completion.is_some();
    let known: Vec<_> =
        answers.iter().filter_map(|answer| Some((answer, is_failure(answer, has_rule)?))).collect();
    let mut groups = vec![group(None, &known, &run.scorers)];
    if let Some(by) = by {
        let mut grouped = BTreeMap::<String, Vec<_>>::new();
        for (answer, failure) in &known {
            grouped.entry(key(answer, by)).or_default().push((*answer, *failure));
        }
        groups.extend(grouped.into_iter().map(|(name, answers)| group(Some(name), &answers, &run.scorers)));
    }
    let failures_are = if has_rule { "not_completed" } else { "labelled" };
    FailureModes { run: run.id, failures_are, confidence: CONFIDENCE, groups }
}

/// Whether an answer is a failure; none where that is undetermined.
fn is_failure(answer: &ClassifiedAnswer, has_rule: bool) -> Option<bool> {
    match (has_rule, answer.answer.completion) {
        (false, _) => Some(!answer.modes.is_empty()),
        (true, Some(Completion::Completed)) => Some(false),
        (true, Some(Completion::NotCompleted)) => Some(true),
        (true, Some(Completion::Undetermined) | None) => None,
    }
}

fn key(answer: &ClassifiedAnswer, by: FailuresBy) -> String {
    let answer = &answer.answer;
    match by {
        FailuresBy::Class => answer.request_class.clone().unwrap_or_else(|| UNCLASSIFIED.to_owned()),
        FailuresBy::Template => answer.template.clone().unwrap_or_else(|| NO_TEMPLATE.to_owned()),
        FailuresBy::Day => answer
            .day
            .and_then(|day| chrono::DateTime::from_timestamp(day * 86_400, 0))
            .map_or_else(|| "none".to_owned(), |day| day.format("%Y-%m-%d").to_string()),
    }
}

/// A mode by (scorer, output); none is unclassified.
type Mode = Option<(usize, usize)>;

fn first_mode(answer: &ClassifiedAnswer) -> (Mode, f64) {
    let mut first = (None, 0.0);
    for mode in &answer.modes {
        if first.0.is_none() || mode.value > first.1 {
            first = (Some((mode.scorer, mode.output)), mode.value);
        }
    }
    first
}

fn group(name: Option<String>, answers: &[(&ClassifiedAnswer, bool)], scorers: &[RunScorer]) -> FailureGroup {
    let failures: Vec<_> = answers
        .iter()
        .filter(|(_, failure)| *failure)
        .map(|(answer, _)| (*answer, first_mode(answer)))
        .collect();
    let mut modes = BTreeMap::<Mode, Vec<(&ClassifiedAnswer, f64)>>::new();
    for (answer, (mode, confidence)) in &failures {
        modes.entry(*mode).or_default().push((*answer, *confidence));
    }
    let mut shares: Vec<_> = modes
        .into_iter()
        .map(|(mode, mut of_mode)| {
            of_mode.sort_by(|one, other| other.1.total_cmp(&one.1));
            let has = |answer: &ClassifiedAnswer| {
                answer.modes.iter().any(|named| mode == Some((named.scorer, named.output)))
            };
            let count = |wanted: bool| {
                answers.iter().filter(|(answer, failure)| *failure == wanted && has(answer)).count() as u64
            };
            FailureModeShare {
                failure_mode: mode.map_or_else(
                    || UNCLASSIFIED.to_owned(),
                    |(scorer, output)| scorers[scorer].outputs[output].name.clone(),
                ),
                classifier: mode.map(|(scorer, _)| scorers[scorer].name.clone()),
                of_failures: share(failures.iter().map(|(answer, (first, _))| (*answer, *first == mode))),
                of_answers: share(
                    answers
                        .iter()
                        .map(|(answer, failure)| (*answer, *failure && first_mode(answer).0 == mode)),
                ),
                named: if mode.is_some() { count(true) } else { of_mode.len() as u64 },
                named_elsewhere: count(false),
                examples: of_mode
                    .iter()
                    .take(EXAMPLES_MAX)
                    .map(|(answer, _)| answer_name(&answer.answer.key, answer.answer.trial))
                    .collect(),
            }
        })
        .collect();
    shares.sort_by(|one, other| other.of_failures.share.partial_cmp(&one.of_failures.share).expect("no NaN"));
    FailureGroup {
        group: name,
        answers: answers.len() as u64,
        failures: share(answers.iter().copied()),
        modes: shares,
    }
}

/// A share of answers. Wilson's interval holds where each answer stands alone
/// and counts the same; else answers are clustered.
fn share<'a>(answers: impl Iterator<Item = (&'a ClassifiedAnswer, bool)>) -> Share {
    let mut clusters = BTreeMap::<&str, Cluster>::new();
    let mut n = 0;
    let mut alike = true;
    for (answer, counts) in answers.map(|(classified, counts)| (&classified.answer, counts)) {
        let cluster = clusters.entry(&answer.cluster).or_default();
        let weight = answer.weight;
        alike &= weight == 1.0 && cluster.n == 0 && answer.day.is_none();
        cluster.n += 1;
        cluster.weight += weight;
        if counts {
            n += 1;
            cluster.successes += weight;
        }
    }
    if alike && !clusters.is_empty() {
        let all = clusters.len() as u64;
        let interval = wilson(n, all, CONFIDENCE).ok();
        return Share { n, share: Some(n as f64 / all as f64), interval, interval_method: "wilson" };
    }
    let clusters: Vec<_> = clusters.into_values().collect();
    let found = clustered_proportion(&clusters, CONFIDENCE);
    Share {
        n,
        share: found.map(|found| found.rate),
        interval: found.and_then(|found| found.interval),
        interval_method: "wilson_clustered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(key: usize, modes: &[(usize, usize, f64)]) -> ClassifiedAnswer {
        let answer = RunAnswer {
            key: key.to_string(),
            trial: 0,
            completion: Some(Completion::NotCompleted),
            request_class: None,
            template: None,
            day: None,
            cluster: key.to_string(),
            weight: 1.0,
        };
        let modes = modes.iter().map(|(scorer, output, value)| AnswerValue {
            scorer: *scorer,
            output: *output,
            value: *value,
        });
        ClassifiedAnswer { answer, modes: modes.collect() }
    }

    fn but(classified: &ClassifiedAnswer, change: impl FnOnce(RunAnswer) -> RunAnswer) -> ClassifiedAnswer {
        ClassifiedAnswer { answer: change(classified.answer.clone()), ..classified.clone() }
    }

    #[test]
    fn a_failure_counts_for_its_most_confident_mode_and_the_first_of_equals() {
        assert_eq!(first_mode(&answer(1, &[(0, 0, 0.4), (0, 1, 0.9), (1, 0, 0.9)])).0, Some((0, 1)));
        assert_eq!(first_mode(&answer(1, &[])).0, None);
        assert_eq!(first_mode(&answer(1, &[(0, 3, 0.0)])).0, Some((0, 3)));
    }

    #[test]
    fn independent_answers_have_wilsons_interval_and_weighted_ones_are_clustered() {
        let answers: Vec<_> = (0..10).map(|key| answer(key, &[])).collect();
        let found = share(answers.iter().enumerate().map(|(at, answer)| (answer, at < 8)));
        // scipy.stats.binomtest(8, 10).proportion_ci(.95, method="wilson"), SciPy 1.17.1.
        let interval = found.interval.expect("ten answers");
        assert!((interval.low - 0.490162471536642).abs() < 1e-9, "{interval:?}");
        let weighted: Vec<_> = (0..30)
            .map(|key| but(&answer(key, &[]), |answer| RunAnswer { weight: 10.0, day: Some(1), ..answer }))
            .collect();
        let found = share(weighted.iter().enumerate().map(|(at, answer)| (answer, at < 15)));
        assert_eq!((found.n, found.share, found.interval_method), (15, Some(0.5), "wilson_clustered"));
    }

    #[test]
    fn without_a_rule_a_label_is_a_failure_and_the_undetermined_are_left_out() {
        let labelled = answer(1, &[(0, 0, 1.0)]);
        assert_eq!(is_failure(&labelled, false), Some(true));
        assert_eq!(is_failure(&answer(2, &[]), false), Some(false));
        let undetermined =
            but(&labelled, |answer| RunAnswer { completion: Some(Completion::Undetermined), ..answer });
        assert_eq!(is_failure(&undetermined, true), None);
    }
}
