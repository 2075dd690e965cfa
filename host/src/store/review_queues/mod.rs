//! Review queues: which answers they have looked at, what was drawn, and what
//! the quota lets in.
//!
//! A queue looks at each answer once, in the order in which a run's answers are
//! complete, and remembers how far it came. What is drawn waits until it is let
//! in; of more than the quota allows a simple random sample is, and each of them
//! keeps that share in its probability.

mod draws;
mod release;
mod status;

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::{ENVIRONMENT, PROJECT, Result, Store, StoreError, evaluations, json, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{EvaluationId, ReviewQueueId};
use crate::domain::plugin::Output;
use crate::domain::review::{QueueDefinition, ReviewQueue};

pub use draws::{Candidate, CandidatePage, DrawnAnswer};
pub use release::QueueFilled;
pub use status::{QueueClass, QueueReviewer, QueueStatus, QueueStratum};

pub(super) use draws::insert_item;

type Columns = ([u8; 16], String, Option<i64>, i64, i64);

const COLUMNS: &str = "uid, definition, next_release_at_us, created_at_us, changed_at_us";

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn read((id, definition, next_release_at, created_at, changed_at): Columns) -> Result<ReviewQueue> {
    Ok(ReviewQueue {
        id: ReviewQueueId::from_bytes(id),
        definition: serde_json::from_str(&definition).map_err(unreadable("review queue"))?,
        next_release_at: next_release_at.map(Timestamp),
        created_at: Timestamp(created_at),
        changed_at: Timestamp(changed_at),
    })
}

/// The store's own id of a queue, and the queue.
pub(super) fn find(transaction: &Transaction<'_>, name: &str) -> Result<(i64, ReviewQueue)> {
    let found = transaction
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, id FROM review_queue WHERE project = :project AND environment = :environment \
             AND name = :name AND deleted_at_us IS NULL"
        ))?
        .query_row(named_params! { ":project": PROJECT, ":environment": ENVIRONMENT, ":name": name }, |row| {
            Ok((row.get(5)?, columns(row)?))
        })
        .optional()?;
    let (row, columns) =
        found.ok_or_else(|| StoreError::NotFound { kind: "review queue", name: name.to_owned() })?;
    Ok((row, read(columns)?))
}

fn name_taken(error: rusqlite::Error, name: &str) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            StoreError::Conflict(format!("there is a review queue `{name}` already"))
        }
        _ => error.into(),
    }
}

fn next_release(definition: &QueueDefinition, at: Timestamp) -> Option<i64> {
    definition.quota.as_ref().and_then(|quota| quota.next_after(at)).map(|at| at.0)
}

/// How many answers queues of a form have looked at, and how many of them nothing
/// could take.
pub(super) fn reach(
    transaction: &Transaction<'_>,
    evaluation: i64,
    scorer: &str,
    class: Option<&str>,
) -> Result<(u64, u64)> {
    Ok(transaction
        .prepare_cached(
            "SELECT coalesce(sum(candidates), 0), coalesce(sum(iif(probability = 0, candidates, 0)), 0) \
             FROM review_stratum JOIN review_queue ON review_queue.id = review_stratum.queue \
             WHERE evaluation = :evaluation AND scorer = :scorer AND (:class IS NULL OR request_class = :class) \
               AND json_array_length(definition, '$.rules') > 0",
        )?
        .query_row(
            named_params! { ":evaluation": evaluation, ":scorer": scorer, ":class": class },
            |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)),
        )?)
}

/// The scorer that a definition names; it has one once it was checked.
fn scorer_of(definition: &QueueDefinition) -> Result<&str> {
    definition.scorer.as_deref().ok_or_else(|| StoreError::BadInput("the queue names no scorer".into()))
}

fn refuse_second(
    transaction: &Transaction<'_>,
    own: Option<i64>,
    definition: &QueueDefinition,
) -> Result<()> {
    if definition.rules.is_empty() {
        return Ok(());
    }
    let other: Option<String> = transaction
        .prepare_cached(
            "SELECT review_queue.name FROM review_queue JOIN evaluation ON evaluation.id = review_queue.evaluation \
             WHERE evaluation.uid = :evaluation AND scorer = :scorer AND review_queue.deleted_at_us IS NULL \
               AND (:own IS NULL OR review_queue.id <> :own) \
               AND json_array_length(review_queue.definition, '$.rules') > 0 LIMIT 1",
        )?
        .query_row(
            named_params! {
                ":evaluation": definition.evaluation.as_bytes(),
                ":scorer": scorer_of(definition)?,
                ":own": own,
            },
            |row| row.get(0),
        )
        .optional()?;
    match other {
        None => Ok(()),
        Some(other) => Err(StoreError::Conflict(format!(
            "the queue `{other}` has rules for this evaluation and scorer already: add rules there, because what two \
             queues take together is taken with a probability that neither knows"
        ))),
    }
}

