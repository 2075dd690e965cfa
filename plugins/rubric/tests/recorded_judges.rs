//! The verdicts that three models gave on 100 pairs of answers in both orders
//! (LLMBar, the set "Natural") come out of the plugin as its publishers counted
//! them: right in each order, right in both, and the same in both.

use std::path::Path;

use assay_plugin::Role;
use assay_plugin::judge::{Answer, Reply, Request};
use assay_plugin::prelude::*;
use assay_plugin_rubric::plugin::score_batch;
use serde_json::{Value as Json, json};

const CONFIG: &str = r#"{"profile":"recorded","mode":"pairwise","criteria":[
    {"name":"better","question":"Which follows the instruction better?","evidence":"none"}]}"#;

fn read(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).expect("the data is readable")).expect("JSON")
}

/// The recorded verdict of the pair and the order that a request shows.
fn verdict(pairs: &[Json], request: &Request) -> String {
    let shown: Json = serde_json::from_str(&request.text_of(Role::User)).expect("JSON");
    let pair = pairs
        .iter()
        .find(|pair| {
            let outputs = [&pair["output_1"], &pair["output_2"]];
            pair["input"] == shown["query"]
                && outputs.contains(&&shown["first"])
                && outputs.contains(&&shown["second"])
        })
        .expect("a recorded pair");
    let is_in_order = pair["output_1"] == shown["first"];
    let order = if is_in_order { "swap = False" } else { "swap = True" };
    let better = match (pair["results"][0][order]["winner"].as_str(), is_in_order) {
        (Some("1"), true) | (Some("2"), false) => "first",
        (Some("1"), false) | (Some("2"), true) => "second",
        other => panic!("{other:?}"),
    };
    json!({"better": {"reason": "recorded", "better": better}}).to_string()
}

fn value(scores: &[Score], output: &str) -> f64 {
    match scores.iter().find(|score| score.output == output).expect(output).value {
        Value::Number(value) => value,
        Value::Boolean(yes) => f64::from(u8::from(yes)),
        Value::Category(_) => panic!("{output}"),
    }
}

#[test]
fn three_recorded_judges_have_their_published_figures() {
    let Some(folder) = std::env::var_os("ASSAY_REAL_DATA") else {
        eprintln!("skipped: ASSAY_REAL_DATA is not set");
        return;
    };
    for judge_name in ["ChatGPT", "GPT-4", "LLaMA2"] {
        let folder = Path::new(&folder).join("llmbar-natural").join(judge_name);
        let pairs: Vec<Json> = read(&folder.join("result.json")).as_array().expect("a list").clone();
        let items: Vec<_> = pairs
            .iter()
            .map(|pair| {
                let text = |key: &str| pair[key].as_str().expect("a text");
                Interaction::new(text("input"), text("output_1")).with_expected([text("output_2")])
            })
            .collect();
        let recorded = pairs.clone();
        let judge = move |requests: &[Request]| -> Vec<Answer> {
            requests.iter().map(|request| Ok(Reply::new(verdict(&recorded, request), "t"))).collect()
        };
        let answers = judge::answered_by(judge, || score_batch(CONFIG, &items));
        let (mut first, mut second, mut both, mut same, mut bias) = (0, 0, 0, 0, 0.0);
        for (pair, scores) in pairs.iter().zip(answers) {
            let scores = scores.expect("scored");
            // The label is the better output; the first one is the answer.
            let right = if pair["label"] == 1 { 1.0 } else { 0.0 };
            first += u32::from(value(&scores, "prefers_answer_when_first") == right);
            second += u32::from(value(&scores, "prefers_answer_when_second") == right);
            both += u32::from(value(&scores, "prefers_answer") == right);
            same += u32::from(value(&scores, "order_agreement") == 1.0);
            bias += value(&scores, "position_bias") / 100.0;
        }
        let published = read(&folder.join("statistics.json"));
        let figures =
            [("correct_False", first), ("correct_True", second), ("correct_both", both), ("equal", same)];
        for (key, count) in figures {
            assert_eq!(published[key], format!("{count} / 100 = {count}.0%"), "{judge_name} {key}");
        }
        eprintln!("{judge_name}: position bias {bias:.2}");
        assert!(bias.abs() <= f64::from(100 - same) / 100.0 + 1e-9);
    }
}
