//! Intervals by resampling clusters within strata.
//!
//! A statistic is any function of sums over items: a mean is one sum over
//! another, kappa a function of the cells of a table. So a cluster is a row of
//! sums, a replicate is a weighted sum of rows, and one set of replicates serves
//! every statistic of the same items.
//!
//! Each replicate draws Gₕ − 1 of the Gₕ clusters of each stratum with
//! replacement and weighs them Gₕ / (Gₕ − 1), which makes the variance of sums
//! unbiased also where strata are small (Rao & Wu 1988, JASA 83:231–241).
//!
//! Where there are more than [`GROUPS_MAX`] clusters, they are first put into that many
//! random groups of equal size within strata, and groups are resampled. A sum's
//! variance and skewness stay what they are in expectation (the random groups of
//! Wolter 2007, Introduction to Variance Estimation, 2nd ed., ch. 2); the interval's width gets a
//! relative error of about 1/√(2·groups), 2.2 %, which is less than that of two
//! thousand replicates.

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, Normal};

use super::CLUSTERS_MIN;
use super::intervals::Interval;
use super::survey::Design;

/// More clusters than this are resampled in groups.
pub const GROUPS_MAX: usize = 1024;

/// A stratum has no fewer groups, if it has as many clusters: of few groups its variance would be
/// a guess.
const GROUPS_MIN: usize = 8;

/// Replicates that are summed together, so that each row is read once for all of them.
const BLOCK: usize = 8;

/// With more replicates than this in a hundred without a value there is no interval.
const UNDEFINED_PERCENT_MAX: usize = 5;

/// Why there is no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoInterval {
    /// Too few independent pieces of evidence.
    #[error("fewer than {CLUSTERS_MIN} users or sessions")]
    TooFewClusters,
    /// The figure does not exist for the items, or not for many a resample of them.
    #[error("the figure does not exist for many a sample like this")]
    OftenUndefined,
    /// Resampling shows no variation, as where all agree; that is no certainty.
    #[error("no sample like this would differ")]
    NoVariation,
}

/// Rows of sums, with their resampled totals.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    width: usize,
    clusters: usize,
    totals: Vec<f64>,
    /// Totals without one group, for each group.
    without_one: Vec<f64>,
    replicates: Vec<f64>,
}

impl Bootstrap {
    /// Resamples items whose sums `add` adds to a row of `width` numbers: it is
    /// called once for each item, by its index in the design.
    pub fn new(
        design: &Design,
        width: usize,
        mut add: impl FnMut(usize, &mut [f64]),
        replicates: usize,
        seed: u64,
    ) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (group_of, sizes) = groups(design, &mut random);
        let mut rows = vec![0.0; group_of.groups * width];
        for item in 0..design.items() {
            let group = group_of.of_cluster[design.cluster(item)] as usize;
            add(item, &mut rows[group * width..(group + 1) * width]);
        }
        let mut totals = vec![0.0; width];
        for row in rows.chunks_exact(width.max(1)) {
            add_scaled(&mut totals, row, 1.0);
        }
        Self {
            width,
            clusters: design.clusters(),
            without_one: without_one(&rows, &totals, &sizes, width),
            replicates: resampled(&rows, &sizes, width, replicates, &mut random),
            totals,
        }
    }

    /// The sums over all items.
    pub fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// The interval of a statistic of the sums, bias-corrected and accelerated (BCa;
    /// Efron 1987, JASA 82:171–185), with the acceleration from leaving one cluster (or group) out
    /// at a time. A statistic that does not exist for some sums answers none;
    /// such replicates are left out, if they are few.
    pub fn interval(
        &self,
        statistic: impl Fn(&[f64]) -> Option<f64>,
        confidence: f64,
    ) -> Result<Interval, NoInterval> {
        if self.clusters < CLUSTERS_MIN {
            return Err(NoInterval::TooFewClusters);
        }
        let estimate = statistic(&self.totals).ok_or(NoInterval::OftenUndefined)?;
        let drawn = self.replicates.len() / self.width;
        let mut values: Vec<f64> =
            self.replicates.chunks_exact(self.width).filter_map(&statistic).filter(|v| !v.is_nan()).collect();
        if values.is_empty() || (drawn - values.len()) * 100 > drawn * UNDEFINED_PERCENT_MAX {
            return Err(NoInterval::OftenUndefined);
        }
        values.sort_by(f64::total_cmp);
        let spread = values[values.len() - 1] - values[0];
        if spread <= 1e-12 * estimate.abs().max(1e-300) {
            return Err(NoInterval::NoVariation);
        }
        // Values that equal the estimate count half, or ties would look like bias.
        let near = 1e-12 * spread.max(estimate.abs());
        let below = values.partition_point(|value| *value < estimate - near);
        let up_to = values.partition_point(|value| *value <= estimate + near);
        let n = values.len() as f64;
        let share = ((below + up_to) as f64 / 2.0 / n).clamp(0.5 / n, 1.0 - 0.5 / n);
        let normal = Normal::standard();
        let bias = normal.inverse_cdf(share);
        let acceleration = self.acceleration(&statistic);
        let tail = (1.0 - confidence) / 2.0;
        let at = |p: f64| {
            let z = bias + normal.inverse_cdf(p);
            let moved = normal.cdf(bias + z / (1.0 - acceleration * z));
            quantile(&values, moved)
        };
        Ok(Interval { low: at(tail), high: at(1.0 - tail) })
    }

    fn acceleration(&self, statistic: impl Fn(&[f64]) -> Option<f64>) -> f64 {
        let values: Vec<f64> = self.without_one.chunks_exact(self.width).filter_map(statistic).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let (squares, cubes) = values.iter().fold((0.0, 0.0), |(squares, cubes), value| {
            let d = mean - value;
            (squares + d * d, cubes + d * d * d)
        });
        if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 }
    }
}

