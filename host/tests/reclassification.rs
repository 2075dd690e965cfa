//! Interactions are classified anew: once each, in small steps, with what they
//! were before, and never against the client's own word.

mod support;

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use assay::app::{Intake, reclassify};
use assay::config::Config;
use assay::domain::clock::{SystemClock, Timestamp};
use assay::domain::ids::InteractionId;
use assay::domain::interaction::{Interaction, Item};
use assay::domain::latency::{Dimension, HOUR_US, Metric};
use assay::domain::production::{Origin, ProductionInteraction};
use assay::domain::reclassification::{EarlierClass, Reclassification, ReclassificationState};
use assay::domain::slice::Slice;
use assay::ingest::Reclassifier;
use assay::store::{Grouping, KeyPart, LetGo, Started, Store, StoreError};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};

/// 2026-01-02T03:00:00Z.
const START: i64 = 1_767_322_800_000_000;

fn config(folder: &Path, classes: Value) -> Config {
    let mut config = Config { data_dir: folder.to_owned(), ..Config::default() };
    config.ingest.classes = serde_json::from_value(classes).expect("valid rules");
    config
}

fn first_rules() -> Value {
    json!([{"class": "refund", "query": "refund"}, {"class": "search", "template": "search"}])
}

/// `refund` is split, and templates do not count any more.
fn second_rules() -> Value {
    json!([{"class": "refund-urgent", "query": "refund now"}, {"class": "refund", "query": "refund"}])
}

/// Of each eight: three about refunds, one of them urgent; two from search; one that the
/// client calls its own; two that no rule knows.
fn interaction(index: usize) -> ProductionInteraction {
    let (query, template, class) = match index % 8 {
        0 => ("refund now", None, None),
        1 | 2 => ("a refund please", None, None),
        3 | 4 => ("red shoes", Some("search"), None),
        5 => ("refund now", None, Some("mine")),
        _ => ("hello", None, None),
    };
    ProductionInteraction {
        id: InteractionId::of_key(&index.to_string()),
        started_at: Timestamp(START + index as i64 * HOUR_US / 100),
        interaction: Interaction {
            query: query.into(),
            actual: format!("answer {index}"),
            template: template.map(str::to_owned),
            request_class: class.map(str::to_owned),
            ..Interaction::default()
        },
        origin: Origin { user: Some(format!("user-{}", index % 5)), ..Origin::default() },
    }
}

async fn fill(config: &Config, count: usize) {
    let intake = Intake::open(config, Arc::new(SystemClock)).expect("opened");
    let taken = intake.ingest.interactions((0..count).map(interaction).collect()).await.expect("taken");
    assert_eq!(taken.new, count);
}

async fn again(config: &Config) -> Reclassification {
    reclassify(config, Arc::new(SystemClock), None, None, |_| {}).await.expect("reclassified")
}

fn store(config: &Config) -> Store {
    Store::open(&config.data_dir.join("assay.db")).expect("opened")
}

fn count(folder: &Path, sql: &str) -> i64 {
    let database = rusqlite::Connection::open(folder.join("assay.db")).expect("opened");
    database.query_row(sql, [], |row| row.get(0)).expect("counted")
}

/// (class, rules, earlier classes without their instants) of an interaction.
async fn standing(store: &Store, index: usize) -> (Option<String>, Option<String>, Vec<Option<String>>) {
    let found = store.interaction_get(InteractionId::of_key(&index.to_string())).await.expect("there");
    let item: Item = serde_json::from_str(found.payload.item()).expect("JSON");
    assert_eq!(item.request_class, found.request_class, "plugins are told the same");
    let earlier = store.earlier_classes(found.row).await.expect("read");
    (found.request_class, found.class_rules, earlier.into_iter().map(|one| one.request_class).collect())
}

