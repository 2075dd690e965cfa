//! Where an evaluation takes items and answers from: a reference set, or a
//! slice of production.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::reference_set::DEFAULT_RECORDING;
use super::slice::{Sample, Slice};
use super::target::Target;

/// Where items and answers come from.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Source {
    /// Items of a reference set, with recorded answers or those of a target.
    ReferenceSet(ReferenceSource),
    /// What happened in production.
    Production {
        /// Which part of it.
        production: ProductionSource,
    },
}

impl<'de> Deserialize<'de> for Source {
    /// By the member that tells the two apart, so that an error speaks of the
    /// one that was meant.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = serde_json::Map::deserialize(deserializer)?;
        let Some(production) = members.remove("production") else {
            let source = serde_json::from_value(serde_json::Value::Object(members));
            return source.map(Self::ReferenceSet).map_err(D::Error::custom);
        };
        if let Some(other) = members.keys().next() {
            return Err(D::Error::custom(format!("`{other}` does not go with `production`")));
        }
        let production = serde_json::from_value(production).map_err(D::Error::custom)?;
        Ok(Self::Production { production })
    }
}

/// Items of a reference set, with recorded answers or those of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceSource {
    /// Name of the reference set.
    pub reference_set: String,
    /// Its version; the newest at the start of a run where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Recorded answers under this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// Ask this target instead of taking recorded answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// How often a target is asked for each item.
    #[schema(minimum = 1, maximum = 100)]
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub trials: u32,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(trials: &u32) -> bool {
    *trials == 1
}

impl ReferenceSource {
    /// The recording that answers are taken from, where no target is asked.
    pub fn recording(&self) -> &str {
        self.recording.as_deref().unwrap_or(DEFAULT_RECORDING)
    }
}

/// A slice of production, and which sample of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProductionSource {
    /// Which interactions; a run takes what was received until it began.
    pub slice: Slice,
    /// Only those that started within so many seconds before the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_s: Option<u64>,
    /// Which share of them.
    pub sample: Sample,
    /// Score what comes in as it comes in. The daemon keeps one run open; each
    /// day (UTC), and after each change, another one goes on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

impl Source {
    /// The target that is asked, where there is one.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::ReferenceSet(source) => source.target.as_ref(),
            Self::Production { .. } => None,
        }
    }

    /// The part of production that it takes.
    pub fn production(&self) -> Option<&ProductionSource> {
        match self {
            Self::ReferenceSet(_) => None,
            Self::Production { production } => Some(production),
        }
    }

    /// What is wrong with it: a JSON Pointer below `/source`, and why.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::ReferenceSet(source) => {
                let mut problems = Vec::new();
                if source.target.is_some() && source.recording.is_some() {
                    problems.push(("", "either `recording` or `target`, not both".into()));
                }
                if source.trials == 0 || source.trials > 100 {
                    problems.push(("/trials", "1 to 100 trials".into()));
                }
                if source.trials > 1 && source.target.is_none() {
                    problems.push(("/trials", "recorded answers bring their own trials".into()));
                }
                problems
            }
            Self::Production { production } => production.problems(),
        }
    }
}

impl ProductionSource {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Some(problem) = self.sample.problem() {
            problems.push(("/production/sample", problem));
        }
        if self.follow && (self.last_s.is_some() || self.slice.from.is_some() || self.slice.to.is_some()) {
            problems.push(("/production/follow", "what comes in has no window of time".into()));
        }
        if self.last_s.is_some() && self.slice.from.is_some() {
            problems.push(("/production/last_s", "either `last_s` or `slice.from`, not both".into()));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Source, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn the_members_tell_the_two_kinds_apart() {
        let source = read(r#"{"reference_set":"faq","trials":3}"#).expect("valid");
        assert!(matches!(&source, Source::ReferenceSet(source) if source.trials == 3));
        let source =
            read(r#"{"production":{"slice":{"template":"t"},"sample":{"rate":0.1}}}"#).expect("valid");
        assert_eq!(source.production().map(|source| source.sample.rate), Some(0.1));
        let written = serde_json::to_string(&source).expect("JSON");
        assert_eq!(read(&written), Ok(source));
    }

    #[test]
    fn an_error_speaks_of_what_was_meant() {
        for (json, told) in [
            (r#"{"production":{"slcie":{}}}"#, "`slcie`"),
            (r#"{"production":{},"reference_set":"faq"}"#, "`reference_set` does not go with"),
            (r#"{"referense_set":"faq"}"#, "`referense_set`"),
        ] {
            let error = read(json).expect_err("wrong");
            assert!(error.contains(told), "{error}");
        }
        let source =
            read(r#"{"production":{"follow":true,"last_s":60,"sample":{"rate":2}}}"#).expect("well-formed");
        let places: Vec<_> = source.problems().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["/production/sample", "/production/follow"]);
    }
}
