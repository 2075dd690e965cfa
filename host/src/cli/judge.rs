//! `assay judge`: how far a judge agrees with itself.

use std::sync::Arc;

use clap::Subcommand;

use super::{Context, Failure, table};
use crate::app::App;
use crate::domain::clock::SystemClock;
use crate::domain::ids::RunId;
use crate::runner::RepeatQuestion;

#[derive(Subcommand)]
pub enum Judge {
    /// Ask a judge again about a run's answers, and show how often it changes its mind
    ///
    /// Every answer is asked for anew and paid for; the run's results do not change.
    Repeat {
        /// The run's id
        run: RunId,
        /// The scorer; needed where several of the run ask a judge
        #[arg(long)]
        scorer: Option<String>,
        /// How many answers
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=10_000))]
        items: u16,
        /// How often each
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=100))]
        times: u16,
        /// From which value on a score passes; else every value is a verdict of its own
        #[arg(long, value_name = "VALUE")]
        pass_at: Option<f64>,
    },
}

pub async fn run(context: Context, command: Judge) -> Result<(), Failure> {
    let Judge::Repeat { run, scorer, items, times, pass_at } = command;
    let app = App::open_beside_daemon(&context.config, Arc::new(SystemClock)).await?;
    let question = RepeatQuestion { run, scorer, items: items.into(), times: times.into(), pass_at };
    let report = app.runner.repeat(&question).await?;
    context.print(&report, |report| {
        let mut table = table::table(&["output", "items", "answers", "flip rate", "disagreement", "chance"]);
        for output in &report.outputs {
            let name = output.output.clone();
            match &output.repeatability {
                None => table.add_row([name, "too few".into()]),
                Some(found) => table.add_row([
                    name,
                    found.items.to_string(),
                    found.answers.to_string(),
                    format!(
                        "{:.1} % ({:.1} – {:.1})",
                        100.0 * found.flip_rate,
                        100.0 * found.flip_rate_interval.low,
                        100.0 * found.flip_rate_interval.high
                    ),
                    format!("{:.1} %", 100.0 * found.disagreement),
                    found.chance_share.map_or_else(
                        || "all answers are the same".into(),
                        |share| format!("{:.1} % of the variance", 100.0 * share),
                    ),
                ]),
            };
        }
        println!("{table}");
    })
}