#[tokio::test]
async fn each_gets_the_class_of_now_and_keeps_the_one_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = config(folder.path(), first_rules());
    fill(&first, 1_600).await;
    let second = config(folder.path(), second_rules());
    let done = again(&second).await;
    assert!(matches!(done.state, ReclassificationState::Finished { .. }), "{done:?}");
    // Urgent ones, and those of the template.
    let progress = done.progress;
    assert_eq!((progress.examined, progress.changed, progress.kept), (1_400, 600, 200));
    assert_eq!((progress.seen_row, progress.last_row), (1_600, 1_600));

    let store = store(&second);
    let some = |class: &str| Some(class.to_owned());
    let of_now = some(&done.rules);
    assert_eq!(standing(&store, 0).await, (some("refund-urgent"), of_now.clone(), vec![some("refund")]));
    assert_eq!(standing(&store, 1).await, (some("refund"), of_now.clone(), vec![]));
    assert_eq!(standing(&store, 3).await, (None, of_now.clone(), vec![some("search")]));
    assert_eq!(standing(&store, 5).await, (some("mine"), None, vec![]));
    assert_eq!(standing(&store, 6).await, (None, of_now, vec![]));

    // What was read is whole: nothing else has changed.
    let found = store.interaction_get(InteractionId::of_key("0")).await.expect("there");
    let item: Item = serde_json::from_str(found.payload.item()).expect("JSON");
    let (expected, _) = interaction(0).sides();
    assert_eq!(Item { request_class: None, ..item }, expected);
    assert_eq!(found.payload.origin, interaction(0).origin);

    // Back again: the history has both, and the second time there is nothing to do.
    let back = again(&first).await;
    assert_eq!((back.progress.examined, back.progress.changed), (1_400, 600));
    let earlier = store.earlier_classes(found.row).await.expect("read");
    let told: Vec<_> = earlier.iter().map(|one: &EarlierClass| one.request_class.as_deref()).collect();
    assert_eq!(told, [Some("refund"), Some("refund-urgent")]);
    assert_eq!(earlier[0].class_rules, Some(back.rules.clone()));
    assert_eq!(earlier[1].class_rules, Some(done.rules));
    assert!(earlier[0].until <= earlier[1].until);
    assert_eq!(again(&first).await.progress.changed, 0);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM class_change"), 1_200);
}

#[tokio::test]
async fn rules_that_are_gone_leave_nothing_classified_but_by_the_client() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(&config(folder.path(), first_rules()), 80).await;
    let none = config(folder.path(), json!([]));
    let done = again(&none).await;
    assert_eq!((done.progress.changed, done.progress.kept), (50, 10));
    let store = store(&none);
    assert_eq!(standing(&store, 3).await.0, None);
    assert_eq!(standing(&store, 5).await.0.as_deref(), Some("mine"));
}

#[tokio::test]
async fn only_what_started_in_the_time_is_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(&config(folder.path(), first_rules()), 800).await;
    let second = config(folder.path(), second_rules());
    let (from, to) = (Timestamp(START + HOUR_US), Timestamp(START + 3 * HOUR_US));
    let done =
        reclassify(&second, Arc::new(SystemClock), Some(from), Some(to), |_| {}).await.expect("reclassified");
    assert_eq!((done.progress.examined + done.progress.kept, done.progress.seen_row), (200, 800));
    let changed = format!(
        "SELECT count(*) FROM class_change JOIN interaction ON interaction.id = interaction \
         WHERE started_at_us >= {} AND started_at_us < {}",
        from.0, to.0
    );
    let within = count(folder.path(), &changed);
    assert_eq!(within, count(folder.path(), "SELECT count(*) FROM class_change"));
    assert_eq!(within, done.progress.changed as i64);
}

