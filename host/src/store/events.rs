//! What users did.

use rusqlite::{OptionalExtension as _, Transaction, named_params};

use super::Result;
use super::interactions::Kept;
use super::names::Names;
use super::sessions::{self, SessionKey, Stretch};
use crate::domain::clock::Timestamp;
use crate::domain::production::Event;

/// Writes an event unless its id is there, and finds its session.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    names: &mut Names,
    event: &Event,
    received_at: Timestamp,
    idle_gap_us: i64,
) -> Result<Kept> {
    let known =
        transaction.prepare_cached("SELECT 1 FROM event WHERE uid = ?1")?.exists([event.id.as_bytes()])?;
    if known {
        return Ok(Kept::Duplicate);
    }
    let session = session_of(transaction, names, event, received_at, idle_gap_us)?;
    transaction
        .prepare_cached(
            "INSERT INTO event (uid, interaction_uid, session, user, at_us, received_at_us, kind, value) \
             VALUES (:uid, :interaction, :session, :user, :at, :received, :kind, :value)",
        )?
        .execute(named_params! {
            ":uid": event.id.as_bytes(),
            ":interaction": event.interaction.as_ref().map(|id| id.as_bytes()),
            ":session": session,
            ":user": names.intern_some(transaction, event.user.as_deref())?,
            ":at": event.at.0,
            ":received": received_at.0,
            ":kind": event.kind,
            ":value": event.value.as_ref().map(serde_json::Value::to_string),
        })?;
    Ok(Kept::New)
}

/// The interaction that an event names.
struct Found {
    row: i64,
    session: Option<i64>,
    user: Option<i64>,
    started_at_us: i64,
    total_us: i64,
}

/// The session of the interaction that it names, else the one that it names
/// itself; none while the interaction has not come yet.
fn session_of(
    transaction: &Transaction<'_>,
    names: &mut Names,
    event: &Event,
    received_at: Timestamp,
    idle_gap_us: i64,
) -> Result<Option<i64>> {
    let stretch = Stretch { from_us: event.at.0, to_us: event.at.0, received_at_us: received_at.0 };
    if let Some(id) = event.interaction {
        let found = transaction
            .prepare_cached(
                "SELECT id, session, user, started_at_us, total_us FROM interaction \
                 WHERE uid BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1",
            )?
            .query_row((id.as_bytes(), id.last_that_it_means().as_bytes()), |row| {
                Ok(Found {
                    row: row.get(0)?,
                    session: row.get(1)?,
                    user: row.get(2)?,
                    started_at_us: row.get(3)?,
                    total_us: row.get::<_, Option<i64>>(4)?.unwrap_or(0),
                })
            })
            .optional()?;
        if let Some(found) = found {
            if let Some(session) = found.session {
                sessions::touch(transaction, session, None, stretch)?;
                return Ok(Some(session));
            }
            let whole = Stretch {
                from_us: found.started_at_us.min(event.at.0),
                to_us: (found.started_at_us + found.total_us).max(event.at.0),
                ..stretch
            };
            let session = sessions::insert_lone(transaction, id.as_bytes(), found.user, whole)?;
            transaction
                .prepare_cached("UPDATE interaction SET session = ?2 WHERE id = ?1")?
                .execute((found.row, session))?;
            return Ok(Some(session));
        }
    }
    let Some(session) = &event.session else { return Ok(None) };
    let key = SessionKey::Session(session);
    sessions::join(transaction, names, key, event.user.as_deref(), stretch, idle_gap_us).map(Some)
}
