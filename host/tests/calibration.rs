//! Scores beside what people said: figures, refusals, and where they are shown.

mod support;

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};
use support::real_data;

async fn evaluate(daemon: &Daemon, name: &str, set: &str, check: &Value) -> (String, String) {
    let definition = json!({
        "name": name, "source": {"reference_set": set},
        "scorers": [{"plugin": "text", "name": "judge", "config": {"checks": [check]}}],
    });
    let made = daemon.create("/v1/evaluations", &definition).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    (run(daemon, &id).await, id)
}

async fn run(daemon: &Daemon, evaluation: &str) -> String {
    let run = daemon.create(&format!("/v1/evaluations/{evaluation}/runs"), &json!({})).await;
    let run = run["id"].as_str().expect("an id").to_owned();
    daemon.finished(&run).await;
    run
}

async fn import(daemon: &Daemon, evaluation: &str, lines: &[Value]) -> Value {
    let path = format!("/v1/reviews/import?evaluation={evaluation}");
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    answer(daemon.request(Method::POST, &path).body(body), StatusCode::OK).await
}

fn close(found: &Value, expected: f64, what: &str) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{what} is {found}"));
    assert!((found - expected).abs() < 1e-9, "{what} is {found}, not {expected}");
}

/// `accuracy, kappa, share of people's yes, share of the scorer's yes, bias`.
fn check(agreement: &Value, confusion: [[f64; 2]; 2], figures: [f64; 5]) {
    for (row, expected) in confusion.iter().enumerate() {
        for (column, expected) in expected.iter().enumerate() {
            close(&agreement["confusion"][row][column], *expected, "a cell");
        }
    }
    close(&agreement["accuracy"]["value"], figures[0], "accuracy");
    close(&agreement["kappa"]["value"], figures[1], "kappa");
    close(&agreement["prevalence"][1], figures[2], "prevalence");
    close(&agreement["judge_prevalence"][1], figures[3], "the scorer's prevalence");
    close(&agreement["bias"]["value"], figures[4], "bias");
}

