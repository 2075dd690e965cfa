//! Krippendorff's alpha: agreement of any number of raters, of whom some may
//! have left items out.

use super::Undefined;

/// How far two values are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Apart or not: categories.
    Nominal,
    /// How many ratings lie between them: a scale of which only the order is known.
    Ordinal,
    /// Their difference squared: numbers.
    Interval,
}

/// What several raters said of one item; a rater who said nothing is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit<'a> {
    /// One for each rater, in any order.
    pub ratings: &'a [Option<f64>],
    /// One over the probability with which the item came to be rated.
    pub weight: f64,
}

/// 1 − observed / expected disagreement over all pairs of ratings of one item
/// (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability; Hayes &
/// Krippendorff 2007, Communication Methods and Measures 1:77–89). Items with
/// fewer than two ratings say nothing and are left out.
///
/// Weights are scaled so that they sum to the number of items: equal ones change nothing.
pub fn krippendorff_alpha(units: &[Unit<'_>], metric: Metric) -> Result<f64, Undefined> {
    let rated: Vec<(Vec<f64>, f64)> = units
        .iter()
        .map(|unit| (unit.ratings.iter().copied().flatten().collect::<Vec<f64>>(), unit.weight))
        .filter(|(ratings, weight)| ratings.len() > 1 && *weight > 0.0)
        .collect();
    let mut levels: Vec<(f64, f64)> = rated
        .iter()
        .flat_map(|(ratings, weight)| ratings.iter().map(move |rating| (*rating, *weight)))
        .collect();
    levels.sort_by(|one, other| one.0.total_cmp(&other.0));
    levels.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0.0 };
        same
    });
    match metric {
        Metric::Nominal => nominal_alpha(&rated, &levels),
        Metric::Interval => interval_of(rated.iter().map(|(ratings, weight)| (ratings.as_slice(), *weight))),
        // The ordinal metric is the interval one between mid-ranks.
        Metric::Ordinal => {
            let mut below = 0.0;
            let ranks: Vec<(f64, f64)> = levels
                .iter()
                .map(|(value, weight)| {
                    below += weight;
                    (*value, below - weight / 2.0)
                })
                .collect();
            let ranked: Vec<(Vec<f64>, f64)> = rated
                .iter()
                .map(|(ratings, weight)| {
                    let rank = |rating: &f64| ranks[position(&ranks, *rating)].1;
                    (ratings.iter().map(rank).collect(), *weight)
                })
                .collect();
            interval_of(ranked.iter().map(|(ratings, weight)| (ratings.as_slice(), *weight)))
        }
    }
}

fn position(levels: &[(f64, f64)], rating: f64) -> usize {
    levels.partition_point(|(value, _)| *value < rating)
}

fn nominal_alpha(rated: &[(Vec<f64>, f64)], levels: &[(f64, f64)]) -> Result<f64, Undefined> {
    let scale = rated.len() as f64 / rated.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut observed = 0.0;
    for (ratings, weight) in rated {
        let mut sorted = ratings.clone();
        sorted.sort_by(f64::total_cmp);
        let m = ratings.len() as f64;
        let alike: f64 = sorted.chunk_by(|a, b| a == b).map(|run| (run.len() as f64).powi(2)).sum();
        observed += weight * (m * m - alike) / (m - 1.0);
    }
    let n: f64 = scale * levels.iter().map(|(_, weight)| weight).sum::<f64>();
    let alike: f64 = levels.iter().map(|(_, weight)| (scale * weight).powi(2)).sum();
    alpha(scale * observed, (n * n - alike) / (n - 1.0), n)
}

/// What [`interval_alpha`] needs of an item is these many sums.
pub(in super::super) const INTERVAL_SUMS: usize = 6;

/// What an item adds to the sums of which the interval alpha is made; nothing if it has fewer than
/// two ratings.
pub(in super::super) fn interval_sums(ratings: &[f64], weight: f64) -> [f64; INTERVAL_SUMS] {
    let m = ratings.len() as f64;
    if m < 2.0 {
        return [0.0; INTERVAL_SUMS];
    }
    let sum: f64 = ratings.iter().sum();
    let squares: f64 = ratings.iter().map(|rating| rating * rating).sum();
    let mean = sum / m;
    let apart = ratings.iter().map(|rating| (rating - mean).powi(2)).sum::<f64>() * m / (m - 1.0);
    [1.0, weight, weight * m, weight * sum, weight * squares, weight * apart]
}

/// The interval alpha of sums over items.
pub(in super::super) fn interval_alpha(sums: &[f64; INTERVAL_SUMS]) -> Result<f64, Undefined> {
    let [items, weights, ratings, sum, squares, apart] = *sums;
    if items <= 0.0 || weights <= 0.0 {
        return Err(Undefined::NoItems);
    }
    let scale = items / weights;
    let n = scale * ratings;
    let about_mean = scale * (squares - sum * sum / ratings);
    // What rounding leaves of no variance is none.
    let about_mean = if about_mean <= 1e-12 * scale * squares { 0.0 } else { about_mean };
    alpha(scale * apart, n * about_mean / (n - 1.0), n)
}

