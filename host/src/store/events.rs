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
        let found: Option<(i64, Option<i64>, Option<i64>, i64, Option<i64>)> = transaction
            .prepare_cached(
                "SELECT id, session, user, started_at_us, total_us FROM interaction \
                 WHERE uid BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1",
            )?
            .query_row((id.as_bytes(), id.last_that_it_means().as_bytes()), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .optional()?;
        if let Some((row, session, user, started_at, total)) = found {
            if let Some(session) = session {
                sessions::touch(transaction, session, None, stretch)?;
                return Ok(Some(session));
            }
            let whole = Stretch {
                from_us: started_at.min(event.at.0),
                to_us: (started_at + total.unwrap_or(0)).max(event.at.0),
                ..stretch
            };
            let session = sessions::insert_lone(transaction, id.as_bytes(), user, whole)?;
            transaction
                .prepare_cached("UPDATE interaction SET session = ?2 WHERE id = ?1")?
                .execute((row, session))?;
            return Ok(Some(session));
        }
    }
    let Some(session) = &event.session else { return Ok(None) };
    let key = SessionKey::Session(session);
    sessions::join(transaction, names, key, event.user.as_deref(), stretch, idle_gap_us).map(Some)
}
