//! Reclassification: interactions that are there get the class that the rules
//! of now give them.

use serde::Serialize;

use super::clock::Timestamp;
use super::ids::ReclassificationId;

/// A reclassification and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Reclassification {
    /// Id.
    pub id: ReclassificationId,
    /// Version of the rules that give the classes.
    pub rules: String,
    /// Only what started at this instant or later.
    pub from: Option<Timestamp>,
    /// Only what started before this instant.
    pub to: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ReclassificationState,
    /// How far it has come.
    pub progress: ReclassificationProgress,
}

/// Where a reclassification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ReclassificationState {
    /// It goes on, here or after the next start with the same rules.
    Running,
    /// Every interaction was looked at.
    Finished {
        /// When.
        finished_at: Timestamp,
    },
    /// The rules changed before it was finished, and another one was asked for.
    Superseded {
        /// When.
        finished_at: Timestamp,
    },
}

impl ReclassificationState {
    /// The word that SQL uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished { .. } => "finished",
            Self::Superseded { .. } => "superseded",
        }
    }
}

/// How far a reclassification has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ReclassificationProgress {
    /// The last row of the database that is to be looked at; what came later has
    /// its class by the rules of now.
    pub last_row: u64,
    /// All up to this row was looked at.
    pub seen_row: u64,
    /// Interactions that the rules were asked about.
    pub examined: u64,
    /// Those of them that have another class now.
    pub changed: u64,
    /// Interactions whose class the client gave: they keep it.
    pub kept: u64,
}

/// A class that an interaction had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EarlierClass {
    /// The class; none where no rule fitted.
    pub request_class: Option<String>,
    /// Version of the rules that gave it; none where there were no rules.
    pub class_rules: Option<String>,
    /// Until when.
    pub until: Timestamp,
}