fn interval_of<'a>(rated: impl Iterator<Item = (&'a [f64], f64)> + Clone) -> Result<f64, Undefined> {
    // Values far from 0 would lose their digits in the sums of squares.
    let middle =
        rated.clone().flat_map(|(ratings, _)| ratings.iter().copied()).fold((0.0, 0.0), |(n, mean), x| {
            let n: f64 = n + 1.0;
            (n, mean + (x - mean) / n)
        });
    let mut sums = [0.0; INTERVAL_SUMS];
    for (ratings, weight) in rated {
        let moved: Vec<f64> = ratings.iter().map(|rating| rating - middle.1).collect();
        for (sum, part) in sums.iter_mut().zip(interval_sums(&moved, weight)) {
            *sum += part;
        }
    }
    interval_alpha(&sums)
}

/// From disagreements summed over ratings.
fn alpha(observed: f64, expected: f64, ratings: f64) -> Result<f64, Undefined> {
    if ratings.is_nan() || ratings <= 1.0 {
        Err(Undefined::NoItems)
    } else if expected > 0.0 {
        Ok(1.0 - observed / expected)
    } else {
        Err(Undefined::OneClass)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Coincidences;
    use super::*;

    const METRICS: [Metric; 3] = [Metric::Nominal, Metric::Ordinal, Metric::Interval];

    fn alphas(rows: &[Vec<Option<f64>>], weight: impl Fn(usize) -> f64) -> [Result<f64, Undefined>; 3] {
        let units: Vec<Unit<'_>> =
            rows.iter().enumerate().map(|(index, ratings)| Unit { ratings, weight: weight(index) }).collect();
        METRICS.map(|metric| krippendorff_alpha(&units, metric))
    }

    fn assert_near(found: [Result<f64, Undefined>; 3], expected: [f64; 3]) {
        for ((metric, found), expected) in METRICS.iter().zip(found).zip(expected) {
            let found = found.expect("defined");
            assert!((found - expected).abs() < 1e-12, "{metric:?}: {found} is not {expected}");
        }
    }

    /// Three raters of 40 items; each leaves every seventh out.
    fn generated() -> Vec<Vec<Option<f64>>> {
        (0..40_u32)
            .map(|i| {
                (0..3)
                    .map(|r| {
                        let moved = if (i * (5 + 3 * r)) % 11 < 2 { (i + r) % 3 } else { 0 };
                        ((i * (r + 2)) % 7 != r).then(|| f64::from((i * 7) % 6 + moved))
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn agrees_with_krippendorffs_own_example() {
        // Krippendorff 2011, example C: 0.743, 0.815, 0.849; digits by
        // krippendorff.alpha(…, level_of_measurement=…), krippendorff 0.9.0.
        let observers = [
            "1 2 3 3 2 1 4 1 2 . . .",
            "1 2 3 3 2 2 4 1 2 5 . 3",
            ". 3 3 3 2 3 4 2 2 5 1 .",
            "1 2 3 3 2 4 4 1 2 5 1 .",
        ];
        let rows: Vec<Vec<Option<f64>>> = (0..12)
            .map(|item| {
                let rating = |line: &&str| line.split(' ').nth(item).and_then(|word| word.parse().ok());
                observers.iter().map(rating).collect()
            })
            .collect();
        let expected = [0.743421052631579, 0.8153875037548814, 0.8491071428571428];
        assert_near(alphas(&rows, |_| 1.0), expected);
        assert_near(alphas(&rows, |_| 3.0), expected);
    }

    #[test]
    fn agrees_with_an_independent_calculation_with_missing_ratings_and_weights() {
        // krippendorff 0.9.0; with w = 1 + i%3 the coincidence matrix built by hand
        // with NumPy 2.4.6, w scaled to sum to the number of items.
        let rows = generated();
        let expected = [0.34134936539746163, 0.8032895643942893, 0.7848612678985206];
        assert_near(alphas(&rows, |_| 1.0), expected);
        let weighted = [0.3350053215970543, 0.8424509618294834, 0.8240338285873641];
        assert_near(alphas(&rows, |i| (1 + i % 3) as f64), weighted);
    }

    #[test]
    fn sums_that_add_up_over_items_give_the_same() {
        let mut cells = vec![0.0; 64];
        let mut sums = [0.0; INTERVAL_SUMS];
        for row in generated() {
            let ratings: Vec<f64> = row.into_iter().flatten().collect();
            let levels: Vec<usize> = ratings.iter().map(|rating| *rating as usize).collect();
            Coincidences::add_to(&mut cells, 8, &levels, 1.0);
            for (sum, part) in sums.iter_mut().zip(interval_sums(&ratings, 1.0)) {
                *sum += part;
            }
        }
        let table = Coincidences::from_cells(8, cells);
        let expected = [0.34134936539746163, 0.8032895643942893, 0.7848612678985206];
        assert_near(METRICS.map(|metric| table.alpha(metric)), expected);
        assert!((interval_alpha(&sums).expect("defined") - expected[2]).abs() < 1e-12);
    }

    #[test]
    fn ratings_without_a_second_one_or_without_a_second_answer_give_no_alpha() {
        let single = vec![vec![Some(1.0), None], vec![None, Some(2.0)]];
        assert_eq!(alphas(&single, |_| 1.0), [Err(Undefined::NoItems); 3]);
        assert_eq!(alphas(&[], |_| 1.0), [Err(Undefined::NoItems); 3]);
        let same = vec![vec![Some(0.1), Some(0.1)]; 7];
        assert_eq!(alphas(&same, |_| 1.0), [Err(Undefined::OneClass); 3]);
        let one_item = vec![vec![Some(0.0), Some(1.0)]];
        // Two ratings that differ: as far apart as any two of them are.
        assert_near(alphas(&one_item, |_| 1.0), [0.0, 0.0, 0.0]);
    }
}
