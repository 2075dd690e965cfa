//! Runs: one execution of an evaluation each.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::digest::Digest;
use super::evaluation::Definition;
use super::ids::{EvaluationId, RunId};
use super::plugin::{Capability, Output};

/// A stored run.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Run {
    /// Id.
    pub id: RunId,
    /// Of which evaluation.
    pub evaluation: EvaluationId,
    /// What started it.
    pub trigger: Trigger,
    /// Where it stands.
    #[serde(flatten)]
    pub state: RunState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The definition as it was then.
    pub definition: Definition,
    /// Version of the reference set; known once it has started.
    pub reference_set_version: Option<u32>,
    /// The scorers and classifiers as they were pinned; known once it has started.
    pub scorers: Vec<RunScorer>,
    /// Items and how many of them are done.
    pub progress: Progress,
}

/// What people call an answer: its item's key, and which of several it is where
/// there are several.
pub fn answer_name(key: &str, trial: u32) -> String {
    if trial == 0 { key.to_owned() } else { format!("{key}#{trial}") }
}

/// How far a run is. Its unit is an item's answer: a trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Progress {
    /// Answers to score; 0 before the start.
    pub total: u64,
    /// Answers with every scorer's outcome committed.
    pub done: u64,
}

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Someone asked.
    Manual,
    /// The schedule.
    Schedule,
    /// An evaluation that follows production has no open run.
    Follow,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// It waits for its turn.
    Queued,
    /// It goes on, here or after the next start of the daemon.
    Running {
        /// When it began.
        started_at: Timestamp,
    },
    /// Every (item, scorer) has its outcome.
    Finished {
        /// When it began.
        started_at: Timestamp,
        /// When it ended.
        finished_at: Timestamp,
    },
    /// Someone stopped it.
    Cancelled {
        /// When.
        finished_at: Timestamp,
    },
    /// It could not go on.
    Failed {
        /// When.
        finished_at: Timestamp,
        /// Why.
        reason: String,
    },
    /// It was due and did not start.
    Skipped {
        /// When.
        finished_at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl RunState {
    /// The word that SQL and filters use.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Finished { .. } => "finished",
            Self::Cancelled { .. } => "cancelled",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
        }
    }

    /// Nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Queued | Self::Running { .. })
    }
}

/// A scorer as a run pinned it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunScorer {
    /// Name in the results.
    pub name: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// Digest of its component.
    pub digest: Digest,
    /// The contract that it was made for.
    pub contract: String,
    /// Its configuration.
    #[schema(value_type = Object)]
    pub config: serde_json::Value,
    /// What it gives.
    pub outputs: Vec<Output>,
}

impl RunScorer {
    /// Whether its outputs are failure modes, with the confidence as value.
    pub fn is_classifier(&self) -> bool {
        self.outputs.iter().any(|output| output.capability == Capability::Label)
    }
}
