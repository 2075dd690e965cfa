//! Spans that wait for the rest of their trace.

use rusqlite::{OptionalExtension as _, Transaction, named_params};

use super::interactions::{self, Kept, NewInteraction};
use super::latency;
use super::names::Names;
use super::payload::{pack, unpack};
use super::{Result, Store};
use crate::domain::clock::Timestamp;
use crate::domain::ids::InteractionId;
use crate::domain::production::IncomingScore;

/// Names a trace.
pub type TraceId = [u8; 16];

/// A span, or a log record that belongs to one, on its way in. The record is
/// opaque here.
#[derive(Debug, Clone)]
pub struct PendingPart {
    /// Of which trace.
    pub trace: TraceId,
    /// Of which span.
    pub span: [u8; 8],
    /// 0 for the span itself, else what tells its records apart.
    pub part: i64,
    /// Whether it is a span without a parent.
    pub is_root: bool,
    packed: Vec<u8>,
}

impl PendingPart {
    /// Packs a record.
    pub fn new(trace: TraceId, span: [u8; 8], part: i64, is_root: bool, record: &[u8]) -> Self {
        Self { trace, span, part, is_root, packed: pack(record) }
    }

    /// Its size in the database, roughly.
    pub fn size(&self) -> usize {
        self.packed.len() + 100
    }
}

/// How long a trace waits.
#[derive(Debug, Clone, Copy)]
pub struct TraceWaits {
    /// After its last span, once its root is there.
    pub settle_us: i64,
    /// After its last span, without a root.
    pub rootless_us: i64,
}

