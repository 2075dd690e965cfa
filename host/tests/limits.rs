//! Each limit on what a plugin takes, hit by a plugin that takes more. Those
//! of time, memory and log lines are in `hostile_plugins.rs`, the size of a
//! file in `hostile_runs.rs`.

mod support;

use assay::domain::plugin::Cause;
use assay::protocol::{BatchFailure, Limits};
use assay::workers::{Settings, Workers};
use support::components::{around, liar, nested, plugin_with, section};
use support::{artifact, call, component, items, settings};

async fn workers(limits: Limits) -> Workers {
    Workers::start(Settings { count: 1, limits, ..settings() }).await.expect("workers start")
}

/// What the hostile plugin meets on its own.
async fn misbehave(workers: &Workers, how: &str) -> BatchFailure {
    let plugin = artifact(workers, &component("hostile")).await;
    let calls = vec![call(&plugin, &format!(r#"{{"how":"{how}"}}"#))];
    let mut outcome = workers.score(items(&["q"]), calls).await.expect("the worker lives");
    outcome.remove(0).expect_err("over the limit")
}

/// What a plugin meets that starts like this.
async fn starting(workers: &Workers, text: &str) -> String {
    let plugin = artifact(workers, &plugin_with(text)).await;
    workers.describe(&plugin).await.expect_err("it never starts").unscored.message
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_max_bounds_the_handles_that_a_plugin_holds() {
    let workers = workers(Limits { handles_max: 10, ..Limits::default() }).await;
    let failure = misbehave(&workers, "leak").await;
    assert_eq!(
        (failure.unscored.cause, failure.unscored.message.as_str()),
        (Cause::Trap, "held more than 10 handles")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_bytes_max_bounds_every_call_of_the_host_not_answers_alone() {
    let workers = workers(Limits { answer_bytes_max: 1 << 20, ..Limits::default() }).await;
    for how in ["long-line", "huge"] {
        let failure = misbehave(&workers, how).await.unscored;
        assert_eq!(failure.cause, Cause::WrongShape, "{how}");
        assert_eq!(failure.message, "handed over more than 1048576 bytes in one call", "{how}");
    }
    let plugin = artifact(&workers, &liar("huge-name")).await;
    let failure = workers.describe(&plugin).await.expect_err("20 MiB of name").unscored;
    assert_eq!(failure.message, "handed over more than 1048576 bytes in one call");
}

#[tokio::test(flavor = "multi_thread")]
async fn table_elements_max_bounds_all_tables_together() {
    let workers = workers(Limits { table_elements_max: 5_000, ..Limits::default() }).await;
    // Grows its table to 3,000 elements, and loops for ever where it may not.
    let module = "
        (core module $hoarding
            (table $hoard 0 funcref)
            (func $grow
                (loop $more
                    (if (i32.eq (table.grow $hoard (ref.null func) (i32.const 100)) (i32.const -1))
                        (then (loop $on (br $on))))
                    (br_if $more (i32.lt_u (table.size $hoard) (i32.const 3000)))))
            (start $grow))";
    for (instances, expected) in [(1, "unreachable"), (2, "no answer within")] {
        let text = module.to_owned() + &"(core instance (instantiate $hoarding))".repeat(instances);
        let plugin = artifact(&workers, &around(&text)).await;
        let told = workers.describe(&plugin).await.expect_err("of traps").unscored.message;
        assert!(told.contains(expected), "{instances} tables: {told}");
    }
    let large = around("(core module (table 6000 funcref))");
    let refused = workers.compile(large).await.expect_err("6,000 at once").to_string();
    assert!(refused.contains("6000") && refused.contains("5000"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stack_bytes_max_bounds_recursion() {
    let workers = workers(Limits { stack_bytes_max: 64 << 10, ..Limits::default() }).await;
    let told = starting(&workers, "(func $down (call $down)) (start $down)").await;
    assert_eq!(told, "used more than 64 KiB of stack");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_bytes_max_bounds_all_memories_together_from_the_start() {
    let workers = workers(Limits { memory_bytes_max: 4 << 20, ..Limits::default() }).await;
    let large = around("(core module (memory 65))");
    let refused = workers.compile(large).await.expect_err("over 4 MiB").to_string();
    assert!(refused.contains("exceeds the limit"), "{refused}");
    // Each may be that large, but not both.
    let instances = "(core instance (instantiate $more))".repeat(2);
    let plugin = artifact(&workers, &around(&format!("(core module $more (memory 40)) {instances}"))).await;
    let told = workers.describe(&plugin).await.expect_err("it never starts").unscored.message;
    assert_eq!(told, "asked for more than 4 MiB of memory");
    let refused = workers.compile(plugin_with("(memory 0)")).await.expect_err("one a module").to_string();
    assert!(refused.contains("memories count of 2"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn component_nesting_max_bounds_components_and_others_bound_what_else_nests() {
    let workers = workers(Limits { component_nesting_max: 3, ..Limits::default() }).await;
    let refused = workers.compile(nested(5)).await.expect_err("four deep").to_string();
    assert_eq!(refused, "nests components more than 3 deep");
    let refused = workers.compile(nested(4)).await.expect_err("no plugin").to_string();
    assert!(refused.contains("missing export"), "{refused}");

    // A component type whose one declaration is another, and so on: only the
    // stack of the process that reads it is a limit, and only that process ends.
    let types = [[1].to_vec(), [0x41, 1, 1].repeat(100_000), [0x41, 0].to_vec()].concat();
    let deep = [b"\0asm\x0d\0\x01\0".to_vec(), section(7, &types)].concat();
    let refused = workers.compile(deep).await.expect_err("too deep").to_string();
    assert!(refused.contains("the compile process failed: it ended"), "{refused}");

    let module = "(core module $m)".to_owned() + &"(core instance (instantiate $m))".repeat(401);
    let many = wat::parse_str(format!("(component {module})")).expect("assembled");
    let refused = workers.compile(many).await.expect_err("too many").to_string();
    assert!(refused.contains("401") && refused.contains("400"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_memory_bytes_max_bounds_the_process_around_the_plugin() {
    // Enough for the engine, but not for the 256 MiB that a plugin may have.
    // Room for a batch that waits for a judge would count too.
    let limits = Limits { judged_batches_max: 0, ..Limits::default() };
    let settings = Settings { count: 1, worker_memory_bytes_max: 320 << 20, limits, ..settings() };
    let workers = Workers::start(settings).await.expect("workers start");
    let plugin = artifact(&workers, &component("hostile")).await;
    for (query, fails) in [("poison", true), ("fine", false)] {
        let calls = vec![call(&plugin, r#"{"how":"allocate","on":"poison"}"#)];
        let outcome = workers.score(items(&[query]), calls).await;
        let failed = !outcome.is_ok_and(|outcome| outcome[0].is_ok());
        assert_eq!(failed, fails, "{query}");
    }
}
