//! A run's figures, with their intervals.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calibration::CalibrationSummary;
use super::{Runner, RunnerError};
use crate::domain::clock::Timestamp;
use crate::domain::completion::CompletionCounts;
use crate::domain::digest::Digest;
use crate::domain::ids::RunId;
use crate::domain::plugin::Cause;
use crate::domain::run::Run;
use crate::domain::slice::UNCLASSIFIED;
use crate::stats::{Cluster, Interval, clustered_proportion, wilson};
use crate::store::{ClassCompletion, ClusterCompletion, JudgeCalls, OutputSummary, StoreError, UnscoredRow};

/// Level of every interval.
pub(super) const CONFIDENCE: f64 = 0.95;

/// What a run found.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunResult {
    /// The run.
    pub run: Run,
    /// Task completion over all classes; none without a completion rule.
    pub completion: Option<CompletionResult>,
    /// Task completion by request class.
    pub classes: Vec<ClassResult>,
    /// Each scorer's figures, and each classifier's: its outputs are the failure
    /// modes.
    pub scorers: Vec<ScorerResult>,
    /// What judges were asked; none where no plugin asks one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeCalls>,
    /// Since when the figures are kept and no longer computed, because items
    /// were let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_at: Option<Timestamp>,
}

/// What is kept of a result when items are let go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    completion: Option<CompletionResult>,
    classes: Vec<ClassResult>,
    scorers: Vec<ScorerResult>,
}

impl RunResult {
    /// What is kept when items are let go: no message of a plugin, which may
    /// quote an item.
    pub(super) fn into_figures(mut self) -> Figures {
        for scorer in &mut self.scorers {
            for count in scorer.failed.iter_mut().chain(&mut scorer.skipped) {
                count.example = "the message was let go with its item".into();
            }
        }
        Figures { completion: self.completion, classes: self.classes, scorers: self.scorers }
    }
}

/// A task completion rate and how far it can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CompletionResult {
    /// Completed among the determined; none where nothing is determined.
    pub rate: Option<f64>,
    /// Determined answers: what the rate is taken over.
    pub n: u64,
    /// The rate's interval; none where no honest one can be given.
    pub interval: Option<Interval>,
    /// How the interval was made: `wilson`, or `wilson_clustered` where items
    /// have several answers.
    #[schema(value_type = String)]
    pub interval_method: Cow<'static, str>,
    /// The interval's level.
    pub confidence: f64,
    /// Answers by completion.
    pub counts: CompletionCounts,
    /// Share of undetermined answers.
    pub undetermined_share: f64,
    /// The rate with every undetermined answer counted wrong, and counted right.
    pub bounds: Interval,
    /// More is undetermined than the limit allows: the rate is not to be relied on.
    pub flagged: bool,
    /// What is independent of one another: items, and of production the users,
    /// else the sessions.
    pub clusters: u64,
    /// Variance of the rate over that of as many independent answers.
    pub design_effect: f64,
    /// Independent answers that would tell as much: n over the design effect.
    pub effective_n: f64,
    /// What production paid for one completed task; none where no cost is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_completed: Option<f64>,
}

/// Task completion of one request class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClassResult {
    /// The class.
    pub request_class: String,
    /// Its completion.
    #[serde(flatten)]
    pub completion: CompletionResult,
}

/// One scorer's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScorerResult {
    /// Name in the evaluation.
    pub name: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// Digest of its component.
    pub digest: Digest,
    /// Each output's figures.
    pub outputs: Vec<OutputResult>,
    /// Answers that it failed on, by cause.
    pub failed: Vec<CauseCount>,
    /// Answers that it skipped, by cause.
    pub skipped: Vec<CauseCount>,
}

/// One output's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OutputResult {
    /// Its name.
    pub name: String,
    /// Scores.
    pub scored: u64,
    /// Their mean; a share of yes where the output is yes or no.
    pub mean: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// Answers that this output alone is missing for.
    pub missing: u64,
    /// How far the output agrees with people, where they reviewed it or where it may
    /// not always be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationSummary>,
}

/// Answers without a score, by cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CauseCount {
    /// Why.
    pub cause: Cause,
    /// How many answers.
    pub count: u64,
    /// One of the messages.
    pub example: String,
}

