//! Review queues: which answers they have looked at, what was drawn, and what
//! the quota lets in.
//!
//! A queue looks at each answer once, in the order in which a run's answers are
//! complete, and remembers how far it came. What is drawn waits until it is let
//! in; of more than the quota allows a simple random sample is, and each of them
//! keeps that share in its probability.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::results::{ItemRow, completion_of, fill_outcomes};
use super::reviews::{self, SubjectKey};
use super::{ENVIRONMENT, PROJECT, Result, Store, StoreError, evaluations, json, runs, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{EvaluationId, ReviewQueueId};
use crate::domain::plugin::Output;
use crate::domain::review::{QueueDefinition, ReviewQueue, lot_for, more_twice};
use crate::domain::run::RunScorer;
use crate::domain::slice::UNCLASSIFIED;

const DAY_US: i64 = 24 * 3_600 * 1_000_000;
/// An answer waits no longer for what its user shows afterwards.
const SIGNALS_WAIT_US: i64 = DAY_US;

/// Answers that a queue has not looked at yet.
#[derive(Debug, Clone)]
pub struct CandidatePage {
    /// The queue.
    pub queue: ReviewQueue,
    /// The run's scorers.
    pub scorers: Vec<RunScorer>,
    /// The answers.
    pub candidates: Vec<Candidate>,
    run: i64,
    from: (i64, i64),
    to: (i64, i64),
    complete: bool,
}

/// An answer that rules may take.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The answer.
    pub subject: SubjectKey,
    /// Its outcomes.
    pub item: ItemRow,
    /// What its user showed.
    pub signals: Vec<(String, f64)>,
}

/// What the rules made of an answer.
#[derive(Debug, Clone)]
pub struct DrawnAnswer {
    /// The answer.
    pub subject: SubjectKey,
    /// Class of the request.
    pub request_class: Option<String>,
    /// The rules that apply to it.
    pub stratum: String,
    /// Probability that one of them takes it.
    pub probability: f64,
    /// One did.
    pub taken: bool,
}

/// What came of a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueFilled {
    /// Answers that were looked at.
    pub looked_at: u64,
    /// Those that the rules took.
    pub taken: u64,
    /// Those that may be reviewed now, also some that were taken before.
    pub released: u64,
    /// Those that the quota left out.
    pub left_out: u64,
}

impl QueueFilled {
    /// Adds what came of another look.
    pub fn add(&mut self, other: Self) {
        self.looked_at += other.looked_at;
        self.taken += other.taken;
        self.released += other.released;
        self.left_out += other.left_out;
    }
}

/// What a queue has looked at in one class, by the rules that apply.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueStratum {
    /// Class of the request; `unclassified` for those without.
    pub request_class: String,
    /// The rules that apply.
    pub rules: String,
    /// Probability that one of them takes an answer. Nothing is claimed of a
    /// stratum where it is 0.
    pub probability: f64,
    /// Answers that were looked at.
    pub candidates: u64,
    /// Those that were taken.
    pub drawn: u64,
    /// Those of them that the quota left out.
    pub left_out: u64,
}

/// What a queue holds of one class.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueClass {
    /// Class of the request; `unclassified` for those without.
    pub request_class: String,
    /// How many are let in each week; none without a quota.
    pub quota: Option<u64>,
    /// How many were let in this week.
    pub released_this_week: u64,
    /// Drawn, and not let in yet.
    pub waiting: u64,
    /// Let in.
    pub released: u64,
    /// Those with a verdict.
    pub reviewed: u64,
    /// Those that two people are to review.
    pub twice_wanted: u64,
    /// Those that two people did.
    pub twice_reviewed: u64,
    /// Those that were skipped and have no verdict: non-response.
    pub skipped: u64,
}

/// What one reviewer did in a queue.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueReviewer {
    /// Who.
    pub reviewer: String,
    /// Verdicts.
    pub reviewed: u64,
    /// Answers that were skipped.
    pub skipped: u64,
    /// Answers that the reviewer has now.
    pub open: u64,
    /// Values about answers with a known verdict.
    pub gold_values: u64,
    /// Those that are as they are known to be.
    pub gold_agreeing: u64,
}