#[tokio::test]
async fn latencies_by_class_follow() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = config(folder.path(), first_rules());
    fill(&first, 400).await;
    let store = store(&first);
    while store.latency_roll_up(10_000).await.expect("rolled up") > 0 {}
    let second = config(folder.path(), second_rules());
    let by_class = async || {
        let by = vec![Dimension::RequestClass];
        let of = Grouping { slice: Slice::default(), by };
        let figures = store.latency_groups(Metric::Total, of).await.expect("answered");
        let class = |key: &[KeyPart]| match &key[0] {
            KeyPart::Name(name) => name.clone().expect("a name"),
            other => panic!("{other:?}"),
        };
        let mut groups: Vec<_> =
            figures.groups.iter().map(|group| (class(&group.key), group.counts.requests)).collect();
        groups.sort();
        (groups, figures.stale_hours)
    };
    let expect = |groups: &[(&str, u64)]| -> Vec<(String, u64)> {
        groups.iter().map(|(class, requests)| ((*class).to_owned(), *requests)).collect()
    };
    let before = expect(&[("mine", 50), ("refund", 150), ("search", 100), ("unclassified", 100)]);
    assert_eq!(by_class().await, (before, 0));
    again(&second).await;
    assert_eq!(by_class().await.1, 4, "each hour holds some that changed");
    for hour in store.latency_stale_hours().await.expect("read") {
        store.latency_recount(hour).await.expect("counted");
    }
    let after = expect(&[("mine", 50), ("refund", 100), ("refund-urgent", 50), ("unclassified", 200)]);
    assert_eq!(by_class().await, (after, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_work_at_once_change_each_interaction_once_and_in_small_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(&config(folder.path(), first_rules()), 8_000).await;
    let second = config(folder.path(), second_rules());
    let work = async || {
        let rules = &second.ingest.classes;
        let worker = Reclassifier::new(store(&second), Arc::new(SystemClock), rules).expect("valid rules");
        let seen = RefCell::new(vec![0]);
        worker.start(None, None).await.expect("started");
        worker.carry_out(|of| seen.borrow_mut().push(of.progress.seen_row)).await.expect("carried out");
        seen.into_inner()
    };
    let (one, other) = tokio::join!(work(), work());
    let mut seen: Vec<_> = one.into_iter().chain(other).collect();
    seen.sort_unstable();
    assert!(seen.windows(2).all(|pair| pair[1] - pair[0] <= 500), "{seen:?}");
    assert_eq!(count(folder.path(), "SELECT count(*) FROM class_change"), 3_000);
    assert_eq!(count(folder.path(), "SELECT count(DISTINCT interaction) FROM class_change"), 3_000);
    let all = store(&second).reclassification_list().await.expect("read");
    assert_eq!(all.len(), 1, "both asked for the same");
    assert_eq!(
        (all[0].progress.examined, all[0].progress.changed, all[0].progress.kept),
        (7_000, 3_000, 1_000)
    );
}

/// Asks for a reclassification that nobody carries out.
async fn asked(config: &Config) -> (Store, Reclassification) {
    let store = store(config);
    let rules = &config.ingest.classes;
    let reclassifier = Reclassifier::new(store.clone(), Arc::new(SystemClock), rules).expect("valid rules");
    let Started::New(made) = reclassifier.start(None, None).await.expect("started") else {
        panic!("one was under way")
    };
    (store, made)
}

#[tokio::test]
async fn what_goes_between_reading_and_writing_is_left_out_and_nothing_of_it_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(&config(folder.path(), first_rules()), 80).await;
    let second = config(folder.path(), second_rules());
    let (store, made) = asked(&second).await;
    let mut page = store.reclassification_page(&made).await.expect("read");
    let given = std::mem::take(&mut page.interactions)
        .into_iter()
        .map(|one| one.give(|interaction, _| interaction.request_class = Some("other".into())))
        .collect::<Result<_, _>>()
        .expect("readable");
    store.user_erase("user-0").await.expect("deleted");
    store.reclassification_advance(&made, page, given, Timestamp(START)).await.expect("written");
    let done = store.reclassification_get(made.id).await.expect("there");
    assert!(matches!(done.state, ReclassificationState::Finished { .. }), "{done:?}");
    // Sixteen of eighty were the user's, two of them with the client's own class.
    assert_eq!((done.progress.changed, count(folder.path(), "SELECT count(*) FROM class_change")), (56, 56));
    store.user_erase("user-1").await.expect("deleted");
    let orphans = "SELECT count(*) FROM class_change WHERE interaction NOT IN (SELECT id FROM interaction)";
    assert_eq!(
        (count(folder.path(), orphans), count(folder.path(), "SELECT count(*) FROM class_change")),
        (0, 42)
    );
    let later = Timestamp(START + 1_000 * HOUR_US);
    while store.interactions_let_go(later).await.expect("let go") != LetGo::Rows(0) {}
    assert_eq!(count(folder.path(), "SELECT count(*) FROM class_change"), 0);
}

