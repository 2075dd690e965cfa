//! Calls of judges: what was asked, what was replied, what it was about.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::runs::run_row;
use super::{Result, Store, StoreError, json, payload, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;
use crate::domain::ids::{RunId, TranscriptId};
use crate::domain::interaction::Usage;

/// A call as it is written.
#[derive(Debug, Clone)]
pub struct NewTranscript {
    /// Id.
    pub id: TranscriptId,
    /// Digest of what was asked.
    pub key: Digest,
    /// The run that paid for it.
    pub run: Option<RunId>,
    /// Name of the judge's profile.
    pub profile: String,
    /// JSON of what was sent.
    pub request: String,
    /// Text of the reply.
    pub reply: Option<String>,
    /// The model as the response named it.
    pub model: Option<String>,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// Why there is no reply.
    pub failure: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// What it cost; none where that is not known.
    pub cost: Option<f64>,
    /// Requests sent.
    pub attempts: u32,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// How long it took with all attempts, in microseconds.
    pub latency_us: u64,
}

/// What a transcript is about: a scorer's work on one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TranscriptSubject {
    /// The store's own id of the run's scorer.
    pub run_scorer: i64,
    /// The store's own id of the item.
    pub item: i64,
    /// Which of several answers.
    pub trial: u32,
}

/// The store's own id of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TranscriptRow(i64);

/// What is written of a call.
#[derive(Debug, Clone)]
pub enum TranscriptEntry {
    /// A call that was made.
    New {
        /// The call.
        transcript: Box<NewTranscript>,
        /// What it is about.
        subject: Option<TranscriptSubject>,
    },
    /// A call of before that served again.
    Again {
        /// The call.
        transcript: TranscriptRow,
        /// What it was about this time.
        subject: TranscriptSubject,
    },
}

/// A reply that is there already.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptReply {
    /// The store's own id of its transcript.
    pub transcript: TranscriptRow,
    /// Its transcript's id.
    pub id: TranscriptId,
    /// Its text.
    pub text: String,
    /// The model as the response named it; empty where it did not.
    pub model: String,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// Tokens.
    pub usage: Usage,
}

/// A call as it is read.
#[derive(Debug, Clone)]
pub struct StoredTranscript {
    /// The call.
    pub call: NewTranscript,
    /// How often it served.
    pub uses: u64,
}

/// What a run asked of judges.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct JudgeCalls {
    /// Calls that it made.
    pub made: u64,
    /// Of them, those without a reply.
    pub failed: u64,
    /// Answers that an earlier call gave.
    pub from_cache: u64,
    /// What the calls cost, as far as it is known.
    pub cost: f64,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Tokens replied.
    pub output_tokens: u64,
}

const REPLY: &str = "SELECT id, uid, reply, coalesce(model, ''), finish_reason, usage FROM transcript";

impl Store {
    /// Writes calls and what they are about.
    pub async fn transcripts_insert(&self, entries: Arc<[TranscriptEntry]>) -> Result<()> {
        self.write(move |transaction| {
            for entry in entries.iter() {
                match entry {
                    TranscriptEntry::New { transcript, subject } => {
                        let row = insert(transaction, transcript)?;
                        if let Some(subject) = subject {
                            refer(transaction, row, *subject)?;
                        }
                    }
                    TranscriptEntry::Again { transcript, subject } => {
                        refer(transaction, transcript.0, *subject)?;
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// The last reply to what has this digest, not older than an instant.
    pub async fn transcript_reply(&self, key: Digest, since_us: i64) -> Result<Option<KeptReply>> {
        self.read(move |transaction| {
            let sql = format!(
                "{REPLY} WHERE key = ?1 AND reply IS NOT NULL AND asked_at_us >= ?2 ORDER BY id DESC LIMIT 1"
            );
            let mut statement = transaction.prepare_cached(&sql)?;
            let mut rows = statement.query((key.as_bytes(), since_us))?;
            rows.next()?.map(kept).transpose()
        })
        .await
    }

    /// The reply to what has this digest that a run was given.
    pub async fn transcript_of_run(&self, key: Digest, run: RunId) -> Result<Option<KeptReply>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let sql = format!(
                "{REPLY} WHERE key = ?1 AND reply IS NOT NULL AND (run = ?2 OR EXISTS \
                 (SELECT 1 FROM transcript_use JOIN run_scorer ON run_scorer.id = run_scorer \
                  WHERE transcript = transcript.id AND run_scorer.run = ?2)) ORDER BY id LIMIT 1"
            );
            let mut statement = transaction.prepare_cached(&sql)?;
            let mut rows = statement.query((key.as_bytes(), run))?;
            rows.next()?.map(kept).transpose()
        })
        .await
    }

    /// What a profile's calls in a run cost.
    pub async fn judge_cost_of_run(&self, profile: String, run: RunId) -> Result<f64> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            Ok(transaction
                .prepare_cached("SELECT total(cost) FROM transcript WHERE run = ?1 AND profile = ?2")?
                .query_row((run, profile), |row| row.get(0))?)
        })
        .await
    }

