//! How many items a comparison needs before it is made.

use super::super::intervals::normal_quantile;
use statrs::distribution::{ContinuousCDF as _, Normal};

/// How sure a comparison shall be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// Of the two-sided interval, such as 0.95.
    pub confidence: f64,
    /// With which probability a difference that is there is seen, such as 0.8.
    pub power: f64,
    /// The variance over that of independent items; 1 for these.
    pub design_effect: f64,
}

/// Why there is no number of items.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoPower {
    /// No number shows that nothing differs.
    #[error("a difference of 0 cannot be seen with any number of items")]
    NoDifference,
    /// The rates asked for do not exist.
    #[error("a rate of {rate} does not lie between 0 and 1")]
    Rate {
        /// The rate.
        rate: f64,
    },
    /// Items that differ cannot be fewer than the difference that they make.
    #[error("a difference of {difference} needs at least that share of differing items, not {discordance}")]
    Discordance {
        /// The difference.
        difference: f64,
        /// The share of items with two different answers.
        discordance: f64,
    },
    /// How sure is not a probability, or a design effect below one.
    #[error("confidence and power must lie between 0 and 1, and a design effect must be at least 1")]
    Power,
}

impl Power {
    /// How many standard errors under no difference, and how many under the difference.
    fn quantiles(&self) -> Result<(f64, f64), NoPower> {
        let between = |share: f64| share > 0.0 && share < 1.0;
        if !(between(self.confidence) && between(self.power) && self.design_effect >= 1.0) {
            return Err(NoPower::Power);
        }
        Ok((normal_quantile(self.confidence), Normal::standard().inverse_cdf(self.power)))
    }
}

/// Items in each of two groups to see that a rate moved from `rate` by
/// `difference` (Fleiss, Levin & Paik 2003, Statistical Methods for Rates and
/// Proportions, 3rd ed., eq. 4.14, without continuity correction).
pub fn items_for_independent(rate: f64, difference: f64, power: Power) -> Result<u64, NoPower> {
    let other = rate + difference;
    if let Some(rate) = [rate, other].into_iter().find(|rate| !(0.0..=1.0).contains(rate)) {
        return Err(NoPower::Rate { rate });
    }
    if difference == 0.0 {
        return Err(NoPower::NoDifference);
    }
    let (of_none, of_some) = power.quantiles()?;
    let both = (rate + other) / 2.0;
    let none = (2.0 * both * (1.0 - both)).sqrt();
    let some = (rate * (1.0 - rate) + other * (1.0 - other)).sqrt();
    Ok(whole(((of_none * none + of_some * some) / difference).powi(2) * power.design_effect))
}

/// Items, each answered twice, to see a difference of paired rates where this
/// share of items gets two different answers (Connor 1987, Biometrics 43:207–211).
pub fn items_for_paired(difference: f64, discordance: f64, power: Power) -> Result<u64, NoPower> {
    if !(0.0..=1.0).contains(&discordance) {
        return Err(NoPower::Rate { rate: discordance });
    }
    if difference == 0.0 {
        return Err(NoPower::NoDifference);
    }
    if difference.is_nan() || difference.abs() > discordance {
        return Err(NoPower::Discordance { difference, discordance });
    }
    let (of_none, of_some) = power.quantiles()?;
    let some = (discordance - difference * difference).max(0.0).sqrt();
    Ok(whole(((of_none * discordance.sqrt() + of_some * some) / difference).powi(2) * power.design_effect))
}

/// Rounding must not add an item to a whole number.
fn whole(items: f64) -> u64 {
    (items - 1e-9).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Power = Power { confidence: 0.95, power: 0.8, design_effect: 1.0 };

    #[test]
    fn two_groups_agree_with_statsmodels() {
        // statsmodels.stats.proportion.samplesize_proportions_2indep_onetail(difference, rate, 0.8, ratio=1,
        // alpha=0.05, alternative="two-sided"), statsmodels 0.15.0: 685.597, 387.339, 2212.205.
        for (rate, difference, items) in [(0.9, -0.05, 686), (0.5, 0.1, 388), (0.95, -0.02, 2213)] {
            assert_eq!(items_for_independent(rate, difference, USUAL), Ok(items));
        }
        let clustered = Power { design_effect: 1.8, ..USUAL };
        assert_eq!(items_for_independent(0.9, -0.05, clustered), Ok(1235));
    }

    #[test]
    fn pairs_agree_with_an_independent_calculation() {
        // SciPy 1.17.1: 311.587 and 1174.971 items by the formula. Summed over all splits
        // with scipy.stats.binom the score test at that many items has a power of 0.826 and 0.810.
        assert_eq!(items_for_paired(0.05, 0.1, USUAL), Ok(312));
        assert_eq!(items_for_paired(-0.02, 0.06, USUAL), Ok(1175));
        assert_eq!(items_for_paired(0.02, 0.06, Power { design_effect: 2.0, ..USUAL }), Ok(2350));
    }

    #[test]
    fn refuses_questions_without_an_answer() {
        assert_eq!(items_for_independent(0.9, 0.0, USUAL), Err(NoPower::NoDifference));
        let error = items_for_independent(0.9, 0.2, USUAL).expect_err("above 1");
        assert_eq!(error.to_string(), "a rate of 1.1 does not lie between 0 and 1");
        let error = items_for_paired(0.2, 0.1, USUAL).expect_err("impossible");
        assert_eq!(error, NoPower::Discordance { difference: 0.2, discordance: 0.1 });
        for wrong in [Power { confidence: 1.0, ..USUAL }, Power { design_effect: 0.5, ..USUAL }] {
            assert_eq!(items_for_paired(0.1, 0.2, wrong), Err(NoPower::Power));
        }
    }
}
