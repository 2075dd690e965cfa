//! The configuration, as users write it, and the rules that it makes.

use std::collections::BTreeSet;

use assay_plugin::Problem;
use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of the plugin `behaviour`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Kinds of event that the client reports. What depends on another kind is
    /// not given at all: a client that never reports a copy is not one whose
    /// users never copy.
    pub client_reports: BTreeSet<Reported>,
    /// When a query is another wording of the one before it.
    pub rephrase: RephraseConfig,
    /// The scale of ratings that are numbers; -1 to 1 where it is missing.
    pub rating: Option<Scale>,
    /// What counts as giving up beside an `abandoned` event. Both are guesses.
    pub abandon: AbandonConfig,
    /// What makes an interaction `dissatisfied`; everything that is given where
    /// it is missing.
    pub dissatisfied: Option<BTreeSet<Complaint>>,
}

/// A kind of event on which outputs depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reported {
    /// The user copied an answer.
    Copied,
    /// The user reported an answer.
    Reported,
    /// The user gave up.
    Abandoned,
    /// The user rated an answer.
    Rated,
}

impl Reported {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Copied, Self::Reported, Self::Abandoned, Self::Rated];
}

/// When a query is another wording of the one before it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RephraseConfig {
    /// The least similarity, over 0 and at most 1.
    pub similarity_min: f64,
}

/// A scale of ratings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The worst rating.
    pub worst: f64,
    /// The best rating.
    pub best: f64,
}

/// What counts as giving up beside an `abandoned` event.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AbandonConfig {
    /// The session ends with an answer that failed, is empty or was cut.
    pub after_bad_answer: bool,
    /// A `left` event within so many seconds of the session's last answer,
    /// which was neither copied nor rated well.
    pub left_within_s: Option<f64>,
}

/// What can make an interaction `dissatisfied`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Complaint {
    /// The signal `rephrase`.
    Rephrase,
    /// The signal `retry`.
    Retry,
    /// The signal `report`.
    Report,
    /// A negative `thumbs`.
    ThumbsDown,
    /// The signal `abandon`.
    Abandon,
}

impl Complaint {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Rephrase, Self::Retry, Self::Report, Self::ThumbsDown, Self::Abandon];

    /// The word that the configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rephrase => "rephrase",
            Self::Retry => "retry",
            Self::Report => "report",
            Self::ThumbsDown => "thumbs_down",
            Self::Abandon => "abandon",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            client_reports: Reported::ALL.into(),
            rephrase: RephraseConfig::default(),
            rating: None,
            abandon: AbandonConfig::default(),
            dissatisfied: None,
        }
    }
}

impl Default for RephraseConfig {
    fn default() -> Self {
        Self { similarity_min: 0.62 }
    }
}

/// A configuration that was checked.
#[derive(Debug, Clone)]
pub struct Rules {
    /// As it was written.
    pub config: Config,
    /// What makes an interaction `dissatisfied`.
    pub complaints: BTreeSet<Complaint>,
}

impl Rules {
    /// Checks a configuration.
    pub fn new(config: Config) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem = |path: String, message: String| problems.push(Problem { path, message });
        let least = config.rephrase.similarity_min;
        if !(least > 0.0 && least <= 1.0) {
            problem("/rephrase/similarity_min".into(), format!("{least} is not over 0 and at most 1"));
        }
        if let Some(Scale { worst, best }) = config.rating
            && !(worst.is_finite() && best.is_finite() && worst != best)
        {
            problem("/rating".into(), format!("no scale goes from {worst} to {best}"));
        }
        if let Some(seconds) = config.abandon.left_within_s
            && !(seconds.is_finite() && seconds >= 0.0)
        {
            problem("/abandon/left_within_s".into(), format!("{seconds} is no number of seconds"));
        }
        let given = |complaint: &Complaint| match complaint {
            Complaint::Rephrase | Complaint::Retry => true,
            Complaint::Report => config.reports(Reported::Reported),
            Complaint::ThumbsDown => config.reports(Reported::Rated),
            Complaint::Abandon => config.gives_abandon(),
        };
        let complaints = match &config.dissatisfied {
            None => Complaint::ALL.into_iter().filter(given).collect(),
            Some(complaints) => {
                if complaints.is_empty() {
                    problem("/dissatisfied".into(), "nothing would make anyone dissatisfied".into());
                }
                for complaint in complaints.iter().filter(|complaint| !given(complaint)) {
                    let message =
                        format!("`{}` is not known: the client does not report it", complaint.as_str());
                    problem("/dissatisfied".into(), message);
                }
                complaints.clone()
            }
        };
        if problems.is_empty() { Ok(Self { config, complaints }) } else { Err(problems) }
    }
}

impl Config {
    /// Whether the client reports a kind of event.
    pub fn reports(&self, kind: Reported) -> bool {
        self.client_reports.contains(&kind)
    }

    /// Whether anything tells that a user gave up.
    pub fn gives_abandon(&self) -> bool {
        self.reports(Reported::Abandoned)
            || self.abandon.after_bad_answer
            || self.abandon.left_within_s.is_some()
    }
}
