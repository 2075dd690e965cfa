//! The estimate of one judge's part λ, and its variance.

use super::super::survey::Design;
use super::{Judged, LABELS_FOR_OWN_LAMBDA, Target};

/// How many labels that the judge gets wrong are added to the variance,
/// because rare errors may not have shown.
const UNSEEN_ERRORS: f64 = 1.0;
/// How many labels with the rarer answer are added where labels weigh differently.
const UNSEEN_ANSWERS: f64 = 2.0;

/// A labelled interaction.
struct Labelled {
    item: usize,
    human: f64,
    judge: f64,
    /// One over the probability of being labelled.
    weight: f64,
    reviewed: f64,
    stratum: usize,
}

/// What a stratum's interactions add up to.
#[derive(Default)]
struct Stratum {
    items: f64,
    weight: f64,
    judge_mean: f64,
    judge_squares: f64,
    labels: usize,
    label_weight: f64,
    /// Weighted means over the labelled interactions.
    human_of_labelled: f64,
    judge_of_labelled: f64,
    covariance: f64,
    clusters: u32,
}

/// Which judge's part to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lambda {
    /// None: the labels alone.
    Zero,
    /// The one that makes the variance smallest.
    Tuned,
}

/// An estimate with its variance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) variance: f64,
    /// As PPI++ states it.
    pub(super) lambda: f64,
}

/// Interactions, added up by stratum.
pub(super) struct Sample<'a> {
    items: &'a [Judged],
    design: Design,
    labelled: Vec<Labelled>,
    strata: Vec<Stratum>,
    /// Labelled interactions and the sum of their weights for each cluster.
    clusters: Vec<(u64, f64)>,
    weight: f64,
}

impl<'a> Sample<'a> {
    /// The items were checked: probabilities are known, values are finite.
    pub(super) fn new(items: &'a [Judged]) -> Self {
        let design = Design::new(items.iter().map(|item| (item.stratum, item.cluster)));
        let mut strata: Vec<_> = (0..design.strata()).map(|_| Stratum::default()).collect();
        let mut labelled = Vec::new();
        let mut clusters = vec![(0, 0.0); design.clusters()];
        for (index, item) in items.iter().enumerate() {
            let cluster = design.cluster(index);
            let stratum = &mut strata[design.stratum(cluster)];
            let taken = 1.0 / item.taken.unwrap_or(1.0);
            stratum.items += 1.0;
            stratum.weight += taken;
            let step = item.judge - stratum.judge_mean;
            stratum.judge_mean += step * taken / stratum.weight;
            stratum.judge_squares += taken * step * (item.judge - stratum.judge_mean);
            let Some(label) = item.label else { continue };
            let reviewed = label.reviewed.unwrap_or(1.0);
            let weight = taken / reviewed;
            stratum.labels += 1;
            stratum.label_weight += weight;
            let (human, judge) =
                (label.human - stratum.human_of_labelled, item.judge - stratum.judge_of_labelled);
            stratum.human_of_labelled += human * weight / stratum.label_weight;
            stratum.judge_of_labelled += judge * weight / stratum.label_weight;
            stratum.covariance += weight * human * (item.judge - stratum.judge_of_labelled);
            if clusters[cluster].0 == 0 {
                stratum.clusters += 1;
            }
            clusters[cluster].0 += 1;
            clusters[cluster].1 += weight;
            labelled.push(Labelled {
                item: index,
                human: label.human,
                judge: item.judge,
                weight,
                reviewed,
                stratum: design.stratum(cluster),
            });
        }
        let weight = strata.iter().map(|stratum| stratum.weight).sum();
        Self { items, design, labelled, strata, clusters, weight }
    }

    pub(super) fn labels(&self) -> u64 {
        self.labelled.len() as u64
    }

    pub(super) fn labelled_clusters(&self) -> usize {
        self.clusters.iter().filter(|(labels, _)| *labels > 0).count()
    }

    /// The degrees of freedom of a variance in which clusters enter with the
    /// squares of their weights (Satterthwaite 1946, Biometrics Bulletin 2:110–114).
    pub(super) fn freedom(&self) -> f64 {
        kish(self.clusters.iter().map(|(_, weight)| weight * weight)) - self.design.strata() as f64
    }

    /// Strata of which no variance can be estimated.
    pub(super) fn strata_without_labels(&self) -> usize {
        self.strata.iter().filter(|stratum| stratum.clusters < 2).count()
    }

    /// Whether every interaction has a label.
    pub(super) fn is_complete(&self) -> bool {
        self.labelled.len() == self.items.len()
    }

