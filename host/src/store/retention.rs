//! Letting go of what is old, in small transactions, so that what comes in is
//! never held up for long.

use rusqlite::{OptionalExtension as _, Transaction, named_params};

use super::removal::{self, Budget, ROWS_MAX, ScoringRun};
use super::runs::run_row;
use super::{Result, Store, reviews};
use crate::domain::clock::Timestamp;
use crate::domain::ids::RunId;

/// What a step let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetGo {
    /// So many rows; 0 where nothing old is left.
    Rows(usize),
    /// None yet: the figures of these runs are to be kept first.
    FiguresFirst(Vec<RunId>),
}

impl Store {
    /// Lets interactions go that started before an instant, with their scores
    /// and signals. Those that an open run takes from stay until it is over.
    pub async fn interactions_let_go(&self, started_before: Timestamp) -> Result<LetGo> {
        self.write(move |transaction| {
            let open: i64 = transaction
                .prepare_cached(
                    "SELECT coalesce(min(first_row), ?1) FROM run WHERE state IN ('queued', 'running')",
                )?
                .query_row([i64::MAX], |row| row.get(0))?;
            let old: Vec<i64> = transaction
                .prepare_cached(
                    "SELECT id FROM interaction WHERE started_at_us < ?1 AND id <= ?2 \
                     ORDER BY started_at_us LIMIT ?3",
                )?
                .query_map((started_before.0, open, ROWS_MAX as i64), |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let (Some(first), Some(last)) = (old.iter().min(), old.iter().max()) else {
                return Ok(LetGo::Rows(0));
            };
            let mut runs = removal::scoring_runs(transaction)?;
            runs.retain(|run| run.first <= *last && run.last >= *first);
            let unkept = without_figures(transaction, &runs)?;
            if !unkept.is_empty() {
                return Ok(LetGo::FiguresFirst(unkept));
            }
            let mut budget = Budget::default();
            for row in old {
                let (gone, session) = removal::interaction(transaction, &runs, row)?;
                budget.spend(gone);
                if let Some(session) = session {
                    budget.spend(removal::empty_session(transaction, session)?);
                }
                if budget.is_spent() {
                    break;
                }
            }
            Ok(LetGo::Rows(budget.rows()))
        })
        .await
    }

    /// Lets events go that happened before an instant; answers how many rows
    /// went.
    pub async fn events_let_go(&self, happened_before: Timestamp) -> Result<usize> {
        self.write(move |transaction| {
            let old: Vec<(i64, Option<i64>)> = transaction
                .prepare_cached("SELECT id, session FROM event WHERE at_us < ?1 ORDER BY at_us LIMIT ?2")?
                .query_map((happened_before.0, ROWS_MAX as i64), |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let mut budget = Budget::default();
            for (event, session) in old {
                budget
                    .spend(transaction.prepare_cached("DELETE FROM event WHERE id = ?1")?.execute([event])?);
                if let Some(session) = session {
                    budget.spend(removal::empty_session(transaction, session)?);
                }
                if budget.is_spent() {
                    break;
                }
            }
            Ok(budget.rows())
        })
        .await
    }

    /// Lets the signals go of sessions that were closed before an instant.
    /// Answers none once all of them were looked at, else how many rows went.
    pub async fn signals_let_go(&self, closed_before: Timestamp) -> Result<Option<usize>> {
        self.write(move |transaction| {
            let (at, row) = mark(transaction, "signals")?;
            let old: Vec<(i64, i64)> = transaction
                .prepare_cached(
                    "SELECT closed_at_us, id FROM session \
                     WHERE closed_at_us IS NOT NULL AND (closed_at_us, id) > (?1, ?2) AND closed_at_us < ?3 \
                     ORDER BY closed_at_us, id LIMIT ?4",
                )?
                .query_map((at, row, closed_before.0, ROWS_MAX as i64), |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            if old.is_empty() {
                return Ok(None);
            }
            let mut budget = Budget::default();
            for (at, session) in old {
                budget.spend(removal::session_signals(transaction, session)?);
                set_mark(transaction, "signals", at, session)?;
                if budget.is_spent() {
                    break;
                }
            }
            Ok(Some(budget.rows()))
        })
        .await
    }

    /// Lets calls of judges go that were made before an instant; answers how many
    /// rows went.
    pub async fn transcripts_let_go(&self, asked_before: Timestamp) -> Result<usize> {
        self.write(move |transaction| {
            Ok(transaction
                .prepare_cached(
                    "DELETE FROM transcript WHERE id IN \
                     (SELECT id FROM transcript WHERE asked_at_us < ?1 ORDER BY id LIMIT ?2)",
                )?
                .execute((asked_before.0, ROWS_MAX as i64))?)
        })
        .await
    }

    /// Runs that were asked for before an instant, are over, and still have
    /// items.
    pub async fn runs_with_old_items(&self, created_before: Timestamp) -> Result<Vec<RunId>> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT uid FROM run WHERE created_at_us < ?1 AND state NOT IN ('queued', 'running') \
                   AND (EXISTS (SELECT 1 FROM run_item WHERE run_item.run = run.id) \
                        OR EXISTS (SELECT 1 FROM target_answer WHERE target_answer.run = run.id)) \
                 ORDER BY id",
            )?;
            let rows = statement.query_map([created_before.0], |row| row.get(0).map(RunId::from_bytes))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Lets the items and scores of a run that is over go; answers how many
    /// rows went, 0 at the end.
    pub async fn run_items_let_go(&self, run: RunId) -> Result<LetGo> {
        self.write(move |transaction| {
            let row = run_row(transaction, run)?;
            if figures(transaction, row)?.is_none() {
                return Ok(LetGo::FiguresFirst(vec![run]));
            }
            let scorers: Vec<i64> = transaction
                .prepare_cached("SELECT id FROM run_scorer WHERE run = ?1")?
                .query_map([row], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for scorer in scorers {
                for table in ["score", "unscored", "transcript_use"] {
                    let gone = first_items(transaction, table, "run_scorer", "item", scorer)?;
                    if gone > 0 {
                        return Ok(LetGo::Rows(gone));
                    }
                }
            }
            // What people said of answers goes with the answers.
            let gone = reviews::forget_answers(transaction, row, ROWS_MAX)?;
            if gone > 0 {
                return Ok(LetGo::Rows(gone));
            }
            // The items last: a run that has none is done.
            for (table, item) in
                [("target_answer", "item"), ("run_sample", "interaction"), ("run_item", "item")]
            {
                let gone = first_items(transaction, table, "run", item, row)?;
                if gone > 0 {
                    return Ok(LetGo::Rows(gone));
                }
            }
            Ok(LetGo::Rows(0))
        })
        .await
    }

    /// Keeps a run's figures, because what they are computed from is let go.
    /// Figures that are kept already stay.
    pub async fn run_figures_keep(&self, run: RunId, figures: String, at: Timestamp) -> Result<()> {
        self.write(move |transaction| {
            let row = run_row(transaction, run)?;
            transaction
                .prepare_cached(
                    "INSERT INTO run_figures (run, figures, frozen_at_us) VALUES (:run, :figures, :at) \
                     ON CONFLICT DO NOTHING",
                )?
                .execute(named_params! { ":run": row, ":figures": figures, ":at": at.0 })?;
            Ok(())
        })
        .await
    }

    /// The figures that were kept of a run, and since when.
    pub async fn run_figures(&self, run: RunId) -> Result<Option<(String, Timestamp)>> {
        self.read(move |transaction| {
            let row = run_row(transaction, run)?;
            figures(transaction, row)
        })
        .await
    }

    /// When retention was last carried through.
    pub async fn retention_done_at(&self) -> Result<Timestamp> {
        self.read(|transaction| Ok(Timestamp(mark(transaction, "all")?.0))).await
    }

    /// Notes that retention was carried through.
    pub async fn retention_done(&self, at: Timestamp) -> Result<()> {
        self.write(move |transaction| set_mark(transaction, "all", at.0, 0)).await
    }
}

fn figures(transaction: &Transaction<'_>, run: i64) -> Result<Option<(String, Timestamp)>> {
    Ok(transaction
        .prepare_cached("SELECT figures, frozen_at_us FROM run_figures WHERE run = ?1")?
        .query_row([run], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))
        .optional()?)
}

/// Which of some runs have no figures kept.
fn without_figures(transaction: &Transaction<'_>, runs: &[ScoringRun]) -> Result<Vec<RunId>> {
    let mut unkept = Vec::new();
    for run in runs {
        let found = transaction
            .prepare_cached(
                "SELECT uid FROM run WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM run_figures WHERE run = ?1)",
            )?
            .query_row([run.run], |row| row.get(0))
            .optional()?;
        unkept.extend(found.map(RunId::from_bytes));
    }
    Ok(unkept)
}

/// Deletes the rows of the first items of a run or scorer, about as many as go
/// at once. The names are this file's own.
fn first_items(
    transaction: &Transaction<'_>,
    table: &str,
    owner: &str,
    item: &str,
    of: i64,
) -> Result<usize> {
    let last: Option<i64> = transaction
        .prepare_cached(&format!(
            "SELECT max({item}) FROM \
                 (SELECT {item} FROM {table} WHERE {owner} = ?1 ORDER BY {item} LIMIT ?2)"
        ))?
        .query_row((of, ROWS_MAX as i64), |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    Ok(transaction
        .prepare_cached(&format!("DELETE FROM {table} WHERE {owner} = ?1 AND {item} <= ?2"))?
        .execute((of, last))?)
}

pub(super) fn mark(transaction: &Transaction<'_>, duty: &str) -> Result<(i64, i64)> {
    Ok(transaction
        .prepare_cached("SELECT at_us, row FROM duty_mark WHERE duty = ?1")?
        .query_row([duty], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .unwrap_or((0, 0)))
}

pub(super) fn set_mark(transaction: &Transaction<'_>, duty: &str, at_us: i64, row: i64) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO duty_mark (duty, at_us, row) VALUES (?1, ?2, ?3) \
             ON CONFLICT (duty) DO UPDATE SET at_us = excluded.at_us, row = excluded.row",
        )?
        .execute((duty, at_us, row))?;
    Ok(())
}
