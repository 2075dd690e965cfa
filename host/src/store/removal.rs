//! Taking interactions, events and sessions out, with all that hangs on them.
//!
//! What goes leaves nothing behind that tells of it: scores and signals hold
//! quotations. Rows of interactions are never numbered anew (`AUTOINCREMENT`),
//! because runs remember how far they have come by them.

use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension as _, Transaction};

use super::{Result, reviews, transcripts};

/// Rows that go in one transaction; what hangs on the last one goes with it.
pub(super) const ROWS_MAX: usize = 1_000;
/// A transaction that took this long ends early.
const TIME_MAX: Duration = Duration::from_millis(50);

/// Counts what a transaction has done.
pub(super) struct Budget {
    rows: usize,
    started: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self { rows: 0, started: Instant::now() }
    }
}

impl Budget {
    pub fn spend(&mut self, rows: usize) {
        self.rows += rows;
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn is_spent(&self) -> bool {
        self.rows >= ROWS_MAX || self.started.elapsed() >= TIME_MAX
    }
}

/// A run over production, with the rows that have an outcome in it.
#[derive(Debug, Clone)]
pub(super) struct ScoringRun {
    pub run: i64,
    pub first: i64,
    pub last: i64,
    scorers: Vec<i64>,
}

/// Every run over production that has outcomes.
pub(super) fn scoring_runs(transaction: &Transaction<'_>) -> Result<Vec<ScoringRun>> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, (SELECT min(item) FROM run_item WHERE run_item.run = run.id), \
                (SELECT max(item) FROM run_item WHERE run_item.run = run.id) \
         FROM run WHERE first_row IS NOT NULL",
    )?;
    let mut scorers = transaction.prepare_cached("SELECT id FROM run_scorer WHERE run = ?1")?;
    let mut rows = statement.query([])?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        let (Some(first), Some(last)) = (row.get(1)?, row.get(2)?) else { continue };
        let run = row.get(0)?;
        let scorers = scorers.query_map([run], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        runs.push(ScoringRun { run, first, last, scorers });
    }
    Ok(runs)
}

/// Takes an interaction out, with its scores, signals and reviews. Answers how many
/// rows went, and its session.
pub(super) fn interaction(
    transaction: &Transaction<'_>,
    runs: &[ScoringRun],
    row: i64,
) -> Result<(usize, Option<i64>)> {
    let mut gone = 0;
    for run in runs.iter().filter(|run| run.first <= row && row <= run.last) {
        let had = transaction
            .prepare_cached("DELETE FROM run_item WHERE run = ?1 AND item = ?2")?
            .execute((run.run, row))?;
        if had == 0 {
            continue;
        }
        gone += had;
        gone += transaction
            .prepare_cached("DELETE FROM run_sample WHERE run = ?1 AND interaction = ?2")?
            .execute((run.run, row))?;
        for scorer in &run.scorers {
            gone += transcripts::remove(transaction, *scorer, row)?;
            gone += transaction
                .prepare_cached("DELETE FROM score WHERE run_scorer = ?1 AND item = ?2")?
                .execute((scorer, row))?;
            gone += transaction
                .prepare_cached("DELETE FROM unscored WHERE run_scorer = ?1 AND item = ?2")?
                .execute((scorer, row))?;
        }
    }
    gone += reviews::forget_interaction(transaction, row)?;
    gone += transaction
        .prepare_cached("DELETE FROM signal WHERE interaction = ?1 AND interaction > 0")?
        .execute([row])?;
    gone += transaction.prepare_cached("DELETE FROM class_change WHERE interaction = ?1")?.execute([row])?;
    let session = transaction
        .prepare_cached("SELECT session FROM interaction WHERE id = ?1")?
        .query_row([row], |row| row.get(0))
        .optional()?
        .flatten();
    gone += transaction.prepare_cached("DELETE FROM interaction WHERE id = ?1")?.execute([row])?;
    Ok((gone, session))
}

/// Takes what extractors said of a session out.
pub(super) fn session_signals(transaction: &Transaction<'_>, session: i64) -> Result<usize> {
    let signals = transaction.prepare_cached("DELETE FROM signal WHERE session = ?1")?.execute([session])?;
    let unscored =
        transaction.prepare_cached("DELETE FROM session_unscored WHERE session = ?1")?.execute([session])?;
    Ok(signals + unscored)
}

/// Takes a session out in which nothing is left; answers how many rows went.
pub(super) fn empty_session(transaction: &Transaction<'_>, session: i64) -> Result<usize> {
    let used = transaction
        .prepare_cached(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM interaction WHERE session = ?1) \
             OR EXISTS (SELECT 1 FROM event WHERE session = ?1)",
        )?
        .exists([session])?;
    if used {
        return Ok(0);
    }
    let signals = session_signals(transaction, session)?;
    Ok(signals + transaction.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([session])?)
}