/// Where a queue stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueStatus {
    /// The queue.
    pub queue: ReviewQueue,
    /// By class.
    pub classes: Vec<QueueClass>,
    /// By class and rules.
    pub strata: Vec<QueueStratum>,
    /// By reviewer.
    pub reviewers: Vec<QueueReviewer>,
    /// Share of what was let in that two people are to review; none where nothing was.
    pub twice_share: Option<f64>,
    /// Answers that were added by hand: no estimate uses them.
    pub picked: u64,
    /// Answers with a known verdict.
    pub gold: u64,
}

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

    /// The next answers that a queue has not looked at; none where it has looked
    /// at all that are complete.
    pub async fn review_candidates(
        &self,
        queue: String,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<CandidatePage>> {
        self.read(move |transaction| {
            let (row, queue) = find(transaction, &queue)?;
            let mut statement = transaction.prepare_cached(
                "SELECT run.id, coalesce(review_mark.item, -1), coalesce(review_mark.trial, -1), version IS NOT NULL, \
                        iif(state = 'running', coalesce(seen_row, 0), :all), \
                        EXISTS (SELECT 1 FROM review_mark AS before JOIN run AS earlier ON earlier.id = before.run \
                                WHERE before.queue = :queue AND before.item > 0 AND earlier.id < run.id \
                                  AND earlier.version = run.version \
                                  AND earlier.definition ->> '$.source.target' IS NULL \
                                  AND run.definition ->> '$.source.target' IS NULL \
                                  AND coalesce(earlier.definition ->> '$.source.recording', 'default') = \
                                      coalesce(run.definition ->> '$.source.recording', 'default')) \
                 FROM run JOIN review_queue ON review_queue.evaluation = run.evaluation AND review_queue.id = :queue \
                 LEFT JOIN review_mark ON review_mark.queue = :queue AND review_mark.run = run.id \
                 WHERE coalesce(complete, 0) = 0 \
                   AND ((first_row IS NOT NULL AND state <> 'queued') OR (version IS NOT NULL AND state = 'finished')) \
                 ORDER BY run.id",
            )?;
            let mut open = statement.query(named_params! { ":queue": row, ":all": i64::MAX })?;
            while let Some(found) = open.next()? {
                let (run, from): (i64, (i64, i64)) = (found.get(0)?, (found.get(1)?, found.get(2)?));
                let (is_set, seen, is_known): (bool, i64, bool) = (found.get(3)?, found.get(4)?, found.get(5)?);
                let look = Look { queue: row, run, from, limit };
                let (candidates, to, at_end) = if is_known {
                    // The same recorded answers were looked at in an earlier run.
                    (Vec::new(), from, true)
                } else if is_set {
                    look.at_items(transaction)?
                } else {
                    look.at_interactions(transaction, seen, queue.definition.needs_signals(), now)?
                };
                let complete = at_end && (is_set || seen == i64::MAX);
                if to == from && !complete {
                    continue;
                }
                let scorers = runs::pinned(transaction, run)?.into_iter().map(|pinned| pinned.scorer).collect();
                return Ok(Some(CandidatePage { queue, scorers, candidates, run, from, to, complete }));
            }
            Ok(None)
        })
        .await
    }

    /// Keeps what the rules made of a page. Nothing is kept where someone else
    /// has looked at the page meanwhile.
    pub async fn review_draws_commit(
        &self,
        page: &CandidatePage,
        answers: Vec<DrawnAnswer>,
        at: Timestamp,
    ) -> Result<QueueFilled> {
        let (queue, name) = (page.queue.id, page.queue.definition.name.clone());
        let (run, from, to, complete) = (page.run, page.from, page.to, page.complete);
        self.write(move |transaction| {
            let (row, _) = find(transaction, &name)?;
            let before = transaction
                .prepare_cached("SELECT item, trial FROM review_mark WHERE queue = ?1 AND run = ?2")?
                .query_row((row, run), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .unwrap_or((-1, -1));
            if before != from {
                return Ok(QueueFilled::default());
            }
            transaction
                .prepare_cached(
                    "INSERT INTO review_mark (queue, run, item, trial, complete) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT (queue, run) DO UPDATE SET item = excluded.item, trial = excluded.trial, \
                         complete = excluded.complete",
                )?
                .execute((row, run, to.0, to.1, complete))?;
            let mut filled = QueueFilled { looked_at: answers.len() as u64, ..QueueFilled::default() };
            let mut strata = BTreeMap::<(&str, &str, u64), (u64, u64)>::new();
            for answer in &answers {
                let class = answer.request_class.as_deref().unwrap_or(UNCLASSIFIED);
                let stratum = (class, answer.stratum.as_str(), answer.probability.to_bits());
                let (candidates, drawn) = strata.entry(stratum).or_default();
                *candidates += 1;
                if answer.taken && add_item(transaction, (row, queue), run, class, answer, at)? {
                    *drawn += 1;
                    filled.taken += 1;
                }
            }
            for ((class, rules, probability), (candidates, drawn)) in strata {
                transaction
                    .prepare_cached(
                        "INSERT INTO review_stratum (queue, request_class, rules, probability, candidates, drawn, left_out) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0) ON CONFLICT DO UPDATE \
                         SET candidates = candidates + excluded.candidates, drawn = drawn + excluded.drawn",
                    )?
                    .execute((row, class, rules, f64::from_bits(probability), candidates as i64, drawn as i64))?;
            }
            Ok(filled)
        })
        .await
    }

    /// Whether anything waits to be let in.
    pub async fn review_is_waiting(&self, queue: ReviewQueueId) -> Result<bool> {
        self.read(move |transaction| {
            Ok(transaction
                .prepare_cached(
                    "SELECT 1 FROM review_item WHERE released_at_us IS NULL \
                     AND queue = (SELECT id FROM review_queue WHERE uid = ?1)",
                )?
                .exists([queue.as_bytes()])?)
        })
        .await
    }

    /// Lets in what waits, up to what is left of the week's quota of each class.
    pub async fn review_release(&self, queue: String, at: Timestamp) -> Result<QueueFilled> {
        self.write(move |transaction| {
            let (row, queue) = find(transaction, &queue)?;
            let filled = release(transaction, row, &queue, at)?;
            if let Some(next) = next_release(&queue.definition, at) {
                transaction
                    .prepare_cached("UPDATE review_queue SET next_release_at_us = ?2 WHERE id = ?1")?
                    .execute((row, next))?;
            }
            Ok(filled)
        })
        .await
    }

    /// Where a queue stands.
    pub async fn review_queue_status(&self, name: String, now: Timestamp) -> Result<QueueStatus> {
        self.read(move |transaction| {
            let (row, queue) = find(transaction, &name)?;
            let classes = classes_of(transaction, row, &queue, now)?;
            let (twice, released): (u64, u64) = classes.iter().fold((0, 0), |(twice, released), class| {
                (twice + class.twice_wanted, released + class.released)
            });
            let count = |sql: &'static str| -> Result<u64> {
                let count: i64 = transaction.prepare_cached(sql)?.query_row([row], |row| row.get(0))?;
                Ok(count as u64)
            };
            Ok(QueueStatus {
                strata: strata_of(transaction, row)?,
                reviewers: reviewers_of(transaction, row)?,
                twice_share: (released > 0).then(|| twice as f64 / released as f64),
                picked: count(
                    "SELECT count(*) FROM review_item WHERE queue = ?1 AND probability IS NULL AND gold = 0",
                )?,
                gold: count("SELECT count(*) FROM review_item WHERE queue = ?1 AND gold = 1")?,
                queue,
                classes,
            })
        })
        .await
    }

    /// Puts answers into a queue by hand: without a probability. Answers how many
    /// were not there.
    pub async fn review_items_pick(
        &self,
        queue: String,
        subjects: Vec<crate::domain::review::ReviewSubject>,
        at: Timestamp,
    ) -> Result<u64> {
        self.write(move |transaction| {
            let (row, queue) = find(transaction, &queue)?;
            let mut added = 0;
            for subject in &subjects {
                let key = reviews::locate(transaction, subject)?;
                let class = reviews::class_of(transaction, &key)?;
                let class = class.as_deref().unwrap_or(UNCLASSIFIED);
                let subject = reviews::subject_row(transaction, &key)?;
                added += insert_item(
                    transaction,
                    named_params! {
                        ":queue": row,
                        ":subject": subject,
                        ":run": None::<i64>,
                        ":class": class,
                        ":rules": "picked",
                        ":probability": None::<f64>,
                        ":gold": false,
                        ":position": lot_for(queue.id, "order", &key.bytes()),
                        ":at": at.0,
                        ":released": Some(at.0),
                    },
                )?;
            }
            Ok(added as u64)
        })
        .await
    }
}

