//! What became of one interaction of production under each evaluation, and
//! where nothing did, why not.

use serde::Serialize;

use super::{Runner, RunnerError};
use crate::domain::completion::Completion;
use crate::domain::evaluation::Evaluation;
use crate::domain::ids::{EvaluationId, InteractionId, RunId};
use crate::domain::plugin::Cause;
use crate::domain::run::RunScorer;
use crate::store::{InteractionOutcome, ItemRow, RowRange};

/// What one evaluation made of an interaction.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EvaluationFate {
    /// The evaluation.
    pub evaluation: EvaluationId,
    /// Its name.
    pub name: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What became of an interaction.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Fate {
    /// A run took it.
    Scored {
        /// The run.
        run: RunId,
        /// Probability with which it was taken.
        probability: f64,
        /// Whether the task was completed; none without a completion rule.
        completion: Option<Completion>,
        /// Its scores.
        scores: Vec<NamedScore>,
        /// Scorers and outputs without a score.
        unscored: Vec<NamedUnscored>,
    },
    /// The evaluation is about others.
    OutsideSlice,
    /// The draw did not take it.
    NotDrawn {
        /// Probability with which it would have been taken.
        probability: f64,
    },
    /// It had come before the run began to follow.
    BeforeRun,
    /// It came after the last run began.
    AfterRun,
    /// An open run will come to it.
    Waiting,
    /// The evaluation had no run yet.
    NoRun,
}

/// A score with the names of its scorer and output.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct NamedScore {
    /// The scorer.
    pub scorer: String,
    /// The output.
    pub output: String,
    /// Its value where it is a number or yes or no.
    pub value: Option<f64>,
    /// Its value where it is a category.
    pub category: Option<String>,
    /// Reason, evidence and extra.
    #[schema(value_type = Option<Object>)]
    pub detail: Option<serde_json::Value>,
}

/// A scorer or output without a score.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct NamedUnscored {
    /// The scorer.
    pub scorer: String,
    /// The output; none for the whole scorer.
    pub output: Option<String>,
    /// `failed` or `skipped`.
    pub outcome: &'static str,
    /// Why.
    pub cause: Cause,
    /// Why, in words.
    pub message: String,
}

impl Runner {
    /// What became of an interaction under each evaluation that takes from production.
    pub async fn fates(&self, id: InteractionId) -> Result<Vec<EvaluationFate>, RunnerError> {
        let row = self.shared.store.interaction_get(id).await?;
        let class = row.request_class.as_deref();
        let mut fates = Vec::new();
        for evaluation in self.shared.store.evaluation_list().await? {
            if let Some(fate) = self.fate(&evaluation, id, row.row, class).await? {
                fates.push(EvaluationFate {
                    evaluation: evaluation.id,
                    name: evaluation.definition.name,
                    fate,
                });
            }
        }
        Ok(fates)
    }

    async fn fate(
        &self,
        evaluation: &Evaluation,
        id: InteractionId,
        row: i64,
        class: Option<&str>,
    ) -> Result<Option<Fate>, RunnerError> {
        let Some(production) = evaluation.definition.source.production() else { return Ok(None) };
        let store = &self.shared.store;
        if let Some(outcome) = store.interaction_outcome(evaluation.id, row).await? {
            let run = store.run_get(outcome.run).await?;
            return Ok(Some(scored(outcome, &run.scorers)));
        }
        if !store.interaction_is_in(production.slice.clone(), row).await? {
            return Ok(Some(Fate::OutsideSlice));
        }
        let probability = production.sample.probability(class);
        if !production.sample.takes(evaluation.id, id, probability) {
            return Ok(Some(Fate::NotDrawn { probability }));
        }
        Ok(Some(match store.last_run_rows(evaluation.id).await? {
            None => Fate::NoRun,
            Some((RowRange { after, .. }, _)) if row <= after => Fate::BeforeRun,
            Some((RowRange { last: Some(last), .. }, _)) if row > last => Fate::AfterRun,
            Some((_, true)) => Fate::Waiting,
            Some((_, false)) => Fate::AfterRun,
        }))
    }
}

fn scored(outcome: InteractionOutcome, scorers: &[RunScorer]) -> Fate {
    let InteractionOutcome { run, probability, item } = outcome;
    let completion = item.completion;
    let (scores, unscored) = named(item, scorers);
    Fate::Scored { run, probability, completion, scores, unscored }
}

/// Names the scorers and outputs of an item's outcomes.
pub fn named(item: ItemRow, scorers: &[RunScorer]) -> (Vec<NamedScore>, Vec<NamedUnscored>) {
    let output = |scorer: usize, output: usize| scorers[scorer].outputs[output].name.clone();
    let scores = item
        .scores
        .into_iter()
        .map(|(scorer, score)| NamedScore {
            scorer: scorers[scorer].name.clone(),
            output: output(scorer, score.output),
            value: score.value,
            category: score.category,
            detail: score.detail.and_then(|text| serde_json::from_str(&text).ok()),
        })
        .collect();
    let unscored = item
        .unscored
        .into_iter()
        .map(|(scorer, missing, why)| NamedUnscored {
            scorer: scorers[scorer].name.clone(),
            output: missing.map(|missing| output(scorer, missing)),
            outcome: if why.cause.is_skip() { "skipped" } else { "failed" },
            cause: why.cause,
            message: why.message,
        })
        .collect();
    (scores, unscored)
}
