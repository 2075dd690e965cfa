//! What the views of production traffic have in common: which requests, how
//! they are grouped, and of when the figures tell.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::domain::clock::Timestamp;
use crate::domain::latency::{Dimension, HOUR_US};
use crate::store::{Figures, GroupKey, KeyPart};

/// What tells groups apart, separated by commas; without any all requests are
/// one group.
#[derive(Debug, Clone, Default)]
pub struct GroupBy(pub Vec<Dimension>);

impl<'de> Deserialize<'de> for GroupBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut by = Vec::new();
        for name in String::deserialize(deserializer)?.split(',').filter(|name| !name.is_empty()) {
            let found = Dimension::ALL.into_iter().find(|dimension| dimension.name() == name);
            let dimension = found.ok_or_else(|| {
                let known: Vec<_> = Dimension::ALL.iter().map(|dimension| dimension.name()).collect();
                D::Error::custom(format!("there is no `{name}`; there are {}", known.join(", ")))
            })?;
            if by.contains(&dimension) {
                return Err(D::Error::custom(format!("`{name}` stands there twice")));
            }
            by.push(dimension);
        }
        Ok(Self(by))
    }
}

/// How the requests are grouped.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GroupQuery {
    /// What tells groups apart, separated by commas: `template`,
    /// `template_version`, `model`, `request_class`, `input_length` (buckets in powers
    /// of two of input tokens), `cache`, `hour`, `day` (UTC). Without it all
    /// requests are one group.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "template,input_length")]
    pub group_by: GroupBy,
}

/// Of when figures tell, and where they come from.
#[derive(Serialize, ToSchema)]
pub struct Window {
    /// From when on; figures from the rollup begin and end at full hours.
    from: Option<Timestamp>,
    /// Until when.
    to: Option<Timestamp>,
    /// `rollup`: from cells of an hour each. `rows`: from each interaction, as
    /// slices by user, tenant and service version need.
    source: &'static str,
    /// At most so many interactions that have come in are not counted yet.
    pending: u64,
    /// Hours that hold interactions whose place a later revision has taken; both
    /// count until the hours are counted again, about a minute later.
    stale_hours: u64,
}

impl<G> From<&Figures<G>> for Window {
    fn from(figures: &Figures<G>) -> Self {
        Self {
            from: figures.from,
            to: figures.to,
            source: if figures.exact { "rows" } else { "rollup" },
            pending: figures.pending,
            stale_hours: figures.stale_hours,
        }
    }
}

/// What the requests of a group have in common, by the names of `group_by`.
pub type KeyView = BTreeMap<&'static str, Value>;

/// A group's key with its names.
pub fn key_view(by: &[Dimension], key: &GroupKey) -> KeyView {
    let value = |part: &KeyPart| match part {
        KeyPart::Name(name) => serde_json::to_value(name),
        KeyPart::InputLength(bucket) => serde_json::to_value(bucket),
        KeyPart::Cache(state) => serde_json::to_value(state),
        KeyPart::From(from) => serde_json::to_value(from),
    };
    by.iter()
        .zip(key)
        .map(|(dimension, part)| (dimension.name(), value(part).expect("each is a text or nothing")))
        .collect()
}

/// Whether a group is of an hour or day that is not over: more will come.
pub fn is_provisional(by: &[Dimension], key: &GroupKey, now: Timestamp) -> bool {
    by.iter().zip(key).any(|(dimension, part)| match (dimension, part) {
        (Dimension::Hour, KeyPart::From(from)) => from.0 + HOUR_US > now.0,
        (Dimension::Day, KeyPart::From(from)) => from.0 + 24 * HOUR_US > now.0,
        _ => false,
    })
}
