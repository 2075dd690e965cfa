//! From what plugins answered to what is kept: every answer is checked against
//! the declared outputs, because a worker is not to be trusted.

use super::bisect::ItemResult;
use super::prepare::ReadyPolicy;
use crate::domain::completion::{Completion, Presence};
use crate::domain::plugin::{Cause, Output, Score, Unscored, Value};
use crate::store::{ScoreRow, ScorerOutcomes};

/// Text of a plugin that is kept beside a score.
const DETAIL_BYTES_MAX: usize = 16 << 10;
const MESSAGE_BYTES_MAX: usize = 2 << 10;

/// Checks one item's answer from one scorer.
pub fn check(result: ItemResult, outputs: &[Output]) -> ScorerOutcomes {
    match result {
        Err(unscored) => ScorerOutcomes::Unscored(shortened(unscored)),
        Ok(Err(error)) => ScorerOutcomes::Unscored(shortened(error.into())),
        Ok(Ok(scores)) => match check_scores(scores, outputs) {
            Ok(outcome) => outcome,
            Err(message) => {
                ScorerOutcomes::Unscored(shortened(Unscored { cause: Cause::WrongShape, message }))
            }
        },
    }
}

fn check_scores(scores: Vec<Score>, outputs: &[Output]) -> Result<ScorerOutcomes, String> {
    let mut rows: Vec<ScoreRow> = Vec::with_capacity(outputs.len());
    for score in scores {
        let index = outputs
            .iter()
            .position(|output| output.name == score.output)
            .ok_or_else(|| format!("output `{}` was not declared", score.output))?;
        if rows.iter().any(|row| row.output == index) {
            return Err(format!("output `{}` was given twice", score.output));
        }
        outputs[index].accepts(&score.value)?;
        rows.push(row(index, score)?);
    }
    let missing: Vec<_> = (0..outputs.len())
        .filter(|index| rows.iter().all(|row| row.output != *index))
        .map(|index| {
            let message = format!("the plugin gave no `{}` for this item", outputs[index].name);
            (index, Unscored { cause: Cause::NoOutput, message })
        })
        .collect();
    rows.sort_by_key(|row| row.output);
    Ok(ScorerOutcomes::Scored { scores: rows, missing })
}

fn row(output: usize, score: Score) -> Result<ScoreRow, String> {
    let detail = if score.reason.is_none() && score.evidence.is_empty() && score.extra_json.is_none() {
        None
    } else {
        let mut detail = serde_json::Map::new();
        if let Some(reason) = score.reason {
            detail.insert("reason".into(), reason.into());
        }
        if !score.evidence.is_empty() {
            detail.insert("evidence".into(), serde_json::to_value(&score.evidence).unwrap_or_default());
        }
        if let Some(extra) = score.extra_json {
            let extra = serde_json::from_str(&extra)
                .map_err(|error| format!("`extra-json` of output `{}` is not JSON: {error}", score.output))?;
            detail.insert("extra".into(), extra);
        }
        let text = serde_json::Value::Object(detail).to_string();
        if text.len() > DETAIL_BYTES_MAX {
            return Err(format!(
                "output `{}` has {} bytes of reason and evidence, over {DETAIL_BYTES_MAX}",
                score.output,
                text.len()
            ));
        }
        Some(text)
    };
    let value = score.value.as_number();
    let category = match score.value {
        Value::Category(name) => Some(name),
        Value::Number(_) | Value::Boolean(_) => None,
    };
    Ok(ScoreRow { output, value, category, detail })
}

fn shortened(mut unscored: Unscored) -> Unscored {
    if unscored.message.len() > MESSAGE_BYTES_MAX {
        let end = unscored.message.floor_char_boundary(MESSAGE_BYTES_MAX);
        unscored.message.truncate(end);
        unscored.message.push('…');
    }
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
}