/// Writes an answer into a queue unless it is there.
pub(super) fn insert_item(
    transaction: &Transaction<'_>,
    values: &[(&str, &dyn rusqlite::ToSql)],
) -> Result<usize> {
    Ok(transaction
        .prepare_cached(
            "INSERT INTO review_item (queue, subject, run, request_class, rules, probability, gold, \
                    reviews_wanted, position, added_at_us, released_at_us) \
             VALUES (:queue, :subject, :run, :class, :rules, :probability, :gold, 1, :position, :at, :released) \
             ON CONFLICT (queue, subject) DO NOTHING",
        )?
        .execute(values)?)
}

fn add_item(
    transaction: &Transaction<'_>,
    (row, queue): (i64, ReviewQueueId),
    run: i64,
    class: &str,
    answer: &DrawnAnswer,
    at: Timestamp,
) -> Result<bool> {
    // It was deleted while it was looked at.
    if !reviews::is_there(transaction, &answer.subject)? {
        return Ok(false);
    }
    let subject = reviews::subject_row(transaction, &answer.subject)?;
    let added = insert_item(
        transaction,
        named_params! {
            ":queue": row,
            ":subject": subject,
            ":run": Some(run),
            ":class": class,
            ":rules": answer.stratum,
            ":probability": Some(answer.probability),
            ":gold": false,
            ":position": lot_for(queue, "order", &answer.subject.bytes()),
            ":at": at.0,
            ":released": None::<i64>,
        },
    )?;
    Ok(added > 0)
}

