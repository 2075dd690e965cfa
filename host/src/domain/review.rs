//! Human review: which answers people judge, with which probability each was
//! taken, and what they say.
//!
//! Every rule is evaluated for every answer, also for one that another rule
//! took, and the draws of two rules are independent: an answer is taken with
//! probability 1 − ∏(1 − πₖ) over the rules that apply to it. That product is
//! stored with it, and estimates weigh by its inverse.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::completion::Completion;
use super::evaluation::DefinitionProblem;
use super::ids::{EvaluationId, InteractionId, ReviewId, ReviewQueueId, RunId};
use super::plugin::{Output, OutputKind, Value};
use super::schedule::CronSchedule;
use super::slice::lot_of;

/// A name of a queue or a reviewer has no more bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// Notes have no more bytes.
const NOTES_BYTES_MAX: usize = 16 << 10;
/// Failure modes of one verdict.
const FAILURE_MODES_MAX: usize = 50;
/// The stratum of answers to which no rule applies.
pub const UNREACHED: &str = "none";

/// A stored queue.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ReviewQueue {
    /// Id.
    pub id: ReviewQueueId,
    /// What it takes and asks.
    #[serde(flatten)]
    pub definition: QueueDefinition,
    /// When answers that wait for the quota are let in next; none without a quota.
    pub next_release_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// Which answers people judge, and by which form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "support", "evaluation": "018f4d2e-0000-7000-8000-000000000000",
    "rules": [{"kind": "random", "probability": 0.01}, {"kind": "failures", "probability": 0.2}],
    "quota": {"per_class": 50},
}))]
pub struct QueueDefinition {
    /// Name, unique.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Whose answers are reviewed.
    pub evaluation: EvaluationId,
    /// The scorer whose outputs people judge; may be missing where the evaluation has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorer: Option<String>,
    /// What takes answers. Without a rule the queue holds what is added by hand.
    #[serde(default)]
    pub rules: Vec<ReviewRule>,
    /// How many are reviewed of each class; without it all that the rules take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Share that two people review, at least.
    #[schema(minimum = 0, maximum = 1)]
    #[serde(default = "tenth")]
    pub twice_share: f64,
    /// Share of what a reviewer is given that has a known verdict.
    #[schema(minimum = 0, maximum = 1)]
    #[serde(default)]
    pub gold_share: f64,
    /// Reviewers see no score.
    #[serde(default = "yes")]
    pub blind: bool,
    /// So long an answer is kept for the reviewer who has it.
    #[schema(minimum = 10, maximum = 604800)]
    #[serde(default = "half_hour")]
    pub lease_s: u32,
}

fn tenth() -> f64 {
    0.1
}

fn yes() -> bool {
    true
}

fn half_hour() -> u32 {
    1800
}

/// How many answers of a request class are let in, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Of each class in a week, which begins on Monday (UTC).
    #[schema(minimum = 1)]
    pub per_class: u32,
    /// Of these classes another number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, u32>,
    /// When they are let in: five-field cron, Mondays at six where it is missing.
    #[serde(default = "mondays")]
    pub cron: String,
    /// IANA name of the cron's time zone; UTC where it is missing.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn mondays() -> String {
    "0 6 * * 1".into()
}

fn utc() -> String {
    "UTC".into()
}

impl Quota {
    /// Of a class in a week.
    pub fn of_class(&self, class: &str) -> u64 {
        u64::from(*self.classes.get(class).unwrap_or(&self.per_class))
    }

    /// When answers are let in after an instant.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let cron = CronSchedule::parse(&self.cron, &self.time_zone).ok()?;
        cron.next_after(at.to_utc()).map(Timestamp::from_utc)
    }
}

/// What takes answers into a queue, each with a probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ReviewRule {
    /// Any answer.
    Random {
        /// Probability of an answer, in (0, 1].
        probability: f64,
    },
    /// By the band of an output's value that an answer lies in.
    Stratified {
        /// `output` or `scorer.output`.
        output: String,
        /// From the lowest to the highest.
        bands: Vec<Band>,
    },
    /// Where two outputs, for example of two judges, are apart.
    Disagreement {
        /// One output.
        output: String,
        /// The other.
        with: String,
        /// By at least this, where they are numbers or yes and no.
        #[serde(default = "half")]
        by: f64,
        /// Probability of such an answer, in (0, 1].
        probability: f64,
    },
    /// What was not completed, or has a failure mode.
    Failures {
        /// Probability of such an answer, in (0, 1].
        probability: f64,
    },
    /// Well scored, and the user dissatisfied all the same. A queue with this
    /// rule looks at an answer once its session was read by extractors.
    Divergence {
        /// `output` or `scorer.output`.
        output: String,
        /// Well scored is at least this.
        at_least: f64,
        /// A signal that is 0.5 or more says so.
        #[serde(default = "dissatisfied")]
        signal: String,
        /// Probability of such an answer, in (0, 1].
        probability: f64,
    },
}

