//! The messages.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::confinement::MissingBoundary;
use crate::domain::judge::{JudgeAnswer, JudgeRequest};
use crate::domain::plugin::{Capability, Descriptor, Output, PluginError, Problem, Score, Signal, Unscored};

/// Correlates a reply with its task; chosen by the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// Correlates a judge's replies with what a plugin asked; chosen by the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AskId(pub u64);

/// A plugin that this worker was given; chosen by the daemon, valid for one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PluginSlot(pub u32);

/// What a guest may use. The daemon sends it in the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How deep components may lie in one another.
    pub component_nesting_max: u32,
    /// Memory of one instance, in bytes.
    pub memory_bytes_max: u64,
    /// Elements of one table.
    pub table_elements_max: u32,
    /// The guest's stack, in bytes.
    pub stack_bytes_max: u32,
    /// What a guest may hand to the host in one call, in bytes.
    pub answer_bytes_max: u32,
    /// Handles that a guest may hold at once.
    pub handles_max: u32,
    /// Lines that a batch may log; more are counted and dropped.
    pub log_lines_max: u32,
    /// Bytes that a batch may log.
    pub log_bytes_max: u32,
    /// Deadline of a batch before its items count, in milliseconds.
    pub deadline_base_ms: u32,
    /// What each item adds to the deadline, in milliseconds.
    pub deadline_item_ms: u32,
    /// The longest deadline of a batch, in milliseconds.
    pub deadline_max_ms: u32,
    /// Batches of one worker that may wait for a judge at once.
    pub judged_batches_max: u32,
    /// Calls of a judge that a batch may ask for, times its items.
    pub judge_calls_per_item_max: u32,
    /// How often a judge is asked again whose reply does not fit the schema.
    pub judge_repairs_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_nesting_max: 16,
            memory_bytes_max: 256 << 20,
            table_elements_max: 200_000,
            stack_bytes_max: 512 << 10,
            answer_bytes_max: 32 << 20,
            handles_max: 1_000,
            log_lines_max: 100,
            log_bytes_max: 64 << 10,
            deadline_base_ms: 500,
            deadline_item_ms: 2,
            deadline_max_ms: 10_000,
            judged_batches_max: 4,
            judge_calls_per_item_max: 32,
            judge_repairs_max: 2,
        }
    }
}

impl Limits {
    /// Calls of a judge that a batch may ask for.
    pub fn judge_calls_max(&self, items: usize) -> usize {
        items.max(1).saturating_mul(self.judge_calls_per_item_max as usize)
    }

    /// The deadline of a batch, in milliseconds.
    pub fn deadline_ms(&self, items: usize) -> u32 {
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        self.deadline_base_ms
            .saturating_add(self.deadline_item_ms.saturating_mul(items))
            .min(self.deadline_max_ms)
    }
}

/// From the daemon to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker<'a> {
    /// The first frame to an ordinary worker.
    Start(Limits),
    /// The only frame to a compile worker. The component comes as a descriptor.
    Compile(Limits),
    /// A compiled artifact, which comes as a descriptor, takes a slot.
    Load(PluginSlot),
    /// The slot is free again.
    Unload(PluginSlot),
    /// Work, answered by one `Started` and one `Finished`.
    Do(JobId, Task<'a>),
    /// What the judge said: one answer for each request of an `Asked`.
    Judged(AskId, Vec<JudgeAnswer>),
}

/// One piece of work.
#[derive(Debug, Serialize, Deserialize)]
pub enum Task<'a> {
    /// Ask a plugin what it is.
    Describe(PluginSlot),
    /// Check a configuration.
    Configure {
        /// Whose.
        plugin: PluginSlot,
        /// JSON text.
        config: String,
    },
    /// Check a configuration against a plugin's schema. No plugin runs.
    Validate {
        /// The schema: JSON text.
        schema: String,
        /// JSON text.
        config: String,
    },
    /// Score or classify each item with a plugin that may ask a judge. It has a
    /// thread of its own, because a judge takes its time: such jobs end in any
    /// order.
    Judge {
        /// The items.
        items: Cow<'a, [JobItem]>,
        /// The plugin.
        call: Call,
    },
    /// Score or classify each item with each call's plugin.
    Score {
        /// The items, decoded once for all calls.
        items: Cow<'a, [JobItem]>,
        /// The scorers.
        calls: Vec<Call>,
    },
    /// Extract each session's signals with each call's plugin.
    Extract {
        /// The sessions, decoded once for all calls.
        sessions: Cow<'a, [JobSession]>,
        /// The extractors.
        calls: Vec<Call>,
    },
}

