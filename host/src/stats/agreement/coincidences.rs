//! Which two answers raters gave to one item, over all pairs of raters: sums
//! from which Krippendorff's alpha follows, and which add up over items.

use super::{Metric, Undefined};

/// A table of k × k answers in which each item counts as much as it has
/// ratings (Krippendorff's coincidence matrix).
#[derive(Debug, Clone, PartialEq)]
pub struct Coincidences {
    levels: usize,
    cells: Vec<f64>,
}

impl Coincidences {
    /// A table of answers 0 to `levels` − 1 whose cells are given row by row.
    ///
    /// # Panics
    /// Where there are not `levels`² cells.
    pub fn from_cells(levels: usize, cells: Vec<f64>) -> Self {
        assert_eq!(cells.len(), levels * levels, "a coincidence matrix is square");
        Self { levels, cells }
    }

    /// Adds an item with the levels that its raters gave to cells as above. An
    /// item with one rating adds nothing.
    pub fn add_to(cells: &mut [f64], levels: usize, ratings: &[usize], weight: f64) {
        if ratings.len() < 2 {
            return;
        }
        let each = weight / (ratings.len() - 1) as f64;
        for (i, one) in ratings.iter().enumerate() {
            for (j, other) in ratings.iter().enumerate() {
                if i != j {
                    cells[one * levels + other] += each;
                }
            }
        }
    }

    /// The share of pairs of ratings that agree.
    pub fn agreement(&self) -> Result<f64, Undefined> {
        let total: f64 = self.cells.iter().sum();
        if total > 0.0 {
            Ok((0..self.levels).map(|level| self.cells[level * self.levels + level]).sum::<f64>() / total)
        } else {
            Err(Undefined::NoItems)
        }
    }

    /// Krippendorff's alpha; between numbers the levels stand for themselves.
    /// Weights must be such that they sum to the number of items.
    pub fn alpha(&self, metric: Metric) -> Result<f64, Undefined> {
        let margins: Vec<f64> =
            self.cells.chunks_exact(self.levels.max(1)).map(|row| row.iter().sum()).collect();
        let n: f64 = margins.iter().sum();
        if n <= 1.0 {
            return Err(Undefined::NoItems);
        }
        let mut below = 0.0;
        let places: Vec<f64> = margins
            .iter()
            .enumerate()
            .map(|(level, margin)| {
                below += margin;
                if metric == Metric::Ordinal { below - margin / 2.0 } else { level as f64 }
            })
            .collect();
        let (mut observed, mut expected) = (0.0, 0.0);
        for one in 0..self.levels {
            for other in 0..self.levels {
                let apart = match metric {
                    Metric::Nominal => f64::from(u8::from(one != other)),
                    Metric::Ordinal | Metric::Interval => (places[one] - places[other]).powi(2),
                };
                observed += apart * self.cells[one * self.levels + other];
                expected += apart * margins[one] * margins[other] / (n - 1.0);
            }
        }
        if expected > 0.0 { Ok(1.0 - observed / expected) } else { Err(Undefined::OneClass) }
    }
}
