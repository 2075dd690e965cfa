//! Estimators and intervals: pure functions, each with its source.
//!
//! An estimator refuses what it cannot honestly answer instead of returning
//! a number.

mod agreement;
mod bootstrap;
mod calibration;
mod clusters;
mod comparison;
mod divergence;
mod intervals;
mod moments;
mod ppi;
mod quantiles;
mod repeat;
mod sketch;
mod strata;
mod survey;
pub mod varint;

pub use agreement::{
    Coincidences, Confusion, KappaWeights, Metric, Point, RankParts, Undefined, Unit, kendall_tau_b,
    krippendorff_alpha, spearman_rho,
};
pub use bootstrap::{Bootstrap, NoInterval};
pub use calibration::{
    Agreement, Calibration, ClassAgreement, Figure, HumanAgreement, HumanItem, JudgeIdentity, Measure,
    NoCalibration, Pair, Reason, Requirements, Resampling, Scale, Verdict, calibration, human_agreement,
    in_words, labels_needed, verdict,
};
pub use clusters::{
    CLUSTERS_MIN, Cluster, ClusteredMean, ClusteredProportion, clustered_mean, clustered_proportion,
};
pub use comparison::{
    Difference, NoPower, PairedAnswers, Power, difference_of_means, difference_of_proportions, holm,
    items_for_independent, items_for_paired, mcnemar_exact, mcnemar_mid_p, paired_difference, paired_means,
    tango,
};
pub use divergence::{Divergence, NoDivergence, Visit, divergence};
pub use intervals::{Interval, IntervalError, clopper_pearson, wilson};
pub use moments::Moments;
pub use ppi::{
    ANSWERS_MIN, Corrected, CorrectedQuality, Correction, FREEDOM_MIN, Judged, Label, Method, Refusal,
    Target, Uncorrected, corrected_quality,
};
pub use quantiles::{nearest_rank, quantile_ranks};
pub use repeat::{NoRepeats, Repeatability, repeatability};
pub use sketch::{Bin, Damaged, RELATIVE_ERROR, Sketch};
pub use strata::{StratifiedDifference, stratified_difference};
pub use survey::{Design, DesignMean};
