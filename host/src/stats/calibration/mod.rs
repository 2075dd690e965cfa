//! Whether a judge can be believed: what it said against what people said of the
//! same interactions.
//!
//! Every figure comes twice: weighted, which is about all interactions that could
//! have been reviewed, and of the reviewed items as they are. Intervals resample
//! clusters within strata.

mod figures;
mod humans;
mod pairs;
mod verdict;
mod words;

use serde::Serialize;

use super::agreement::Undefined;
use super::bootstrap::{Bootstrap, NoInterval};
use super::intervals::Interval;

pub use humans::{HumanAgreement, HumanItem, human_agreement};
pub use pairs::{calibration, labels_needed};
pub use verdict::{JudgeIdentity, Measure, Reason, Requirements, Verdict, verdict};
pub use words::in_words;

/// What kind of value judge and people give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scale {
    /// 0 or 1.
    YesNo,
    /// One of so many categories without an order, from 0.
    Category {
        /// How many.
        categories: usize,
    },
    /// One of so many levels of which only the order is known, from 0.
    Ordinal {
        /// How many.
        levels: usize,
    },
    /// A number.
    Number,
}

impl Scale {
    /// How many different values there are; none if any number can be one.
    fn values(self) -> Option<usize> {
        match self {
            Self::YesNo => Some(2),
            Self::Category { categories } => Some(categories),
            Self::Ordinal { levels } => Some(levels),
            Self::Number => None,
        }
    }

    fn holds(self, value: f64) -> bool {
        match self.values() {
            Some(values) => value >= 0.0 && value < values as f64 && value.fract() == 0.0,
            None => value.is_finite(),
        }
    }
}

/// A judge's and a person's value of one interaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The judge's.
    pub judge: f64,
    /// The person's.
    pub human: f64,
    /// One over the probability with which the interaction came to be reviewed.
    pub weight: f64,
    /// Its user or session.
    pub cluster: u64,
    /// The stratum in which clusters were drawn.
    pub stratum: u32,
    /// Its request class, by number.
    pub class: u32,
}

/// How intervals are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Of the intervals, such as 0.95.
    pub confidence: f64,
    /// How many replicates.
    pub replicates: usize,
    /// The same seed gives the same intervals again.
    pub seed: u64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { confidence: 0.95, replicates: 2000, seed: 0 }
    }
}

/// A figure with its interval, or why one of them is missing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Figure {
    /// Both are there.
    Known {
        /// The estimate.
        value: f64,
        /// Its interval.
        interval: Interval,
    },
    /// The sample carries no interval.
    WithoutInterval {
        /// The estimate.
        value: f64,
        /// Why there is none.
        reason: NoInterval,
    },
    /// There is no such figure, which is neither 0 nor 1.
    Undefined {
        /// Why.
        reason: Undefined,
    },
}

impl Figure {
    /// A statistic of sums, with its interval.
    fn resampled(
        bootstrap: &Bootstrap,
        statistic: impl Fn(&[f64]) -> Result<f64, Undefined>,
        resampling: Resampling,
    ) -> Self {
        let value = match statistic(bootstrap.totals()) {
            Ok(value) => value,
            Err(reason) => return Self::Undefined { reason },
        };
        match bootstrap.interval(|sums| statistic(sums).ok(), resampling.confidence) {
            Ok(interval) => Self::Known { value, interval },
            Err(reason) => Self::WithoutInterval { value, reason },
        }
    }

    /// The estimate, where it exists.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Known { value, .. } | Self::WithoutInterval { value, .. } => Some(*value),
            Self::Undefined { .. } => None,
        }
    }

    /// The interval, where the sample carries one.
    pub fn interval(&self) -> Option<Interval> {
        match self {
            Self::Known { interval, .. } => Some(*interval),
            Self::WithoutInterval { .. } | Self::Undefined { .. } => None,
        }
    }
}

/// How far a judge agrees with people. Figures that have no meaning on the scale
/// are missing.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Agreement {
    /// Interactions with both values.
    pub n: u64,
    /// Independent ones of equal weight that their weights leave, (Σw)² / Σw².
    pub effective_n: f64,
    /// Users or sessions.
    pub clusters: u64,
    /// The weight of each pair of values: rows are people's, columns the judge's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<f64>>>,
    /// The share of interactions to which people gave each value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prevalence: Option<Vec<f64>>,
    /// The share to which the judge gave each value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge_prevalence: Option<Vec<f64>>,
    /// The share of interactions of which both say the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Figure>,
    /// Of the interactions to which people gave a value, the share to which the judge
    /// gave it too; by value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<Vec<Figure>>,
    /// Cohen's kappa.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kappa: Option<Figure>,
    /// Cohen's kappa with linear weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kappa_linear: Option<Figure>,
    /// Cohen's kappa with quadratic weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kappa_quadratic: Option<Figure>,
    /// Krippendorff's alpha, by the scale's metric.
    pub alpha: Figure,
    /// Spearman's rank correlation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spearman: Option<Figure>,
    /// Kendall's tau-b.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kendall: Option<Figure>,
    /// The mean of judge less human; missing between categories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<Figure>,
    /// The mean of its absolute value; of numbers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute_error: Option<Figure>,
}

/// A class of requests by itself.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ClassAgreement {
    /// The class, by number.
    pub class: u32,
    /// Weighted.
    pub agreement: Agreement,
}

/// What reviews say of a judge.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Calibration {
    /// The scale of the values.
    pub scale: Scale,
    /// Weighted: about all interactions that could have been reviewed.
    pub weighted: Agreement,
    /// Unweighted: of the reviewed items.
    pub of_reviewed: Agreement,
    /// Weighted, by class, where there are several.
    pub classes: Vec<ClassAgreement>,
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoCalibration {
    /// Nothing was reviewed.
    #[error("no interaction has a judge's and a person's value")]
    NoPairs,
    /// A value that the scale does not have.
    #[error("{value} is no value of the scale {scale:?}")]
    OffScale {
        /// The value.
        value: f64,
        /// The scale.
        scale: Scale,
    },
    /// A weight that is no weight, as where a probability is unknown.
    #[error("a weight of {0} is not a positive number")]
    Weight(f64),
    /// The level is not a probability strictly between 0 and 1.
    #[error("confidence {0} is not between 0 and 1")]
    Confidence(f64),
}