fn half() -> f64 {
    0.5
}

fn dissatisfied() -> String {
    "dissatisfied".into()
}

/// A band of an output's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Values under this, and not in a band before; without it all the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Probability of an answer in it; 0 leaves the band outside every claim.
    pub probability: f64,
}

/// What rules see of an answer.
pub struct Seen<'a> {
    /// An output's value, by `output` or `scorer.output`.
    pub value: &'a dyn Fn(&str) -> Option<Value>,
    /// A signal's value.
    pub signal: &'a dyn Fn(&str) -> Option<f64>,
    /// Whether the task was completed.
    pub completion: Option<Completion>,
    /// A classifier named a failure mode.
    pub has_failure_mode: bool,
}

/// What the rules make of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// The rules that apply to it, by name, also those with probability 0;
    /// [`UNREACHED`] where none does.
    pub stratum: String,
    /// Probability that at least one of them takes it.
    pub probability: f64,
    /// At least one did.
    pub taken: bool,
}

impl ReviewRule {
    /// Its name in strata, and its probability for an answer; none where it does
    /// not apply.
    fn chance(&self, seen: &Seen<'_>) -> Option<(String, f64)> {
        match self {
            Self::Random { probability } => Some(("random".into(), *probability)),
            Self::Stratified { output, bands } => {
                let value = (seen.value)(output)?.as_number()?;
                let band = bands.iter().find(|band| band.below.is_none_or(|below| value < below))?;
                let name = match band.below {
                    Some(below) => format!("{output} below {below}"),
                    None => format!("{output} above"),
                };
                Some((name, band.probability))
            }
            Self::Disagreement { output, with, by, probability } => {
                let (one, other) = ((seen.value)(output)?, (seen.value)(with)?);
                let apart = match (one.as_number(), other.as_number()) {
                    (Some(one), Some(other)) => (one - other).abs() >= *by,
                    _ => one != other,
                };
                apart.then(|| ("disagreement".into(), *probability))
            }
            Self::Failures { probability } => {
                let failed = seen.completion == Some(Completion::NotCompleted) || seen.has_failure_mode;
                failed.then(|| ("failures".into(), *probability))
            }
            Self::Divergence { output, at_least, signal, probability } => {
                let well = (seen.value)(output)?.as_number()? >= *at_least;
                let parted = well && (seen.signal)(signal)? >= 0.5;
                parted.then(|| ("divergence".into(), *probability))
            }
        }
    }

    /// The outputs that it speaks of, with the member that names each.
    pub fn outputs(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Random { .. } | Self::Failures { .. } => Vec::new(),
            Self::Stratified { output, .. } | Self::Divergence { output, .. } => vec![("output", output)],
            Self::Disagreement { output, with, .. } => vec![("output", output), ("with", with)],
        }
    }

    fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut check = |place: String, probability: f64, least: f64| {
            if !(probability >= least && probability <= 1.0 && (least == 0.0 || probability > 0.0)) {
                problems.push((place, format!("{probability} is no probability of a rule")));
            }
        };
        match self {
            Self::Random { probability }
            | Self::Disagreement { probability, .. }
            | Self::Failures { probability }
            | Self::Divergence { probability, .. } => {
                check("/probability".into(), *probability, f64::MIN_POSITIVE);
            }
            Self::Stratified { bands, .. } => {
                for (index, band) in bands.iter().enumerate() {
                    check(format!("/bands/{index}/probability"), band.probability, 0.0);
                }
                let limits: Vec<_> = bands.iter().map(|band| band.below.unwrap_or(f64::INFINITY)).collect();
                if bands.is_empty() || !limits.is_sorted_by(|one, other| one < other) {
                    problems.push(("/bands".into(), "bands rise, and there is at least one".into()));
                }
            }
        }
        problems
    }
}

/// Probability that at least one of independent draws succeeds.
pub fn inclusion(probabilities: impl IntoIterator<Item = f64>) -> f64 {
    1.0 - probabilities.into_iter().map(|probability| 1.0 - probability).product::<f64>()
}

