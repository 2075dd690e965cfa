//! The binary as its users meet it: over HTTP, with a watched folder, killed
//! and started again.

mod support;

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};
use support::{component, real_data};

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_plugin_scores_gsm8k_on_a_schedule_without_a_wrong_row() {
    let Some(data) = real_data("gsm8k") else { return };
    let text = fs::read_to_string(data.join("solutions_6b.jsonl")).expect("the data is readable");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let models = ["6b_finetuning", "6b_verification"];
    let lines: String = rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let answers: HashMap<_, _> = models.map(|model| (model, row[model]["solution"].clone())).into();
            json!({"key": index.to_string(), "query": row["question"], "expected": row["ground_truth"],
                   "answers": answers})
            .to_string()
                + "\n"
        })
        .collect();

    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    let seen = daemon.drop_plugin("final-number.wasm", &component("final-number")).await;
    assert_eq!((&seen["plugin"], &seen["error"]), (&json!("final-number"), &Value::Null));
    let upload =
        daemon.request(Method::POST, "/v1/reference-sets/gsm8k/versions?provenance=test").body(lines);
    let version = answer(upload, StatusCode::CREATED).await;
    assert_eq!(version["items"], 1319);

    let mut evaluations = Vec::new();
    for model in models {
        let definition = json!({
            "name": model,
            "source": {"reference_set": "gsm8k", "recording": model},
            "scorers": [{"plugin": "final-number", "config": {"marker": "A:"}}],
            "completion": {"output": "final-number", "at_least": 1},
        });
        let made = daemon.create("/v1/evaluations", &definition).await;
        let id = made["id"].as_str().expect("an id").to_owned();
        let schedule = json!({"cron": "* * * * *", "time_zone": "America/New_York"});
        let set = daemon.request(Method::PUT, &format!("/v1/evaluations/{id}/schedule")).json(&schedule);
        assert!(answer(set, StatusCode::OK).await["next_due_at"].is_string());
        evaluations.push(id);
    }
    for ((model, evaluation), rate) in models.iter().zip(&evaluations).zip([0.2168, 0.3904]) {
        let run = loop {
            let page = daemon.get(&format!("/v1/runs?evaluation={evaluation}&state=finished")).await;
            if let Some(run) = page["runs"].as_array().expect("a list").last() {
                break run.clone();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert_eq!((&run["trigger"], &run["progress"]["done"]), (&json!("schedule"), &json!(1319)));
        let id = run["id"].as_str().expect("an id");
        let result = daemon.get(&format!("/v1/runs/{id}/result")).await;
        let completion = &result["completion"];
        assert!((completion["rate"].as_f64().expect("a rate") - rate).abs() < 5e-5, "{completion}");
        assert_eq!(completion["interval_method"], "wilson");
        assert_eq!(
            result["scorers"][0]["digest"], seen["digest"],
            "the plugin's digest stands with the result"
        );

        let (mut cursor, mut checked) = (String::new(), 0);
        loop {
            let page = daemon.get(&format!("/v1/runs/{id}/items?limit=500{cursor}")).await;
            for item in page["items"].as_array().expect("a list") {
                let row = &rows[item["key"].as_str().expect("a key").parse::<usize>().expect("an index")];
                let correct = row[model]["is_correct"] == true;
                assert_eq!(item["completion"] == "completed", correct, "{model}: {item}");
                checked += 1;
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(checked, 1319);
    }
}

/// About a millisecond an item in this plugin's build.
const PACE: u64 = 2_000_000;

fn paced() -> Value {
    json!({
        "name": "paced",
        "source": {"reference_set": "set"},
        "scorers": [{"plugin": "hostile", "config": {"on": "nothing", "rounds": PACE}}],
        "completion": {"output": "fine", "at_least": 1},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_in_the_middle_of_a_run_loses_and_doubles_nothing() {
    const ITEMS: usize = 5000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let small_batches = [("ASSAY_RUNNER__BATCH_ITEMS_MAX", "50")];
    let mut daemon = Daemon::start_with(folder.path(), &small_batches);
    daemon.drop_plugin("hostile.wasm", &component("hostile")).await;
    let run = daemon.start_run(ITEMS, &paced()).await;

    let mut killed_at = vec![0];
    for moment in 0..20_u64 {
        // Some die before they commit anything, most after they have, however slow the machine.
        let wanted = killed_at[killed_at.len() - 1] + u64::from(moment % 4 != 0);
        let mut done = 0;
        while done < wanted.min(ITEMS as u64) {
            let before = daemon.get(&format!("/v1/runs/{run}")).await;
            done = before["progress"]["done"].as_u64().expect("a count");
        }
        tokio::time::sleep(Duration::from_millis(moment * 37 % 120)).await;
        killed_at.push(done);
        daemon.kill();
        daemon = Daemon::start_with(folder.path(), &small_batches);
    }
    assert!(
        killed_at.iter().filter(|done| (1..ITEMS as u64).contains(*done)).count() >= 10,
        "killed in the middle: {killed_at:?}"
    );
    let ended = daemon.finished(&run).await;
    assert_eq!((&ended["state"], &ended["progress"]["done"]), (&json!("finished"), &json!(ITEMS)));
    let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
    assert_eq!(result["completion"]["counts"]["completed"], ITEMS);
    assert_eq!(result["scorers"][0]["outputs"][0]["scored"], ITEMS);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_at_random_cost_no_result() {
    const ITEMS: usize = 5000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings =
        [("ASSAY_RUNNER__BATCH_ITEMS_MAX", "50"), ("ASSAY_WORKERS__RESTARTS_PER_MINUTE_MAX", "100000")];
    let daemon = Daemon::start_with(folder.path(), &settings);
    daemon.drop_plugin("hostile.wasm", &component("hostile")).await;
    let run = daemon.start_run(ITEMS, &paced()).await;
    let mut killed = 0;
    for moment in 0_u64.. {
        tokio::time::sleep(Duration::from_millis(30 + moment * 37 % 120)).await;
        let now = daemon.get(&format!("/v1/runs/{run}")).await;
        if now["state"] == "finished" {
            break;
        }
        let workers = daemon.worker_processes();
        if let Some(worker) = workers.get(moment as usize % workers.len().max(1)) {
            let sent = std::process::Command::new("kill").args(["-s", "KILL", &worker.to_string()]).status();
            killed += u32::from(sent.is_ok_and(|status| status.success()));
        }
    }
    assert!(killed >= 5, "only {killed} workers were killed");
    let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
    assert_eq!(result["completion"]["counts"]["completed"], ITEMS, "{killed} workers killed: {result}");
    assert_eq!(result["scorers"][0]["outputs"][0]["scored"], ITEMS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_listed_and_never_replaces_a_working_plugin() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    daemon.drop_plugin("mine.wasm", &component("final-number")).await;
    for (file, content, reason) in [
        ("core.wasm", b"\0asm\x01\0\0\0".as_slice(), "core WebAssembly module"),
        ("native.wasm", b"\x7fELF", "precompiled"),
        ("text.wasm", b"hello", "not WebAssembly"),
        ("empty.wasm", b"\0asm\x0d\0\x01\0", "lifecycle"),
    ] {
        let seen = daemon.drop_plugin(file, content).await;
        assert!(seen["error"].as_str().is_some_and(|error| error.contains(reason)), "{seen}");
    }
    // The working file is overwritten by a broken one.
    fs::write(folder.path().join("plugins/mine.wasm"), b"oops").expect("written");
    for _ in 0..100 {
        let list = daemon.get("/v1/plugins").await;
        let files = list["files"].as_array().expect("a list");
        if files.iter().any(|file| file["file"] == "mine.wasm" && file["error"].is_string()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let plugin = daemon.get("/v1/plugins/final-number").await;
    assert_eq!(plugin["name"], "final-number", "the working plugin is still in use");
    assert!(plugin["config_schema"]["properties"]["marker"].is_object());

    // Rolling back and removing.
    let removed = daemon.request(Method::DELETE, "/v1/plugins/final-number");
    answer(removed, StatusCode::NO_CONTENT).await;
    answer(daemon.request(Method::GET, "/v1/plugins/final-number"), StatusCode::NOT_FOUND).await;
    let back = daemon.request(Method::POST, "/v1/plugins/final-number/rollback").json(&json!({}));
    assert_eq!(answer(back, StatusCode::OK).await["digest"], plugin["digest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_evaluation_is_refused_with_the_place_of_each_problem() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limits = [("ASSAY_HTTP__UPLOAD_BYTES_MAX", "2000"), ("ASSAY_HTTP__BODY_BYTES_MAX", "3000")];
    let daemon = Daemon::start_with(folder.path(), &limits);
    let long = "{\"query\":\"q\"}\n".repeat(200);
    let upload = daemon.request(Method::POST, "/v1/reference-sets/long/versions").body(long);
    let problem = answer(upload, StatusCode::PAYLOAD_TOO_LARGE).await;
    assert!(
        problem["detail"].as_str().is_some_and(|detail| detail.contains("upload_bytes_max")),
        "{problem}"
    );
    let body = json!({"name": "x".repeat(4000)});
    let problem =
        answer(daemon.request(Method::POST, "/v1/evaluations").json(&body), StatusCode::PAYLOAD_TOO_LARGE)
            .await;
    assert_eq!(problem["type"], "too-large");
    daemon.drop_plugin("final-number.wasm", &component("final-number")).await;
    let bad = json!({
        "name": "bad",
        "source": {"reference_set": "set"},
        "scorers": [{"plugin": "nowhere"}, {"plugin": "final-number", "config": {"marker": 5}}],
    });
    let problem =
        answer(daemon.request(Method::POST, "/v1/evaluations").json(&bad), StatusCode::UNPROCESSABLE_ENTITY)
            .await;
    let places: Vec<_> =
        problem["errors"].as_array().expect("a list").iter().map(|error| error["path"].clone()).collect();
    assert_eq!(places, [json!("/scorers/0/plugin"), json!("/scorers/1/config/marker")]);

    let misspelt = json!({"nmae": "x"});
    let problem = answer(
        daemon.request(Method::POST, "/v1/evaluations").json(&misspelt),
        StatusCode::UNPROCESSABLE_ENTITY,
    )
    .await;
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("nmae")), "{problem}");
    let lines = "{\"query\":\"q\"}\n{\"qeury\":\"q\"}\n";
    let problem = answer(
        daemon.request(Method::POST, "/v1/reference-sets/s/versions").body(lines),
        StatusCode::UNPROCESSABLE_ENTITY,
    )
    .await;
    assert_eq!(problem["errors"][0]["path"], "line 2");
    answer(daemon.request(Method::GET, "/v1/reference-sets/s"), StatusCode::NOT_FOUND).await;
    for (method, path, status) in [
        (Method::GET, "/v1/nothing", StatusCode::NOT_FOUND),
        (Method::PATCH, "/v1/evaluations", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/v1/runs?limit=9999", StatusCode::BAD_REQUEST),
        (Method::GET, "/v1/runs/not-an-id", StatusCode::BAD_REQUEST),
        (Method::POST, "/v1/plugins", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let problem = answer(daemon.request(method, path), status).await;
        assert_eq!(problem["status"], status.as_u16(), "{path}");
        assert!(problem["type"].is_string() && problem["detail"].is_string(), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_create_creates_once_and_a_run_can_be_followed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    daemon.drop_plugin("final-number.wasm", &component("final-number")).await;
    let lines = "{\"query\":\"q\",\"actual\":\"A: 3\",\"expected\":\"3\"}\n";
    answer(daemon.request(Method::POST, "/v1/reference-sets/set/versions").body(lines), StatusCode::CREATED)
        .await;
    let again = answer(
        daemon.request(Method::POST, "/v1/reference-sets/set/versions").body(lines),
        StatusCode::CREATED,
    )
    .await;
    assert_eq!(again["number"], 1, "the same content is the same version");
    let mut definition = json!({
        "name": "once",
        "source": {"reference_set": "set"},
        "scorers": [{"plugin": "final-number"}],
    });
    let create = |body: &Value| {
        daemon.request(Method::POST, "/v1/evaluations").header("Idempotency-Key", "k1").json(body)
    };
    let first = answer(create(&definition), StatusCode::CREATED).await;
    let second = answer(create(&definition), StatusCode::CREATED).await;
    assert_eq!(first["id"], second["id"]);
    definition["name"] = json!("another");
    answer(create(&definition), StatusCode::UNPROCESSABLE_ENTITY).await;
    definition["name"] = json!("once");
    answer(daemon.request(Method::POST, "/v1/evaluations").json(&definition), StatusCode::CONFLICT).await;

    let path = format!("/v1/evaluations/{}/runs", first["id"].as_str().expect("an id"));
    let run = daemon.create(&path, &json!({})).await["id"].as_str().expect("an id").to_owned();
    let events =
        daemon.request(Method::GET, &format!("/v1/runs/{run}/events")).send().await.expect("answered");
    let events = events.text().await.expect("the stream ends with the run");
    assert!(events.contains("event: end") && events.contains("\"state\":\"finished\""), "{events}");
    let cancelled = daemon.request(Method::POST, &format!("/v1/runs/{run}/cancel"));
    assert_eq!(answer(cancelled, StatusCode::OK).await["cancelled"], false);

    let metrics = daemon.get("/metrics").await;
    let metrics = metrics.as_str().expect("text");
    assert!(metrics.contains("assay_answers_scored_total 1"), "{metrics}");
    let document = daemon.get("/openapi.json").await;
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert!(document["paths"]["/v1/runs/{id}/items"]["get"].is_object());
    let page = daemon.get("/docs/").await;
    assert!(page.as_str().is_some_and(|page| page.contains("swagger-ui")), "the reference page is bundled");
    assert_eq!(daemon.get("/readyz").await["ready"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_host_or_origin_is_refused_and_tokens_do_what_their_role_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start_with(folder.path(), &[("ASSAY_HTTP__REQUIRE_TOKEN", "true")]);
    let get = |path: &str| daemon.request(Method::GET, path);
    answer(get("/healthz"), StatusCode::OK).await;
    answer(get("/healthz").header("Host", "evil.example"), StatusCode::FORBIDDEN).await;
    answer(get("/v1/runs"), StatusCode::UNAUTHORIZED).await;
    answer(get("/v1/runs").bearer_auth("assay_wrong"), StatusCode::UNAUTHORIZED).await;

    let token = |name: &str, role: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(["token", "create", name, "--role", role, "--data-dir"])
            .arg(folder.path())
            .output()
            .expect("the command runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let (read, write, ingest) = (token("r", "read"), token("w", "write"), token("i", "ingest"));
    answer(get("/v1/runs").bearer_auth(&read), StatusCode::OK).await;
    answer(get("/v1/runs").bearer_auth(&ingest), StatusCode::FORBIDDEN).await;
    let create =
        |token: &str| daemon.request(Method::POST, "/v1/evaluations").bearer_auth(token).json(&json!({}));
    answer(create(&read), StatusCode::FORBIDDEN).await;
    answer(create(&write), StatusCode::UNPROCESSABLE_ENTITY).await;
    answer(daemon.request(Method::POST, "/v1/plugins").bearer_auth(&write), StatusCode::FORBIDDEN).await;
    answer(create(&write).header("Origin", "https://evil.example"), StatusCode::FORBIDDEN).await;
    let host = daemon.base.trim_start_matches("http://").to_owned();
    answer(create(&write).header("Origin", format!("http://{host}")), StatusCode::UNPROCESSABLE_ENTITY).await;

    let stored = fs::read(folder.path().join("assay.db")).expect("readable");
    let wal = fs::read(folder.path().join("assay.db-wal")).unwrap_or_default();
    let secret = write.as_bytes();
    assert!(![stored, wal].iter().any(|file| file.windows(secret.len()).any(|part| part == secret)));
    let revoked = std::process::Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["token", "revoke", "w", "--data-dir"])
        .arg(folder.path())
        .status();
    assert!(revoked.is_ok_and(|status| status.success()));
    answer(create(&write), StatusCode::UNAUTHORIZED).await;
}

#[test]
fn an_address_that_others_reach_needs_a_token_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["serve", "--listen", "0.0.0.0:0", "--data-dir"])
        .arg(folder.path())
        .env("ASSAY_ARTIFACT_DIR", support::root().join("target/test-artifacts"))
        .output()
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("assay token create"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_slow_and_oversized_clients_keep_nobody_out() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start_with(folder.path(), &[("ASSAY_HTTP__HEADER_TIMEOUT_S", "3")]);
    let address = daemon.base.trim_start_matches("http://").to_owned();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("raised");
    let wanted = limit.maximum.map_or(10_000, |most| most.saturating_sub(500).min(10_000));
    let mut idle = Vec::new();
    for _ in 0..wanted {
        idle.push(TcpStream::connect(&address).await.expect("connected"));
    }
    answer(daemon.request(Method::GET, "/healthz"), StatusCode::OK).await;

    let talk = async |said: String| {
        let mut stream = TcpStream::connect(&address).await.expect("connected");
        stream.write_all(said.as_bytes()).await.ok();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.ok();
        String::from_utf8_lossy(&heard).into_owned()
    };
    let huge = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000));
    assert!(talk(huge).await.starts_with("HTTP/1.1 431"), "headers have a limit");
    let before = std::time::Instant::now();
    talk(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nX-Slow: ")).await;
    let waited = before.elapsed();
    assert!((2..10).contains(&waited.as_secs()), "a slow client is let go: {waited:?}");

    let mut half = TcpStream::connect(&address).await.expect("connected");
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    half.write_all(request.as_bytes()).await.expect("sent");
    half.shutdown().await.expect("half-closed");
    let mut heard = String::new();
    half.read_to_string(&mut heard).await.expect("answered");
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");

    // The idle ones are let go too.
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(10), idle[0].read(&mut byte)).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    answer(daemon.request(Method::GET, "/healthz"), StatusCode::OK).await;
}
