//! `assay demo`: the whole way once, on example data.

use clap::Args;

use super::{Context, Failure, progress, serve, table};
use crate::app::import_reference_set;
use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::evaluation::{Definition, Schedule};
use crate::domain::ids::EvaluationId;
use crate::domain::source::Source;

const ANSWERS: &str = include_str!("../../../examples/support/answers.jsonl");
const EVALUATION: &str = include_str!("../../../examples/support/evaluation.json");
const SCHEDULE: &str = include_str!("../../../examples/support/schedule.json");

#[derive(Args)]
pub struct Demo {
    /// End after the result is printed instead of serving on
    #[arg(long)]
    exit: bool,
}

pub async fn run(context: Context, command: Demo) -> Result<(), Failure> {
    let daemon = serve::start(&context.config).await?;
    let app = &daemon.app;
    let definition: Definition = serde_json::from_str(EVALUATION)?;
    let schedule: Schedule = serde_json::from_str(SCHEDULE)?;
    let at = SystemClock.now();
    let Source::ReferenceSet(source) = &definition.source else {
        unreachable!("the example comes with a reference set")
    };
    let set = source.reference_set.clone();
    let provenance = "example answers that come with Assay".to_owned();
    let version = import_reference_set(&app.store, set, provenance, at, ANSWERS.as_bytes(), |_| {}).await?;
    println!("reference set `{}`: {} questions with recorded answers", source.reference_set, version.items);
    let id = match app.store.evaluation_find(definition.name.clone()).await? {
        Some(known) => known.id,
        None => {
            let id = EvaluationId::new();
            app.store.evaluation_insert(id, definition, at).await?;
            id
        }
    };
    let when = schedule.when.to_string();
    let next = daemon.scheduler.set(id, Some(schedule)).await?;
    println!(
        "evaluation `{id}`: scheduled `{when}`{}",
        next.map(|at| format!(", next at {at}")).unwrap_or_default()
    );
    let run = app.runner.start(id).await?;
    progress::follow(app, run).await?;
    let result = app.runner.result(run).await?;
    context.print(&result, table::print_result)?;
    if command.exit {
        return Ok(());
    }
    let base = format!("http://{}", daemon.address);
    println!("\nThe daemon goes on; Ctrl-C ends it. Where to look next:");
    println!("  {base}/docs                       the API, to try out");
    println!("  curl {base}/v1/runs/{run}/result");
    println!("  curl '{base}/v1/runs/{run}/items?completion=not_completed&limit=5'");
    println!("  drop a plugin of your own into {}", app.catalogue.folder().display());
    daemon.wait().await
}
