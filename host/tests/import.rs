//! `assay import`: files of interactions and events, into a data directory and
//! into a running daemon.

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use assay::domain::slice::Slice;
use assay::store::{Store, StoredInteraction};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};
use support::real_data;

fn assay(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["--json", "--data-dir"])
        .arg(folder.join("data"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("ASSAY_URL")
        .env_remove("ASSAY_TOKEN")
        .output()
        .expect("the command runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Imports and answers what became of the rows.
fn import(folder: &Path, arguments: &[&str]) -> Value {
    let output = assay(folder, &[&["import"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn figures(imported: &Value) -> (u64, u64, u64) {
    let figure = |name: &str| imported[name].as_u64().expect("a figure");
    (figure("accepted"), figure("duplicates"), figure("rejected"))
}

/// The newest interactions of a data directory, and how many there are.
async fn stored(folder: &Path) -> (Vec<StoredInteraction>, u64) {
    let store = Store::open(&folder.join("data/assay.db")).expect("opened");
    let page = store.interaction_page(Slice::default(), None, 50).await.expect("read");
    let count = store.interaction_count(Slice::default()).await.expect("counted");
    (page, count)
}

#[tokio::test]
async fn a_table_is_imported_by_its_mapping_once_and_bad_rows_are_told_by_number() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let table = "when,prompt,answer,in,ms,who\n\
                 2026-01-02 03:04:05,\"Where,\nis it?\",There.,12,1.5,u1\n\
                 yesterday,q,a,1,1,u1\n\
                 2026-01-02 03:04:06,q2,,many,2,u2\n\
                 2026-01-02 03:04:07,q3,a3,,,\n";
    fs::write(path.join("t.csv"), table).expect("written");
    let options = [
        "t.csv",
        "--time-format",
        "%Y-%m-%d %H:%M:%S",
        "--map",
        "started_at=when",
        "--map",
        "query=prompt",
        "--map",
        "actual=answer",
        "--map",
        "usage.input=in",
        "--map",
        "timing.total_ms=ms",
        "--map",
        "user=who",
        "--set",
        "service=old",
        "--set",
        "metadata.source=t",
    ];
    let first = import(path, &options);
    assert_eq!(figures(&first), (2, 0, 2));
    let rejections: Vec<_> = first["rejections"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["line"].as_u64(), one["reason"].as_str().expect("a reason").to_owned()))
        .collect();
    assert_eq!((rejections[0].0, rejections[1].0), (Some(4), Some(5)));
    assert!(rejections[0].1.contains("`when`: `yesterday`") && rejections[1].1.contains("`in`"), "{first}");
    assert_eq!(figures(&import(path, &options)), (0, 2, 2), "the same rows count once");

    let (page, count) = stored(path).await;
    assert_eq!(count, 2);
    let item: Value = serde_json::from_str(page[1].payload.item()).expect("JSON");
    let answered: Value = serde_json::from_str(page[1].payload.answer()).expect("JSON");
    assert_eq!(item, json!({"query": "Where,\nis it?", "metadata": {"source": "t"}}));
    assert_eq!((&answered["usage"]["input"], &answered["timing"]["total_us"]), (&json!(12), &json!(1_500)));
    assert_eq!(page[1].started_at.to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(page[1].payload.origin.user.as_deref(), Some("u1"));
    assert_eq!(page[0].payload.origin.service.as_deref(), Some("old"));
    assert_eq!(page[0].payload.origin.user, None, "an empty cell is a missing value");
}

#[tokio::test]
async fn lines_go_the_way_of_all_that_comes_in_and_events_find_their_interactions() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let rules =
        "[[ingest.redact]]\npattern = \"email\"\n[[ingest.classes]]\nclass = \"mail\"\nquery = \"@\"\n";
    fs::write(path.join("assay.toml"), rules).expect("written");
    let lines = "{\"id\":\"a\",\"query\":\"of me@example.com\",\"started_at\":\"2026-01-02T03:04:05Z\"}\n{\"qeury\":1}\n";
    fs::write(path.join("l.jsonl"), lines).expect("written");
    let first = import(path, &["l.jsonl", "--config", "assay.toml"]);
    assert_eq!(figures(&first), (1, 0, 1));
    assert!(first["rejections"][0]["reason"].as_str().is_some_and(|reason| reason.contains("`qeury`")));
    let (page, _) = stored(path).await;
    assert_eq!(page[0].request_class.as_deref(), Some("mail"));
    assert!(page[0].payload.item().contains("of [email]"), "{}", page[0].payload.item());

    fs::write(path.join("e.csv"), "of,at,stars\na,1767323046,5\n,1767323046,1\n").expect("written");
    let options = ["e.csv", "--events", "--set", "kind=rated", "--map", "interaction=of", "--map", "at=at"];
    let options = [&options[..], &["--map", "value=stars", "--time-format", "s"]].concat();
    assert_eq!(figures(&import(path, &options)), (1, 0, 1), "the second is about nothing");
    let (page, _) = stored(path).await;
    assert!(page[0].session.is_some(), "an event needs a session");

    for (arguments, code, reason) in [
        (vec!["l.jsonl", "--map", "prompt=x"], 2, "`prompt` is no field"),
        (vec!["e.csv", "--map", "query=question"], 2, "no column `question`; it has: of, at, stars"),
        (vec!["e.csv", "--time-format", "hours"], 2, "`hours`"),
        (vec!["nowhere.csv"], 2, "nowhere.csv"),
        (vec!["assay.toml"], 2, "--format"),
        (vec!["e.csv"], 1, "not one row of `e.csv` could be used"),
        (vec!["assay.toml", "--format", "parquet"], 1, "cannot be read as Parquet"),
    ] {
        let refused = assay(path, &[&["import"], &arguments[..]].concat());
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", told(&refused));
        assert!(told(&refused).contains(reason), "{arguments:?}: {}", told(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_takes_a_file_over_its_api_in_bodies_of_its_size() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let daemon = Daemon::start_with(&path.join("data"), &[("ASSAY_INGEST__BODY_BYTES_MAX", "65536")]);
    let mut lines: String = (0..2_000)
        .map(|i| format!("{{\"n\":\"{i}\",\"q\":\"a question of some length that fills bodies {i}\"}}\n"))
        .collect();
    // Too large for this daemon, and wrong for every one.
    lines.push_str(&format!("{{\"n\":\"large\",\"q\":\"{}\"}}\n", "x".repeat(70_000)));
    lines.push_str("{\"n\":\"\",\"q\":\"q\"}\n{\"n\":\"last\",\"q\":\"q\",\"f\":\"perhaps\"}\n");
    fs::write(path.join("l.jsonl"), lines).expect("written");
    let held = assay(path, &["import", "l.jsonl"]);
    assert_eq!(held.status.code(), Some(1));
    assert!(told(&held).contains("send to it with `--url`"), "{}", told(&held));

    let options = ["l.jsonl", "--key", "n", "--map", "query=q", "--map", "partial=f", "--url", &daemon.base];
    let first = import(path, &options);
    assert_eq!(figures(&first), (2_000, 0, 3), "{first}");
    let lines: Vec<_> =
        first["rejections"].as_array().expect("a list").iter().map(|one| one["line"].as_u64()).collect();
    assert_eq!(lines, [Some(2_001), Some(2_002), Some(2_003)]);
    assert_eq!(figures(&import(path, &options)), (0, 2_000, 3));
    assert_eq!(daemon.get("/v1/interactions/1999").await["origin"]["key"], "1999");

    fs::write(path.join("wrong.jsonl"), "{\"id\":\"x\",\"qeury\":\"q\"}\n").expect("written");
    let refused = assay(path, &["import", "wrong.jsonl", "--url", &daemon.base]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("`qeury`"), "{}", told(&refused));
    answer(daemon.request(Method::GET, "/v1/interactions/x"), StatusCode::NOT_FOUND).await;
}

#[test]
fn a_daemon_that_is_busy_is_asked_again_and_the_token_is_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    fs::write(path.join("l.jsonl"), "{\"id\":\"a\",\"query\":\"q\"}\n").expect("written");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/behind", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let body = r#"{"accepted":1,"duplicates":0,"rejected":[]}"#;
        let taken =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        let mut requests = Vec::new();
        for response in [busy, busy, &taken] {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).expect("a request");
            requests.push(String::from_utf8_lossy(&request[..read]).into_owned());
            stream.write_all(response.as_bytes()).expect("answered");
        }
        requests
    });
    let started = std::time::Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["import", "l.jsonl", "--url", &url])
        .current_dir(path)
        .env("ASSAY_TOKEN", "secret-token")
        .output()
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(started.elapsed().as_secs_f64() >= 2.0, "`Retry-After` is kept to");
    let requests = server.join().expect("it ended");
    let last = requests.last().expect("three requests").to_ascii_lowercase();
    assert!(last.starts_with("post /behind/v1/interactions"), "{last}");
    assert!(last.contains("authorization: bearer secret-token"), "{last}");
    assert!(last.contains("application/x-ndjson"), "{last}");
}

#[tokio::test]
async fn public_traces_are_imported_with_options_alone() {
    let (Some(azure), Some(mooncake)) = (real_data("azure-llm-2023"), real_data("mooncake")) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let file = azure.join("AzureLLMInferenceTrace_conv.csv");
    let options = [
        file.to_str().expect("UTF-8"),
        "--map",
        "started_at=TIMESTAMP",
        "--map",
        "usage.input=ContextTokens",
        "--map",
        "usage.output=GeneratedTokens",
        "--time-format",
        "%Y-%m-%d %H:%M:%S%.f",
        "--set",
        "service=azure",
    ];
    let imported = import(path, &options);
    assert_eq!(figures(&imported), (19_366, 0, 0), "one row a line after the heading");
    let file = mooncake.join("conversation_trace.jsonl");
    let options = [
        file.to_str().expect("UTF-8"),
        "--map",
        "started_at=timestamp",
        "--map",
        "usage.input=input_length",
        "--map",
        "usage.output=output_length",
        "--map",
        "extra.hash_ids=hash_ids",
        "--time-format",
        "ms",
        "--time-origin",
        "2024-01-01T00:00:00Z",
    ];
    let imported = import(path, &options);
    let lines = fs::read_to_string(mooncake.join("conversation_trace.jsonl")).expect("read").lines().count();
    assert_eq!(figures(&imported), (lines as u64, 0, 0));
    let (page, count) = stored(path).await;
    assert_eq!(count, 19_366 + lines as u64);
    let item: Value = serde_json::from_str(page[0].payload.item()).expect("JSON");
    assert!(item["extra"]["hash_ids"].is_array(), "{item}");
}
