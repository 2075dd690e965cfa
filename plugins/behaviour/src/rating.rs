//! What a `rated` event's value means.

use crate::config::Scale;

/// A rating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rating {
    /// In [-1, 1].
    Given(f64),
    /// The user took it back: JSON `null`, or no value at all.
    Withdrawn,
}

/// Reads a value; none where it is no rating on the scale.
pub fn rating(value_json: Option<&str>, scale: Option<&Scale>) -> Option<Rating> {
    let given = match serde_json::from_str(value_json.unwrap_or("null")).ok()? {
        serde_json::Value::Null => return Some(Rating::Withdrawn),
        serde_json::Value::Bool(up) => {
            if up {
                1.0
            } else {
                -1.0
            }
        }
        serde_json::Value::String(word) if word.eq_ignore_ascii_case("up") => 1.0,
        serde_json::Value::String(word) if word.eq_ignore_ascii_case("down") => -1.0,
        serde_json::Value::Number(number) => {
            let (worst, best) = scale.map_or((-1.0, 1.0), |scale| (scale.worst, scale.best));
            let share = (number.as_f64()? - worst) / (best - worst);
            if !(0.0..=1.0).contains(&share) {
                return None;
            }
            2.0 * share - 1.0
        }
        _ => return None,
    };
    Some(Rating::Given(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(scale: Option<Scale>, cases: &[(&str, Option<Rating>)]) {
        for (value, expected) in cases {
            assert_eq!(rating(Some(value), scale.as_ref()), *expected, "{value}");
        }
    }

    #[test]
    fn words_yes_and_no_and_numbers_from_minus_one_to_one_are_ratings() {
        let given = |value| Some(Rating::Given(value));
        on(
            None,
            &[
                ("true", given(1.0)),
                ("false", given(-1.0)),
                ("\"up\"", given(1.0)),
                ("\"Down\"", given(-1.0)),
                ("-1", given(-1.0)),
                ("0.5", given(0.5)),
                ("null", Some(Rating::Withdrawn)),
                ("5", None),
                ("\"fine\"", None),
                ("[1]", None),
                ("nonsense", None),
            ],
        );
        assert_eq!(rating(None, None), Some(Rating::Withdrawn));
    }

    #[test]
    fn numbers_lie_on_the_configured_scale_whichever_way_it_goes() {
        let given = |value| Some(Rating::Given(value));
        let stars = Scale { worst: 1.0, best: 5.0 };
        on(
            Some(stars),
            &[("1", given(-1.0)), ("3", given(0.0)), ("5", given(1.0)), ("0", None), ("true", given(1.0))],
        );
        let grades = Scale { worst: 6.0, best: 1.0 };
        on(Some(grades), &[("1", given(1.0)), ("6", given(-1.0)), ("7", None)]);
    }
}