impl Runner {
    /// A run's figures so far; final once it is finished.
    pub async fn result(&self, id: RunId) -> Result<RunResult, RunnerError> {
        let store = &self.shared.store;
        let run = store.run_get(id).await?;
        let judge = store.judge_calls(id).await?;
        let judge = (judge.made + judge.from_cache > 0).then_some(judge);
        if let Some((figures, at)) = store.run_figures(id).await? {
            let Figures { completion, classes, scorers } = serde_json::from_str(&figures)
                .map_err(|error| StoreError::Unreadable { what: "result", reason: error.to_string() })?;
            return Ok(RunResult { run, completion, classes, scorers, judge, frozen_at: Some(at) });
        }
        let share_max = self.shared.limits.undetermined_share_max;
        let (completion, classes) = if run.definition.completion.is_none() {
            (None, Vec::new())
        } else if run.definition.source.production().is_some() {
            of_production(&store.completion_by_cluster(id).await?, share_max)
        } else {
            let classes = store.completion_by_class(id).await?;
            let all: Vec<_> = classes.iter().flat_map(|class| class.items.iter().copied()).collect();
            let completion = completion(&all, share_max);
            (completion, classes.into_iter().filter_map(|class| class_result(class, share_max)).collect())
        };
        let outputs = store.output_summaries(id).await?;
        let unscored = store.unscored_counts(id).await?;
        let mut scorers: Vec<_> = run
            .scorers
            .iter()
            .enumerate()
            .map(|(index, scorer)| ScorerResult {
                name: scorer.name.clone(),
                plugin: scorer.plugin.clone(),
                version: scorer.version.clone(),
                digest: scorer.digest,
                outputs: scorer
                    .outputs
                    .iter()
                    .enumerate()
                    .map(|(output, declared)| {
                        output_result(index, output, &declared.name, &outputs, &unscored)
                    })
                    .collect(),
                failed: causes(&unscored, index, |cause| !cause.is_skip()),
                skipped: causes(&unscored, index, Cause::is_skip),
            })
            .collect();
        self.add_calibration(&run, &mut scorers).await?;
        Ok(RunResult { run, completion, classes, scorers, judge, frozen_at: None })
    }

    /// Adds what reviews say of each output. Of a scorer that always says the same
    /// and that nobody reviewed there is nothing to say, which is most of them.
    async fn add_calibration(&self, run: &Run, scorers: &mut [ScorerResult]) -> Result<(), RunnerError> {
        for scorer in scorers {
            let (evaluation, name) = (run.evaluation, scorer.name.clone());
            if !self.shared.store.has_calibration(evaluation, name, scorer.digest).await? {
                continue;
            }
            for output in &mut scorer.outputs {
                output.calibration =
                    self.calibration_summary(run.evaluation, run.id, &scorer.name, &output.name).await?;
            }
        }
        Ok(())
    }
}

fn class_result(class: ClassCompletion, share_max: f64) -> Option<ClassResult> {
    Some(ClassResult {
        completion: completion(&class.items, share_max)?,
        request_class: class.request_class.unwrap_or_else(|| UNCLASSIFIED.to_owned()),
    })
}

/// From each item's (completed, not completed, undetermined); none without items.
fn completion(items: &[(u32, u32, u32)], share_max: f64) -> Option<CompletionResult> {
    let mut counts = CompletionCounts::default();
    for (completed, not_completed, undetermined) in items {
        counts.completed += u64::from(*completed);
        counts.not_completed += u64::from(*not_completed);
        counts.undetermined += u64::from(*undetermined);
    }
    let (low, high) = counts.bounds()?;
    let undetermined_share = counts.undetermined_share()?;
    let n = counts.completed + counts.not_completed;
    let one_answer_each =
        items.iter().all(|(completed, not, undetermined)| completed + not + undetermined == 1);
    let (interval, interval_method, design_effect) = if one_answer_each {
        (wilson(counts.completed, n, CONFIDENCE).ok(), "wilson", 1.0)
    } else {
        let clusters: Vec<_> = items
            .iter()
            .map(|(completed, not_completed, _)| {
                Cluster::unweighted(u64::from(*completed), u64::from(*completed) + u64::from(*not_completed))
            })
            .collect();
        let found = clustered_proportion(&clusters, CONFIDENCE);
        let design_effect = found.map_or(1.0, |found| found.design_effect);
        (found.and_then(|found| found.interval), "wilson_clustered", design_effect)
    };
    Some(CompletionResult {
        rate: counts.rate(),
        n,
        interval,
        interval_method: interval_method.into(),
        confidence: CONFIDENCE,
        counts,
        undetermined_share,
        bounds: Interval { low, high },
        flagged: undetermined_share > share_max,
        clusters: items.len() as u64,
        design_effect,
        effective_n: n as f64 / design_effect,
        cost_per_completed: None,
    })
}

/// Completion over all classes and by class, from clusters that are sorted by
/// class.
fn of_production(rows: &[ClusterCompletion], share_max: f64) -> (Option<CompletionResult>, Vec<ClassResult>) {
    let classes = rows
        .chunk_by(|one, other| one.request_class == other.request_class)
        .filter_map(|class| {
            Some(ClassResult {
                request_class: class[0].request_class.clone().unwrap_or_else(|| UNCLASSIFIED.to_owned()),
                completion: weighted_completion(class, share_max)?,
            })
        })
        .collect();
    (weighted_completion(rows, share_max), classes)
}

