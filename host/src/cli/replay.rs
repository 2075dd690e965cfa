//! `assay replay`: a run scored again from what was kept of it.

use std::sync::Arc;

use clap::Args;

use super::{Context, Failure, MISSED, table};
use crate::app::App;
use crate::domain::clock::SystemClock;
use crate::domain::ids::RunId;
use crate::domain::run::answer_name;

#[derive(Args)]
pub struct Replay {
    /// The run's id
    run: RunId,
}

pub async fn run(context: Context, command: Replay) -> Result<(), Failure> {
    let app = App::open_beside_daemon(&context.config, Arc::new(SystemClock)).await?;
    let replay = app.runner.replay(command.run).await?;
    context.print(&replay, |replay| {
        println!(
            "{} answers scored again, {} outcomes compared, {} differ",
            replay.answers, replay.compared, replay.different
        );
        if !replay.differences.is_empty() {
            let mut table = table::table(&["item", "output", "was", "is"]);
            for found in &replay.differences {
                let item = answer_name(&found.key, found.trial);
                let output = format!("{}.{}", found.scorer, found.output);
                table.add_row([item, output, found.was.clone(), found.is.clone()]);
            }
            println!("{table}");
        }
    })?;
    if replay.different > 0 {
        let error = anyhow::anyhow!("{} outcomes are not what they were", replay.different);
        return Err(Failure { code: MISSED, error });
    }
    Ok(())
}
