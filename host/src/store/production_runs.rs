//! Runs over production: which interactions they take, and what came of them.

use rusqlite::{OptionalExtension as _, Transaction, named_params};

use super::evaluations;
use super::interactions::SliceConditions;
use super::payload;
use super::results::{BatchItem, ItemFilter, ItemRow, completion_code, completion_of, fill_outcomes};
use super::runs::{RowRange, run_row};
use super::signals::CLUSTER;
use super::{Result, Store};
use crate::domain::ids::{EvaluationId, InteractionId, RunId};
use crate::domain::plugin::Cause;
use crate::domain::slice::{Sample, Slice};

/// How an evaluation's interactions are drawn.
#[derive(Debug, Clone)]
pub struct Draw {
    /// From which part of production.
    pub slice: Slice,
    /// With which probabilities.
    pub sample: Sample,
    /// What makes the draws of two evaluations independent.
    pub salt: EvaluationId,
}

/// What a draw took.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The interactions.
    pub items: Vec<BatchItem>,
    /// All up to this row was looked at.
    pub seen: i64,
    /// Nothing more is there now.
    pub at_end: bool,
}

/// A small share is drawn from many: after so many that were not taken others
/// may read.
const LOOKED_AT_MAX: u32 = 50_000;

/// Completion of one cluster's interactions in one request class. A cluster is
/// a user's interactions, else a session's, else the single one.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterCompletion {
    /// The class; none is unclassified.
    pub request_class: Option<String>,
    /// Which cluster.
    pub cluster: String,
    /// Weights of (completed, not completed, undetermined).
    pub weights: [f64; 3],
    /// Numbers of the same.
    pub counts: [u64; 3],
    /// What the interactions cost, weighted; none where no cost is known.
    pub cost: Option<f64>,
}

impl Store {
    /// The last interaction that was received so far.
    pub async fn interaction_last_row(&self) -> Result<i64> {
        self.read(last_row).await
    }

    /// Where the evaluation's last run that followed production stopped.
    pub async fn followed_until(&self, evaluation: EvaluationId) -> Result<Option<i64>> {
        self.read(move |transaction| {
            Ok(transaction
                .prepare_cached(
                    "SELECT seen_row FROM run JOIN evaluation ON evaluation.id = run.evaluation \
                     WHERE evaluation.uid = ?1 AND seen_row IS NOT NULL \
                       AND run.definition ->> '$.source.production.follow' = 1 \
                     ORDER BY run.id DESC LIMIT 1",
                )?
                .query_row([evaluation.as_bytes()], |row| row.get(0))
                .optional()?)
        })
        .await
    }

    /// Notes that every interaction up to a row has its outcome or was not taken.
    pub async fn run_seen(&self, run: RunId, seen: i64) -> Result<()> {
        self.write(move |transaction| {
            let row = run_row(transaction, run)?;
            transaction
                .prepare_cached("UPDATE run SET seen_row = max(coalesce(seen_row, 0), ?2) WHERE id = ?1")?
                .execute((row, seen))?;
            Ok(())
        })
        .await
    }

    /// How many interactions a draw takes.
    pub async fn production_count(&self, draw: Draw, rows: RowRange) -> Result<u64> {
        self.read(move |transaction| {
            let Some(conditions) = conditions(transaction, &draw.slice, rows)? else { return Ok(0) };
            let mut statement = transaction.prepare(&format!(
                "SELECT interaction.uid, (SELECT text FROM name WHERE name.id = request_class) \
                 FROM interaction WHERE {}",
                conditions.sql()
            ))?;
            let mut found = statement.query(conditions.values())?;
            let mut count = 0;
            while let Some(row) = found.next()? {
                let class: Option<String> = row.get(1)?;
                let probability = draw.sample.probability(class.as_deref());
                let id = InteractionId::from_bytes(row.get(0)?);
                count += u64::from(draw.sample.takes(draw.salt, id, probability));
            }
            Ok(count)
        })
        .await
    }

