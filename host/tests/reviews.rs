//! Human review, from the rules that take answers to what people say of them.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use assay::app::App;
use assay::config::{Config, Retention};
use assay::domain::clock::{ManualClock, Timestamp};
use assay::domain::ids::ReviewQueueId;
use assay::domain::review::QueueDefinition;
use assay::ingest::read_interactions;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};
use support::{evaluation, finished, install, reference_set, root};

const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// Items of two classes; every fourth answer is wrong.
fn lines(count: usize) -> String {
    (0..count)
        .map(|i| {
            let line = json!({
                "key": format!("k{i}"), "query": format!("question {i}"), "expected": "good",
                "actual": if i % 4 == 0 { "bad" } else { "good" },
                "request_class": if i % 2 == 0 { "even" } else { "odd" },
            });
            format!("{line}\n")
        })
        .collect()
}

fn definition(source: Value) -> Value {
    json!({
        "name": "equal", "source": source, "completion": {"output": "equals", "at_least": 1},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
    })
}

/// Runs an evaluation over a set of items and answers the evaluation's id.
async fn run_over_items(daemon: &Daemon, count: usize) -> String {
    let upload = daemon.request(Method::POST, "/v1/reference-sets/set/versions").body(lines(count));
    answer(upload, StatusCode::CREATED).await;
    let made = daemon.create("/v1/evaluations", &definition(json!({"reference_set": "set"}))).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    let run = daemon.create(&format!("/v1/evaluations/{id}/runs"), &json!({})).await;
    daemon.finished(run["id"].as_str().expect("an id")).await;
    id
}

async fn post(daemon: &Daemon, path: &str, body: &Value, status: StatusCode) -> Value {
    answer(daemon.request(Method::POST, path).json(body), status).await
}

async fn next(daemon: &Daemon, queue: &str, reviewer: &str) -> Value {
    let path = format!("/v1/review-queues/{queue}/next?reviewer={reviewer}");
    answer(daemon.request(Method::POST, &path), StatusCode::OK).await["assignment"].clone()
}

async fn judge(daemon: &Daemon, assignment: &Value, correct: bool) -> Value {
    let verdict = json!({"assignment": assignment["id"], "values": {"equals": correct}});
    post(daemon, "/v1/reviews", &verdict, StatusCode::CREATED).await
}

async fn fill(daemon: &Daemon, queue: &str) -> Value {
    post(daemon, &format!("/v1/review-queues/{queue}/fill"), &json!({}), StatusCode::OK).await
}

