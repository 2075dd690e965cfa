//! Numeric closeness.

/// How far apart two numbers may be.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// In the numbers' own unit.
    pub absolute: f64,
    /// As a share of the expected number.
    pub relative: f64,
}

impl Tolerance {
    /// Whether `actual` is close to `expected`. What is not finite is close to nothing.
    pub fn holds(self, actual: f64, expected: f64) -> bool {
        actual.is_finite()
            && expected.is_finite()
            && (actual - expected).abs() <= self.absolute.max(self.relative * expected.abs())
    }
}

/// A number as people write it: spaces around it and thousands commas are fine.
pub fn parse(text: &str) -> Option<f64> {
    text.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wider_tolerance_counts_and_the_bound_is_included() {
        let tolerance = Tolerance { absolute: 0.5, relative: 0.1 };
        assert!(tolerance.holds(110.0, 100.0));
        assert!(!tolerance.holds(110.1, 100.0));
        assert!(tolerance.holds(1.5, 1.0));
        assert!(Tolerance { absolute: 0.0, relative: 0.0 }.holds(-3.0, -3.0));
    }

    #[test]
    fn what_is_not_finite_is_close_to_nothing() {
        let wide = Tolerance { absolute: f64::MAX, relative: 1.0 };
        for (one, other) in [(f64::NAN, 1.0), (1.0, f64::NAN), (f64::INFINITY, f64::INFINITY)] {
            assert!(!wide.holds(one, other), "{one} and {other}");
        }
        assert_eq!(parse(" 1,234.5 "), Some(1234.5));
        assert_eq!(parse("about 3"), None);
    }
}
