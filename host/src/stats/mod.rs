//! Estimators and intervals: pure functions, each with its source.
//!
//! An estimator refuses what it cannot honestly answer instead of returning
//! a number.

mod agreement;
mod bootstrap;
mod clusters;
mod divergence;
mod intervals;
mod moments;
mod ppi;
mod quantiles;
mod sketch;
mod strata;
mod survey;
pub mod varint;

pub use agreement::{
    Coincidences, Confusion, KappaWeights, Metric, Point, RankParts, Undefined, Unit, kendall_tau_b,
    krippendorff_alpha, spearman_rho,
};
pub use bootstrap::{Bootstrap, NoInterval};
pub use clusters::{
    CLUSTERS_MIN, Cluster, ClusteredMean, ClusteredProportion, clustered_mean, clustered_proportion,
};
pub use divergence::{Divergence, NoDivergence, Visit, divergence};
pub use intervals::{Interval, IntervalError, clopper_pearson, wilson};
pub use moments::Moments;
pub use ppi::{
    ANSWERS_MIN, Corrected, CorrectedQuality, Correction, FREEDOM_MIN, Judged, Label, Method, Refusal,
    Target, Uncorrected, corrected_quality,
};
pub use quantiles::{nearest_rank, quantile_ranks};
pub use sketch::{Bin, Damaged, RELATIVE_ERROR, Sketch};
pub use strata::{StratifiedDifference, stratified_difference};
pub use survey::Design;
