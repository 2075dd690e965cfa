//! What people said of answers, and which answers these are.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::review_queues::{self, insert_item};
use super::runs::run_row;
use super::{ENVIRONMENT, PROJECT, Result, Store, StoreError, evaluations, json, payload, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{EvaluationId, InteractionId, ReviewId, RunId};
use crate::domain::reference_set::DEFAULT_RECORDING;
use crate::domain::review::{Review, ReviewKind, ReviewSubject, VerdictContent, lot_for};
use crate::domain::slice::UNCLASSIFIED;

/// An answer, by the store's own ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SubjectKey {
    /// An interaction's row; a later revision has another.
    Interaction(i64),
    /// An answer to an item of a reference set.
    Item {
        /// The item's row.
        item: i64,
        /// Which of several answers.
        trial: u32,
        /// The recording that holds it; empty where a target gave it.
        recording: String,
        /// The row of the run whose target gave it; 0 where it is recorded.
        run: i64,
    },
}

impl SubjectKey {
    /// Names the answer in draws.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Interaction(row) => row.to_le_bytes().to_vec(),
            Self::Item { item, trial, recording, run } => {
                let mut bytes = item.to_le_bytes().to_vec();
                bytes.extend(trial.to_le_bytes());
                bytes.extend(run.to_le_bytes());
                bytes.extend(recording.as_bytes());
                bytes
            }
        }
    }
}

/// A review that is to be kept.
#[derive(Debug, Clone)]
pub struct NewReview {
    /// Its id: one that is there stays as it is.
    pub id: ReviewId,
    /// The answer.
    pub subject: ReviewSubject,
    /// Who.
    pub reviewer: String,
    /// What it counts as.
    pub kind: ReviewKind,
    /// It was used to tune the rubric.
    pub development: bool,
    /// Probability with which the answer was taken.
    pub probability: Option<f64>,
    /// What the person says; it fits the form.
    pub content: VerdictContent,
    /// When the person said it.
    pub reviewed_at: Timestamp,
}

/// Which reviews to list.
#[derive(Debug, Clone, Default)]
pub struct ReviewFilter {
    /// Of this evaluation only.
    pub evaluation: Option<EvaluationId>,
    /// Asked for by this queue only.
    pub queue: Option<String>,
    /// By this person only.
    pub reviewer: Option<String>,
    /// Before this one.
    pub before: Option<i64>,
    /// The most.
    pub limit: u32,
}

/// The answer that a subject names. An error says what is not there.
pub(super) fn locate(transaction: &Transaction<'_>, subject: &ReviewSubject) -> Result<SubjectKey> {
    let missing = |kind: &'static str, name: String| StoreError::NotFound { kind, name };
    match subject {
        ReviewSubject::Interaction { interaction } => transaction
            .prepare_cached("SELECT id FROM interaction WHERE uid = ?1")?
            .query_row([interaction.as_bytes()], |row| row.get(0))
            .optional()?
            .map(SubjectKey::Interaction)
            .ok_or_else(|| missing("interaction", interaction.to_string())),
        ReviewSubject::Item { reference_set, version, key, trial, recording, run } => {
            let item: i64 = transaction
                .prepare_cached(
                    "SELECT item.id FROM item JOIN reference_set_version ON reference_set_version.id = item.version \
                     JOIN reference_set ON reference_set.id = reference_set_version.reference_set \
                     WHERE project = :project AND environment = :environment AND name = :name \
                       AND number = :number AND key = :key",
                )?
                .query_row(
                    named_params! {
                        ":project": PROJECT,
                        ":environment": ENVIRONMENT,
                        ":name": reference_set,
                        ":number": version,
                        ":key": key,
                    },
                    |row| row.get(0),
                )
                .optional()?
                .ok_or_else(|| missing("item", format!("{key}` of `{reference_set}` version `{version}")))?;
            let found = match run {
                Some(run) => SubjectKey::Item {
                    item,
                    trial: *trial,
                    recording: String::new(),
                    run: run_row(transaction, *run)?,
                },
                None => SubjectKey::Item {
                    item,
                    trial: *trial,
                    recording: recording.clone().unwrap_or_else(|| DEFAULT_RECORDING.to_owned()),
                    run: 0,
                },
            };
            if !is_there(transaction, &found)? {
                return Err(missing("answer", format!("{key}` trial `{trial}")));
            }
            Ok(found)
        }
    }
}