/// Which group each cluster is in.
struct Groups {
    of_cluster: Vec<u32>,
    groups: usize,
}

/// Groups of clusters, and how many there are in each stratum, one stratum after the other.
/// Groups of a stratum have equally many clusters, or sums would vary with
/// their size; what is left over is resampled by itself.
fn groups(design: &Design, random: &mut Xoshiro256PlusPlus) -> (Groups, Vec<usize>) {
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); design.strata()];
    for cluster in 0..design.clusters() {
        members[design.stratum(cluster)].push(cluster as u32);
    }
    let mut of_cluster = vec![0; design.clusters()];
    let (mut first, mut sizes) = (0_u32, Vec::new());
    for clusters in &mut members {
        let share = (GROUPS_MAX * clusters.len() / design.clusters()).max(GROUPS_MIN);
        let in_group = clusters.len().div_ceil(share);
        let mut groups = clusters.len() / in_group;
        // One alone has no variance.
        if in_group > 1 && clusters.len() - groups * in_group == 1 {
            groups -= 1;
        }
        if in_group > 1 {
            clusters.shuffle(random);
        }
        let grouped = groups * in_group;
        for (place, cluster) in clusters.iter().enumerate() {
            let group = if place < grouped { place / in_group } else { groups + place - grouped };
            of_cluster[*cluster as usize] = first + group as u32;
        }
        let alone = clusters.len() - grouped;
        sizes.extend([groups, alone].into_iter().filter(|size| *size > 0));
        first += (groups + alone) as u32;
    }
    (Groups { of_cluster, groups: first as usize }, sizes)
}

fn resampled(
    rows: &[f64],
    sizes: &[usize],
    width: usize,
    replicates: usize,
    random: &mut Xoshiro256PlusPlus,
) -> Vec<f64> {
    let mut drawn = vec![0.0; replicates * width];
    let mut counts = vec![0_u32; BLOCK * sizes.iter().copied().max().unwrap_or(0)];
    for block in drawn.chunks_mut((BLOCK * width).max(1)) {
        let mut first = 0;
        for size in sizes.iter().copied().filter(|size| *size > 0) {
            let rows = &rows[first * width..(first + size) * width];
            first += size;
            if size < 2 {
                block.chunks_exact_mut(width).for_each(|replicate| add_scaled(replicate, rows, 1.0));
                continue;
            }
            counts.fill(0);
            for counts in counts.chunks_exact_mut(size).take(block.len() / width) {
                for _ in 1..size {
                    counts[random.random_range(0..size)] += 1;
                }
            }
            let scale = size as f64 / (size - 1) as f64;
            for (index, row) in rows.chunks_exact(width).enumerate() {
                for (replicate, counts) in block.chunks_exact_mut(width).zip(counts.chunks_exact(size)) {
                    if counts[index] > 0 {
                        add_scaled(replicate, row, scale * f64::from(counts[index]));
                    }
                }
            }
        }
    }
    drawn
}

fn without_one(rows: &[f64], totals: &[f64], sizes: &[usize], width: usize) -> Vec<f64> {
    let mut of_stratum = Vec::with_capacity(rows.len());
    let mut first = 0;
    for size in sizes.iter().filter(|size| **size > 0) {
        let rows = &rows[first * width..(first + size) * width];
        first += size;
        if *size < 2 {
            continue;
        }
        let mut sums = vec![0.0; width];
        rows.chunks_exact(width).for_each(|row| add_scaled(&mut sums, row, 1.0));
        let scale = *size as f64 / (size - 1) as f64;
        for row in rows.chunks_exact(width) {
            // The rest of the stratum stands for the one that is left out.
            let rest = |k: usize| totals[k] - sums[k] + scale * (sums[k] - row[k]);
            of_stratum.extend((0..width).map(rest));
        }
    }
    of_stratum
}

