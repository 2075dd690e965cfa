//! Plugins compiled for each released version of the contract, frozen: they
//! must load and score for ever. Never rebuild one.

mod support;

use std::fs;

use assay::domain::plugin::{Capability, Direction, OutputKind, Value};
use assay::workers::Workers;
use support::{artifact, call, items, root, settings};

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_of_contract_0_1_0_still_scores() {
    let component =
        fs::read(root().join("tests/golden/v0.1.0/scorer.wasm")).expect("it is in the repository");
    let workers = Workers::start(settings()).await.expect("workers start");
    let plugin = artifact(&workers, &component).await;
    let described = workers.describe(&plugin).await.expect("describes itself");
    assert_eq!((described.name.as_str(), described.version.as_str()), ("final-number", "0.1.0"));
    assert_eq!(described.capabilities, [Capability::Score]);
    let outputs =
        workers.configure(&plugin, r#"{"marker":"A:"}"#).await.expect("no trap").expect("configured");
    assert_eq!((&outputs[0].kind, outputs[0].direction), (&OutputKind::Boolean, Direction::HigherIsBetter));
    let problems =
        workers.configure(&plugin, r#"{"marker":5}"#).await.expect("no trap").expect_err("refused");
    assert_eq!(problems[0].path, "/marker");
    let outcome = workers.score(items(&["q"]), vec![call(&plugin, "{}")]).await.expect("the worker lives");
    let answers = outcome[0].as_ref().expect("no trap");
    assert_eq!(answers[0].as_ref().expect("scored")[0].value, Value::Boolean(false));
}
