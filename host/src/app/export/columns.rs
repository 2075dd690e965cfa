//! The columns of each exported table. docs/export.md tells what they mean.
//!
//! `user` and `at` are words of SQL, so the columns have longer names.

use crate::domain::completion::Completion;
use crate::domain::interaction::{Answer, Interaction, Item};
use crate::store::{ProductionRun, ScoredInteraction, SignalOf, StoreError, StoredEvent, StoredInteraction};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Microseconds UTC.
    Instant,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    Flag,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether a value may be missing.
    pub optional: bool,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Missing,
    Text(String),
    Instant(i64),
    Integer(i64),
    Number(f64),
    Flag(bool),
}

/// A table: its file's name and its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its name, and its file's without the ending.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, optional: false }
}

const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, optional: true }
}

/// One row an interaction.
pub const INTERACTIONS: Table = Table {
    name: "interactions",
    columns: &[
        column("id", Kind::Text),
        optional("key", Kind::Text),
        column("started_at", Kind::Instant),
        column("received_at", Kind::Instant),
        optional("session_id", Kind::Text),
        optional("session", Kind::Text),
        optional("conversation", Kind::Text),
        optional("user_name", Kind::Text),
        optional("tenant", Kind::Text),
        optional("request_class", Kind::Text),
        optional("class_rules", Kind::Text),
        optional("template", Kind::Text),
        optional("template_version", Kind::Text),
        optional("model", Kind::Text),
        optional("service", Kind::Text),
        optional("service_version", Kind::Text),
        optional("trace", Kind::Text),
        optional("span", Kind::Text),
        column("query", Kind::Text),
        column("actual", Kind::Text),
        optional("finish_reason", Kind::Text),
        optional("error", Kind::Text),
        column("partial", Kind::Flag),
        optional("streamed", Kind::Flag),
        optional("total_us", Kind::Integer),
        optional("first_token_us", Kind::Integer),
        optional("input_tokens", Kind::Integer),
        optional("output_tokens", Kind::Integer),
        optional("cached_input_tokens", Kind::Integer),
        optional("cache_write_input_tokens", Kind::Integer),
        optional("reasoning_tokens", Kind::Integer),
        optional("cost", Kind::Number),
        optional("upstream_probability", Kind::Number),
        optional("expected", Kind::Text),
        optional("history", Kind::Text),
        optional("documents", Kind::Text),
        optional("tool_calls", Kind::Text),
        optional("query_media", Kind::Text),
        optional("actual_media", Kind::Text),
        optional("metadata", Kind::Text),
        optional("extra", Kind::Text),
        optional("incoming_scores", Kind::Text),
    ],
};

/// One row an output of a scorer for an interaction in a run; of a scorer that
/// gave nothing, one row with the cause.
pub const SCORES: Table = Table {
    name: "scores",
    columns: &[
        column("evaluation_id", Kind::Text),
        column("evaluation", Kind::Text),
        column("run_id", Kind::Text),
        column("interaction_id", Kind::Text),
        column("started_at", Kind::Instant),
        optional("request_class", Kind::Text),
        optional("completion", Kind::Text),
        column("probability", Kind::Number),
        optional("upstream_probability", Kind::Number),
        column("scorer", Kind::Text),
        column("plugin", Kind::Text),
        column("plugin_version", Kind::Text),
        column("plugin_digest", Kind::Text),
        optional("output", Kind::Text),
        optional("value", Kind::Number),
        optional("category", Kind::Text),
        optional("detail", Kind::Text),
        optional("cause", Kind::Text),
        optional("message", Kind::Text),
    ],
};

/// One row an output of an extractor for an interaction, or for a session.
pub const SIGNALS: Table = Table {
    name: "signals",
    columns: &[
        column("session_id", Kind::Text),
        optional("interaction_id", Kind::Text),
        column("started_at", Kind::Instant),
        column("extractor", Kind::Text),
        column("plugin", Kind::Text),
        column("plugin_version", Kind::Text),
        column("plugin_digest", Kind::Text),
        column("output", Kind::Text),
        optional("value", Kind::Number),
        optional("category", Kind::Text),
        optional("detail", Kind::Text),
    ],
};

/// One row an event.
pub const EVENTS: Table = Table {
    name: "events",
    columns: &[
        column("id", Kind::Text),
        column("happened_at", Kind::Instant),
        column("received_at", Kind::Instant),
        column("kind", Kind::Text),
        optional("interaction_id", Kind::Text),
        optional("session_id", Kind::Text),
        optional("session", Kind::Text),
        optional("user_name", Kind::Text),
        optional("value", Kind::Text),
    ],
};

fn text(value: Option<impl Into<String>>) -> Cell {
    value.map_or(Cell::Missing, |text| Cell::Text(text.into()))
}

fn count(value: Option<u64>) -> Cell {
    value.and_then(|count| i64::try_from(count).ok()).map_or(Cell::Missing, Cell::Integer)
}

fn number(value: Option<f64>) -> Cell {
    value.map_or(Cell::Missing, Cell::Number)
}

/// JSON; nothing where a list or map is empty.
fn json(value: &impl serde::Serialize) -> Cell {
    let written = serde_json::to_string(value).expect("the domain's types are plain JSON");
    if matches!(written.as_str(), "[]" | "{}" | "null") { Cell::Missing } else { Cell::Text(written) }
}

