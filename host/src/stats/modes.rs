//! How common each failure mode is.

use serde::Serialize;

use super::clusters::{Cluster, clustered_proportion};
use super::intervals::Interval;

/// An interaction's part in the shares of failure modes.
#[derive(Debug, Clone, PartialEq)]
pub struct Modes {
    /// The modes it has, by number; none if it failed in no known way.
    pub modes: Vec<usize>,
    /// One over the probability with which it was taken.
    pub weight: f64,
    /// Its user or session, by number from 0.
    pub cluster: usize,
}

/// How many interactions have a failure mode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ModeShare {
    /// Interactions with the mode that were seen.
    pub seen: u64,
    /// The weighted share of interactions with it.
    pub share: f64,
    /// Its own interval; none with too few clusters.
    pub interval: Option<Interval>,
    /// An interval for comparing modes with each other: all of them hold at once
    /// with the confidence asked for (Bonferroni).
    pub simultaneous: Option<Interval>,
    /// The variance over that of independent interactions.
    pub design_effect: f64,
}

/// The share of each of `modes` failure modes, with the interval of
/// [`clustered_proportion`]. An interaction may have several, so shares need
/// not sum to one. None where nothing was observed.
pub fn mode_shares(interactions: &[Modes], modes: usize, confidence: f64) -> Option<Vec<ModeShare>> {
    let clusters = interactions.iter().map(|interaction| interaction.cluster + 1).max()?;
    let mut all = vec![Cluster::default(); clusters];
    for interaction in interactions {
        let cluster = &mut all[interaction.cluster];
        cluster.weight += interaction.weight;
        cluster.n += 1;
    }
    let at_once = 1.0 - (1.0 - confidence) / modes.max(1) as f64;
    let share = |mode: usize| {
        let mut of_mode = all.clone();
        let mut seen = 0;
        for interaction in interactions.iter().filter(|interaction| interaction.modes.contains(&mode)) {
            of_mode[interaction.cluster].successes += interaction.weight;
            seen += 1;
        }
        let alone = clustered_proportion(&of_mode, confidence)?;
        Some(ModeShare {
            seen,
            share: alone.rate,
            interval: alone.interval,
            simultaneous: clustered_proportion(&of_mode, at_once)?.interval,
            design_effect: alone.design_effect,
        })
    };
    (0..modes).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interactions(clusters: usize) -> Vec<Modes> {
        (0..2 * clusters)
            .map(|i| Modes {
                modes: if i % 8 == 0 {
                    vec![0, 2]
                } else if i % 4 == 1 {
                    vec![0]
                } else {
                    Vec::new()
                },
                weight: 1.0 + (i % 2) as f64,
                cluster: i / 2,
            })
            .collect()
    }

    #[test]
    fn each_mode_has_the_share_and_interval_of_a_clustered_proportion() {
        let shares = mode_shares(&interactions(40), 3, 0.95).expect("observed");
        assert_eq!(shares.iter().map(|share| share.seen).collect::<Vec<_>>(), [30, 0, 10]);
        // Of a total weight of 120 the first mode has 10·1 + 20·2.
        assert!(
            (shares[0].share - 50.0 / 120.0).abs() < 1e-12 && (shares[2].share - 10.0 / 120.0).abs() < 1e-12
        );
        // A mode that was not seen is not known to be absent.
        let unseen = shares[1].interval.expect("enough clusters");
        assert!(shares[1].share == 0.0 && unseen.low == 0.0 && unseen.high > 0.05, "{unseen:?}");
        for share in &shares {
            let (alone, all) = (share.interval.expect("clusters"), share.simultaneous.expect("clusters"));
            assert!(all.low <= alone.low && all.high > alone.high, "{share:?}");
        }
    }

    #[test]
    fn few_clusters_carry_no_interval_and_nothing_has_no_share() {
        let few = mode_shares(&interactions(19), 3, 0.95).expect("observed");
        assert!(few.iter().all(|share| share.interval.is_none() && share.simultaneous.is_none()));
        assert_eq!(mode_shares(&[], 3, 0.95), None);
    }
}
