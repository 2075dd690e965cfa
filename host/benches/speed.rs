//! What `cargo xtask bench` prints: each hot path as a ratio against its limit.
//!
//! `cargo xtask bench python` measures the sections that are named; without a
//! name all are. Not a timed test: under `cargo test` it runs once with little data, only to
//! see that it runs.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay::domain::digest::Digest;
use assay::domain::interaction::{Answer, Item};
use assay::domain::plugin::Capability;
use assay::protocol::{JobItem, Limits};
use assay::sandbox::{Engine, Plugin, compile, convert_interaction};
use assay::workers::{ArtifactCache, Confinement, Settings, Workers};
use assay_plugin::Interaction;
use serde_json::{Value, json};
use support::{artifact, call, component, items, root, settings, try_component};

/// How much is measured.
struct Scale {
    rounds: usize,
    rows: usize,
}

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let scale = if measured { Scale { rounds: 200, rows: 200_000 } } else { Scale { rounds: 2, rows: 500 } };
    let named: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let unknown = named.iter().find(|name| SECTIONS.iter().all(|(section, _)| section != name));
    // A test's name is none either, but is no mistake.
    assert!(
        !measured || unknown.is_none(),
        "{unknown:?} is none of {:?}",
        SECTIONS.map(|(section, _)| section)
    );
    for (section, measure) in SECTIONS {
        if named.is_empty() || named.iter().any(|name| name == section) {
            measure(&scale);
        }
    }
}

/// A section's name, and what measures it.
type Section = (&'static str, fn(&Scale));

const SECTIONS: [Section; 5] = [
    ("calls", |scale| block_on(calls(scale))),
    ("confinement", |scale| block_on(confinement(scale))),
    ("python", |scale| block_on(python(scale))),
    ("run", whole_run),
    ("start", |_| start_up()),
];

fn block_on(section: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(section);
}

fn report(what: &str, value: f64, unit: &str, limit: f64, lower_is_better: bool) {
    let ratio = if lower_is_better { value / limit } else { limit / value };
    let verdict = if ratio <= 1.0 { "within" } else { "OVER" };
    println!("{what:58} {value:>10.2} {unit:8} limit {limit:>8.2}  ratio {ratio:.2} {verdict}");
}

/// Text of about this many bytes that no two items share.
fn words(seed: usize, bytes: usize) -> String {
    const WORDS: [&str; 12] = [
        "delivery", "parcel", "refund", "invoice", "please", "account", "settings", "working", "days",
        "within", "the", "order",
    ];
    let mut state = seed as u64 + 1;
    let mut text = String::with_capacity(bytes + 10);
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS[(state >> 33) as usize % WORDS.len()]);
        text.push(' ');
    }
    text
}

/// The median time of a round, after a few that warm up.
fn median(rounds: usize, mut round: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<_> = (0..rounds + 3).map(|_| round()).skip(3).collect();
    times.sort();
    times[times.len() / 2]
}

fn per_item_us(time: Duration, items: usize) -> f64 {
    time.as_secs_f64() * 1e6 / items as f64
}

/// Scoring throughput of confined workers against the same unconfined, in
/// turns, so that both meet the same machine.
async fn confinement(scale: &Scale) {
    let jobs: Arc<[JobItem]> = (0..100)
        .map(|index| JobItem {
            id: index.to_string(),
            item: json!({"query": words(index, 400), "expected": [words(index + 1000, 600)]}).to_string(),
            answer: json!({"actual": words(index + 2000, 1000)}).to_string(),
        })
        .collect();
    let mut sides = Vec::new();
    for confinement in [Confinement::Required, Confinement::Off] {
        let settings = Settings { count: 1, confinement, ..settings() };
        let workers = Workers::start(settings).await.expect("workers start");
        let plugin = artifact(&workers, &component("text")).await;
        sides.push((workers, plugin, Vec::new()));
    }
    for round in 0..scale.rounds * 5 {
        for (workers, plugin, times) in &mut sides {
            let config = r#"{"checks":[{"kind":"levenshtein"}]}"#;
            let started = Instant::now();
            let outcome = workers.score(Arc::clone(&jobs), vec![call(plugin, config)]).await;
            assert!(outcome.expect("the worker lives")[0].is_ok());
            if round >= 3 {
                times.push(started.elapsed());
            }
        }
    }
    let [confined, unconfined] = [0, 1].map(|side: usize| {
        let times = &mut sides[side].2;
        times.sort();
        times[times.len() / 2].as_secs_f64()
    });
    report(
        "confined workers, time of a batch over unconfined",
        (confined / unconfined - 1.0) * 100.0,
        "%",
        3.0,
        true,
    );
}

