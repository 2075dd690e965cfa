//! Hostile plugins in runs of the real daemon: the run ends, only the right
//! item fails and says why, the next run is right, and neither the daemon nor
//! a worker ever takes more memory than it may.
#![cfg(target_os = "linux")]

mod support;

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::components::{importing, liar, nested, plugin_with};
use support::daemon::{Daemon, answer};
use support::memory::peak_mib;
use support::{component, try_component};

const ITEMS: usize = 40;
const POISON: usize = 17;

/// A worker may have: what its plugin has (`workers.memory_bytes_max`, 256 MiB),
/// and 100 MiB for engine, artifacts, batches and what the plugin hands over.
const WORKER_MIB_MAX: u64 = 256 + 100;

/// The daemon may have: what each scorer of a batch hands over
/// (`workers.answer_bytes_max`, 32 MiB), until it is checked, and 130 MiB for
/// itself, its store and the last frame.
const fn daemon_mib_max(scorers: u64) -> u64 {
    scorers * 32 + 130
}

/// A daemon with a hostile plugin and a reference set of which one item is
/// poison.
async fn start(variables: &[(&str, &str)]) -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start_with(folder.path(), variables);
    daemon.drop_plugin("hostile.wasm", &component("hostile")).await;
    let query = |index| if index == POISON { "poison" } else { "q" };
    let lines =
        (0..ITEMS).map(|index| json!({"key": index.to_string(), "query": query(index), "actual": "a"}));
    upload(&daemon, "set", lines).await;
    (folder, daemon)
}

async fn upload(daemon: &Daemon, set: &str, lines: impl Iterator<Item = Value>) {
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    let upload = daemon.request(Method::POST, &format!("/v1/reference-sets/{set}/versions")).body(lines);
    answer(upload, StatusCode::CREATED).await;
}

fn definition(name: &str, set: &str, scorers: Value) -> Value {
    json!({"name": name, "source": {"reference_set": set}, "scorers": scorers})
}

