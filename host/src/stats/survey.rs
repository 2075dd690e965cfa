//! Clusters within strata: the design in which interactions are taken and
//! reviewed, and the variance that follows from it.

use std::collections::HashMap;

use super::CLUSTERS_MIN;
use super::intervals::{Interval, student_quantile};

/// Which cluster each item is in, and which stratum each cluster.
///
/// A cluster that lies in two strata counts as two. A stratum with a single
/// cluster has no variance of its own: such strata are taken together, and one
/// that is left over joins the largest, which overstates the variance (Wolter
/// 2007, Introduction to Variance Estimation, 2nd ed., §2.5).
#[derive(Debug, Clone)]
pub struct Design {
    /// The cluster of each item.
    cluster_of: Vec<u32>,
    /// The stratum of each cluster.
    stratum_of: Vec<u32>,
    /// Clusters of each stratum.
    sizes: Vec<u32>,
}

impl Design {
    /// The design of items given as (stratum, cluster).
    pub fn new(items: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let mut numbers: HashMap<(u32, u64), u32> = HashMap::new();
        let mut strata: HashMap<u32, u32> = HashMap::new();
        let (mut cluster_of, mut stratum_of, mut sizes) = (Vec::new(), Vec::new(), Vec::<u32>::new());
        // Items mostly come in order, and then no cluster has to be looked up.
        let mut keys: Vec<(u32, u64)> = Vec::new();
        let mut ascending = true;
        for key in items {
            let known = match keys.last() {
                Some(last) if ascending && *last == key => Some(keys.len() as u32 - 1),
                Some(last) if ascending && *last > key => {
                    ascending = false;
                    numbers.extend(keys.iter().copied().zip(0..));
                    numbers.get(&key).copied()
                }
                _ if ascending => None,
                _ => numbers.get(&key).copied(),
            };
            let number = known.unwrap_or_else(|| {
                let number = keys.len() as u32;
                let stratum = match keys.last() {
                    Some(last) if last.0 == key.0 => stratum_of[keys.len() - 1],
                    _ => {
                        let fresh = sizes.len() as u32;
                        *strata.entry(key.0).or_insert(fresh)
                    }
                };
                if stratum as usize == sizes.len() {
                    sizes.push(0);
                }
                sizes[stratum as usize] += 1;
                stratum_of.push(stratum);
                keys.push(key);
                if !ascending {
                    numbers.insert(key, number);
                }
                number
            });
            cluster_of.push(number);
        }
        let mut design = Self { cluster_of, stratum_of, sizes };
        design.collapse();
        design
    }

    fn collapse(&mut self) {
        let singles: Vec<u32> =
            (0..self.sizes.len() as u32).filter(|stratum| self.sizes[*stratum as usize] == 1).collect();
        let into = match singles.as_slice() {
            [] => return,
            [only] => {
                let largest = (0..self.sizes.len() as u32)
                    .filter(|stratum| stratum != only)
                    .max_by_key(|stratum| self.sizes[*stratum as usize]);
                let Some(largest) = largest else { return };
                largest
            }
            [first, ..] => *first,
        };
        let target = |stratum: u32| if singles.contains(&stratum) { into } else { stratum };
        let mut numbers = HashMap::new();
        let mut sizes = Vec::new();
        for stratum in &mut self.stratum_of {
            let fresh = sizes.len() as u32;
            *stratum = *numbers.entry(target(*stratum)).or_insert(fresh);
            if *stratum == fresh {
                sizes.push(0);
            }
            sizes[*stratum as usize] += 1;
        }
        self.sizes = sizes;
    }

    /// How many items there are.
    pub fn items(&self) -> usize {
        self.cluster_of.len()
    }

    /// The cluster of an item, from 0.
    pub fn cluster(&self, item: usize) -> usize {
        self.cluster_of[item] as usize
    }

    /// The stratum of a cluster, from 0.
    pub fn stratum(&self, cluster: usize) -> usize {
        self.stratum_of[cluster] as usize
    }

    /// How many clusters there are.
    pub fn clusters(&self) -> usize {
        self.stratum_of.len()
    }

    /// How many strata there are, after those with one cluster were taken together.
    pub fn strata(&self) -> usize {
        self.sizes.len()
    }

    /// Clusters less strata.
    pub fn freedom(&self) -> f64 {
        (self.clusters() - self.strata()) as f64
    }

    /// Sums what each item adds over its cluster.
    pub fn totals(&self, of_item: impl IntoIterator<Item = f64>) -> Vec<f64> {
        let mut totals = vec![0.0; self.clusters()];
        for (value, cluster) in of_item.into_iter().zip(&self.cluster_of) {
            totals[*cluster as usize] += value;
        }
        totals
    }

    /// The variance of the sum of these totals when clusters are drawn within
    /// strata: Σₕ Gₕ/(Gₕ−1) · Σ(Zᵢ − Z̄ₕ)² (Särndal, Swensson & Wretman 1992,
    /// §4.2.2, as if with replacement).
    pub fn variance(&self, totals: &[f64]) -> f64 {
        let mut sums = vec![0.0; self.strata()];
        for (total, stratum) in totals.iter().zip(&self.stratum_of) {
            sums[*stratum as usize] += total;
        }
        let mut squares = vec![0.0; self.strata()];
        for (total, stratum) in totals.iter().zip(&self.stratum_of) {
            let stratum = *stratum as usize;
            squares[stratum] += (total - sums[stratum] / f64::from(self.sizes[stratum])).powi(2);
        }
        squares
            .iter()
            .zip(&self.sizes)
            .filter(|(_, size)| **size > 1)
            .map(|(squares, size)| squares * f64::from(*size) / f64::from(*size - 1))
            .sum()
    }
}