/// Writes a part unless it is there; its trace waits from now on.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    part: &PendingPart,
    received_at: Timestamp,
    waits: TraceWaits,
) -> Result<Kept> {
    let added = transaction
        .prepare_cached(
            "INSERT INTO span (trace, span, part, record) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute((part.trace, part.span, part.part, &part.packed))?;
    if added == 0 {
        return Ok(Kept::Duplicate);
    }
    transaction
        .prepare_cached(
            "INSERT INTO trace (id, due_at_us, root_seen, last_received_at_us) \
             VALUES (:id, :now + iif(:root, :settle, :rootless), :root, :now) \
             ON CONFLICT (id) DO UPDATE SET root_seen = max(root_seen, :root), last_received_at_us = :now, \
                 due_at_us = :now + iif(max(root_seen, :root), :settle, :rootless)",
        )?
        .execute(named_params! {
            ":id": part.trace,
            ":now": received_at.0,
            ":root": part.is_root,
            ":settle": waits.settle_us,
            ":rootless": waits.rootless_us,
        })?;
    Ok(Kept::New)
}

/// What was made of a trace.
#[derive(Debug, Clone)]
pub struct AssembledTrace {
    /// Which.
    pub id: TraceId,
    /// As of which of its parts.
    pub last_received_at: Timestamp,
    /// Its interactions.
    pub interactions: Vec<NewInteraction>,
    /// Scores of interactions that did not wait for them.
    pub late_scores: Vec<(InteractionId, IncomingScore)>,
}

/// A trace that has waited long enough.
#[derive(Debug, Clone)]
pub struct DueTrace {
    /// Which.
    pub id: TraceId,
    /// When its last part came; tells whether another came meanwhile.
    pub last_received_at: Timestamp,
    /// (part, record) of each of its parts.
    pub parts: Vec<(i64, Vec<u8>)>,
}

impl Store {
    /// The traces that have waited long enough, the longest first.
    pub async fn traces_due(&self, now: Timestamp, limit: u32) -> Result<Vec<DueTrace>> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT id, last_received_at_us FROM trace WHERE due_at_us <= ?1 ORDER BY due_at_us LIMIT ?2",
            )?;
            let due: Vec<(TraceId, i64)> = statement
                .query_map((now.0, limit), |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let mut records = transaction
                .prepare_cached("SELECT part, record FROM span WHERE trace = ?1 ORDER BY span, part")?;
            due.into_iter()
                .map(|(id, last_received_at)| {
                    let mut parts = Vec::new();
                    let mut rows = records.query([id])?;
                    while let Some(row) = rows.next()? {
                        parts.push((row.get(0)?, unpack(&row.get::<_, Vec<u8>>(1)?)?));
                    }
                    Ok(DueTrace { id, last_received_at: Timestamp(last_received_at), parts })
                })
                .collect()
        })
        .await
    }

    /// The traces that wait, whether or not long enough.
    pub async fn traces_waiting(&self) -> Result<Vec<TraceId>> {
        self.read(|transaction| {
            let mut statement =
                transaction.prepare_cached("SELECT id FROM trace WHERE due_at_us IS NOT NULL")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Keeps what was made of traces. An interaction that an earlier
    /// assembly made gives way where the new one differs. Answers how many
    /// interactions are new or changed.
    pub async fn traces_assembled(&self, assembled: Vec<AssembledTrace>, idle_gap_us: i64) -> Result<u64> {
        self.write(move |transaction| {
            let mut names = Names::default();
            let mut changed = 0;
            for trace in assembled {
                changed += revise(transaction, &mut names, &trace.id, &trace.interactions, idle_gap_us)?;
                for (id, score) in trace.late_scores {
                    interactions::add_score(transaction, id, score)?;
                }
                // A part that came meanwhile has set a new due time, and the trace waits again.
                transaction
                    .prepare_cached(
                        "UPDATE trace SET due_at_us = NULL WHERE id = ?1 AND last_received_at_us = ?2",
                    )?
                    .execute((trace.id, trace.last_received_at.0))?;
            }
            Ok(changed)
        })
        .await
    }

    /// Forgets the spans of traces that were assembled and got nothing since.
    pub async fn traces_forget(&self, received_before: Timestamp, limit: u32) -> Result<usize> {
        self.write(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT id FROM trace WHERE last_received_at_us < ?1 AND due_at_us IS NULL LIMIT ?2",
            )?;
            let old: Vec<TraceId> = statement
                .query_map((received_before.0, limit), |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for id in &old {
                transaction.prepare_cached("DELETE FROM span WHERE trace = ?1")?.execute([id])?;
                transaction.prepare_cached("DELETE FROM trace WHERE id = ?1")?.execute([id])?;
            }
            Ok(old.len())
        })
        .await
    }
}

fn revise(
    transaction: &Transaction<'_>,
    names: &mut Names,
    trace: &TraceId,
    interactions: &[NewInteraction],
    idle_gap_us: i64,
) -> Result<u64> {
    let (low, high) = InteractionId::range_of_trace(trace);
    let mut earlier: Vec<(i64, InteractionId)> = transaction
        .prepare_cached("SELECT id, uid FROM interaction WHERE uid BETWEEN ?1 AND ?2")?
        .query_map((low.as_bytes(), high.as_bytes()), |row| {
            Ok((row.get(0)?, InteractionId::from_bytes(row.get(1)?)))
        })?
        .collect::<rusqlite::Result<_>>()?;
    if interactions.is_empty() {
        return Ok(0);
    }
    let mut changed = 0;
    let mut successor = None;
    for new in interactions {
        let before =
            earlier.iter().position(|(_, id)| *id == new.id).map(|place| earlier.swap_remove(place).0);
        if let Some(before) = before {
            if same_payload(transaction, before, new)? {
                successor = Some(before);
                continue;
            }
            transaction
                .prepare_cached("UPDATE interaction SET uid = NULL WHERE id = ?1")?
                .execute([before])?;
        }
        let row = interactions::write(transaction, names, new, idle_gap_us)?;
        if let Some(before) = before {
            supersede(transaction, before, row)?;
        }
        successor = Some(row);
        changed += 1;
    }
    // What an assembly without the root had taken for interactions of their own.
    for (row, _) in earlier {
        if let Some(successor) = successor {
            transaction.prepare_cached("UPDATE interaction SET uid = NULL WHERE id = ?1")?.execute([row])?;
            supersede(transaction, row, successor)?;
        }
    }
    Ok(changed)
}

fn same_payload(transaction: &Transaction<'_>, row: i64, new: &NewInteraction) -> Result<bool> {
    let payload: Option<Vec<u8>> = transaction
        .prepare_cached("SELECT payload FROM interaction WHERE id = ?1")?
        .query_row([row], |row| row.get(0))
        .optional()?;
    Ok(payload.is_some_and(|payload| new.has_payload(&payload)))
}

fn supersede(transaction: &Transaction<'_>, old: i64, new: i64) -> Result<()> {
    transaction
        .prepare_cached("UPDATE interaction SET superseded_by = ?2, session = NULL WHERE id = ?1")?
        .execute((old, new))?;
    transaction
        .prepare_cached("UPDATE class_change SET interaction = ?2 WHERE interaction = ?1")?
        .execute((old, new))?;
    latency::mark_stale(transaction, old)
}