/// Whether an answer is kept.
pub(super) fn is_there(transaction: &Transaction<'_>, key: &SubjectKey) -> Result<bool> {
    Ok(match key {
        SubjectKey::Interaction(row) => {
            transaction.prepare_cached("SELECT 1 FROM interaction WHERE id = ?1")?.exists([row])?
        }
        SubjectKey::Item { item, trial, recording, run: 0 } => transaction
            .prepare_cached(
                "SELECT 1 FROM recorded_answer WHERE item = ?1 AND recording = ?2 AND trial = ?3",
            )?
            .exists((item, recording, trial))?,
        SubjectKey::Item { item, trial, run, .. } => transaction
            .prepare_cached("SELECT 1 FROM target_answer WHERE run = ?1 AND item = ?2 AND trial = ?3")?
            .exists((run, item, trial))?,
    })
}

/// The class of an answer's request.
pub(super) fn class_of(transaction: &Transaction<'_>, key: &SubjectKey) -> Result<Option<String>> {
    let (sql, row) = match key {
        SubjectKey::Interaction(row) => (
            "SELECT (SELECT text FROM name WHERE name.id = request_class) FROM interaction WHERE id = ?1",
            row,
        ),
        SubjectKey::Item { item, .. } => ("SELECT request_class FROM item WHERE id = ?1", item),
    };
    Ok(transaction.prepare_cached(sql)?.query_row([row], |row| row.get(0)).optional()?.flatten())
}

/// The row of an answer; made where there is none.
pub(super) fn subject_row(transaction: &Transaction<'_>, key: &SubjectKey) -> Result<i64> {
    let found = match key {
        SubjectKey::Interaction(row) => transaction
            .prepare_cached("SELECT id FROM review_subject WHERE interaction = ?1")?
            .query_row([row], |row| row.get(0))
            .optional()?,
        SubjectKey::Item { item, trial, recording, run } => transaction
            .prepare_cached(
                "SELECT id FROM review_subject WHERE item = ?1 AND trial = ?2 AND recording = ?3 AND run = ?4",
            )?
            .query_row((item, trial, recording, run), |row| row.get(0))
            .optional()?,
    };
    if let Some(found) = found {
        return Ok(found);
    }
    Ok(match key {
        SubjectKey::Interaction(row) => transaction
            .prepare_cached("INSERT INTO review_subject (interaction) VALUES (?1)")?
            .insert([row])?,
        SubjectKey::Item { item, trial, recording, run } => transaction
            .prepare_cached(
                "INSERT INTO review_subject (item, trial, recording, run) VALUES (?1, ?2, ?3, ?4)",
            )?
            .insert((item, trial, recording, run))?,
    })
}

/// The answer of a row.
pub(super) fn key_of(transaction: &Transaction<'_>, subject: i64) -> Result<SubjectKey> {
    Ok(transaction
        .prepare_cached("SELECT interaction, item, trial, recording, run FROM review_subject WHERE id = ?1")?
        .query_row([subject], |row| {
            Ok(match row.get::<_, Option<i64>>(0)? {
                Some(interaction) => SubjectKey::Interaction(interaction),
                None => SubjectKey::Item {
                    item: row.get(1)?,
                    trial: row.get(2)?,
                    recording: row.get(3)?,
                    run: row.get(4)?,
                },
            })
        })?)
}

