//! Answers to creating requests, kept by the client's idempotency key.

use rusqlite::{OptionalExtension as _, named_params};

use super::{Result, Store};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;

/// How long an answer is kept, in microseconds: one day.
pub const KEPT_US: i64 = 24 * 3600 * 1_000_000;

/// An answer that was given before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: String,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recall {
    /// Nothing.
    New,
    /// The same request was answered.
    Same(Remembered),
    /// Another request used this key.
    Different,
}

impl Store {
    /// Looks a key up. `scope` is the method, the path and who asks.
    pub async fn idempotency_recall(
        &self,
        scope: String,
        key: String,
        request: Digest,
        now: Timestamp,
    ) -> Result<Recall> {
        self.read(move |transaction| {
            let found = transaction
                .prepare_cached(
                    "SELECT request_hash, status, body FROM idempotency \
                     WHERE scope = :scope AND key = :key AND created_at_us > :oldest",
                )?
                .query_row(
                    named_params! { ":scope": scope, ":key": key, ":oldest": now.0 - KEPT_US },
                    |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?, row.get(2)?)),
                )
                .optional()?;
            Ok(match found {
                None => Recall::New,
                Some((hash, status, body)) if hash == *request.as_bytes() => {
                    Recall::Same(Remembered { status, body })
                }
                Some(_) => Recall::Different,
            })
        })
        .await
    }

    /// Keeps an answer, and forgets those that are too old.
    pub async fn idempotency_remember(
        &self,
        scope: String,
        key: String,
        request: Digest,
        answer: Remembered,
        now: Timestamp,
    ) -> Result<()> {
        self.write(move |transaction| {
            transaction.execute("DELETE FROM idempotency WHERE created_at_us <= ?1", [now.0 - KEPT_US])?;
            transaction
                .prepare_cached(
                    "INSERT INTO idempotency (scope, key, request_hash, status, body, created_at_us) \
                     VALUES (:scope, :key, :hash, :status, :body, :at) ON CONFLICT DO NOTHING",
                )?
                .execute(named_params! {
                    ":scope": scope,
                    ":key": key,
                    ":hash": request.as_bytes(),
                    ":status": answer.status,
                    ":body": answer.body,
                    ":at": now.0,
                })?;
            Ok(())
        })
        .await
    }
}
