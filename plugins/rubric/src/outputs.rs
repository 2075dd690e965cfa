//! What the host learns of a rubric's outputs.

use assay_plugin::prelude::*;

use crate::config::{Mode, Way};
use crate::rubric::{Criterion, Rubric};

pub const TOTAL: &str = "total";
pub const CRITERIA_SCORED: &str = "criteria_scored";
pub const DISAGREEMENT: &str = "disagreement";
pub const PREFERS_ANSWER: &str = "prefers_answer";
pub const WHEN_FIRST: &str = "prefers_answer_when_first";
pub const WHEN_SECOND: &str = "prefers_answer_when_second";
pub const ORDER_AGREEMENT: &str = "order_agreement";
pub const POSITION_BIAS: &str = "position_bias";

/// What no criterion may be called.
pub const RESERVED: [&str; 8] = [
    TOTAL,
    CRITERIA_SCORED,
    DISAGREEMENT,
    PREFERS_ANSWER,
    WHEN_FIRST,
    WHEN_SECOND,
    ORDER_AGREEMENT,
    POSITION_BIAS,
];

/// The outputs, in the order in which they are given.
pub fn outputs(rubric: &Rubric) -> Vec<Output> {
    let mut outputs = Vec::new();
    for criterion in &rubric.criteria {
        let (low, high, direction) = match rubric.mode {
            Mode::Absolute => (criterion.low as f64, criterion.high as f64, criterion.way.into()),
            Mode::Pairwise => (0.0, 1.0, Direction::HigherIsBetter),
        };
        outputs.push(number(&criterion.name, low, high, direction, &criterion.question));
    }
    match rubric.mode {
        Mode::Absolute => {
            if let Some((low, high)) = total_range(&rubric.criteria) {
                let told = "The criteria together, computed from them";
                outputs.push(number(TOTAL, low, high, Direction::HigherIsBetter, told));
            }
        }
        Mode::Pairwise => outputs.extend(comparison()),
    }
    let told = "Share of criteria that have a value; the reason says what the others lack";
    outputs.push(number(CRITERIA_SCORED, 0.0, 1.0, Direction::Neutral, told));
    if rubric.has_jury() {
        let told = match rubric.mode {
            Mode::Absolute => "How far the judges are apart, as a share of the range, mean of the criteria",
            Mode::Pairwise => "How far the judges are apart in their preference",
        };
        outputs.push(number(DISAGREEMENT, 0.0, 1.0, Direction::Neutral, told));
    }
    outputs
}

fn comparison() -> [Output; 5] {
    let told =
        "1: the answer is better than the baseline in both orders; 0: worse; 0.5: neither, or orders differ";
    let first = "The same, asked once, with the answer shown first";
    let second = "The same, asked once, with the answer shown second";
    let agreement = "Each judge prefers the same in both orders";
    let bias = "Over 0: what was shown first was preferred, whatever it was; under 0: what was shown second";
    [
        number(PREFERS_ANSWER, 0.0, 1.0, Direction::HigherIsBetter, told),
        number(WHEN_FIRST, 0.0, 1.0, Direction::Neutral, first),
        number(WHEN_SECOND, 0.0, 1.0, Direction::Neutral, second),
        Output {
            kind: OutputKind::Boolean,
            ..number(ORDER_AGREEMENT, 0.0, 1.0, Direction::HigherIsBetter, agreement)
        },
        number(POSITION_BIAS, -1.0, 1.0, Direction::Neutral, bias),
    ]
}

fn number(name: &str, low: f64, high: f64, direction: Direction, description: &str) -> Output {
    Output {
        name: name.into(),
        capability: Capability::Score,
        kind: OutputKind::Number(Range { low, high }),
        direction,
        description: Some(description.into()),
    }
}

/// The least and the most that a total can be; none where no criterion is
/// better one way or the other.
///
/// Summed in the order in which totals are, so that no total is outside by a
/// rounding error.
pub fn total_range(criteria: &[Criterion]) -> Option<(f64, f64)> {
    let counted = criteria.iter().filter(|criterion| criterion.way != Way::Neutral);
    counted.fold(None, |range, criterion| {
        let (low, high) = range.unwrap_or((0.0, 0.0));
        let points = |points: i64| criterion.weight * points as f64;
        Some((low + points(criterion.low), high + points(criterion.high)))
    })
}
