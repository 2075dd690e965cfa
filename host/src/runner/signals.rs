//! What users showed, over a slice of production: rates and means of signals,
//! and whether they part from the scores.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Runner, RunnerError};
use crate::domain::clock::Timestamp;
use crate::domain::evaluation::{DefinitionProblem, find_output};
use crate::domain::ids::{EvaluationId, InteractionId};
use crate::domain::plugin::{Direction, Output, OutputKind};
use crate::domain::slice::Slice;
use crate::stats::{
    Cluster, Divergence, Interval, NoDivergence, Visit, clustered_mean, clustered_proportion, divergence,
};
use crate::store::{ClusterSignal, JudgedInteraction, SignalGroup};

/// Level of every interval.
const CONFIDENCE: f64 = 0.95;
/// Interactions that a divergence names to look at first.
const LOOK_FIRST: usize = 10;

/// What users showed over a slice.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SignalReport {
    /// Interactions of the slice.
    pub interactions: u64,
    /// Share of them in sessions that extractors have read. What happens in
    /// sessions that are open is not known: such figures are provisional.
    pub extracted_share: Option<f64>,
    /// Share of them in sessions in which the client reported an event. A client
    /// that never reports shows no dissatisfaction, which is not the same as none.
    pub instrumented_share: Option<f64>,
    /// Each output's figures, by group.
    pub signals: Vec<SignalFigure>,
}

/// One output's figures in one group.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SignalFigure {
    /// Name of the output.
    pub output: String,
    /// The group; none for interactions that have none.
    pub group: Option<String>,
    /// Interactions with a value.
    pub n: u64,
    /// Mean of the values; the share of yes where the output is yes or no.
    pub mean: f64,
    /// The mean's interval; none from fewer than 20 clusters.
    pub interval: Option<Interval>,
    /// The interval's level.
    pub confidence: f64,
    /// Users, else sessions.
    pub clusters: usize,
}

/// What a divergence is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct DivergenceQuestion {
    /// Whose scores.
    pub evaluation: EvaluationId,
    /// Which of its outputs: `output` or `scorer.output`.
    pub output: String,
    /// Which signal.
    pub signal: String,
    /// By what.
    pub group: SignalGroup,
    /// Where the baseline begins.
    pub baseline_from: Timestamp,
    /// Where the baseline ends and what is compared with it begins.
    pub from: Timestamp,
    /// Where that ends.
    pub to: Timestamp,
}

/// Scores against behaviour, by group.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DivergenceReport {
    /// Where the baseline begins.
    pub baseline_from: Timestamp,
    /// Where the baseline ends and what is compared with it begins.
    pub from: Timestamp,
    /// Where that ends.
    pub to: Timestamp,
    /// Each group.
    pub groups: Vec<GroupDivergence>,
}

/// Scores against behaviour in one group.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct GroupDivergence {
    /// The group; none for interactions that have none.
    pub group: Option<String>,
    /// What it comes to.
    pub verdict: Verdict,
    /// How both moved, in standard deviations of the baseline; none where it
    /// cannot be told.
    #[serde(flatten)]
    pub figures: Option<Divergence>,
    /// Why it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Users, else sessions, of the baseline.
    pub baseline_clusters: usize,
    /// Users, else sessions, now.
    pub clusters: usize,
    /// Interactions now with both.
    pub n: u64,
    /// Those to look at first: scored best among those whose users were
    /// dissatisfied.
    pub look_first: Vec<InteractionId>,
}

/// What a divergence comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Scores look better than users do.
    ScoresHighUsersLeaving,
    /// Users do better than scores look.
    ScoresLowUsersStaying,
    /// No difference is shown.
    NotShown,
    /// Too little is known.
    CannotTell,
}

impl Runner {
    /// Rates and means of signals over a slice.
    pub async fn signals(&self, slice: Slice, group: SignalGroup) -> Result<SignalReport, RunnerError> {
        let store = &self.shared.store;
        let coverage = store.signal_coverage(slice.clone()).await?;
        let outputs = store.signal_outputs().await?;
        let clusters = store.signal_clusters(slice, group).await?;
        let share =
            |part: u64| (coverage.interactions > 0).then(|| part as f64 / coverage.interactions as f64);
        let signals = clusters
            .chunk_by(|one, other| one.output == other.output && one.group == other.group)
            .filter_map(|clusters| figure(clusters, &outputs))
            .collect();
        Ok(SignalReport {
            interactions: coverage.interactions,
            extracted_share: share(coverage.extracted),
            instrumented_share: share(coverage.instrumented),
            signals,
        })
    }

