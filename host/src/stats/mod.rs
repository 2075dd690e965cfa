//! Estimators and intervals: pure functions, each with its source.
//!
//! An estimator refuses what it cannot honestly answer instead of returning
//! a number.

mod clusters;
mod divergence;
mod intervals;

pub use clusters::{
    CLUSTERS_MIN, Cluster, ClusteredMean, ClusteredProportion, clustered_mean, clustered_proportion,
};
pub use divergence::{Divergence, NoDivergence, Visit, divergence};
pub use intervals::{Interval, IntervalError, wilson};
