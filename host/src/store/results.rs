//! What runs produce: answers to score, outcomes, and their summaries.

use rusqlite::{Transaction, named_params};

use super::reference_sets::VersionRef;
use super::runs::run_row;
use super::{Result, Store, StoreError};
use crate::domain::completion::Completion;
use crate::domain::ids::RunId;
use crate::domain::plugin::{Cause, Unscored};
use crate::domain::run::Run;
use crate::domain::source::Source;

/// One answer that a run has to score.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchItem {
    /// The store's own id of the item.
    pub item: i64,
    /// Which of several answers.
    pub trial: u32,
    /// The client's name of the item.
    pub key: String,
    /// Class of the request.
    pub request_class: Option<String>,
    /// JSON of the question's side.
    pub payload: String,
    /// JSON of the answer's side, and whether it holds anything to judge. None
    /// where no answer is recorded, or the target was not asked yet.
    pub answer: Option<(String, bool)>,
    /// Probability with which it was taken.
    pub probability: f64,
}

/// What became of one answer, under every scorer.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerOutcome {
    /// The store's own id of the item.
    pub item: i64,
    /// Which of several answers.
    pub trial: u32,
    /// Whether the task was completed; none without a rule.
    pub completion: Option<Completion>,
    /// Probability with which it was taken.
    pub probability: f64,
    /// One entry for each scorer, in order.
    pub scorers: Vec<ScorerOutcomes>,
}

/// What one scorer gave for one answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ScorerOutcomes {
    /// Scores; an output without one has its reason.
    Scored {
        /// The scores.
        scores: Vec<ScoreRow>,
        /// Outputs without one.
        missing: Vec<(usize, Unscored)>,
    },
    /// Nothing at all.
    Unscored(Unscored),
}

/// One score as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRow {
    /// Index of the output.
    pub output: usize,
    /// Its value where it is a number or yes or no.
    pub value: Option<f64>,
    /// Its value where it is a category.
    pub category: Option<String>,
    /// JSON of reason, evidence and extra; none where there is nothing of them.
    pub detail: Option<String>,
}

/// Completion of one request class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCompletion {
    /// The class; none is unclassified.
    pub request_class: Option<String>,
    /// For each item (completed, not completed, undetermined) among its trials.
    pub items: Vec<(u32, u32, u32)>,
}

/// A run's figures for one output of one scorer.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSummary {
    /// Index of the scorer.
    pub scorer: usize,
    /// Index of the output.
    pub output: usize,
    /// How many scores.
    pub count: u64,
    /// Their mean, where they are numbers.
    pub mean: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
}

/// Answers without a score, counted by cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnscoredRow {
    /// Index of the scorer.
    pub scorer: usize,
    /// Index of the output; none for the whole scorer.
    pub output: Option<usize>,
    /// Why.
    pub cause: Cause,
    /// How many answers.
    pub count: u64,
    /// One of the messages.
    pub example: String,
}

/// Which items of a run to list.
#[derive(Debug, Clone, Default)]
pub struct ItemFilter {
    /// With this completion.
    pub completion: Option<Completion>,
    /// Of this request class.
    pub request_class: Option<String>,
    /// With a scorer that has no score for this cause.
    pub cause: Option<Cause>,
    /// After this (item, trial).
    pub after: Option<(i64, u32)>,
    /// The most items.
    pub limit: u32,
}

/// One item of a run, with its outcomes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ItemRow {
    /// The store's own id of the item, for the next page.
    pub item: i64,
    /// Which of several answers.
    pub trial: u32,
    /// The client's name of the item.
    pub key: String,
    /// Class of the request.
    pub request_class: Option<String>,
    /// Whether the task was completed.
    pub completion: Option<Completion>,
    /// JSON of the question's side.
    pub payload: String,
    /// JSON of the answer's side.
    pub answer: Option<String>,
    /// (scorer, score).
    pub scores: Vec<(usize, ScoreRow)>,
    /// (scorer, output, why); no output stands for the whole scorer.
    pub unscored: Vec<(usize, Option<usize>, Unscored)>,
}

