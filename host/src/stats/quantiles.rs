//! Quantiles as ranks: the nearest one, and those between which the quantile of
//! what the values were drawn from lies.

use statrs::distribution::{ContinuousCDF as _, Normal};

/// Up to here the binomial distribution is added up; it starts at a probability
/// that a floating-point number holds, 0.5^1000.
const SUMMED_MAX: u64 = 1000;

/// The rank, from 1, of the quantile `p` of `n` values by the nearest-rank rule:
/// ⌈pn⌉. None of no values.
pub fn nearest_rank(p: f64, n: u64) -> Option<u64> {
    // What is a whole number but for rounding stays one.
    let rank = (p * n as f64 * (1.0 - 1e-12)).ceil() as u64;
    (n > 0).then(|| rank.clamp(1, n))
}

/// Ranks, from 1, whose values enclose the quantile `p` with at least this
/// confidence, whatever the distribution (Conover 1999, Practical Nonparametric
/// Statistics, 3rd ed., section 3.2; Hahn & Meeker 1991, Statistical Intervals,
/// section 5.2). The values are independent; traffic that comes in sessions is
/// not, and then the interval is too narrow. An end that so few values cannot
/// bound is none.
///
/// Exact up to 1,000 values. Beyond, the binomial quantile is expanded after
/// Cornish and Fisher to its skewness, and taken one rank further out than that
/// says, which covers what the expansion leaves.
pub fn quantile_ranks(p: f64, n: u64, confidence: f64) -> (Option<u64>, Option<u64>) {
    let tail = (1.0 - confidence) / 2.0;
    let (low, high) = if n <= SUMMED_MAX {
        // Counted from the thin end, so that the first term is not 0.
        if p <= 0.5 {
            summed(p, n, tail)
        } else {
            let (low, high) = summed(1.0 - p, n, tail);
            (n - high, n - low)
        }
    } else {
        expanded(p, n as f64, tail)
    };
    // The quantile is at least the value of rank `low`, which none has if it is
    // 0, and at most the one after rank `high`.
    (Some(low).filter(|low| *low > 0), Some(high + 1).filter(|high| *high <= n))
}

/// Of B ~ Binomial(n, p): the smallest k with P(B ≤ k) ≥ `tail`, and the
/// smallest with P(B > k) ≤ `tail`.
fn summed(p: f64, n: u64, tail: f64) -> (u64, u64) {
    let odds = p / (1.0 - p);
    let mut term = (1.0 - p).powi(n as i32);
    let (mut sum, mut low) = (term, None);
    for k in 0..n {
        if low.is_none() && sum >= tail {
            low = Some(k);
        }
        if sum >= 1.0 - tail {
            return (low.unwrap_or(k), k);
        }
        term *= odds * (n - k) as f64 / (k + 1) as f64;
        sum += term;
    }
    (low.unwrap_or(n), n)
}

