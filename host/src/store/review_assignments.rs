//! Who reviews which answer now, and what came of it.
//!
//! Assignments are made by the one writing thread, so two reviewers are never
//! given the same answer unless two are to review it. The order of a queue is by
//! lot: what is reviewed when time runs out is a sample of it, too.

use rusqlite::{OptionalExtension as _, Transaction, named_params};

use super::results::{ItemRow, fill_outcomes};
use super::reviews::{self, Kept, SubjectKey};
use super::{Result, Store, StoreError, review_queues, runs};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{AssignmentId, ReviewId};
use crate::domain::review::{Review, ReviewKind, ReviewQueue, ReviewSubject, VerdictContent, lot_for};
use crate::domain::run::RunScorer;

/// An answer that a reviewer was given.
#[derive(Debug, Clone)]
pub struct Assigned {
    /// Id of the assignment.
    pub id: AssignmentId,
    /// Until then it is the reviewer's.
    pub expires_at: Timestamp,
    /// The answer.
    pub subject: ReviewSubject,
    /// Class of the request.
    pub request_class: String,
    /// JSON of the question's side.
    pub item: String,
    /// JSON of the answer's side.
    pub answer: String,
    /// What the run that drew it made of it, with the run's scorers; none where
    /// the queue is blind.
    pub outcomes: Option<(ItemRow, Vec<RunScorer>)>,
}

/// What a reviewer did with an assignment.
#[derive(Debug, Clone)]
pub enum Closing {
    /// Judged the answer.
    Verdict {
        /// Id of the review.
        id: ReviewId,
        /// What the person says; it fits the form.
        content: VerdictContent,
        /// It is used to tune the rubric.
        development: bool,
    },
    /// Passed it on.
    Skip {
        /// Why, for people.
        reason: Option<String>,
    },
}

/// What was taken back.
#[derive(Debug, Clone, PartialEq)]
pub enum Undone {
    /// A verdict.
    Verdict(Box<Review>),
    /// That an answer was skipped.
    Skip,
}

/// Verdicts on one answer that are not the same.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct Disagreement {
    /// The answer.
    pub subject: ReviewSubject,
    /// Outputs on which they differ.
    pub outputs: Vec<String>,
    /// The verdicts, the first one first.
    pub reviews: Vec<Review>,
}

impl Store {
    /// Gives a reviewer an answer: the one that the reviewer has, else the next.
    pub async fn review_next(
        &self,
        queue: String,
        reviewer: String,
        id: AssignmentId,
        at: Timestamp,
    ) -> Result<Option<Assigned>> {
        self.write(move |transaction| {
            let (row, queue) = review_queues::find(transaction, &queue)?;
            transaction
                .prepare_cached("DELETE FROM review_assignment WHERE state = 'open' AND expires_at_us <= ?1")?
                .execute([at.0])?;
            let expires_at = Timestamp(at.0 + i64::from(queue.definition.lease_s) * 1_000_000);
            // An answer whose place a revision has taken is passed over.
            while let Some((item, assigned)) = find_next(transaction, row, &queue, &reviewer)? {
                let id = assigned.unwrap_or(id);
                let found = read_item(transaction, item, &queue, id, expires_at)?;
                let Some(found) = found else {
                    pass_over(transaction, item)?;
                    continue;
                };
                transaction
                    .prepare_cached(
                        "INSERT INTO review_assignment (uid, item, reviewer, state, assigned_at_us, expires_at_us) \
                         VALUES (:uid, :item, :reviewer, 'open', :at, :expires) \
                         ON CONFLICT (item, reviewer) DO UPDATE SET expires_at_us = excluded.expires_at_us",
                    )?
                    .execute(named_params! {
                        ":uid": id.as_bytes(),
                        ":item": item,
                        ":reviewer": reviewer,
                        ":at": at.0,
                        ":expires": expires_at.0,
                    })?;
                return Ok(Some(found));
            }
            Ok(None)
        })
        .await
    }

    /// The queue of an assignment that is open.
    pub async fn review_assignment_queue(&self, id: AssignmentId) -> Result<ReviewQueue> {
        self.read(move |transaction| {
            let name: Option<String> = transaction
                .prepare_cached(
                    "SELECT review_queue.name FROM review_assignment \
                     JOIN review_item ON review_item.id = review_assignment.item \
                     JOIN review_queue ON review_queue.id = review_item.queue AND deleted_at_us IS NULL \
                     WHERE review_assignment.uid = ?1",
                )?
                .query_row([id.as_bytes()], |row| row.get(0))
                .optional()?;
            Ok(review_queues::find(transaction, &name.ok_or_else(|| ran_out(id))?)?.1)
        })
        .await
    }

