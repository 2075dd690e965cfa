//! Components that are made to harm the one who loads or compiles them: each is
//! refused with its reason, in its time, and the workers go on.

mod support;

use std::time::{Duration, Instant};

use assay::workers::{Settings, Workers};
use support::components::{importing, leb, plugin_with, with_functions};
use support::{artifact, component, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_asks_for_network_or_an_unknown_package_is_refused_by_name() {
    let workers = Workers::start(settings()).await.expect("workers start");
    for import in ["wasi:http/types@0.2.0", "wasi:sockets/tcp@0.3.0", "acme:billing/pay@1.0.0"] {
        let refused = workers.compile(importing(import)).await.expect_err(import).to_string();
        assert!(refused.contains(import) && refused.contains("not allowed"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_function_that_loops_is_ended_by_the_deadline() {
    let workers = Workers::start(settings()).await.expect("workers start");
    let looping = plugin_with("(func $spin (loop (br 0))) (start $spin)");
    let before = Instant::now();
    let compiled = artifact(&workers, &looping).await;
    let failure = workers.describe(&compiled).await.expect_err("it never starts");
    assert!(failure.unscored.message.contains("no answer within"), "{failure:?}");
    assert!(before.elapsed() < Duration::from_secs(20), "compiling runs nothing of it");
    let trapping = artifact(&workers, &plugin_with("")).await;
    let failure = workers.describe(&trapping).await.expect_err("it traps");
    assert!(failure.unscored.message.contains("unreachable"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compile_bombs_end_in_their_time_and_memory_and_the_workers_go_on() {
    let good = artifact(&Workers::start(settings()).await.expect("workers start"), &component("text")).await;
    let timeout = Duration::from_secs(8);
    let limits = Settings { compile_timeout: timeout, compile_memory_bytes_max: 1 << 30, ..settings() };
    let workers = Workers::start(limits).await.expect("workers start");
    let nested = |depth: usize| [vec![0], [2, 0x40].repeat(depth), vec![0x0b; depth + 1]].concat();
    // 50,000 locals, each written from the one before it.
    let locals = 50_000;
    let mut many = [vec![1], leb(locals), vec![0x7e]].concat();
    for local in 1..locals {
        many.extend([vec![0x20], leb(local - 1), vec![0x21], leb(local)].concat());
    }
    many.push(0x0b);
    let bombs = [
        ("64 MB of empty functions", with_functions(16_700_000, &[0, 0x0b])),
        ("a million empty functions", with_functions(999_999, &[0, 0x0b])),
        ("deep blocks", with_functions(4, &nested(1_000_000))),
        ("many locals", with_functions(20, &many)),
    ];
    for (name, bomb) in bombs {
        assert!(bomb.len() <= 64 << 20, "{name} is small enough to be compiled");
        let before = Instant::now();
        let refused = workers.compile(bomb).await.expect_err(name).to_string();
        eprintln!("{name}: {refused} ({:?})", before.elapsed());
        assert!(before.elapsed() < timeout + Duration::from_secs(4), "{name}: {refused}");
        assert!(workers.describe(&good).await.is_ok(), "the workers go on after {name}");
    }
}
