//! One plugin over answers that belong to no run: to try a configuration, and
//! to ask a judge again.

use std::sync::atomic::AtomicUsize;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::batch_work::{BatchWork, kind};
use super::bisect::Poison;
use super::fate::{NamedScore, NamedUnscored, named};
use super::judging::Judging;
use super::prepare::ReadyPlugin;
use super::{Runner, RunnerError};
use crate::domain::completion::Presence;
use crate::domain::evaluation::Scorer;
use crate::domain::ids::RunId;
use crate::domain::interaction::{Answer, Interaction, Item};
use crate::domain::plugin::{Capability, Output};
use crate::judge::Replies;
use crate::store::{BatchItem, ItemRow, ScorerOutcomes};

/// What a plugin made of one answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Scores.
    pub scores: Vec<NamedScore>,
    /// What has no score, and why.
    pub unscored: Vec<NamedUnscored>,
}

impl Runner {
    /// The outputs that a scorer's configuration gives.
    pub async fn outputs(&self, wanted: &Scorer) -> Result<Vec<Output>, RunnerError> {
        let ready = self.prepare_plugin(wanted, Capability::Score, "").await?;
        Ok(ready.map_err(RunnerError::Definition)?.pinned.outputs)
    }

    /// Scores one interaction; nothing of it is kept but what judges were asked.
    pub async fn try_out(&self, wanted: &Scorer, interaction: Interaction) -> Result<Trial, RunnerError> {
        let ready = self.prepare_plugin(wanted, Capability::Score, "").await?;
        let ready = ready.map_err(RunnerError::Definition)?;
        let pinned = ready.pinned.clone();
        let batch = [batch_item(interaction)];
        let outcomes = self.score_once(ready, &batch, None, Replies::CachedOrFresh).await;
        let mut row = ItemRow::default();
        for outcome in outcomes {
            match outcome {
                ScorerOutcomes::Scored { scores, missing } => {
                    row.scores.extend(scores.into_iter().map(|score| (0, score)));
                    row.unscored.extend(missing.into_iter().map(|(output, why)| (0, Some(output), why)));
                }
                ScorerOutcomes::Unscored(why) => row.unscored.push((0, None, why)),
            }
        }
        let (scores, unscored) = named(row, &[pinned]);
        Ok(Trial { scores, unscored })
    }

    /// One plugin over one batch, without a trace in the results.
    pub(super) async fn score_once(
        &self,
        ready: ReadyPlugin,
        batch: &[BatchItem],
        run: Option<RunId>,
        replies: Replies,
    ) -> Vec<ScorerOutcomes> {
        let judging =
            Judging { judges: self.shared.judges.clone(), run, replies, cancel: CancellationToken::new() };
        let scorers = [ready];
        let work = BatchWork {
            scorers: &scorers,
            poison: &[Poison::default()],
            quarantined: &AtomicUsize::new(0),
            judging: &judging,
            rows: None,
        };
        self.answers(&work, batch, self.place(kind(&scorers)).await).await.remove(0)
    }
}

fn batch_item(interaction: Interaction) -> BatchItem {
    let answer = Answer {
        actual: interaction.actual,
        actual_media: interaction.actual_media,
        documents: Vec::new(),
        tool_calls: interaction.tool_calls,
        timing: interaction.timing,
        usage: interaction.usage,
        model: interaction.model,
        finish_reason: interaction.finish_reason,
        error: interaction.error,
    };
    let item = Item {
        query: interaction.query,
        query_media: interaction.query_media,
        expected: interaction.expected,
        history: interaction.history,
        documents: interaction.documents,
        request_class: interaction.request_class,
        template: interaction.template,
        template_version: interaction.template_version,
        metadata: interaction.metadata,
        extra: interaction.extra,
    };
    let json = |value: serde_json::Result<String>| value.expect("the domain's types are plain JSON");
    let present = answer.presence() == Presence::Given;
    BatchItem {
        item: 0,
        trial: 0,
        key: "tried".into(),
        request_class: item.request_class.clone(),
        payload: json(serde_json::to_string(&item)),
        answer: Some((json(serde_json::to_string(&answer)), present)),
        probability: 1.0,
    }
}