    /// Whether every label is independent and stands for equally many interactions.
    pub(super) fn is_simple_random(&self) -> bool {
        let first = self.labelled.first().map_or(0.0, |label| label.weight);
        self.design.strata() == 1
            && self.clusters.iter().all(|(labels, _)| *labels < 2)
            && self.labelled.iter().all(|label| (label.weight - first).abs() <= 1e-9 * first)
    }

    /// Labels that are 0 or 1, and how many are 1; none if there are others.
    pub(super) fn yes_and_no(&self) -> Option<u64> {
        let binary = self.labelled.iter().all(|label| label.human == 0.0 || label.human == 1.0);
        binary.then(|| self.labelled.iter().filter(|label| label.human == 1.0).count() as u64)
    }

    /// The judge's scores of all interactions.
    pub(super) fn judge_by_cluster(&self) -> Vec<super::Cluster> {
        let mut clusters = vec![super::Cluster::default(); self.design.clusters()];
        for (index, item) in self.items.iter().enumerate() {
            let weight = 1.0 / item.taken.unwrap_or(1.0);
            let cluster = &mut clusters[self.design.cluster(index)];
            cluster.successes += weight * item.judge;
            cluster.weight += weight;
            cluster.n += 1;
        }
        clusters
    }

    /// The interactions that labels stand for, over those that there are.
    pub(super) fn stands_for(&self) -> f64 {
        self.labelled.iter().map(|label| label.weight).sum::<f64>() / self.weight
    }

    /// The effective number of clusters with a label.
    pub(super) fn effective_clusters(&self) -> f64 {
        kish(self.clusters.iter().map(|(_, weight)| *weight))
    }

    /// The labels' variance if they were independent and of equal weight.
    pub(super) fn variance_of_one_label(&self) -> f64 {
        let total: f64 = self.labelled.iter().map(|label| label.weight).sum();
        let mean = self.labelled.iter().map(|label| label.weight * label.human).sum::<f64>() / total;
        self.labelled.iter().map(|label| label.weight * (label.human - mean).powi(2)).sum::<f64>() / total
    }

    pub(super) fn estimate(&self, lambda: Lambda, target: Target) -> Estimate {
        let parts: Vec<f64> = match lambda {
            Lambda::Zero => vec![0.0; self.strata.len()],
            Lambda::Tuned => self.tuned(),
        };
        let mut value = 0.0;
        let mut reported = 0.0;
        for (stratum, part) in self.strata.iter().zip(&parts) {
            let rectifier = stratum.human_of_labelled - part * stratum.judge_of_labelled;
            let share = stratum.weight / self.weight;
            value += share * (part * stratum.judge_mean + rectifier);
            reported += share * part * (1.0 - stratum.labels as f64 / stratum.items);
        }
        let variance = self.variance(&parts, target) + self.unseen(&parts, target);
        Estimate { value, variance, lambda: reported }
    }

    /// λ of each stratum, for the judge's mean over all interactions.
    fn tuned(&self) -> Vec<f64> {
        let (mut covariance, mut squares) = (0.0, 0.0);
        for stratum in &self.strata {
            covariance += stratum.weight * stratum.covariance / stratum.label_weight;
            squares += stratum.weight * stratum.judge_variance();
        }
        let pooled = if squares > 0.0 { covariance / squares } else { 0.0 };
        self.strata
            .iter()
            .map(|stratum| {
                let variance = stratum.judge_variance();
                let own = stratum.covariance / stratum.label_weight / variance;
                let part = if stratum.labels < LABELS_FOR_OWN_LAMBDA { pooled } else { own };
                let most = stratum.items / (stratum.items - stratum.labels as f64);
                // Where all are labelled the judge adds nothing, whatever its part.
                if variance > 0.0 && most.is_finite() { part.clamp(0.0, most) } else { 0.0 }
            })
            .collect()
    }

    fn variance(&self, parts: &[f64], target: Target) -> f64 {
        let mut totals = vec![0.0; self.design.clusters()];
        if target == Target::Process && parts.iter().any(|part| *part != 0.0) {
            for (index, item) in self.items.iter().enumerate() {
                let cluster = self.design.cluster(index);
                let number = self.design.stratum(cluster);
                let weight = 1.0 / (item.taken.unwrap_or(1.0) * self.weight);
                totals[cluster] += parts[number] * weight * (item.judge - self.strata[number].judge_mean);
            }
        }
        for label in &self.labelled {
            let stratum = &self.strata[label.stratum];
            let part = parts[label.stratum];
            let residual =
                (label.human - stratum.human_of_labelled) - part * (label.judge - stratum.judge_of_labelled);
            let drawn = match target {
                Target::Process => 1.0,
                Target::TheseInteractions => (1.0 - label.reviewed).max(0.0).sqrt(),
            };
            let share = stratum.weight / self.weight * label.weight / stratum.label_weight;
            totals[self.design.cluster(label.item)] += drawn * share * residual;
        }
        self.design.variance(&totals)
    }

