//! Faults of the process, the disk and the database: nothing acknowledged is
//! lost, nothing is doubled, and each has a clear error.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use assay::workers::ArtifactCache;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::component;
use support::daemon::{Daemon, answer, plain_lines};

const ITEMS: usize = 200;

fn definition(rounds: u64) -> Value {
    json!({
        "name": "evaluation",
        "source": {"reference_set": "set"},
        "scorers": [{"plugin": "hostile", "config": {"on": "nothing", "rounds": rounds}}],
        "completion": {"output": "fine", "at_least": 1},
    })
}

fn assay(data_dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .env("ASSAY_ARTIFACT_DIR", support::root().join("target/test-artifacts"))
        .output()
        .expect("the command runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A daemon that may die at any moment, and is started again by its client.
struct Mortal {
    folder: tempfile::TempDir,
    /// Of its own where a test looks at what it keeps.
    artifacts: Option<PathBuf>,
    daemon: Option<Daemon>,
    died: bool,
}

impl Mortal {
    fn new(fault: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Nothing is staged in a cache that has everything.
        let artifacts = fault.starts_with("artifact").then(|| folder.path().join("artifacts"));
        let mut mortal = Self { folder, artifacts, daemon: None, died: false };
        mortal.daemon = mortal.start(&[("ASSAY_FAULT", fault)]).ok();
        mortal.died = mortal.daemon.is_none();
        mortal.living();
        mortal
    }

    fn start(&self, variables: &[(&str, &str)]) -> Result<Daemon, String> {
        let artifacts = self.artifacts.as_ref().map(|path| path.to_str().expect("UTF-8"));
        let own = artifacts.map(|path| ("ASSAY_ARTIFACT_DIR", path));
        let variables: Vec<_> = variables.iter().copied().chain(own).collect();
        Daemon::try_start(&self.folder.path().join("data"), &variables)
    }

    fn living(&mut self) -> &Daemon {
        if self.daemon.is_none() {
            self.daemon = Some(self.start(&[]).unwrap_or_else(|said| panic!("it said {said:?}")));
        }
        self.daemon.as_ref().expect("just started")
    }

    /// Sends a request until it is answered, as a careful client does.
    async fn ask(&mut self, method: Method, path: &str, key: &str, body: String) -> Value {
        for _ in 0..2 {
            let request = self
                .living()
                .request(method.clone(), path)
                .header("Idempotency-Key", key)
                .header("Content-Type", "application/json")
                .body(body.clone());
            if let Ok(response) = request.send().await {
                let status = response.status();
                if let Ok(text) = response.text().await {
                    assert!(status.is_success(), "{path}: {text}");
                    return serde_json::from_str(&text).expect("JSON");
                }
            }
            assert!(!std::mem::replace(&mut self.died, true), "it dies once");
            self.daemon = None;
        }
        panic!("{path} is not answered")
    }
}

async fn survives(fault: &str) -> bool {
    let mut mortal = Mortal::new(fault);
    let upload = |component: Vec<u8>| {
        let path = mortal.folder.path().join("hostile.wasm");
        fs::write(&path, component).expect("written");
        path
    };
    let staged = upload(component("hostile"));
    fs::rename(&staged, mortal.folder.path().join("data/plugins/hostile.wasm")).expect("dropped");
    for _ in 0..600 {
        let list = mortal.ask(Method::GET, "/v1/plugins", "", String::new()).await;
        if let Some(file) = list["files"].get(0) {
            assert_eq!(file["plugin"], "hostile", "{fault}: {list}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    mortal.ask(Method::POST, "/v1/reference-sets/set/versions", "set", plain_lines(ITEMS)).await;
    let made = mortal.ask(Method::POST, "/v1/evaluations", "evaluation", definition(0).to_string()).await;
    let path = format!("/v1/evaluations/{}/runs", made["id"].as_str().expect("an id"));
    let run = mortal.ask(Method::POST, &path, "run", "{}".into()).await;
    let run = run["id"].as_str().expect("an id").to_owned();
    for _ in 0..600 {
        let found = mortal.ask(Method::GET, &format!("/v1/runs/{run}"), "", String::new()).await;
        if found["state"] == "finished" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let runs = mortal.ask(Method::GET, "/v1/runs", "", String::new()).await;
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1), "{fault}: {runs}");
    let result = mortal.ask(Method::GET, &format!("/v1/runs/{run}/result"), "", String::new()).await;
    assert_eq!(result["completion"]["counts"]["completed"], ITEMS, "{fault}: {result}");
    assert_eq!(result["scorers"][0]["outputs"][0]["scored"], ITEMS, "{fault}: {result}");
    if let Some(artifacts) = &mortal.artifacts {
        check_artifacts(artifacts, fault);
    }
    mortal.died
}

/// What has an artifact's name is whole; a half one lies beside it at most.
fn check_artifacts(folder: &Path, fault: &str) {
    let names = fs::read_dir(folder)
        .expect("the cache is there")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"));
    let (half, whole): (Vec<_>, Vec<_>) =
        names.filter(|name| name != "key").partition(|name| name.ends_with(".part"));
    assert_eq!(half.len(), 1, "{fault}: what it was writing when it died: {half:?}");
    let cache = ArtifactCache::open(folder, 1 << 30).expect("the cache opens");
    assert!(!whole.is_empty(), "{fault}");
    for name in whole {
        let (digest, compatibility) = name.split_once('.').expect("two parts");
        let digest = format!("sha256:{digest}").parse().expect("a digest");
        let compatibility = u64::from_str_radix(compatibility, 16).expect("a number");
        assert!(cache.get(digest, compatibility).expect("readable").is_some(), "{fault}: {name} is harmed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_at_any_transition_loses_and_doubles_nothing() {
    let mut died = Vec::new();
    for point in ["write-begun", "write-done", "write-committed", "job-sent", "job-answered"] {
        for count in [1, 2, 3, 5, 7, 9, 10, 11, 12] {
            let fault = format!("{point}:{count}");
            if survives(&fault).await {
                died.push(fault);
            }
        }
    }
    for fault in ["component-staged:1", "component-staged:2", "artifact-staged:1", "artifact-staged:2"] {
        if survives(fault).await {
            died.push(fault.into());
        }
    }
    assert!(died.len() >= 30, "the faults that were met: {died:?}");
    for point in [
        "write-begun",
        "write-done",
        "write-committed",
        "job-sent",
        "job-answered",
        "component-staged",
        "artifact-staged",
    ] {
        assert!(died.iter().any(|fault| fault.starts_with(point)), "{point} is never passed: {died:?}");
    }
}

/// A file system of a few megabytes.
struct SmallDisk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("disk");
        fs::create_dir(&path).expect("made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(&path)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self { path, _folder: folder })
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let filler = self.path.join("filler");
        let mut file = fs::File::create(&filler).expect("made");
        for size in [1 << 20, 1 << 12, 1] {
            while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
        }
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.path).status().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_cleanly_and_all_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    const ITEMS: usize = 4_000;
    let daemon = Daemon::start_with(&disk.path, &[("ASSAY_RUNNER__BATCH_ITEMS_MAX", "20")]);
    daemon.drop_plugin("hostile.wasm", &component("hostile")).await;
    let run = daemon.start_run(ITEMS, &definition(1_000_000)).await;

    let filler = disk.fill();
    let mut readiness = Value::Null;
    for _ in 0..200 {
        let response = daemon.request(Method::GET, "/readyz").send().await.expect("answered");
        let status = response.status();
        readiness = response.json().await.expect("JSON");
        if readiness["storage"] == "disk_full" {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((&readiness["storage"], &readiness["ready"]), (&json!("disk_full"), &json!(false)));
    let mut another = definition(0);
    another["name"] = json!("another");
    let refused = daemon.request(Method::POST, "/v1/evaluations").json(&another);
    assert_eq!(answer(refused, StatusCode::INSUFFICIENT_STORAGE).await["type"], "disk-full");
    let waiting = daemon.get(&format!("/v1/runs/{run}")).await;
    assert_eq!(waiting["state"], "running");
    assert!(waiting["progress"]["done"].as_u64().is_some_and(|done| done < ITEMS as u64), "{waiting}");

    fs::remove_file(filler).expect("removed");
    daemon.create("/v1/evaluations", &another).await;
    let ended = daemon.finished(&run).await;
    assert_eq!((&ended["state"], &ended["progress"]["done"]), (&json!("finished"), &json!(ITEMS)));
    let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
    assert_eq!(result["scorers"][0]["outputs"][0]["scored"], ITEMS);
    assert_eq!(daemon.get("/readyz").await["storage"], "writable");
}

/// A data directory with a finished run; answers the run.
async fn with_a_run(folder: &Path) -> (Daemon, String) {
    let daemon = Daemon::start(folder);
    daemon.drop_plugin("hostile.wasm", &component("hostile")).await;
    let run = daemon.start_run(ITEMS, &definition(0)).await;
    daemon.finished(&run).await;
    (daemon, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_at_work_restores_what_a_damaged_database_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data_dir = folder.path().join("data");
    let (daemon, run) = with_a_run(&data_dir).await;
    let file = folder.path().join("assay.tar");
    let file = file.to_str().expect("UTF-8");
    let made = assay(&data_dir, &["backup", file]);
    assert!(made.status.success(), "{}", said(&made));
    let again = assay(&data_dir, &["backup", file]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("exists already"), "{}", said(&again));
    let refused = assay(&data_dir, &["restore", file, "--replace"]);
    assert!(said(&refused).contains("in use by another `assay`"), "{}", said(&refused));
    let healthy = assay(&data_dir, &["doctor", "--json"]);
    assert!(healthy.status.success(), "{}", said(&healthy));
    daemon.kill();

    let database = data_dir.join("assay.db");
    // All that is still in the log goes into the file first.
    let connection = rusqlite::Connection::open(&database).expect("opened");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("folded in");
    drop(connection);
    let mut bytes = fs::read(&database).expect("readable");
    let end = bytes.len();
    bytes[4096..end].iter_mut().for_each(|byte| *byte = 0xa5);
    fs::write(&database, &bytes).expect("writable");
    let refused = assay(&data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("damaged") && said(&refused).contains("assay restore"),
        "{}",
        said(&refused)
    );
    let sick = assay(&data_dir, &["doctor"]);
    assert_eq!(sick.status.code(), Some(1));
    assert!(said(&sick).contains("BAD") && said(&sick).contains("damaged"), "{}", said(&sick));

    let kept = assay(&data_dir, &["restore", file]);
    assert!(said(&kept).contains("--replace"), "{}", said(&kept));
    let restored = assay(&data_dir, &["restore", file, "--replace"]);
    assert!(restored.status.success(), "{}", said(&restored));
    assert!(data_dir.join("assay.db.replaced").is_file());
    let daemon = Daemon::start(&data_dir);
    let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
    assert_eq!(result["scorers"][0]["outputs"][0]["scored"], ITEMS);
    drop(daemon);

    // And into an empty place, where the plugin runs again.
    let other = folder.path().join("other");
    assert!(assay(&other, &["restore", file]).status.success());
    let daemon = Daemon::start(&other);
    let evaluations = daemon.get("/v1/evaluations").await;
    let id = evaluations[0]["id"].as_str().expect("an id").to_owned();
    let run = daemon.create(&format!("/v1/evaluations/{id}/runs"), &json!({})).await;
    assert_eq!(daemon.finished(run["id"].as_str().expect("an id")).await["state"], "finished");
}

#[test]
fn what_is_no_backup_is_refused_and_nothing_is_touched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "not an archive").expect("written");
    let file = file.to_str().expect("UTF-8");
    let refused = assay(&folder.path().join("data"), &["restore", file]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("is no backup"), "{}", said(&refused));
    assert!(!folder.path().join("data/assay.db").exists());
    let nothing = assay(&folder.path().join("nowhere"), &["backup", "unused.tar"]);
    assert!(said(&nothing).contains("no database"), "{}", said(&nothing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(Daemon::start(folder.path()));
    let connection = rusqlite::Connection::open(folder.path().join("assay.db")).expect("opened");
    connection.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let refused = assay(folder.path(), &["token", "create", "name", "--role", "read"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("locked by another process"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_in_the_middle_of_a_run_compiles_again_and_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let artifacts = folder.path().join("artifacts");
    let variables =
        [("ASSAY_ARTIFACT_DIR", artifacts.to_str().expect("UTF-8")), ("ASSAY_RUNNER__BATCH_ITEMS_MAX", "10")];
    let data_dir = folder.path().join("data");
    let daemon = Daemon::start_with(&data_dir, &variables);
    daemon.drop_plugin("hostile.wasm", &component("hostile")).await;
    let run = daemon.start_run(20_000, &definition(2_000_000)).await;
    let before = loop {
        let found = daemon.get(&format!("/v1/runs/{run}")).await;
        if found["progress"]["done"].as_u64().is_some_and(|done| done > 0) {
            break found;
        }
    };
    assert_eq!(before["state"], "running", "{before}");
    daemon.kill();
    // Another engine's artifacts are of no use: as good as gone.
    fs::remove_dir_all(&artifacts).expect("removed");
    let daemon = Daemon::start_with(&data_dir, &variables);
    assert_eq!(daemon.finished(&run).await["progress"]["done"], 20_000);
    let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
    assert_eq!(result["scorers"][0]["outputs"][0]["scored"], 20_000);
}
