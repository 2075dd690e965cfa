//! The configuration, as users write it.

use std::collections::BTreeMap;

use assay_plugin::Direction;
use assay_plugin::judge::Use;
use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of the plugin `rubric`: who judges, and by what.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The judge: a profile of the host's configuration. This or `jury`.
    pub profile: Option<String>,
    /// Several judges, who are all asked.
    pub jury: Vec<String>,
    /// How a jury's votes make one value.
    pub combine: Combine,
    /// A ready-made rubric by its name, in place of `criteria`.
    pub rubric: Option<String>,
    /// What is judged; each gives one output.
    pub criteria: Vec<CriterionConfig>,
    /// One answer by itself, or two against each other.
    pub mode: Mode,
    /// What `pairwise` compares the answer with.
    pub baseline: Option<Baseline>,
    /// What the judge is shown beside query and answer.
    pub uses: Option<Vec<Use>>,
    /// What the judge has to know of the product; the team's own words.
    pub instructions: Option<String>,
    /// When there is a total.
    pub total: TotalRule,
    /// The most tokens of a reply; the profile's where it is missing.
    pub output_tokens_max: Option<u32>,
    /// The judge's temperature; the profile's where it is missing.
    pub temperature: Option<f64>,
}

/// One criterion.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CriterionConfig {
    /// The output's name: lower-case letters, digits and `_`.
    pub name: String,
    /// What the judge is asked: one concrete question.
    pub question: String,
    /// The most points; the least are 0. This or `scale`.
    #[serde(default)]
    pub points: Option<i64>,
    /// The least and the most.
    #[serde(default)]
    pub scale: Option<(i64, i64)>,
    /// What a number of points means, by the number.
    #[serde(default)]
    pub anchors: BTreeMap<String, String>,
    /// What a point counts in the total.
    #[serde(default = "one")]
    pub weight: f64,
    /// The judge may say that it cannot tell.
    #[serde(default)]
    pub cannot_tell: bool,
    /// Whether the judge quotes the answer.
    #[serde(default)]
    pub evidence: EvidenceRule,
    /// Which way is better.
    #[serde(default)]
    pub direction: Way,
}

fn one() -> f64 {
    1.0
}

/// How a jury's votes make one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// The mean of those who voted, where they are more than half of the jury.
    #[default]
    Mean,
    /// What more than half of the jury voted for.
    Majority,
}

/// One answer by itself, or two against each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Points for each criterion.
    #[default]
    Absolute,
    /// Which of two answers is better, asked in both orders.
    Pairwise,
}

/// What `pairwise` compares the answer with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Baseline {
    /// The first expected answer.
    Expected,
    /// The metadata with this name.
    Metadata(String),
}

/// When there is a total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TotalRule {
    /// Only where every criterion has a value.
    #[default]
    Complete,
    /// Criteria for which the judge cannot tell are left out, and the rest is
    /// scaled up. A quotation that is not in the answer still leaves no total.
    Rest,
}

/// Whether the judge quotes the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceRule {
    /// A quotation is asked for and not needed; one that is not in the answer
    /// is dropped.
    #[default]
    Optional,
    /// Without a quotation that is in the answer there is no value, except for
    /// the least points with nothing quoted: what is absent cannot be quoted.
    Required,
    /// No quotation is asked for.
    None,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// More points are better.
    #[default]
    Higher,
    /// Fewer points are better; the total counts what is missing to the most.
    Lower,
    /// Neither; the total leaves it out.
    Neutral,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Self {
        match way {
            Way::Higher => Self::HigherIsBetter,
            Way::Lower => Self::LowerIsBetter,
            Way::Neutral => Self::Neutral,
        }
    }
}