    /// The next interactions that a draw takes and a run has not scored.
    pub async fn production_batch(
        &self,
        run: RunId,
        draw: Draw,
        rows: RowRange,
        limit: u32,
    ) -> Result<Taken> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let newest = last_row(transaction)?;
            let last = rows.last.unwrap_or(newest).min(newest);
            let rows = RowRange { last: Some(last), ..rows };
            let Some(conditions) = conditions(transaction, &draw.slice, rows)? else {
                return Ok(Taken { items: Vec::new(), seen: last, at_end: true });
            };
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT interaction.id, interaction.uid, \
                        (SELECT text FROM name WHERE name.id = request_class), present, payload \
                 FROM interaction WHERE {} AND NOT EXISTS (SELECT 1 FROM run_item \
                       WHERE run_item.run = {run} AND run_item.item = interaction.id AND run_item.trial = 0) \
                 ORDER BY interaction.id",
                conditions.sql()
            ))?;
            let mut found = statement.query(conditions.values())?;
            let mut items = Vec::new();
            let mut looked_at = 0;
            while let Some(row) = found.next()? {
                let item = row.get(0)?;
                if items.len() == limit as usize || looked_at == LOOKED_AT_MAX {
                    return Ok(Taken { items, seen: item - 1, at_end: false });
                }
                looked_at += 1;
                let id = InteractionId::from_bytes(row.get(1)?);
                let request_class: Option<String> = row.get(2)?;
                let probability = draw.sample.probability(request_class.as_deref());
                if !draw.sample.takes(draw.salt, id, probability) {
                    continue;
                }
                let packed = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
                let content = payload::decode(packed)?;
                items.push(BatchItem {
                    item,
                    trial: 0,
                    key: id.to_string(),
                    request_class,
                    payload: content.item().to_owned(),
                    answer: Some((content.answer().to_owned(), row.get(3)?)),
                    probability,
                });
            }
            Ok(Taken { items, seen: last, at_end: true })
        })
        .await
    }

    /// A page of a run over production, in the order of receipt. Interactions
    /// that a revision replaced are left out.
    pub async fn production_item_page(&self, run: RunId, filter: ItemFilter) -> Result<Vec<ItemRow>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let mut statement = transaction.prepare_cached(
                "SELECT interaction.id, interaction.uid, name.text, completion, payload \
                 FROM run_item JOIN interaction ON interaction.id = run_item.item \
                 LEFT JOIN name ON name.id = request_class \
                 WHERE run_item.run = :run AND run_item.item > :after AND interaction.uid IS NOT NULL \
                   AND (:completion IS NULL OR completion = :completion) \
                   AND (:class IS NULL OR coalesce(name.text, 'unclassified') = :class) \
                   AND (:cause IS NULL OR EXISTS (SELECT 1 FROM run_scorer JOIN unscored \
                        ON unscored.run_scorer = run_scorer.id WHERE run_scorer.run = :run \
                        AND unscored.item = run_item.item AND unscored.cause = :cause)) \
                 ORDER BY run_item.item LIMIT :limit",
            )?;
            let mut rows = statement.query(named_params! {
                ":run": run,
                ":after": filter.after.map_or(-1, |(item, _)| item),
                ":completion": completion_code(filter.completion),
                ":class": filter.request_class,
                ":cause": filter.cause.map(Cause::as_str),
                ":limit": filter.limit,
            })?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                let content = payload::decode(row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?)?;
                let mut item = ItemRow {
                    item: row.get(0)?,
                    trial: 0,
                    key: InteractionId::from_bytes(row.get(1)?).to_string(),
                    request_class: row.get(2)?,
                    completion: completion_of(row.get(3)?),
                    payload: content.item().to_owned(),
                    answer: Some(content.answer().to_owned()),
                    scores: Vec::new(),
                    unscored: Vec::new(),
                };
                fill_outcomes(transaction, run, &mut item)?;
                page.push(item);
            }
            Ok(page)
        })
        .await
    }

    /// Completion by request class over production, each interaction weighted
    /// by one over the probability with which it was taken. Interactions that
    /// a revision replaced are left out.
    pub async fn completion_by_cluster(&self, run: RunId) -> Result<Vec<ClusterCompletion>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let mut statement = transaction.prepare_cached(&format!(
                "WITH taken AS ( \
                     SELECT request_class, completion, cost, {CLUSTER} AS cluster, \
                            1.0 / (coalesce(run_sample.probability, 1.0) * coalesce(upstream_probability, 1.0)) \
                                AS weight \
                     FROM run_item JOIN interaction ON interaction.id = run_item.item \
                     LEFT JOIN run_sample ON run_sample.run = run_item.run AND run_sample.interaction = run_item.item \
                     WHERE run_item.run = :run AND completion IS NOT NULL AND interaction.uid IS NOT NULL) \
                 SELECT name.text, cluster, sum(iif(completion = 1, weight, 0.0)), \
                        sum(iif(completion = 0, weight, 0.0)), sum(iif(completion = 2, weight, 0.0)), \
                        sum(completion = 1), sum(completion = 0), sum(completion = 2), sum(cost * weight) \
                 FROM taken LEFT JOIN name ON name.id = request_class \
                 GROUP BY request_class, cluster ORDER BY name.text, cluster",
            ))?;
            let rows = statement.query_map(named_params! { ":run": run }, |row| {
                let count = |place| row.get::<_, i64>(place).map(|count| count as u64);
                Ok(ClusterCompletion {
                    request_class: row.get(0)?,
                    cluster: row.get(1)?,
                    weights: [row.get(2)?, row.get(3)?, row.get(4)?],
                    counts: [count(5)?, count(6)?, count(7)?],
                    cost: row.get(8)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn last_row(transaction: &Transaction<'_>) -> Result<i64> {
    Ok(transaction
        .prepare_cached("SELECT coalesce(max(id), 0) FROM interaction")?
        .query_row([], |row| row.get(0))?)
}

fn conditions(
    transaction: &Transaction<'_>,
    slice: &Slice,
    rows: RowRange,
) -> Result<Option<SliceConditions>> {
    let Some(mut conditions) = SliceConditions::new(transaction, slice)? else { return Ok(None) };
    conditions.and("interaction.id", ">", rows.after);
    conditions.and("interaction.id", "<=", rows.last.unwrap_or(i64::MAX));
    Ok(Some(conditions))
}

/// What a run made of an interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct InteractionOutcome {
    /// The run.
    pub run: RunId,
    /// Probability with which it was taken.
    pub probability: f64,
    /// Its outcomes.
    pub item: ItemRow,
}

impl Store {
    /// What the last of an evaluation's runs that took an interaction made of it.
    pub async fn interaction_outcome(
        &self,
        evaluation: EvaluationId,
        interaction: i64,
    ) -> Result<Option<InteractionOutcome>> {
        self.read(move |transaction| {
            let evaluation = evaluations::row_id(transaction, evaluation)?;
            let found = transaction
                .prepare_cached(
                    "SELECT run.id, run.uid, completion, coalesce(probability, 1.0) \
                     FROM run JOIN run_item ON run_item.run = run.id AND run_item.item = ?2 AND run_item.trial = 0 \
                     LEFT JOIN run_sample ON run_sample.run = run.id AND run_sample.interaction = ?2 \
                     WHERE run.evaluation = ?1 AND first_row IS NOT NULL ORDER BY run.id DESC LIMIT 1",
                )?
                .query_row((evaluation, interaction), |row| {
                    Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()?;
            let Some((run, uid, completion, probability)) = found else { return Ok(None) };
            let mut item = ItemRow {
                item: interaction,
                completion: completion_of(completion),
                ..ItemRow::default()
            };
            fill_outcomes(transaction, run, &mut item)?;
            Ok(Some(InteractionOutcome { run: RunId::from_bytes(uid), probability, item }))
        })
        .await
    }

    /// Whether an interaction is in a slice.
    pub async fn interaction_is_in(&self, slice: Slice, interaction: i64) -> Result<bool> {
        self.read(move |transaction| {
            let Some(mut conditions) = SliceConditions::new(transaction, &slice)? else { return Ok(false) };
            conditions.and("interaction.id", "=", interaction);
            let sql = format!("SELECT 1 FROM interaction WHERE {}", conditions.sql());
            Ok(transaction.prepare(&sql)?.exists(conditions.values())?)
        })
        .await
    }

    /// The rows that the evaluation's last started run takes from, and whether
    /// it is still open.
    pub async fn last_run_rows(&self, evaluation: EvaluationId) -> Result<Option<(RowRange, bool)>> {
        self.read(move |transaction| {
            let evaluation = evaluations::row_id(transaction, evaluation)?;
            Ok(transaction
                .prepare_cached(
                    "SELECT first_row, last_row, state IN ('queued', 'running') FROM run \
                     WHERE evaluation = ?1 AND first_row IS NOT NULL ORDER BY id DESC LIMIT 1",
                )?
                .query_row([evaluation], |row| {
                    Ok((RowRange { after: row.get(0)?, last: row.get(1)? }, row.get(2)?))
                })
                .optional()?)
        })
        .await
    }
}