fn add_scaled(sums: &mut [f64], row: &[f64], scale: f64) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += scale * value;
    }
}

/// Linear between order statistics, as NumPy's default (Hyndman & Fan 1996, type 7).
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = p.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (place - place.floor()) * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// i = arange(60); x = (((i*i*7)%41)/41)**3; y = ((i*11)%17)/17 + x.
    fn pairs() -> Vec<(f64, f64)> {
        (0..60_u32)
            .map(|i| {
                let x = (f64::from((i * i * 7) % 41) / 41.0).powi(3);
                (x, f64::from((i * 11) % 17) / 17.0 + x)
            })
            .collect()
    }

    fn of_pairs(replicates: usize, seed: u64) -> Bootstrap {
        let pairs = pairs();
        let design = Design::new((0..60).map(|cluster| (0, cluster)));
        let add = |item: usize, row: &mut [f64]| {
            row[0] += 1.0;
            row[1] += pairs[item].0;
            row[2] += pairs[item].1;
        };
        Bootstrap::new(&design, 3, add, replicates, seed)
    }

    #[test]
    fn intervals_agree_with_scipy() {
        // scipy.stats.bootstrap(…, method="BCa", n_resamples=100000), SciPy 1.17.1. It draws all n where
        // one less is drawn here, so its intervals are narrower by √(59/60).
        let bootstrap = of_pairs(40_000, 1);
        let mean = bootstrap.interval(|sums| Some(sums[1] / sums[0]), 0.95).expect("varies");
        let ratio = bootstrap.interval(|sums| Some(sums[1] / sums[2]), 0.95).expect("varies");
        for (found, expected) in [
            (mean.low, 0.15747244619770429),
            (mean.high, 0.2747095960764799),
            (ratio.low, 0.24444075311577074),
            (ratio.high, 0.37799735314313665),
        ] {
            assert!((found - expected).abs() < 0.002, "{found} is not {expected}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_interval_again() {
        let interval =
            |seed| of_pairs(500, seed).interval(|sums| Some(sums[1] / sums[0]), 0.95).expect("varies");
        assert_eq!(interval(7), interval(7));
        assert_ne!(interval(7), interval(8));
    }

    /// 400 strata of 20 clusters of 1 to 3 items, whose values go with cluster and stratum.
    fn nested(strata: u32) -> (Design, Vec<f64>) {
        let mut keys = Vec::new();
        let mut values = Vec::new();
        for stratum in 0..strata {
            for cluster in 0..20_u32 {
                for item in 0..=cluster % 3 {
                    keys.push((stratum, u64::from(cluster)));
                    let of_cluster = f64::from((cluster * cluster * 5 + stratum * 7) % 19);
                    values.push(f64::from(stratum * 3) + of_cluster + f64::from(item));
                }
            }
        }
        (Design::new(keys), values)
    }

    #[test]
    fn the_spread_of_a_sum_is_that_of_clusters_drawn_within_strata() {
        // Five strata are resampled cluster by cluster, 400 in random groups.
        for strata in [5, 400] {
            let (design, values) = nested(strata);
            let bootstrap = Bootstrap::new(&design, 1, |item, row| row[0] += values[item], 2000, 3);
            let mean = bootstrap.replicates.iter().sum::<f64>() / 2000.0;
            let variance = bootstrap.replicates.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / 1999.0;
            let expected = design.variance(&design.totals(values.iter().copied()));
            let ratio = variance / expected;
            assert!((ratio - 1.0).abs() < 0.12, "{strata} strata: {ratio}");
            assert!((bootstrap.totals()[0] - values.iter().sum::<f64>()).abs() < 1e-6);
        }
    }

    #[test]
    fn refuses_where_resampling_tells_nothing() {
        let few = Design::new((0..19).map(|cluster| (0, cluster)));
        let bootstrap = Bootstrap::new(&few, 1, |item, row| row[0] += item as f64, 100, 1);
        assert_eq!(bootstrap.interval(|sums| Some(sums[0]), 0.95), Err(NoInterval::TooFewClusters));
        let same = Design::new((0..50).map(|cluster| (0, cluster)));
        let bootstrap = Bootstrap::new(&same, 1, |_, row| row[0] += 1.0, 100, 1);
        assert_eq!(bootstrap.interval(|sums| Some(sums[0]), 0.95), Err(NoInterval::NoVariation));
        // One item in fifty makes it exist, and a third of all samples lack it.
        let bootstrap =
            Bootstrap::new(&same, 1, |item, row| row[0] += f64::from(u8::from(item == 7)), 500, 1);
        let exists = |sums: &[f64]| (sums[0] > 0.0).then_some(sums[0]);
        assert_eq!(bootstrap.interval(exists, 0.95), Err(NoInterval::OftenUndefined));
        assert_eq!(bootstrap.interval(|_| None, 0.95), Err(NoInterval::OftenUndefined));
    }
}
