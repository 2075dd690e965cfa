//! How fast production comes in, over HTTP, durable and visible, and how fast it
//! is scored as it comes in: daemon and client share the machine.
//!
//! `cargo bench --bench ingest`; as a test it does the least that shows that it
//! works.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const SPANS_PER_BATCH: usize = 100;
const CONNECTIONS: usize = 4;
const SPANS_A_SECOND_MIN: f64 = 15_000.0;
const P99_MS_MAX: f64 = 50.0;
const BYTES_A_SPAN_MAX: f64 = 2_000.0;
const SCORED_A_SECOND_MIN: f64 = 5_000.0;

fn main() {
    let bench = std::env::args().any(|argument| argument == "--bench");
    let batches = if bench { 2_000 } else { 8 };
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(ingest(batches));
    runtime.block_on(follow(if bench { 60_000 } else { 500 }));
}

/// Text with the word frequencies of a natural language: the share of a word
/// falls with its rank (Zipf's law), over 5,000 words.
struct Words {
    words: Vec<String>,
    random: StdRng,
}

impl Words {
    fn new() -> Self {
        let mut random = StdRng::seed_from_u64(7);
        let words = (0..5_000)
            .map(|_| {
                let letters = random.random_range(2..10);
                (0..letters).map(|_| char::from(b'a' + random.random_range(0..26_u8))).collect()
            })
            .collect();
        Self { words, random }
    }

    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 12);
        while text.len() < bytes {
            let rank = (self.words.len() as f64).powf(self.random.random::<f64>()) as usize - 1;
            text.push_str(&self.words[rank]);
            text.push(' ');
        }
        text.truncate(bytes);
        text
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn message(role: &str, text: &str) -> any_value::Value {
    let messages = serde_json::json!([{"role": role, "parts": [{"type": "text", "content": text}]}]);
    any_value::Value::StringValue(messages.to_string())
}

fn batch(words: &mut Words) -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let start = u64::try_from(now.as_nanos()).expect("before 2554");
    let text = |text: &str| any_value::Value::StringValue(text.into());
    let spans = (0..SPANS_PER_BATCH)
        .map(|_| Span {
            trace_id: words.random.random::<[u8; 16]>().to_vec(),
            span_id: words.random.random::<[u8; 8]>().to_vec(),
            name: "chat model-1".into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + words.random.random_range(100_000_000..5_000_000_000),
            attributes: vec![
                attribute("gen_ai.operation.name", text("chat")),
                attribute("gen_ai.provider.name", text("openai")),
                attribute("gen_ai.request.model", text("model-1")),
                attribute("gen_ai.response.model", text("model-1-2026")),
                attribute(
                    "gen_ai.prompt.name",
                    text(["support", "search", "write"][words.random.random_range(0..3)]),
                ),
                attribute(
                    "gen_ai.usage.input_tokens",
                    any_value::Value::IntValue(words.random.random_range(50..8_000)),
                ),
                attribute(
                    "gen_ai.usage.output_tokens",
                    any_value::Value::IntValue(words.random.random_range(5..900)),
                ),
                attribute("gen_ai.input.messages", message("user", &words.text(1_024))),
                attribute("gen_ai.output.messages", message("assistant", &words.text(1_024))),
            ],
            ..Span::default()
        })
        .collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

struct Daemon {
    child: Child,
    base: String,
}

