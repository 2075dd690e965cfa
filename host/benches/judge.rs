//! What stands between a plugin and its judge: how much longer a run takes than
//! the model alone, and how much of the processor the host takes for an item.
//!
//! `cargo bench --bench judge`; as a test it does the least that shows that it
//! works. The model is another process, so that its work is not counted.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay::app::{App, import_reference_set};
use assay::config::Config;
use assay::domain::clock::{Clock as _, SystemClock};
use assay::domain::evaluation::Definition;
use assay::domain::ids::EvaluationId;
use axum::Router;
use serde_json::json;

const LATENCY: Duration = Duration::from_millis(50);
const CONCURRENCY: usize = 64;
/// Of the time that the model takes with so many calls at once.
const IDEAL_RATIO_MAX: f64 = 1.15;
const CPU_MS_PER_ITEM_MAX: f64 = 0.3;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if arguments.get(1).is_some_and(|argument| argument == "serve-model") {
        runtime.block_on(serve_model());
        return;
    }
    let items = if arguments.iter().any(|argument| argument == "--bench") { 5_000 } else { 200 };
    runtime.block_on(measure(items));
}

async fn serve_model() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("bound"));
    let reply = json!({
        "model": "m", "usage": {"prompt_tokens": 10, "completion_tokens": 2},
        "choices": [{"message": {"content": "{\"points\":5}"}, "finish_reason": "stop"}],
    });
    let reply = reply.to_string();
    let router = Router::new().fallback(move || {
        let reply = reply.clone();
        async move {
            tokio::time::sleep(LATENCY).await;
            ([("content-type", "application/json")], reply)
        }
    });
    axum::serve(listener, router).await.expect("it serves");
}

struct Model {
    process: Child,
    address: String,
}

impl Model {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this file"))
            .arg("serve-model")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the model starts");
        let mut address = String::new();
        let told = process.stdout.take().expect("piped");
        BufReader::new(told).read_line(&mut address).expect("it says where it listens");
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

async fn measure(items: usize) {
    let model = Model::start();
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the host is a folder of the repository");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config: Config = toml::from_str(&format!(
        "[judge.profiles.model]\napi = \"openai-chat\"\nbase_url = \"http://{}\"\nmodel = \"m\"\n\
         concurrency = {CONCURRENCY}\nprice = {{ input_per_million = 1.0, output_per_million = 1.0 }}\n",
        model.address
    ))
    .expect("a configuration");
    config.data_dir = folder.path().to_owned();
    config.artifact_dir = Some(root.join("target/test-artifacts"));
    let worker = env!("CARGO_BIN_EXE_assay").into();
    let app = App::open_with(&config, Arc::new(SystemClock), Some(worker)).await.expect("the app opens");
    let component =
        std::fs::read(root.join("target/guests/asking.wasm")).expect("`cargo xtask plugins` built it");
    app.catalogue.accept(component).await.expect("accepted");
    let lines: Vec<_> = (0..items)
        .map(|at| json!({"key": at.to_string(), "query": "q", "actual": format!("answer {at}")}).to_string())
        .collect();
    let lines = std::io::Cursor::new(lines.join("\n"));
    import_reference_set(&app.store, "set".into(), "a bench".into(), SystemClock.now(), lines, |_| {})
        .await
        .expect("imported");
    let definition: Definition = serde_json::from_value(json!({
        "name": "judged",
        "source": {"reference_set": "set"},
        "scorers": [{"plugin": "asking", "config": {"profile": "model"}}],
    }))
    .expect("a definition");
    let evaluation = EvaluationId::new();
    app.store.evaluation_insert(evaluation, definition, SystemClock.now()).await.expect("kept");

    let (cpu, started) = (cpu_ms(&app), Instant::now());
    let run = app.runner.start(evaluation).await.expect("started");
    while !app.store.run_get(run).await.expect("it is there").state.is_over() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (took, cpu) = (started.elapsed(), cpu_ms(&app) - cpu);
    let result = app.runner.result(run).await.expect("a result");
    assert_eq!(result.scorers[0].outputs[0].scored, items as u64, "{:?}", result.scorers[0].failed);

    let ideal = LATENCY * u32::try_from(items.div_ceil(CONCURRENCY)).expect("few");
    let ratio = took.as_secs_f64() / ideal.as_secs_f64();
    println!(
        "judged      {items} items, a judge that takes {} ms, {CONCURRENCY} at once: {:.2} s, {ratio:.3} of the \
         ideal {:.2} s (limit {IDEAL_RATIO_MAX})",
        LATENCY.as_millis(),
        took.as_secs_f64(),
        ideal.as_secs_f64()
    );
    let each = cpu / items as f64;
    println!(
        "judged      daemon and workers take {each:.3} ms of processor an item: {:.2} of the limit \
         {CPU_MS_PER_ITEM_MAX} ms",
        each / CPU_MS_PER_ITEM_MAX
    );
}

/// Processor time of this process and the workers so far.
fn cpu_ms(app: &App) -> f64 {
    let ticks = |process: String| -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
        let fields: Vec<_> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
        fields[11].parse::<f64>().expect("a number") + fields[12].parse::<f64>().expect("a number")
    };
    let workers: f64 = app.workers.process_ids().into_iter().map(|id| ticks(id.to_string())).sum();
    (ticks("self".into()) + workers) * 1_000.0 / rustix::param::clock_ticks_per_second() as f64
}
