//! Evaluations: what to take, which plugins with which configuration, what
//! counts as correct, and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::completion::CompletionRule;
use super::digest::Digest;
use super::ids::EvaluationId;
use super::plugin::{Capability, Output};
use super::schedule::{CronSchedule, ScheduleError};
use super::source::Source;

/// A stored evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Evaluation {
    /// Id.
    pub id: EvaluationId,
    /// What it does.
    #[serde(flatten)]
    pub definition: Definition,
    /// When it runs by itself.
    #[schema(value_type = Option<ScheduleFields>)]
    pub schedule: Option<Schedule>,
    /// The next run that is due by the schedule.
    pub next_due_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// What an evaluation does, as users write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "answers",
    "source": {"reference_set": "set"},
    "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
    "completion": {"output": "equals", "at_least": 1},
}))]
pub struct Definition {
    /// Name, unique.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// The items and their answers.
    pub source: Source,
    /// The plugins that score.
    #[serde(default)]
    pub scorers: Vec<Scorer>,
    /// The plugins that say how an answer fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classifiers: Vec<Scorer>,
    /// What counts as correct; without it there is no completion rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<CompletionPolicy>,
}

/// A plugin with its configuration: a scorer, a classifier or an extractor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scorer {
    /// The plugin's name.
    pub plugin: String,
    /// Pins one build of it; the current one at the start of a run where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Tells two scorers of one plugin apart; the plugin's name where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The plugin's configuration.
    #[serde(default = "empty_object")]
    #[schema(value_type = Object)]
    pub config: serde_json::Value,
}

fn empty_object() -> serde_json::Value {
    serde_json::json!({})
}

impl Scorer {
    /// The name that results use.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }
}

/// What counts as correct: one rule for all, or one for each request class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum CompletionPolicy {
    /// One rule.
    Rule(CompletionRule),
    /// By request class.
    ByClass {
        /// Rules by the name of the class.
        classes: BTreeMap<String, CompletionRule>,
        /// For classes without their own; without it their items are undetermined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        otherwise: Option<CompletionRule>,
    },
}

impl CompletionPolicy {
    /// The rule for a request class.
    pub fn rule(&self, class: Option<&str>) -> Option<&CompletionRule> {
        match self {
            Self::Rule(rule) => Some(rule),
            Self::ByClass { classes, otherwise } => {
                class.and_then(|class| classes.get(class)).or(otherwise.as_ref())
            }
        }
    }

    /// Every rule.
    pub fn rules(&self) -> Vec<&CompletionRule> {
        match self {
            Self::Rule(rule) => vec![rule],
            Self::ByClass { classes, otherwise } => classes.values().chain(otherwise).collect(),
        }
    }
}

/// When an evaluation runs by itself: cron and time zone, and two policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ScheduleFields", into = "ScheduleFields")]
pub struct Schedule {
    /// Five-field cron with its time zone.
    pub when: CronSchedule,
    /// What becomes of ticks that nobody was there for.
    pub missed: MissedPolicy,
    /// What a tick does while an earlier run goes on.
    pub overlap: OverlapPolicy,
}

/// A schedule as users write it.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"cron": "0 6 * * 1-5", "time_zone": "Europe/Berlin"}))]
pub struct ScheduleFields {
    /// Five-field cron, or a macro such as `@nightly`.
    cron: String,
    /// IANA name of the time zone; UTC where it is missing.
    #[serde(default = "utc")]
    time_zone: String,
    /// What becomes of ticks that nobody was there for.
    #[serde(default)]
    missed: MissedPolicy,
    /// What a tick does while an earlier run goes on.
    #[serde(default)]
    overlap: OverlapPolicy,
}

fn utc() -> String {
    "UTC".into()
}

impl TryFrom<ScheduleFields> for Schedule {
    type Error = ScheduleError;

    fn try_from(fields: ScheduleFields) -> Result<Self, ScheduleError> {
        let when = CronSchedule::parse(&fields.cron, &fields.time_zone)?;
        Ok(Self { when, missed: fields.missed, overlap: fields.overlap })
    }
}

impl From<Schedule> for ScheduleFields {
    fn from(schedule: Schedule) -> Self {
        Self {
            cron: schedule.when.expression().to_owned(),
            time_zone: schedule.when.time_zone().to_string(),
            missed: schedule.missed,
            overlap: schedule.overlap,
        }
    }
}

/// Ticks that were missed while the daemon was down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissedPolicy {
    /// One run makes up for all of them.
    #[default]
    RunOnce,
    /// They are gone.
    Skip,
}