fn unreadable(error: serde_json::Error) -> StoreError {
    StoreError::Unreadable { what: "interaction", reason: error.to_string() }
}

/// The whole interaction that is stored.
pub fn interaction_of(stored: &StoredInteraction) -> Result<Interaction, StoreError> {
    let item: Item = serde_json::from_str(stored.payload.item()).map_err(unreadable)?;
    let answer: Answer = serde_json::from_str(stored.payload.answer()).map_err(unreadable)?;
    let mut interaction = item.with_answer(answer);
    interaction.request_class.clone_from(&stored.request_class);
    Ok(interaction)
}

/// A row of [`INTERACTIONS`].
pub fn interaction_row(stored: StoredInteraction) -> Result<Vec<Cell>, StoreError> {
    let from = interaction_of(&stored)?;
    let origin = stored.payload.origin;
    Ok(vec![
        Cell::Text(stored.id.to_string()),
        text(origin.key),
        Cell::Instant(stored.started_at.0),
        Cell::Instant(stored.received_at.0),
        text(stored.session.map(|id| id.to_string())),
        text(origin.session),
        text(origin.conversation),
        text(origin.user),
        text(origin.tenant),
        text(from.request_class),
        text(stored.class_rules),
        text(from.template),
        text(from.template_version),
        text(from.model),
        text(origin.service),
        text(origin.service_version),
        text(origin.trace),
        text(origin.span),
        Cell::Text(from.query),
        Cell::Text(from.actual),
        text(from.finish_reason),
        text(from.error),
        Cell::Flag(origin.partial),
        from.timing.streamed.map_or(Cell::Missing, Cell::Flag),
        count(from.timing.total_us),
        count(from.timing.first_token_us),
        count(from.usage.input),
        count(from.usage.output),
        count(from.usage.cached_input),
        count(from.usage.cache_write_input),
        count(from.usage.reasoning),
        number(origin.cost),
        number(origin.upstream_probability),
        json(&from.expected),
        json(&from.history),
        json(&from.documents),
        json(&from.tool_calls),
        json(&from.query_media),
        json(&from.actual_media),
        json(&from.metadata),
        json(&from.extra),
        json(&origin.scores),
    ])
}

/// Rows of [`SCORES`]: all of one interaction in one run.
pub fn score_rows(run: &ProductionRun, scored: &ScoredInteraction) -> Vec<Vec<Cell>> {
    let completion = scored.item.completion.map(|completion| match completion {
        Completion::Completed => "completed",
        Completion::NotCompleted => "not_completed",
        Completion::Undetermined => "undetermined",
    });
    let row = |scorer: usize, output: Option<usize>, rest: [Cell; 5]| {
        // A run's scorers are pinned; an outcome without one cannot be.
        let scorer = run.scorers.get(scorer)?;
        let output = output.and_then(|output| scorer.outputs.get(output));
        let mut row = vec![
            Cell::Text(run.evaluation.to_string()),
            Cell::Text(run.evaluation_name.clone()),
            Cell::Text(run.id.to_string()),
            Cell::Text(scored.id.to_string()),
            Cell::Instant(scored.started_at.0),
            text(scored.item.request_class.clone()),
            text(completion),
            Cell::Number(scored.probability),
            number(scored.upstream_probability),
            Cell::Text(scorer.name.clone()),
            Cell::Text(scorer.plugin.clone()),
            Cell::Text(scorer.version.clone()),
            Cell::Text(scorer.digest.to_string()),
            text(output.map(|output| output.name.clone())),
        ];
        row.extend(rest);
        Some(row)
    };
    let scores = scored.item.scores.iter().filter_map(|(scorer, score)| {
        let (category, detail) = (text(score.category.clone()), text(score.detail.clone()));
        let rest = [number(score.value), category, detail, Cell::Missing, Cell::Missing];
        row(*scorer, Some(score.output), rest)
    });
    let unscored = scored.item.unscored.iter().filter_map(|(scorer, output, why)| {
        let (cause, message) = (Cell::Text(why.cause.as_str().into()), Cell::Text(why.message.clone()));
        row(*scorer, *output, [Cell::Missing, Cell::Missing, Cell::Missing, cause, message])
    });
    scores.chain(unscored).collect()
}

/// A row of [`SIGNALS`].
pub fn signal_row(of: SignalOf) -> Vec<Cell> {
    vec![
        Cell::Text(of.session.to_string()),
        text(of.interaction.map(|id| id.to_string())),
        Cell::Instant(of.started_at.0),
        Cell::Text(of.extractor),
        Cell::Text(of.plugin),
        Cell::Text(of.plugin_version),
        Cell::Text(of.digest.to_string()),
        Cell::Text(of.signal.output),
        number(of.signal.value),
        text(of.signal.category),
        text(of.signal.detail),
    ]
}

/// The client's name of an event's session, where an event can name it.
pub fn session_name(event: &StoredEvent) -> Option<&str> {
    event.session_key.as_deref()?.strip_prefix("s:")
}

/// A row of [`EVENTS`].
pub fn event_row(event: StoredEvent) -> Vec<Cell> {
    vec![
        Cell::Text(event.id.to_string()),
        Cell::Instant(event.at.0),
        Cell::Instant(event.received_at.0),
        Cell::Text(event.kind.clone()),
        text(event.interaction.map(|id| id.to_string())),
        text(event.session.map(|id| id.to_string())),
        text(session_name(&event)),
        text(event.user),
        text(event.value),
    ]
}
