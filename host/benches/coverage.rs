//! Whether corrected quality covers the truth as often as it says, over a grid
//! of sizes, rates, dependence, weights and judges.
//!
//! `cargo xtask bench coverage` runs 4,000 replicates a cell and fails where a
//! cell covers less than 93 % of the time that it answers, or refuses where it must not. Under
//! `cargo test` a few replicates show that it runs.

use std::process::ExitCode;

use assay::stats::{Correction, Interval, Judged, Label, Target, corrected_quality};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

const CONFIDENCE: f64 = 0.95;
/// Nominal coverage is 95 %; an approximation may miss it by this much.
const COVERAGE_MIN: f64 = 0.93;
/// Interactions for each one that is labelled.
const INTERACTIONS_PER_LABEL: usize = 11;
const CORRELATION: f64 = 0.2;
const CLUSTER_SIZE: usize = 5;
/// How much likelier one half of the interactions is to be reviewed.
const WEIGHT_RATIO: f64 = 10.0;

/// One cell of the grid.
#[derive(Clone, Copy)]
struct Cell {
    labels: usize,
    rate: f64,
    dependence: Dependence,
    weights: Weights,
    judge: Judge,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Dependence {
    Independent,
    Clustered,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Weights {
    Equal,
    Unequal,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Judge {
    /// Wrong in 5 %.
    Good,
    /// Says yes to 90 %, whatever the answer.
    Useless,
    /// Wrong in 90 %.
    Adversarial,
}

/// What the replicates of a cell came to.
#[derive(Default)]
struct Tally {
    replicates: u32,
    refused: u32,
    covered: u32,
    width: f64,
    human_only_width: f64,
    judge_only: u32,
    judge_only_covered: u32,
}

impl Tally {
    fn answered(&self) -> u32 {
        self.replicates - self.refused
    }

    fn coverage(&self) -> f64 {
        f64::from(self.covered) / f64::from(self.answered())
    }

    /// An answer must hold when it is given. Where hardly a replicate answers,
    /// the few that do are the ones that chance made look easy, and too few to
    /// say how often they hold; there refusals count as what they are.
    fn passes(&self, cell: Cell) -> bool {
        let refusing_is_forbidden = cell.labels >= 300
            && cell.rate <= 0.8
            && cell.dependence == Dependence::Independent
            && cell.weights == Weights::Equal;
        if refusing_is_forbidden && self.refused > 0 {
            return false;
        }
        let right = f64::from(self.covered + self.refused) / f64::from(self.replicates);
        right >= COVERAGE_MIN && (self.answered() * 10 < self.replicates || self.coverage() >= COVERAGE_MIN)
    }
}

fn main() -> ExitCode {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let sections: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if measured && !sections.is_empty() && !sections.iter().any(|section| section == "coverage") {
        return ExitCode::SUCCESS;
    }
    let replicates = if measured { 4_000 } else { 5 };
    println!(
        "{:>6} {:>5} {:12} {:8} {:12} {:>9} {:>9} {:>8} {:>11} {:>11}",
        "labels",
        "p",
        "dependence",
        "weights",
        "judge",
        "coverage",
        "refused",
        "width",
        "human only",
        "judge only"
    );
    let mut failed = 0;
    for (number, cell) in grid().into_iter().enumerate() {
        let tally = simulate(cell, replicates, number as u64);
        let verdict = if !measured || tally.passes(cell) { "" } else { "  FAILS" };
        failed += u32::from(!verdict.is_empty());
        let answered = f64::from(tally.answered());
        let share = |part: u32, whole: u32| format!("{:.1} %", 100.0 * f64::from(part) / f64::from(whole));
        println!(
            "{:>6} {:>5} {:12} {:8} {:12} {:>9} {:>9} {:>8.4} {:>11.4} {:>11}{verdict}",
            cell.labels,
            cell.rate,
            format!("{:?}", cell.dependence).to_lowercase(),
            format!("{:?}", cell.weights).to_lowercase(),
            format!("{:?}", cell.judge).to_lowercase(),
            share(tally.covered, tally.answered()),
            share(tally.refused, tally.replicates),
            tally.width / answered,
            tally.human_only_width / answered,
            share(tally.judge_only_covered, tally.judge_only),
        );
    }
    if failed > 0 {
        println!("{failed} cells fail");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn grid() -> Vec<Cell> {
    let mut cells = Vec::new();
    for labels in [30, 100, 300, 1000] {
        for rate in [0.5, 0.8, 0.95, 0.99] {
            for dependence in [Dependence::Independent, Dependence::Clustered] {
                for weights in [Weights::Equal, Weights::Unequal] {
                    for judge in [Judge::Good, Judge::Useless, Judge::Adversarial] {
                        cells.push(Cell { labels, rate, dependence, weights, judge });
                    }
                }
            }
        }
    }
    cells
}

fn simulate(cell: Cell, replicates: u32, seed: u64) -> Tally {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut tally = Tally::default();
    let holds = |interval: Interval| interval.low <= cell.rate && cell.rate <= interval.high;
    let mut items = Vec::new();
    for _ in 0..replicates {
        draw(cell, &mut random, &mut items);
        let quality = corrected_quality(&items, Target::Process, CONFIDENCE);
        tally.replicates += 1;
        if let Some(interval) = quality.judge_only.and_then(|judge| judge.interval) {
            tally.judge_only += 1;
            tally.judge_only_covered += u32::from(holds(interval));
        }
        let Correction::Estimated(corrected) = quality.corrected else {
            tally.refused += 1;
            continue;
        };
        tally.covered += u32::from(holds(corrected.interval));
        tally.width += corrected.interval.high - corrected.interval.low;
        let human_only = quality.human_only.and_then(|human| human.interval);
        tally.human_only_width += human_only.map_or(0.0, |interval| interval.high - interval.low);
    }
    tally
}

/// What production and its reviewers might have given. The half that is
/// reviewed more often is also the worse one, so that weights matter.
fn draw(cell: Cell, random: &mut Xoshiro256PlusPlus, items: &mut Vec<Judged>) {
    let size = if cell.dependence == Dependence::Clustered { CLUSTER_SIZE } else { 1 };
    let clusters = cell.labels * INTERACTIONS_PER_LABEL / size;
    let reviewed_on_average = 1.0 / INTERACTIONS_PER_LABEL as f64;
    let apart = cell.rate.min(1.0 - cell.rate) / 2.0;
    items.clear();
    for cluster in 0..clusters as u64 {
        let (rate, reviewed) = match cell.weights {
            Weights::Equal => (cell.rate, reviewed_on_average),
            Weights::Unequal => {
                let seldom = 2.0 * reviewed_on_average / (1.0 + WEIGHT_RATIO);
                match random.random_bool(0.5) {
                    true => (cell.rate - apart, seldom * WEIGHT_RATIO),
                    false => (cell.rate + apart, seldom),
                }
            }
        };
        let is_reviewed = random.random_bool(reviewed);
        let wrong = match cell.judge {
            Judge::Good => 0.05,
            Judge::Useless => 0.1,
            Judge::Adversarial => 0.9,
        };
        let shared = (random.random_bool(rate), random.random_bool(wrong));
        for _ in 0..size {
            let human = alike(shared.0, rate, size, random);
            let is_wrong = alike(shared.1, wrong, size, random);
            let yes = if cell.judge == Judge::Useless { !is_wrong } else { human != is_wrong };
            items.push(Judged {
                judge: f64::from(u8::from(yes)),
                label: is_reviewed
                    .then(|| Label { human: f64::from(u8::from(human)), reviewed: Some(reviewed) }),
                taken: Some(1.0),
                cluster,
                stratum: 0,
            });
        }
    }
}

/// The cluster's value or one of its own, so that two of a cluster correlate as
/// stated.
fn alike(shared: bool, rate: f64, size: usize, random: &mut Xoshiro256PlusPlus) -> bool {
    if size > 1 && random.random_bool(CORRELATION.sqrt()) { shared } else { random.random_bool(rate) }
}