impl Daemon {
    fn start(data_dir: &Path) -> Self {
        use std::io::BufRead as _;
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .env("ASSAY_LOG__FILTER", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
        let base = line.trim().strip_prefix("listening on ").expect("it listens").to_owned();
        Self { child, base }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn ingest(batches: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    let mut words = Words::new();
    // Made before the clock starts: a product's exporter has other cores.
    let bodies: Arc<Vec<_>> = Arc::new((0..batches).map(|_| batch(&mut words)).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (bodies, next) = (Arc::clone(&bodies), Arc::clone(&next));
            let url = format!("{}/v1/traces", daemon.base);
            tokio::spawn(async move {
                let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().expect("a client");
                let mut took = Vec::new();
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let before = Instant::now();
                    let request = client.post(&url).header("content-type", "application/x-protobuf");
                    let answer = request.body(body.clone()).send().await.expect("answered");
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.expect("a body");
                    took.push(before.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for sender in senders {
        took.extend(sender.await.expect("it ended"));
    }
    let elapsed = started.elapsed();
    took.sort();
    let p99 = took[(took.len() * 99).div_ceil(100) - 1];

    // Visible: the last page of the API holds what was sent last.
    let page = reqwest::get(format!("{}/v1/interactions?limit=500", daemon.base)).await.expect("answered");
    let page: serde_json::Value = page.json().await.expect("JSON");
    let seen = page["interactions"].as_array().map_or(0, Vec::len);
    let spans = batches * SPANS_PER_BATCH;
    assert_eq!(seen, spans.min(500));
    drop(daemon);
    let bytes: u64 = ["assay.db", "assay.db-wal"]
        .iter()
        .filter_map(|file| std::fs::metadata(folder.path().join(file)).ok())
        .map(|file| file.len())
        .sum();
    let rate = spans as f64 / elapsed.as_secs_f64();
    let p99_ms = p99.as_secs_f64() * 1e3;
    let bytes_a_span = bytes as f64 / spans as f64;
    println!("ingest, {spans} spans, {CONNECTIONS} connections, {elapsed:.1?}");
    println!("  {rate:>10.0} spans/s       limit {SPANS_A_SECOND_MIN:.0}: {:.2}", rate / SPANS_A_SECOND_MIN);
    println!("  {p99_ms:>10.1} ms p99        limit {P99_MS_MAX:.0}: {:.2}", p99_ms / P99_MS_MAX);
    println!(
        "  {bytes_a_span:>10.0} bytes a span  limit {BYTES_A_SPAN_MAX:.0}: {:.2}",
        bytes_a_span / BYTES_A_SPAN_MAX
    );
}

/// Interactions that come in and are scored by three scorers, from the first
/// request until the last score is on disk.
async fn follow(interactions: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    let client = reqwest::Client::new();
    let scorer = |name: &str, check: serde_json::Value| serde_json::json!({"plugin": "text", "name": name, "config": {"checks": [check]}});
    let definition = serde_json::json!({
        "name": "live", "source": {"production": {"follow": true}},
        "completion": {"output": "closeness.levenshtein", "at_least": 0.5},
        "scorers": [
            scorer("same", serde_json::json!({"kind": "equals", "ignore_case": true})),
            scorer("closeness", serde_json::json!({"kind": "levenshtein"})),
            scorer("length", serde_json::json!({"kind": "length", "max": 2_000})),
        ],
    });
    let url = format!("{}/v1/evaluations", daemon.base);
    let made = client.post(url).json(&definition).send().await.expect("answered");
    let status = made.status();
    let made: serde_json::Value = made.json().await.expect("JSON");
    assert_eq!(status, 201, "{made}");
    let run = loop {
        let url = format!("{}/v1/runs?state=running", daemon.base);
        let runs: serde_json::Value =
            client.get(url).send().await.expect("answered").json().await.expect("JSON");
        if let Some(run) = runs["runs"][0]["id"].as_str() {
            break run.to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let mut words = Words::new();
    let bodies: Vec<String> = (0..interactions)
        .map(|index| {
            let (query, actual) = (words.text(1_024), words.text(256));
            let expected = words.text(256);
            serde_json::json!({
                "id": format!("i{index}"), "query": query, "actual": actual, "expected": [expected],
                "session": format!("s{}", index / 5), "template": "support",
            })
            .to_string()
        })
        .collect::<Vec<_>>()
        .chunks(SPANS_PER_BATCH)
        .map(|lines| lines.join("\n"))
        .collect();
    let started = Instant::now();
    for body in bodies {
        let url = format!("{}/v1/interactions", daemon.base);
        let answer = client.post(url).body(body).send().await.expect("answered");
        assert_eq!(answer.status(), 200);
    }
    let sent = started.elapsed();
    loop {
        let url = format!("{}/v1/runs/{run}", daemon.base);
        let run: serde_json::Value =
            client.get(url).send().await.expect("answered").json().await.expect("JSON");
        if run["progress"]["done"].as_u64() == Some(interactions as u64) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let elapsed = started.elapsed();
    let rate = interactions as f64 / elapsed.as_secs_f64();
    println!(
        "scored as they come in, {interactions} interactions, three scorers, {elapsed:.1?} (sent in {sent:.1?})"
    );
    println!(
        "  {rate:>10.0} a second      limit {SCORED_A_SECOND_MIN:.0}: {:.2}",
        rate / SCORED_A_SECOND_MIN
    );
}