/// How soon a component with a language runtime in it is ready in a worker that
/// has not had it, and whether workers share its machine code.
async fn python(scale: &Scale) {
    let Some(component) = try_component("in-python") else {
        println!("in-python is not built, because its language is not installed");
        return;
    };
    let one = Workers::start(Settings { count: 1, ..settings() }).await.expect("a worker starts");
    drop(artifact(&one, &component).await);
    let cache = ArtifactCache::open(&root().join("target/test-artifacts"), 2 << 30).expect("the cache opens");
    let mut readings = Vec::new();
    let mut ready = Vec::new();
    for _ in 0..(scale.rounds / 10).max(2) {
        let workers = Workers::start(Settings { count: 1, ..settings() }).await.expect("a worker starts");
        let started = Instant::now();
        let found = cache.get(Digest::of(&component), workers.compatibility()).expect("readable");
        readings.push(started.elapsed());
        let plugin = Arc::new(found.expect("it was made a moment ago"));
        let mut times = Vec::new();
        for _ in 0..6 {
            let started = Instant::now();
            workers.describe(&plugin).await.expect("it describes itself");
            times.push(started.elapsed());
        }
        let first = times.remove(0);
        times.sort();
        // What the first call takes longer: hand-over, mapping, linking.
        ready.push(first.saturating_sub(times[times.len() / 2]));
    }
    readings.sort();
    ready.sort();
    println!(
        "a Python component's artifact: {:.1} ms to read and check it, once for all workers",
        readings[readings.len() / 2].as_secs_f64() * 1e3
    );
    let ready = ready[ready.len() / 2].as_secs_f64() * 1e3;
    report("a Python component is ready from cache, each worker", ready, "ms", 10.0, true);

    let workers = Workers::start(settings()).await.expect("workers start");
    while workers.process_ids().len() < 2 {
        tokio::task::yield_now().await;
    }
    let plugin = artifact(&workers, &component).await;
    // At once, so that each worker gets one of the two.
    for _ in 0..3 {
        let score = || workers.score(items(&["plain", "print"]), vec![call(&plugin, "{}")]);
        let (one, other) = tokio::join!(score(), score());
        assert!(one.is_ok_and(|outcome| outcome[0].is_ok()) && other.is_ok_and(|outcome| outcome[0].is_ok()));
    }
    let mapped: Vec<_> = workers.process_ids().into_iter().map(Mapped::of).collect();
    assert!(mapped.iter().all(|mapped| mapped.resident > 0), "each worker runs it: {mapped:?}");
    println!("its pages in each worker, in KiB: {mapped:?}");
    let copied = mapped.iter().map(|mapped| mapped.copied).sum::<u64>() as f64;
    let resident = mapped.iter().map(|mapped| mapped.resident).sum::<u64>() as f64;
    report("of its pages, what a worker has copied for itself", copied / resident * 100.0, "%", 1.0, true);
}

/// What a process has resident of artifacts, in KiB.
#[derive(Debug, Default)]
struct Mapped {
    /// In all.
    resident: u64,
    /// Also mapped by another process at this moment. The rest is in the same
    /// memory file, but only this one has touched it lately.
    shared: u64,
    /// No longer pages of the memory file, but this process's own.
    copied: u64,
}

impl Mapped {
    fn of(process: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{process}/smaps")).expect("the worker lives");
        let mut mapped = Self::default();
        let mut inside = false;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let kib = || second.parse::<u64>().unwrap_or_default();
            match first {
                "Rss:" if inside => mapped.resident += kib(),
                "Shared_Clean:" | "Shared_Dirty:" if inside => mapped.shared += kib(),
                "Anonymous:" if inside => mapped.copied += kib(),
                _ if first.ends_with(':') => {}
                // A mapping's first line: addresses, rights, and at its end the
                // file. What can be written is a guest's memory.
                _ => inside = line.contains("memfd:artifact") && !second.contains('w'),
            }
        }
        mapped
    }
}