    /// Whether an evaluation's scores part from what users show.
    pub async fn divergence(&self, question: DivergenceQuestion) -> Result<DivergenceReport, RunnerError> {
        let store = &self.shared.store;
        let problem = |path: &str, message: String| {
            RunnerError::Definition(vec![DefinitionProblem { path: path.into(), message }])
        };
        let scorers = store.production_outputs(question.evaluation).await?;
        let declared: Vec<_> = scorers.iter().map(|(name, outputs)| (name.as_str(), &outputs[..])).collect();
        let found =
            find_output(&question.output, &declared).map_err(|message| problem("/output", message))?;
        let (scorer, outputs) = &scorers[found.scorer];
        let output = &outputs[found.output];
        let signals = store.signal_outputs().await?;
        let signal = signals.iter().find(|signal| signal.name == question.signal).ok_or_else(|| {
            let known: Vec<_> = signals.iter().map(|signal| format!("`{}`", signal.name)).collect();
            problem(
                "/signal",
                format!("no extractor gave `{}`; there are {}", question.signal, known.join(", ")),
            )
        })?;
        let rows = store
            .judged_interactions(
                question.evaluation,
                scorer.clone(),
                found.output,
                question.signal.clone(),
                question.group,
                (question.baseline_from, question.to),
            )
            .await?;
        let (up, down) = (sign(output.direction), sign(signal.direction));
        let mut groups = BTreeMap::<Option<String>, Vec<JudgedInteraction>>::new();
        for mut row in rows {
            row.score *= up;
            row.signal *= down;
            groups.entry(row.group.clone()).or_default().push(row);
        }
        let groups =
            groups.into_iter().map(|(group, rows)| group_divergence(group, &rows, question.from)).collect();
        let DivergenceQuestion { baseline_from, from, to, .. } = question;
        Ok(DivergenceReport { baseline_from, from, to, groups })
    }
}

/// Makes more better.
fn sign(direction: Direction) -> f64 {
    if direction == Direction::LowerIsBetter { -1.0 } else { 1.0 }
}

fn figure(clusters: &[ClusterSignal], outputs: &[Output]) -> Option<SignalFigure> {
    let (output, group) = (clusters[0].output.clone(), clusters[0].group.clone());
    let kind = outputs.iter().find(|known| known.name == output).map(|known| &known.kind);
    let (n, mean, interval, count) = if kind == Some(&OutputKind::Boolean) {
        let clusters: Vec<_> = clusters
            .iter()
            .map(|cluster| Cluster { successes: cluster.sum, weight: cluster.n as f64, n: cluster.n })
            .collect();
        let found = clustered_proportion(&clusters, CONFIDENCE)?;
        (found.n, found.rate, found.interval, found.clusters)
    } else {
        let clusters: Vec<_> = clusters.iter().map(|cluster| (cluster.sum, cluster.n)).collect();
        let found = clustered_mean(&clusters, CONFIDENCE)?;
        (found.n, found.mean, found.interval, found.clusters)
    };
    Some(SignalFigure { output, group, n, mean, interval, confidence: CONFIDENCE, clusters: count })
}

fn group_divergence(group: Option<String>, rows: &[JudgedInteraction], from: Timestamp) -> GroupDivergence {
    let (now, baseline): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.started_at >= from);
    let (baseline_visits, visits) = (visits(&baseline), visits(&now));
    let found = divergence(&baseline_visits, &visits, CONFIDENCE);
    let verdict = match &found {
        Err(NoDivergence::TooFew | NoDivergence::NoVariance) => Verdict::CannotTell,
        Ok(found) if found.interval.low > 0.0 => Verdict::ScoresHighUsersLeaving,
        Ok(found) if found.interval.high < 0.0 => Verdict::ScoresLowUsersStaying,
        Ok(_) => Verdict::NotShown,
    };
    let n = now.len() as u64;
    // The least satisfied first, and of these the best scored.
    let mut worst = now;
    worst.sort_by(|one, other| one.signal.total_cmp(&other.signal).then(other.score.total_cmp(&one.score)));
    GroupDivergence {
        group,
        verdict,
        reason: found.as_ref().err().map(ToString::to_string),
        figures: found.ok(),
        baseline_clusters: baseline_visits.len(),
        clusters: visits.len(),
        n,
        look_first: worst.into_iter().take(LOOK_FIRST).map(|row| row.id).collect(),
    }
}

/// One visit for each cluster: the means over its interactions.
fn visits(rows: &[&JudgedInteraction]) -> Vec<Visit> {
    let mut clusters = BTreeMap::<&str, (f64, f64, f64)>::new();
    for row in rows {
        let (score, signal, n) = clusters.entry(&row.cluster).or_default();
        *score += row.score;
        *signal += row.signal;
        *n += 1.0;
    }
    clusters
        .into_values()
        .map(|(score, signal, n)| Visit { score: score / n, satisfaction: signal / n })
        .collect()
}
