//! Real answers of two models to GSM8K: the rates and each single verdict are
//! those that were published with the data.

mod support;

use std::collections::HashMap;
use std::fs;

use assay::domain::completion::Completion;
use assay::store::ItemFilter;
use serde_json::{Value, json};
use support::{app, evaluation, finished, install, real_data, reference_set};

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_both_models_agrees_with_the_published_verdict() {
    let Some(folder) = real_data("gsm8k") else { return };
    let text = fs::read_to_string(folder.join("solutions_6b.jsonl")).expect("the data is readable");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let lines: String = rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let answers: HashMap<_, _> = ["6b_finetuning", "6b_verification"]
                .map(|model| (model, row[model]["solution"].clone()))
                .into();
            json!({"key": index.to_string(), "query": row["question"], "expected": row["ground_truth"],
                   "answers": answers})
            .to_string()
                + "\n"
        })
        .collect();
    let data = tempfile::tempdir().expect("a temporary folder");
    let app = app(data.path()).await;
    install(&app, "final-number").await;
    reference_set(&app, "gsm8k", lines).await;
    // scipy.stats.binomtest(k, 1319).proportion_ci(.95, method="wilson"), SciPy 1.17.1.
    for (model, rate, low, high) in [
        ("6b_finetuning", 0.2168, 0.19543139440558893, 0.2398750854306672),
        ("6b_verification", 0.3904, 0.36447409684415993, 0.41705679026785886),
    ] {
        let id = evaluation(
            &app,
            json!({
                "name": model,
                "source": {"reference_set": "gsm8k", "recording": model},
                "scorers": [{"plugin": "final-number", "config": {"marker": "A:"}}],
                "completion": {"output": "final-number", "at_least": 1.0},
            }),
        )
        .await;
        let run = app.runner.start(id).await.expect("started");
        finished(&app, run).await;
        let result = app.runner.result(run).await.expect("a result");
        let completion = result.completion.expect("there is a rule");
        assert_eq!(completion.n, 1319);
        assert!((completion.rate.expect("determined") - rate).abs() < 5e-5, "{model}: {completion:?}");
        let interval = completion.interval.expect("an interval");
        assert!((interval.low - low).abs() < 1e-9 && (interval.high - high).abs() < 1e-9, "{interval:?}");

        let filter = ItemFilter { limit: 2000, ..ItemFilter::default() };
        let items = app.store.item_page(run, filter).await.expect("a page");
        assert_eq!(items.len(), rows.len());
        for item in items {
            let row = &rows[item.key.parse::<usize>().expect("an index")];
            let correct = row[model]["is_correct"].as_bool().expect("a verdict");
            let expected = if correct { Completion::Completed } else { Completion::NotCompleted };
            assert_eq!(item.completion, Some(expected), "{model}, row {}", item.key);
        }
    }
}