/// An answer as clients name it; none where a revision has taken its place.
pub(super) fn named(transaction: &Transaction<'_>, key: &SubjectKey) -> Result<Option<ReviewSubject>> {
    match key {
        SubjectKey::Interaction(row) => {
            let uid: Option<Option<[u8; 16]>> = transaction
                .prepare_cached("SELECT uid FROM interaction WHERE id = ?1")?
                .query_row([row], |row| row.get(0))
                .optional()?;
            Ok(uid
                .flatten()
                .map(|uid| ReviewSubject::Interaction { interaction: InteractionId::from_bytes(uid) }))
        }
        SubjectKey::Item { item, trial, recording, run } => {
            let run: Option<[u8; 16]> = transaction
                .prepare_cached("SELECT uid FROM run WHERE id = ?1")?
                .query_row([run], |row| row.get(0))
                .optional()?;
            let found = transaction
                .prepare_cached(
                    "SELECT name, number, key FROM item \
                     JOIN reference_set_version ON reference_set_version.id = item.version \
                     JOIN reference_set ON reference_set.id = reference_set_version.reference_set WHERE item.id = ?1",
                )?
                .query_row([item], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            Ok(found.map(|(reference_set, version, key)| ReviewSubject::Item {
                reference_set,
                version,
                key,
                trial: *trial,
                recording: run.is_none().then(|| recording.clone()),
                run: run.map(RunId::from_bytes),
            }))
        }
    }
}

/// JSON of an answer's question and of the answer itself.
pub(super) fn sides(transaction: &Transaction<'_>, key: &SubjectKey) -> Result<Option<(String, String)>> {
    match key {
        SubjectKey::Interaction(row) => {
            let packed: Option<Vec<u8>> = transaction
                .prepare_cached("SELECT payload FROM interaction WHERE id = ?1 AND uid IS NOT NULL")?
                .query_row([row], |row| row.get(0))
                .optional()?;
            let Some(packed) = packed else { return Ok(None) };
            let content = payload::decode(&packed)?;
            Ok(Some((content.item().to_owned(), content.answer().to_owned())))
        }
        SubjectKey::Item { item, trial, recording, run: 0 } => Ok(transaction
            .prepare_cached(
                "SELECT item.payload, recorded_answer.payload FROM item \
                 JOIN recorded_answer ON recorded_answer.item = item.id \
                 WHERE item.id = ?1 AND recording = ?2 AND trial = ?3",
            )?
            .query_row((item, recording, trial), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?),
        SubjectKey::Item { item, trial, run, .. } => Ok(transaction
            .prepare_cached(
                "SELECT item.payload, target_answer.payload FROM item JOIN target_answer ON target_answer.item = item.id \
                 WHERE item.id = ?1 AND target_answer.run = ?2 AND trial = ?3",
            )?
            .query_row((item, run, trial), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?),
    }
}

/// Forgets an interaction's reviews; answers how many rows went.
pub(super) fn forget_interaction(transaction: &Transaction<'_>, row: i64) -> Result<usize> {
    Ok(transaction.prepare_cached("DELETE FROM review_subject WHERE interaction = ?1")?.execute([row])?)
}

/// Forgets the reviews of an item's answers; answers how many of them had any.
pub(super) fn forget_item(transaction: &Transaction<'_>, item: i64) -> Result<usize> {
    Ok(transaction.prepare_cached("DELETE FROM review_subject WHERE item = ?1")?.execute([item])?)
}

/// Forgets the reviews of what a run's target answered, some of them at a time.
pub(super) fn forget_answers(transaction: &Transaction<'_>, run: i64, limit: usize) -> Result<usize> {
    Ok(transaction
        .prepare_cached(
            "DELETE FROM review_subject WHERE id IN (SELECT id FROM review_subject WHERE run = ?1 AND run > 0 LIMIT ?2)",
        )?
        .execute((run, limit as i64))?)
}

/// Values of one reviewer about answers of a queue with a known verdict, and how
/// many of them are as they are known to be.
pub(super) fn against_gold(transaction: &Transaction<'_>, queue: i64, reviewer: &str) -> Result<(u64, u64)> {
    let mut statement = transaction.prepare_cached(
        "SELECT said.content, gold.content FROM review AS said \
         JOIN review_item ON review_item.id = said.item AND review_item.queue = :queue AND review_item.gold = 1 \
         JOIN review AS gold ON gold.subject = said.subject AND gold.kind = 'gold' AND gold.withdrawn_at_us IS NULL \
         WHERE said.reviewer = :reviewer AND said.kind = 'verdict' AND said.withdrawn_at_us IS NULL",
    )?;
    let mut rows = statement.query(named_params! { ":queue": queue, ":reviewer": reviewer })?;
    let (mut values, mut agreeing) = (0, 0);
    while let Some(row) = rows.next()? {
        let (said, gold) =
            (read_content(&row.get::<_, String>(0)?)?, read_content(&row.get::<_, String>(1)?)?);
        for (output, known) in &gold.values {
            let Some(value) = said.values.get(output) else { continue };
            values += 1;
            agreeing += u64::from(value == known);
        }
    }
    Ok((values, agreeing))
}

pub(super) fn read_content(text: &str) -> Result<VerdictContent> {
    serde_json::from_str(text).map_err(unreadable("review"))
}

/// Writes a review unless its id is there.
pub(super) struct Kept<'a> {
    pub id: ReviewId,
    pub subject: i64,
    pub evaluation: i64,
    pub scorer: &'a str,
    pub item: Option<i64>,
    pub reviewer: &'a str,
    pub kind: ReviewKind,
    pub development: bool,
    pub probability: Option<f64>,
    pub content: &'a VerdictContent,
    pub reviewed_at: Timestamp,
    pub at: Timestamp,
}

pub(super) fn insert(transaction: &Transaction<'_>, review: &Kept<'_>) -> Result<bool> {
    let added = transaction
        .prepare_cached(
            "INSERT INTO review (uid, subject, evaluation, scorer, item, reviewer, kind, development, probability, \
                    content, reviewed_at_us, recorded_at_us) \
             VALUES (:uid, :subject, :evaluation, :scorer, :item, :reviewer, :kind, :development, :probability, \
                    :content, :reviewed, :at) ON CONFLICT (uid) DO NOTHING",
        )?
        .execute(named_params! {
            ":uid": review.id.as_bytes(),
            ":subject": review.subject,
            ":evaluation": review.evaluation,
            ":scorer": review.scorer,
            ":item": review.item,
            ":reviewer": review.reviewer,
            ":kind": review.kind.as_str(),
            ":development": review.development,
            ":probability": review.probability,
            ":content": json(review.content),
            ":reviewed": review.reviewed_at.0,
            ":at": review.at.0,
        })?;
    Ok(added > 0)
}

struct Columns {
    row: i64,
    id: [u8; 16],
    subject: i64,
    evaluation: [u8; 16],
    scorer: String,
    queue: Option<String>,
    reviewer: String,
    kind: String,
    development: bool,
    probability: Option<f64>,
    content: String,
    reviewed_at: i64,
    withdrawn_at: Option<i64>,
}

const SELECT: &str = "SELECT review.id, review.uid, review.subject, evaluation.uid, review.scorer, review_queue.name, \
            reviewer, kind, development, coalesce(review.probability, review_item.probability), content, \
            reviewed_at_us, withdrawn_at_us \
     FROM review JOIN evaluation ON evaluation.id = review.evaluation \
     LEFT JOIN review_item ON review_item.id = review.item \
     LEFT JOIN review_queue ON review_queue.id = review_item.queue";

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok(Columns {
        row: row.get(0)?,
        id: row.get(1)?,
        subject: row.get(2)?,
        evaluation: row.get(3)?,
        scorer: row.get(4)?,
        queue: row.get(5)?,
        reviewer: row.get(6)?,
        kind: row.get(7)?,
        development: row.get(8)?,
        probability: row.get(9)?,
        content: row.get(10)?,
        reviewed_at: row.get(11)?,
        withdrawn_at: row.get(12)?,
    })
}

/// None where a revision has taken the answer's place.
fn read(transaction: &Transaction<'_>, columns: Columns) -> Result<Option<Review>> {
    let key = key_of(transaction, columns.subject)?;
    let Some(subject) = named(transaction, &key)? else { return Ok(None) };
    let kind = ReviewKind::parse(&columns.kind)
        .ok_or_else(|| StoreError::Unreadable { what: "review", reason: columns.kind.clone() })?;
    let review = Review {
        id: ReviewId::from_bytes(columns.id),
        kind,
        queue: columns.queue,
        evaluation: EvaluationId::from_bytes(columns.evaluation),
        scorer: columns.scorer,
        subject,
        reviewer: columns.reviewer,
        content: read_content(&columns.content)?,
        development: columns.development,
        probability: columns.probability,
        reviewed_at: Timestamp(columns.reviewed_at),
        withdrawn_at: columns.withdrawn_at.map(Timestamp),
    };
    Ok(Some(review))
}

pub(super) fn not_found(id: ReviewId) -> StoreError {
    StoreError::NotFound { kind: "review", name: id.to_string() }
}

/// One review.
pub(super) fn get(transaction: &Transaction<'_>, id: ReviewId) -> Result<Review> {
    let found = transaction
        .prepare_cached(&format!("{SELECT} WHERE review.uid = ?1"))?
        .query_row([id.as_bytes()], columns)
        .optional()?
        .ok_or_else(|| not_found(id))?;
    read(transaction, found)?.ok_or_else(|| not_found(id))
}

impl Store {
    /// One review.
    pub async fn review_get(&self, id: ReviewId) -> Result<Review> {
        self.read(move |transaction| get(transaction, id)).await
    }

    /// A page of reviews, the last recorded first, and what to go on before.
    /// Those of answers whose place a revision has taken are left out.
    pub async fn review_list(&self, filter: ReviewFilter) -> Result<(Vec<Review>, Option<i64>)> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(&format!(
                "{SELECT} WHERE (:evaluation IS NULL OR evaluation.uid = :evaluation) \
                   AND (:queue IS NULL OR review_queue.name = :queue) \
                   AND (:reviewer IS NULL OR reviewer = :reviewer) AND (:before IS NULL OR review.id < :before) \
                 ORDER BY review.id DESC LIMIT :limit"
            ))?;
            let found = statement
                .query_map(
                    named_params! {
                        ":evaluation": filter.evaluation.map(|id| *id.as_bytes()),
                        ":queue": filter.queue,
                        ":reviewer": filter.reviewer,
                        ":before": filter.before,
                        ":limit": filter.limit,
                    },
                    columns,
                )?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let next = found.last().filter(|_| found.len() == filter.limit as usize).map(|last| last.row);
            let mut reviews = Vec::with_capacity(found.len());
            for columns in found {
                reviews.extend(read(transaction, columns)?);
            }
            Ok((reviews, next))
        })
        .await
    }

    /// Keeps reviews that were made elsewhere. Answers for each whether it was
    /// new, or why it cannot be kept. Known verdicts go into a queue, where one is
    /// named.
    pub async fn review_import(
        &self,
        evaluation: EvaluationId,
        scorer: String,
        queue: Option<String>,
        reviews: Vec<NewReview>,
        at: Timestamp,
    ) -> Result<Vec<std::result::Result<bool, String>>> {
        self.write(move |transaction| {
            let evaluation = evaluations::row_id(transaction, evaluation)?;
            let queue = queue.map(|name| review_queues::find(transaction, &name)).transpose()?;
            let mut outcomes = Vec::with_capacity(reviews.len());
            for review in &reviews {
                let key = match locate(transaction, &review.subject) {
                    Ok(key) => key,
                    Err(error @ StoreError::NotFound { .. }) => {
                        outcomes.push(Err(error.to_string()));
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let subject = subject_row(transaction, &key)?;
                let added = insert(
                    transaction,
                    &Kept {
                        id: review.id,
                        subject,
                        evaluation,
                        scorer: &scorer,
                        item: None,
                        reviewer: &review.reviewer,
                        kind: review.kind,
                        development: review.development,
                        probability: review.probability,
                        content: &review.content,
                        reviewed_at: review.reviewed_at,
                        at,
                    },
                )?;
                if let (ReviewKind::Gold, Some((row, queue))) = (review.kind, &queue) {
                    let class = class_of(transaction, &key)?;
                    insert_item(
                        transaction,
                        named_params! {
                            ":queue": row,
                            ":subject": subject,
                            ":run": None::<i64>,
                            ":class": class.as_deref().unwrap_or(UNCLASSIFIED),
                            ":rules": "gold",
                            ":probability": None::<f64>,
                            ":gold": true,
                            ":position": lot_for(queue.id, "order", &key.bytes()),
                            ":at": at.0,
                            ":released": Some(at.0),
                        },
                    )?;
                }
                outcomes.push(Ok(added));
            }
            Ok(outcomes)
        })
        .await
    }

    /// How many reviews of a form count, by kind.
    pub async fn review_counts(
        &self,
        evaluation: EvaluationId,
        scorer: String,
    ) -> Result<BTreeMap<String, u64>> {
        self.read(move |transaction| {
            let evaluation = evaluations::row_id(transaction, evaluation)?;
            let mut statement = transaction.prepare_cached(
                "SELECT kind, count(*) FROM review WHERE evaluation = ?1 AND scorer = ?2 AND withdrawn_at_us IS NULL \
                 GROUP BY kind",
            )?;
            let rows = statement
                .query_map((evaluation, scorer), |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
