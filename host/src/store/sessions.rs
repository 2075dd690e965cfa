//! Sessions: which one an interaction or event belongs to, and when one is over.

use rusqlite::{OptionalExtension as _, Transaction, named_params};

use super::names::Names;
use super::{Result, Store};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;
use crate::domain::ids::SessionId;

/// How the client names a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionKey<'a> {
    /// By a session's name: all that bears it belongs together.
    Session(&'a str),
    /// By a conversation's name, which is cut at idle gaps.
    Conversation(&'a str),
}

impl SessionKey<'_> {
    fn text(self) -> String {
        match self {
            Self::Session(name) => format!("s:{name}"),
            Self::Conversation(name) => format!("c:{name}"),
        }
    }
}

/// A stretch of time that something took, and when it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub from_us: i64,
    pub to_us: i64,
    pub received_at_us: i64,
}

/// The session of something that happened; made where there is none, opened
/// again where it was closed.
pub(super) fn join(
    transaction: &Transaction<'_>,
    names: &mut Names,
    key: SessionKey<'_>,
    user: Option<&str>,
    stretch: Stretch,
    idle_gap_us: i64,
) -> Result<i64> {
    let text = key.text();
    let user = names.intern_some(transaction, user)?;
    let found = match key {
        SessionKey::Session(_) => transaction
            .prepare_cached("SELECT id FROM session WHERE key = ?1 ORDER BY id LIMIT 1")?
            .query_row([&text], |row| row.get(0))
            .optional()?,
        SessionKey::Conversation(_) => transaction
            .prepare_cached(
                "SELECT id FROM session WHERE key = ?1 AND first_at_us - ?4 <= ?3 AND last_at_us + ?4 >= ?2 \
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row((&text, stretch.from_us, stretch.to_us, idle_gap_us), |row| row.get(0))
            .optional()?,
    };
    match found {
        Some(session) => {
            touch(transaction, session, user, stretch)?;
            Ok(session)
        }
        None => insert(transaction, Some(&text), user, stretch),
    }
}

/// A session of one interaction that stands alone.
pub(super) fn insert_lone(
    transaction: &Transaction<'_>,
    interaction_uid: &[u8; 16],
    user: Option<i64>,
    stretch: Stretch,
) -> Result<i64> {
    insert_as(transaction, SessionId::derived(&Digest::of(interaction_uid)), None, user, stretch)
}

fn insert(
    transaction: &Transaction<'_>,
    key: Option<&str>,
    user: Option<i64>,
    stretch: Stretch,
) -> Result<i64> {
    let name = format!("{} {}", key.unwrap_or_default(), stretch.from_us);
    insert_as(transaction, SessionId::derived(&Digest::of(name.as_bytes())), key, user, stretch)
}

fn insert_as(
    transaction: &Transaction<'_>,
    id: SessionId,
    key: Option<&str>,
    user: Option<i64>,
    stretch: Stretch,
) -> Result<i64> {
    Ok(transaction
        .prepare_cached(
            "INSERT INTO session (uid, key, user, first_at_us, last_at_us, last_received_at_us) \
             VALUES (:uid, :key, :user, :first, :last, :received)",
        )?
        .insert(named_params! {
            ":uid": id.as_bytes(),
            ":key": key,
            ":user": user,
            ":first": stretch.from_us,
            ":last": stretch.to_us,
            ":received": stretch.received_at_us,
        })?)
}

/// Notes that something was added to a session.
pub(super) fn touch(
    transaction: &Transaction<'_>,
    session: i64,
    user: Option<i64>,
    stretch: Stretch,
) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE session SET user = coalesce(user, ?2), first_at_us = min(first_at_us, ?3), \
                    last_at_us = max(last_at_us, ?4), last_received_at_us = max(last_received_at_us, ?5), \
                    closed_at_us = NULL, revision = revision + 1 \
             WHERE id = ?1",
        )?
        .execute((session, user, stretch.from_us, stretch.to_us, stretch.received_at_us))?;
    Ok(())
}

impl Store {
    /// Closes sessions in which nothing happened for a time, and in which nothing
    /// was received for another; answers how many.
    pub async fn sessions_close(&self, now: Timestamp, idle_us: i64, quiet_us: i64) -> Result<usize> {
        self.write(move |transaction| {
            Ok(transaction
                .prepare_cached(
                    "UPDATE session SET closed_at_us = :now WHERE closed_at_us IS NULL \
                     AND last_received_at_us <= :now - :quiet AND last_at_us <= :now - :idle",
                )?
                .execute(named_params! { ":now": now.0, ":idle": idle_us, ":quiet": quiet_us })?)
        })
        .await
    }
}
