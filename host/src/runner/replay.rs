//! Rescores a run from what was kept, without asking any model: stored answers,
//! stored replies of judges, the pinned builds. What differs says that a score
//! does not follow from what it is said to follow from.

use std::sync::atomic::AtomicUsize;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::batch_work::{BatchWork, batch_max, kind};
use super::batches;
use super::bisect::Poison;
use super::judging::Judging;
use super::{Runner, RunnerError};
use crate::domain::evaluation::DefinitionProblem;
use crate::domain::ids::RunId;
use crate::domain::run::RunScorer;
use crate::judge::Replies;
use crate::store::{BatchItem, ItemFilter, ItemRow, ScoreRow, ScorerOutcomes};

/// Items of one page.
const PAGE: u32 = 500;
/// Differences that are told in full.
const TOLD_MAX: usize = 100;

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Replay {
    /// The run.
    pub run: RunId,
    /// Answers that were scored again.
    pub answers: u64,
    /// Outcomes that were compared: one for each output of each scorer.
    pub compared: u64,
    /// Outcomes that differ.
    pub different: u64,
    /// The first of them.
    pub differences: Vec<ReplayDifference>,
}

/// An outcome that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ReplayDifference {
    /// The item's key, or the interaction's id.
    pub key: String,
    /// Which of several answers.
    pub trial: u32,
    /// The scorer.
    pub scorer: String,
    /// The output.
    pub output: String,
    /// What the run has: a value, or why there is none.
    pub was: String,
    /// What it is now.
    pub is: String,
}

impl Runner {
    /// Scores a run again from what was kept of it, and compares.
    pub async fn replay(&self, id: RunId) -> Result<Replay, RunnerError> {
        let store = &self.shared.store;
        let run = store.run_get(id).await?;
        let wrong = match run.state.is_over() {
            false => Some("still goes on: what is kept of it is not whole yet"),
            true if run.scorers.is_empty() => Some("never began: there is nothing to score again"),
            true => None,
        };
        if let Some(wrong) = wrong {
            let message = format!("run `{id}` {wrong}");
            return Err(RunnerError::Definition(vec![DefinitionProblem { path: String::new(), message }]));
        }
        let mut scorers = Vec::new();
        for pinned in store.run_pinned(id).await?.1 {
            scorers.push(self.load_pinned(pinned.scorer).await?);
        }
        let poison: Vec<_> = scorers.iter().map(|_| Poison::default()).collect();
        let quarantined = AtomicUsize::new(0);
        let judging = Judging {
            judges: self.shared.judges.clone(),
            run: Some(id),
            replies: Replies::Recorded(id),
            cancel: CancellationToken::new(),
        };
        let mut replay = Replay { run: id, answers: 0, compared: 0, different: 0, differences: Vec::new() };
        let mut after = None;
        loop {
            let filter = ItemFilter { after, limit: PAGE, ..ItemFilter::default() };
            let page = store.run_item_page(&run, filter).await?;
            let Some(last) = page.last() else { return Ok(replay) };
            after = Some((last.item, last.trial));
            let size = |row: &ItemRow| row.payload.len() + row.answer.as_ref().map_or(0, String::len);
            for rows in batches::cut(page, batch_max(&scorers), &self.shared.limits, size) {
                let batch: Vec<_> = rows.iter().map(batch_item).collect();
                let work = BatchWork {
                    scorers: &scorers,
                    poison: &poison,
                    quarantined: &quarantined,
                    judging: &judging,
                    rows: None,
                };
                let place = self.place(kind(&scorers)).await;
                for (scorer, column) in self.answers(&work, &batch, place).await.into_iter().enumerate() {
                    for (row, outcome) in rows.iter().zip(&column) {
                        replay.compare(row, scorer, &scorers[scorer].pinned, outcome);
                    }
                }
                replay.answers += rows.len() as u64;
            }
        }
    }
}

impl Replay {
    fn compare(&mut self, row: &ItemRow, scorer: usize, pinned: &RunScorer, now: &ScorerOutcomes) {
        for (output, declared) in pinned.outputs.iter().enumerate() {
            let score = row.scores.iter().find(|(at, score)| (*at, score.output) == (scorer, output));
            let why = row
                .unscored
                .iter()
                .find(|(at, of, _)| *at == scorer && of.is_none_or(|of| of == output))
                .map(|(.., why)| why.cause.as_str());
            let was = score.map_or_else(|| why.unwrap_or("not named").to_owned(), |(_, score)| told(score));
            let is = match now {
                ScorerOutcomes::Unscored(why) => why.cause.as_str().to_owned(),
                ScorerOutcomes::Scored { scores, missing } => {
                    let score = scores.iter().find(|score| score.output == output).map(told);
                    let missing = missing.iter().find(|(of, _)| *of == output);
                    score.unwrap_or_else(|| {
                        missing.map_or("not named", |(_, why)| why.cause.as_str()).to_owned()
                    })
                }
            };
            self.compared += 1;
            if was == is {
                continue;
            }
            self.different += 1;
            if self.differences.len() < TOLD_MAX {
                self.differences.push(ReplayDifference {
                    key: row.key.clone(),
                    trial: row.trial,
                    scorer: pinned.name.clone(),
                    output: declared.name.clone(),
                    was,
                    is,
                });
            }
        }
    }
}

fn told(score: &ScoreRow) -> String {
    match (&score.value, &score.category) {
        (Some(value), _) => value.to_string(),
        (None, Some(category)) => category.clone(),
        (None, None) => "nothing".into(),
    }
}

pub(super) fn batch_item(row: &ItemRow) -> BatchItem {
    let present = row.answer.as_ref().map(|answer| {
        let given = serde_json::from_str::<crate::domain::interaction::Answer>(answer)
            .is_ok_and(|answer| answer.presence() == crate::domain::completion::Presence::Given);
        (answer.clone(), given)
    });
    BatchItem {
        item: row.item,
        trial: row.trial,
        key: row.key.clone(),
        request_class: row.request_class.clone(),
        payload: row.payload.clone(),
        answer: present,
        probability: 1.0,
    }
}
