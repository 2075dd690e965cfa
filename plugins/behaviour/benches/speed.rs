//! Time of a session of five interactions, natively.

use std::hint::black_box;
use std::time::Instant;

use assay_plugin::prelude::*;
use assay_plugin_behaviour::plugin::extract_batch;

const SESSIONS: usize = 256;
const ROUNDS: usize = 51;

/// Five queries of about 60 characters, of which two are alike, and two events.
fn session(index: usize) -> Session {
    let queries = [
        format!("How do I reset the password of account number {index}?"),
        format!("reset password account number {index}, I cannot find where"),
        "Which of my devices do I have to sign in to again after that?".into(),
        "And what happens to the invoices that were sent to the old address?".into(),
        "Please write a short message to my team about the change".into(),
    ];
    let interactions = queries.into_iter().enumerate().map(|(at, query)| {
        Interaction::new(query, "An answer.").with_id(at.to_string()).at(at as i64 * 30_000_000, 2_000_000)
    });
    Session::new(interactions)
        .with_events([Event::new("copied", 65_000_000), Event::new("rated", 66_000_000).with_value("true")])
}

fn main() {
    let sessions: Vec<_> = (0..SESSIONS).map(session).collect();
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            black_box(extract_batch("{}", black_box(&sessions)));
            started.elapsed()
        })
        .collect();
    times.sort();
    let median_us = times[ROUNDS / 2].as_secs_f64() * 1e6 / SESSIONS as f64;
    println!("a session of five interactions: {median_us:.1} µs (median of {ROUNDS} batches of {SESSIONS})");
}