fn sum(status: &Value, list: &str, member: &str) -> u64 {
    let rows = status[list].as_array().expect("a list").iter();
    rows.map(|row| row[member].as_u64().expect("a count")).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_take_with_known_probabilities_and_reviewers_never_collide() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Arc::new(Daemon::start(folder.path()));
    let evaluation = run_over_items(&daemon, 400).await;
    let queue = json!({
        "name": "all kinds", "evaluation": evaluation,
        "rules": [{"kind": "random", "probability": 0.2}, {"kind": "failures", "probability": 0.5},
                  {"kind": "stratified", "output": "equals",
                   "bands": [{"below": 0.5, "probability": 0.25}, {"probability": 0.0}]}],
    });
    let made = daemon.create("/v1/review-queues", &queue).await;
    assert_eq!(
        (&made["scorer"], &made["blind"], &made["twice_share"]),
        (&json!("text"), &json!(true), &json!(0.1))
    );
    fill(&daemon, "all%20kinds").await;
    let status = daemon.get("/v1/review-queues/all%20kinds/status").await;
    assert_eq!(sum(&status, "strata", "candidates"), 400, "{status}");
    for stratum in status["strata"].as_array().expect("a list") {
        let expected = match stratum["rules"].as_str().expect("a name") {
            "equals above, random" => 0.2,
            "equals below 0.5, failures, random" => 1.0 - 0.8 * 0.5 * 0.75,
            other => panic!("no rules make `{other}`"),
        };
        assert!((stratum["probability"].as_f64().expect("a number") - expected).abs() < 1e-12, "{stratum}");
        let candidates = stratum["candidates"].as_f64().expect("a number");
        let share = stratum["drawn"].as_f64().expect("a number") / candidates;
        // Five standard deviations of a binomial share.
        let slack = 5.0 * (expected * (1.0 - expected) / candidates).sqrt();
        assert!((share - expected).abs() < slack, "{stratum}");
    }
    let released = sum(&status, "classes", "released");
    let twice = sum(&status, "classes", "twice_wanted");
    assert_eq!(twice, released.div_ceil(10), "{status}");
    assert_eq!(fill(&daemon, "all%20kinds").await["looked_at"], 0, "each answer is looked at once");

    // The same answer until there is a verdict, and no score to be seen.
    let first = next(&daemon, "all%20kinds", "r0").await;
    assert_eq!(next(&daemon, "all%20kinds", "r0").await["id"], first["id"]);
    assert!(first["scores"].is_null() && first["form"][0]["name"] == "equals", "{first}");
    assert!(first["answer"]["actual"].is_string() && first["item"]["query"].is_string());

    let mut reviewers = tokio::task::JoinSet::new();
    for reviewer in 0..8 {
        let daemon = Arc::clone(&daemon);
        reviewers.spawn(async move {
            let name = format!("r{reviewer}");
            let mut judged = Vec::new();
            loop {
                let given = next(&daemon, "all%20kinds", &name).await;
                if given.is_null() {
                    return judged;
                }
                judge(&daemon, &given, given["answer"]["actual"] == "good").await;
                judged.push((given["subject"]["key"].as_str().expect("a key").to_owned(), name.clone()));
            }
        });
    }
    let mut by_key = BTreeMap::<String, BTreeSet<String>>::new();
    let mut verdicts = 0;
    while let Some(judged) = reviewers.join_next().await {
        for (key, reviewer) in judged.expect("no panic") {
            verdicts += 1;
            assert!(by_key.entry(key).or_default().insert(reviewer), "nobody is given an answer twice");
        }
    }
    assert_eq!((by_key.len() as u64, verdicts), (released, released + twice));
    let doubles = by_key.values().filter(|reviewers| reviewers.len() == 2).count() as u64;
    assert_eq!(doubles, twice, "two people only where two are to review");
    let status = daemon.get("/v1/review-queues/all%20kinds/status").await;
    assert_eq!(sum(&status, "classes", "reviewed"), released);
    assert_eq!(sum(&status, "reviewers", "reviewed"), verdicts);
    // Each keeps the probability with which it was taken.
    let page = daemon.get("/v1/reviews?limit=500&queue=all%20kinds").await;
    for review in page["reviews"].as_array().expect("a list") {
        let expected = if review["values"]["equals"] == true { 0.2 } else { 0.7 };
        assert!((review["probability"].as_f64().expect("known") - expected).abs() < 1e-12, "{review}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_skipped_undone_or_in_dispute_is_settled() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    let evaluation = run_over_items(&daemon, 3).await;
    let queue = json!({
        "name": "q", "evaluation": evaluation, "twice_share": 1.0, "blind": false,
        "rules": [{"kind": "random", "probability": 1}],
    });
    daemon.create("/v1/review-queues", &queue).await;
    fill(&daemon, "q").await;
    let given = next(&daemon, "q", "ann").await;
    assert_eq!(given["scores"][0]["output"], "equals", "this queue is not blind: {given}");

    // A verdict is taken back, stays as history, and the answer is asked for again.
    let review = judge(&daemon, &given, false).await;
    let undo = json!({"queue": "q", "reviewer": "ann"});
    let undone = post(&daemon, "/v1/reviews/undo", &undo, StatusCode::OK).await;
    assert_eq!(undone["review"]["id"], review["id"]);
    let id = review["id"].as_str().expect("an id");
    assert!(daemon.get(&format!("/v1/reviews/{id}")).await["withdrawn_at"].is_string());
    let again = next(&daemon, "q", "ann").await;
    assert_eq!(again["subject"], given["subject"]);
    judge(&daemon, &again, true).await;
    // The assignment is done.
    let late = json!({"assignment": again["id"], "values": {"equals": true}});
    post(&daemon, "/v1/reviews", &late, StatusCode::CONFLICT).await;

    // What ann skips goes to others, and comes back with an undo.
    let skipped = next(&daemon, "q", "ann").await;
    let skip = json!({"assignment": skipped["id"], "reason": "no idea"});
    post(&daemon, "/v1/reviews/skip", &skip, StatusCode::NO_CONTENT).await;
    assert_ne!(next(&daemon, "q", "ann").await["subject"], skipped["subject"]);
    assert!(post(&daemon, "/v1/reviews/undo", &undo, StatusCode::OK).await["review"].is_null());
    assert_eq!(next(&daemon, "q", "ann").await["subject"], skipped["subject"]);

    // Two people disagree about the first answer, and a third decides.
    let mut disputed = Value::Null;
    for _ in 0..3 {
        let given = next(&daemon, "q", "ben").await;
        let is_first = given["subject"] == again["subject"];
        let review = judge(&daemon, &given, !is_first).await;
        if is_first {
            disputed = review;
        }
    }
    assert!(next(&daemon, "q", "ben").await.is_null());
    let list = daemon.get("/v1/review-queues/q/disagreements").await;
    assert_eq!((list.as_array().map(Vec::len), &list[0]["outputs"]), (Some(1), &json!(["equals"])), "{list}");
    assert_eq!(list[0]["reviews"].as_array().map(Vec::len), Some(2));
    let decision = json!({"review": disputed["id"], "reviewer": "eve", "values": {"equals": true}});
    let decided = post(&daemon, "/v1/reviews/adjudicate", &decision, StatusCode::CREATED).await;
    assert_eq!((&decided["kind"], &decided["probability"]), (&json!("adjudication"), &json!(1.0)));
    assert_eq!(daemon.get("/v1/review-queues/q/disagreements").await, json!([]));

    // What does not fit is refused with its reason.
    let open = next(&daemon, "q", "ann").await;
    for (values, told) in
        [(json!({}), "empty"), (json!({"equals": 0.5}), "true or false"), (json!({"x": 1}), "`x`")]
    {
        let wrong = json!({"assignment": open["id"], "values": values});
        let refused = post(&daemon, "/v1/reviews", &wrong, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains(told)), "{refused}");
    }
    for (wrong, place) in [
        (json!({"rules": [{"kind": "random", "probability": 2}]}), "/rules/0/probability"),
        (
            json!({"rules": [{"kind": "stratified", "output": "sense", "bands": [{"probability": 1}]}]}),
            "/rules/0/output",
        ),
        (json!({"scorer": "judge"}), "/scorer"),
    ] {
        let mut queue = json!({"name": "wrong", "evaluation": evaluation});
        queue.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
        let refused = post(&daemon, "/v1/review-queues", &queue, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(refused["errors"][0]["path"], place, "{refused}");
    }
    let other = json!({"name": "q", "evaluation": evaluation});
    post(&daemon, "/v1/review-queues", &other, StatusCode::CONFLICT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_lets_a_sample_in_whose_probability_is_known() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    let evaluation = run_over_items(&daemon, 100).await;
    let queue = json!({
        "name": "q", "evaluation": evaluation, "rules": [{"kind": "random", "probability": 1}],
        "quota": {"per_class": 10, "classes": {"odd": 20}},
    });
    let made = daemon.create("/v1/review-queues", &queue).await;
    assert!(made["next_release_at"].is_string(), "{made}");
    let filled = fill(&daemon, "q").await;
    // The daemon may have looked before; it lets nothing in before the time.
    assert_eq!((&filled["released"], &filled["left_out"]), (&json!(30), &json!(70)), "{filled}");
    assert_eq!(fill(&daemon, "q").await["released"], 0, "the week's quota is used up");
    let status = daemon.get("/v1/review-queues/q/status").await;
    for class in status["classes"].as_array().expect("a list") {
        assert_eq!(class["released_this_week"], class["quota"], "{class}");
    }
    assert_eq!(sum(&status, "strata", "left_out"), 70);
    let mut keys = BTreeSet::new();
    loop {
        let given = next(&daemon, "q", "ann").await;
        if given.is_null() {
            break;
        }
        keys.insert(given["subject"]["key"].as_str().expect("a key")[1..].parse::<u32>().expect("a number"));
        let review = judge(&daemon, &given, true).await;
        let expected = if given["request_class"] == "odd" { 20.0 / 50.0 } else { 10.0 / 50.0 };
        assert!((review["probability"].as_f64().expect("known") - expected).abs() < 1e-12, "{review}");
    }
    assert_eq!(keys.len(), 30);
    assert!(keys.iter().any(|key| *key > 60), "not those that came first: {keys:?}");
    // Hand-picked answers have no probability.
    let picked = json!({"subjects": (0..100).map(|i| json!({
        "reference_set": "set", "version": 1, "key": format!("k{i}"), "trial": 0,
    })).collect::<Vec<_>>()});
    let added = post(&daemon, "/v1/review-queues/q/items", &picked, StatusCode::OK).await;
    assert_eq!(added["added"], 70, "those that are there stay");
    let given = next(&daemon, "q", "ann").await;
    assert!(judge(&daemon, &given, true).await["probability"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_of_an_import_are_told_and_what_is_sent_again_counts_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    let evaluation = run_over_items(&daemon, 10).await;
    let line = |key: &str, more: Value| {
        let mut line =
            json!({"reference_set": "set", "key": key, "reviewer": "ann", "values": {"equals": true}});
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        format!("{line}\n")
    };
    let body = [
        line(
            "k0",
            json!({"notes": "fine", "failure_modes": ["tone"], "reviewed_at": "2026-01-05T10:00:00Z"}),
        ),
        "\n".into(),
        line("k99", json!({})),
        "{\"reviewer\": \n".into(),
        line("k1", json!({"probability": 0.5, "development": true})),
        line("k2", json!({"values": {"equals": "yes"}})),
        line("k3", json!({"probability": 0})),
        line("k4", json!({"reviewer": " "})),
        line("k5", json!({"interaction": "i1"})),
        line("k6", json!({"recording": "other"})),
    ]
    .concat();
    let path = format!("/v1/reviews/import?evaluation={evaluation}");
    let send = async |path: &str| {
        answer(daemon.request(Method::POST, path).body(body.clone()), StatusCode::OK).await
    };
    let received = send(&path).await;
    assert_eq!((&received["accepted"], &received["duplicates"]), (&json!(2), &json!(0)), "{received}");
    let told: Vec<_> = received["rejected"].as_array().expect("a list").iter().collect();
    let lines: Vec<_> = told.iter().map(|line| line["line"].as_u64().expect("a number")).collect();
    assert_eq!(lines, [3, 4, 6, 7, 8, 9, 10]);
    for (index, reason) in [
        (0, "no item `k99`"),
        (2, "true or false"),
        (3, "probability"),
        (5, "either `interaction`"),
        (6, "no answer `k6`"),
    ] {
        assert!(told[index]["reason"].as_str().is_some_and(|told| told.contains(reason)), "{}", told[index]);
    }
    let received = send(&path).await;
    assert_eq!((&received["accepted"], &received["duplicates"]), (&json!(0), &json!(2)));
    let reviews = daemon.get("/v1/reviews").await;
    let reviews = reviews["reviews"].as_array().expect("a list");
    assert_eq!(reviews.len(), 2);
    assert_eq!(reviews[0]["development"], true);
    assert_eq!((&reviews[1]["notes"], &reviews[1]["failure_modes"]), (&json!("fine"), &json!(["tone"])));
    let none = daemon.request(Method::POST, &path).body(line("k99", json!({})));
    answer(none, StatusCode::UNPROCESSABLE_ENTITY).await;

    // The same from a file, over the command line.
    let file = folder.path().join("labels.jsonl");
    std::fs::write(&file, &body).expect("written");
    let said =
        cli(&daemon, &["review", "import", file.to_str().expect("UTF-8"), "--evaluation", "equal"], "");
    assert!(said.contains("0 reviews are new, 2 were there before, 7 lines cannot be used"), "{said}");

    // Known verdicts are mixed in, and tell how a reviewer does.
    let queue = json!({"name": "gold", "evaluation": evaluation, "gold_share": 1.0});
    daemon.create("/v1/review-queues", &queue).await;
    let known =
        [line("k4", json!({"gold": true, "values": {"equals": false}})), line("k5", json!({"gold": true}))];
    let import = daemon.request(Method::POST, "/v1/reviews/import?queue=gold").body(known.concat());
    assert_eq!(answer(import, StatusCode::OK).await["accepted"], 2);
    for _ in 0..2 {
        let given = next(&daemon, "gold", "ben").await;
        judge(&daemon, &given, true).await;
    }
    assert!(next(&daemon, "gold", "ben").await.is_null());
    let status = daemon.get("/v1/review-queues/gold/status").await;
    let ben = &status["reviewers"][0];
    assert_eq!((&ben["gold_values"], &ben["gold_agreeing"]), (&json!(2), &json!(1)), "{status}");
}

/// Runs a command against a daemon and answers what it printed.
fn cli(daemon: &Daemon, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(arguments)
        .env("ASSAY_URL", &daemon.base)
        .env("ASSAY_REVIEWER", "cli")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ended");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reviews_at_the_terminal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    let evaluation = run_over_items(&daemon, 4).await;
    let queue = json!({
        "name": "a b", "evaluation": evaluation, "rules": [{"kind": "random", "probability": 1}], "twice_share": 0,
    });
    daemon.create("/v1/review-queues", &queue).await;
    fill(&daemon, "a%20b").await;
    // A verdict with a failure mode and notes; a skip; the skip taken back and judged; a wrong word, then quit.
    let said = cli(&daemon, &["review", "next", "a b"], "y\ntone, length\nall fine\ns\nu\nn\n\n\nmaybe\nq\n");
    assert!(said.contains("question ") && said.contains("answer:\ngood"), "{said}");
    assert!(said.contains("the skip is taken back") && said.contains("2 verdicts"), "{said}");
    let reviews = daemon.get("/v1/reviews?reviewer=cli").await;
    let reviews = reviews["reviews"].as_array().expect("a list");
    assert_eq!(reviews.len(), 2);
    assert_eq!(reviews[0]["values"]["equals"], false);
    assert_eq!(reviews[1]["failure_modes"], json!(["tone", "length"]));
    assert_eq!(reviews[1]["notes"], "all fine");

    let given: Value =
        serde_json::from_str(&cli(&daemon, &["--json", "review", "next", "a b"], "")).expect("JSON");
    let id = given["assignment"]["id"].as_str().expect("an id");
    cli(&daemon, &["review", "submit", id, "--set", "equals=true", "--notes", "by a script"], "");
    cli(&daemon, &["review", "undo", "a b"], "");
    let given: Value =
        serde_json::from_str(&cli(&daemon, &["--json", "review", "next", "a b"], "")).expect("JSON");
    assert_eq!(given["assignment"]["id"], id);
    cli(&daemon, &["review", "skip", id, "--reason", "not mine"], "");
    let said = cli(&daemon, &["review", "status", "a b"], "");
    assert!(said.contains("| cli ") && said.contains("even"), "{said}");
}

/// Everything over a data directory, with a clock that tests set.
async fn app(data_dir: &Path, now: Timestamp) -> (App, ManualClock) {
    let clock = ManualClock::at(now);
    let artifacts = root().join("target/test-artifacts");
    let config = Config { data_dir: data_dir.to_owned(), artifact_dir: Some(artifacts), ..Config::default() };
    let worker = env!("CARGO_BIN_EXE_assay").into();
    let app = App::open_with(&config, Arc::new(clock.clone()), Some(worker)).await.expect("the app opens");
    (app, clock)
}

async fn keep_queue(app: &App, queue: Value) {
    let definition: QueueDefinition = serde_json::from_value(queue).expect("a definition");
    let definition = app.runner.check_queue(definition).await.expect("a valid queue");
    app.store.review_queue_insert(ReviewQueueId::new(), definition, app.clock.now()).await.expect("kept");
}

async fn verdict(app: &App, queue: &str, reviewer: &str, notes: &str) -> Option<String> {
    let (given, _) = app.runner.next_review(queue, reviewer).await.expect("asked")?;
    let content = json!({"values": {"equals": true}, "notes": notes});
    let content = serde_json::from_value(content).expect("a verdict");
    app.runner.review(given.id, content, false).await.expect("kept");
    Some(given.item)
}

fn count(data_dir: &Path, table: &str) -> i64 {
    let database = rusqlite::Connection::open(data_dir.join("assay.db")).expect("opened");
    database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weekly_quota_opens_on_its_schedule() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // 2026-11-25, a Wednesday.
    let now = Timestamp(1_795_564_800_000_000);
    let (app, clock) = app(folder.path(), now).await;
    install(&app, "text").await;
    reference_set(&app, "set", lines(60)).await;
    let id = evaluation(&app, definition(json!({"reference_set": "set"}))).await;
    finished(&app, app.runner.start(id).await.expect("started")).await;
    keep_queue(
        &app,
        json!({"name": "q", "evaluation": id, "rules": [{"kind": "random", "probability": 1}], "quota": {"per_class": 5}}),
    )
    .await;
    app.runner.fill_review_queues().await.expect("filled");
    let status = app.store.review_queue_status("q".into(), now).await.expect("a status");
    assert_eq!(status.classes.iter().map(|class| class.waiting).sum::<u64>(), 60);
    assert!(
        app.runner.next_review("q", "ann").await.expect("asked").is_none(),
        "nothing before Monday at six"
    );
    clock.set(Timestamp(now.0 + 5 * DAY_US + 6 * 3_600 * 1_000_000));
    for _ in 0..3 {
        app.runner.fill_review_queues().await.expect("filled");
    }
    let status = app.store.review_queue_status("q".into(), clock_now(&app)).await.expect("a status");
    let released: Vec<_> = status.classes.iter().map(|class| (class.released, class.waiting)).collect();
    assert_eq!(released, [(5, 0), (5, 0)]);
    assert_eq!(
        status.queue.next_release_at.map(|at| at.to_string()).as_deref(),
        Some("2026-12-07T06:00:00Z")
    );

    // An expired answer goes to someone else, and the late verdict is refused.
    let (late, _) = app.runner.next_review("q", "ann").await.expect("asked").expect("something");
    clock.set(Timestamp(clock_now(&app).0 + 1_801 * 1_000_000));
    let (given, _) = app.runner.next_review("q", "ben").await.expect("asked").expect("something");
    assert_eq!(given.subject, late.subject, "the first by lot is the first again");
    let content = serde_json::from_value(json!({"values": {"equals": true}})).expect("a verdict");
    assert!(app.runner.review(late.id, content, false).await.is_err());

    // Another run over the same recorded answers brings nothing new.
    finished(&app, app.runner.start(id).await.expect("started")).await;
    assert_eq!(app.runner.fill_review_queue("q").await.expect("filled").looked_at, 0);
}

fn clock_now(app: &App) -> Timestamp {
    app.clock.now()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_of_an_answer_goes_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let now = Timestamp(1_795_564_800_000_000);
    let (app, _clock) = app(folder.path(), now).await;
    install(&app, "text").await;
    let text: String = (0..40)
        .map(|i| {
            let line = json!({
                "id": format!("i{i}"), "query": format!("q{i}"), "actual": "yes", "expected": ["yes"],
                "user": format!("u{}", i % 4), "upstream_probability": 0.5,
                "started_at": now.0 - if i < 20 { 100 * DAY_US } else { DAY_US } + i,
            });
            format!("{line}\n")
        })
        .collect();
    app.ingest.interactions(read_interactions(text.as_bytes(), now).good).await.expect("taken");
    let id = evaluation(&app, definition(json!({"production": {}}))).await;
    finished(&app, app.runner.start(id).await.expect("started")).await;
    keep_queue(
        &app,
        json!({"name": "q", "evaluation": id, "rules": [{"kind": "random", "probability": 1}], "twice_share": 0}),
    )
    .await;
    assert_eq!(app.runner.fill_review_queue("q").await.expect("filled").released, 40);
    for _ in 0..30 {
        verdict(&app, "q", "ann", "xylophone").await.expect("something is left");
    }
    let counts = |data_dir: &Path| {
        ["review_subject", "review_item", "review_assignment", "review"].map(|table| count(data_dir, table))
    };
    assert_eq!(counts(folder.path()), [40, 40, 30, 30]);
    let of_user = "SELECT count(*) FROM review JOIN review_subject ON review_subject.id = review.subject \
                   JOIN interaction ON interaction.id = review_subject.interaction \
                   JOIN name ON name.id = interaction.user WHERE text = 'u1'";
    let database = rusqlite::Connection::open(folder.path().join("assay.db")).expect("opened");
    let theirs: i64 = database.query_row(of_user, [], |row| row.get(0)).expect("counted");
    assert!(theirs > 0, "of ten answers some were reviewed");
    app.store.user_erase("u1").await.expect("erased");
    assert_eq!(counts(folder.path())[..2], [30, 30], "ten interactions were the user's");
    assert_eq!(counts(folder.path())[2..], [30 - theirs, 30 - theirs]);

    app.runner
        .let_go(&Retention { interactions_days: Some(30), ..Retention::default() })
        .await
        .expect("let go");
    let [subjects, items, assignments, reviews] = counts(folder.path());
    assert_eq!((subjects, items), (15, 15), "the older half went");
    assert_eq!(assignments, reviews);
    let page = app.store.review_list(assay::store::ReviewFilter { limit: 100, ..Default::default() }).await;
    assert_eq!(page.expect("a page").0.len() as i64, reviews);
}

#[tokio::test(flavor = "multi_thread")]
async fn well_scored_answers_of_dissatisfied_users_are_taken_once_their_session_was_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let quick = [("ASSAY_INGEST__SESSION_IDLE_S", "1"), ("ASSAY_INGEST__SESSION_QUIET_S", "0")];
    let daemon = Daemon::start_with(folder.path(), &quick);
    let made = daemon.create("/v1/evaluations", &definition(json!({"production": {"follow": true}}))).await;
    let queue = json!({
        "name": "q", "evaluation": made["id"],
        "rules": [{"kind": "divergence", "output": "equals", "at_least": 1, "probability": 1}],
    });
    daemon.create("/v1/review-queues", &queue).await;
    // The run that follows takes what comes after it began.
    loop {
        let runs = daemon.get("/v1/runs?state=running").await;
        if runs["runs"].as_array().is_some_and(|runs| !runs.is_empty()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let body: String = (0..6)
        .map(|i| {
            let actual = if i == 5 { "no" } else { "yes" };
            let line = json!({"id": format!("i{i}"), "query": "q", "actual": actual, "expected": ["yes"], "session": format!("s{i}")});
            format!("{line}\n")
        })
        .collect();
    answer(daemon.request(Method::POST, "/v1/interactions").body(body), StatusCode::OK).await;
    // i1 is well scored, i5 is not; both were reported.
    let events =
        "{\"kind\":\"reported\",\"interaction\":\"i1\"}\n{\"kind\":\"reported\",\"interaction\":\"i5\"}\n";
    answer(daemon.request(Method::POST, "/v1/events").body(events), StatusCode::OK).await;
    let mut status = Value::Null;
    for _ in 0..400 {
        status = daemon.get("/v1/review-queues/q/status").await;
        if sum(&status, "strata", "candidates") == 6 && sum(&status, "classes", "released") == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let none: Vec<_> =
        status["strata"].as_array().expect("a list").iter().filter(|row| row["rules"] == "none").collect();
    assert_eq!((&none[0]["candidates"], &none[0]["probability"]), (&json!(5), &json!(0.0)), "{status}");
    let given = next(&daemon, "q", "ann").await;
    let reported = daemon.get("/v1/interactions/i1").await;
    assert_eq!(given["subject"]["interaction"], reported["id"], "{given}");
}
