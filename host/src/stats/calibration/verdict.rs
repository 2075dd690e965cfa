//! Whether a judge counts as calibrated.

use serde::{Deserialize, Serialize};

use super::{Agreement, Figure};

/// The figure of agreement that must be high enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named after the figures of an agreement")]
pub enum Measure {
    Accuracy,
    Kappa,
    KappaLinear,
    KappaQuadratic,
    Alpha,
    Spearman,
    Kendall,
}

impl Measure {
    fn of(self, agreement: &Agreement) -> Option<Figure> {
        match self {
            Self::Accuracy => agreement.accuracy,
            Self::Kappa => agreement.kappa,
            Self::KappaLinear => agreement.kappa_linear,
            Self::KappaQuadratic => agreement.kappa_quadratic,
            Self::Alpha => Some(agreement.alpha),
            Self::Spearman => agreement.spearman,
            Self::Kendall => agreement.kendall,
        }
    }
}

/// What a judge must show.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Requirements {
    /// Labels that there must be.
    pub labels_min: u64,
    /// The figure of agreement.
    pub measure: Measure,
    /// What its interval's lower end must reach.
    pub agreement_min: f64,
    /// How large the bias may be, either way.
    pub bias_max: f64,
}

/// Whether labels are of the judge that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgeIdentity {
    /// Model, rubric and configuration are those that were labelled.
    Same,
    /// One of them is another.
    Changed,
}

/// Why a judge does not count as calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, thiserror::Error, utoipa::ToSchema)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Reason {
    /// Too few labels.
    #[error("{labels} labels are fewer than {labels_min}")]
    TooFewLabels {
        /// Labels that there are.
        labels: u64,
        /// Labels that there must be.
        labels_min: u64,
    },
    /// Agreement could be too low.
    #[error("{measure:?} could be {low:.3}, which is under {agreement_min}")]
    AgreementLow {
        /// The figure of agreement.
        measure: Measure,
        /// Its interval's lower end.
        low: f64,
        /// What it must reach.
        agreement_min: f64,
    },
    /// Agreement is not known.
    #[error("{measure:?} does not exist for these labels, or has no interval")]
    AgreementUnknown {
        /// The figure of agreement.
        measure: Measure,
    },
    /// The judge is too mild or too strict.
    #[error("the judge's mean is off by {bias:.3}, which is more than {bias_max}")]
    BiasBeyondMargin {
        /// Judge less human.
        bias: f64,
        /// How large it may be.
        bias_max: f64,
    },
    /// Model, rubric or configuration is another than the one that was labelled.
    #[error("the judge is not the one that was labelled")]
    JudgeChanged,
}

/// Whether a judge counts as calibrated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Calibrated,
    /// It does not.
    NotCalibrated {
        /// Every reason.
        reasons: Vec<Reason>,
    },
}

/// Whether a judge with this agreement counts as calibrated. Bias has no part in it where the scale
/// gives none.
pub fn verdict(agreement: &Agreement, requirements: Requirements, judge: JudgeIdentity) -> Verdict {
    let Requirements { labels_min, measure, agreement_min, bias_max } = requirements;
    let mut reasons = Vec::new();
    if judge == JudgeIdentity::Changed {
        reasons.push(Reason::JudgeChanged);
    }
    if agreement.n < labels_min {
        reasons.push(Reason::TooFewLabels { labels: agreement.n, labels_min });
    }
    match measure.of(agreement).and_then(|figure| figure.interval()) {
        Some(interval) if interval.low >= agreement_min => {}
        Some(interval) => reasons.push(Reason::AgreementLow { measure, low: interval.low, agreement_min }),
        None => reasons.push(Reason::AgreementUnknown { measure }),
    }
    if let Some(bias) = agreement.bias.and_then(|figure| figure.value()).filter(|bias| bias.abs() > bias_max)
    {
        reasons.push(Reason::BiasBeyondMargin { bias, bias_max });
    }
    if reasons.is_empty() { Verdict::Calibrated } else { Verdict::NotCalibrated { reasons } }
}