/// From clusters, of which several rows may be one.
fn weighted_completion(rows: &[ClusterCompletion], share_max: f64) -> Option<CompletionResult> {
    let mut counts = CompletionCounts::default();
    let [mut completed, mut not_completed, mut undetermined] = [0.0; 3];
    let mut clusters = BTreeMap::<&str, Cluster>::new();
    let mut cost = None;
    for row in rows {
        counts.completed += row.counts[0];
        counts.not_completed += row.counts[1];
        counts.undetermined += row.counts[2];
        completed += row.weights[0];
        not_completed += row.weights[1];
        undetermined += row.weights[2];
        let cluster = clusters.entry(&row.cluster).or_default();
        cluster.successes += row.weights[0];
        cluster.weight += row.weights[0] + row.weights[1];
        cluster.n += row.counts[0] + row.counts[1];
        if let Some(more) = row.cost {
            *cost.get_or_insert(0.0) += more;
        }
    }
    let all = completed + not_completed + undetermined;
    if all <= 0.0 {
        return None;
    }
    let clusters: Vec<_> = clusters.into_values().collect();
    let found = clustered_proportion(&clusters, CONFIDENCE);
    let n = counts.completed + counts.not_completed;
    let design_effect = found.map_or(1.0, |found| found.design_effect);
    let undetermined_share = undetermined / all;
    Some(CompletionResult {
        rate: found.map(|found| found.rate),
        n,
        interval: found.and_then(|found| found.interval),
        interval_method: "wilson_clustered".into(),
        confidence: CONFIDENCE,
        counts,
        undetermined_share,
        bounds: Interval { low: completed / all, high: (completed + undetermined) / all },
        flagged: undetermined_share > share_max,
        clusters: found.map_or(0, |found| found.clusters as u64),
        design_effect,
        effective_n: n as f64 / design_effect,
        cost_per_completed: cost.filter(|_| completed > 0.0).map(|cost| cost / completed),
    })
}

fn output_result(
    scorer: usize,
    output: usize,
    name: &str,
    summaries: &[OutputSummary],
    unscored: &[UnscoredRow],
) -> OutputResult {
    let summary = summaries.iter().find(|summary| (summary.scorer, summary.output) == (scorer, output));
    OutputResult {
        name: name.to_owned(),
        scored: summary.map_or(0, |summary| summary.count),
        mean: summary.and_then(|summary| summary.mean),
        min: summary.and_then(|summary| summary.min),
        max: summary.and_then(|summary| summary.max),
        missing: unscored
            .iter()
            .filter(|row| row.scorer == scorer && row.output == Some(output))
            .map(|row| row.count)
            .sum(),
        calibration: None,
    }
}

fn causes(unscored: &[UnscoredRow], scorer: usize, wanted: impl Fn(Cause) -> bool) -> Vec<CauseCount> {
    unscored
        .iter()
        .filter(|row| row.scorer == scorer && row.output.is_none() && wanted(row.cause))
        .map(|row| CauseCount { cause: row.cause, count: row.count, example: row.example.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_each_gives_wilsons_interval_over_the_determined() {
        let items = [[(1, 0, 0); 8].as_slice(), &[(0, 1, 0); 2], &[(0, 0, 1); 1]].concat();
        let found = completion(&items, 0.02).expect("there are items");
        assert_eq!((found.rate, found.n, found.interval_method.as_ref()), (Some(0.8), 10, "wilson"));
        // scipy.stats.binomtest(8, 10).proportion_ci(.95, method="wilson"), SciPy 1.17.1.
        let interval = found.interval.expect("ten are determined");
        assert!((interval.low - 0.490162471536642).abs() < 1e-9, "{interval:?}");
        assert!(found.flagged, "1 of 11 is undetermined");
        assert_eq!(found.bounds, Interval { low: 8.0 / 11.0, high: 9.0 / 11.0 });
    }

    #[test]
    fn several_answers_an_item_are_clustered() {
        let found = completion(&[(3, 0, 0); 30], 0.02).expect("there are items");
        assert_eq!((found.n, found.clusters, found.interval_method.as_ref()), (90, 30, "wilson_clustered"));
        assert_eq!(found.design_effect, 3.0);
        assert!(completion(&[], 0.02).is_none());
    }

    #[test]
    fn production_is_weighted_and_clustered_over_all_classes() {
        let row = |class: &str, cluster: String, weights: [f64; 3]| ClusterCompletion {
            request_class: Some(class.into()),
            cluster,
            weights,
            counts: weights.map(|weight| u64::from(weight > 0.0)),
            cost: Some(2.0),
        };
        // 30 users, each with a common request (taken one in ten) and a rare one.
        let rows: Vec<_> = (0..30)
            .map(|user| row("common", format!("u{user}"), [10.0, 0.0, 0.0]))
            .chain((0..30).map(|user| row("rare", format!("u{user}"), [0.0, 1.0, 0.0])))
            .collect();
        let (all, classes) = of_production(&rows, 0.02);
        let all = all.expect("there are rows");
        assert_eq!((all.n, all.clusters, classes.len()), (60, 30, 2));
        assert!((all.rate.expect("determined") - 300.0 / 330.0).abs() < 1e-12);
        assert_eq!(classes[1].completion.rate, Some(0.0));
        assert!((all.cost_per_completed.expect("costs are known") - 120.0 / 300.0).abs() < 1e-12);
        assert!((all.effective_n - 60.0 / all.design_effect).abs() < 1e-12);
    }
}
