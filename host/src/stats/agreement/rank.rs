//! Rank correlations with ties and weights, in O(n log n), and in parts that
//! add up over items, so that they can be resampled without ranking again.

use super::Undefined;

/// What two raters said of one item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// One rater's value.
    pub x: f64,
    /// The other's.
    pub y: f64,
    /// One over the probability with which the item came to be rated.
    pub weight: f64,
}

/// A rank correlation C / √(X·Y), where C, X and Y are weighted means over items.
///
/// An item's part is what it adds when there is a little more of it, also by
/// moving the ranks of others (Hájek's projection; van der Vaart 1998,
/// Asymptotic Statistics, §11–12). So the means of resampled parts are what ranking the
/// resampled items again would give, up to an error of order 1/n.
#[derive(Debug, Clone, PartialEq)]
pub struct RankParts(pub Vec<[f64; 3]>);

impl RankParts {
    /// Parts of Spearman's rho, in the points' order.
    pub fn spearman(points: &[Point]) -> Self {
        let total: f64 = points.iter().map(|point| point.weight).sum();
        let (by_x, by_y) = (Runs::new(points, |point| point.x), Runs::new(points, |point| point.y));
        let (x, y) = (mid_ranks(points, &by_x, total), mid_ranks(points, &by_y, total));
        let (x_moves_x, x_moves_y) = (moved(points, &by_x, &x, total), moved(points, &by_x, &y, total));
        let (y_moves_x, y_moves_y) = (moved(points, &by_y, &x, total), moved(points, &by_y, &y, total));
        let mean = |values: &dyn Fn(usize) -> f64| {
            (0..points.len()).map(|i| points[i].weight * values(i)).sum::<f64>() / total
        };
        let (c, xx, yy) = (mean(&|i| x[i] * y[i]), mean(&|i| x[i] * x[i]), mean(&|i| y[i] * y[i]));
        let part = |i: usize| {
            [
                x[i] * y[i] + x_moves_y[i] + y_moves_x[i] - 2.0 * c,
                x[i] * x[i] + 2.0 * (x_moves_x[i] - xx),
                y[i] * y[i] + 2.0 * (y_moves_y[i] - yy),
            ]
        };
        Self((0..points.len()).map(part).collect())
    }

    /// Parts of Kendall's tau-b, in the points' order.
    pub fn kendall(points: &[Point]) -> Self {
        let total: f64 = points.iter().map(|point| point.weight).sum();
        let (by_x, by_y) = (Runs::new(points, |point| point.x), Runs::new(points, |point| point.y));
        let concordance = concordance(points, &by_x, &by_y);
        let (apart_x, apart_y) = (apart(points, &by_x, total), apart(points, &by_y, total));
        let mean = |values: &[f64]| {
            points.iter().zip(values).map(|(point, value)| point.weight * value).sum::<f64>() / total
        };
        let means = [mean(&concordance), mean(&apart_x), mean(&apart_y)];
        let part = |i: usize| {
            let values = [concordance[i], apart_x[i], apart_y[i]];
            [0, 1, 2].map(|k| (2.0 * values[k] - means[k]) / total)
        };
        Self((0..points.len()).map(part).collect())
    }

    /// The coefficient of weighted means of parts.
    pub fn coefficient(means: [f64; 3]) -> Result<f64, Undefined> {
        let [c, x, y] = means;
        // What rounding leaves of no variance is none.
        if x > 1e-12 && y > 1e-12 {
            Ok((c / (x * y).sqrt()).clamp(-1.0, 1.0))
        } else {
            Err(Undefined::NoVariance)
        }
    }

    fn of(self, points: &[Point]) -> Result<f64, Undefined> {
        let total: f64 = points.iter().map(|point| point.weight).sum();
        if points.len() < 2 || total <= 0.0 {
            return Err(Undefined::NoItems);
        }
        let mut means = [0.0; 3];
        for (part, point) in self.0.iter().zip(points) {
            for (mean, value) in means.iter_mut().zip(part) {
                *mean += point.weight * value / total;
            }
        }
        Self::coefficient(means)
    }
}

