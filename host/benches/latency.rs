//! How fast percentiles by template and input length are answered, over HTTP,
//! from the rollups of a million interactions.
//!
//! `cargo bench --bench latency`; as a test it does the least that shows that it
//! works. Each answer is compared with the exact percentiles.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assay::domain::clock::{Clock as _, SystemClock, Timestamp};
use assay::domain::ids::InteractionId;
use assay::domain::interaction::{Interaction, Timing, Usage};
use assay::domain::latency::{HOUR_US, LengthBucket};
use assay::domain::production::{Origin, ProductionInteraction};
use assay::stats::{RELATIVE_ERROR, nearest_rank};
use assay::store::{Arrival, ArrivalRules, NewInteraction, Store, TraceWaits};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

const ANSWER_MS_MAX: f64 = 10.0;
const DAYS: i64 = 30;
const TEMPLATES: usize = 12;
const RULES: ArrivalRules =
    ArrivalRules { idle_gap_us: HOUR_US / 2, waits: TraceWaits { settle_us: 0, rootless_us: 0 } };
/// Interactions that are written in one transaction.
const AT_ONCE: usize = 2_000;
/// What is asked.
const QUERY: &str = "/v1/latency?metric=total&group_by=template,input_length";

/// How much is measured.
struct Scale {
    interactions: usize,
    rounds: usize,
}

fn main() {
    let bench = std::env::args().any(|argument| argument == "--bench");
    let scale = if bench {
        Scale { interactions: 1_000_000, rounds: 500 }
    } else {
        Scale { interactions: 3_000, rounds: 3 }
    };
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&scale));
}

/// Total times by template and input length, as the answer names them.
type Exact = BTreeMap<(String, String), Vec<f64>>;

/// Traffic of the last thirty days: twelve templates, two models, three
/// classes, eight buckets of input lengths; a third of it hits the cache.
struct Traffic {
    random: StdRng,
    from_us: i64,
    until_us: i64,
    count: usize,
    exact: Exact,
}

impl Traffic {
    /// The `index`-th interaction; they are spread evenly over the time.
    fn next(&mut self, index: usize) -> NewInteraction {
        let span_us = (self.until_us - self.from_us) as f64;
        let at_us = self.from_us + (span_us * index as f64 / self.count as f64) as i64;
        self.at(index, Timestamp(at_us))
    }

    fn at(&mut self, index: usize, started_at: Timestamp) -> NewInteraction {
        let random = &mut self.random;
        // Log-normal around 800 ms, and the longer the input the slower (Box & Muller 1958).
        let (u, v): (f64, f64) = (random.random(), random.random());
        let normal = (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        let input = 2_f64.powf(random.random_range(6.0..14.0)) as u64;
        let first_token_us = (200_000.0 * (0.4 * normal).exp()) as u64 + input * 10;
        let output = random.random_range(20..800_u64);
        let total_us = first_token_us + (output as f64 * 8_000.0 * (0.2 * normal).exp()) as u64;
        let template = format!("template-{}", random.random_range(0..TEMPLATES));
        let length = LengthBucket::of(Some(input)).to_string();
        self.exact.entry((template.clone(), length)).or_default().push(total_us as f64);
        let from = ProductionInteraction {
            id: InteractionId::of_key(&index.to_string()),
            started_at,
            interaction: Interaction {
                query: "q".into(),
                actual: "a".into(),
                template: Some(template),
                model: Some(format!("model-{}", random.random_range(0..2))),
                request_class: Some(format!("class-{}", random.random_range(0..3))),
                timing: Timing {
                    total_us: Some(total_us),
                    first_token_us: Some(first_token_us),
                    streamed: Some(true),
                    ..Timing::default()
                },
                usage: Usage {
                    input: Some(input),
                    output: Some(output),
                    cached_input: Some(if random.random_bool(0.33) { input / 2 } else { 0 }),
                    ..Usage::default()
                },
                ..Interaction::default()
            },
            origin: Origin::default(),
        };
        NewInteraction::new(from, started_at, None)
    }
}

async fn measure(scale: &Scale) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let now = SystemClock.now();
    let store = Store::open(&folder.path().join("assay.db")).expect("the database opens");
    let mut traffic = Traffic {
        random: StdRng::seed_from_u64(11),
        from_us: now.0 - DAYS * 24 * HOUR_US,
        until_us: now.0,
        count: scale.interactions,
        exact: Exact::new(),
    };
    let started = Instant::now();
    for from in (0..scale.interactions).step_by(AT_ONCE) {
        let indexes = from..(from + AT_ONCE).min(scale.interactions);
        let arrivals = indexes.map(|index| Arrival::Interaction(Box::new(traffic.next(index)))).collect();
        store.arrivals_insert(arrivals, now, RULES).await.expect("written");
    }
    let filled = started.elapsed();
    let started = Instant::now();
    while store.latency_roll_up(10_000).await.expect("rolled up") > 0 {}
    println!(
        "latency, {} interactions of {DAYS} days, {TEMPLATES} templates: filled in {filled:.1?}, rolled up in {:.1?}",
        scale.interactions,
        started.elapsed()
    );

