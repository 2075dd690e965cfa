//! The same question to the same judge again: how much of a score is chance.
//! A cache would hide it, so every answer is asked for anew.

use serde::Serialize;

use super::result::CONFIDENCE;
use super::{Runner, RunnerError};
use crate::domain::evaluation::DefinitionProblem;
use crate::domain::ids::RunId;
use crate::judge::Replies;
use crate::stats::{Repeatability, repeatability};
use crate::store::{BatchItem, ItemFilter, ScorerOutcomes};

const PAGE: u32 = 500;

/// What is asked again.
#[derive(Debug, Clone, PartialEq)]
pub struct RepeatQuestion {
    /// The run whose answers are judged again.
    pub run: RunId,
    /// The scorer; the only one that asks a judge where it is missing.
    pub scorer: Option<String>,
    /// How many of its answers.
    pub items: usize,
    /// How often each.
    pub times: usize,
    /// From which value on a score passes; every value is its own verdict where
    /// it is missing.
    pub pass_at: Option<f64>,
}

/// How far a judge agrees with itself.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RepeatReport {
    /// The run.
    pub run: RunId,
    /// The scorer.
    pub scorer: String,
    /// Each output.
    pub outputs: Vec<RepeatedOutput>,
}

/// One output of a judge that was asked again.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RepeatedOutput {
    /// Its name.
    pub output: String,
    /// Its figures; none with fewer than two items that were scored twice.
    pub repeatability: Option<Repeatability>,
}

impl Runner {
    /// Has a run's first answers judged again and again.
    pub async fn repeat(&self, question: &RepeatQuestion) -> Result<RepeatReport, RunnerError> {
        let store = &self.shared.store;
        let run = store.run_get(question.run).await?;
        let problem = |message: String| {
            RunnerError::Definition(vec![DefinitionProblem { path: "/scorer".into(), message }])
        };
        let mut chosen = None;
        for pinned in store.run_pinned(question.run).await?.1 {
            let ready = self.load_pinned(pinned.scorer).await?;
            let wanted = question.scorer.as_ref().is_none_or(|name| *name == ready.pinned.name);
            if !wanted || !ready.judges || ready.pinned.is_classifier() {
                continue;
            }
            if chosen.is_some() {
                return Err(problem("several scorers ask a judge: name one".into()));
            }
            chosen = Some(ready);
        }
        let ready = chosen.ok_or_else(|| problem("no such scorer of the run asks a judge".into()))?;
        let mut items: Vec<BatchItem> = Vec::new();
        let mut after = None;
        while items.len() < question.items {
            let filter = ItemFilter { after, limit: PAGE, ..ItemFilter::default() };
            let page = store.run_item_page(&run, filter).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.item, last.trial));
            items.extend(page.iter().map(super::replay::batch_item));
        }
        items.truncate(question.items);
        let outputs = ready.pinned.outputs.clone();
        let mut values = vec![vec![Vec::new(); items.len()]; outputs.len()];
        for _ in 0..question.times {
            // Another number each time: what was asked here before is not asked from the cache.
            let replies = Replies::Fresh(rand::random());
            for (first, batch) in items.chunks(ready.batch_max as usize).enumerate() {
                let first = first * ready.batch_max as usize;
                let outcomes = self.score_once(ready.clone(), batch, Some(run.id), replies).await;
                for (at, outcome) in outcomes.into_iter().enumerate() {
                    let ScorerOutcomes::Scored { scores, .. } = outcome else { continue };
                    for score in scores {
                        if let Some(value) = score.value {
                            values[score.output][first + at].push(value);
                        }
                    }
                }
            }
        }
        let outputs = outputs
            .into_iter()
            .zip(values)
            .map(|(output, values)| {
                let repeatability = match question.pass_at {
                    Some(mark) => repeatability(&values, |value| value >= mark, CONFIDENCE),
                    None => repeatability(&values, f64::to_bits, CONFIDENCE),
                };
                RepeatedOutput { output: output.name, repeatability: repeatability.ok() }
            })
            .collect();
        Ok(RepeatReport { run: run.id, scorer: ready.pinned.name, outputs })
    }
}
