//! A calibration in a sentence.

use super::super::intervals::Interval;
use super::{Agreement, Figure, Scale};

/// What the figures come to, in plain words, for those who do not know them.
pub fn in_words(agreement: &Agreement, scale: Scale) -> String {
    match scale {
        Scale::YesNo | Scale::Category { .. } => of_categories(agreement, agreement.kappa, "kappa"),
        Scale::Ordinal { .. } => of_categories(agreement, agreement.kappa_quadratic, "quadratic kappa"),
        Scale::Number => of_numbers(agreement),
    }
}

fn of_categories(agreement: &Agreement, kappa: Option<Figure>, name: &str) -> String {
    let accuracy = agreement.accuracy.and_then(|figure| figure.value()).unwrap_or(f64::NAN);
    let same = format!("the same in {} of cases", percent(accuracy));
    match kappa {
        None | Some(Figure::Undefined { .. }) => format!(
            "whether the judge agrees with people beyond chance cannot be said, because both gave one and the \
             same answer throughout: they say {same}, and kappa is undefined"
        ),
        Some(Figure::WithoutInterval { value, reason }) => {
            format!("judge and people say {same}: {name} {value:.2}, of which the error is unknown: {reason}")
        }
        Some(Figure::Known { value, interval }) => {
            let how = if interval.low <= 0.0 && interval.high >= 0.0 {
                "agrees with people no more than chance would"
            } else if interval.high < 0.0 {
                "agrees with people less than chance would"
            } else {
                strength(interval.low)
            };
            let mut words = format!(
                "the judge {how}: {name} {}, at accuracy {accuracy:.2}",
                with_interval(value, interval)
            );
            if let Some((value, share)) = commonest(agreement).filter(|(_, share)| *share >= 0.8) {
                let answer = if agreement.prevalence.as_ref().is_some_and(|shares| shares.len() == 2) {
                    ["bad", "good"][value].to_owned()
                } else {
                    format!("of value {value}")
                };
                let because = if accuracy > 0.5 && interval.low < 0.6 { "because" } else { "where" };
                words.push_str(&format!(" {because} {} of answers are {answer}", percent(share)));
            }
            words
        }
    }
}

fn of_numbers(agreement: &Agreement) -> String {
    let bias = match agreement.bias {
        Some(Figure::Known { value, interval }) if interval.low > 0.0 => {
            format!("higher by {value:.2} on average")
        }
        Some(Figure::Known { value, interval }) if interval.high < 0.0 => {
            format!("lower by {:.2} on average", -value)
        }
        Some(Figure::Known { .. }) => "neither higher nor lower on average, as far as can be seen".to_owned(),
        _ => "by how much on average is unknown".to_owned(),
    };
    match agreement.spearman {
        Some(Figure::Known { value, interval }) => {
            let how = if interval.low <= 0.0 && interval.high >= 0.0 {
                "does not order answers as people do"
            } else if interval.high < 0.0 {
                "orders answers the other way round than people do"
            } else if interval.low >= 0.6 {
                "orders answers much as people do"
            } else {
                "orders answers somewhat as people do"
            };
            format!(
                "the judge {how}: rank correlation {}; its scores are {bias}",
                with_interval(value, interval)
            )
        }
        Some(Figure::WithoutInterval { value, reason }) => {
            format!(
                "judge and people have a rank correlation of {value:.2}, of which the error is \
                 unknown: {reason}"
            )
        }
        None | Some(Figure::Undefined { .. }) => format!(
            "whether the judge orders answers as people do cannot be said, because one of them gave the same \
             value throughout; its scores are {bias}"
        ),
    }
}

/// By the lower end: what is safe to say (bands of Landis & Koch 1977, Biometrics 33:159–174).
fn strength(low: f64) -> &'static str {
    match low {
        low if low >= 0.8 => "agrees with people almost always",
        low if low >= 0.6 => "agrees with people well",
        low if low >= 0.4 => "agrees with people moderately",
        _ => "agrees with people a little more than chance would",
    }
}

fn commonest(agreement: &Agreement) -> Option<(usize, f64)> {
    let shares = agreement.prevalence.as_ref()?;
    shares.iter().copied().enumerate().max_by(|one, other| one.1.total_cmp(&other.1))
}

fn with_interval(value: f64, interval: Interval) -> String {
    format!("{value:.2} [{:.2}, {:.2}]", interval.low, interval.high)
}

/// Whole, but never all or nothing where it is not.
fn percent(share: f64) -> String {
    let whole = (100.0 * share).round();
    if (whole == 100.0 && share < 1.0) || (whole == 0.0 && share > 0.0) {
        format!("{:.2} %", 100.0 * share)
    } else {
        format!("{whole} %")
    }
}
