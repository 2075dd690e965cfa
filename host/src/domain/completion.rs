//! Task completion: what counts as correct, in three values.
//!
//! A scorer's own failure never becomes a verdict on the product: it leaves
//! the item undetermined. A product that failed or answered nothing has not
//! completed the task, whatever a scorer says of the empty answer.

use serde::{Deserialize, Serialize};

/// Whether a task was completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// The rule holds.
    Completed,
    /// The rule does not hold, or the product failed.
    NotCompleted,
    /// A score that decides is missing.
    Undetermined,
}

/// Whether there is an answer to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The product answered.
    Given,
    /// The product failed, timed out or answered nothing.
    Missing,
}

/// What counts as correct for a request class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum CompletionRule {
    /// An output is at least a threshold, in the output's own range.
    AtLeast {
        /// Name of the output.
        output: String,
        /// The threshold; reaching it is enough.
        at_least: f64,
    },
    /// Every rule holds. An empty list holds.
    All {
        /// The rules.
        #[schema(no_recursion)]
        all: Vec<CompletionRule>,
    },
    /// At least one rule holds. An empty list does not hold.
    Any {
        /// The rules.
        #[schema(no_recursion)]
        any: Vec<CompletionRule>,
    },
}

impl Completion {
    /// Kleene's strong conjunction: one `NotCompleted` decides.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::NotCompleted, _) | (_, Self::NotCompleted) => Self::NotCompleted,
            (Self::Completed, Self::Completed) => Self::Completed,
            _ => Self::Undetermined,
        }
    }

    /// Kleene's strong disjunction: one `Completed` decides.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Completed, _) | (_, Self::Completed) => Self::Completed,
            (Self::NotCompleted, Self::NotCompleted) => Self::NotCompleted,
            _ => Self::Undetermined,
        }
    }
}

impl CompletionRule {
    /// Judges one item. `score` gives an output's value, or none where its
    /// scorer failed or skipped the item.
    pub fn judge(&self, answer: Presence, score: &impl Fn(&str) -> Option<f64>) -> Completion {
        match answer {
            Presence::Missing => Completion::NotCompleted,
            Presence::Given => self.holds(score),
        }
    }

    /// The outputs that the rule speaks of, in order, with repetitions.
    pub fn outputs(&self) -> Vec<&str> {
        match self {
            Self::AtLeast { output, .. } => vec![output],
            Self::All { all: rules } | Self::Any { any: rules } => {
                rules.iter().flat_map(Self::outputs).collect()
            }
        }
    }

    fn holds(&self, score: &impl Fn(&str) -> Option<f64>) -> Completion {
        match self {
            Self::AtLeast { output, at_least } => match score(output) {
                Some(value) if value.is_nan() => Completion::Undetermined,
                Some(value) if value >= *at_least => Completion::Completed,
                Some(_) => Completion::NotCompleted,
                None => Completion::Undetermined,
            },
            Self::All { all } => {
                all.iter().map(|rule| rule.holds(score)).fold(Completion::Completed, Completion::and)
            }
            Self::Any { any } => {
                any.iter().map(|rule| rule.holds(score)).fold(Completion::NotCompleted, Completion::or)
            }
        }
    }
}

/// How many items ended in each of the three ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(missing_docs, reason = "named after the three values")]
pub struct CompletionCounts {
    pub completed: u64,
    pub not_completed: u64,
    pub undetermined: u64,
}

impl CompletionCounts {
    /// Counts one more item.
    pub fn add(&mut self, completion: Completion) {
        match completion {
            Completion::Completed => self.completed += 1,
            Completion::NotCompleted => self.not_completed += 1,
            Completion::Undetermined => self.undetermined += 1,
        }
    }

    /// Items in all.
    pub fn total(&self) -> u64 {
        self.completed + self.not_completed + self.undetermined
    }

    /// Completed among the determined; none where nothing is determined.
    pub fn rate(&self) -> Option<f64> {
        let determined = self.completed + self.not_completed;
        (determined > 0).then(|| self.completed as f64 / determined as f64)
    }

    /// Share of items that are undetermined; none where there is no item.
    pub fn undetermined_share(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.undetermined as f64 / self.total() as f64)
    }

    /// The rate with every undetermined item counted wrong, and counted right.
    pub fn bounds(&self) -> Option<(f64, f64)> {
        let share = |count: u64| count as f64 / self.total() as f64;
        (self.total() > 0).then(|| (share(self.completed), share(self.completed + self.undetermined)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> CompletionRule {
        serde_json::from_str(json).expect("a valid rule")
    }

    #[test]
    fn a_missing_score_is_undetermined_unless_another_decides() {
        let both = rule(r#"{"all":[{"output":"a","at_least":0.5},{"output":"b","at_least":0.5}]}"#);
        let either = rule(r#"{"any":[{"output":"a","at_least":0.5},{"output":"b","at_least":0.5}]}"#);
        let only_a = |value: f64| move |output: &str| (output == "a").then_some(value);
        assert_eq!(both.judge(Presence::Given, &only_a(0.5)), Completion::Undetermined);
        assert_eq!(both.judge(Presence::Given, &only_a(0.4)), Completion::NotCompleted);
        assert_eq!(either.judge(Presence::Given, &only_a(0.5)), Completion::Completed);
        assert_eq!(either.judge(Presence::Given, &only_a(0.4)), Completion::Undetermined);
    }

    #[test]
    fn an_answer_that_is_not_there_is_not_completed_whatever_the_scores() {
        let lenient = rule(r#"{"output":"a","at_least":0.0}"#);
        assert_eq!(lenient.judge(Presence::Missing, &|_| Some(1.0)), Completion::NotCompleted);
    }

    #[test]
    fn a_score_that_is_not_a_number_decides_nothing() {
        let any = rule(r#"{"output":"a","at_least":0.0}"#);
        assert_eq!(any.judge(Presence::Given, &|_| Some(f64::NAN)), Completion::Undetermined);
    }

    #[test]
    fn bounds_hold_the_undetermined_both_ways() {
        let mut counts = CompletionCounts::default();
        for completion in [Completion::Completed, Completion::NotCompleted, Completion::Undetermined] {
            counts.add(completion);
        }
        counts.add(Completion::Completed);
        assert_eq!(counts.rate(), Some(2.0 / 3.0));
        assert_eq!(counts.undetermined_share(), Some(0.25));
        assert_eq!(counts.bounds(), Some((0.5, 0.75)));
        assert_eq!(CompletionCounts::default().rate(), None);
    }
}
