//! Many tests at once.

/// Probabilities adjusted so that one below α among them all is a false alarm
/// with probability α at most, however the tests depend on each other (Holm 1979,
/// Scandinavian Journal of Statistics 6:65–70). In the order given.
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
    let mut adjusted = vec![0.0; probabilities.len()];
    let mut largest: f64 = 0.0;
    for (place, index) in order.iter().enumerate() {
        largest = largest.max(probabilities[*index] * (probabilities.len() - place) as f64).min(1.0);
        adjusted[*index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_statsmodels() {
        // statsmodels.stats.multitest.multipletests(p, method="holm")[1], statsmodels 0.15.0.
        let found = holm(&[0.01, 0.04, 0.03, 0.005, 0.8, 0.03]);
        for (value, expected) in found.iter().zip([0.05, 0.12, 0.12, 0.03, 0.8, 0.12]) {
            assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
        }
        assert!(holm(&[]).is_empty());
        assert_eq!(holm(&[0.3]), [0.3]);
    }
}
