//! The commands: what they print and how they exit.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::{component, root};

fn assay(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["--data-dir"])
        .arg(folder.join("data"))
        .args(arguments)
        .current_dir(folder)
        .env("ASSAY_ARTIFACT_DIR", root().join("target/test-artifacts"))
        .output()
        .expect("the command runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const RUN: &str = r#"
name = "numbers"
completion = { output = "final-number", at_least = 1 }
[data]
file = "answers.jsonl"
[[scorers]]
file = "final-number.wasm"
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("final-number.wasm"), component("final-number")).expect("written");
    fs::write(folder.path().join("run.toml"), RUN).expect("written");
    let lines = "{\"query\":\"a\",\"actual\":\"3\",\"expected\":\"3\"}\n{\"query\":\"b\",\"actual\":\"4\",\"expected\":\"3\"}\n";
    fs::write(folder.path().join("answers.jsonl"), lines).expect("written");
    folder
}

#[test]
fn run_exits_as_its_help_says() {
    let folder = folder();
    let path = folder.path();
    let done = assay(path, &["--json", "run", "run.toml", "--fail-under", "0.5"]);
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    let result: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((&result["completion"]["rate"], &result["completion"]["n"]), (&0.5.into(), &2.into()));
    let again = assay(path, &["run", "run.toml"]);
    assert_eq!(again.status.code(), Some(0), "{}", told(&again));
    let table = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(table.contains("50.00 %") && table.contains("final-number.final-number"), "{table}");
    assert_eq!(assay(path, &["run", "run.toml", "--fail-under", "0.6"]).status.code(), Some(3));

    for (file, content, reason) in [
        ("missing.toml", None, "missing.toml"),
        ("bad.toml", Some("name = 5"), "line 1"),
        ("no-plugin.toml", Some(&*RUN.replace("file = \"final", "file = \"other")), "other-number.wasm"),
        (
            "no-output.toml",
            Some(&*RUN.replace("output = \"final-number\"", "output = \"beauty\"")),
            "`beauty`",
        ),
        ("no-data.toml", Some(&*RUN.replace("answers.jsonl", "nowhere.jsonl")), "nowhere.jsonl"),
    ] {
        if let Some(content) = content {
            fs::write(path.join(file), content).expect("written");
        }
        let refused = assay(path, &["run", file]);
        assert!(refused.status.code().is_some_and(|code| code == 1 || code == 2), "{file}");
        assert!(told(&refused).contains(reason), "{file}: {}", told(&refused));
    }
    fs::write(path.join("answers.jsonl"), "{\"query\":\"a\"}\nnot json\n").expect("written");
    let refused = assay(path, &["run", "run.toml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).contains("line 2"), "{}", told(&refused));
}

#[test]
fn plugins_are_checked_installed_inspected_rolled_back_and_removed() {
    let folder = folder();
    let path = folder.path();
    let checked = assay(path, &["plugin", "check", "final-number.wasm"]);
    assert_eq!(checked.status.code(), Some(0), "{}", told(&checked));
    fs::write(path.join("core.wasm"), b"\0asm\x01\0\0\0").expect("written");
    let refused = assay(path, &["plugin", "check", "core.wasm"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).contains("assay plugin build"), "{}", told(&refused));

    assert_eq!(assay(path, &["plugin", "install", "final-number.wasm"]).status.code(), Some(0));
    let inspect = || -> Value {
        let output = assay(path, &["--json", "plugin", "inspect", "final-number"]);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let first = inspect();
    assert_eq!((&first["version"], first["history"].as_array().map(Vec::len)), (&"0.1.0".into(), Some(1)));
    // A custom section makes it another build.
    let other = [component("final-number"), vec![0, 2, 1, b'n']].concat();
    fs::write(path.join("other.wasm"), other).expect("written");
    assert_eq!(assay(path, &["plugin", "install", "other.wasm"]).status.code(), Some(0));
    assert_ne!(inspect()["digest"], first["digest"]);
    assert_eq!(assay(path, &["plugin", "rollback", "final-number"]).status.code(), Some(0));
    assert_eq!(inspect()["digest"], first["digest"]);
    let listed = assay(path, &["plugin", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("final-number"));
    assert_eq!(assay(path, &["plugin", "remove", "final-number"]).status.code(), Some(0));
    let gone = assay(path, &["plugin", "inspect", "final-number"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(told(&gone).contains("no plugin `final-number`"), "{}", told(&gone));
}

#[test]
fn plugins_of_other_capabilities_are_described_and_refused_as_scorers() {
    let folder = folder();
    let path = folder.path();
    for (name, gives) in [("empty-answer", "label"), ("repeated-question", "signal")] {
        fs::write(path.join(format!("{name}.wasm")), component(name)).expect("written");
        let checked = assay(path, &["--json", "plugin", "check", &format!("{name}.wasm")]);
        assert_eq!(checked.status.code(), Some(0), "{}", told(&checked));
        let shown: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
        assert_eq!(shown["capabilities"], serde_json::json!([gives]));
        let file = format!("{name}.toml");
        fs::write(path.join(&file), RUN.replace("final-number.wasm", &format!("{name}.wasm")))
            .expect("written");
        let refused = assay(path, &["run", &file]);
        assert!(told(&refused).contains("exports no `scoring`"), "{}", told(&refused));
    }
}

#[test]
fn the_configuration_is_checked_by_key_and_line() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("assay.toml"), "[workers]\ncuont = 3\n").expect("written");
    let refused = assay(path, &["--config", "assay.toml", "config", "check"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).contains("line 2") && told(&refused).contains("cuont"), "{}", told(&refused));
    fs::write(path.join("assay.toml"), "[workers]\ncount = 3\n").expect("written");
    assert_eq!(assay(path, &["--config", "assay.toml", "config", "check"]).status.code(), Some(0));
    let shown = assay(path, &["--config", "assay.toml", "config", "show"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("count = 3"));
}

#[test]
fn two_processes_never_execute_runs_of_one_data_directory() {
    let folder = folder();
    let daemon = support::daemon::Daemon::start(&folder.path().join("data"));
    let refused = assay(folder.path(), &["run", "run.toml"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused).contains("in use by another"), "{}", told(&refused));
    drop(daemon);
}
