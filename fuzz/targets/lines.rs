//! JSON lines: of a reference set, interactions and events.
#![no_main]

use assay::domain::clock::Timestamp;
use assay::domain::interaction::{Answer, Item};
use assay::domain::reference_set::Line;
use assay::ingest::{read_events, read_interactions};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is kept can be read again: a worker has to.
fn keep<T: Serialize + DeserializeOwned>(kept: &T) {
    let text = serde_json::to_string(kept).expect("plain JSON");
    if let Err(error) = serde_json::from_str::<T>(&text) {
        panic!("{error}: {text}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    const NOW: Timestamp = Timestamp(1_577_836_800_000_000);
    if let Ok(line) = std::str::from_utf8(bytes)
        && let Ok(line) = Line::parse(line, 1)
    {
        let (item, answers) = line.into_parts();
        keep::<Item>(&item);
        answers.iter().for_each(|(_, _, answer)| keep::<Answer>(answer));
    }
    for good in read_interactions(bytes, NOW).good {
        keep(&good.origin);
        let (item, answer) = good.sides();
        keep::<Item>(&item);
        keep::<Answer>(&answer);
    }
    read_events(bytes, NOW);
});
