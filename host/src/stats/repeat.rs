//! Whether a judge says the same again: several fresh answers to each item.

use serde::Serialize;

use super::intervals::{Interval, wilson};

/// How much of a judge's answers is chance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Repeatability {
    /// Items with at least two answers.
    pub items: u64,
    /// Answers to them.
    pub answers: u64,
    /// The share of items whose verdict is not the same each time.
    pub flip_rate: f64,
    /// Its interval, for independent items. The rate grows with the number of
    /// answers to each item.
    pub flip_rate_interval: Interval,
    /// The probability that two answers to one item give different verdicts; it
    /// does not depend on how often each was asked.
    pub disagreement: f64,
    /// The variance of answers to one item.
    pub variance_within: f64,
    /// The variance of what items would get on average, 0 where the estimate is negative.
    pub variance_between: f64,
    /// The share of the variance of single answers that is the judge's own chance,
    /// 1 − ICC(1); none where all answers are the same.
    pub chance_share: Option<f64>,
}

/// Why nothing can be said of repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRepeats {
    /// Fewer than two items that were answered twice.
    #[error("fewer than two items have two answers")]
    TooFew,
    /// The level is not a probability strictly between 0 and 1.
    #[error("the confidence is not between 0 and 1")]
    Confidence,
}

/// What fresh answers to each item say of the judge. A verdict is whatever of an
/// answer is compared, such as whether it passes; `verdict` gives it.
///
/// The variances are those of the one-way analysis with random items (Fisher 1925;
/// Searle, Casella & McCulloch 1992, Variance Components, §3.6 for unequal
/// numbers), the share is one less ICC(1) (Shrout & Fleiss 1979,
/// Psychological Bulletin 86:420–428). Items with one answer are left out.
pub fn repeatability<V: PartialEq>(
    items: &[Vec<f64>],
    verdict: impl Fn(f64) -> V,
    confidence: f64,
) -> Result<Repeatability, NoRepeats> {
    let repeated: Vec<&Vec<f64>> = items.iter().filter(|answers| answers.len() > 1).collect();
    if repeated.len() < 2 {
        return Err(NoRepeats::TooFew);
    }
    let (mut flips, mut apart, mut answers, mut sum) = (0, 0.0, 0.0, 0.0);
    let (mut squares_within, mut squares_of_sizes) = (0.0, 0.0);
    let mut means = Vec::with_capacity(repeated.len());
    for item in &repeated {
        let m = item.len() as f64;
        let verdicts: Vec<V> = item.iter().map(|answer| verdict(*answer)).collect();
        flips += u64::from(verdicts.iter().any(|other| *other != verdicts[0]));
        let different = |i: usize| verdicts[..i].iter().filter(|other| **other != verdicts[i]).count();
        let pairs: usize = (1..verdicts.len()).map(different).sum();
        apart += pairs as f64 / (m * (m - 1.0) / 2.0);
        let mean = item.iter().sum::<f64>() / m;
        squares_within += item.iter().map(|answer| (answer - mean).powi(2)).sum::<f64>();
        answers += m;
        sum += m * mean;
        squares_of_sizes += m * m;
        means.push((m, mean));
    }
    let k = repeated.len() as f64;
    let mean = sum / answers;
    let within = squares_within / (answers - k);
    let between: f64 = means.iter().map(|(m, of_item)| m * (of_item - mean).powi(2)).sum::<f64>() / (k - 1.0);
    let size = (answers - squares_of_sizes / answers) / (k - 1.0);
    let variance_between = ((between - within) / size).max(0.0);
    let total = variance_between + within;
    Ok(Repeatability {
        items: repeated.len() as u64,
        answers: answers as u64,
        flip_rate: flips as f64 / k,
        flip_rate_interval: wilson(flips, repeated.len() as u64, confidence)
            .map_err(|_| NoRepeats::Confidence)?,
        disagreement: apart / k,
        variance_within: within,
        variance_between,
        // What rounding leaves of no variance is none.
        chance_share: (total > 1e-24 * mean * mean).then(|| within / total),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_an_independent_calculation() {
        // Y = [[((t*t*3)%17) + ((t*5+r*7)%6) for r in range(4)] for t in range(30)]; NumPy 2.4.6 for
        // the rates with V = Y > 12; 1 - pingouin.intraclass_corr(…) "ICC(1,1)", pingouin 0.7.0.
        let items: Vec<Vec<f64>> = (0..30_u32)
            .map(|t| (0..4).map(|r| f64::from((t * t * 3) % 17 + (t * 5 + r * 7) % 6)).collect())
            .collect();
        let found = repeatability(&items, |answer| answer > 12.0, 0.95).expect("enough");
        assert_eq!((found.items, found.answers), (30, 120));
        for (value, expected) in [
            (found.flip_rate, 0.3),
            (found.disagreement, 0.1722222222222222),
            (found.variance_within, 3.3333333333333344),
            (found.variance_between, 16.713793103448275),
            (found.chance_share.expect("varies"), 1.0 - 0.8337251304397684),
        ] {
            assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
        }
        assert_eq!(found.flip_rate_interval, wilson(9, 30, 0.95).expect("valid"));
    }

    #[test]
    fn a_judge_that_always_says_the_same_is_no_chance_and_one_answer_says_nothing() {
        let same = repeatability(&[vec![0.5, 0.5], vec![0.5; 3], vec![0.9]], |answer| answer > 0.4, 0.95);
        let same = same.expect("two items");
        assert_eq!((same.items, same.answers, same.flip_rate, same.chance_share), (2, 5, 0.0, None));
        let sure = repeatability(&[vec![0.0, 0.0], vec![1.0, 1.0]], |answer| answer > 0.4, 0.95);
        assert_eq!(sure.expect("two items").chance_share, Some(0.0));
        // Items that are alike but for chance: nothing lies between them.
        let noise = repeatability(&[vec![0.0, 1.0], vec![1.0, 0.0]], |answer| answer > 0.4, 0.95);
        let noise = noise.expect("two items");
        assert_eq!((noise.variance_between, noise.chance_share, noise.disagreement), (0.0, Some(1.0), 1.0));
        for too_few in [vec![], vec![vec![1.0, 0.0]], vec![vec![1.0], vec![0.0]]] {
            assert_eq!(repeatability(&too_few, |answer| answer > 0.4, 0.95), Err(NoRepeats::TooFew));
        }
    }
}
