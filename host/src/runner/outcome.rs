//! From what plugins answered to what is kept: every answer is checked against
//! the declared outputs, because a worker is not to be trusted.

use std::collections::HashSet;

use super::bisect::Fate;
use super::prepare::ReadyPolicy;
use crate::domain::completion::{Completion, Presence};
use crate::domain::plugin::{
    self, Capability, Cause, Evidence, Output, PluginError, Score, Signal, Unscored, Value,
};
use crate::protocol::{ItemAnswer, SessionAnswer};
use crate::store::{ScoreRow, ScorerOutcomes};

/// Text of a plugin that is kept beside a score.
const DETAIL_BYTES_MAX: usize = 16 << 10;
const MESSAGE_BYTES_MAX: usize = 2 << 10;

/// A signal that fits what the extractor declared.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedSignal {
    /// Index of the output.
    pub output: usize,
    /// The interaction that it judges, by its id in the session; none for the
    /// whole session.
    pub interaction_id: Option<String>,
    /// Its value where it is a number or yes or no.
    pub value: Option<f64>,
    /// Its value where it is a category.
    pub category: Option<String>,
    /// JSON of reason and extra; none where there is nothing of them.
    pub detail: Option<String>,
}

/// Checks one item's answer from one scorer.
pub fn check(fate: Fate<ItemAnswer>, outputs: &[Output]) -> ScorerOutcomes {
    match checked(fate, |scores| check_scores(scores, outputs)) {
        Ok(outcome) => outcome,
        Err(unscored) => ScorerOutcomes::Unscored(unscored),
    }
}

/// Checks one session's answer from one extractor. `interactions` are the ids
/// of the session's interactions.
pub fn check_session(
    fate: Fate<SessionAnswer>,
    outputs: &[Output],
    interactions: &[String],
) -> Result<Vec<CheckedSignal>, Unscored> {
    checked(fate, |signals| check_signals(signals, outputs, interactions))
}

/// What a check makes of an answer; a wrong answer is the plugin's failure.
fn checked<T, U>(
    fate: Fate<Result<T, PluginError>>,
    check: impl FnOnce(T) -> Result<U, String>,
) -> Result<U, Unscored> {
    match fate {
        Err(unscored) => Err(shortened(unscored)),
        Ok(Err(error)) => Err(shortened(error.into())),
        Ok(Ok(answer)) => {
            check(answer).map_err(|message| shortened(Unscored { cause: Cause::WrongShape, message }))
        }
    }
}

fn check_scores(scores: Vec<Score>, outputs: &[Output]) -> Result<ScorerOutcomes, String> {
    let mut rows: Vec<ScoreRow> = Vec::with_capacity(outputs.len());
    for score in scores {
        let output = declared(&score.output, &score.value, outputs)?;
        if rows.iter().any(|row| row.output == output) {
            return Err(format!("output `{}` was given twice", score.output));
        }
        let detail = detail(&score.output, score.reason, &score.evidence, score.extra_json)?;
        let (value, category) = parts(score.value);
        rows.push(ScoreRow { output, value, category, detail });
    }
    let missing: Vec<_> = (0..outputs.len())
        // A failure mode that is not named is no gap: the answer does not fail so.
        .filter(|index| outputs[*index].capability != Capability::Label)
        .filter(|index| rows.iter().all(|row| row.output != *index))
        .map(|index| {
            let message = format!("the plugin gave no `{}` for this item", outputs[index].name);
            (index, Unscored { cause: Cause::NoOutput, message })
        })
        .collect();
    rows.sort_by_key(|row| row.output);
    Ok(ScorerOutcomes::Scored { scores: rows, missing })
}

