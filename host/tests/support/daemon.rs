//! The real binary, serving on a free port, and a client of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use super::root;

/// A running daemon. It is killed when dropped.
pub struct Daemon {
    child: Child,
    pub base: String,
    pub data_dir: PathBuf,
    pub client: reqwest::Client,
}

impl Daemon {
    /// Starts the binary over a data directory and waits until it listens.
    pub fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    /// With more variables in its environment.
    pub fn start_with(data_dir: &Path, variables: &[(&str, &str)]) -> Self {
        Self::try_start(data_dir, variables).unwrap_or_else(|said| panic!("it said {said:?}"))
    }

    /// Or what it said instead of where it listens.
    pub fn try_start(data_dir: &Path, variables: &[(&str, &str)]) -> Result<Self, String> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .env("ASSAY_ARTIFACT_DIR", root().join("target/test-artifacts"))
            .env("ASSAY_LOG__FILTER", "warn")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let Some(base) = line.trim().strip_prefix("listening on ").map(str::to_owned) else {
            child.wait().expect("it ended");
            return Err(line);
        };
        rustls::crypto::ring::default_provider().install_default().ok();
        Ok(Self { child, base, data_dir: data_dir.to_owned(), client: reqwest::Client::new() })
    }

    /// The process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Its worker processes, compilers aside.
    pub fn worker_processes(&self) -> Vec<u32> {
        let id = self.process_id();
        let children = fs::read_dir(format!("/proc/{id}/task")).expect("the daemon lives").flat_map(|task| {
            let path = task.expect("readable").path().join("children");
            let children = fs::read_to_string(path).unwrap_or_default();
            children.split_whitespace().map(|id| id.parse().expect("an id")).collect::<Vec<u32>>()
        });
        let is_worker = |id: &u32| {
            fs::read(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"worker"))
        };
        children.filter(is_worker).collect()
    }

    /// As if the power failed.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// GETs JSON.
    pub async fn get(&self, path: &str) -> Value {
        answer(self.request(Method::GET, path), StatusCode::OK).await
    }

    /// POSTs JSON to create something.
    pub async fn create(&self, path: &str, body: &Value) -> Value {
        answer(self.request(Method::POST, path).json(body), StatusCode::CREATED).await
    }

    /// Starts the evaluation's run over a new reference set `set` of so many
    /// items, and answers the run's id.
    pub async fn start_run(&self, items: usize, definition: &Value) -> String {
        let upload = self.request(Method::POST, "/v1/reference-sets/set/versions").body(plain_lines(items));
        answer(upload, StatusCode::CREATED).await;
        let made = self.create("/v1/evaluations", definition).await;
        let path = format!("/v1/evaluations/{}/runs", made["id"].as_str().expect("an id"));
        self.create(&path, &serde_json::json!({})).await["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until a run is over.
    pub async fn finished(&self, run: &str) -> Value {
        loop {
            let found = self.get(&format!("/v1/runs/{run}")).await;
            if !["queued", "running"].contains(&found["state"].as_str().expect("a state")) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Drops a component into the watched folder and waits until it is listed.
    pub async fn drop_plugin(&self, file: &str, component: &[u8]) -> Value {
        let staging = self.data_dir.join(format!(".{file}"));
        fs::write(&staging, component).expect("written");
        fs::rename(&staging, self.data_dir.join("plugins").join(file)).expect("dropped");
        for _ in 0..1200 {
            let list = self.get("/v1/plugins").await;
            let files = list["files"].as_array().expect("a list");
            if let Some(found) = files.iter().find(|found| found["file"] == file) {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{file} was not seen");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// JSON lines of a reference set whose items differ by key alone.
pub fn plain_lines(count: usize) -> String {
    (0..count).map(|index| format!("{{\"key\":\"k{index}\",\"query\":\"q\",\"actual\":\"a\"}}\n")).collect()
}

/// Sends a request and reads the JSON answer.
pub async fn answer(request: RequestBuilder, status: StatusCode) -> Value {
    let response = request.send().await.expect("answered");
    let (found, text) = (response.status(), response.text().await.expect("a body"));
    assert_eq!(found, status, "{text}");
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}
