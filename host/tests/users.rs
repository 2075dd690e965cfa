//! One user's data is deleted everywhere, and nothing of it is left in a file.

mod support;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};
use support::{component, root};

/// The user's name, and a word that only the user's content has.
const USER: &str = "user-to-be-forgotten-9d1f";
const WORD: &str = "xylophonemarker";

const QUICK: [(&str, &str); 4] = [
    ("ASSAY_INGEST__TRACE_SETTLE_S", "1"),
    ("ASSAY_INGEST__TRACE_ROOTLESS_S", "3600"),
    ("ASSAY_INGEST__SESSION_IDLE_S", "1"),
    ("ASSAY_INGEST__SESSION_QUIET_S", "0"),
];

/// Where one of the words is found in the data directory's files, also inside
/// what is compressed there.
fn traces_of(data_dir: &Path) -> Vec<String> {
    let dictionary = include_bytes!("../src/store/payload.dictionary");
    let holds = |bytes: &[u8]| {
        [USER, WORD].iter().any(|word| bytes.windows(word.len()).any(|part| part == word.as_bytes()))
    };
    let mut found = Vec::new();
    let mut folders = vec![data_dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).expect("readable");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if holds(&bytes) {
                found.push(format!("{name} in clear"));
            }
            // Compressed contents, whole or the first part of them.
            for (at, _) in bytes.windows(4).enumerate().filter(|(_, word)| *word == [0x28, 0xb5, 0x2f, 0xfd])
            {
                let decoder = zstd::stream::read::Decoder::with_dictionary(&bytes[at..], dictionary);
                let mut decoder = decoder.expect("a decoder").single_frame();
                let (mut text, mut chunk) = (Vec::new(), [0; 512]);
                while let Ok(read @ 1..) = decoder.read(&mut chunk) {
                    text.extend_from_slice(&chunk[..read]);
                }
                if holds(&text) {
                    found.push(format!("{name} compressed at {at}"));
                }
            }
        }
    }
    found
}

async fn send(daemon: &Daemon, path: &str, body: impl Into<reqwest::Body>) -> Value {
    answer(daemon.request(Method::POST, path).body(body), StatusCode::OK).await
}

fn span(trace: &str, id: &str, parent: Option<&str>, user: Option<&str>, text: &str) -> Value {
    let mut attributes = vec![
        json!({"key": "openinference.span.kind", "value": {"stringValue": "AGENT"}}),
        json!({"key": "input.value", "value": {"stringValue": text}}),
    ];
    if let Some(user) = user {
        attributes.push(json!({"key": "user.id", "value": {"stringValue": user}}));
    }
    json!({
        "traceId": trace.repeat(16), "spanId": id.repeat(8), "parentSpanId": parent.map(|parent| parent.repeat(8)),
        "name": "s", "startTimeUnixNano": "1780000000000000000", "endTimeUnixNano": "1780000001000000000",
        "attributes": attributes,
    })
}

fn tool(trace: &str, id: &str, text: &str) -> Value {
    let mut span = span(trace, id, Some("01"), None, text);
    span["attributes"][0]["value"]["stringValue"] = "TOOL".into();
    span
}

async fn send_spans(daemon: &Daemon, spans: &[Value]) {
    let body = json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]}).to_string();
    let request = daemon.request(Method::POST, "/v1/traces").header("content-type", "application/json");
    answer(request.body(body), StatusCode::OK).await;
}

