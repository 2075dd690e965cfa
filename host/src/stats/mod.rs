//! Estimators and intervals: pure functions, each with its source.
//!
//! An estimator refuses what it cannot honestly answer instead of returning
//! a number.

mod intervals;

pub use intervals::{Interval, IntervalError, wilson};