pub(super) fn completion_code(completion: Option<Completion>) -> Option<i64> {
    completion.map(|completion| match completion {
        Completion::NotCompleted => 0,
        Completion::Completed => 1,
        Completion::Undetermined => 2,
    })
}

pub(super) fn completion_of(code: Option<i64>) -> Option<Completion> {
    code.map(|code| match code {
        0 => Completion::NotCompleted,
        1 => Completion::Completed,
        _ => Completion::Undetermined,
    })
}

impl Store {
    /// How many answers a version has under a recording; an item without one
    /// counts once, because it will not be passed over in silence.
    pub async fn recorded_count(&self, version: VersionRef, recording: String) -> Result<u64> {
        self.read(move |transaction| {
            let count: i64 = transaction
                .prepare_cached(
                    "SELECT count(*) FROM item LEFT JOIN recorded_answer \
                     ON recorded_answer.item = item.id AND recording = ?3 WHERE item.id BETWEEN ?1 AND ?2",
                )?
                .query_row((version.first_item, version.last_item, &recording), |row| row.get(0))?;
            Ok(count as u64)
        })
        .await
    }

    /// How many items a version has.
    pub async fn item_count(&self, version: VersionRef) -> Result<u64> {
        Ok((version.last_item - version.first_item + 1) as u64)
    }