/// Monday, 00:00 UTC, of an instant's week.
pub(super) fn week_of(at: Timestamp) -> i64 {
    // The first of January 1970 was a Thursday.
    let days = at.0.div_euclid(DAY_US) + 3;
    (days.div_euclid(7) * 7 - 3) * DAY_US
}

fn release(
    transaction: &Transaction<'_>,
    row: i64,
    queue: &ReviewQueue,
    at: Timestamp,
) -> Result<QueueFilled> {
    let mut waiting = BTreeMap::<String, Vec<(f64, i64, String)>>::new();
    let mut statement = transaction.prepare_cached(
        "SELECT request_class, id, rules FROM review_item WHERE queue = ?1 AND released_at_us IS NULL",
    )?;
    let mut found = statement.query([row])?;
    while let Some(item) = found.next()? {
        let id: i64 = item.get(1)?;
        let lot = lot_for(queue.id, "release", &id.to_le_bytes());
        waiting.entry(item.get(0)?).or_default().push((lot, id, item.get(2)?));
    }
    let (mut total, mut twice): (u64, u64) = transaction
        .prepare_cached(
            "SELECT count(*), coalesce(sum(reviews_wanted > 1), 0) FROM review_item \
             WHERE queue = ?1 AND released_at_us IS NOT NULL AND probability IS NOT NULL",
        )?
        .query_row([row], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?;
    let mut filled = QueueFilled::default();
    let mut let_in = Vec::new();
    for (class, mut items) in waiting {
        let before = items.len();
        if let Some(quota) = &queue.definition.quota {
            let used = released_since(transaction, row, &class, week_of(at))?;
            let left = quota.of_class(&class).saturating_sub(used);
            if left == 0 {
                // They wait for the next week, with those that come until then.
                continue;
            }
            // A simple random sample: the lowest lots.
            items.sort_by(|one, other| one.0.total_cmp(&other.0));
            for (_, id, rules) in items.drain(items.len().min(left as usize)..) {
                leave_out(transaction, row, id, &class, &rules)?;
                filled.left_out += 1;
            }
        }
        let share = items.len() as f64 / before as f64;
        for (_, id, _) in items {
            transaction
                .prepare_cached(
                    "UPDATE review_item SET released_at_us = ?2, probability = probability * ?3 WHERE id = ?1",
                )?
                .execute((id, at.0, share))?;
            let_in.push((lot_for(queue.id, "twice", &id.to_le_bytes()), id));
        }
    }
    filled.released = let_in.len() as u64;
    total += filled.released;
    let_in.sort_by(|one, other| one.0.total_cmp(&other.0));
    let more = more_twice(queue.definition.twice_share, total, twice).min(filled.released);
    twice += more;
    for (_, id) in let_in.into_iter().take(more as usize) {
        transaction
            .prepare_cached("UPDATE review_item SET reviews_wanted = 2 WHERE id = ?1")?
            .execute([id])?;
    }
    debug_assert!(twice <= total, "no more are reviewed twice than there are");
    Ok(filled)
}

fn released_since(transaction: &Transaction<'_>, queue: i64, class: &str, since: i64) -> Result<u64> {
    let count: i64 = transaction
        .prepare_cached(
            "SELECT count(*) FROM review_item WHERE queue = ?1 AND request_class = ?2 \
             AND released_at_us >= ?3 AND probability IS NOT NULL",
        )?
        .query_row((queue, class, since), |row| row.get(0))?;
    Ok(count as u64)
}

/// Takes an answer out that the quota has no room for.
fn leave_out(transaction: &Transaction<'_>, queue: i64, item: i64, class: &str, rules: &str) -> Result<()> {
    let (subject, probability): (i64, f64) = transaction
        .prepare_cached("DELETE FROM review_item WHERE id = ?1 RETURNING subject, probability")?
        .query_row([item], |row| Ok((row.get(0)?, row.get(1)?)))?;
    transaction
        .prepare_cached(
            "DELETE FROM review_subject WHERE id = ?1 \
             AND NOT EXISTS (SELECT 1 FROM review_item WHERE subject = ?1) \
             AND NOT EXISTS (SELECT 1 FROM review WHERE subject = ?1)",
        )?
        .execute([subject])?;
    transaction
        .prepare_cached(
            "UPDATE review_stratum SET left_out = left_out + 1 \
             WHERE queue = ?1 AND request_class = ?2 AND rules = ?3 AND probability = ?4",
        )?
        .execute((queue, class, rules, probability))?;
    Ok(())
}

/// A look at the answers of one run after a place.
struct Look {
    queue: i64,
    run: i64,
    from: (i64, i64),
    limit: u32,
}

/// Answers, the last place that was looked at, and whether nothing follows now.
type Looked = (Vec<Candidate>, (i64, i64), bool);

impl Look {
    fn at_items(&self, transaction: &Transaction<'_>) -> Result<Looked> {
        let mut statement = transaction.prepare_cached(
            "SELECT run_item.item, run_item.trial, request_class, completion, \
                    coalesce(target_answer.present, recorded_answer.present, 0), \
                    iif(run.definition ->> '$.source.target' IS NULL, \
                        coalesce(run.definition ->> '$.source.recording', 'default'), NULL) AS recording \
             FROM run_item JOIN item ON item.id = run_item.item JOIN run ON run.id = run_item.run \
             LEFT JOIN target_answer ON target_answer.run = run_item.run \
                  AND target_answer.item = run_item.item AND target_answer.trial = run_item.trial \
             LEFT JOIN recorded_answer ON recorded_answer.item = run_item.item \
                  AND recorded_answer.trial = run_item.trial \
                  AND recorded_answer.recording = coalesce(run.definition ->> '$.source.recording', 'default') \
                  AND run.definition ->> '$.source.target' IS NULL \
             WHERE run_item.run = :run AND (run_item.item, run_item.trial) > (:item, :trial) \
             ORDER BY run_item.item, run_item.trial LIMIT :limit",
        )?;
        let (item, trial) = self.from;
        let mut rows = statement.query(
            named_params! { ":run": self.run, ":item": item, ":trial": trial, ":limit": self.limit },
        )?;
        let (mut candidates, mut to, mut looked_at) = (Vec::new(), self.from, 0);
        while let Some(row) = rows.next()? {
            let (item, trial): (i64, u32) = (row.get(0)?, row.get(1)?);
            to = (item, i64::from(trial));
            looked_at += 1;
            // There is nothing to judge.
            if !row.get::<_, bool>(4)? {
                continue;
            }
            let recording: Option<String> = row.get(5)?;
            let run = if recording.is_none() { self.run } else { 0 };
            let subject = SubjectKey::Item { item, trial, recording: recording.unwrap_or_default(), run };
            let mut found = ItemRow {
                item,
                trial,
                request_class: row.get(2)?,
                completion: completion_of(row.get(3)?),
                ..ItemRow::default()
            };
            fill_outcomes(transaction, self.run, &mut found)?;
            candidates.push(Candidate { subject, item: found, signals: Vec::new() });
        }
        Ok((candidates, to, looked_at < self.limit))
    }

    fn at_interactions(
        &self,
        transaction: &Transaction<'_>,
        seen: i64,
        needs_signals: bool,
        now: Timestamp,
    ) -> Result<Looked> {
        let mut statement = transaction.prepare_cached(
            "SELECT run_item.item, name.text, completion, interaction.uid IS NOT NULL AND present, \
                    session IS NULL OR received_at_us < :waited \
                        OR EXISTS (SELECT 1 FROM session WHERE session.id = interaction.session \
                                   AND closed_at_us IS NOT NULL AND extracted_revision >= revision), \
                    EXISTS (SELECT 1 FROM review_mark JOIN run_item AS other ON other.run = review_mark.run \
                            WHERE review_mark.queue = :queue AND review_mark.run <> :run \
                              AND other.item = run_item.item AND other.trial = 0 AND review_mark.item >= other.item) \
             FROM run_item CROSS JOIN interaction ON interaction.id = run_item.item \
             LEFT JOIN name ON name.id = request_class \
             WHERE run_item.run = :run AND run_item.item > :item AND run_item.item <= :seen \
             ORDER BY run_item.item LIMIT :limit",
        )?;
        let mut rows = statement.query(named_params! {
            ":queue": self.queue,
            ":run": self.run,
            ":item": self.from.0,
            ":seen": seen,
            ":waited": now.0 - SIGNALS_WAIT_US,
            ":limit": self.limit,
        })?;
        let (mut candidates, mut to, mut looked_at) = (Vec::new(), self.from, 0);
        while let Some(row) = rows.next()? {
            let item: i64 = row.get(0)?;
            let (is_shown, is_read, is_known): (bool, bool, bool) = (row.get(3)?, row.get(4)?, row.get(5)?);
            if needs_signals && !is_read {
                return Ok((candidates, to, false));
            }
            (to, looked_at) = ((item, 0), looked_at + 1);
            if !is_shown || is_known {
                continue;
            }
            let mut found = ItemRow {
                item,
                request_class: row.get(1)?,
                completion: completion_of(row.get(2)?),
                ..ItemRow::default()
            };
            fill_outcomes(transaction, self.run, &mut found)?;
            let signals = if needs_signals { signals_of(transaction, item)? } else { Vec::new() };
            candidates.push(Candidate { subject: SubjectKey::Interaction(item), item: found, signals });
        }
        Ok((candidates, to, looked_at < self.limit))
    }
}

fn signals_of(transaction: &Transaction<'_>, interaction: i64) -> Result<Vec<(String, f64)>> {
    let mut statement = transaction.prepare_cached(
        "SELECT output, value FROM signal WHERE interaction = ?1 AND interaction > 0 AND value IS NOT NULL",
    )?;
    let rows = statement.query_map([interaction], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn classes_of(
    transaction: &Transaction<'_>,
    row: i64,
    queue: &ReviewQueue,
    now: Timestamp,
) -> Result<Vec<QueueClass>> {
    let mut statement = transaction.prepare_cached(
        "WITH counted AS ( \
             SELECT request_class, released_at_us, reviews_wanted, \
                    (SELECT count(DISTINCT reviewer) FROM review WHERE review.item = review_item.id \
                         AND withdrawn_at_us IS NULL AND kind = 'verdict') AS verdicts, \
                    EXISTS (SELECT 1 FROM review_assignment WHERE review_assignment.item = review_item.id \
                            AND state = 'skipped') AS is_skipped \
             FROM review_item WHERE queue = :queue AND probability IS NOT NULL) \
         SELECT request_class, sum(coalesce(released_at_us, 0) >= :week), sum(released_at_us IS NULL), \
                sum(released_at_us IS NOT NULL), sum(verdicts > 0), sum(reviews_wanted > 1), sum(verdicts > 1), \
                sum(verdicts = 0 AND is_skipped) \
         FROM counted GROUP BY request_class ORDER BY request_class",
    )?;
    let rows = statement.query_map(named_params! { ":queue": row, ":week": week_of(now) }, |row| {
        let count = |place| row.get::<_, i64>(place).map(|count| count as u64);
        let request_class: String = row.get(0)?;
        Ok(QueueClass {
            quota: queue.definition.quota.as_ref().map(|quota| quota.of_class(&request_class)),
            request_class,
            released_this_week: count(1)?,
            waiting: count(2)?,
            released: count(3)?,
            reviewed: count(4)?,
            twice_wanted: count(5)?,
            twice_reviewed: count(6)?,
            skipped: count(7)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn strata_of(transaction: &Transaction<'_>, row: i64) -> Result<Vec<QueueStratum>> {
    let mut statement = transaction.prepare_cached(
        "SELECT request_class, rules, probability, candidates, drawn, left_out FROM review_stratum \
         WHERE queue = ?1 ORDER BY request_class, rules, probability",
    )?;
    let rows = statement.query_map([row], |row| {
        let count = |place| row.get::<_, i64>(place).map(|count| count as u64);
        Ok(QueueStratum {
            request_class: row.get(0)?,
            rules: row.get(1)?,
            probability: row.get(2)?,
            candidates: count(3)?,
            drawn: count(4)?,
            left_out: count(5)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn reviewers_of(transaction: &Transaction<'_>, row: i64) -> Result<Vec<QueueReviewer>> {
    let mut statement = transaction.prepare_cached(
        "SELECT reviewer, sum(state = 'done'), sum(state = 'skipped'), sum(state = 'open') FROM review_assignment \
         JOIN review_item ON review_item.id = review_assignment.item WHERE queue = ?1 GROUP BY reviewer ORDER BY reviewer",
    )?;
    let rows = statement.query_map([row], |row| {
        let count = |place| row.get::<_, i64>(place).map(|count| count as u64);
        Ok(QueueReviewer {
            reviewer: row.get(0)?,
            reviewed: count(1)?,
            skipped: count(2)?,
            open: count(3)?,
            gold_values: 0,
            gold_agreeing: 0,
        })
    })?;
    let mut reviewers = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    for reviewer in &mut reviewers {
        (reviewer.gold_values, reviewer.gold_agreeing) =
            reviews::against_gold(transaction, row, &reviewer.reviewer)?;
    }
    Ok(reviewers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        // 2026-11-23 was a Monday.
        let monday = Timestamp(1_795_392_000_000_000);
        assert_eq!(monday.to_string(), "2026-11-23T00:00:00Z");
        for us in [0, 1, 7 * DAY_US - 1] {
            assert_eq!(week_of(Timestamp(monday.0 + us)), monday.0);
        }
        assert_eq!(week_of(Timestamp(monday.0 - 1)), monday.0 - 7 * DAY_US);
    }
}