    /// The variance that the labels happen not to show. A judge's error is rare;
    /// so is an answer, where a few labels stand for most interactions. Such an
    /// event comes as likely as its label stands for interactions, so it weighs
    /// Σw³/Σw on average, and more in clusters, where half of the other labels are
    /// taken to share it. Of what the labels alone do not show, Wilson's interval
    /// allows for the part that weights leave alike, Σw²/n.
    fn unseen(&self, parts: &[f64], target: Target) -> f64 {
        let mut sums = vec![[0.0; 3]; self.strata.len()];
        for label in &self.labelled {
            let stratum = &self.strata[label.stratum];
            let share = stratum.weight / self.weight * label.weight / stratum.label_weight;
            let drawn = match target {
                Target::Process => 1.0,
                Target::TheseInteractions => (1.0 - label.reviewed).max(0.0),
            };
            let of_cluster = share * self.clusters[self.design.cluster(label.item)].1 / label.weight;
            let event = drawn * share * (share + of_cluster) / 2.0;
            let sums = &mut sums[label.stratum];
            sums[0] += share;
            sums[1] += event;
            sums[2] += share * event;
        }
        let of_stratum = |((sums, part), stratum): ((&[f64; 3], &f64), &Stratum)| {
            let part = part.clamp(0.0, 1.0);
            let of_event = sums[2] / sums[0];
            let beyond_equal = (of_event - sums[1] / stratum.labels as f64).max(0.0);
            let events = UNSEEN_ERRORS * part.powi(2) * of_event
                + UNSEEN_ANSWERS * (1.0 - part).powi(2) * beyond_equal;
            events * stratum.labels as f64 / self.labelled.len() as f64
        };
        sums.iter().zip(parts).zip(&self.strata).map(of_stratum).sum()
    }
}

impl Stratum {
    /// The judge's variance over the stratum's interactions.
    fn judge_variance(&self) -> f64 {
        if self.items < 2.0 {
            return 0.0;
        }
        self.judge_squares / self.weight * self.items / (self.items - 1.0)
    }
}

fn kish(weights: impl Iterator<Item = f64>) -> f64 {
    let (sum, squares) =
        weights.fold((0.0, 0.0), |(sum, squares), weight| (sum + weight, squares + weight * weight));
    sum * sum / squares
}

#[cfg(test)]
mod tests {
    use super::super::Label;
    use super::*;

