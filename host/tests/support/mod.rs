//! What the integration tests share: built components and running workers.
#![expect(dead_code, reason = "each test file uses its own part")]

pub mod components;
pub mod daemon;
pub mod memory;
pub mod model;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay::app::{App, import_reference_set};
use assay::config::Config;
use assay::domain::clock::{Clock as _, SystemClock};
use assay::domain::digest::Digest;
use assay::domain::evaluation::Definition;
use assay::domain::ids::{EvaluationId, RunId};
use assay::domain::plugin::Capability;
use assay::domain::run::Run;
use assay::protocol::{JobItem, JobSession};
use assay::workers::{Artifact, ArtifactCache, ScorerCall, Settings, Workers};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the host is a folder of the repository")
}

/// A component that `cargo xtask test` built.
pub fn component(name: &str) -> Vec<u8> {
    try_component(name).unwrap_or_else(|| panic!("`{name}.wasm` is not built: run `cargo xtask plugins`"))
}

/// A component that is built only where its language is installed.
pub fn try_component(name: &str) -> Option<Vec<u8>> {
    ["guests", "plugins"]
        .iter()
        .find_map(|folder| fs::read(root().join("target").join(folder).join(format!("{name}.wasm"))).ok())
}

/// Where real data is, or a line that says that the test is skipped.
pub fn real_data(set: &str) -> Option<PathBuf> {
    match std::env::var_os("ASSAY_REAL_DATA") {
        Some(folder) => Some(PathBuf::from(folder).join(set)),
        None => {
            eprintln!("skipped: ASSAY_REAL_DATA is not set");
            None
        }
    }
}

/// Settings that run the binary under test.
pub fn settings() -> Settings {
    Settings {
        executable: env!("CARGO_BIN_EXE_assay").into(),
        count: 2,
        compile_timeout: std::time::Duration::from_secs(300),
        ..Settings::of_this_binary().expect("the binary has a path")
    }
}

/// Compiles through a cache that tests share, because large components take long.
pub async fn artifact(workers: &Workers, component: &[u8]) -> Arc<Artifact> {
    let cache = ArtifactCache::open(&root().join("target/test-artifacts"), 2 << 30).expect("the cache opens");
    let digest = Digest::of(component);
    if let Some(artifact) = cache.get(digest, workers.compatibility()).expect("the cache is readable") {
        return Arc::new(artifact);
    }
    let bytes = workers.compile(component.to_vec()).await.expect("the component compiles");
    Arc::new(cache.put(digest, workers.compatibility(), &bytes).expect("the cache is writable"))
}

/// Items with these queries; each answer is `good`.
pub fn items(queries: &[&str]) -> Arc<[JobItem]> {
    queries
        .iter()
        .enumerate()
        .map(|(index, query)| JobItem {
            id: index.to_string(),
            item: serde_json::json!({ "query": query }).to_string(),
            answer: r#"{"actual":"good"}"#.into(),
        })
        .collect()
}

/// A session of interactions with these queries, without events.
pub fn session(id: &str, queries: &[&str]) -> JobSession {
    JobSession { id: id.into(), user: None, interactions: items(queries).to_vec(), events: Vec::new() }
}

/// A call with a configuration.
pub fn call(plugin: &Arc<Artifact>, config: &str) -> ScorerCall {
    ScorerCall {
        plugin: Arc::clone(plugin),
        capability: Capability::Score,
        config: config.into(),
        judge: None,
    }
}

/// Everything over a data directory, with the binary under test as worker.
pub async fn app(data_dir: &Path) -> App {
    let artifacts = root().join("target/test-artifacts");
    let config = Config { data_dir: data_dir.to_owned(), artifact_dir: Some(artifacts), ..Config::default() };
    let worker = env!("CARGO_BIN_EXE_assay").into();
    App::open_with(&config, Arc::new(SystemClock), Some(worker)).await.expect("the app opens")
}

/// Accepts a component as if its file had been dropped.
pub async fn install(app: &App, name: &str) {
    app.catalogue.accept(component(name)).await.expect("the plugin is accepted");
}

/// Imports JSON lines as a reference set.
pub async fn reference_set(app: &App, name: &str, lines: String) {
    let lines = std::io::Cursor::new(lines);
    let at = SystemClock.now();
    import_reference_set(&app.store, name.into(), "a test".into(), at, lines, |_| {})
        .await
        .expect("the lines are imported");
}

/// Keeps an evaluation.
pub async fn evaluation(app: &App, definition: serde_json::Value) -> EvaluationId {
    let definition: Definition = serde_json::from_value(definition).expect("a definition");
    let id = EvaluationId::new();
    app.store.evaluation_insert(id, definition, SystemClock.now()).await.expect("kept");
    id
}

/// Waits until a run is over.
pub async fn finished(app: &App, id: RunId) -> Run {
    loop {
        let run = app.store.run_get(id).await.expect("the run is there");
        if run.state.is_over() {
            return run;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
