//! The figures of one set of pairs, and their intervals.

use std::ops::Range;

use super::super::agreement::{
    Coincidences, Confusion, INTERVAL_SUMS, KappaWeights, Metric, Point, RankParts, Undefined,
    interval_alpha, interval_sums,
};
use super::super::bootstrap::{Bootstrap, NoInterval};
use super::super::clusters::{CLUSTERS_MIN, Cluster, clustered_proportion};
use super::super::comparison::paired_difference;
use super::super::intervals::Interval;
use super::super::survey::Design;
use super::{Agreement, Figure, Pair, Resampling, Scale};

/// With fewer disagreements resampling does not show how many there could be.
const DISAGREEMENTS_MIN: f64 = 20.0;

/// Where sums stand in a row of the bootstrap.
struct Layout {
    values: usize,
    scale: Scale,
}

impl Layout {
    const WEIGHT: usize = 0;
    const DIFFERENCE: usize = 1;
    const ABSOLUTE: usize = 2;

    fn ranked(&self) -> bool {
        matches!(self.scale, Scale::Ordinal { .. } | Scale::Number)
    }

    fn rank(&self, which: usize) -> Range<usize> {
        3 + 3 * which..6 + 3 * which
    }

    /// The table's cells, or of numbers the sums that take their place.
    fn cells(&self) -> Range<usize> {
        let first = if self.ranked() { 9 } else { 3 };
        first..first + if self.values > 0 { self.values * self.values } else { INTERVAL_SUMS }
    }

    fn width(&self) -> usize {
        self.cells().end
    }

    fn confusion(&self, sums: &[f64]) -> Confusion {
        Confusion::from_cells(self.values, sums[self.cells()].to_vec())
    }
}

/// The pairs were checked.
pub(super) fn agreement(pairs: &[Pair], scale: Scale, resampling: Resampling) -> Agreement {
    let layout = Layout { values: scale.values().unwrap_or(0), scale };
    let design = Design::new(pairs.iter().map(|pair| (pair.stratum, pair.cluster)));
    // Weights that sum to the number of pairs make alpha that of as many.
    let total: f64 = pairs.iter().map(|pair| pair.weight).sum();
    let squares: f64 = pairs.iter().map(|pair| pair.weight * pair.weight).sum();
    let to_one = pairs.len() as f64 / total;
    let ranked = layout.ranked().then(|| ranks(pairs, to_one));
    let middle = pairs.iter().map(|pair| (pair.human + pair.judge) / 2.0).sum::<f64>() / pairs.len() as f64;
    let add = |item: usize, row: &mut [f64]| {
        let pair = &pairs[item];
        let weight = pair.weight * to_one;
        let difference = pair.judge - pair.human;
        row[Layout::WEIGHT] += weight;
        row[Layout::DIFFERENCE] += weight * difference;
        row[Layout::ABSOLUTE] += weight * difference.abs();
        for (which, parts) in ranked.iter().flatten().enumerate() {
            for (sum, part) in row[layout.rank(which)].iter_mut().zip(parts.0[item]) {
                *sum += weight * part;
            }
        }
        if layout.values == 0 {
            let sums = interval_sums(&[pair.human - middle, pair.judge - middle], weight);
            row[layout.cells()].iter_mut().zip(sums).for_each(|(sum, part)| *sum += part);
        } else {
            let cell = pair.human as usize * layout.values + pair.judge as usize;
            row[layout.cells().start + cell] += weight;
        }
    };
    let bootstrap = Bootstrap::new(&design, layout.width(), add, resampling.replicates, resampling.seed);
    let figures = Figures { pairs, design: &design, layout, bootstrap, resampling };
    let mut found = figures.all();
    found.effective_n = total * total / squares;
    // What is reported are weights as they came.
    for row in found.confusion.iter_mut().flatten() {
        row.iter_mut().for_each(|cell| *cell /= to_one);
    }
    found
}

fn ranks(pairs: &[Pair], to_one: f64) -> [RankParts; 2] {
    let points: Vec<Point> = pairs
        .iter()
        .map(|pair| Point { x: pair.human, y: pair.judge, weight: pair.weight * to_one })
        .collect();
    [RankParts::spearman(&points), RankParts::kendall(&points)]
}

struct Figures<'a> {
    pairs: &'a [Pair],
    design: &'a Design,
    layout: Layout,
    bootstrap: Bootstrap,
    resampling: Resampling,
}

