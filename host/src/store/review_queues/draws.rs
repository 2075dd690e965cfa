//! Which answers a queue looks at, and what was drawn or picked of them.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction, named_params};

use super::super::results::{ItemRow, completion_of, fill_outcomes};
use super::super::reviews::{self, SubjectKey};
use super::super::{Result, Store, runs};
use super::find;
use super::release::QueueFilled;
use crate::domain::clock::Timestamp;
use crate::domain::ids::ReviewQueueId;
use crate::domain::review::{ReviewQueue, lot_for};
use crate::domain::run::RunScorer;
use crate::domain::slice::UNCLASSIFIED;

/// An answer waits no longer for what its user shows afterwards.
const SIGNALS_WAIT_US: i64 = 24 * 3_600 * 1_000_000;

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

impl Store {
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
pub(in crate::store) fn insert_item(
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
