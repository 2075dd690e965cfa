//! The configuration, as users write it.

use assay_plugin::judge::Use;
use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of the plugin `judged-modes`: who judges, and what can be
/// wrong with an answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The judge: a profile of the host's configuration.
    pub profile: String,
    /// The team's failure modes.
    #[serde(default = "defaults")]
    pub modes: Vec<ModeConfig>,
    /// What the judge is shown beside query and answer. What an interaction
    /// does not have is not shown.
    #[serde(default)]
    pub uses: Vec<Use>,
    /// What the judge has to know of the product; the team's own words.
    #[serde(default)]
    pub instructions: Option<String>,
    /// Labels of which the judge is less sure are left out; 0 to 1.
    #[serde(default = "half")]
    pub confidence_min: f64,
    /// The most tokens of a reply; the profile's where it is missing.
    #[serde(default)]
    pub output_tokens_max: Option<u32>,
    /// The judge's temperature; the profile's where it is missing.
    #[serde(default)]
    pub temperature: Option<f64>,
}

/// One failure mode.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeConfig {
    /// Lower-case letters, digits and `_`.
    pub name: String,
    /// When an answer has this mode, so concretely that two people agree.
    pub definition: String,
    /// What such an answer looks like.
    #[serde(default)]
    pub examples: Vec<String>,
    /// Whether the judge quotes the answer.
    #[serde(default)]
    pub evidence: EvidenceRule,
}

/// Whether the judge quotes the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceRule {
    /// A quotation is asked for and not needed: what is missing cannot be
    /// quoted.
    #[default]
    Optional,
    /// Without a quotation that is in the answer there is no label.
    Required,
}

fn half() -> f64 {
    0.5
}

/// The modes of who configures none.
fn defaults() -> Vec<ModeConfig> {
    let mode = |name: &str, evidence, definition: &str, examples: &[&str]| ModeConfig {
        name: name.into(),
        definition: definition.into(),
        examples: examples.iter().map(|example| (*example).into()).collect(),
        evidence,
    };
    vec![
        mode(
            "hallucination",
            EvidenceRule::Required,
            "The answer states as a fact something that is invented: a name, number, date, source, quotation or \
             feature that is neither in what you are shown nor so in the world. A false statement that many people \
             believe is `wrong` and not this.",
            &[
                "It cites a paper that does not exist.",
                "It gives the phone number of a service that has none in the documents.",
            ],
        ),
        mode(
            "wrong",
            EvidenceRule::Required,
            "What the answer says to the question itself is false: it contradicts an expected answer, a document or \
             well-known facts, or has an error of calculation or logic on which the result depends.",
            &["Asked for the sum of 17 and 26 it says 33."],
        ),
        mode(
            "incomplete",
            EvidenceRule::Optional,
            "A part of what was asked for is missing, and the answer does not say why.",
            &["Asked for price and delivery time it gives the price."],
        ),
        mode(
            "off_topic",
            EvidenceRule::Optional,
            "The answer is about something other than what was asked, or so general that it could stand under any \
             query.",
            &["Asked how to cancel it explains how to sign up."],
        ),
        mode(
            "policy",
            EvidenceRule::Required,
            "The answer breaks a rule that is stated above or in the conversation's system messages, or contains what \
             seriously harms somebody.",
            &["It gives medical dosages although the system message forbids them."],
        ),
    ]
}
