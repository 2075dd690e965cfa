//! How often the modes are seen in 4,507 answers of a real model to real
//! queries. The data has no finish reasons, so ends are judged as they stand.
//! What was found was read by hand; the README has the figures.

use std::collections::BTreeMap;

use assay_plugin::prelude::*;
use assay_plugin_failure_modes::plugin::classify_batch;

#[test]
fn real_answers_raise_few_alarms() {
    let Some(folder) = std::env::var_os("ASSAY_REAL_DATA") else {
        eprintln!("skipped: ASSAY_REAL_DATA is not set");
        return;
    };
    let path = std::path::Path::new(&folder).join("halueval-general/general_data.json");
    let text = std::fs::read_to_string(path).expect("the data is readable");
    let items: Vec<_> = text
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
            let text = |key: &str| row[key].as_str().expect("a text").to_owned();
            Interaction::new(text("user_query"), text("chatgpt_response")).with_id(text("ID"))
        })
        .collect();
    assert_eq!(items.len(), 4507);
    let mut counts = BTreeMap::<String, u32>::new();
    let mut sure_refusals = 0;
    for (item, labels) in items.iter().zip(classify_batch("{}", &items)) {
        for label in labels.expect("labelled") {
            sure_refusals += u32::from(label.failure_mode == "refusal" && label.confidence >= 0.7);
            let quote = label.evidence.first().map(|evidence| evidence.quote.as_str()).unwrap_or_default();
            eprintln!("{} {:.2} {}: {quote:?}", label.failure_mode, label.confidence, item.id);
            *counts.entry(label.failure_mode).or_default() += 1;
        }
    }
    eprintln!("{counts:?}, {sure_refusals} refusals of 0.7 or more");
    let expected = [("refusal", 249), ("truncated", 38), ("wrong_language", 2)];
    assert_eq!(counts, expected.map(|(mode, count)| (mode.to_owned(), count)).into());
    assert_eq!(sure_refusals, 84);
}