/// Spearman's rho: the weighted correlation of mid-ranks, where the rank of a
/// value is the weight of what lies below it and half of what equals it.
pub fn spearman_rho(points: &[Point]) -> Result<f64, Undefined> {
    RankParts::spearman(points).of(points)
}

/// Kendall's tau-b (Kendall 1945, Biometrika 33:239–251): concordant less discordant
/// pairs over those that are tied in neither value; a pair weighs as much as
/// its items multiplied. O(n log n) after Knight 1966, JASA 61:436–439.
pub fn kendall_tau_b(points: &[Point]) -> Result<f64, Undefined> {
    RankParts::kendall(points).of(points)
}

/// Points in ascending order of a value, in runs of equal ones.
struct Runs {
    order: Vec<usize>,
    /// Where each run ends.
    ends: Vec<usize>,
}

impl Runs {
    fn new(points: &[Point], value: impl Fn(&Point) -> f64) -> Self {
        let mut keyed: Vec<(f64, usize)> =
            points.iter().enumerate().map(|(i, point)| (value(point), i)).collect();
        keyed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut ends = Vec::new();
        for run in keyed.chunk_by(|a, b| a.0 == b.0) {
            ends.push(ends.last().copied().unwrap_or(0) + run.len());
        }
        Self { order: keyed.into_iter().map(|(_, i)| i).collect(), ends }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &[usize]> {
        (0..self.ends.len()).map(|run| {
            let start = if run == 0 { 0 } else { self.ends[run - 1] };
            &self.order[start..self.ends[run]]
        })
    }
}

/// The mid-rank of each point as a share, less a half.
fn mid_ranks(points: &[Point], runs: &Runs, total: f64) -> Vec<f64> {
    let mut ranks = vec![0.0; points.len()];
    let mut below = 0.0;
    for run in runs.iter() {
        let here: f64 = run.iter().map(|i| points[*i].weight).sum();
        for i in run {
            ranks[*i] = (below + here / 2.0) / total - 0.5;
        }
        below += here;
    }
    ranks
}

/// For each point the mean of `others` over the points above it and half of that
/// over its equals: by how much it moves the mean of products with their ranks.
fn moved(points: &[Point], runs: &Runs, others: &[f64], total: f64) -> Vec<f64> {
    let mut moved = vec![0.0; points.len()];
    let mut above = 0.0;
    for run in runs.iter().rev() {
        let here: f64 = run.iter().map(|i| points[*i].weight * others[*i]).sum();
        for i in run {
            moved[*i] = (above + here / 2.0) / total;
        }
        above += here;
    }
    moved
}

/// For each point the weight of those that differ from it.
fn apart(points: &[Point], runs: &Runs, total: f64) -> Vec<f64> {
    let mut apart = vec![0.0; points.len()];
    for run in runs.iter() {
        let here: f64 = run.iter().map(|i| points[*i].weight).sum();
        for i in run {
            apart[*i] = total - here;
        }
    }
    apart
}

/// For each point the weight of those concordant with it less of those discordant.
fn concordance(points: &[Point], by_x: &Runs, by_y: &Runs) -> Vec<f64> {
    let mut rank = vec![0; points.len()];
    for (place, run) in by_y.iter().enumerate() {
        for i in run {
            rank[*i] = place;
        }
    }
    let mut found = vec![0.0; points.len()];
    // Once with those of smaller x before, once with those of larger x before.
    let mut pass = |runs: &mut dyn Iterator<Item = &[usize]>, sign: f64| {
        let mut seen = Fenwick(vec![0.0; by_y.ends.len() + 1]);
        let mut weight = 0.0;
        for run in runs {
            for i in run {
                let (below, up_to) = (seen.sum(rank[*i]), seen.sum(rank[*i] + 1));
                found[*i] += sign * (below - (weight - up_to));
            }
            for i in run {
                seen.add(rank[*i], points[*i].weight);
                weight += points[*i].weight;
            }
        }
    };
    pass(&mut by_x.iter(), 1.0);
    pass(&mut by_x.iter().rev(), -1.0);
    found
}

/// Sums of a growing set by rank (Fenwick 1994, Software: Practice and Experience 24:327–336).
struct Fenwick(Vec<f64>);

impl Fenwick {
    fn add(&mut self, rank: usize, weight: f64) {
        let mut at = rank + 1;
        while at < self.0.len() {
            self.0[at] += weight;
            at += at & at.wrapping_neg();
        }
    }

