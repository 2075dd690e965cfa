//! Estimators and intervals: pure functions, each with its source.
//!
//! An estimator refuses what it cannot honestly answer instead of returning
//! a number.

mod clusters;
mod divergence;
mod intervals;
mod moments;
mod quantiles;
mod sketch;
mod strata;
pub mod varint;

pub use clusters::{
    CLUSTERS_MIN, Cluster, ClusteredMean, ClusteredProportion, clustered_mean, clustered_proportion,
};
pub use divergence::{Divergence, NoDivergence, Visit, divergence};
pub use intervals::{Interval, IntervalError, wilson};
pub use moments::Moments;
pub use quantiles::{nearest_rank, quantile_ranks};
pub use sketch::{Bin, Damaged, RELATIVE_ERROR, Sketch};
pub use strata::{StratifiedDifference, stratified_difference};