    /// What a profile's calls cost between two instants.
    pub async fn judge_cost_between(&self, profile: String, from_us: i64, until_us: i64) -> Result<f64> {
        self.read(move |transaction| {
            Ok(transaction
                .prepare_cached(
                    "SELECT total(cost) FROM transcript \
                     WHERE profile = ?1 AND asked_at_us >= ?2 AND asked_at_us < ?3",
                )?
                .query_row((profile, from_us, until_us), |row| row.get(0))?)
        })
        .await
    }

    /// What a run asked of judges.
    pub async fn judge_calls(&self, run: RunId) -> Result<JudgeCalls> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let mut calls = transaction
                .prepare_cached(
                    "SELECT count(*), count(failure), total(cost), total(usage ->> '$.input'), \
                            total(usage ->> '$.output') FROM transcript WHERE run = ?1",
                )?
                .query_row([run], |row| {
                    let count = |place| row.get::<_, f64>(place).map(|count| count as u64);
                    Ok(JudgeCalls {
                        made: row.get::<_, i64>(0)? as u64,
                        failed: row.get::<_, i64>(1)? as u64,
                        from_cache: 0,
                        cost: row.get(2)?,
                        input_tokens: count(3)?,
                        output_tokens: count(4)?,
                    })
                })?;
            let uses: i64 = transaction
                .prepare_cached(
                    "SELECT count(*) FROM run_scorer JOIN transcript_use ON run_scorer = run_scorer.id \
                     JOIN transcript ON transcript.id = transcript WHERE run_scorer.run = ?1 \
                       AND transcript.run IS NOT ?1",
                )?
                .query_row([run], |row| row.get(0))?;
            calls.from_cache = uses as u64;
            Ok(calls)
        })
        .await
    }

    /// One call.
    pub async fn transcript_get(&self, id: TranscriptId) -> Result<StoredTranscript> {
        self.read(move |transaction| {
            let found = transaction
                .prepare_cached(
                    "SELECT transcript.uid, key, run.uid, profile, request, reply, model, finish_reason, \
                            failure, usage, cost, attempts, asked_at_us, latency_us, \
                            (SELECT count(*) FROM transcript_use WHERE transcript = transcript.id) \
                     FROM transcript LEFT JOIN run ON run.id = run WHERE transcript.uid = ?1",
                )?
                .query_row([id.as_bytes()], |row| Ok(stored(row)))
                .optional()?;
            found.unwrap_or_else(|| Err(StoreError::NotFound { kind: "transcript", name: id.to_string() }))
        })
        .await
    }

    /// The calls about one item of a run, oldest first.
    pub async fn transcripts_of_item(
        &self,
        run: RunId,
        item: i64,
    ) -> Result<Vec<(TranscriptId, u32, usize)>> {
        self.read(move |transaction| {
            let run = run_row(transaction, run)?;
            let mut statement = transaction.prepare_cached(
                "SELECT uid, trial, position FROM run_scorer JOIN transcript_use ON run_scorer = run_scorer.id \
                 JOIN transcript ON transcript.id = transcript \
                 WHERE run_scorer.run = ?1 AND item = ?2 ORDER BY transcript.id",
            )?;
            let rows = statement.query_map((run, item), |row| {
                Ok((TranscriptId::from_bytes(row.get(0)?), row.get(1)?, row.get::<_, i64>(2)? as usize))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn insert(transaction: &Transaction<'_>, new: &NewTranscript) -> Result<i64> {
    let run = new.run.map(|run| run_row(transaction, run)).transpose()?;
    transaction
        .prepare_cached(
            "INSERT INTO transcript (uid, key, run, profile, model, request, reply, failure, finish_reason, \
                                     usage, cost, attempts, asked_at_us, latency_us) \
             VALUES (:uid, :key, :run, :profile, :model, :request, :reply, :failure, :finish_reason, \
                     :usage, :cost, :attempts, :asked_at, :latency)",
        )?
        .execute(named_params! {
            ":uid": new.id.as_bytes(),
            ":key": new.key.as_bytes(),
            ":run": run,
            ":profile": new.profile,
            ":model": new.model,
            ":request": payload::pack(new.request.as_bytes()),
            ":reply": new.reply.as_ref().map(|reply| payload::pack(reply.as_bytes())),
            ":failure": new.failure,
            ":finish_reason": new.finish_reason,
            ":usage": json(&new.usage),
            ":cost": new.cost,
            ":attempts": new.attempts,
            ":asked_at": new.asked_at.0,
            ":latency": new.latency_us as i64,
        })?;
    Ok(transaction.last_insert_rowid())
}

/// What was let go meanwhile is not referred to.
fn refer(transaction: &Transaction<'_>, transcript: i64, subject: TranscriptSubject) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO transcript_use (run_scorer, item, trial, transcript) \
             SELECT ?1, ?2, ?3, id FROM transcript WHERE id = ?4 ON CONFLICT DO NOTHING",
        )?
        .execute((subject.run_scorer, subject.item, subject.trial, transcript))?;
    Ok(())
}

fn text(packed: &[u8]) -> Result<String> {
    String::from_utf8(payload::unpack(packed)?)
        .map_err(|error| StoreError::Unreadable { what: "transcript", reason: error.to_string() })
}

fn kept(row: &Row<'_>) -> Result<KeptReply> {
    let usage: String = row.get(5)?;
    Ok(KeptReply {
        transcript: TranscriptRow(row.get(0)?),
        id: TranscriptId::from_bytes(row.get(1)?),
        text: text(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?,
        model: row.get(3)?,
        finish_reason: row.get(4)?,
        usage: serde_json::from_str(&usage).map_err(unreadable("transcript"))?,
    })
}

fn stored(row: &Row<'_>) -> Result<StoredTranscript> {
    let usage: String = row.get(9)?;
    let reply: Option<Vec<u8>> = row.get(5)?;
    Ok(StoredTranscript {
        call: NewTranscript {
            id: TranscriptId::from_bytes(row.get(0)?),
            key: Digest::from_bytes(row.get(1)?),
            run: row.get::<_, Option<[u8; 16]>>(2)?.map(RunId::from_bytes),
            profile: row.get(3)?,
            request: text(row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?)?,
            reply: reply.map(|reply| text(&reply)).transpose()?,
            model: row.get(6)?,
            finish_reason: row.get(7)?,
            failure: row.get(8)?,
            usage: serde_json::from_str(&usage).map_err(unreadable("transcript"))?,
            cost: row.get(10)?,
            attempts: row.get(11)?,
            asked_at: Timestamp(row.get(12)?),
            latency_us: row.get::<_, i64>(13)? as u64,
        },
        uses: row.get::<_, i64>(14)? as u64,
    })
}

/// Takes out what judges were asked about one item of a scorer, also where it
/// served for others: it tells of the item.
pub(super) fn remove(transaction: &Transaction<'_>, run_scorer: i64, item: i64) -> Result<usize> {
    Ok(transaction
        .prepare_cached(
            "DELETE FROM transcript WHERE id IN \
             (SELECT transcript FROM transcript_use WHERE run_scorer = ?1 AND item = ?2)",
        )?
        .execute((run_scorer, item))?)
}

/// As [`remove`], for an item of a reference set under all scorers.
pub(super) fn remove_of_item(transaction: &Transaction<'_>, item: i64, version: i64) -> Result<usize> {
    Ok(transaction
        .prepare_cached(
            "DELETE FROM transcript WHERE id IN (SELECT transcript FROM transcript_use \
                 JOIN run_scorer ON run_scorer.id = run_scorer JOIN run ON run.id = run_scorer.run \
                 WHERE item = ?1 AND version = ?2)",
        )?
        .execute((item, version))?)
}
