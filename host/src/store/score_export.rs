//! Which scores of production were not sent to a collector yet.
//!
//! A run's outcomes are committed out of order, so a row counts as there only
//! once the run has noted that all up to it have their outcome.

use rusqlite::{Transaction, named_params};

use super::export::{ProductionRun, ScoredInteraction};
use super::results::{ItemRow, completion_of, fill_outcomes};
use super::{Result, Store, payload, retention, runs};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{EvaluationId, InteractionId, RunId};

const DUTY: &str = "scores exported";

/// Scores of one run that are to be sent.
#[derive(Debug, Clone)]
pub struct ScorePage {
    /// Of which run.
    pub run: ProductionRun,
    /// The interactions with their scores.
    pub interactions: Vec<TracedScores>,
    /// The last of their rows.
    last: i64,
    /// The run is over, and nothing follows.
    complete: bool,
}

/// What a run made of an interaction, with where that was traced.
#[derive(Debug, Clone)]
pub struct TracedScores {
    /// The scores.
    pub scored: ScoredInteraction,
    /// Its trace, as hexadecimal digits.
    pub trace: Option<String>,
    /// Its root span, as hexadecimal digits.
    pub span: Option<String>,
}

impl Store {
    /// Notes that scores are sent from now on: those that are there already are
    /// not, unless this was noted before.
    pub async fn score_export_begin(&self, now: Timestamp) -> Result<()> {
        self.write(move |transaction| {
            if retention::mark(transaction, DUTY)?.0 > 0 {
                return Ok(());
            }
            transaction.execute(
                "INSERT INTO score_export (run, item, complete) \
                 SELECT id, coalesce((SELECT max(item) FROM run_item WHERE run_item.run = run.id), 0), \
                        state NOT IN ('queued', 'running') \
                 FROM run WHERE first_row IS NOT NULL ON CONFLICT DO NOTHING",
                [],
            )?;
            retention::set_mark(transaction, DUTY, now.0, 0)
        })
        .await
    }

    /// The next scores to send, of so many interactions; none where all were
    /// sent.
    pub async fn score_export_page(&self, limit: u32) -> Result<Option<ScorePage>> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT run.id, run.uid, evaluation.uid, evaluation.name, coalesce(score_export.item, 0), \
                        iif(state IN ('queued', 'running'), coalesce(seen_row, 0), :all) \
                 FROM run JOIN evaluation ON evaluation.id = run.evaluation LEFT JOIN score_export ON score_export.run = run.id \
                 WHERE first_row IS NOT NULL AND coalesce(complete, 0) = 0 ORDER BY run.id",
            )?;
            let mut open = statement.query(named_params! { ":all": i64::MAX })?;
            while let Some(row) = open.next()? {
                let (run, sent, seen): (i64, i64, i64) = (row.get(0)?, row.get(4)?, row.get(5)?);
                let (interactions, last) = read_page(transaction, run, (sent, seen), limit)?;
                let is_over = seen == i64::MAX;
                let complete = is_over && interactions.len() < limit as usize;
                if interactions.is_empty() && !complete {
                    continue;
                }
                let scorers = runs::pinned(transaction, run)?;
                let run = ProductionRun {
                    row: run,
                    id: RunId::from_bytes(row.get(1)?),
                    evaluation: EvaluationId::from_bytes(row.get(2)?),
                    evaluation_name: row.get(3)?,
                    scorers: scorers.into_iter().map(|pinned| pinned.scorer).collect(),
                };
                return Ok(Some(ScorePage { run, interactions, last, complete }));
            }
            Ok(None)
        })
        .await
    }

    /// Notes that a page was sent.
    pub async fn score_export_done(&self, page: &ScorePage) -> Result<()> {
        let (run, last, complete) = (page.run.row, page.last, page.complete);
        self.write(move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO score_export (run, item, complete) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (run) DO UPDATE SET item = excluded.item, complete = excluded.complete",
                )?
                .execute((run, last, complete))?;
            Ok(())
        })
        .await
    }
}

fn read_page(
    transaction: &Transaction<'_>,
    run: i64,
    (sent, seen): (i64, i64),
    limit: u32,
) -> Result<(Vec<TracedScores>, i64)> {
    let mut statement = transaction.prepare_cached(
        "SELECT run_item.item, interaction.uid, started_at_us, name.text, completion, \
                coalesce(run_sample.probability, 1.0), upstream_probability, payload \
         FROM run_item CROSS JOIN interaction ON interaction.id = run_item.item \
         LEFT JOIN run_sample ON run_sample.run = run_item.run AND run_sample.interaction = run_item.item \
         LEFT JOIN name ON name.id = request_class \
         WHERE run_item.run = ?1 AND run_item.item > ?2 AND run_item.item <= ?3 AND interaction.uid IS NOT NULL \
         ORDER BY run_item.item LIMIT ?4",
    )?;
    let mut rows = statement.query((run, sent, seen, limit))?;
    let (mut interactions, mut last) = (Vec::new(), sent);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        let mut item = ItemRow {
            item: last,
            request_class: row.get(3)?,
            completion: completion_of(row.get(4)?),
            ..ItemRow::default()
        };
        fill_outcomes(transaction, run, &mut item)?;
        let origin = payload::decode(row.get_ref(7)?.as_blob().map_err(rusqlite::Error::from)?)?.origin;
        interactions.push(TracedScores {
            scored: ScoredInteraction {
                id: InteractionId::from_bytes(row.get(1)?),
                started_at: Timestamp(row.get(2)?),
                probability: row.get(5)?,
                upstream_probability: row.get(6)?,
                item,
            },
            trace: origin.trace,
            span: origin.span,
        });
    }
    Ok((interactions, last))
}