    /// Of all ranks below.
    fn sum(&self, rank: usize) -> f64 {
        let (mut at, mut sum) = (rank, 0.0);
        while at > 0 {
            sum += self.0[at];
            at -= at & at.wrapping_neg();
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// i = arange(80); x = (i*i%23)*0.5; y = round(x//3 + (i*7%13)*0.6, 1); w = 1 + i%4*0.5.
    fn points(weight: impl Fn(u32) -> f64) -> Vec<Point> {
        let point = |i: u32| {
            let x = f64::from(i * i % 23) * 0.5;
            let y = ((x / 3.0).floor() + f64::from(i * 7 % 13) * 0.6) * 10.0;
            Point { x, y: y.round() / 10.0, weight: weight(i) }
        };
        (0..80).map(point).collect()
    }

    fn near(found: Result<f64, Undefined>, expected: f64) {
        let found = found.expect("defined");
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn agrees_with_scipy_where_values_are_tied() {
        // scipy.stats.spearmanr, scipy.stats.kendalltau, SciPy 1.17.1.
        for weight in [1.0, 4.0] {
            near(spearman_rho(&points(|_| weight)), 0.2876592733914024);
            near(kendall_tau_b(&points(|_| weight)), 0.19823877850661759);
        }
    }

    #[test]
    fn agrees_with_an_independent_calculation_with_weights() {
        // NumPy 2.4.6: F = (w[v<a].sum() + w[v==a].sum()/2)/w.sum(), rho of np.cov(F, G, aweights=w);
        // tau = (ww*sx*sy).sum()/sqrt((ww*sx**2).sum()*(ww*sy**2).sum()) over all pairs, ww = outer(w, w).
        let points = points(|i| 1.0 + f64::from(i % 4) * 0.5);
        near(spearman_rho(&points), 0.3182244456420508);
        near(kendall_tau_b(&points), 0.2167689253376356);
    }

    #[test]
    fn parts_tell_what_a_little_more_of_an_item_would_do() {
        type Parts = fn(&[Point]) -> RankParts;
        type Whole = fn(&[Point]) -> Result<f64, Undefined>;
        let points = points(|i| 1.0 + f64::from(i % 4) * 0.5);
        let kinds: [(Parts, Whole); 2] =
            [(RankParts::spearman, spearman_rho), (RankParts::kendall, kendall_tau_b)];
        for (parts, whole) in kinds {
            let parts = parts(&points);
            for more in [0, 17, 41, 79] {
                let mut heavier = points.clone();
                heavier[more].weight += 0.01;
                let total: f64 = heavier.iter().map(|point| point.weight).sum();
                let mut means = [0.0; 3];
                for (point, part) in heavier.iter().zip(&parts.0) {
                    (0..3).for_each(|k| means[k] += point.weight * part[k] / total);
                }
                let before = whole(&points).expect("defined");
                let ranked_again = whole(&heavier).expect("defined") - before;
                let by_parts = RankParts::coefficient(means).expect("defined") - before;
                assert!((ranked_again - by_parts).abs() < 1e-3 * ranked_again.abs() + 1e-7, "{more}");
            }
        }
    }

    #[test]
    fn values_that_do_not_vary_have_no_rank_correlation() {
        let point = |x: f64, y: f64| Point { x, y, weight: 1.0 };
        for whole in [spearman_rho, kendall_tau_b] {
            assert_eq!(whole(&[]), Err(Undefined::NoItems));
            assert_eq!(whole(&[point(1.0, 2.0)]), Err(Undefined::NoItems));
            assert_eq!(whole(&[point(1.0, 2.0), point(1.0, 3.0)]), Err(Undefined::NoVariance));
            near(whole(&[point(1.0, 2.0), point(2.0, 3.0)]), 1.0);
            near(whole(&[point(1.0, 2.0), point(2.0, -3.0)]), -1.0);
        }
    }
}