async fn calls(scale: &Scale) {
    const BATCH: usize = 100;
    let workers = Workers::start(settings()).await.expect("workers start");
    let bytes = component("text");
    let plugin = artifact(&workers, &bytes).await;

    let jobs: Arc<[JobItem]> = (0..BATCH)
        .map(|index| JobItem {
            id: index.to_string(),
            item: json!({"query": words(index, 400), "expected": [words(index + 1000, 600)]}).to_string(),
            answer: json!({"actual": words(index + 2000, 1000)}).to_string(),
        })
        .collect();
    let native_items: Vec<Interaction> = (0..BATCH)
        .map(|index| {
            Interaction::new(words(index, 400), words(index + 2000, 1000))
                .with_expected([words(index + 1000, 600)])
        })
        .collect();

    let mut sandboxed = Vec::new();
    for (name, config) in [
        ("equals", r#"{"checks":[{"kind":"equals"}]}"#),
        ("levenshtein", r#"{"checks":[{"kind":"levenshtein"}]}"#),
    ] {
        let mut times = Vec::new();
        for _ in 0..scale.rounds + 3 {
            let started = Instant::now();
            let outcome = workers.score(Arc::clone(&jobs), vec![call(&plugin, config)]).await;
            times.push(started.elapsed());
            assert!(
                outcome.is_ok_and(|outcome| outcome[0].as_ref().is_ok_and(|answers| answers.len() == BATCH))
            );
        }
        times.drain(..3);
        times.sort();
        let through_worker = times[times.len() / 2];

        let engine = Engine::start(Limits::default()).expect("the engine starts");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("artifact");
        fs::write(&file, compile(&bytes, &Limits::default()).expect("compiled")).expect("written");
        // SAFETY: the file was written a moment ago from what `compile` returned.
        let loaded = unsafe { Plugin::load(&engine, &file) }.expect("loaded");
        let converted: Vec<_> = jobs
            .iter()
            .map(|job| {
                let item: Item = serde_json::from_str(&job.item).expect("an item");
                let answer: Answer = serde_json::from_str(&job.answer).expect("an answer");
                convert_interaction(job.id.clone(), item.with_answer(answer))
            })
            .collect();
        let bare = median(scale.rounds, || {
            let started = Instant::now();
            black_box(loaded.answer(&engine, Capability::Score, config, &converted, None))
                .result
                .expect("no trap");
            started.elapsed()
        });
        let native = median(scale.rounds, || {
            // The host decodes nothing for a native function, but hands over owned items.
            let items = native_items.clone();
            let started = Instant::now();
            black_box(assay_plugin_text::plugin::score_batch(config, &items));
            started.elapsed()
        });
        sandboxed.push((name, through_worker, bare, native));
    }
    for (name, through_worker, bare, native) in sandboxed {
        let (worker_us, bare_us, native_us) =
            (per_item_us(through_worker, BATCH), per_item_us(bare, BATCH), per_item_us(native, BATCH));
        println!(
            "{name}: {worker_us:.2} µs an item through a worker, {bare_us:.2} bare typed call, {native_us:.2} native"
        );
        if name == "equals" {
            report(
                "call overhead, 2 KB, batch 100, fresh store",
                worker_us - native_us,
                "µs/item",
                8.0,
                true,
            );
            println!("  of it wasmtime's bare typed call: {:.2} µs", bare_us - native_us);
        } else {
            report("Levenshtein in the sandbox against native", native_us / bare_us, "of it", 0.6, false);
        }
    }
}

fn whole_run(scale: &Scale) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut rows = BufWriter::new(fs::File::create(folder.path().join("rows.jsonl")).expect("created"));
    for index in 0..scale.rows {
        // 50 to 300 words.
        let actual = words(index, 300 + index * 7919 % 1500);
        let actual = if index % 3 == 0 { json!({"answer": actual}).to_string() } else { actual };
        let row = json!({"query": words(index + 1, 80), "expected": words(index + 2, 40), "actual": actual});
        writeln!(rows, "{row}").expect("written");
    }
    rows.flush().expect("written");
    fs::write(
        folder.path().join("run.toml"),
        r#"
            name = "bench"
            completion = { any = [{ output = "equals", at_least = 1 }, { output = "json-schema", at_least = 1 }] }
            [data]
            file = "rows.jsonl"
            [[scorers]]
            plugin = "text"
            [scorers.config]
            checks = [
                { kind = "equals" },
                { kind = "contains", any = ["refund", "invoice"] },
                { kind = "regex", must = ["(?i)deliver(y|ed)"], must_not = ["language model"] },
            ]
            [[scorers]]
            plugin = "structured"
            [scorers.config]
            checks = [{ kind = "json-schema", schema = { type = "object", required = ["answer"] } }]
        "#,
    )
    .expect("written");
    install(folder.path(), &["text", "structured"]);
    let started = Instant::now();
    let output = assay(folder.path()).arg("--json").arg("run").arg(folder.path().join("run.toml")).output();
    let took = started.elapsed();
    let output = output.expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result["run"]["progress"]["done"], scale.rows);
    let rate = scale.rows as f64 / took.as_secs_f64();
    report("assay run, 4 checks, start-up and commit included", rate, "rows/s", 30_000.0, false);
}