/// Everything that can hold a user's data, among others' data.
async fn fill(daemon: &Daemon) -> String {
    daemon.drop_plugin("repeated-question.wasm", &component("repeated-question")).await;
    let line = |id: String, user: Option<&str>, session: &str, text: &str| {
        let line = json!({
            "id": id, "query": format!("about {text}"), "actual": format!("of {text}"), "expected": [text],
            "user": user, "session": session, "metadata": {"note": text},
        });
        let mut line = line.as_object().expect("an object").clone();
        line.retain(|_, value| !value.is_null());
        format!("{}\n", Value::Object(line))
    };
    for part in 0..4 {
        let mut lines: String = (0..100)
            .map(|i| {
                line(
                    format!("o{part}-{i}"),
                    Some(&format!("other-{}", i % 20)),
                    &format!("so{part}-{i}"),
                    "weather",
                )
            })
            .collect();
        for i in 0..20 {
            lines += &line(format!("m{part}-{i}"), Some(USER), &format!("{USER} {part}"), WORD);
        }
        // Without a user in the user's session; and another's in a shared one.
        lines += &line(format!("n{part}"), None, &format!("{USER} {part}"), WORD);
        lines += &line(format!("shared-mine{part}"), Some(USER), &format!("shared {part}"), WORD);
        lines += &line(format!("shared-other{part}"), Some("other-1"), &format!("shared {part}"), "weather");
        send(daemon, "/v1/interactions", lines).await;
    }
    let events = [
        json!({"id": "e1", "kind": "rated", "interaction": "m0-1", "value": {"comment": WORD}}),
        json!({"id": "e2", "kind": "rated", "session": format!("{USER} 1"), "value": {"comment": WORD}}),
        json!({"id": "e3", "kind": "copied", "interaction": "o0-1", "value": {"comment": "weather"}}),
        json!({"id": "e4", "kind": "rated", "session": "of events alone", "user": USER, "value": {"comment": WORD}}),
        json!({"id": "e5", "kind": "rated", "interaction": "not there yet", "user": USER, "value": {"comment": WORD}}),
    ];
    send(daemon, "/v1/events", events.map(|event| format!("{event}\n")).concat()).await;
    // An interaction of a trace, then one that takes its place; and spans without a root.
    let traced = async |count: i64| {
        let database = rusqlite::Connection::open(daemon.data_dir.join("assay.db")).expect("opened");
        let made = "SELECT count(*) FROM interaction JOIN name ON name.id = user \
                    WHERE name.text = ?1 AND session IS NULL";
        while database.query_row(made, [USER], |row| row.get::<_, i64>(0)).expect("counted") < count {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let root = span("01", "01", None, Some(USER), WORD);
    send_spans(daemon, &[root, tool("01", "02", WORD)]).await;
    traced(1).await;
    send_spans(daemon, &[tool("01", "03", WORD)]).await;
    traced(2).await;
    send_spans(
        daemon,
        &[span("02", "02", Some("01"), Some(USER), WORD), span("02", "03", Some("01"), None, WORD)],
    )
    .await;
    send_spans(daemon, &[span("03", "02", Some("01"), Some("other-1"), "weather")]).await;

    // Answers that are kept for repeated requests, definitions, scores.
    let keyed = |key: &str| {
        daemon.request(Method::POST, "/v1/interactions").header("idempotency-key", key.to_owned())
    };
    send_ok(keyed("k1").body(format!("{{\"id\":\"k\",\"query\":\"q\"}}\n{{\"session\":5,\"{WORD}\":1}}")))
        .await;
    let definition = json!({
        "name": "of all", "source": {"production": {}},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
    });
    let of_user = json!({
        "name": "of one", "source": {"production": {"slice": {"user": USER}}}, "scorers": definition["scorers"],
    });
    let mut runs = Vec::new();
    for definition in [definition, of_user] {
        let id =
            daemon.create("/v1/evaluations", &definition).await["id"].as_str().expect("an id").to_owned();
        let run = daemon.create(&format!("/v1/evaluations/{id}/runs"), &json!({})).await;
        let run = run["id"].as_str().expect("an id").to_owned();
        assert_eq!(daemon.finished(&run).await["state"], "finished");
        runs.push(run);
    }
    runs.swap_remove(0)
}

async fn send_ok(request: reqwest::RequestBuilder) {
    answer(request, StatusCode::OK).await;
}

async fn extracted(data_dir: &Path) {
    let database = rusqlite::Connection::open(data_dir.join("assay.db")).expect("opened");
    let open = || {
        database.query_row("SELECT count(*) FROM session WHERE extracted_revision < revision", [], |row| {
            row.get::<_, i64>(0)
        })
    };
    while open().expect("counted") > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_deleted_user_is_left_in_any_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("assay.toml");
    fs::write(&config, "[[behaviour.extractors]]\nplugin = \"repeated-question\"\nconfig = {}\n")
        .expect("written");
    let mut variables = QUICK.to_vec();
    variables.push(("ASSAY_CONFIG", config.to_str().expect("UTF-8")));
    let data = folder.path().join("data");
    let daemon = Daemon::start_with(&data, &variables);
    let run = fill(&daemon).await;
    extracted(&data).await;
    let before = daemon.get(&format!("/v1/runs/{run}/result")).await;
    assert!(
        before["scorers"][0]["outputs"][0]["scored"].as_u64().is_some_and(|scored| scored > 480),
        "{before}"
    );
    let there = traces_of(&data);
    assert!(there.iter().any(|place| place.ends_with("in clear")), "{there:?}");
    assert!(there.iter().filter(|place| place.contains("compressed")).count() > 80, "{}", there.len());

    // Reference sets take their copy.
    let of_user = json!({"slice": {"user": USER}});
    let made = daemon.create("/v1/reference-sets/kept/versions/from-production", &of_user).await;
    let items = made["items"].as_u64().expect("a count");
    assert!(items > 0, "{made}");
    let gone = answer(daemon.request(Method::DELETE, &format!("/v1/users/{USER}")), StatusCode::OK).await;
    assert_eq!(gone["items"], items, "{gone}");
    assert_eq!(gone["log_emptied"], true, "{gone}");
    // 20 and one without a user in each of four sessions, one in each shared one, the traced one and
    // the one whose place it took.
    assert_eq!(gone["interactions"], 4 * 22 + 2, "{gone}");
    assert_eq!((&gone["events"], &gone["definitions"]), (&json!(4), &json!(3)), "{gone}");
    assert!(gone["spans"].as_u64().is_some_and(|spans| spans >= 3), "{gone}");
    assert!(gone["remembered_answers"].as_u64().is_some_and(|answers| answers >= 1), "{gone}");
    assert!(gone["findings"].as_u64().is_some_and(|findings| findings > 200), "{gone}");
    assert_eq!(traces_of(&data), Vec::<String>::new());

    // What others have stays, and what it was part of is read again.
    let page = daemon.get("/v1/interactions?limit=500").await;
    let left = page["interactions"].as_array().expect("a list");
    assert_eq!(left.len(), 4 * 101 + 1);
    answer(daemon.request(Method::GET, "/v1/interactions/m0-1"), StatusCode::NOT_FOUND).await;
    let shared = daemon.get("/v1/interactions/shared-other0").await;
    assert_eq!(shared["origin"]["user"], "other-1");
    extracted(&data).await;
    let after = daemon.get(&format!("/v1/runs/{run}/result")).await;
    assert_eq!(after["scorers"][0]["outputs"][0]["scored"], 4 * 101);
    let again = answer(daemon.request(Method::DELETE, &format!("/v1/users/{USER}")), StatusCode::OK).await;
    assert_eq!(again["interactions"], 0);

    // The user comes back as another.
    send(&daemon, "/v1/interactions", format!("{{\"id\":\"new\",\"query\":\"q\",\"user\":\"{USER}\"}}"))
        .await;
    let page = daemon.get(&format!("/v1/interactions?user={USER}")).await;
    assert_eq!(page["interactions"].as_array().map(Vec::len), Some(1));
    drop(daemon);
    let database = rusqlite::Connection::open(data.join("assay.db")).expect("opened");
    let broken: i64 = database
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .expect("checked");
    assert_eq!(broken, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_deletes_a_user_and_a_command_does_it_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let daemon = Daemon::start_with(&data, &[("ASSAY_HTTP__REQUIRE_TOKEN", "true")]);
    let assay = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command.args(["--json", "--data-dir"]).arg(&data).args(arguments);
        command.env("ASSAY_ARTIFACT_DIR", root().join("target/test-artifacts"));
        command.output().expect("the command runs")
    };
    let token = |role: &str| {
        let made = assay(&["token", "create", role, "--role", role]);
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        made["token"].as_str().expect("a token").to_owned()
    };
    let ask = |method: Method, path: &str, token: &str| daemon.request(method, path).bearer_auth(token);
    let (write, admin, ingest) = (token("write"), token("admin"), token("ingest"));
    let lines = "{\"id\":\"a\",\"query\":\"q\",\"user\":\"a user/1\"}\n{\"id\":\"b\",\"query\":\"q\",\"user\":\"u2\"}";
    answer(ask(Method::POST, "/v1/interactions", &ingest).body(lines), StatusCode::OK).await;
    answer(ask(Method::DELETE, "/v1/users/a%20user%2F1", &write), StatusCode::FORBIDDEN).await;
    let gone = answer(ask(Method::DELETE, "/v1/users/a%20user%2F1", &admin), StatusCode::OK).await;
    assert_eq!((&gone["user"], &gone["interactions"]), (&json!("a user/1"), &json!(1)));

    let done = assay(&["user", "delete", "u2"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let gone: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((&gone["interactions"], &gone["log_emptied"]), (&json!(1), &json!(true)));
    answer(ask(Method::GET, "/v1/interactions/b", &admin), StatusCode::NOT_FOUND).await;
}
