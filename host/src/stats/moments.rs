//! Mean and variance of values that come in parts.

/// How many values, their mean, and the sum of their squared distances from it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// How many.
    pub n: u64,
    /// Their mean; 0 of none.
    pub mean: f64,
    /// Sum of squared distances from the mean.
    pub squares: f64,
}

impl Moments {
    /// Adds a value (Welford 1962, Technometrics 4:419–420).
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        let before = value - self.mean;
        self.mean += before / self.n as f64;
        self.squares += before * (value - self.mean);
    }

    /// Adds what another has seen (Chan, Golub & LeVeque 1983, The American
    /// Statistician 37:242–247).
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let (here, there) = (self.n as f64, other.n as f64);
        let between = other.mean - self.mean;
        self.n += other.n;
        self.mean += between * there / (here + there);
        self.squares += other.squares + between * between * here * there / (here + there);
    }

    /// The unbiased estimate; none of fewer than two.
    pub fn variance(&self) -> Option<f64> {
        (self.n > 1).then(|| self.squares / (self.n - 1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_numpy_alone_and_in_parts() {
        let values: Vec<f64> = (0..97_u32).map(|i| 1e9 + f64::from(i * i % 89) * 0.25).collect();
        let mut whole = Moments::default();
        values.iter().for_each(|value| whole.add(*value));
        let mut parts = Moments::default();
        for part in values.chunks(13) {
            let mut moments = Moments::default();
            part.iter().for_each(|value| moments.add(*value));
            parts.merge(&moments);
        }
        parts.merge(&Moments::default());
        // NumPy 2.4.6: v = 1e9 + (np.arange(97)**2 % 89) * 0.25; v.mean(), v.var(ddof=1).
        for found in [whole, parts] {
            assert_eq!(found.n, 97);
            assert!((found.mean - MEAN).abs() < 1e-6, "{}", found.mean);
            assert!((found.variance().expect("many") - VARIANCE).abs() < 1e-6, "{found:?}");
        }
        assert_eq!(Moments { n: 1, mean: 3.0, squares: 0.0 }.variance(), None);
    }

    const MEAN: f64 = 1_000_000_010.453_608_3;
    const VARIANCE: f64 = 49.073_346_219_931_27;
}