impl Figures<'_> {
    fn all(&self) -> Agreement {
        let layout = &self.layout;
        let table = (layout.values > 0).then(|| layout.confusion(self.bootstrap.totals()));
        let of_total = |sums: Vec<f64>| {
            let total: f64 = sums.iter().sum();
            sums.into_iter().map(|sum| sum / total).collect::<Vec<f64>>()
        };
        let is_ordinal = matches!(layout.scale, Scale::Ordinal { .. });
        let kappa = |weights| table.as_ref().map(|_| self.kappa(weights));
        let rank = |which: usize| {
            layout.ranked().then(|| {
                self.figure(|sums| {
                    let range = layout.rank(which);
                    let weight = sums[Layout::WEIGHT];
                    let mean = |k: usize| sums[range.start + k] / weight;
                    RankParts::coefficient([mean(0), mean(1), mean(2)])
                })
            })
        };
        let mean = |of: usize| self.figure(|sums| Ok(sums[of] / sums[Layout::WEIGHT]));
        Agreement {
            n: self.pairs.len() as u64,
            effective_n: 0.0,
            clusters: self.design.clusters() as u64,
            confusion: table.as_ref().map(|table| table.rows().map(<[f64]>::to_vec).collect()),
            prevalence: table
                .as_ref()
                .map(|table| of_total((0..layout.values).map(|value| table.human(value)).collect())),
            judge_prevalence: table
                .as_ref()
                .map(|table| of_total((0..layout.values).map(|value| table.judge(value)).collect())),
            accuracy: table.as_ref().map(|_| self.accuracy()),
            recall: table
                .as_ref()
                .map(|_| (0..layout.values).map(|value| self.recall(value as f64)).collect()),
            kappa: kappa(KappaWeights::Unweighted),
            kappa_linear: kappa(KappaWeights::Linear).filter(|_| is_ordinal),
            kappa_quadratic: kappa(KappaWeights::Quadratic).filter(|_| is_ordinal),
            alpha: self.alpha(),
            spearman: rank(0),
            kendall: rank(1),
            bias: match layout.scale {
                Scale::YesNo => Some(self.bias_of_answers()),
                Scale::Category { .. } => None,
                Scale::Ordinal { .. } | Scale::Number => Some(mean(Layout::DIFFERENCE)),
            },
            absolute_error: (layout.values == 0).then(|| mean(Layout::ABSOLUTE)),
        }
    }

    fn figure(&self, statistic: impl Fn(&[f64]) -> Result<f64, Undefined>) -> Figure {
        Figure::resampled(&self.bootstrap, statistic, self.resampling)
    }

    /// The share of the items chosen in which the other holds.
    fn share(&self, chosen: impl Fn(&Pair) -> bool, holds: impl Fn(&Pair) -> bool) -> (Figure, f64) {
        let mut clusters = vec![Cluster::default(); self.design.clusters()];
        for (index, pair) in self.pairs.iter().enumerate().filter(|(_, pair)| chosen(pair)) {
            let cluster = &mut clusters[self.design.cluster(index)];
            cluster.n += 1;
            cluster.weight += pair.weight;
            cluster.successes += if holds(pair) { pair.weight } else { 0.0 };
        }
        match clustered_proportion(&clusters, self.resampling.confidence) {
            None => (Figure::Undefined { reason: Undefined::NoItems }, 0.0),
            Some(found) => {
                let figure = match found.interval {
                    Some(interval) => Figure::Known { value: found.rate, interval },
                    None => Figure::WithoutInterval { value: found.rate, reason: NoInterval::TooFewClusters },
                };
                (figure, found.n as f64 / found.design_effect)
            }
        }
    }

    fn accuracy(&self) -> Figure {
        self.share(|_| true, |pair| pair.judge == pair.human).0
    }

    fn recall(&self, value: f64) -> Figure {
        self.share(|pair| pair.human == value, |pair| pair.judge == value).0
    }

    fn kappa(&self, weights: KappaWeights) -> Figure {
        self.figure_of_rare(|sums| self.layout.confusion(sums).kappa(weights))
    }

    fn alpha(&self) -> Figure {
        let metric = match self.layout.scale {
            Scale::YesNo | Scale::Category { .. } => Metric::Nominal,
            Scale::Ordinal { .. } => Metric::Ordinal,
            Scale::Number => {
                let range = self.layout.cells();
                return self.figure(|sums| {
                    let mut own = [0.0; INTERVAL_SUMS];
                    own.copy_from_slice(&sums[range.clone()]);
                    interval_alpha(&own)
                });
            }
        };
        let values = self.layout.values;
        self.figure_of_rare(|sums| {
            let table = &sums[self.layout.cells()];
            let cell = |at: usize| table[at] + table[at % values * values + at / values];
            Coincidences::from_cells(values, (0..values * values).map(cell).collect()).alpha(metric)
        })
    }

    /// A figure 1 − observed / expected disagreement. Where few items disagree,
    /// resampling does not show how many there could be, and with none shows no
    /// variation at all. There the lower end is at least as low as accuracy's lower
    /// end makes it, if further disagreements cost what those by chance do.
    fn figure_of_rare(&self, statistic: impl Fn(&[f64]) -> Result<f64, Undefined>) -> Figure {
        let figure = self.figure(statistic);
        let (Figure::Known { value: accuracy, interval: of_accuracy }, effective) =
            self.share(|_| true, |pair| pair.judge == pair.human)
        else {
            return figure;
        };
        let Ok(chance) = self.layout.confusion(self.bootstrap.totals()).chance_agreement() else {
            return figure;
        };
        if effective * (1.0 - accuracy) >= DISAGREEMENTS_MIN || chance >= 1.0 {
            return figure;
        }
        let least = 1.0 - (1.0 - of_accuracy.low) / (1.0 - chance);
        match figure {
            Figure::Known { value, interval } => {
                Figure::Known { value, interval: Interval { low: interval.low.min(least), ..interval } }
            }
            Figure::WithoutInterval { value, reason: NoInterval::NoVariation } if value == 1.0 => {
                Figure::Known { value, interval: Interval { low: least, high: 1.0 } }
            }
            other => other,
        }
    }

    fn bias_of_answers(&self) -> Figure {
        let answers: Vec<(bool, bool, f64)> =
            self.pairs.iter().map(|pair| (pair.human == 1.0, pair.judge == 1.0, pair.weight)).collect();
        match paired_difference(self.design, &answers, self.resampling.confidence) {
            None => Figure::Undefined { reason: Undefined::NoItems },
            Some(found) => match found.interval {
                Some(interval) => Figure::Known { value: found.difference, interval },
                None => {
                    debug_assert!(self.design.clusters() < CLUSTERS_MIN);
                    Figure::WithoutInterval { value: found.difference, reason: NoInterval::TooFewClusters }
                }
            },
        }
    }
}