/// Runs scorers over a set to the end, and answers the items.
async fn run(daemon: &Daemon, name: &str, set: &str, scorers: Value) -> Vec<Value> {
    let made = daemon.create("/v1/evaluations", &definition(name, set, scorers)).await;
    let path = format!("/v1/evaluations/{}/runs", made["id"].as_str().expect("an id"));
    let run = daemon.create(&path, &json!({})).await["id"].as_str().expect("an id").to_owned();
    let ended = daemon.finished(&run).await;
    assert_eq!(ended["state"], "finished", "{name}: {ended}");
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = daemon.get(&format!("/v1/runs/{run}/items?limit=500{cursor}")).await;
        items.extend(page["items"].as_array().expect("a list").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// A well-behaved scorer's run: each item is scored.
async fn runs_well(daemon: &Daemon, after: &str) {
    let scorers = json!([{"plugin": "hostile", "config": {"on": "nothing"}}]);
    let items = run(daemon, &format!("well after {after}"), "set", scorers).await;
    let scored = items.iter().filter(|item| item["scores"][0]["value"] == 1.0).count();
    assert_eq!(scored, ITEMS, "after {after}: {items:?}");
}

fn stay_within_bounds(daemon: &Daemon, scorers: u64) {
    let (peak, most) = (peak_mib(daemon.process_id()), daemon_mib_max(scorers));
    assert!(peak <= most, "the daemon took {peak} MiB, over {most}");
    let workers: Vec<_> = daemon.worker_processes().into_iter().map(peak_mib).collect();
    assert!(!workers.is_empty(), "there are workers");
    assert!(workers.iter().all(|peak| *peak <= WORKER_MIB_MAX), "{workers:?} MiB, over {WORKER_MIB_MAX}");
    eprintln!("daemon {peak} MiB, workers {workers:?} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_fails_its_item_alone_and_the_next_run_is_right() {
    let (_folder, daemon) = start(&[]).await;
    let workers = daemon.worker_processes();
    let cases = [
        ("loop", false, "timeout", "no answer within 502 ms"),
        ("fill", false, "timeout", "no answer within 502 ms"),
        ("allocate", false, "out_of_memory", "256 MiB"),
        ("recurse", false, "trap", "out of bounds memory"),
        ("leak", false, "trap", "more than 1000 handles"),
        ("panic", false, "trap", "the item is poison"),
        ("wrong-length", false, "wrong_shape", "answered 0 items of 1"),
        ("huge", false, "wrong_shape", "more than 33554432 bytes"),
        ("long-line", false, "wrong_shape", "more than 33554432 bytes"),
        ("large", false, "wrong_shape", "another kind"),
        ("category", false, "wrong_shape", "another kind"),
        ("nan", true, "wrong_shape", "not a number (NaN)"),
        ("out-of-range", true, "wrong_shape", "is 1.5, outside [0, 1]"),
        ("infinite", true, "wrong_shape", "is inf, outside [0, 1]"),
        ("undeclared", false, "wrong_shape", "`surprise` was not declared"),
        ("twice", false, "wrong_shape", "given twice"),
        ("no-json", false, "wrong_shape", "not JSON"),
        ("long-reason", false, "wrong_shape", "bytes of reason"),
        ("error", false, "internal", "a fault of my own"),
    ];
    for (how, number, cause, message) in cases {
        let config = json!({"on": "poison", "how": how, "number": number});
        let items = run(&daemon, how, "set", json!([{"plugin": "hostile", "config": config}])).await;
        assert_eq!(items.len(), ITEMS);
        for (index, item) in items.iter().enumerate() {
            if index == POISON {
                let failed = &item["unscored"][0];
                assert_eq!(
                    (&failed["outcome"], &failed["cause"]),
                    (&json!("failed"), &json!(cause)),
                    "{how}: {item}"
                );
                let told = failed["message"].as_str().expect("a message");
                assert!(told.contains(message) && told.len() < 4096, "{how}: {told}");
                assert_eq!(item["scores"], json!([]), "{how}: a failed item has no score");
            } else {
                assert_eq!(
                    (&item["scores"][0]["value"], &item["unscored"]),
                    (&json!(1.0), &json!([])),
                    "{how}: {item}"
                );
            }
        }
        runs_well(&daemon, how).await;
    }
    assert_eq!(daemon.worker_processes(), workers, "no worker had to be replaced");
    stay_within_bounds(&daemon, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_together_over_a_frame_cost_their_items_and_no_others() {
    let (_folder, daemon) = start(&[]).await;
    // Ten times 30 MiB for one item, over the 256 MiB of a frame.
    let scorers: Vec<_> = (0..10)
        .map(|index| json!({"plugin": "hostile", "name": format!("s{index}"), "config": {"on": "poison", "how": "large"}}))
        .collect();
    let items = run(&daemon, "together", "set", json!(scorers)).await;
    for (index, item) in items.iter().enumerate() {
        let (scored, failed) = if index == POISON { (0, 10) } else { (10, 0) };
        let count = |list: &Value| list.as_array().map_or(0, Vec::len);
        assert_eq!((count(&item["scores"]), count(&item["unscored"])), (scored, failed), "{item}");
    }
    runs_well(&daemon, "a frame too long").await;
    stay_within_bounds(&daemon, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_loops_on_every_item_is_given_up_in_time() {
    const MANY: usize = 3_000;
    // With the default deadlines: the first batches, the way down to the first
    // item, and ten items (`runner.poison_items_max`) of half a second take 20 s.
    const TIME_MAX: Duration = Duration::from_secs(45);
    let (_folder, daemon) = start(&[]).await;
    upload(&daemon, "many", (0..MANY).map(|_| json!({"query": "q", "actual": "a"}))).await;
    let before = Instant::now();
    let items =
        run(&daemon, "always", "many", json!([{"plugin": "hostile", "config": {"how": "loop"}}])).await;
    let took = before.elapsed();
    eprintln!("given up after {took:?}");
    assert!(took < TIME_MAX, "{took:?}");
    let with_cause = |cause: &str| items.iter().filter(|item| item["unscored"][0]["cause"] == cause).count();
    assert_eq!((with_cause("timeout"), with_cause("plugin_unhealthy")), (10, MANY - 10));
    runs_well(&daemon, "endless loops").await;
    stay_within_bounds(&daemon, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_python_that_reaches_out_is_refused_in_its_own_words() {
    let Some(python) = try_component("in-python") else {
        eprintln!("skipped: in-python is not built, because its language is not installed");
        return;
    };
    let (_folder, daemon) = start(&[]).await;
    let seen = daemon.drop_plugin("in-python.wasm", &python).await;
    assert_eq!(seen["plugin"], "in-python", "{seen}");
    let workers = daemon.worker_processes();
    let attempts = [
        ("plain", "done"),
        ("subprocess", "OSError"),
        ("system", "AttributeError"),
        ("fork", "AttributeError"),
        ("socket", "Error"),
        ("open", "FileNotFoundError"),
        ("plain", "done"),
    ];
    upload(&daemon, "attempts", attempts.iter().map(|(query, _)| json!({"query": query, "actual": "good"})))
        .await;
    let items = run(&daemon, "attempts", "attempts", json!([{"plugin": "in-python"}])).await;
    for (item, (query, told)) in items.iter().zip(attempts) {
        let score = &item["scores"][0];
        let reason = score["detail"]["reason"].as_str().unwrap_or_default();
        assert!(score["value"] == 1.0 && reason.contains(told), "{query}: {item}");
        eprintln!("{query}: {reason}");
    }
    assert_eq!(daemon.worker_processes(), workers, "the attempts ended no worker");
    runs_well(&daemon, "attempts in Python").await;
    stay_within_bounds(&daemon, 1);
}

/// Drops a component into the watched folder, then uploads it: what was said
/// each time.
async fn offer(daemon: &Daemon, file: &str, component: &[u8]) -> [String; 2] {
    let seen = daemon.drop_plugin(file, component).await;
    let dropped = seen["error"].as_str().unwrap_or_else(|| panic!("{file} was accepted: {seen}")).to_owned();
    let upload = daemon.request(Method::POST, "/v1/plugins").body(component.to_vec());
    let problem = answer(upload, StatusCode::UNPROCESSABLE_ENTITY).await;
    [dropped, problem["detail"].as_str().expect("a detail").to_owned()]
}

#[tokio::test(flavor = "multi_thread")]
async fn components_that_harm_are_refused_by_name_and_the_daemon_goes_on() {
    let (_folder, daemon) = start(&[("ASSAY_WORKERS__COMPONENT_BYTES_MAX", "4000000")]).await;
    let cases = [
        ("http", importing("wasi:http/types@0.2.0"), "imports `wasi:http/types@0.2.0`: not allowed"),
        ("unknown", importing("acme:billing/pay@1.0.0"), "imports `acme:billing/pay@1.0.0`: not allowed"),
        ("version", importing("assay:plugin/judge@0.9.0"), "does not know that interface or version"),
        (
            "spin",
            plugin_with("(func $spin (loop (br 0))) (start $spin)"),
            "`describe` failed: no answer within",
        ),
        ("trap", plugin_with(""), "`describe` failed"),
        ("nested", nested(18), "nests components more than 16 deep"),
    ];
    for (name, component, reason) in cases {
        let before = Instant::now();
        for told in offer(&daemon, &format!("{name}.wasm"), &component).await {
            assert!(told.contains(reason), "{name}: {told}");
        }
        assert!(before.elapsed() < Duration::from_secs(30), "{name} took {:?}", before.elapsed());
        assert_eq!(daemon.get("/readyz").await["ready"], true);
    }
    let large = vec![0; 4_000_001];
    let seen = daemon.drop_plugin("large.wasm", &large).await;
    assert!(
        seen["error"].as_str().is_some_and(|error| error.contains("over the limit of 4000000")),
        "{seen}"
    );
    let upload = daemon.request(Method::POST, "/v1/plugins").body(large);
    let problem = answer(upload, StatusCode::PAYLOAD_TOO_LARGE).await;
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(problem["type"] == "too-large" && detail.contains("workers.component_bytes_max"), "{problem}");
    runs_well(&daemon, "harmful components").await;
    stay_within_bounds(&daemon, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_lies_about_itself_is_refused_or_held_to_what_it_said() {
    let (_folder, daemon) = start(&[]).await;
    let honest = daemon.get("/v1/plugins/hostile").await["digest"].clone();
    for (about, reason) in [
        ("name", r"the name `Not A Name\n` is not"),
        ("huge-name", "the name `xxx"),
        ("version", "the version has 20971520 bytes, over 64"),
        ("huge-title", "the title has 20971520 bytes, over 500"),
        ("no-batch", "`batch-max` is 0"),
        ("schema", "schema is wrong: it is not JSON"),
        ("huge-schema", "over 262144"),
        ("schema-bomb", "`config-schema-json` failed: the worker did not come back"),
    ] {
        let before = Instant::now();
        for told in offer(&daemon, &format!("{about}.wasm"), &liar(about)).await {
            assert!(told.contains(reason) && told.len() < 4096, "{about}: {told}");
        }
        assert!(before.elapsed() < Duration::from_secs(30), "{about} took {:?}", before.elapsed());
        assert_eq!(daemon.get("/v1/plugins/hostile").await["digest"], honest, "{about} replaced nothing");
    }

    // These are accepted: what they say depends on the configuration.
    for (about, reason) in [
        ("range", "the range [1, 0]"),
        ("endless-range", "the range [0, inf]"),
        ("same-output", "declares output `fine` twice"),
        ("huge-output", "outputs have 20971520 bytes"),
        ("problems", "xxx"),
        ("capability", "gives no output"),
    ] {
        let seen = daemon.drop_plugin(&format!("{about}.wasm"), &liar(about)).await;
        let scorers = json!([{"plugin": "hostile", "digest": seen["digest"]}]);
        let create = daemon.request(Method::POST, "/v1/evaluations").json(&definition(about, "set", scorers));
        let problem = answer(create, StatusCode::UNPROCESSABLE_ENTITY).await.to_string();
        assert!(problem.contains(reason) && problem.len() < 100_000, "{about}: {problem}");
    }
    let many = json!([{"plugin": "hostile", "digest": honest, "config": {"more": 256}}]);
    let create = daemon.request(Method::POST, "/v1/evaluations").json(&definition("many", "set", many));
    let problem = answer(create, StatusCode::UNPROCESSABLE_ENTITY).await.to_string();
    assert!(problem.contains("declares 257 outputs, over 256"), "{problem}");

    let more = json!([{"plugin": "hostile", "digest": honest, "config": {"more": 2, "on": "poison", "how": "nothing"}}]);
    for (index, item) in run(&daemon, "more", "set", more).await.iter().enumerate() {
        let missing: Vec<_> = item["unscored"].as_array().expect("a list").iter().collect();
        assert!(
            missing.iter().all(|missing| missing["cause"] == "no_output" && missing["outcome"] == "skipped")
        );
        assert_eq!(missing.len(), if index == POISON { 3 } else { 2 }, "{item}");
    }
    let back = daemon.request(Method::POST, "/v1/plugins/hostile/rollback").json(&json!({"digest": honest}));
    answer(back, StatusCode::OK).await;
    runs_well(&daemon, "lies").await;
    stay_within_bounds(&daemon, 1);
}