/// A tick while an earlier run of the same evaluation goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverlapPolicy {
    /// The new run is skipped, and that is recorded.
    #[default]
    Skip,
    /// The new run waits.
    Queue,
    /// The earlier run is cancelled.
    CancelOld,
}

/// Something wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DefinitionProblem {
    /// JSON Pointer into the definition.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// An output that a rule may speak of: which scorer and which of its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputRef {
    /// Index of the scorer.
    pub scorer: usize,
    /// Index of its output.
    pub output: usize,
}

/// Finds an output by its own name, where only one scorer has it, or by
/// `scorer.output`.
pub fn find_output(name: &str, scorers: &[(&str, &[Output])]) -> Result<OutputRef, String> {
    let mut found = Vec::new();
    for (scorer, (scorer_name, outputs)) in scorers.iter().enumerate() {
        for (output, declared) in outputs.iter().enumerate() {
            let qualified = name
                .strip_prefix(scorer_name)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|rest| rest == declared.name);
            if qualified || declared.name == name {
                found.push(OutputRef { scorer, output });
            }
        }
    }
    match found[..] {
        [one] => Ok(one),
        [] => {
            let known: Vec<_> = scorers
                .iter()
                .flat_map(|(scorer, outputs)| {
                    outputs.iter().map(move |output| format!("`{scorer}.{}`", output.name))
                })
                .collect();
            Err(format!("no scorer gives an output `{name}`; there are {}", known.join(", ")))
        }
        _ => Err(format!("several scorers give an output `{name}`: write `scorer.{name}`")),
    }
}

impl Definition {
    /// What is wrong with it by itself, before any plugin is asked.
    pub fn problems(&self) -> Vec<DefinitionProblem> {
        let mut problems = Vec::new();
        let mut add = |path: String, message: String| problems.push(DefinitionProblem { path, message });
        if self.name.trim().is_empty() || self.name.len() > 200 {
            add("/name".into(), "a name has 1 to 200 characters".into());
        }
        if self.scorers.is_empty() && self.classifiers.is_empty() {
            add("/scorers".into(), "at least one scorer or classifier is needed".into());
        }
        let mut names = Vec::new();
        for (place, _, plugin) in self.plugins() {
            let name = plugin.name();
            if name.contains('.') || name.is_empty() {
                add(format!("{place}/name"), "a plugin's name here is not empty and has no dot".into());
            }
            if names.contains(&name) {
                add(
                    format!("{place}/name"),
                    format!("`{name}` is the name of two: give one of them another"),
                );
            }
            names.push(name);
        }
        for (place, message) in self.source.problems() {
            add(format!("/source{place}"), message);
        }
        problems
    }

    /// Its scorers and then its classifiers, each with its JSON Pointer and with what
    /// is wanted of it.
    pub fn plugins(&self) -> impl Iterator<Item = (String, Capability, &Scorer)> {
        let scorers = self.scorers.iter().enumerate();
        let classifiers = self.classifiers.iter().enumerate();
        scorers
            .map(|(index, scorer)| (format!("/scorers/{index}"), Capability::Score, scorer))
            .chain(classifiers.map(|(index, one)| (format!("/classifiers/{index}"), Capability::Label, one)))
    }

    /// Digest of the definition's meaning.
    pub fn digest(&self) -> Digest {
        Digest::of(serde_json::to_string(self).expect("a definition is plain JSON").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plugin::{Direction, OutputKind};

    fn output(name: &str) -> Output {
        Output {
            name: name.into(),
            capability: Capability::Score,
            kind: OutputKind::Boolean,
            direction: Direction::HigherIsBetter,
            description: None,
        }
    }

    #[test]
    fn an_output_is_found_by_name_or_by_scorer_and_name() {
        let (first, second) = ([output("equals"), output("length")], [output("equals")]);
        let scorers = [("text", &first[..]), ("strict", &second[..])];
        assert_eq!(find_output("length", &scorers), Ok(OutputRef { scorer: 0, output: 1 }));
        assert_eq!(find_output("strict.equals", &scorers), Ok(OutputRef { scorer: 1, output: 0 }));
        assert!(find_output("equals", &scorers).expect_err("two of them").contains("scorer.equals"));
        assert!(find_output("sense", &scorers).expect_err("none").contains("`text.length`"));
    }

    #[test]
    fn each_problem_of_a_definition_has_its_pointer() {
        let definition: Definition = serde_json::from_value(serde_json::json!({
            "name": " ",
            "source": {"reference_set": "faq", "trials": 3},
            "scorers": [{"plugin": "text"}, {"plugin": "text"}],
        }))
        .expect("well-formed");
        let paths: Vec<_> = definition.problems().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["/name", "/scorers/1/name", "/source/trials"]);
    }
}
