//! Runs and their states.

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::evaluations::row_id;
use super::reference_sets::VersionRef;
use super::{Result, Store, StoreError, json, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;
use crate::domain::evaluation::Definition;
use crate::domain::ids::{EvaluationId, RunId};
use crate::domain::run::{Progress, Run, RunScorer, RunState, Trigger};

/// A run that is about to exist.
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Of which evaluation.
    pub evaluation: EvaluationId,
    /// What started it.
    pub trigger: Trigger,
    /// Where it stands: queued, or skipped.
    pub state: RunState,
    /// The definition as it is now.
    pub definition: Definition,
    /// When.
    pub at: Timestamp,
    /// With a schedule: when it was due, and when it is due next. The schedule
    /// moves on in the same transaction, so no tick runs twice.
    pub tick: Option<(Timestamp, Option<Timestamp>)>,
}

/// The rows of `interaction` that a run takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRange {
    /// After this one.
    pub after: i64,
    /// Up to this one; without it the run follows what comes in.
    pub last: Option<i64>,
}

/// What a started run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunInput {
    /// A version of a reference set.
    ReferenceSet(VersionRef),
    /// Interactions of production.
    Production(RowRange),
}

/// A scorer with all that it needs to run.
#[derive(Debug, Clone, PartialEq)]
pub struct PinnedScorer {
    /// The store's own id of it.
    pub row: i64,
    /// What it is.
    pub scorer: RunScorer,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Of this evaluation only.
    pub evaluation: Option<EvaluationId>,
    /// In this state only.
    pub state: Option<String>,
    /// Older than this run.
    pub before: Option<RunId>,
    /// The most runs.
    pub limit: u32,
}

const COLUMNS: &str = "run.id, run.uid, evaluation.uid, trigger, state_detail, run.definition, run.created_at_us, \
                       reference_set_version.number, total, done";

struct Columns {
    row: i64,
    id: [u8; 16],
    evaluation: [u8; 16],
    trigger: String,
    state: String,
    definition: String,
    created_at: i64,
    version: Option<u32>,
    total: i64,
    done: i64,
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok(Columns {
        row: row.get(0)?,
        id: row.get(1)?,
        evaluation: row.get(2)?,
        trigger: row.get(3)?,
        state: row.get(4)?,
        definition: row.get(5)?,
        created_at: row.get(6)?,
        version: row.get(7)?,
        total: row.get(8)?,
        done: row.get(9)?,
    })
}

fn read(transaction: &Transaction<'_>, columns: Columns) -> Result<Run> {
    let scorers = pinned(transaction, columns.row)?;
    Ok(Run {
        id: RunId::from_bytes(columns.id),
        evaluation: EvaluationId::from_bytes(columns.evaluation),
        trigger: serde_json::from_str(&columns.trigger).map_err(unreadable("trigger"))?,
        state: serde_json::from_str(&columns.state).map_err(unreadable("run state"))?,
        created_at: Timestamp(columns.created_at),
        definition: serde_json::from_str(&columns.definition).map_err(unreadable("definition"))?,
        reference_set_version: columns.version,
        scorers: scorers.into_iter().map(|pinned| pinned.scorer).collect(),
        progress: Progress { total: columns.total as u64, done: columns.done as u64 },
    })
}

pub(super) fn pinned(transaction: &Transaction<'_>, run: i64) -> Result<Vec<PinnedScorer>> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, name, plugin, plugin_version, digest, contract, config, outputs \
         FROM run_scorer WHERE run = ?1 ORDER BY position",
    )?;
    let rows = statement.query_map([run], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, String>(3)?,
            row.get::<_, [u8; 32]>(4)?,
            row.get::<_, String>(5)?,
            row.get::<_, String>(6)?,
            row.get::<_, String>(7)?,
        ))
    })?;
    rows.map(|row| {
        let (id, name, plugin, version, digest, contract, config, outputs) = row?;
        let scorer = RunScorer {
            name,
            plugin,
            version,
            digest: Digest::from_bytes(digest),
            contract,
            config: serde_json::from_str(&config).map_err(unreadable("configuration"))?,
            outputs: serde_json::from_str(&outputs).map_err(unreadable("list of outputs"))?,
        };
        Ok(PinnedScorer { row: id, scorer })
    })
    .collect()
}