    fn near(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() < within, "{found} is not {expected}");
    }

    /// 200 labelled and 3,000 unlabelled interactions, each by itself.
    fn independent() -> Vec<Judged> {
        let three_digits = |value: f64| (value * 1000.0).round() / 1000.0;
        let labelled = (0..200_u32).map(|i| {
            let human = f64::from(u8::from((i * 7) % 10 < 7));
            let seen = f64::from(u8::from((i * 5) % 11 > 1));
            let judge = three_digits(human * seen * 0.75 + f64::from((i * 13) % 29) / 116.0);
            (judge, Some(Label { human, reviewed: Some(200.0 / 3200.0) }))
        });
        let unlabelled = (0..3000_u32).map(|k| {
            let good = f64::from(u8::from((k * 17) % 101 < 62));
            (three_digits(good * 0.7 + f64::from((k * 13) % 37) / 148.0), None)
        });
        labelled
            .chain(unlabelled)
            .zip(0..)
            .map(|((judge, label), cluster)| Judged { judge, label, taken: Some(1.0), cluster, stratum: 0 })
            .collect()
    }

    #[test]
    fn of_independent_labels_it_is_ppi_plus_plus() {
        // ppi_py.ppi_mean_pointestimate(y, f, u) and ppi_mean_ci(…, alpha=0.05), ppi-python 0.2.3;
        // lambda = np.cov(y, f, ddof=0)[0,1] / np.var(concat([f, u]), ddof=1) / (1 + n/N), as there.
        let items = independent();
        let sample = Sample::new(&items);
        let found = sample.estimate(Lambda::Tuned, Target::Process);
        near(found.value, 0.703665382873372, 1e-12);
        near(found.lambda, 0.9832035604538573, 1e-12);
        // Its variance divides by n where this one divides by n − 1, and it takes labelled and
        // unlabelled about their own means.
        let error = sample.variance(&sample.tuned(), Target::Process).sqrt();
        near(error / 0.02254905070033483, 1.0, 1e-3);
    }

    /// 1,200 interactions in clusters of four and two strata, taken with probability
    /// 1 or ½, reviewed with probability 0.4 or 0.2 by the cluster.
    fn designed() -> Vec<Judged> {
        (0..1200_u32)
            .map(|k| {
                let cluster = k / 4;
                let judge =
                    f64::from((k * 7) % 13) / 12.0 * 0.8 + 0.2 * f64::from(u8::from((k * 11) % 5 < 3));
                let judge = (judge * 1000.0).round() / 1000.0;
                let human = f64::from(u8::from(judge + f64::from((k * 29) % 31) / 62.0 > 0.7));
                let reviewed = Some(if cluster % 2 == 0 { 0.4 } else { 0.2 });
                Judged {
                    judge,
                    label: ((cluster * 5) % 7 < 2).then_some(Label { human, reviewed }),
                    taken: Some(if k % 3 == 0 { 1.0 } else { 0.5 }),
                    cluster: u64::from(cluster),
                    stratum: k / 600,
                }
            })
            .collect()
    }

    #[test]
    fn weights_clusters_and_strata_agree_with_an_independent_calculation() {
        // NumPy 2.4.6, for each stratum: theta = sum of share*(yb + l*(Fb - fb)) with Hájek's means,
        // l = cov_w(h, f)/var_v(f); Z = l*v*(f-Fb)/V + share*w*((h-yb) - l*(f-fb))/W summed by cluster;
        // var = sum of G/(G-1)*((Z-Z.mean())**2).sum(); q = share*w/W, e = q*(q + q of the cluster)/2;
        // unseen = l**2*E + 2*(1-l)**2*(E - e.mean()) with E = (q*e).sum()/q.sum(), by the share of labels.
        let items = designed();
        let sample = Sample::new(&items);
        assert_eq!((sample.labels(), sample.design.strata(), sample.design.clusters()), (344, 2, 300));
        near(sample.stands_for(), 1.0725, 1e-12);
        for (lambda, value, part, variance, unseen) in [
            (Lambda::Zero, 0.5804968701095461, 0.0, 0.0005390947423405501, 1.5053322161809745e-05),
            (
                Lambda::Tuned,
                0.5885393310442368,
                0.9840469554546544,
                0.000426390856082604,
                3.147593747811848e-05,
            ),
        ] {
            let found = sample.estimate(lambda, Target::Process);
            near(found.value, value, 1e-12);
            near(found.lambda, part, 1e-12);
            near(found.variance, variance + unseen, 1e-12);
        }
    }

    #[test]
    fn a_case_worked_by_hand() {
        // Two clusters of two labels, weights 1 and 3, one unlabelled cluster; λ = 0.
        // ȳ = (1·(1 + 0) + 3·(1 + 1)) / 8 = 7/8. Totals over W: (1/8 − 7/8)·1/8 … so
        // Z₁ = (1 − 7/4)/8 = −3/32, Z₂ = 3·(2 − 7/4)/8 = 3/32, Z₃ = 0; 3/2 · 2·(3/32)² = 27/1024.
        let item = |cluster, human: Option<f64>, reviewed| Judged {
            judge: 0.5,
            label: human.map(|human| Label { human, reviewed: Some(reviewed) }),
            taken: Some(1.0),
            cluster,
            stratum: 0,
        };
        let third = 1.0 / 3.0;
        let items = [
            item(1, Some(1.0), 1.0),
            item(1, Some(0.0), 1.0),
            item(2, Some(1.0), third),
            item(2, Some(1.0), third),
            item(3, None, 1.0),
        ];
        let sample = Sample::new(&items);
        near(sample.estimate(Lambda::Zero, Target::Process).value, 7.0 / 8.0, 1e-12);
        near(sample.variance(&[0.0], Target::Process), 27.0 / 1024.0, 1e-12);
        // Of these interactions the first cluster was reviewed for certain, and only a share
        // 1 − 1/3 of the second's variance is left: totals 0, √(2/3)·3/32, 0 about their mean.
        let left = 2.0 / 3.0 * (3.0_f64 / 32.0).powi(2);
        near(sample.variance(&[0.0], Target::TheseInteractions), 1.5 * left * (1.0 - third), 1e-12);
        // A judge that says the same of all has no part in the estimate.
        near(sample.estimate(Lambda::Tuned, Target::Process).lambda, 0.0, 1e-12);
    }
}
