//! A plugin that misbehaves fails its batch with the right cause, and nothing else.

mod support;

use assay::domain::plugin::{Capability, Cause, PluginErrorKind, Value};
use assay::protocol::Limits;
use assay::sandbox::{Engine, Plugin, compile, convert_interaction};
use assay::workers::{Settings, Workers};
use support::{artifact, call, component, items, settings};

fn config(how: &str) -> String {
    format!(r#"{{"how":"{how}","on":"poison"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_has_its_cause_and_the_next_batch_is_right() {
    let workers = Workers::start(settings()).await.expect("workers start");
    let plugin = artifact(&workers, &component("hostile")).await;
    let cases = [
        ("loop", Cause::Timeout, "no answer within"),
        ("allocate", Cause::OutOfMemory, "256 MiB"),
        ("recurse", Cause::Trap, "out of bounds memory"),
        ("panic", Cause::Trap, "the item is poison"),
        ("wrong-length", Cause::WrongShape, "answered 1 items of 2"),
        ("huge", Cause::WrongShape, "more than 33554432 bytes in one call"),
    ];
    while workers.process_ids().len() < workers.count() {
        tokio::task::yield_now().await;
    }
    let before = workers.process_ids();
    for (how, cause, message) in cases {
        let calls = vec![call(&plugin, &config(how)), call(&plugin, "{\"on\":\"nothing\"}")];
        let outcome = workers.score(items(&["fine", "poison"]), calls).await.expect("worker lives");
        let failure = outcome[0].as_ref().expect_err(how);
        assert_eq!(failure.unscored.cause, cause, "{how}: {failure:?}");
        assert!(failure.unscored.message.contains(message), "{how}: {failure:?}");
        let fine = outcome[1].as_ref().expect("the other scorer's call is untouched");
        assert_eq!(fine[1].as_ref().expect("scored")[0].value, Value::Boolean(true));
    }
    assert_eq!(workers.process_ids(), before, "no worker had to be replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_one_item_leave_its_neighbours_alone() {
    let workers = Workers::start(settings()).await.expect("workers start");
    let plugin = artifact(&workers, &component("hostile")).await;
    for (how, kind) in [("error", PluginErrorKind::Internal), ("skip", PluginErrorKind::Unsupported)] {
        let calls = vec![call(&plugin, &config(how))];
        let outcome = workers.score(items(&["fine", "poison", "fine"]), calls).await.expect("worker lives");
        let answers = outcome[0].as_ref().expect("no trap");
        assert_eq!(answers[1].as_ref().expect_err(how).kind, kind);
        assert!(answers[0].is_ok() && answers[2].is_ok());
    }
    let calls = vec![call(&plugin, &config("log"))];
    let outcome = workers.score(items(&["poison"]), calls).await.expect("worker lives");
    assert!(outcome[0].is_ok(), "a flood of log lines is dropped, not punished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_or_stopped_worker_is_replaced_and_its_batch_is_answered_as_lost() {
    let mut settings = settings();
    settings.count = 1;
    let workers = Workers::start(settings).await.expect("workers start");
    let plugin = artifact(&workers, &component("hostile")).await;
    for (signal, cause) in [("KILL", Cause::WorkerDied), ("STOP", Cause::Timeout)] {
        let worker = workers.process_ids()[0];
        let busy = tokio::spawn({
            let (workers, plugin) = (workers.clone(), plugin.clone());
            async move { workers.score(items(&["poison"; 400]), vec![call(&plugin, &config("loop"))]).await }
        });
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let killed = std::process::Command::new("kill").args(["-s", signal, &worker.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        let lost = busy.await.expect("no panic").expect_err("the batch was lost");
        assert_eq!(lost.unscored.cause, cause, "{lost:?}");
        let outcome = workers.score(items(&["fine"]), vec![call(&plugin, &config("no"))]).await;
        assert!(outcome.expect("a new worker")[0].is_ok());
        assert_ne!(workers.process_ids()[0], worker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_costs_too_many_workers_is_unhealthy_and_the_others_are_not() {
    let mut settings = settings();
    settings.count = 1;
    settings.restarts_per_minute_max = 2;
    let workers = Workers::start(settings).await.expect("workers start");
    let plugin = artifact(&workers, &component("hostile")).await;
    let other = artifact(&workers, &component("text")).await;
    for _ in 0..2 {
        let busy = tokio::spawn({
            let (workers, plugin) = (workers.clone(), plugin.clone());
            async move { workers.score(items(&["poison"; 400]), vec![call(&plugin, &config("loop"))]).await }
        });
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let worker = workers.process_ids()[0].to_string();
        let killed = std::process::Command::new("kill").args(["-s", "KILL", &worker]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        let lost = busy.await.expect("no panic").expect_err("the batch was lost");
        assert_eq!(lost.unscored.cause, Cause::WorkerDied);
    }
    let refused = workers.score(items(&["fine"]), vec![call(&plugin, &config("no"))]).await;
    let refused = refused.expect_err("it had its chances").unscored;
    assert_eq!(refused.cause, Cause::PluginUnhealthy);
    assert!(refused.message.contains("took down 2 workers within a minute"), "{refused:?}");
    assert!(workers.describe(&other).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_is_refused_with_its_reason() {
    let workers = Workers::start(settings()).await.expect("workers start");
    let empty_component = [b"\0asm".as_slice(), &[0x0d, 0, 1, 0]].concat();
    let refused = workers.compile(empty_component).await.expect_err("exports nothing");
    assert!(refused.to_string().contains("assay:plugin/lifecycle@0.1.0"), "{refused}");
    let refused = workers.compile(b"not wasm at all".to_vec()).await.expect_err("no component");
    assert!(refused.to_string().starts_with("failed to compile"), "{refused}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_compile_process_that_needs_too_much_memory_ends_alone() {
    // Made with the usual memory, where the cache does not have it.
    let plugin =
        artifact(&Workers::start(settings()).await.expect("workers start"), &component("text")).await;
    // The engine's own pools take 200 MiB of addresses that count.
    let settings = Settings { compile_memory_bytes_max: 240 << 20, ..settings() };
    let workers = Workers::start(settings).await.expect("workers start");
    let refused = workers.compile(component("structured")).await.expect_err("240 MiB are too few");
    assert!(refused.to_string().contains("240 MiB of memory"), "{refused}");
    assert!(workers.describe(&plugin).await.is_ok(), "the workers go on");
}

#[test]
fn a_flood_of_log_lines_is_cut_and_counted() {
    let limits = Limits { log_lines_max: 5, ..Limits::default() };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("artifact");
    std::fs::write(&file, compile(&component("hostile"), &limits).expect("compiled")).expect("written");
    let engine = Engine::start(limits).expect("the engine starts");
    // SAFETY: the file was written a moment ago from what `compile` returned.
    let plugin = unsafe { Plugin::load(&engine, &file) }.expect("loaded");
    let item = assay::domain::interaction::Interaction { query: "poison".into(), ..Default::default() };
    let called = plugin.answer(
        &engine,
        Capability::Score,
        &config("log"),
        &[convert_interaction("0".into(), item)],
        None,
    );
    assert!(called.result.is_ok(), "{:?}", called.result);
    let told: Vec<_> = called.log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(told, ["line 0", "line 1", "line 2", "line 3", "line 4", "99995 more log lines were dropped"]);
}