/// A weighted mean of items of a design.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DesignMean {
    /// Hájek's mean, Σwy / Σw.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Items.
    pub n: u64,
    /// Independent items of equal weight that would tell as much; where the values do not
    /// vary, the number of items by their weights alone (Kish 1965, §11.7).
    pub effective_n: f64,
    /// Clusters.
    pub clusters: usize,
    /// Clusters less strata.
    pub freedom: f64,
    /// By Student's t; none with fewer than [`CLUSTERS_MIN`] clusters.
    pub interval: Option<Interval>,
}

impl Design {
    /// The mean of values with weights, one for each item in order, with the
    /// linearised variance Σw(y − ȳ) / Σw summed by cluster (Särndal, Swensson &
    /// Wretman 1992, §5.7). None where there is nothing to weigh.
    pub fn mean(&self, values: &[(f64, f64)], confidence: f64) -> Option<DesignMean> {
        let total: f64 = values.iter().map(|(_, weight)| weight).sum();
        if total.is_nan() || total <= 0.0 {
            return None;
        }
        let mean = values.iter().map(|(value, weight)| value * weight).sum::<f64>() / total;
        let parts = values.iter().map(|(value, weight)| weight * (value - mean) / total);
        let variance = self.variance(&self.totals(parts));
        let squares: f64 = values.iter().map(|(_, weight)| weight * weight).sum();
        let of_one =
            values.iter().map(|(value, weight)| weight * (value - mean).powi(2)).sum::<f64>() / total;
        let varies = variance > 1e-24 * mean * mean && of_one > 0.0;
        let standard_error = if varies { variance.sqrt() } else { 0.0 };
        let half = student_quantile(self.freedom(), confidence) * standard_error;
        Some(DesignMean {
            mean,
            standard_error,
            n: values.len() as u64,
            effective_n: if varies { of_one / variance } else { total * total / squares },
            clusters: self.clusters(),
            freedom: self.freedom(),
            interval: (self.clusters() >= CLUSTERS_MIN)
                .then_some(Interval { low: mean - half, high: mean + half }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_agrees_with_an_independent_calculation() {
        // NumPy 2.4.6 and SciPy 1.17.1: i = arange(120); c = i//3; s = c//20; y = (i*i*7)%41 + c%5; w = 1 + i%4;
        // m = (w*y).sum()/w.sum(); Z = w*(y-m)/w.sum() by cluster; within strata
        // G/(G-1)*((Z-Z.mean())**2).sum(); m -+ t.ppf(.975, 38)*v**.5.
        let design = Design::new((0..120).map(|i| (i / 60, u64::from(i) / 3)));
        let values: Vec<(f64, f64)> =
            (0..120_u32).map(|i| (f64::from((i * i * 7) % 41 + (i / 3) % 5), f64::from(1 + i % 4))).collect();
        let found = design.mean(&values, 0.95).expect("observed");
        let interval = found.interval.expect("enough clusters");
        for (value, expected) in [
            (found.mean, MEAN[0]),
            (found.standard_error, MEAN[1]),
            (interval.low, MEAN[2]),
            (interval.high, MEAN[3]),
        ] {
            assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
        }
        assert_eq!((found.n, found.clusters, found.freedom), (120, 40, 38.0));
        let same = design.mean(&[(0.1, 2.0); 120], 0.95).expect("observed");
        assert_eq!((same.standard_error, same.effective_n), (0.0, 120.0));
        assert_eq!(Design::new([]).mean(&[], 0.95), None);
    }

    const MEAN: [f64; 4] = [22.17, 1.0706763725500072, 20.00252899997133, 24.337471000028675];

    #[test]
    fn a_cluster_is_found_again_in_any_order() {
        let ordered = Design::new([(0, 1), (0, 1), (0, 2), (1, 1), (1, 3)]);
        assert_eq!(ordered.cluster_of, [0, 0, 1, 2, 3]);
        let mixed = Design::new([(1, 3), (0, 1), (0, 2), (0, 1), (1, 1), (1, 3), (0, 2)]);
        assert_eq!(mixed.cluster_of, [0, 1, 2, 1, 3, 0, 2]);
        assert_eq!((mixed.clusters(), mixed.strata(), mixed.freedom()), (4, 2, 2.0));
        assert_eq!(mixed.stratum_of, [0, 1, 1, 0]);
    }

    #[test]
    fn strata_of_one_cluster_are_taken_together() {
        let two = Design::new([(0, 1), (1, 2), (2, 3), (2, 4)]);
        assert_eq!((two.strata(), two.sizes.as_slice()), (2, [2, 2].as_slice()));
        let one = Design::new([(0, 1), (1, 2), (1, 3), (2, 4), (2, 5), (2, 6)]);
        assert_eq!(one.sizes, [4, 2]);
        assert_eq!(one.stratum(0), one.stratum(5));
        let alone = Design::new([(7, 1), (7, 1)]);
        assert_eq!((alone.strata(), alone.variance(&[3.0])), (1, 0.0));
    }

    #[test]
    fn the_variance_is_that_of_sums_drawn_within_strata() {
        // By hand: stratum 0 has totals 1, 2, 6 (mean 3, squares 4 + 1 + 9 = 14, times 3/2);
        // stratum 1 has 10 and 14 (mean 12, squares 8, times 2).
        let design = Design::new([(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (0, 3)]);
        let totals = design.totals([1.0, 2.0, 2.0, 10.0, 14.0, 4.0]);
        assert_eq!(totals, [1.0, 2.0, 6.0, 10.0, 14.0]);
        assert_eq!(design.variance(&totals), 21.0 + 16.0);
    }
}
