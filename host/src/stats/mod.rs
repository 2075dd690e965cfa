//! Estimators and intervals: pure functions, each with its source.
//!
//! An estimator refuses what it cannot honestly answer instead of returning
//! a number.

mod clusters;
mod intervals;

pub use clusters::{CLUSTERS_MIN, Cluster, ClusteredProportion, clustered_proportion};
pub use intervals::{Interval, IntervalError, wilson};