    let daemon = Daemon::start(folder.path());
    daemon.ask_and_report("no day is added up yet", scale.rounds.min(20), &traffic.exact).await;
    drop(daemon);
    let started = Instant::now();
    let changed = store.latency_days_changed(now).await.expect("read");
    for day in &changed {
        store.latency_day_build(*day).await.expect("added up");
    }
    println!("  {} days added up in {:.1?}", changed.len(), started.elapsed());
    let daemon = Daemon::start(folder.path());
    let median_ms =
        daemon.ask_and_report("days that are over are added up", scale.rounds, &traffic.exact).await;
    println!("  {median_ms:>10.2} ms            limit {ANSWER_MS_MAX:.0}: {:.2}", median_ms / ANSWER_MS_MAX);
    // One that comes late changes its day, which then is read by hours until it has rested.
    let late = traffic.at(scale.interactions, Timestamp(now.0 - DAYS / 2 * 24 * HOUR_US));
    store.arrivals_insert(vec![Arrival::Interaction(Box::new(late))], now, RULES).await.expect("written");
    while store.latency_roll_up(10_000).await.expect("rolled up") > 0 {}
    daemon.ask_and_report("one day has changed since", scale.rounds, &traffic.exact).await;
}

struct Daemon {
    child: Child,
    base: String,
    client: reqwest::Client,
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
        Self { child, base, client: reqwest::Client::new() }
    }

    /// Asks several times, prints how long it took, and compares the last answer
    /// with the exact percentiles. Answers the median, in milliseconds.
    async fn ask_and_report(&self, when: &str, rounds: usize, exact: &Exact) -> f64 {
        let mut took = Vec::new();
        let mut body = Vec::new();
        for _ in 0..rounds {
            let before = Instant::now();
            let url = format!("{}{QUERY}", self.base);
            let answer = self.client.get(url).send().await.expect("answered");
            assert_eq!(answer.status(), 200);
            body = answer.bytes().await.expect("a body").to_vec();
            took.push(before.elapsed());
        }
        compare(&serde_json::from_slice(&body).expect("JSON"), exact);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let first = ms(took[0]);
        took.sort();
        let median = ms(took[took.len() / 2]);
        println!(
            "  {when}: median {median:.2} ms, p99 {:.2} ms, first {first:.2} ms",
            ms(took[(took.len() * 99).div_ceil(100) - 1])
        );
        median
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Every percentile is within the stated error of the exact one.
fn compare(view: &Value, exact: &Exact) {
    let groups = view["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), exact.len());
    for group in groups {
        let named = |name: &str| group["key"][name].as_str().expect("a name").to_owned();
        let key = (named("template"), named("input_length"));
        let mut values = exact[&key].clone();
        assert_eq!(group["n"], values.len(), "{key:?}");
        values.sort_by(f64::total_cmp);
        for (name, p) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let rank = nearest_rank(p, values.len() as u64).expect("there are values");
            let exact = values[rank as usize - 1];
            let found = group["quantiles"][name]["value"].as_f64().expect("a value");
            assert!(
                (found - exact).abs() <= exact * (RELATIVE_ERROR + 1e-9),
                "{key:?} {name}: {found} is not {exact}"
            );
        }
    }
}