fn check_signals(
    signals: Vec<Signal>,
    outputs: &[Output],
    interactions: &[String],
) -> Result<Vec<CheckedSignal>, String> {
    let mut seen = HashSet::with_capacity(signals.len());
    let mut checked = Vec::with_capacity(signals.len());
    for signal in signals {
        let output = declared(&signal.output, &signal.value, outputs)?;
        if let Some(id) = &signal.interaction_id
            && !interactions.contains(id)
        {
            return Err(format!(
                "output `{}` judges the interaction `{id}`, which the session does not have",
                signal.output
            ));
        }
        if !seen.insert((output, signal.interaction_id.clone())) {
            let of = signal.interaction_id.as_deref().unwrap_or("the session");
            return Err(format!("output `{}` was given twice for `{of}`", signal.output));
        }
        let detail = detail(&signal.output, signal.reason, &[], signal.extra_json)?;
        let (value, category) = parts(signal.value);
        let interaction_id = signal.interaction_id;
        checked.push(CheckedSignal { output, interaction_id, value, category, detail });
    }
    Ok(checked)
}

/// The index of the output that a value is for.
fn declared(name: &str, value: &Value, outputs: &[Output]) -> Result<usize, String> {
    let index = outputs
        .iter()
        .position(|output| output.name == name)
        .ok_or_else(|| format!("output `{name}` was not declared"))?;
    outputs[index].accepts(value)?;
    Ok(index)
}

/// A value's number and its category, one of which there is.
fn parts(value: Value) -> (Option<f64>, Option<String>) {
    match value {
        Value::Category(name) => (None, Some(name)),
        other => (other.as_number(), None),
    }
}

/// JSON of what stands beside a value.
fn detail(
    output: &str,
    reason: Option<String>,
    evidence: &[Evidence],
    extra_json: Option<String>,
) -> Result<Option<String>, String> {
    if reason.is_none() && evidence.is_empty() && extra_json.is_none() {
        return Ok(None);
    }
    let mut detail = serde_json::Map::new();
    if let Some(reason) = reason {
        detail.insert("reason".into(), reason.into());
    }
    if !evidence.is_empty() {
        detail.insert("evidence".into(), serde_json::to_value(evidence).unwrap_or_default());
    }
    if let Some(extra) = extra_json {
        let extra = serde_json::from_str(&extra)
            .map_err(|error| format!("`extra-json` of output `{output}` is not JSON: {error}"))?;
        detail.insert("extra".into(), extra);
    }
    let text = serde_json::Value::Object(detail).to_string();
    if text.len() > DETAIL_BYTES_MAX {
        return Err(format!(
            "output `{output}` has {} bytes of reason and evidence, over {DETAIL_BYTES_MAX}",
            text.len()
        ));
    }
    Ok(Some(text))
}

fn shortened(mut unscored: Unscored) -> Unscored {
    unscored.message = plugin::shortened(unscored.message, MESSAGE_BYTES_MAX);
    unscored
}