/// The verdicts of HaluEval's annotators on 4,507 answers of ChatGPT, against a rule
/// that knows nothing: answers of up to 600 characters are right. The expected
/// figures are these (Python 3, no library):
///
/// ```python
/// import json
/// rows = [json.loads(line) for line in open("general_data.json")]
/// def table(rows):
///     cells = [[0.0, 0.0], [0.0, 0.0]]
///     for weight, human, judge in rows: cells[human][judge] += weight
///     return cells
/// def figures(cells):
///     n = sum(map(sum, cells)); human = [sum(row) / n for row in cells]; judge = [sum(c) / n for c in zip(*cells)]
///     accuracy = (cells[0][0] + cells[1][1]) / n; chance = sum(h * j for h, j in zip(human, judge))
///     return accuracy, (accuracy - chance) / (1 - chance), human[1], judge[1], judge[1] - human[1]
/// human = [int(row["hallucination"] == "no") for row in rows]
/// judge = [int(len(row["chatgpt_response"]) <= 600) for row in rows]
/// short = [len(row["user_query"]) < 60 for row in rows]
/// whole = table(zip([1] * len(rows), human, judge)); print(whole, figures(whole))
/// for kind in (True, False):
///     part = table((1, h, j) for h, j, s in zip(human, judge, short) if s == kind); print(kind, part, figures(part))
/// drawn = [(1 if s else 4, h, j) for i, (h, j, s) in enumerate(zip(human, judge, short)) if s or i % 4 == 0]
/// print(len(drawn), table(drawn), figures(table(drawn)), figures(table((1, h, j) for _, h, j in drawn)))
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn figures_over_real_verdicts_agree_with_a_plain_calculation() {
    let Some(folder) = real_data("halueval-general") else { return };
    let text = fs::read_to_string(folder.join("general_data.json")).expect("the data is readable");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let is_short = |row: &Value| row["user_query"].as_str().expect("a query").chars().count() < 60;
    // Two items have the same id, so the line names an item.
    let lines: String = (0..)
        .zip(&rows)
        .map(|(index, row): (usize, _)| {
            let line = json!({
                "key": index.to_string(), "query": row["user_query"], "actual": row["chatgpt_response"],
                "request_class": if is_short(row) { "short" } else { "long" },
            });
            format!("{line}\n")
        })
        .collect();
    let data = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(data.path());
    let upload = daemon.request(Method::POST, "/v1/reference-sets/halueval/versions").body(lines);
    assert_eq!(answer(upload, StatusCode::CREATED).await["items"], 4507);
    let rule = json!({"kind": "length", "name": "right", "max": 600});
    let label = |(index, row): (usize, &Value)| {
        json!({
            "reference_set": "halueval", "key": index.to_string(), "reviewer": "annotators",
            "values": {"right": row["hallucination"] == "no"},
            "failure_modes": if row["hallucination"] == "yes" { json!(["hallucination"]) } else { json!([]) },
        })
    };

    // As they are: nobody knows with which probability an answer was labelled.
    let (run, evaluation) = evaluate(&daemon, "as they are", "halueval", &rule).await;
    let labels: Vec<_> = rows.iter().enumerate().map(label).collect();
    assert_eq!(import(&daemon, &evaluation, &labels).await["accepted"], 4507);
    let report = daemon.get(&format!("/v1/calibration?evaluation={evaluation}")).await;
    assert_eq!(
        (&report["labels"], &report["calibration"]),
        (&json!(4507), &json!("not_calibrated")),
        "{report}"
    );
    let figures = [
        0.5932993121810517,
        -0.00940698829630916,
        0.8191701797204349,
        0.6520967384069226,
        -0.16707344131351232,
    ];
    check(&report["of_reviewed"], [[275.0, 540.0], [1293.0, 2399.0]], figures);
    assert!(report["weighted"].is_null() && report["values"] == json!(["no", "yes"]));
    assert_eq!(report["left_out"]["without_probability"], 4507);
    let classes = report["classes"].as_array().expect("a list");
    assert_eq!(
        (&classes[0]["request_class"], &classes[1]["request_class"]),
        (&json!("long"), &json!("short"))
    );
    let long = [
        0.5920701486847122,
        0.0006523189725834755,
        0.8021349599695006,
        0.6519252764010675,
        -0.15020968356843312,
    ];
    check(&classes[0]["agreement"], [[181.0, 338.0], [732.0, 1372.0]], long);
    let short = [
        0.5950106157112527,
        -0.023910126189166936,
        0.8428874734607219,
        0.6523354564755839,
        -0.19055201698513802,
    ];
    check(&classes[1]["agreement"], [[94.0, 202.0], [561.0, 1027.0]], short);
    let words = report["words"].as_str().expect("a sentence");
    assert!(words.contains("no more than chance") && words.contains("nothing but themselves"), "{words}");
    let quality = daemon.get(&format!("/v1/quality?evaluation={evaluation}")).await;
    assert!(quality["corrected"].is_null(), "{quality}");
    assert!(quality["refused"].as_str().is_some_and(|told| told.contains("known probability")), "{quality}");
    // The verdict stands where the score does.
    let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
    let output = &result["scorers"][0]["outputs"][0];
    close(&output["mean"], 0.6520967384069226, "the mean score");
    assert_eq!(output["calibration"]["calibration"], "not_calibrated");

    // A stratified draw of them: all short ones, a quarter of the long ones.
    let (_, evaluation) = evaluate(&daemon, "drawn", "halueval", &rule).await;
    let drawn: Vec<_> = rows
        .iter()
        .enumerate()
        .filter(|(index, row)| is_short(row) || index % 4 == 0)
        .map(|(index, row)| {
            let mut line = label((index, row));
            line["probability"] = json!(if is_short(row) { 1.0 } else { 0.25 });
            line
        })
        .collect();
    assert_eq!(import(&daemon, &evaluation, &drawn).await["accepted"], 2537);
    let report = daemon.get(&format!("/v1/calibration?evaluation={evaluation}")).await;
    let weighted =
        [0.5963078291814946, -0.0072669208459607585, 0.8354092526690391, 0.6479092526690391, -0.1875];
    check(&report["weighted"], [[254.0, 486.0], [1329.0, 2427.0]], weighted);
    close(&report["of_reviewed"]["accuracy"]["value"], 0.5955853370122192, "accuracy of the reviewed");
    close(&report["of_reviewed"]["kappa"]["value"], -0.016440570745765194, "kappa of the reviewed");
    let quality = daemon.get(&format!("/v1/quality?evaluation={evaluation}")).await;
    assert_eq!((&quality["labelled"], &quality["unlabelled"]), (&json!(2537), &json!(1970)), "{quality}");
    close(&quality["scorer_only"]["estimate"], 0.6520967384069226, "what the rule says");
    // What the verdicts on all answers come to is in the interval, what the rule says is not.
    let end = |name: &str| quality["corrected"]["interval"][name].as_f64().expect("an end");
    let (low, high) = (end("low"), end("high"));
    assert!(low < 0.8191701797204349 && 0.8191701797204349 < high && high - low < 0.06, "{quality}");
    assert_eq!(quality["corrected"]["method"], "prediction_powered");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_another_scorer_of_development_or_of_few_people_are_told_apart() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(data.path());
    let items: String = (0..200)
        .map(|i| {
            let line = json!({"key": format!("k{i}"), "query": "q", "actual": if i % 3 == 0 { "no" } else { "yes" }});
            format!("{line}\n")
        })
        .collect();
    let upload = daemon.request(Method::POST, "/v1/reference-sets/set/versions").body(items);
    answer(upload, StatusCode::CREATED).await;
    let rule = json!({"kind": "equals", "name": "right", "value": "yes"});
    let (first, evaluation) = evaluate(&daemon, "e", "set", &rule).await;
    let calibration = async || daemon.get(&format!("/v1/calibration?evaluation={evaluation}")).await;
    let nothing = calibration().await;
    assert_eq!((&nothing["labels"], &nothing["calibration"]), (&json!(0), &json!("not_calibrated")));
    let result = daemon.get(&format!("/v1/runs/{first}/result")).await;
    assert!(
        result["scorers"][0]["outputs"][0]["calibration"].is_null(),
        "a rule that nobody reviewed needs none"
    );

    // People agree with the rule but for one answer in ten, over four weeks.
    let label = |i: usize, reviewer: &str, right: bool, more: Value| {
        let week = 1 + i / 25;
        let mut line = json!({
            "reference_set": "set", "key": format!("k{i}"), "reviewer": reviewer, "values": {"right": right},
            "probability": 1.0, "reviewed_at": format!("2026-01-{:02}T10:00:00Z", week * 3),
        });
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        line
    };
    let truth = |i: usize| i.is_multiple_of(3) == (i % 10 == 7);
    let mut lines: Vec<_> = (0..160).map(|i| label(i, "ann", truth(i), json!({}))).collect();
    // The second opinion differs on 3 of 30.
    lines.extend((0..30).map(|i| label(i, "ben", truth(i) != (i % 10 == 3), json!({}))));
    lines.extend((160..170).map(|i| label(i, "ann", true, json!({"development": true}))));
    lines.push(label(170, "ann", true, json!({"probability": null})));
    import(&daemon, &evaluation, &lines).await;
    let report = calibration().await;
    assert_eq!((&report["labels"], &report["calibration"]), (&json!(160), &json!("calibrated")), "{report}");
    close(&report["weighted"]["accuracy"]["value"], 0.9, "accuracy");
    assert_eq!(
        (&report["left_out"]["development"], &report["left_out"]["without_probability"]),
        (&json!(10), &json!(1))
    );
    assert_eq!(report["of_reviewed"]["n"], 161);
    assert_eq!(report["humans"]["reviewed_twice"], 30);
    close(&report["humans"]["agreement"]["value"], 0.9, "agreement of people");
    assert!(report["weeks"].as_array().is_some_and(|weeks| weeks.len() > 2), "{report}");
    let shown = daemon.get(&format!("/v1/runs/{first}/result")).await;
    assert_eq!(shown["scorers"][0]["outputs"][0]["calibration"]["calibration"], "calibrated");
    let strict = daemon.get(&format!("/v1/calibration?evaluation={evaluation}&agreement_min=0.99")).await;
    assert_eq!(strict["calibration"], "not_calibrated");
    assert!(strict["reasons"][0].as_str().is_some_and(|told| told.contains("0.99")), "{strict}");
    let quality = daemon.get(&format!("/v1/quality?evaluation={evaluation}")).await;
    assert_eq!(
        (&quality["labelled"], &quality["left_out"]["development"]),
        (&json!(160), &json!(10)),
        "{quality}"
    );
    assert!(quality["corrected"]["estimate"].is_f64(), "{quality}");

    // A decision stands over the first word, which stands over the second.
    let page = daemon.get("/v1/reviews?reviewer=ben&limit=500").await;
    let disputed =
        page["reviews"].as_array().expect("a list").iter().find(|review| review["subject"]["key"] == "k3");
    let decision =
        json!({"review": disputed.expect("ben's")["id"], "reviewer": "eve", "values": {"right": true}});
    answer(daemon.request(Method::POST, "/v1/reviews/adjudicate").json(&decision), StatusCode::CREATED).await;
    // Answer 3 is `no`, so the rule said no, as ann did.
    close(
        &calibration().await["weighted"]["accuracy"]["value"],
        143.0 / 160.0,
        "accuracy after the decision",
    );

    // With another configuration it is another scorer, and nothing is known of it.
    let mut changed = daemon.get(&format!("/v1/evaluations/{evaluation}")).await;
    let definition = json!({
        "name": "e", "source": {"reference_set": "set"},
        "scorers": [{"plugin": "text", "name": "judge",
                     "config": {"checks": [{"kind": "equals", "name": "right", "value": "yes", "ignore_case": true}]}}],
    });
    let path = format!("/v1/evaluations/{evaluation}");
    changed["name"] =
        answer(daemon.request(Method::PUT, &path).json(&definition), StatusCode::OK).await["name"].take();
    let second = run(&daemon, &evaluation).await;
    let report = calibration().await;
    assert_eq!(
        (&report["run"], &report["labels"]),
        (&json!(second), &json!(160)),
        "the same answers were scored anew"
    );
    // A run of the former one still has its labels.
    let before = daemon.get(&format!("/v1/calibration?evaluation={evaluation}&run={first}")).await;
    assert_eq!((&before["run"], &before["labels"]), (&json!(first), &json!(160)));
    for (query, status) in
        [("&output=sense", StatusCode::UNPROCESSABLE_ENTITY), ("&scorer=x", StatusCode::UNPROCESSABLE_ENTITY)]
    {
        let path = format!("/v1/calibration?evaluation={evaluation}{query}");
        answer(daemon.request(Method::GET, &path), status).await;
    }
}
