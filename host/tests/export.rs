//! `assay export`: what production holds, as files that others read.

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use parquet::basic::{Compression, LogicalType, TimeUnit, Type};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};

fn assay(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["--json", "--data-dir"])
        .arg(data)
        .args(arguments)
        .env_remove("ASSAY_URL")
        .output()
        .expect("the command runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exports and answers how many rows each file has.
fn export(data: &Path, arguments: &[&str]) -> Vec<u64> {
    let output = assay(data, &[&["export"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let files: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    files.iter().map(|file| file["rows"].as_u64().expect("a number")).collect()
}

fn reader(path: &Path) -> SerializedFileReader<File> {
    SerializedFileReader::new(File::open(path).expect("it is there")).expect("it is Parquet")
}

fn rows(folder: &Path, table: &str) -> Vec<Row> {
    let file = reader(&folder.join(format!("{table}.parquet")));
    file.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect()
}

fn field(row: &Row, name: &str) -> Field {
    let found = row.get_column_iter().find(|(column, _)| *column == name);
    found.unwrap_or_else(|| panic!("no column `{name}`")).1.clone()
}

fn text(row: &Row, name: &str) -> String {
    match field(row, name) {
        Field::Str(text) => text,
        other => panic!("`{name}` is {other:?}"),
    }
}

/// 1,200 interactions of 300 sessions, each with an event, and a run over them.
async fn filled(data: &Path) -> Daemon {
    let daemon = Daemon::start_with(
        data,
        &[("ASSAY_INGEST__SESSION_IDLE_S", "1"), ("ASSAY_INGEST__SESSION_QUIET_S", "0")],
    );
    let lines: String = (0..1_200_u64)
        .map(|i| {
            let line = json!({
                "id": format!("i{i}"), "query": format!("question {i}"), "actual": if i % 4 == 0 { "no" } else { "yes" },
                "expected": ["yes"], "request_class": if i % 3 == 0 { "billing" } else { "other" },
                "session": format!("s{}", i / 4), "user": format!("u{}", i / 8), "model": "m-1", "cost": 0.5,
                "started_at": 1_767_323_045_000_000_u64 + i * 1_000_000, "metadata": {"city": "Zürich"},
                "usage": {"input": i, "output": 7}, "timing": {"total_us": 1_000 + i, "streamed": true},
                "documents": [{"content": "c"}],
            });
            format!("{line}\n")
        })
        .collect();
    answer(daemon.request(Method::POST, "/v1/interactions").body(lines), StatusCode::OK).await;
    let events: String = (0..300)
        .map(|i| {
            let about = if i % 2 == 0 { "interaction" } else { "session" };
            let name = if i % 2 == 0 { format!("i{}", i * 4) } else { format!("s{i}") };
            let at = 1_767_323_046_000_000_u64 + i * 4_000_000;
            let line =
                json!({"id": format!("e{i}"), "kind": "rated", about: name, "at": at, "value": {"stars": 5}});
            format!("{line}\n")
        })
        .collect();
    answer(daemon.request(Method::POST, "/v1/events").body(events), StatusCode::OK).await;
    let definition = json!({
        "name": "equal", "source": {"production": {}}, "completion": {"output": "equals", "at_least": 1},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
    });
    let id = daemon.create("/v1/evaluations", &definition).await["id"].as_str().expect("an id").to_owned();
    let run = daemon.create(&format!("/v1/evaluations/{id}/runs"), &json!({})).await;
    let run = daemon.finished(run["id"].as_str().expect("an id")).await;
    assert_eq!(run["state"], "finished", "{run}");
    daemon
}

#[tokio::test(flavor = "multi_thread")]
async fn files_hold_what_production_holds_while_the_daemon_works() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let daemon = filled(&data).await;
    let to = out.to_str().expect("UTF-8");
    let counts = export(&data, &["--parquet", to]);
    assert_eq!((counts[0], counts[1], counts[3]), (1_200, 1_200, 300));

    let file = reader(&out.join("interactions.parquet"));
    let metadata = file.metadata();
    let column = |name: &str| {
        let schema = metadata.file_metadata().schema_descr_ptr();
        schema.columns().iter().find(|column| column.name() == name).expect("a column").clone()
    };
    assert!(matches!(
        column("started_at").logical_type_ref(),
        Some(LogicalType::Timestamp(at)) if at.unit == TimeUnit::MICROS && at.is_adjusted_to_u_t_c
    ));
    assert_eq!(column("input_tokens").physical_type(), Type::INT64);
    assert_eq!(column("cost").physical_type(), Type::DOUBLE);
    assert_eq!(column("streamed").physical_type(), Type::BOOLEAN);
    assert!(matches!(metadata.row_group(0).column(0).compression(), Compression::ZSTD(_)));

    let interactions = rows(&out, "interactions");
    let one = &interactions[5];
    assert_eq!((text(one, "key"), text(one, "query")), ("i5".into(), "question 5".into()));
    assert_eq!((text(one, "user_name"), text(one, "session")), ("u0".into(), "s1".into()));
    assert_eq!(field(one, "started_at"), Field::TimestampMicros(1_767_323_050_000_000));
    assert_eq!(field(one, "input_tokens"), Field::Long(5));
    assert_eq!(field(one, "cost"), Field::Double(0.5));
    assert_eq!(field(one, "streamed"), Field::Bool(true));
    assert_eq!(field(one, "error"), Field::Null);
    assert_eq!(text(one, "metadata"), r#"{"city":"Zürich"}"#);

    let scores = rows(&out, "scores");
    let right = scores.iter().filter(|row| field(row, "value") == Field::Double(1.0)).count();
    assert_eq!(right, 900, "three of four are right");
    assert_eq!(
        (text(&scores[0], "completion"), text(&scores[0], "output")),
        ("not_completed".into(), "equals".into())
    );
    let ids: Vec<_> = interactions.iter().map(|row| text(row, "id")).collect();
    assert!(scores.iter().all(|row| ids.contains(&text(row, "interaction_id"))));
    let events = rows(&out, "events");
    assert_eq!(text(&events[0], "interaction_id"), ids[0]);
    assert_eq!(
        (field(&events[1], "interaction_id"), text(&events[1], "session")),
        (Field::Null, "s1".into())
    );

    // A slice, and a folder that holds an export already.
    let sliced = folder.path().join("sliced");
    let to_sliced = sliced.to_str().expect("UTF-8");
    let (from, to_instant) = ("2026-01-02T03:04:05Z", "2026-01-02T03:14:05Z");
    let slice = ["--parquet", to_sliced, "--class", "billing", "--from", from, "--to", to_instant];
    let counts = export(&data, &slice);
    assert_eq!((counts[0], counts[1]), (200, 200), "a third of ten minutes");
    // Of 150 events, 75 name the interactions 0, 8, 16, …, of which every third is billed;
    // and of the sessions of four every one has a billed interaction.
    assert_eq!(counts[3], 25 + 75);
    let refused = assay(&data, &["export", "--parquet", to]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).contains("exists already"), "{}", told(&refused));
    assert_eq!(assay(&data, &["export"]).status.code(), Some(2), "a folder is needed");
    let nowhere = assay(&folder.path().join("nowhere"), &["export", "--jsonl", to_sliced]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(told(&nowhere).contains("no database"), "{}", told(&nowhere));
    drop(daemon);
}

/// Signals need an extractor: the guest that finds a repeated question.
#[tokio::test(flavor = "multi_thread")]
async fn signals_are_exported_with_their_session_and_interaction() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let config = folder.path().join("assay.toml");
    fs::write(&config, "[[behaviour.extractors]]\nplugin = \"repeated-question\"\nconfig = {}\n")
        .expect("written");
    let variables = [
        ("ASSAY_CONFIG", config.to_str().expect("UTF-8")),
        ("ASSAY_INGEST__SESSION_IDLE_S", "1"),
        ("ASSAY_INGEST__SESSION_QUIET_S", "0"),
    ];
    let daemon = Daemon::start_with(&data, &variables);
    daemon.drop_plugin("repeated-question.wasm", &support::component("repeated-question")).await;
    let lines = concat!(
        r#"{"id":"a","query":"Where is it?","session":"s","started_at":"2026-01-02T03:04:05Z"}"#,
        "\n",
        r#"{"id":"b","query":"Where is it?","session":"s","started_at":"2026-01-02T03:04:06Z"}"#,
        "\n",
    );
    answer(daemon.request(Method::POST, "/v1/interactions").body(lines), StatusCode::OK).await;
    let stored = rusqlite::Connection::open(data.join("assay.db")).expect("opened");
    let count = || stored.query_row("SELECT count(*) FROM signal", [], |row| row.get::<_, i64>(0));
    while count().expect("counted") == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let id = daemon.get("/v1/interactions/b").await["session"].as_str().expect("a session").to_owned();
    export(&data, &["--parquet", out.to_str().expect("UTF-8")]);
    let signals = rows(&out, "signals");
    assert_eq!(signals.len(), 1, "what is about the whole session is there once");
    assert_eq!((text(&signals[0], "session_id"), field(&signals[0], "interaction_id")), (id, Field::Null));
    assert_eq!(text(&signals[0], "plugin"), "repeated-question");
    assert_eq!(field(&signals[0], "value"), Field::Double(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_were_exported_are_imported_and_come_out_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let (data, first) = (path.join("data"), path.join("first"));
    let daemon = filled(&data).await;
    // One without a name of the client's.
    let unnamed = r#"{"query":"unnamed","actual":"a","started_at":"2026-01-02T03:04:04Z"}"#;
    answer(daemon.request(Method::POST, "/v1/interactions").body(unnamed), StatusCode::OK).await;
    drop(daemon);
    export(&data, &["--jsonl", first.to_str().expect("UTF-8")]);
    let other = path.join("other");
    for (file, more) in [("interactions", None), ("events", Some("--events"))] {
        let file = first.join(format!("{file}.jsonl"));
        let file = file.to_str().expect("UTF-8");
        let arguments: Vec<_> = ["import", file].into_iter().chain(more).collect();
        for expected in [other.as_path(), data.as_path()] {
            let output = assay(expected, &arguments);
            assert_eq!(output.status.code(), Some(0), "{}", told(&output));
            let imported: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(imported["rejected"], 0, "{imported}");
            // Where they came from, all are known.
            let figure = if expected == data { "accepted" } else { "duplicates" };
            assert_eq!(imported[figure], 0, "{file}: {imported}");
        }
    }
    let second = path.join("second");
    export(&other, &["--jsonl", second.to_str().expect("UTF-8")]);
    for file in ["interactions.jsonl", "events.jsonl"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(file)).expect("read");
        assert_eq!(read(&first), read(&second), "{file}");
    }
    assert!(fs::read_to_string(first.join("scores.jsonl")).expect("read").contains("\"output\":\"equals\""));

    // And a table of another program's kind.
    let tables = path.join("tables");
    export(&data, &["--parquet", tables.to_str().expect("UTF-8")]);
    let file = tables.join("interactions.parquet");
    let third = path.join("third");
    let arguments = [
        "import",
        file.to_str().expect("UTF-8"),
        "--key",
        "id",
        "--map",
        "query=query",
        "--map",
        "started_at=started_at",
        "--map",
        "usage.input=input_tokens",
        "--map",
        "metadata=metadata",
        "--map",
        "expected=expected",
    ];
    let output = assay(&third, &arguments);
    let imported: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&imported["accepted"], &imported["rejected"]), (&json!(1_201), &json!(0)), "{imported}");
}