    /// The next recorded answers that a run has not scored, after a cursor.
    pub async fn recorded_batch(
        &self,
        run: RunId,
        version: VersionRef,
        recording: String,
        after: Option<(i64, u32)>,
        limit: u32,
    ) -> Result<Vec<BatchItem>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let (item, trial) =
                after.map_or((version.first_item, -1), |(item, trial)| (item, i64::from(trial)));
            let mut statement = transaction.prepare_cached(
                "SELECT item.id, coalesce(recorded_answer.trial, 0) AS answer_trial, key, request_class, \
                        item.payload, recorded_answer.payload, present \
                 FROM item LEFT JOIN recorded_answer \
                      ON recorded_answer.item = item.id AND recording = :recording \
                 WHERE item.id BETWEEN :item AND :last AND (item.id > :item OR answer_trial > :trial) \
                   AND NOT EXISTS (SELECT 1 FROM run_item WHERE run_item.run = :run \
                                   AND run_item.item = item.id AND run_item.trial = answer_trial) \
                 ORDER BY item.id, answer_trial LIMIT :limit",
            )?;
            let rows = statement.query_map(
                named_params! {
                    ":recording": recording,
                    ":item": item,
                    ":trial": trial,
                    ":last": version.last_item,
                    ":run": run,
                    ":limit": limit,
                },
                batch_item,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The next (item, trial) of a target run that are not scored, after a
    /// cursor, with the answers that the target gave already.
    pub async fn target_batch(
        &self,
        run: RunId,
        version: VersionRef,
        trials: u32,
        after: Option<(i64, u32)>,
        limit: u32,
    ) -> Result<Vec<BatchItem>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let (item, trial) = after.map_or((version.first_item, -1), |(item, trial)| (item, i64::from(trial)));
            let mut statement = transaction.prepare_cached(
                "WITH RECURSIVE trials(trial) AS \
                     (SELECT 0 UNION ALL SELECT trial + 1 FROM trials WHERE trial + 1 < :trials) \
                 SELECT item.id, trials.trial, key, request_class, item.payload, target_answer.payload, present \
                 FROM item CROSS JOIN trials LEFT JOIN target_answer \
                      ON target_answer.run = :run AND target_answer.item = item.id \
                         AND target_answer.trial = trials.trial \
                 WHERE item.id BETWEEN :item AND :last AND (item.id > :item OR trials.trial > :trial) \
                   AND NOT EXISTS (SELECT 1 FROM run_item WHERE run_item.run = :run \
                                   AND run_item.item = item.id AND run_item.trial = trials.trial) \
                 ORDER BY item.id, trials.trial LIMIT :limit",
            )?;
            let rows = statement.query_map(
                named_params! {
                    ":trials": trials,
                    ":item": item,
                    ":trial": trial,
                    ":last": version.last_item,
                    ":run": run,
                    ":limit": limit,
                },
                batch_item,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Keeps what a target answered, before it is scored: a retry pays no
    /// model twice. An answer that is there already stays.
    pub async fn target_answer_insert(
        &self,
        run: RunId,
        item: i64,
        trial: u32,
        present: bool,
        payload: String,
    ) -> Result<()> {
        self.write(move |transaction| {
            let run = run_row(transaction, run)?;
            transaction
                .prepare_cached(
                    "INSERT INTO target_answer (run, item, trial, present, payload) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT DO NOTHING",
                )?
                .execute((run, item, trial, present, payload))?;
            Ok(())
        })
        .await
    }

    /// Commits outcomes, each exactly once: an answer that has its outcome
    /// keeps it. Answers how many were new. Refused once the run is over.
    pub async fn outcomes_commit(
        &self,
        run: RunId,
        scorer_rows: std::sync::Arc<[i64]>,
        outcomes: std::sync::Arc<[AnswerOutcome]>,
    ) -> Result<u64> {
        self.write(move |transaction| {
            let row = run_row(transaction, run)?;
            let state: String = transaction
                .prepare_cached("SELECT state FROM run WHERE id = ?1")?
                .query_row([row], |row| row.get(0))?;
            if state != "running" {
                return Err(StoreError::Conflict(format!("run `{run}` is {state}")));
            }
            let mut added = 0;
            for outcome in outcomes.iter() {
                if is_gone(transaction, row, outcome.item)? {
                    continue;
                }
                added += u64::from(insert_outcome(transaction, row, &scorer_rows, outcome)?);
            }
            transaction
                .prepare_cached("UPDATE run SET done = done + ?2 WHERE id = ?1")?
                .execute((row, added as i64))?;
            Ok(added)
        })
        .await
    }

    /// Completion by request class, from each item's trials.
    pub async fn completion_by_class(&self, run: RunId) -> Result<Vec<ClassCompletion>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let mut statement = transaction.prepare_cached(
                "SELECT request_class, sum(completion = 1), sum(completion = 0), sum(completion = 2) \
                 FROM run_item JOIN item ON item.id = run_item.item \
                 WHERE run = ?1 AND completion IS NOT NULL \
                 GROUP BY request_class, run_item.item ORDER BY request_class",
            )?;
            let mut rows = statement.query([run])?;
            let mut classes = Vec::<ClassCompletion>::new();
            while let Some(row) = rows.next()? {
                let request_class: Option<String> = row.get(0)?;
                let counts = (row.get(1)?, row.get(2)?, row.get(3)?);
                match classes.last_mut() {
                    Some(class) if class.request_class == request_class => class.items.push(counts),
                    _ => classes.push(ClassCompletion { request_class, items: vec![counts] }),
                }
            }
            Ok(classes)
        })
        .await
    }

    /// Figures of each output.
    pub async fn output_summaries(&self, run: RunId) -> Result<Vec<OutputSummary>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let mut statement = transaction.prepare_cached(
                "SELECT position, output, count(*), avg(value), min(value), max(value) \
                 FROM run_scorer JOIN score ON score.run_scorer = run_scorer.id \
                 WHERE run = ?1 GROUP BY position, output ORDER BY position, output",
            )?;
            let rows = statement.query_map([run], |row| {
                Ok(OutputSummary {
                    scorer: row.get::<_, i64>(0)? as usize,
                    output: row.get::<_, i64>(1)? as usize,
                    count: row.get::<_, i64>(2)? as u64,
                    mean: row.get(3)?,
                    min: row.get(4)?,
                    max: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Answers without a score, by scorer, output and cause.
    pub async fn unscored_counts(&self, run: RunId) -> Result<Vec<UnscoredRow>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let mut statement = transaction.prepare_cached(
                "SELECT position, output, cause, count(*), min(message) \
                 FROM run_scorer JOIN unscored ON unscored.run_scorer = run_scorer.id \
                 WHERE run = ?1 GROUP BY position, output, cause ORDER BY position, output, count(*) DESC",
            )?;
            let mut rows = statement.query([run])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                counts.push(UnscoredRow {
                    scorer: row.get::<_, i64>(0)? as usize,
                    output: usize::try_from(row.get::<_, i64>(1)?).ok(),
                    cause: cause(row.get(2)?)?,
                    count: row.get::<_, i64>(3)? as u64,
                    example: row.get(4)?,
                });
            }
            Ok(counts)
        })
        .await
    }

    /// A page of a run's items, whatever the run is over.
    pub async fn run_item_page(&self, run: &Run, filter: ItemFilter) -> Result<Vec<ItemRow>> {
        match run.definition.source {
            Source::ReferenceSet(_) => self.item_page(run.id, filter).await,
            Source::Production { .. } => self.production_item_page(run.id, filter).await,
        }
    }

    /// A page of a reference set's run, in the set's order.
    pub async fn item_page(&self, run: RunId, filter: ItemFilter) -> Result<Vec<ItemRow>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let (item, trial) = filter.after.map_or((-1, -1), |(item, trial)| (item, i64::from(trial)));
            let mut statement = transaction.prepare_cached(
                "SELECT run_item.item, run_item.trial, key, request_class, completion, item.payload, \
                        coalesce(target_answer.payload, recorded_answer.payload) \
                 FROM run_item JOIN item ON item.id = run_item.item \
                 JOIN run ON run.id = run_item.run \
                 LEFT JOIN target_answer ON target_answer.run = run_item.run \
                      AND target_answer.item = run_item.item AND target_answer.trial = run_item.trial \
                 LEFT JOIN recorded_answer ON recorded_answer.item = run_item.item \
                      AND recorded_answer.trial = run_item.trial \
                      AND recorded_answer.recording = \
                          coalesce(run.definition ->> '$.source.recording', 'default') \
                      AND run.definition ->> '$.source.target' IS NULL \
                 WHERE run_item.run = :run \
                   AND (run_item.item > :item OR (run_item.item = :item AND run_item.trial > :trial)) \
                   AND (:completion IS NULL OR completion = :completion) \
                   AND (:class IS NULL OR coalesce(request_class, 'unclassified') = :class) \
                   AND (:cause IS NULL OR EXISTS (SELECT 1 FROM run_scorer JOIN unscored \
                        ON unscored.run_scorer = run_scorer.id WHERE run_scorer.run = :run \
                        AND unscored.item = run_item.item AND unscored.trial = run_item.trial \
                        AND unscored.cause = :cause)) \
                 ORDER BY run_item.item, run_item.trial LIMIT :limit",
            )?;
            let rows = statement.query_map(
                named_params! {
                    ":run": run,
                    ":item": item,
                    ":trial": trial,
                    ":completion": completion_code(filter.completion),
                    ":class": filter.request_class,
                    ":cause": filter.cause.map(Cause::as_str),
                    ":limit": filter.limit,
                },
                |row| {
                    Ok(ItemRow {
                        item: row.get(0)?,
                        trial: row.get(1)?,
                        key: row.get(2)?,
                        request_class: row.get(3)?,
                        completion: completion_of(row.get(4)?),
                        payload: row.get(5)?,
                        answer: row.get(6)?,
                        scores: Vec::new(),
                        unscored: Vec::new(),
                    })
                },
            )?;
            let mut page = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            for item in &mut page {
                fill_outcomes(transaction, run, item)?;
            }
            Ok(page)
        })
        .await
    }
}

