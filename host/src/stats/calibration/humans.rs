//! How far people agree with each other, where several reviewed the same item:
//! no judge can be asked for more.

use serde::Serialize;

use super::super::agreement::{
    Coincidences, INTERVAL_SUMS, Metric, Undefined, interval_alpha, interval_sums,
};
use super::super::bootstrap::Bootstrap;
use super::super::survey::Design;
use super::{Figure, NoCalibration, Resampling, Scale};

/// What several people said of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanItem {
    /// One value for each review.
    pub ratings: Vec<f64>,
    /// One over the probability with which the item came to be reviewed.
    pub weight: f64,
    /// Its user or session.
    pub cluster: u64,
    /// The stratum in which clusters were drawn.
    pub stratum: u32,
}

/// How far people agree with each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HumanAgreement {
    /// Items with one review or more.
    pub items: u64,
    /// Items with at least two.
    pub reviewed_twice: u64,
    /// Independent ones of equal weight that the weights of these leave.
    pub effective_n: f64,
    /// Krippendorff's alpha, by the scale's metric.
    pub alpha: Figure,
    /// The share of pairs of reviews of one item that say the same; missing between numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Figure>,
}

/// How far reviewers of the same items agree. Items reviewed once count only in `items`.
pub fn human_agreement(
    items: &[HumanItem],
    scale: Scale,
    resampling: Resampling,
) -> Result<HumanAgreement, NoCalibration> {
    if !(resampling.confidence > 0.0 && resampling.confidence < 1.0) {
        return Err(NoCalibration::Confidence(resampling.confidence));
    }
    for item in items {
        if let Some(value) = item.ratings.iter().copied().find(|value| !scale.holds(*value)) {
            return Err(NoCalibration::OffScale { value, scale });
        }
        if !(item.weight.is_finite() && item.weight > 0.0) {
            return Err(NoCalibration::Weight(item.weight));
        }
    }
    let reviewed = items.iter().filter(|item| !item.ratings.is_empty()).count() as u64;
    let twice: Vec<&HumanItem> = items.iter().filter(|item| item.ratings.len() > 1).collect();
    let total: f64 = twice.iter().map(|item| item.weight).sum();
    let squares: f64 = twice.iter().map(|item| item.weight * item.weight).sum();
    if twice.is_empty() {
        let none = Figure::Undefined { reason: Undefined::NoItems };
        return Ok(HumanAgreement {
            items: reviewed,
            reviewed_twice: 0,
            effective_n: 0.0,
            alpha: none,
            agreement: scale.values().map(|_| none),
        });
    }
    let to_one = twice.len() as f64 / total;
    let design = Design::new(twice.iter().map(|item| (item.stratum, item.cluster)));
    let values = scale.values().unwrap_or(0);
    let width = if values == 0 { INTERVAL_SUMS } else { values * values };
    let middle = twice.iter().map(|item| item.ratings[0]).sum::<f64>() / twice.len() as f64;
    let add = |item: usize, row: &mut [f64]| {
        let weight = twice[item].weight * to_one;
        let ratings = &twice[item].ratings;
        if values == 0 {
            let moved: Vec<f64> = ratings.iter().map(|rating| rating - middle).collect();
            row.iter_mut().zip(interval_sums(&moved, weight)).for_each(|(sum, part)| *sum += part);
        } else {
            let levels: Vec<usize> = ratings.iter().map(|rating| *rating as usize).collect();
            Coincidences::add_to(row, values, &levels, weight);
        }
    };
    let bootstrap = Bootstrap::new(&design, width, add, resampling.replicates, resampling.seed);
    let alpha = |sums: &[f64]| match scale {
        Scale::Number => {
            let mut own = [0.0; INTERVAL_SUMS];
            own.copy_from_slice(sums);
            interval_alpha(&own)
        }
        Scale::Ordinal { .. } => Coincidences::from_cells(values, sums.to_vec()).alpha(Metric::Ordinal),
        Scale::YesNo | Scale::Category { .. } => {
            Coincidences::from_cells(values, sums.to_vec()).alpha(Metric::Nominal)
        }
    };
    let share = |sums: &[f64]| Coincidences::from_cells(values, sums.to_vec()).agreement();
    Ok(HumanAgreement {
        items: reviewed,
        reviewed_twice: twice.len() as u64,
        effective_n: total * total / squares,
        alpha: Figure::resampled(&bootstrap, alpha, resampling),
        agreement: (values > 0).then(|| Figure::resampled(&bootstrap, share, resampling)),
    })
}