impl QueueDefinition {
    /// Evaluates every rule for an answer. `key` names the answer: repeated, the
    /// draw falls the same way.
    pub fn draw(&self, queue: ReviewQueueId, key: &[u8], seen: &Seen<'_>) -> Drawing {
        let mut names = Vec::new();
        let mut probabilities = Vec::new();
        let mut taken = false;
        for (index, rule) in self.rules.iter().enumerate() {
            let Some((name, probability)) = rule.chance(seen) else { continue };
            if !names.contains(&name) {
                names.push(name);
            }
            probabilities.push(probability);
            taken |= lot_for(queue, &format!("rule {index}"), key) < probability;
        }
        names.sort();
        let stratum = if names.is_empty() { UNREACHED.to_owned() } else { names.join(", ") };
        Drawing { stratum, probability: inclusion(probabilities), taken }
    }

    /// Whether a rule needs what users showed afterwards.
    pub fn needs_signals(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule, ReviewRule::Divergence { .. }))
    }

    /// What is wrong with it by itself.
    pub fn problems(&self) -> Vec<DefinitionProblem> {
        let mut problems = Vec::new();
        let mut add = |path: String, message: String| problems.push(DefinitionProblem { path, message });
        if let Err(message) = check_name(&self.name) {
            add("/name".into(), message);
        }
        for (index, rule) in self.rules.iter().enumerate() {
            for (place, message) in rule.problems() {
                add(format!("/rules/{index}{place}"), message);
            }
        }
        for (place, share) in [("/twice_share", self.twice_share), ("/gold_share", self.gold_share)] {
            if !(0.0..=1.0).contains(&share) {
                add(place.into(), format!("{share} is no share; a share is 0 to 1"));
            }
        }
        if !(10..=7 * 24 * 3600).contains(&self.lease_s) {
            add("/lease_s".into(), "10 seconds to a week".into());
        }
        if let Some(quota) = &self.quota {
            if quota.per_class == 0 || quota.classes.values().any(|number| *number == 0) {
                add("/quota".into(), "at least one of each class".into());
            }
            if let Err(error) = CronSchedule::parse(&quota.cron, &quota.time_zone) {
                add("/quota/cron".into(), error.to_string());
            }
        }
        problems
    }
}

/// A lot in [0, 1) of a queue for one purpose and one answer.
pub fn lot_for(queue: ReviewQueueId, purpose: &str, key: &[u8]) -> f64 {
    let mut salt = queue.as_bytes().to_vec();
    salt.extend_from_slice(purpose.as_bytes());
    salt.push(0);
    lot_of(&salt, key)
}

/// Refuses a name that is empty or too long.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// How many of `total` answers are reviewed twice where `twice` of those before
/// are: the share is reached at every moment.
pub fn more_twice(share: f64, total: u64, twice: u64) -> u64 {
    // What rounding adds to a whole number is nothing.
    let wanted = (share * total as f64 - 1e-9).ceil().max(0.0) as u64;
    wanted.saturating_sub(twice)
}