#[tokio::test]
async fn one_is_under_way_at_a_time_and_other_rules_end_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = config(folder.path(), first_rules());
    fill(&first, 80).await;
    let second = config(folder.path(), second_rules());
    let (store, made) = asked(&second).await;
    let rules = &second.ingest.classes;
    let same = Reclassifier::new(store.clone(), Arc::new(SystemClock), rules).expect("valid rules");
    let Started::Running(running) = same.start(None, None).await.expect("answered") else {
        panic!("a new one")
    };
    assert_eq!(running.id, made.id);
    let refused = same.start(Some(Timestamp(START)), None).await.expect_err("of another time");
    assert!(
        matches!(&refused, StoreError::Conflict(reason) if reason.contains(&made.id.to_string())),
        "{refused}"
    );
    let done = again(&first).await;
    let ended = store.reclassification_get(made.id).await.expect("there");
    assert!(matches!(ended.state, ReclassificationState::Superseded { .. }), "{ended:?}");
    // They were classified by these rules when they came in.
    assert_eq!((done.progress.examined, done.progress.changed), (70, 0));
}

fn write_config(folder: &Path, classes: &str) -> String {
    let path = folder.join("assay.toml");
    std::fs::write(&path, classes).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_carries_it_out_and_shows_how_far_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let rules = "[[ingest.classes]]\nclass = \"refund\"\nquery = \"refund\"\n";
    let daemon = Daemon::start_with(&data, &[("ASSAY_CONFIG", &write_config(folder.path(), rules))]);
    let lines: String = (0..1_200)
        .map(|i| format!("{{\"id\":\"r{i}\",\"query\":\"refund now\",\"actual\":\"a\"}}\n"))
        .collect();
    answer(daemon.request(Method::POST, "/v1/interactions").body(lines), StatusCode::OK).await;
    daemon.kill();

    let rules = "[[ingest.classes]]\nclass = \"urgent\"\nquery = \"now\"\n";
    let path = write_config(folder.path(), rules);
    let daemon = Daemon::start_with(&data, &[("ASSAY_CONFIG", &path)]);
    let made = daemon.create("/v1/reclassifications", &json!({})).await;
    let id = made["id"].as_str().expect("an id");
    let done = loop {
        let found = daemon.get(&format!("/v1/reclassifications/{id}")).await;
        if found["state"] != "running" {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(done["state"], "finished");
    let progress = json!({"last_row": 1200, "seen_row": 1200, "examined": 1200, "changed": 1200, "kept": 0});
    assert_eq!(done["progress"], progress);
    let list = daemon.get("/v1/reclassifications").await;
    assert_eq!((&list["rules"], &list["reclassifications"][0]), (&done["rules"], &done));
    let one = daemon.get("/v1/interactions/r7").await;
    assert_eq!((&one["request_class"], &one["class_rules"]), (&json!("urgent"), &done["rules"]));
    assert_eq!(one["earlier_classes"][0]["request_class"], "refund");
    assert_eq!(one["earlier_classes"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["item"]["request_class"], "urgent");
    let missing = daemon.request(Method::GET, "/v1/reclassifications/019a0000-0000-7000-8000-000000000000");
    answer(missing, StatusCode::NOT_FOUND).await;
    let wrong = daemon.request(Method::POST, "/v1/reclassifications").json(&json!({"form": 1}));
    answer(wrong, StatusCode::UNPROCESSABLE_ENTITY).await;

    // The command, beside the daemon: these rules gave all their classes already.
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command.args(arguments).arg("--data-dir").arg(&data).output().expect("the command runs")
    };
    let told = command(&["--json", "--config", &path, "reclassify"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{told:?}"));
    assert_eq!((&told["state"], &told["progress"]["changed"]), (&json!("finished"), &json!(0)));
    let path = write_config(folder.path(), "[[ingest.classes]]\nclass = \"x\"\nquery = \"(\"\n");
    let wrong = command(&["--config", &path, "reclassify"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
