//! Slices of production: which interactions, and which sample of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::ids::{EvaluationId, InteractionId};

/// The name of interactions without a request class.
pub const UNCLASSIFIED: &str = "unclassified";

/// Which interactions of production. What is missing does not restrict.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, utoipa::IntoParams,
)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Slice {
    /// Request class; `unclassified` for those without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_class: Option<String>,
    /// Name of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Version of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_version: Option<String>,
    /// The model as the response named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `service.version` of the product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_version: Option<String>,
    /// The client's name of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The client's name of the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Started at this instant or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Started before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

impl Slice {
    /// The names of its members.
    pub const FIELDS: [&str; 9] = [
        "request_class",
        "template",
        "template_version",
        "model",
        "service_version",
        "user",
        "tenant",
        "from",
        "to",
    ];
}

/// Which share of a slice is evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sample {
    /// Probability of an interaction, in (0, 1]; where its request class has no
    /// rate of its own.
    pub rate: f64,
    /// Probabilities by request class, for stratified sampling.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, f64>,
}

impl Default for Sample {
    fn default() -> Self {
        Self { rate: 1.0, rates: BTreeMap::new() }
    }
}

impl Sample {
    /// The probability with which an interaction of a class is taken.
    pub fn probability(&self, request_class: Option<&str>) -> f64 {
        *self.rates.get(request_class.unwrap_or(UNCLASSIFIED)).unwrap_or(&self.rate)
    }

    /// Whether an interaction is taken. The draw is a hash, salted by the
    /// evaluation: repeated, it falls the same way, and two evaluations draw
    /// independently.
    pub fn takes(&self, salt: EvaluationId, interaction: InteractionId, probability: f64) -> bool {
        probability >= 1.0 || lot(salt.as_bytes(), interaction) < probability
    }

    /// What is wrong with it.
    pub fn problem(&self) -> Option<String> {
        let all = self.rates.iter().map(|(class, rate)| (class.as_str(), *rate)).chain([("rate", self.rate)]);
        for (name, rate) in all {
            if !(0.0..=1.0).contains(&rate) {
                return Some(format!("`{name}` is {rate}; a probability is 0 to 1"));
            }
        }
        None
    }
}

/// A number in [0, 1) that follows from a salt and an interaction: those below
/// p are a sample with probability p.
pub fn lot(salt: &[u8], interaction: InteractionId) -> f64 {
    lot_of(salt, interaction.as_bytes())
}

/// As [`lot`], for anything that has a key.
pub fn lot_of(salt: &[u8], key: &[u8]) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(salt);
    hasher.update(key);
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    // The 53 bits that a number between 0 and 1 holds exactly.
    (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_takes_its_share_and_repeats() {
        let sample = Sample { rate: 0.2, rates: BTreeMap::from([("rare".to_owned(), 1.0)]) };
        let salt = EvaluationId::new();
        let ids: Vec<_> = (0..20_000).map(|i| InteractionId::of_key(&format!("item {i}"))).collect();
        let taken = |salt| ids.iter().filter(|id| sample.takes(salt, **id, 0.2)).count();
        let first = taken(salt);
        // Five standard deviations of a binomial share of 20,000.
        assert!((3_717..=4_283).contains(&first), "{first}");
        assert_eq!(first, taken(salt));
        let both = ids
            .iter()
            .filter(|id| sample.takes(salt, **id, 0.2) && sample.takes(EvaluationId::new(), **id, 0.2))
            .count();
        assert!((650..=950).contains(&both), "draws of two evaluations are independent: {both}");
        assert!((sample.probability(Some("rare")) - 1.0).abs() < f64::EPSILON);
        assert!((sample.probability(None) - 0.2).abs() < f64::EPSILON);
    }

    #[test]
    fn a_rate_that_is_no_probability_is_named() {
        let sample = Sample { rate: 0.5, rates: BTreeMap::from([("billing".to_owned(), 1.5)]) };
        assert_eq!(sample.problem().as_deref(), Some("`billing` is 1.5; a probability is 0 to 1"));
    }
}