fn expanded(p: f64, n: f64, tail: f64) -> (u64, u64) {
    let z = Normal::standard().inverse_cdf(1.0 - tail);
    let spread = z * (n * p * (1.0 - p)).sqrt();
    let skew = (z * z - 1.0) * (1.0 - 2.0 * p) / 6.0;
    let middle = n * p + skew - 0.5;
    let low = (middle - spread).ceil() - 1.0;
    let high = (middle + spread).ceil() + 1.0;
    (low.max(0.0) as u64, high.min(n) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rank_is_the_textbooks() {
        for (p, n, rank) in [
            (0.5, 1, 1),
            (0.5, 2, 1),
            (0.5, 5, 3),
            (0.9, 10, 9),
            (0.95, 20, 19),
            (0.99, 100, 99),
            (0.99, 101, 100),
            (0.95, 8_819, 8_379),
        ] {
            assert_eq!(nearest_rank(p, n), Some(rank), "{p} of {n}");
        }
        assert_eq!(nearest_rank(0.5, 0), None);
    }

    /// `scipy.stats.quantile_test(np.arange(1, n + 1), q=0, p=p).confidence_interval(0.95)`,
    /// SciPy 1.17.1; 0 where it has none.
    const SMALL: [(u64, f64, u64, u64); 40] = [
        (1, 0.5, 0, 0),
        (1, 0.9, 0, 0),
        (1, 0.95, 0, 0),
        (1, 0.99, 1, 0),
        (5, 0.5, 0, 0),
        (5, 0.9, 3, 0),
        (5, 0.95, 4, 0),
        (5, 0.99, 4, 0),
        (6, 0.5, 1, 6),
        (6, 0.9, 4, 0),
        (6, 0.95, 4, 0),
        (6, 0.99, 5, 0),
        (20, 0.5, 6, 15),
        (20, 0.9, 15, 0),
        (20, 0.95, 17, 0),
        (20, 0.99, 19, 0),
        (58, 0.5, 22, 37),
        (58, 0.9, 47, 57),
        (58, 0.95, 51, 0),
        (58, 0.99, 56, 0),
        (59, 0.5, 22, 38),
        (59, 0.9, 48, 58),
        (59, 0.95, 52, 0),
        (59, 0.99, 57, 0),
        (73, 0.5, 28, 46),
        (73, 0.9, 60, 71),
        (73, 0.95, 65, 73),
        (73, 0.99, 70, 0),
        (100, 0.5, 40, 61),
        (100, 0.9, 84, 96),
        (100, 0.95, 90, 100),
        (100, 0.99, 97, 0),
        (299, 0.5, 133, 167),
        (299, 0.9, 259, 280),
        (299, 0.95, 276, 292),
        (299, 0.99, 292, 0),
        (1000, 0.5, 469, 532),
        (1000, 0.9, 881, 919),
        (1000, 0.95, 936, 964),
        (1000, 0.99, 983, 997),
    ];

    /// `scipy.stats.binom(n, p)`: `ppf(0.025)` and `isf(0.025) + 1`, which is what
    /// `quantile_test` makes of them.
    const LARGE: [(u64, f64, u64, u64); 20] = [
        (1_001, 0.5, 470, 532),
        (1_001, 0.9, 882, 920),
        (1_001, 0.95, 937, 965),
        (1_001, 0.99, 984, 998),
        (5_000, 0.5, 2_431, 2_570),
        (5_000, 0.9, 4_458, 4_542),
        (5_000, 0.95, 4_719, 4_781),
        (5_000, 0.99, 4_936, 4_964),
        (48_211, 0.5, 23_890, 24_322),
        (48_211, 0.9, 43_260, 43_520),
        (48_211, 0.95, 45_706, 45_895),
        (48_211, 0.99, 47_686, 47_772),
        (1_000_000, 0.5, 499_020, 500_981),
        (1_000_000, 0.9, 899_412, 900_589),
        (1_000_000, 0.95, 949_572, 950_428),
        (1_000_000, 0.99, 989_805, 990_196),
        (3_000_000_000, 0.5, 1_499_946_324, 1_500_053_677),
        (3_000_000_000, 0.9, 2_699_967_794, 2_700_032_206),
        (3_000_000_000, 0.95, 2_849_976_603, 2_850_023_397),
        (3_000_000_000, 0.99, 2_969_989_318, 2_970_010_682),
    ];

    #[test]
    fn the_ranks_are_scipys() {
        for (n, p, low, high) in SMALL {
            let found = quantile_ranks(p, n, 0.95);
            let expected = (Some(low).filter(|low| *low > 0), Some(high).filter(|high| *high > 0));
            assert_eq!(found, expected, "{p} of {n}");
        }
    }

    #[test]
    fn of_many_values_they_are_at_most_two_ranks_wider_than_scipys_and_never_narrower() {
        for (n, p, low, high) in LARGE {
            let (found_low, found_high) = quantile_ranks(p, n, 0.95);
            let (found_low, found_high) = (found_low.expect("many"), found_high.expect("many"));
            assert!((low - 2..=low).contains(&found_low), "{p} of {n}: {found_low}, {low}");
            assert!((high..=high + 2).contains(&found_high), "{p} of {n}: {found_high}, {high}");
        }
    }

    #[test]
    fn the_interval_covers_as_often_as_it_says() {
        // 4,000 samples of 80 uniform values; the p90 of what they are drawn from is 0.9. The
        // binomial is coarse: ranks 66 and 78 cover in 0.97697 of all samples (SciPy 1.17.1,
        // binom.cdf(77) - binom.cdf(65)). The bounds are five standard deviations of 4,000.
        let (low, high) = quantile_ranks(0.9, 80, 0.95);
        let (low, high) = (low.expect("enough") as usize, high.expect("enough") as usize);
        let mut state = 7_u64;
        let mut covered = 0;
        for _ in 0..4000 {
            let mut values: Vec<f64> = (0..80)
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 11) as f64 / (1_u64 << 53) as f64
                })
                .collect();
            values.sort_by(f64::total_cmp);
            covered += i32::from(values[low - 1] <= 0.9 && 0.9 <= values[high - 1]);
        }
        assert!((3860..=3956).contains(&covered), "{covered}");
    }
}