/// What a person says of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictContent {
    /// By output: a number, yes or no, or a category. What is left out was not judged.
    #[schema(value_type = Object)]
    pub values: BTreeMap<String, serde_json::Value>,
    /// Failure modes that the person sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_modes: Vec<String>,
    /// For other people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl VerdictContent {
    /// Refuses what does not fit a form, and names it.
    pub fn check(&self, form: &[Output]) -> Result<(), String> {
        if self.values.is_empty() && self.failure_modes.is_empty() {
            return Err("`values` is empty: judge at least one of the form's outputs".into());
        }
        for (name, value) in &self.values {
            let output = form.iter().find(|output| output.name == *name).ok_or_else(|| {
                let known: Vec<_> = form.iter().map(|output| format!("`{}`", output.name)).collect();
                format!("the form has no output `{name}`; it has {}", known.join(", "))
            })?;
            let value = value_of(value, &output.kind)
                .ok_or_else(|| format!("output `{name}` may not be {value}: it is {}", kind_of(output)))?;
            output.accepts(&value)?;
        }
        let is_wrong = |mode: &String| mode.trim().is_empty() || mode.len() > NAME_BYTES_MAX;
        if self.failure_modes.len() > FAILURE_MODES_MAX || self.failure_modes.iter().any(is_wrong) {
            return Err(format!(
                "`failure_modes` has at most {FAILURE_MODES_MAX} names of up to {NAME_BYTES_MAX} bytes"
            ));
        }
        if self.notes.as_ref().is_some_and(|notes| notes.len() > NOTES_BYTES_MAX) {
            return Err(format!("`notes` has at most {NOTES_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}

fn kind_of(output: &Output) -> String {
    match &output.kind {
        OutputKind::Boolean => "true or false".into(),
        OutputKind::Number { low, high } => format!("a number from {low} to {high}"),
        OutputKind::Category(names) => format!("one of {}", names.join(", ")),
    }
}

/// A JSON value as an output's value; none where it is of another kind.
pub fn value_of(value: &serde_json::Value, kind: &OutputKind) -> Option<Value> {
    match kind {
        OutputKind::Number { .. } => value.as_f64().map(Value::Number),
        OutputKind::Boolean => value.as_bool().map(Value::Boolean),
        OutputKind::Category(_) => value.as_str().map(|name| Value::Category(name.to_owned())),
    }
}

/// Which answer a review is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum ReviewSubject {
    /// An interaction of production.
    Interaction {
        /// Its id.
        #[schema(value_type = String)]
        interaction: InteractionId,
    },
    /// An answer to an item of a reference set.
    Item {
        /// Name of the set.
        reference_set: String,
        /// Version of the set.
        version: u32,
        /// The item's key.
        key: String,
        /// Which of several answers.
        trial: u32,
        /// The recording that holds the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recording: Option<String>,
        /// The run whose target gave it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
    },
}

/// What a review counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewKind {
    /// One person's verdict.
    Verdict,
    /// Decides over verdicts that disagree.
    Adjudication,
    /// Known to be right; reviewers are compared with it.
    Gold,
}

impl ReviewKind {
    /// The word that SQL uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Adjudication => "adjudication",
            Self::Gold => "gold",
        }
    }

    /// The kind that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Verdict, Self::Adjudication, Self::Gold].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A stored review.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Review {
    /// Id.
    pub id: ReviewId,
    /// What it counts as.
    pub kind: ReviewKind,
    /// The queue that asked for it; none where it was imported.
    pub queue: Option<String>,
    /// Whose form.
    pub evaluation: EvaluationId,
    /// Which of its scorers gives the form.
    pub scorer: String,
    /// The answer.
    pub subject: ReviewSubject,
    /// Who.
    pub reviewer: String,
    /// What the person says.
    #[serde(flatten)]
    pub content: VerdictContent,
    /// It was used to tune the rubric: corrected figures do without it.
    pub development: bool,
    /// Probability with which the rules took the answer; none where it was
    /// picked by hand or imported without one: estimates do without it.
    pub probability: Option<f64>,
    /// When the person said it.
    pub reviewed_at: Timestamp,
    /// When it was taken back.
    pub withdrawn_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plugin::{Capability, Direction};

    fn queue(rules: serde_json::Value) -> QueueDefinition {
        let definition = serde_json::json!({"name": "q", "evaluation": EvaluationId::new(), "rules": rules});
        serde_json::from_value(definition).expect("a definition")
    }

    #[test]
    fn draws_come_as_often_as_their_probability_says_and_rules_are_independent() {
        let definition = queue(serde_json::json!([
            {"kind": "random", "probability": 0.1},
            {"kind": "failures", "probability": 0.5},
            {"kind": "stratified", "output": "score",
             "bands": [{"below": 0.5, "probability": 0.3}, {"probability": 0.0}]},
        ]));
        let id = ReviewQueueId::new();
        let n = 40_000_u32;
        for (score, completion, stratum, probability) in [
            (0.9, Completion::Completed, "random, score above", 0.1),
            (0.9, Completion::NotCompleted, "failures, random, score above", 1.0 - 0.9 * 0.5),
            (0.2, Completion::NotCompleted, "failures, random, score below 0.5", 1.0 - 0.9 * 0.5 * 0.7),
        ] {
            let seen = Seen {
                value: &|name| (name == "score").then_some(Value::Number(score)),
                signal: &|_| None,
                completion: Some(completion),
                has_failure_mode: false,
            };
            let mut taken = 0;
            for i in 0..n {
                let drawing = definition.draw(id, &i.to_le_bytes(), &seen);
                assert_eq!(drawing.stratum, stratum);
                assert!((drawing.probability - probability).abs() < 1e-12, "{drawing:?}");
                taken += u32::from(drawing.taken);
            }
            // Five standard deviations of a binomial share.
            let slack = 5.0 * (probability * (1.0 - probability) / f64::from(n)).sqrt();
            let share = f64::from(taken) / f64::from(n);
            assert!((share - probability).abs() < slack, "{stratum}: {share}");
        }
    }

    #[test]
    fn each_kind_of_rule_applies_where_it_should() {
        let values = |name: &str| match name {
            "a" => Some(Value::Boolean(true)),
            "b" => Some(Value::Boolean(false)),
            "kind" => Some(Value::Category("x".into())),
            "other" => Some(Value::Category("x".into())),
            _ => None,
        };
        let seen = Seen {
            value: &values,
            signal: &|name| (name == "dissatisfied").then_some(1.0),
            completion: Some(Completion::Undetermined),
            has_failure_mode: false,
        };
        let stratum = |rule: serde_json::Value| {
            queue(serde_json::json!([rule])).draw(ReviewQueueId::new(), b"k", &seen).stratum
        };
        let half = 0.5;
        for (rule, expected) in [
            (
                serde_json::json!({"kind": "disagreement", "output": "a", "with": "b", "probability": half}),
                "disagreement",
            ),
            (
                serde_json::json!({"kind": "disagreement", "output": "kind", "with": "other", "probability": half}),
                UNREACHED,
            ),
            (
                serde_json::json!({"kind": "disagreement", "output": "a", "with": "missing", "probability": half}),
                UNREACHED,
            ),
            (
                serde_json::json!({"kind": "divergence", "output": "a", "at_least": 1, "probability": half}),
                "divergence",
            ),
            (
                serde_json::json!({"kind": "divergence", "output": "b", "at_least": 1, "probability": half}),
                UNREACHED,
            ),
            (
                serde_json::json!({"kind": "divergence", "output": "a", "at_least": 1, "signal": "left", "probability": half}),
                UNREACHED,
            ),
            (serde_json::json!({"kind": "failures", "probability": half}), UNREACHED),
            (
                serde_json::json!({"kind": "stratified", "output": "missing", "bands": [{"probability": half}]}),
                UNREACHED,
            ),
        ] {
            assert_eq!(stratum(rule.clone()), expected, "{rule}");
        }
        let labelled = Seen { has_failure_mode: true, ..seen };
        let failures = queue(serde_json::json!([{"kind": "failures", "probability": 1}]));
        assert!(failures.draw(ReviewQueueId::new(), b"k", &labelled).taken);
    }

    #[test]
    fn at_least_the_share_is_reviewed_twice_at_every_moment() {
        let mut twice = 0;
        for total in 1..=1_000 {
            twice += more_twice(0.1, total, twice);
            assert!(twice as f64 >= 0.1 * total as f64 - 1e-9, "{twice} of {total}");
        }
        assert_eq!(twice, 100);
        assert_eq!(more_twice(0.0, 50, 0), 0);
    }

    #[test]
    fn a_definition_that_cannot_be_is_refused_by_place() {
        let mut definition = queue(serde_json::json!([
            {"kind": "random", "probability": 0},
            {"kind": "stratified", "output": "o", "bands": [{"probability": 0.1}, {"below": 0.2, "probability": 1.5}]},
        ]));
        definition.name = " ".into();
        definition.twice_share = -0.1;
        definition.lease_s = 1;
        definition.quota = Some(Quota {
            per_class: 0,
            classes: BTreeMap::new(),
            cron: "never".into(),
            time_zone: "UTC".into(),
        });
        let places: Vec<_> = definition.problems().into_iter().map(|problem| problem.path).collect();
        assert_eq!(
            places,
            [
                "/name",
                "/rules/0/probability",
                "/rules/1/bands/1/probability",
                "/rules/1/bands",
                "/twice_share",
                "/lease_s",
                "/quota",
                "/quota/cron"
            ]
        );
        let unknown = serde_json::json!({"kind": "random", "probability": 0.1, "per": "week"});
        assert!(serde_json::from_value::<ReviewRule>(unknown).is_err());
    }

    #[test]
    fn a_verdict_fits_its_form_or_is_refused_by_name() {
        let output = |name: &str, kind| Output {
            name: name.into(),
            capability: Capability::Score,
            kind,
            direction: Direction::HigherIsBetter,
            description: None,
        };
        let form = [
            output("correct", OutputKind::Boolean),
            output("tone", OutputKind::Category(vec!["warm".into(), "cold".into()])),
            output("points", OutputKind::Number { low: 0.0, high: 5.0 }),
        ];
        let verdict = |values: serde_json::Value| VerdictContent {
            values: serde_json::from_value(values).expect("a map"),
            ..VerdictContent::default()
        };
        let good = verdict(serde_json::json!({"correct": true, "tone": "warm", "points": 3}));
        assert_eq!(good.check(&form), Ok(()));
        for (values, told) in [
            (serde_json::json!({}), "`values` is empty"),
            (serde_json::json!({"corect": true}), "no output `corect`"),
            (serde_json::json!({"correct": 1}), "true or false"),
            (serde_json::json!({"tone": "loud"}), "no category `loud`"),
            (serde_json::json!({"points": 6}), "outside [0, 5]"),
        ] {
            let reason = verdict(values.clone()).check(&form).expect_err("does not fit");
            assert!(reason.contains(told), "{values}: {reason}");
        }
    }
}