fn batch_item(row: &rusqlite::Row<'_>) -> rusqlite::Result<BatchItem> {
    let answer: Option<String> = row.get(5)?;
    let present: Option<bool> = row.get(6)?;
    Ok(BatchItem {
        item: row.get(0)?,
        trial: row.get(1)?,
        key: row.get(2)?,
        request_class: row.get(3)?,
        payload: row.get(4)?,
        answer: answer.zip(present),
        probability: 1.0,
    })
}

/// Whether an item of production was deleted while it was scored: its scores,
/// which may quote it, go with it.
fn is_gone(transaction: &Transaction<'_>, run: i64, item: i64) -> Result<bool> {
    Ok(transaction
        .prepare_cached(
            "SELECT 1 FROM run WHERE id = ?1 AND first_row IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM interaction WHERE interaction.id = ?2)",
        )?
        .exists((run, item))?)
}

fn cause(word: String) -> Result<Cause> {
    Cause::parse(&word).ok_or(StoreError::Unreadable { what: "cause", reason: word })
}

fn insert_outcome(
    transaction: &Transaction<'_>,
    run: i64,
    scorer_rows: &[i64],
    outcome: &AnswerOutcome,
) -> Result<bool> {
    let (item, trial) = (outcome.item, outcome.trial);
    let added = transaction
        .prepare_cached(
            "INSERT INTO run_item (run, item, trial, completion) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute((run, item, trial, completion_code(outcome.completion)))?;
    if added == 0 {
        return Ok(false);
    }
    if outcome.probability < 1.0 {
        transaction
            .prepare_cached("INSERT INTO run_sample (run, interaction, probability) VALUES (?1, ?2, ?3)")?
            .execute((run, item, outcome.probability))?;
    }
    let mut score = transaction.prepare_cached(
        "INSERT INTO score (run_scorer, item, trial, output, value, category, detail) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut unscored = transaction.prepare_cached(
        "INSERT INTO unscored (run_scorer, item, trial, output, cause, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (scorer, outcomes) in scorer_rows.iter().zip(&outcome.scorers) {
        match outcomes {
            ScorerOutcomes::Scored { scores, missing } => {
                for row in scores {
                    score.execute((
                        scorer,
                        item,
                        trial,
                        row.output as i64,
                        row.value,
                        &row.category,
                        &row.detail,
                    ))?;
                }
                for (output, why) in missing {
                    unscored.execute((
                        scorer,
                        item,
                        trial,
                        *output as i64,
                        why.cause.as_str(),
                        &why.message,
                    ))?;
                }
            }
            ScorerOutcomes::Unscored(why) => {
                unscored.execute((scorer, item, trial, -1, why.cause.as_str(), &why.message))?;
            }
        }
    }
    Ok(true)
}

/// Adds each scorer's outcome to an item.
pub(super) fn fill_outcomes(transaction: &Transaction<'_>, run: i64, item: &mut ItemRow) -> Result<()> {
    let mut scores = transaction.prepare_cached(
        "SELECT position, output, value, category, detail FROM run_scorer JOIN score \
         ON score.run_scorer = run_scorer.id AND score.item = ?2 AND score.trial = ?3 \
         WHERE run = ?1 ORDER BY position, output",
    )?;
    let mut rows = scores.query((run, item.item, item.trial))?;
    while let Some(row) = rows.next()? {
        let score = ScoreRow {
            output: row.get::<_, i64>(1)? as usize,
            value: row.get(2)?,
            category: row.get(3)?,
            detail: row.get(4)?,
        };
        item.scores.push((row.get::<_, i64>(0)? as usize, score));
    }
    let mut unscored = transaction.prepare_cached(
        "SELECT position, output, cause, message FROM run_scorer JOIN unscored \
         ON unscored.run_scorer = run_scorer.id AND unscored.item = ?2 AND unscored.trial = ?3 \
         WHERE run = ?1 ORDER BY position, output",
    )?;
    let mut rows = unscored.query((run, item.item, item.trial))?;
    while let Some(row) = rows.next()? {
        let why = Unscored { cause: cause(row.get(2)?)?, message: row.get(3)? };
        let output = usize::try_from(row.get::<_, i64>(1)?).ok();
        item.unscored.push((row.get::<_, i64>(0)? as usize, output, why));
    }
    Ok(())
}