fn start_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plugins = folder.path().join("data/plugins");
    fs::create_dir_all(&plugins).expect("made");
    let original = component("final-number");
    for index in 0..10_u8 {
        // A custom section makes it another component: id 0, size, name, content.
        let section = [0, 3, 1, b'n', index];
        fs::write(plugins.join(format!("p{index}.wasm")), [&original[..], &section].concat())
            .expect("written");
    }
    let (cold, daemon, _) = serve(folder.path());
    stop(daemon);
    let (warm, daemon, base) = serve(folder.path());
    println!("start with an empty cache: {:.0} ms", cold.as_secs_f64() * 1e3);
    report("start with a warm cache and 10 plugins", warm.as_secs_f64() * 1e3, "ms", 300.0, true);

    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let digests = runtime.block_on(load_all(&base, 10));
    report("idle, resident in all (PSS), 10 plugins loaded", resident_mib(daemon.id()), "MiB", 150.0, true);
    let languages = ["in-python", "in-javascript"];
    let mut present = 0;
    for name in languages {
        if let Some(component) = try_component(name) {
            fs::write(plugins.join(format!("{name}.wasm")), component).expect("written");
            present += 1;
        }
    }
    if present == languages.len() {
        runtime.block_on(load_all(&base, digests + present));
        report("the same with Python and JavaScript plugins", resident_mib(daemon.id()), "MiB", 400.0, true);
    }
    stop(daemon);
}

/// Waits until the daemon knows so many plugin files, then has every worker
/// run every plugin of them once; answers how many there were.
async fn load_all(base: &str, count: usize) -> usize {
    let client = reqwest::Client::new();
    let files = loop {
        let list: Value = client
            .get(format!("{base}/v1/plugins"))
            .send()
            .await
            .expect("answered")
            .json()
            .await
            .expect("JSON");
        let files = list["files"].as_array().expect("a list").clone();
        if files.len() >= count {
            break files;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let lines: String =
        (0..400).map(|index| format!("{{\"query\":\"q{index}\",\"actual\":\"a\"}}\n")).collect();
    let upload = client.post(format!("{base}/v1/reference-sets/set/versions")).body(lines);
    upload.send().await.expect("answered").error_for_status().expect("imported");
    let scorers: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(index, file)| json!({"plugin": file["plugin"], "digest": file["digest"], "name": format!("s{index}")}))
        .collect();
    let body =
        json!({"name": format!("with {count}"), "source": {"reference_set": "set"}, "scorers": scorers});
    let made = client.post(format!("{base}/v1/evaluations")).json(&body).send().await.expect("answered");
    let made: Value = made.json().await.expect("JSON");
    let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}"));
    for _ in 0..6 {
        let run: Value = client
            .post(format!("{base}/v1/evaluations/{id}/runs"))
            .send()
            .await
            .expect("answered")
            .json()
            .await
            .expect("JSON");
        let run = run["id"].as_str().expect("an id");
        let events = client.get(format!("{base}/v1/runs/{run}/events")).send().await.expect("answered");
        assert!(events.text().await.expect("a stream").contains("finished"));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    files.len()
}

fn assay(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command
        .arg("--data-dir")
        .arg(folder.join("data"))
        .env("ASSAY_ARTIFACT_DIR", root().join("target/test-artifacts"));
    command
}

fn install(folder: &Path, names: &[&str]) {
    for name in names {
        let file = folder.join(format!("{name}.wasm"));
        fs::write(&file, component(name)).expect("written");
        let status = assay(folder).args(["plugin", "install"]).arg(&file).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "{name} is installed");
    }
}

fn serve(folder: &Path) -> (Duration, Child, String) {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.join("data"))
        .env("ASSAY_LOG__FILTER", "error")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the daemon starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("it says where it listens");
    let took = started.elapsed();
    let base = line.trim().strip_prefix("listening on ").expect("it says where it listens").to_owned();
    (took, child, base)
}

fn stop(mut daemon: Child) {
    daemon.kill().expect("killed");
    daemon.wait().expect("gone");
}

/// Proportional set size of a daemon and its workers, in MiB: a page that they
/// share counts once.
fn resident_mib(daemon: u32) -> f64 {
    let children = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children")).unwrap_or_default();
    let mut ids: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
    // Workers are started by the runtime's other threads.
    for task in fs::read_dir(format!("/proc/{daemon}/task")).expect("it runs").flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        ids.extend(children.split_whitespace().map(str::to_owned));
    }
    ids.push(daemon.to_string());
    ids.sort();
    ids.dedup();
    let kib: f64 = ids
        .iter()
        .filter_map(|id| fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok())
        .filter_map(|rollup| {
            let line = rollup.lines().find(|line| line.starts_with("Pss:"))?.to_owned();
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        })
        .sum();
    kib / 1024.0
}
