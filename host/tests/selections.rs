//! Reference sets from production: selected, sampled, dealt, extended.

mod support;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_set_grows_from_what_production_did() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    let mut lines = String::new();
    for index in 0..400 {
        let class = if index % 40 == 0 { "rare" } else { "common" };
        let actual = if index % 4 == 0 { "bad" } else { "good" };
        // Every other common query is asked twice, in another case.
        let query =
            if index % 4 == 1 { format!("Question {}", index + 1) } else { format!("question {index}") };
        let line = json!({
            "id": format!("i{index}"), "query": query, "actual": actual, "expected": ["good"],
            "request_class": class, "timing": {"total_us": 1_000},
        });
        lines.push_str(&format!("{line}\n"));
    }
    answer(daemon.request(Method::POST, "/v1/interactions").body(lines), StatusCode::OK).await;
    let select = async |body: &Value| {
        daemon.create("/v1/reference-sets/hard/versions/from-production?provenance=a%20test", body).await
    };
    let selection = json!({
        "per_class_max": 30, "split": {"dev": 0.3, "test": 0.7}, "expected": {"i40": ["excellent"]},
    });
    let made = select(&selection).await;
    assert_eq!((&made["number"], &made["selected"]["found"]), (&json!(1), &json!(400)));
    assert_eq!(made["selected"]["classes"]["rare"], 10, "rare ones are kept whole: {made}");
    let common = made["selected"]["classes"]["common"].as_u64().expect("a count");
    let duplicates = made["selected"]["duplicates"].as_u64().expect("a count");
    assert_eq!(common + duplicates, 30);
    assert!(made["provenance"].as_str().is_some_and(|told| told.starts_with("a test; from production: {")));
    let page = daemon.get("/v1/reference-sets/hard/versions/1/items?limit=1000").await;
    let items = page["items"].as_array().expect("a list").clone();
    assert_eq!(items.len() as u64, made["selected"]["taken"].as_u64().expect("a count"));
    let rare: Vec<_> = items.iter().filter(|item| item["request_class"] == "rare").collect();
    assert!(rare.iter().all(|item| item["extra"]["production"]["probability"] == 1.0));
    assert_eq!(rare.iter().filter(|item| item["expected"] == json!(["excellent"])).count(), 1);
    let probability = 30.0 / 390.0;
    for item in items.iter().filter(|item| item["request_class"] == "common") {
        let found = item["extra"]["production"]["probability"].as_f64().expect("a number");
        assert!((found - probability).abs() < 1e-12, "{found}");
        assert!(["dev", "test"].contains(&item["metadata"]["split"].as_str().expect("a part")));
    }
    assert_eq!(select(&selection).await["number"], 1, "the same selection is the same version");

    // What failed is added to what is there.
    let definition = json!({
        "name": "live", "source": {"production": {}},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
        "completion": {"output": "equals", "at_least": 1},
    });
    let id = daemon.create("/v1/evaluations", &definition).await["id"].as_str().expect("an id").to_owned();
    let run = daemon.create(&format!("/v1/evaluations/{id}/runs"), &json!({})).await;
    daemon.finished(run["id"].as_str().expect("an id")).await;
    let failed = json!({"extend": true, "outcome": {"evaluation": id, "completion": "not_completed"}});
    let made = select(&failed).await;
    assert_eq!((&made["number"], &made["selected"]["found"]), (&json!(2), &json!(100)));
    assert_eq!(made["selected"]["carried_over"], items.len());
    assert!(made["provenance"].as_str().is_some_and(|told| told.contains("say nothing of production")));
    let ours = daemon.get("/v1/reference-sets/hard/versions/2/items?limit=3").await;
    assert_eq!(ours["items"][0], items[0], "items stay as they were");
    // The set is an evaluation's source like any other.
    let over_set = json!({
        "name": "hard", "source": {"reference_set": "hard"}, "scorers": definition["scorers"],
        "completion": definition["completion"],
    });
    let id = daemon.create("/v1/evaluations", &over_set).await["id"].as_str().expect("an id").to_owned();
    let run = daemon.create(&format!("/v1/evaluations/{id}/runs"), &json!({})).await;
    let run = run["id"].as_str().expect("an id").to_owned();
    daemon.finished(&run).await;
    let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
    assert_eq!(result["completion"]["n"], made["items"]);
    // A page of items, changed, is an upload.
    let mut line = ours["items"][1].clone();
    line["expected"] = json!(["better"]);
    let upload = daemon.request(Method::POST, "/v1/reference-sets/edited/versions").body(line.to_string());
    assert_eq!(answer(upload, StatusCode::CREATED).await["items"], 1);

    for wrong in [
        json!({"split": {"dev": 0.5}}),
        json!({"per_class_max": 0}),
        json!({"interactions": ["nobody"]}),
        json!({"slice": {"request_class": "unheard"}}),
    ] {
        let path = "/v1/reference-sets/hard/versions/from-production";
        let refused = daemon.request(Method::POST, path).json(&wrong);
        answer(refused, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
}