    /// Keeps what a reviewer did with an assignment; answers the review, where
    /// there is one. Asked again for the same assignment, a verdict is refused.
    pub async fn review_close(
        &self,
        assignment: AssignmentId,
        closing: Closing,
        at: Timestamp,
    ) -> Result<Option<Review>> {
        self.write(move |transaction| {
            let found: Option<(i64, String, i64, i64, i64, String)> = transaction
                .prepare_cached(
                    "SELECT review_assignment.item, review_assignment.reviewer, review_assignment.id, subject, \
                            evaluation, scorer \
                     FROM review_assignment JOIN review_item ON review_item.id = review_assignment.item \
                     JOIN review_queue ON review_queue.id = review_item.queue \
                     WHERE review_assignment.uid = ?1 AND state = 'open'",
                )?
                .query_row([assignment.as_bytes()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
                })
                .optional()?;
            let (item, reviewer, row, subject, evaluation, scorer) = found.ok_or_else(|| ran_out(assignment))?;
            let (state, reason) = match &closing {
                Closing::Verdict { .. } => ("done", None),
                Closing::Skip { reason } => ("skipped", reason.as_deref()),
            };
            transaction
                .prepare_cached(
                    "UPDATE review_assignment SET state = ?2, reason = ?3, closed_at_us = ?4 WHERE id = ?1",
                )?
                .execute((row, state, reason, at.0))?;
            let Closing::Verdict { id, content, development } = &closing else { return Ok(None) };
            let review = Kept {
                id: *id,
                subject,
                evaluation,
                scorer: &scorer,
                item: Some(item),
                reviewer: &reviewer,
                kind: ReviewKind::Verdict,
                development: *development,
                probability: None,
                content,
                reviewed_at: at,
                at,
            };
            reviews::insert(transaction, &review)?;
            reviews::get(transaction, *id).map(Some)
        })
        .await
    }

