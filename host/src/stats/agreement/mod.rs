//! How far two or more raters agree: a judge with people, people with each
//! other.
//!
//! Every figure takes weights, which are one over the probability with which an
//! item came to be rated; weights of 1 give the textbook's figure. A figure that
//! does not exist (one class only, values that do not vary) is [`Undefined`] and
//! never 0 or 1.

mod alpha;
mod coincidences;
mod confusion;
mod rank;

use serde::{Deserialize, Serialize};

pub(super) use alpha::{INTERVAL_SUMS, interval_alpha, interval_sums};
pub use alpha::{Metric, Unit, krippendorff_alpha};
pub use coincidences::Coincidences;
pub use confusion::{Confusion, KappaWeights};
pub use rank::{Point, RankParts, kendall_tau_b, spearman_rho};

/// Why a figure does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undefined {
    /// Nothing was rated, or nothing twice.
    #[error("no item has two ratings")]
    NoItems,
    /// Whether raters agree beyond chance cannot be seen where chance agrees always.
    #[error("both raters gave one and the same answer throughout")]
    OneClass,
    /// A correlation needs values that differ.
    #[error("the values of one rater do not vary")]
    NoVariance,
}