impl Store {
    /// Keeps a new queue. It looks at the evaluation's last run and those after it,
    /// and goes on where a deleted queue of the same form stopped. A form has one
    /// queue with rules: what two of them take together is taken with a
    /// probability that neither knows.
    pub async fn review_queue_insert(
        &self,
        id: ReviewQueueId,
        definition: QueueDefinition,
        at: Timestamp,
    ) -> Result<()> {
        self.write(move |transaction| {
            let evaluation = evaluations::row_id(transaction, definition.evaluation)?;
            refuse_second(transaction, None, &definition)?;
            let row = transaction
                .prepare_cached(
                    "INSERT INTO review_queue (uid, project, environment, name, evaluation, scorer, definition, \
                            next_release_at_us, created_at_us, changed_at_us) \
                     VALUES (:uid, :project, :environment, :name, :evaluation, :scorer, :definition, :next, :at, :at)",
                )?
                .insert(named_params! {
                    ":uid": id.as_bytes(),
                    ":project": PROJECT,
                    ":environment": ENVIRONMENT,
                    ":name": definition.name,
                    ":evaluation": evaluation,
                    ":scorer": scorer_of(&definition)?,
                    ":definition": json(&definition),
                    ":next": next_release(&definition, at),
                    ":at": at.0,
                })
                .map_err(|error| name_taken(error, &definition.name))?;
            transaction.execute(
                "INSERT INTO review_mark (queue, run, item, trial, complete) \
                 SELECT ?1, run, max(item), trial, complete FROM review_mark \
                 JOIN review_queue ON review_queue.id = review_mark.queue \
                 WHERE evaluation = ?2 AND scorer = ?3 AND deleted_at_us IS NOT NULL GROUP BY run",
                (row, evaluation, scorer_of(&definition)?),
            )?;
            transaction.execute(
                "INSERT OR IGNORE INTO review_mark (queue, run, item, trial, complete) \
                 SELECT ?1, id, 0, -1, 1 FROM run WHERE evaluation = ?2 AND id < \
                     (SELECT max(id) FROM run WHERE evaluation = ?2 AND (version IS NOT NULL OR first_row IS NOT NULL))",
                (row, evaluation),
            )?;
            Ok(())
        })
        .await
    }

    /// Replaces a definition: answers that were not looked at yet are taken by it.
    /// Whose answers and by which form stays.
    pub async fn review_queue_change(
        &self,
        name: String,
        definition: QueueDefinition,
        at: Timestamp,
    ) -> Result<()> {
        self.write(move |transaction| {
            let (row, before) = find(transaction, &name)?;
            if before.definition.evaluation != definition.evaluation
                || before.definition.scorer != definition.scorer
            {
                let reason = "a queue keeps its evaluation and its scorer: make another queue";
                return Err(StoreError::Conflict(reason.into()));
            }
            refuse_second(transaction, Some(row), &definition)?;
            transaction
                .prepare_cached(
                    "UPDATE review_queue SET name = :name, definition = :definition, next_release_at_us = :next, \
                            changed_at_us = :at WHERE id = :row",
                )?
                .execute(named_params! {
                    ":name": definition.name,
                    ":definition": json(&definition),
                    ":next": next_release(&definition, at),
                    ":at": at.0,
                    ":row": row,
                })
                .map_err(|error| name_taken(error, &definition.name))?;
            Ok(())
        })
        .await
    }

    /// Deletes a queue; what was said in it stays.
    pub async fn review_queue_delete(&self, name: String, at: Timestamp) -> Result<()> {
        self.write(move |transaction| {
            let (row, _) = find(transaction, &name)?;
            transaction.execute("UPDATE review_queue SET deleted_at_us = ?2 WHERE id = ?1", (row, at.0))?;
            Ok(())
        })
        .await
    }

    /// One queue.
    pub async fn review_queue_get(&self, name: String) -> Result<ReviewQueue> {
        self.read(move |transaction| Ok(find(transaction, &name)?.1)).await
    }

    /// Every queue that is not deleted, by name.
    pub async fn review_queue_list(&self) -> Result<Vec<ReviewQueue>> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM review_queue WHERE project = :project AND environment = :environment \
                 AND deleted_at_us IS NULL ORDER BY name"
            ))?;
            let rows = statement
                .query_map(named_params! { ":project": PROJECT, ":environment": ENVIRONMENT }, columns)?;
            rows.map(|row| read(row?)).collect()
        })
        .await
    }

    /// The outputs of a scorer in the evaluation's last run that has it; none
    /// before such a run.
    pub async fn review_form(&self, evaluation: EvaluationId, scorer: String) -> Result<Option<Vec<Output>>> {
        self.read(move |transaction| {
            let outputs: Option<String> = transaction
                .prepare_cached(
                    "SELECT outputs FROM run_scorer JOIN run ON run.id = run_scorer.run \
                     JOIN evaluation ON evaluation.id = run.evaluation \
                     WHERE evaluation.uid = ?1 AND run_scorer.name = ?2 ORDER BY run.id DESC LIMIT 1",
                )?
                .query_row((evaluation.as_bytes(), scorer), |row| row.get(0))
                .optional()?;
            outputs.map(|text| serde_json::from_str(&text).map_err(unreadable("list of outputs"))).transpose()
        })
        .await
    }
}
