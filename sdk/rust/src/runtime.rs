//! What the attributes expand to. Not meant to be called by hand.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::answers::{ClassifierAnswer, ExtractorAnswer, ScorerAnswer, SingleOutput, SingleSignal};
use crate::log::report_panics;
use crate::{
    Capability, Descriptor, Direction, Interaction, Label, Output, OutputKind, PluginError, Problem, Score,
    Session, Signal,
};

/// What the attribute knows at compile time.
pub struct About {
    /// The plugin's name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// The same input always gives the same answer.
    pub deterministic: bool,
    /// The most items of a batch.
    pub batch_max: u32,
    /// Where numbers lie.
    pub range: (f64, f64),
    /// Which way is better.
    pub direction: Direction,
    /// Declared failure modes.
    pub modes: &'static [&'static str],
}

/// `prepare` of a plugin that uses its configuration directly.
pub fn as_it_is<C>(config: C) -> Result<C, Vec<Problem>> {
    Ok(config)
}

/// The descriptor; the configuration's type is read off the functions.
pub fn describe<C: JsonSchema, S, I: ?Sized, A>(
    about: &About,
    _prepare: fn(C) -> Result<S, Vec<Problem>>,
    _function: fn(&S, &I) -> A,
) -> Descriptor {
    report_panics();
    let schema = schemars::schema_for!(C);
    Descriptor {
        name: about.name.into(),
        version: about.version.into(),
        title: about.title.into(),
        deterministic: about.deterministic,
        config_schema_json: serde_json::to_string(&schema).expect("a schema is plain JSON"),
        batch_max: about.batch_max,
    }
}

fn state<C: DeserializeOwned, S>(
    prepare: fn(C) -> Result<S, Vec<Problem>>,
    config: &str,
) -> Result<S, Vec<Problem>> {
    report_panics();
    let mut json = serde_json::Deserializer::from_str(config);
    let config = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        vec![Problem { path: pointer(error.path()), message: error.into_inner().to_string() }]
    })?;
    json.end().map_err(|error| vec![Problem { path: String::new(), message: error.to_string() }])?;
    prepare(config)
}

/// RFC 6901, from the path that serde took.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// The outputs of a configuration, or its problems.
pub fn configure<C: DeserializeOwned, S, I: ?Sized, A>(
    prepare: fn(C) -> Result<S, Vec<Problem>>,
    outputs: impl FnOnce(&S) -> Vec<Output>,
    _function: fn(&S, &I) -> A,
    config: &str,
) -> Result<Vec<Output>, Vec<Problem>> {
    Ok(outputs(&state(prepare, config)?))
}

fn output(about: &About, capability: Capability, kind: OutputKind) -> Output {
    Output {
        name: about.name.into(),
        capability,
        kind,
        direction: about.direction,
        description: Some(about.title.into()),
    }
}

/// The single output of a scorer whose answer tells its kind.
pub fn one_output<S, A: SingleOutput>(
    about: &'static About,
    _function: fn(&S, &Interaction) -> A,
) -> impl FnOnce(&S) -> Vec<Output> {
    move |_| vec![output(about, Capability::Score, A::kind(about.range))]
}

/// The single output of an extractor whose answer tells its kind.
pub fn one_signal<S, A: SingleSignal>(
    about: &'static About,
    _function: fn(&S, &Session) -> A,
) -> impl FnOnce(&S) -> Vec<Output> {
    move |_| vec![output(about, Capability::Signal, A::kind(about.range))]
}

/// The output of a classifier: one of its modes.
pub fn declared_modes<S>(about: &'static About) -> impl FnOnce(&S) -> Vec<Output> {
    move |_| {
        let modes = about.modes.iter().map(|mode| (*mode).to_owned()).collect();
        let kind = OutputKind::Category(modes);
        vec![Output { direction: Direction::Neutral, ..output(about, Capability::Label, kind) }]
    }
}

/// The single output of a scorer of whole batches.
pub fn one_output_of_batches<S, A: SingleOutput>(
    about: &'static About,
    _function: fn(&S, &[Interaction]) -> Vec<A>,
) -> impl FnOnce(&S) -> Vec<Output> {
    move |_| vec![output(about, Capability::Score, A::kind(about.range))]
}

/// The single output of an extractor of whole batches.
pub fn one_signal_of_batches<S, A: SingleSignal>(
    about: &'static About,
    _function: fn(&S, &[Session]) -> Vec<A>,
) -> impl FnOnce(&S) -> Vec<Output> {
    move |_| vec![output(about, Capability::Signal, A::kind(about.range))]
}

/// A function of one item, for all items of a batch.
pub fn each<'a, S, I, A>(function: fn(&S, &I) -> A) -> impl FnOnce(&S, &'a [I]) -> Vec<A> {
    move |state, items| items.iter().map(|item| function(state, item)).collect()
}

/// A function of a whole batch: it answers each item.
pub fn all<S, I, A>(function: fn(&S, &[I]) -> Vec<A>) -> impl FnOnce(&S, &[I]) -> Vec<A> {
    function
}

fn batch<'a, C: DeserializeOwned, S, I, A, T>(
    prepare: fn(C) -> Result<S, Vec<Problem>>,
    function: impl FnOnce(&S, &'a [I]) -> Vec<A>,
    config: &str,
    items: &'a [I],
    into_answers: impl Fn(A) -> Result<Vec<T>, PluginError>,
) -> Vec<Result<Vec<T>, PluginError>> {
    match state(prepare, config) {
        Ok(state) => {
            let answers = function(&state, items);
            if answers.len() != items.len() {
                let told = format!("{} items had {} answers", items.len(), answers.len());
                return items.iter().map(|_| Err(PluginError::Internal(told.clone()))).collect();
            }
            answers.into_iter().map(into_answers).collect()
        }
        Err(problems) => {
            let told: Vec<_> =
                problems.iter().map(|problem| format!("`{}`: {}", problem.path, problem.message)).collect();
            let told = told.join("; ");
            items.iter().map(|_| Err(PluginError::BadConfig(told.clone()))).collect()
        }
    }
}

/// `scoring.score-batch`.
pub fn score_batch<'a, C: DeserializeOwned, S, A: ScorerAnswer>(
    about: &About,
    prepare: fn(C) -> Result<S, Vec<Problem>>,
    function: impl FnOnce(&S, &'a [Interaction]) -> Vec<A>,
    config: &str,
    items: &'a [Interaction],
) -> Vec<Result<Vec<Score>, PluginError>> {
    batch(prepare, function, config, items, |answer: A| answer.into_scores(about.name))
}

/// `classification.classify-batch`.
pub fn classify_batch<'a, C: DeserializeOwned, S, A: ClassifierAnswer>(
    _about: &About,
    prepare: fn(C) -> Result<S, Vec<Problem>>,
    function: impl FnOnce(&S, &'a [Interaction]) -> Vec<A>,
    config: &str,
    items: &'a [Interaction],
) -> Vec<Result<Vec<Label>, PluginError>> {
    batch(prepare, function, config, items, |answer: A| answer.into_labels())
}

/// `extraction.extract-batch`.
pub fn extract_batch<'a, C: DeserializeOwned, S, A: ExtractorAnswer>(
    about: &About,
    prepare: fn(C) -> Result<S, Vec<Problem>>,
    function: impl FnOnce(&S, &'a [Session]) -> Vec<A>,
    config: &str,
    sessions: &'a [Session],
) -> Vec<Result<Vec<Signal>, PluginError>> {
    batch(prepare, function, config, sessions, |answer: A| answer.into_signals(about.name))
}
