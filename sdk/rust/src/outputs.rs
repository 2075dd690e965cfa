//! What a plugin says of itself and of its outputs: `lifecycle`'s records.
//! Each plugin's generated ones are made from these.

/// What a plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Lower-case words joined by hyphens.
    pub name: String,
    /// Semantic version of the plugin.
    pub version: String,
    /// One line for people.
    pub title: String,
    /// The same input and configuration always give the same answer.
    pub deterministic: bool,
    /// JSON Schema of the configuration.
    pub config_schema_json: String,
    /// The most items of one batch.
    pub batch_max: u32,
}

/// Which function gives an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Capability {
    Score,
    Label,
    Signal,
}

/// A closed range of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "named after its two ends")]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

/// What an output's value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputKind {
    /// A number in a range.
    Number(Range),
    /// Yes or no.
    Boolean,
    /// One of these names.
    Category(Vec<String>),
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Direction {
    HigherIsBetter,
    LowerIsBetter,
    Neutral,
}

/// One output of the configured plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Name, unique within the configuration.
    pub name: String,
    /// Which function gives it.
    pub capability: Capability,
    /// What its value may be.
    pub kind: OutputKind,
    /// Which way is better.
    pub direction: Direction,
    /// One line for people.
    pub description: Option<String>,
}

/// Something wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON Pointer into the configuration; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}