/// Whether the task was completed, by the policy's rule for the class.
pub fn completion(
    policy: Option<&ReadyPolicy>,
    class: Option<&str>,
    presence: Option<Presence>,
    outcomes: &[ScorerOutcomes],
) -> Option<Completion> {
    let policy = policy?;
    // No answer was recorded: nothing is known of the product.
    let Some(presence) = presence else { return Some(Completion::Undetermined) };
    let Some(rule) = policy.policy.rule(class) else {
        return Some(match presence {
            Presence::Given => Completion::Undetermined,
            Presence::Missing => Completion::NotCompleted,
        });
    };
    let score = |name: &str| {
        let (_, place) = policy.outputs.iter().find(|(output, _)| output == name)?;
        match outcomes.get(place.scorer)? {
            ScorerOutcomes::Scored { scores, .. } => {
                scores.iter().find(|row| row.output == place.output).and_then(|row| row.value)
            }
            ScorerOutcomes::Unscored(_) => None,
        }
    };
    Some(rule.judge(presence, &score))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plugin::{Capability, Direction, OutputKind};

    fn outputs() -> [Output; 2] {
        ["a", "b"].map(|name| Output {
            name: name.into(),
            capability: Capability::Score,
            kind: OutputKind::Number { low: 0.0, high: 1.0 },
            direction: Direction::HigherIsBetter,
            description: None,
        })
    }

    fn score(output: &str, value: f64) -> Score {
        Score {
            output: output.into(),
            value: Value::Number(value),
            reason: None,
            evidence: Vec::new(),
            extra_json: None,
        }
    }

    #[test]
    fn a_missing_output_is_skipped_by_name_and_the_others_are_kept() {
        let ScorerOutcomes::Scored { scores, missing } = check(Ok(Ok(vec![score("b", 0.5)])), &outputs())
        else {
            panic!("not scored");
        };
        assert_eq!((scores.len(), scores[0].output), (1, 1));
        assert_eq!((missing[0].0, missing[0].1.cause), (0, Cause::NoOutput));
    }

    #[test]
    fn what_does_not_fit_the_declaration_fails_the_item() {
        let cases = [
            (vec![score("c", 0.5)], "`c` was not declared"),
            (vec![score("a", 0.5), score("a", 0.6)], "given twice"),
            (vec![score("a", 1.5)], "outside"),
            (vec![score("a", f64::NAN)], "NaN"),
            (vec![Score { extra_json: Some("{".into()), ..score("a", 0.5) }], "not JSON"),
            (vec![Score { reason: Some("x".repeat(20 << 10)), ..score("a", 0.5) }], "bytes of reason"),
        ];
        for (scores, reason) in cases {
            match check(Ok(Ok(scores)), &outputs()) {
                ScorerOutcomes::Unscored(why) => {
                    assert_eq!(why.cause, Cause::WrongShape);
                    assert!(why.message.contains(reason), "{}", why.message);
                }
                other => panic!("{reason}: {other:?}"),
            }
        }
    }

    fn signal(output: &str, interaction: Option<&str>, value: f64) -> Signal {
        Signal {
            output: output.into(),
            interaction_id: interaction.map(Into::into),
            value: Value::Number(value),
            reason: None,
            extra_json: None,
        }
    }

    #[test]
    fn signals_of_one_output_may_judge_the_session_and_each_interaction_once() {
        let ids = ["i1".to_owned(), "i2".to_owned()];
        let signals =
            vec![signal("b", Some("i2"), 0.5), signal("b", None, 0.25), signal("a", Some("i2"), 1.0)];
        let checked = check_session(Ok(Ok(signals)), &outputs(), &ids).expect("they fit");
        let told: Vec<_> = checked
            .iter()
            .map(|signal| (signal.output, signal.interaction_id.as_deref(), signal.value))
            .collect();
        assert_eq!(told, [(1, Some("i2"), Some(0.5)), (1, None, Some(0.25)), (0, Some("i2"), Some(1.0))]);
    }

    #[test]
    fn a_signal_that_does_not_fit_fails_its_session() {
        let ids = ["i1".to_owned()];
        let cases = [
            (vec![signal("c", None, 0.5)], "`c` was not declared"),
            (vec![signal("a", Some("i9"), 0.5)], "`i9`, which the session does not have"),
            (vec![signal("a", Some("i1"), 0.5), signal("a", Some("i1"), 0.5)], "given twice for `i1`"),
            (vec![signal("a", None, 0.5), signal("a", None, 0.5)], "given twice for `the session`"),
            (vec![signal("a", None, 1.5)], "outside"),
            (vec![Signal { value: Value::Boolean(true), ..signal("a", None, 0.0) }], "another kind"),
            (vec![Signal { extra_json: Some("{".into()), ..signal("a", None, 0.5) }], "not JSON"),
        ];
        for (signals, reason) in cases {
            let why = check_session(Ok(Ok(signals)), &outputs(), &ids).expect_err(reason);
            assert_eq!(why.cause, Cause::WrongShape);
            assert!(why.message.contains(reason), "{}", why.message);
        }
    }
}
