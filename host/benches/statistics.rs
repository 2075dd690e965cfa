//! How long the statistics of calibration take, as a ratio against their
//! limits. Not a timed test: under `cargo test` it runs once with little data.

use std::hint::black_box;
use std::time::Instant;

use assay::stats::{Bootstrap, Design, Pair, Resampling, Scale, calibration};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let parts = if measured { 1 } else { 100 };
    let resampling = Resampling { replicates: 2000 / parts, ..Resampling::default() };
    bootstrap(100_000 / parts, 1000 / parts);
    for (name, scale) in [
        ("yes or no", Scale::YesNo),
        ("5 levels", Scale::Ordinal { levels: 5 }),
        ("10 categories", Scale::Category { categories: 10 }),
        ("number", Scale::Number),
    ] {
        report(&format!("calibration of {} pairs, {name}", 50_000 / parts), 1.0, || {
            let pairs = pairs(50_000 / parts, scale);
            let started = Instant::now();
            let found = calibration(black_box(&pairs), scale, resampling);
            black_box(found.expect("pairs are on the scale"));
            started.elapsed().as_secs_f64()
        });
    }
}

/// The best of three: what else the machine does only adds to it.
fn report(what: &str, limit_s: f64, mut round: impl FnMut() -> f64) {
    let seconds = (0..3).map(|_| round()).fold(f64::INFINITY, f64::min);
    let ratio = seconds / limit_s;
    let verdict = if ratio <= 1.0 { "within" } else { "OVER" };
    println!("{what:58} {seconds:>10.3} s        limit {limit_s:>8.2}  ratio {ratio:.2} {verdict}");
}

fn bootstrap(scores: usize, replicates: usize) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let values: Vec<f64> = (0..scores).map(|_| random.random::<f64>().powi(3)).collect();
    report(&format!("bootstrap of the mean of {scores} scores, {replicates} replicates"), 0.5, || {
        let started = Instant::now();
        let design = Design::new((0..scores as u64).map(|cluster| (0, cluster)));
        let add = |item: usize, row: &mut [f64]| {
            row[0] += 1.0;
            row[1] += values[item];
        };
        let bootstrap = Bootstrap::new(&design, 2, add, replicates, 1);
        let interval = bootstrap.interval(|sums| Some(sums[1] / sums[0]), 0.95);
        black_box(interval.expect("scores vary"));
        started.elapsed().as_secs_f64()
    });
}

/// Pairs of three classes with weights from 1 to 10, two in a cluster, from four strata.
fn pairs(count: usize, scale: Scale) -> Vec<Pair> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(2);
    let levels = match scale {
        Scale::YesNo => 2.0,
        Scale::Category { categories } => categories as f64,
        Scale::Ordinal { levels } => levels as f64,
        Scale::Number => 0.0,
    };
    let pair = |index: usize| {
        let human = random.random::<f64>();
        let judge = if random.random_bool(0.8) { human } else { random.random() };
        let value = |share: f64| if levels > 0.0 { (share * levels).floor() } else { share };
        Pair {
            judge: value(judge),
            human: value(human),
            weight: 1.0 + 9.0 * random.random::<f64>(),
            cluster: index as u64 / 2,
            stratum: index as u32 % 4,
            class: index as u32 % 3,
        }
    };
    (0..count).map(pair).collect()
}
