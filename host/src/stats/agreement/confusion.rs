//! How often two raters gave which two answers, and what follows: accuracy,
//! prevalence, kappa.

use super::Undefined;

/// What a disagreement costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KappaWeights {
    /// Each the same: categories without an order.
    Unweighted,
    /// Its distance on the scale.
    Linear,
    /// Its distance squared.
    Quadratic,
}

impl KappaWeights {
    fn cost(self, row: usize, column: usize) -> f64 {
        let distance = row.abs_diff(column) as f64;
        match self {
            Self::Unweighted => f64::from(u8::from(row != column)),
            Self::Linear => distance,
            Self::Quadratic => distance * distance,
        }
    }
}

/// A table of k × k answers: rows are the human's, columns the judge's, cells
/// sums of weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    categories: usize,
    cells: Vec<f64>,
}

impl Confusion {
    /// An empty table of this many categories.
    pub fn new(categories: usize) -> Self {
        Self { categories, cells: vec![0.0; categories * categories] }
    }

    /// A table whose cells are given row by row.
    ///
    /// # Panics
    /// Where there are not `categories`² cells.
    pub fn from_cells(categories: usize, cells: Vec<f64>) -> Self {
        assert_eq!(cells.len(), categories * categories, "a confusion matrix is square");
        Self { categories, cells }
    }

    /// Counts an item with its weight.
    pub fn add(&mut self, human: usize, judge: usize, weight: f64) {
        self.cells[human * self.categories + judge] += weight;
    }

    /// How many categories there are.
    pub fn categories(&self) -> usize {
        self.categories
    }

    /// The weight of one pair of answers.
    pub fn cell(&self, human: usize, judge: usize) -> f64 {
        self.cells[human * self.categories + judge]
    }

    /// Rows of cells, the human's answer by row.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.cells.chunks_exact(self.categories.max(1))
    }

    /// The sum of all weights.
    pub fn total(&self) -> f64 {
        self.cells.iter().sum()
    }

    /// The weight of items to which the human gave this answer.
    pub fn human(&self, category: usize) -> f64 {
        (0..self.categories).map(|judge| self.cell(category, judge)).sum()
    }

    /// The weight of items to which the judge gave this answer.
    pub fn judge(&self, category: usize) -> f64 {
        (0..self.categories).map(|human| self.cell(human, category)).sum()
    }

    /// The share of items on which both agree.
    pub fn accuracy(&self) -> Result<f64, Undefined> {
        let total = self.total();
        if total > 0.0 {
            let both: f64 = (0..self.categories).map(|category| self.cell(category, category)).sum();
            Ok((both / total).min(1.0))
        } else {
            Err(Undefined::NoItems)
        }
    }

    /// The share of agreement that would be there if both answered as often as
    /// they do, each without regard to the item.
    pub fn chance_agreement(&self) -> Result<f64, Undefined> {
        let total = self.total();
        if total > 0.0 {
            let both: f64 =
                (0..self.categories).map(|category| self.human(category) * self.judge(category)).sum();
            Ok(both / (total * total))
        } else {
            Err(Undefined::NoItems)
        }
    }

    /// The share of items to which the human gave each answer.
    pub fn prevalence(&self) -> Result<Vec<f64>, Undefined> {
        let total = self.total();
        if total > 0.0 {
            Ok((0..self.categories).map(|category| self.human(category) / total).collect())
        } else {
            Err(Undefined::NoItems)
        }
    }

    /// Agreement beyond chance: 1 − Σ d·observed / Σ d·expected, where d is what a
    /// disagreement costs (Cohen 1960, Educational and Psychological Measurement
    /// 20:37–46; with weights Cohen 1968, Psychological Bulletin 70:213–220).
    pub fn kappa(&self, weights: KappaWeights) -> Result<f64, Undefined> {
        let total = self.total();
        if total <= 0.0 {
            return Err(Undefined::NoItems);
        }
        let humans: Vec<f64> = (0..self.categories).map(|category| self.human(category)).collect();
        let judges: Vec<f64> = (0..self.categories).map(|category| self.judge(category)).collect();
        let (mut observed, mut expected) = (0.0, 0.0);
        for (human, of_human) in humans.iter().enumerate() {
            for (judge, of_judge) in judges.iter().enumerate() {
                let cost = weights.cost(human, judge);
                observed += cost * self.cell(human, judge);
                expected += cost * of_human * of_judge / total;
            }
        }
        if expected > 0.0 { Ok(1.0 - observed / expected) } else { Err(Undefined::OneClass) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// i = arange(60); h = (i*7+3)%5*(i%3)//2 % 4; j = (h + ((i*11)%13<3)) % 4; w = 1 + i%3*0.75.
    fn table(weight: impl Fn(usize) -> f64) -> Confusion {
        let mut table = Confusion::new(4);
        for i in 0..60 {
            let human = (i * 7 + 3) % 5 * (i % 3) / 2 % 4;
            table.add(human, (human + usize::from((i * 11) % 13 < 3)) % 4, weight(i));
        }
        table
    }

    #[test]
    fn kappa_and_accuracy_agree_with_scikit_learn() {
        // sklearn.metrics.cohen_kappa_score(h, j, weights=…, sample_weight=…) and accuracy_score,
        // scikit-learn 1.9.1.
        let plain = table(|_| 1.0);
        let weighted = table(|i| 1.0 + (i % 3) as f64 * 0.75);
        for (kind, unweighted, with_weights) in [
            (KappaWeights::Unweighted, 0.6373056994818653, 0.6923152903990517),
            (KappaWeights::Linear, 0.7707423580786026, 0.8107801648207018),
            (KappaWeights::Quadratic, 0.8813559322033898, 0.904280490428049),
        ] {
            for (table, expected) in [(&plain, unweighted), (&weighted, with_weights)] {
                let found = table.kappa(kind).expect("several classes");
                assert!((found - expected).abs() < 1e-12, "{kind:?}: {found} is not {expected}");
            }
        }
        assert!((plain.accuracy().expect("items") - 0.766_666_666_666_666_7).abs() < 1e-12);
        assert!((weighted.accuracy().expect("items") - 0.788_095_238_095_238_1).abs() < 1e-12);
    }

    #[test]
    fn kappa_of_one_class_is_undefined_and_not_a_number() {
        let mut table = Confusion::new(2);
        assert_eq!(table.kappa(KappaWeights::Unweighted), Err(Undefined::NoItems));
        assert_eq!(table.accuracy(), Err(Undefined::NoItems));
        table.add(1, 1, 3.0);
        assert_eq!(table.kappa(KappaWeights::Unweighted), Err(Undefined::OneClass));
        assert_eq!(table.accuracy(), Ok(1.0));
        // Where only one rater varies there is a chance to agree by, and no more agreement than that.
        table.add(0, 1, 1.0);
        assert_eq!(table.kappa(KappaWeights::Unweighted), Ok(0.0));
        assert_eq!(table.prevalence(), Ok(vec![0.25, 0.75]));
    }

    #[test]
    fn the_same_weight_for_all_changes_nothing() {
        let (one, seven) = (table(|_| 1.0), table(|_| 7.0));
        for kind in [KappaWeights::Unweighted, KappaWeights::Linear, KappaWeights::Quadratic] {
            let (one, seven) = (one.kappa(kind).expect("defined"), seven.kappa(kind).expect("defined"));
            assert!((one - seven).abs() < 1e-12, "{kind:?}");
        }
    }
}
