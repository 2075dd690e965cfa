//! Reading a judge's reply: the whole text is one JSON object with exactly the
//! rubric's criteria, each once. Whatever else stands there makes the item
//! fail; nothing is searched for in prose.

use assay_plugin::PluginError;
use assay_plugin::judge::{Reply, read_object};
use assay_plugin::quotes::shortened;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::rubric::{Criterion, Rubric};

/// What a judge says of a criterion, in `absolute`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graded {
    pub reason: String,
    #[serde(default)]
    pub quote: String,
    #[serde(default)]
    pub cannot_tell: bool,
    pub points: Option<serde_json::Number>,
}

/// What a judge says of a criterion, in `pairwise`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    pub reason: String,
    #[serde(default)]
    pub quote: String,
    pub better: Better,
}

/// Which answer a judge prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    First,
    Second,
    Tie,
    CannotTell,
}

impl Graded {
    /// The points, which are none where the judge cannot tell. What is out of
    /// the criterion's range or no whole number is an error.
    pub fn points(&self, criterion: &Criterion) -> Result<Option<i64>, String> {
        if self.cannot_tell {
            return if criterion.cannot_tell { Ok(None) } else { Err("it may not say `cannot_tell`".into()) };
        }
        let Some(number) = &self.points else { return Err("there are no `points`".into()) };
        // JSON Schema takes 2.0 for a whole number.
        let whole = number.as_i64().or_else(|| {
            number
                .as_f64()
                .filter(|points| points.fract() == 0.0 && points.abs() < 1e9)
                .map(|points| points as i64)
        });
        match whole {
            Some(points) if (criterion.low..=criterion.high).contains(&points) => Ok(Some(points)),
            _ => Err(format!(
                "`points` {number} is no whole number from {} to {}",
                criterion.low, criterion.high
            )),
        }
    }
}

/// What a reply says of each criterion, in the rubric's order.
pub fn read<A: DeserializeOwned>(
    reply: &Reply,
    rubric: &Rubric,
    profile: &str,
) -> Result<Vec<A>, PluginError> {
    let names: Vec<_> = rubric.criteria.iter().map(|criterion| criterion.name.as_str()).collect();
    read_object(reply, &names).map_err(|what| unfit(profile, &what))
}

/// The error of an item whose judge's reply does not fit.
pub fn unfit(profile: &str, what: &str) -> PluginError {
    PluginError::Internal(format!("unfit reply of judge `{profile}`: {}", shortened(what, 500)))
}