    /// Takes the last thing back that a reviewer did in a queue: the answer is the
    /// reviewer's again.
    pub async fn review_undo(&self, queue: String, reviewer: String, at: Timestamp) -> Result<Undone> {
        self.write(move |transaction| {
            let (row, queue) = review_queues::find(transaction, &queue)?;
            let found: Option<(i64, i64, String)> = transaction
                .prepare_cached(
                    "SELECT review_assignment.id, item, state FROM review_assignment \
                     JOIN review_item ON review_item.id = review_assignment.item \
                     WHERE queue = ?1 AND reviewer = ?2 AND state IN ('done', 'skipped') \
                     ORDER BY closed_at_us DESC, review_assignment.id DESC LIMIT 1",
                )?
                .query_row((row, &reviewer), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((assignment, item, state)) = found else {
                let reason = format!("`{reviewer}` has done nothing here that could be taken back");
                return Err(StoreError::Conflict(reason));
            };
            let expires_at = at.0 + i64::from(queue.definition.lease_s) * 1_000_000;
            // What the reviewer has now is given back, so that `next` answers this one.
            transaction
                .prepare_cached(
                    "DELETE FROM review_assignment WHERE reviewer = ?1 AND state = 'open' \
                     AND item IN (SELECT id FROM review_item WHERE queue = ?2)",
                )?
                .execute((&reviewer, row))?;
            transaction
                .prepare_cached(
                    "UPDATE review_assignment SET state = 'open', reason = NULL, closed_at_us = NULL, \
                            expires_at_us = ?2 WHERE id = ?1",
                )?
                .execute((assignment, expires_at))?;
            if state == "skipped" {
                return Ok(Undone::Skip);
            }
            let id: [u8; 16] = transaction
                .prepare_cached(
                    "UPDATE review SET withdrawn_at_us = ?3 WHERE id = \
                         (SELECT max(id) FROM review WHERE item = ?1 AND reviewer = ?2 AND kind = 'verdict' \
                          AND withdrawn_at_us IS NULL) RETURNING uid",
                )?
                .query_row((item, &reviewer, at.0), |row| row.get(0))?;
            Ok(Undone::Verdict(Box::new(reviews::get(transaction, ReviewId::from_bytes(id))?)))
        })
        .await
    }

    /// Answers of a queue on which verdicts differ and nobody has decided.
    pub async fn review_disagreements(&self, queue: String, limit: u32) -> Result<Vec<Disagreement>> {
        self.read(move |transaction| {
            let (row, _) = review_queues::find(transaction, &queue)?;
            let mut statement = transaction.prepare_cached(
                "SELECT review_item.subject FROM review_item JOIN review ON review.item = review_item.id \
                 WHERE queue = ?1 AND withdrawn_at_us IS NULL AND kind = 'verdict' \
                   AND NOT EXISTS (SELECT 1 FROM review AS decided WHERE decided.subject = review_item.subject \
                        AND decided.kind = 'adjudication' AND decided.withdrawn_at_us IS NULL) \
                 GROUP BY review_item.id HAVING count(*) > 1 ORDER BY review_item.id",
            )?;
            let subjects = statement.query_map([row], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
            let mut verdicts = transaction.prepare_cached(
                "SELECT uid FROM review WHERE subject = ?1 AND withdrawn_at_us IS NULL AND kind = 'verdict' \
                 AND item IN (SELECT id FROM review_item WHERE queue = ?2) ORDER BY id",
            )?;
            let mut found = Vec::new();
            for subject in subjects {
                if found.len() == limit as usize {
                    break;
                }
                let Some(name) = reviews::named(transaction, &reviews::key_of(transaction, subject)?)? else {
                    continue;
                };
                let ids = verdicts
                    .query_map((subject, row), |row| row.get(0).map(ReviewId::from_bytes))?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                let reviews =
                    ids.into_iter().map(|id| reviews::get(transaction, id)).collect::<Result<Vec<_>>>()?;
                let outputs = differing(&reviews);
                if !outputs.is_empty() {
                    found.push(Disagreement { subject: name, outputs, reviews });
                }
            }
            Ok(found)
        })
        .await
    }

    /// Decides over the verdicts on the answer that a review is about. A decision
    /// before it is taken back.
    pub async fn review_adjudicate(
        &self,
        over: ReviewId,
        id: ReviewId,
        reviewer: String,
        content: VerdictContent,
        at: Timestamp,
    ) -> Result<Review> {
        self.write(move |transaction| {
            let found: Option<(i64, i64, String, Option<i64>)> = transaction
                .prepare_cached("SELECT subject, evaluation, scorer, item FROM review WHERE uid = ?1")?
                .query_row([over.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .optional()?;
            let (subject, evaluation, scorer, item) = found.ok_or_else(|| reviews::not_found(over))?;
            transaction
                .prepare_cached(
                    "UPDATE review SET withdrawn_at_us = ?4 WHERE subject = ?1 AND evaluation = ?2 AND scorer = ?3 \
                     AND kind = 'adjudication' AND withdrawn_at_us IS NULL",
                )?
                .execute((subject, evaluation, &scorer, at.0))?;
            let (probability, development) = transaction
                .prepare_cached(
                    "SELECT max(probability), coalesce(max(development), 0) FROM review WHERE subject = ?1 \
                     AND evaluation = ?2 AND scorer = ?3 AND kind = 'verdict' AND withdrawn_at_us IS NULL",
                )?
                .query_row((subject, evaluation, &scorer), |row| Ok((row.get(0)?, row.get(1)?)))?;
            let review = Kept {
                id,
                subject,
                evaluation,
                scorer: &scorer,
                item,
                reviewer: &reviewer,
                kind: ReviewKind::Adjudication,
                development,
                probability,
                content: &content,
                reviewed_at: at,
                at,
            };
            reviews::insert(transaction, &review)?;
            reviews::get(transaction, id)
        })
        .await
    }
}

/// Nobody is asked about an answer any more; what was said of it stays.
fn pass_over(transaction: &Transaction<'_>, item: i64) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM review_assignment WHERE item = ?1 AND state = 'open'")?
        .execute([item])?;
    transaction.prepare_cached("UPDATE review_item SET reviews_wanted = 0 WHERE id = ?1")?.execute([item])?;
    Ok(())
}

fn ran_out(id: AssignmentId) -> StoreError {
    StoreError::Conflict(format!("assignment `{id}` ran out or is done: ask for the next answer"))
}

/// Outputs that two verdicts judge differently.
fn differing(reviews: &[Review]) -> Vec<String> {
    let mut outputs = Vec::new();
    for (index, one) in reviews.iter().enumerate() {
        for other in &reviews[index + 1..] {
            for (output, value) in &one.content.values {
                if other.content.values.get(output).is_some_and(|other| other != value)
                    && !outputs.contains(output)
                {
                    outputs.push(output.clone());
                }
            }
        }
    }
    outputs
}

/// The item that a reviewer has, with its assignment; else the next one.
fn find_next(
    transaction: &Transaction<'_>,
    row: i64,
    queue: &ReviewQueue,
    reviewer: &str,
) -> Result<Option<(i64, Option<AssignmentId>)>> {
    let open: Option<(i64, [u8; 16])> = transaction
        .prepare_cached(
            "SELECT item, uid FROM review_assignment JOIN review_item ON review_item.id = review_assignment.item \
             WHERE queue = ?1 AND reviewer = ?2 AND state = 'open' LIMIT 1",
        )?
        .query_row((row, reviewer), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((item, id)) = open {
        return Ok(Some((item, Some(AssignmentId::from_bytes(id)))));
    }
    if queue.definition.gold_share > 0.0 {
        let done: i64 = transaction
            .prepare_cached(
                "SELECT count(*) FROM review_assignment JOIN review_item ON review_item.id = review_assignment.item \
                 WHERE queue = ?1 AND reviewer = ?2",
            )?
            .query_row((row, reviewer), |row| row.get(0))?;
        let key = format!("{reviewer} {done}");
        if lot_for(queue.id, "gold", key.as_bytes()) < queue.definition.gold_share
            && let Some(item) = next_gold(transaction, row, reviewer)?
        {
            return Ok(Some((item, None)));
        }
    }
    Ok(transaction
        .prepare_cached(
            "SELECT review_item.id FROM review_item \
             WHERE queue = :queue AND released_at_us IS NOT NULL AND gold = 0 \
               AND NOT EXISTS (SELECT 1 FROM review_assignment WHERE item = review_item.id AND reviewer = :reviewer) \
               AND reviews_wanted > (SELECT count(*) FROM review_assignment \
                                     WHERE item = review_item.id AND state IN ('open', 'done')) \
             ORDER BY position LIMIT 1",
        )?
        .query_row(named_params! { ":queue": row, ":reviewer": reviewer }, |row| row.get(0))
        .optional()?
        .map(|item| (item, None)))
}

fn next_gold(transaction: &Transaction<'_>, row: i64, reviewer: &str) -> Result<Option<i64>> {
    Ok(transaction
        .prepare_cached(
            "SELECT id FROM review_item WHERE queue = ?1 AND gold = 1 AND reviews_wanted > 0 \
             AND NOT EXISTS (SELECT 1 FROM review_assignment WHERE item = review_item.id AND reviewer = ?2) \
             ORDER BY position LIMIT 1",
        )?
        .query_row((row, reviewer), |row| row.get(0))
        .optional()?)
}

/// None where the answer is no more, or a revision has taken its place.
fn read_item(
    transaction: &Transaction<'_>,
    item: i64,
    queue: &ReviewQueue,
    id: AssignmentId,
    expires_at: Timestamp,
) -> Result<Option<Assigned>> {
    let (subject, run, request_class): (i64, Option<i64>, String) = transaction
        .prepare_cached("SELECT subject, run, request_class FROM review_item WHERE id = ?1")?
        .query_row([item], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let key = reviews::key_of(transaction, subject)?;
    let (Some(subject), Some((question, answer))) =
        (reviews::named(transaction, &key)?, reviews::sides(transaction, &key)?)
    else {
        return Ok(None);
    };
    let mut outcomes = None;
    if let (false, Some(run)) = (queue.definition.blind, run) {
        let (item, trial) = match key {
            SubjectKey::Interaction(row) => (row, 0),
            SubjectKey::Item { item, trial, .. } => (item, trial),
        };
        let mut found = ItemRow { item, trial, ..ItemRow::default() };
        fill_outcomes(transaction, run, &mut found)?;
        let scorers = runs::pinned(transaction, run)?.into_iter().map(|pinned| pinned.scorer).collect();
        outcomes = Some((found, scorers));
    }
    Ok(Some(Assigned { id, expires_at, subject, request_class, item: question, answer, outcomes }))
}
