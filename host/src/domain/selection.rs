//! From production to a reference set: which interactions, and what is made of
//! them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::completion::Completion;
use super::ids::EvaluationId;
use super::slice::{Sample, Slice};

/// What becomes a version of a reference set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// From which interactions.
    pub slice: Slice,
    /// These only, by id or by the client's own name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interactions: Vec<String>,
    /// Those with this outcome only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Those with this signal only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalAtLeast>,
    /// Which share of them, by request class.
    pub sample: Sample,
    /// The most of each request class: rare classes are kept whole, and of the
    /// common ones as many as of them. What is left out is drawn by lot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_class_max: Option<u32>,
    /// Acceptable answers, by id or by the client's own name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub expected: BTreeMap<String, Vec<String>>,
    /// Parts that items are dealt to, with their shares; written to each item's
    /// metadata as `split`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub split: BTreeMap<String, f64>,
    /// The new version begins with the items of the one before.
    pub extend: bool,
}

/// An outcome under an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Which evaluation, over production.
    pub evaluation: EvaluationId,
    /// Which outcome.
    pub completion: Completion,
}

/// A signal that is at least so large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalAtLeast {
    /// Name of the output.
    pub output: String,
    /// At least this; 1 is yes.
    pub at_least: f64,
}

impl Selection {
    /// What is wrong with it: a JSON Pointer, and why.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Some(problem) = self.sample.problem() {
            problems.push(("/sample", problem));
        }
        if self.per_class_max == Some(0) {
            problems.push(("/per_class_max", "at least 1".into()));
        }
        let shares: f64 = self.split.values().sum();
        let has_wrong_share = self.split.values().any(|share| !(*share > 0.0 && *share <= 1.0));
        let is_off = (shares - 1.0).abs() > 1e-6;
        if !self.split.is_empty() && (has_wrong_share || is_off) {
            problems.push(("/split", format!("the shares are over 0 and sum to 1, not to {shares}")));
        }
        problems
    }

    /// Whether it takes interactions by what came of them: such a set tells
    /// nothing of how often that happens.
    pub fn is_by_outcome(&self) -> bool {
        self.outcome.is_some() || self.signal.is_some() || !self.interactions.is_empty()
    }
}

/// What came of a selection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Selected {
    /// Interactions that fitted.
    pub found: u64,
    /// Those that became items.
    pub taken: u64,
    /// Those left out because another has the same query and history.
    pub duplicates: u64,
    /// Items that were carried over from the version before.
    pub carried_over: u64,
    /// Items by request class.
    pub classes: BTreeMap<String, u64>,
}