fn not_found(id: RunId) -> StoreError {
    StoreError::NotFound { kind: "run", name: id.to_string() }
}

/// The store's own id of a run.
pub(super) fn run_row(transaction: &Transaction<'_>, id: RunId) -> Result<i64> {
    transaction
        .prepare_cached("SELECT id FROM run WHERE uid = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Changes the state of a run that is not over.
fn set_state(transaction: &Transaction<'_>, row: i64, state: &RunState) -> Result<bool> {
    let changed = transaction
        .prepare_cached(
            "UPDATE run SET state = ?2, state_detail = ?3 WHERE id = ?1 AND state IN ('queued', 'running')",
        )?
        .execute((row, state.as_str(), json(state)))?;
    Ok(changed == 1)
}

impl Store {
    /// Keeps a new run.
    pub async fn run_insert(&self, new: NewRun) -> Result<()> {
        self.write(move |transaction| {
            let evaluation = row_id(transaction, new.evaluation)?;
            if let Some((due_at, next_due_at)) = new.tick {
                let moved = transaction
                    .prepare_cached(
                        "UPDATE schedule SET next_due_at_us = ?3 WHERE evaluation = ?1 AND next_due_at_us = ?2",
                    )?
                    .execute((evaluation, due_at.0, next_due_at.map(|at| at.0)))?;
                if moved == 0 {
                    return Err(StoreError::Conflict("the schedule was changed meanwhile".into()));
                }
            }
            transaction
                .prepare_cached(
                    "INSERT INTO run (uid, evaluation, trigger, state, state_detail, definition, created_at_us) \
                     VALUES (:uid, :evaluation, :trigger, :state, :detail, :definition, :at)",
                )?
                .execute(named_params! {
                    ":uid": new.id.as_bytes(),
                    ":evaluation": evaluation,
                    ":trigger": json(&new.trigger),
                    ":state": new.state.as_str(),
                    ":detail": json(&new.state),
                    ":definition": json(&new.definition),
                    ":at": new.at.0,
                })?;
            Ok(())
        })
        .await
    }

    /// Moves a schedule on without a run.
    pub async fn schedule_skip(
        &self,
        evaluation: EvaluationId,
        due_at: Timestamp,
        next_due_at: Option<Timestamp>,
    ) -> Result<()> {
        self.write(move |transaction| {
            let row = row_id(transaction, evaluation)?;
            transaction
                .prepare_cached(
                    "UPDATE schedule SET next_due_at_us = ?3 WHERE evaluation = ?1 AND next_due_at_us = ?2",
                )?
                .execute((row, due_at.0, next_due_at.map(|at| at.0)))?;
            Ok(())
        })
        .await
    }

    /// Starts a queued run: pins its scorers and its version of the reference set.
    pub async fn run_start(
        &self,
        id: RunId,
        input: RunInput,
        scorers: Vec<RunScorer>,
        total: u64,
        at: Timestamp,
    ) -> Result<Vec<PinnedScorer>> {
        self.write(move |transaction| {
            let row = run_row(transaction, id)?;
            if !set_state(transaction, row, &RunState::Running { started_at: at })? {
                return Err(StoreError::Conflict(format!("run `{id}` is over")));
            }
            let (version, rows) = match input {
                RunInput::ReferenceSet(version) => (Some(version.id), None),
                RunInput::Production(rows) => (None, Some(rows)),
            };
            transaction.execute(
                "UPDATE run SET version = ?2, first_row = ?3, last_row = ?4, total = ?5 WHERE id = ?1",
                (row, version, rows.map(|rows| rows.after), rows.and_then(|rows| rows.last), total as i64),
            )?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO run_scorer \
                 (run, position, name, plugin, plugin_version, digest, contract, config, outputs) \
                 VALUES (:run, :position, :name, :plugin, :version, :digest, :contract, :config, :outputs)",
            )?;
            for (position, scorer) in scorers.iter().enumerate() {
                insert.execute(named_params! {
                    ":run": row,
                    ":position": position as i64,
                    ":name": scorer.name,
                    ":plugin": scorer.plugin,
                    ":version": scorer.version,
                    ":digest": scorer.digest.as_bytes(),
                    ":contract": scorer.contract,
                    ":config": scorer.config.to_string(),
                    ":outputs": json(&scorer.outputs),
                })?;
            }
            pinned(transaction, row)
        })
        .await
    }

    /// The pinned scorers of a run that was started, and what it takes.
    pub async fn run_pinned(&self, id: RunId) -> Result<(RunInput, Vec<PinnedScorer>)> {
        self.read(move |transaction| {
            let row = run_row(transaction, id)?;
            let input = transaction.query_row(
                "SELECT coalesce(seen_row, first_row), last_row, \
                        reference_set_version.id, first_item, last_item, number \
                 FROM run LEFT JOIN reference_set_version ON reference_set_version.id = run.version \
                 WHERE run.id = ?1",
                [row],
                |row| {
                    Ok(match row.get(0)? {
                        Some(after) => RunInput::Production(RowRange { after, last: row.get(1)? }),
                        None => RunInput::ReferenceSet(VersionRef {
                            id: row.get(2)?,
                            first_item: row.get(3)?,
                            last_item: row.get(4)?,
                            number: row.get(5)?,
                        }),
                    })
                },
            )?;
            Ok((input, pinned(transaction, row)?))
        })
        .await
    }

    /// Ends a run that is not over; answers whether this call did it.
    pub async fn run_end(&self, id: RunId, state: RunState) -> Result<bool> {
        self.write(move |transaction| {
            let row = run_row(transaction, id)?;
            set_state(transaction, row, &state)
        })
        .await
    }

    /// One run.
    pub async fn run_get(&self, id: RunId) -> Result<Run> {
        self.read(move |transaction| {
            let found = transaction
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM run JOIN evaluation ON evaluation.id = run.evaluation \
                     LEFT JOIN reference_set_version ON reference_set_version.id = run.version WHERE run.uid = ?1"
                ))?
                .query_row([id.as_bytes()], columns)
                .optional()?;
            read(transaction, found.ok_or_else(|| not_found(id))?)
        })
        .await
    }

    /// Runs, newest first.
    pub async fn run_list(&self, filter: RunFilter) -> Result<Vec<Run>> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM run JOIN evaluation ON evaluation.id = run.evaluation \
                 LEFT JOIN reference_set_version ON reference_set_version.id = run.version \
                 WHERE (:evaluation IS NULL OR evaluation.uid = :evaluation) \
                   AND (:state IS NULL OR run.state = :state) \
                   AND (:before IS NULL OR run.id < (SELECT id FROM run WHERE uid = :before)) \
                 ORDER BY run.id DESC LIMIT :limit"
            ))?;
            let rows = statement.query_map(
                named_params! {
                    ":evaluation": filter.evaluation.map(|id| *id.as_bytes()),
                    ":state": filter.state,
                    ":before": filter.before.map(|id| *id.as_bytes()),
                    ":limit": filter.limit,
                },
                columns,
            )?;
            rows.map(|row| read(transaction, row?)).collect()
        })
        .await
    }

    /// Runs that are queued or running, oldest first.
    pub async fn run_list_open(&self) -> Result<Vec<Run>> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM run JOIN evaluation ON evaluation.id = run.evaluation \
                 LEFT JOIN reference_set_version ON reference_set_version.id = run.version \
                 WHERE run.state IN ('queued', 'running') ORDER BY run.id"
            ))?;
            let rows = statement.query_map([], columns)?;
            rows.map(|row| read(transaction, row?)).collect()
        })
        .await
    }
}
