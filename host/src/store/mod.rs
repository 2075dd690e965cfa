//! The only SQL. SQLite in WAL mode, on threads of its own.
//!
//! One thread writes, two read, and one moves the log into the database. What a write method acknowledged survives
//! `kill -9` and power loss (`synchronous = FULL`). One method is one
//! transaction. Callers make ids and instants; the store writes them.

mod arrivals;
mod calibration;
mod checkpoints;
mod condition;
mod database;
mod erasure;
mod evaluations;
mod events;
mod export;
mod idempotency;
mod instrumentation;
mod interactions;
mod latency;
mod migrations;
mod names;
mod payload;
mod plugins;
mod production_runs;
mod reclassification;
mod reference_sets;
mod removal;
mod results;
mod retention;
mod review_assignments;
mod review_queues;
mod reviews;
mod run_answers;
mod runs;
mod schedules;
mod score_export;
mod selections;
mod sessions;
mod signals;
mod snapshot;
mod tokens;
mod traces;
mod transcripts;
mod vacuum;

use std::path::PathBuf;

pub use arrivals::{Arrival, ArrivalRules};
pub use calibration::{
    AnswerScore, CalibrationData, CalibrationQuestion, JudgedAnswer, ScoresOf, Verdict, Wanted,
};
pub use condition::Condition;
pub use database::Store;
pub use erasure::{Erased, SpanPlace};
pub use export::{Place, ProductionRun, Reader, ScoredInteraction, SignalOf, StoredEvent};
pub use idempotency::{KEPT_US as IDEMPOTENCY_KEPT_US, Recall, Remembered};
pub use instrumentation::Instrumentation;
pub use interactions::{Kept, NewInteraction, StoredInteraction};
pub use latency::{
    CacheGroup, ChangedDay, Counts, Distribution, Figures, GroupKey, Grouping, KeyPart, LatencyGroup,
    StaleHour,
};
pub use payload::Payload;
pub use plugins::{PluginChange, StoredPlugin};
pub use production_runs::{ClusterCompletion, Draw, InteractionOutcome};
pub use reclassification::{ClassPage, ClassedInteraction, GivenClass, NewReclassification, Started};
pub use reference_sets::{Import, ImportedItem, VersionRef};
pub use results::{
    AnswerOutcome, BatchItem, ClassCompletion, ItemFilter, ItemRow, OutputSummary, ScoreRow, ScorerOutcomes,
    UnscoredRow,
};
pub use retention::LetGo;
pub use review_assignments::{Assigned, Closing, Disagreement, Undone};
pub use review_queues::{
    Candidate, CandidatePage, DrawnAnswer, QueueClass, QueueFilled, QueueReviewer, QueueStatus, QueueStratum,
};
pub use reviews::{NewReview, ReviewFilter, SubjectKey};
pub use run_answers::{AnswerValue, RunAnswer};
pub use runs::{NewRun, PinnedScorer, RowRange, RunFilter, RunInput};
pub use score_export::{ScorePage, TracedScores};
pub use selections::{SelectedRow, StoredItem};
pub use signals::{
    ClusterSignal, Coverage, DueSession, JudgedInteraction, SessionEvent, SessionInteraction, SessionSignals,
    SignalGroup, SignalRow,
};
pub use snapshot::{Checked, check_file, snapshot};
pub use tokens::Token;
pub use traces::{AssembledTrace, DueTrace, PendingPart, TraceId, TraceWaits};
pub use transcripts::{
    JudgeCalls, KeptReply, NewTranscript, StoredTranscript, TranscriptEntry, TranscriptRow, TranscriptSubject,
};
pub use vacuum::vacuum;

/// The project and environment of all that this build stores.
const PROJECT: &str = "default";
const ENVIRONMENT: &str = "production";

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened.
    #[error("failed to open the database `{}`: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file was written by a later version.
    #[error("the database `{}` has schema {found}; this version knows up to {known}: use a newer `assay`", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest known schema.
        known: u32,
    },
    /// There is no such thing.
    #[error("no {kind} `{name}`")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// By which name or id.
        name: String,
    },
    /// Something stands against it.
    #[error("{0}")]
    Conflict(String),
    /// The input cannot be used.
    #[error("{0}")]
    BadInput(String),
    /// There is no room left on the disk.
    #[error("the disk is full: nothing was written")]
    DiskFull,
    /// Another process holds the database.
    #[error("the database is locked by another process: nothing was written")]
    Locked,
    /// The file's content is damaged.
    #[error(
        "the database is damaged: {0}; look at it with `assay doctor`, and restore the last backup with \
         `assay restore FILE --replace`"
    )]
    Damaged(String),
    /// SQLite refused.
    #[error("the database failed: {0}")]
    Sql(rusqlite::Error),
    /// What is stored cannot be read back.
    #[error("the database holds an unreadable {what}: {reason}")]
    Unreadable {
        /// Which value.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            // A full disk shows first where the write-ahead log's index grows.
            Some(ErrorCode::SystemIoFailure) if error.sqlite_error().is_some_and(is_no_room) => {
                Self::DiskFull
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Sql(error),
        }
    }
}

fn is_no_room(error: &rusqlite::ffi::Error) -> bool {
    matches!(
        error.extended_code,
        rusqlite::ffi::SQLITE_IOERR_SHMSIZE
            | rusqlite::ffi::SQLITE_IOERR_WRITE
            | rusqlite::ffi::SQLITE_IOERR_SHMMAP
    )
}

impl StoreError {
    /// An error that stood against opening a file.
    fn opening(path: &std::path::Path, source: rusqlite::Error) -> Self {
        match Self::from(source) {
            Self::Sql(source) => Self::Open { path: path.to_owned(), source },
            Self::Damaged(reason) => Self::Damaged(format!("`{}`: {reason}", path.display())),
            other => other,
        }
    }
}

/// How long a write waits for another process to let go.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

type Result<T> = std::result::Result<T, StoreError>;

fn unreadable(what: &'static str) -> impl FnOnce(serde_json::Error) -> StoreError {
    move |error| StoreError::Unreadable { what, reason: error.to_string() }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the domain's types are plain JSON")
}
