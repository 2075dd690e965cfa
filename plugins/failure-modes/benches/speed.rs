//! Time of one interaction, natively.

use std::hint::black_box;
use std::time::Instant;

use assay_plugin::prelude::*;
use assay_plugin::{Message, Role};
use assay_plugin_failure_modes::plugin::classify_batch;

const ITEMS: usize = 256;
const ROUNDS: usize = 51;

/// A query of 80 characters, an answer of about 1,000 and a system message of
/// about 600.
fn item(index: usize) -> Interaction {
    let sentence =
        |at: usize| format!("Sentence {at} of answer {index} says where the parcel is and when it comes. ");
    let rule = |at: usize| format!("Rule {at}: be short, be kind, and never promise a day of delivery. ");
    let query =
        format!("Where is my parcel number {index}, and when will it come to the address that I gave?");
    let mut item = Interaction::new(query, (0..15).map(sentence).collect::<String>());
    item.history = vec![Message::new(Role::System, (0..9).map(rule).collect::<String>())];
    item.finish_reason = Some("stop".into());
    item
}

fn main() {
    let items: Vec<_> = (0..ITEMS).map(item).collect();
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            black_box(classify_batch("{}", black_box(&items)));
            started.elapsed()
        })
        .collect();
    times.sort();
    let median_us = times[ROUNDS / 2].as_secs_f64() * 1e6 / ITEMS as f64;
    println!("an interaction: {median_us:.1} µs (median of {ROUNDS} batches of {ITEMS})");
}
