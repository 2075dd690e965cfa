//! Whether two things differ, and by how much: two judges or products on the same
//! items, two groups of traffic, many slices at once.

mod multiple;
mod paired;
mod power;
mod unpaired;

use serde::Serialize;

use super::intervals::Interval;

pub use multiple::holm;
pub use paired::{PairedAnswers, mcnemar_exact, mcnemar_mid_p, paired_difference, paired_means, tango};
pub use power::{NoPower, Power, items_for_independent, items_for_paired};
pub use unpaired::{difference_of_means, difference_of_proportions};

/// A difference, second less first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Difference {
    /// The difference.
    pub difference: f64,
    /// Its interval; none with too few clusters.
    pub interval: Option<Interval>,
    /// Items, or pairs of them.
    pub n: u64,
    /// Clusters.
    pub clusters: u64,
    /// The variance over that of as many independent items of equal weight.
    pub design_effect: f64,
}