/// One item of a batch, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobItem {
    /// Opaque; the plugin sees it.
    pub id: String,
    /// JSON of the question's side.
    pub item: String,
    /// JSON of the answer's side.
    pub answer: String,
}

/// One session of a batch, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSession {
    /// Opaque; the plugin sees it.
    pub id: String,
    /// The client's name of the user.
    pub user: Option<String>,
    /// Its interactions, in order of time. Their ids are unique in the session.
    pub interactions: Vec<JobItem>,
    /// What the user did, in order of time.
    pub events: Vec<JobEvent>,
}

impl JobSession {
    /// What it counts for in a batch's deadline: itself and each interaction.
    pub fn deadline_items(&self) -> usize {
        1 + self.interactions.len()
    }
}

/// One event of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEvent {
    /// When, in microseconds UTC.
    pub at_us: i64,
    /// `copied`, `reported`, `retried`, `abandoned`, `rated`, or the product's own.
    pub kind: String,
    /// The interaction that it is about, by its id in the session.
    pub interaction_id: Option<String>,
    /// What goes with the kind: JSON text.
    pub value_json: Option<String>,
}

/// One scorer, classifier or extractor of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Which plugin.
    pub plugin: PluginSlot,
    /// Which of its functions.
    pub capability: Capability,
    /// Its configuration: JSON text.
    pub config: String,
}

/// From a worker to the daemon. A worker that fails to answer is no different
/// from one that died.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// The answer to `Start`: ready, and what artifacts have to be made for.
    Ready {
        /// Names the engine, its settings and the processor.
        compatibility: u64,
        /// What the system could not take away from the worker.
        missing: Vec<MissingBoundary>,
    },
    /// The job left the queue. A worker that dies after this died of this job.
    Started(JobId),
    /// What a plugin logged or printed in a call of a job.
    Logged(JobId, PluginSlot, Vec<LogLine>),
    /// A judged job asks; it goes on when all is answered.
    Asked(JobId, AskId, Vec<JudgeRequest>),
    /// The job's end.
    Finished(JobId, Reply),
    /// The answer to `Compile`. An artifact comes as a descriptor.
    Compiled(Result<(), String>),
}

/// What came of a task.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// To `Describe`.
    Described(Result<Descriptor, BatchFailure>),
    /// To `Configure`.
    Configured(Result<Result<Vec<Output>, Vec<Problem>>, BatchFailure>),
    /// To `Validate`: what is wrong with the configuration, or with the schema.
    Validated(Result<Vec<Problem>, String>),
    /// To `Score` and `Judge`: one entry for each call, in order. A list has one answer
    /// for each item.
    Scored(Vec<Result<Vec<ItemAnswer>, BatchFailure>>),
    /// To `Extract`: one entry for each call, in order. A list has one answer
    /// for each session.
    Extracted(Vec<Result<Vec<SessionAnswer>, BatchFailure>>),
}

/// A plugin's answer for one item. A failure mode that a classifier names is a
/// score too: its output is the mode, its value the confidence.
pub type ItemAnswer = Result<Vec<Score>, PluginError>;

/// A plugin's answer for one session.
pub type SessionAnswer = Result<Vec<Signal>, PluginError>;

/// A whole call failed: it trapped, ran out of time or memory, or answered
/// for another number of items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFailure {
    /// What an item that is alone in its batch is said to have met.
    pub unscored: Unscored,
}

/// One line that a guest logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How grave.
    pub level: LoggedLevel,
    /// What.
    pub message: String,
}

/// The contract's log levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LoggedLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_grows_with_the_items_up_to_its_limit() {
        let limits = Limits::default();
        assert_eq!(limits.deadline_ms(0), 500);
        assert_eq!(limits.deadline_ms(100), 700);
        assert_eq!(limits.deadline_ms(usize::MAX), 10_000);
    }
}
