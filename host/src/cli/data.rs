//! `assay backup`, `assay restore`, `assay vacuum` and `assay doctor`: the data
//! directory as a whole.

use std::path::PathBuf;

use clap::Args;

use super::{Context, Failure, table};
use crate::app::{self, Existing, Finding, Health, back_up, examine, restore};

#[derive(Args)]
pub struct Backup {
    /// The file to make; it must not exist
    file: PathBuf,
}

#[derive(Args)]
pub struct Restore {
    /// A file that `assay backup` made
    file: PathBuf,
    /// Put a database that is there aside, as `assay.db.replaced`
    #[arg(long)]
    replace: bool,
}

pub fn backup(context: &Context, command: &Backup) -> Result<(), Failure> {
    let bytes = back_up(&context.config.data_dir, &command.file)?;
    let made = serde_json::json!({"file": command.file, "bytes": bytes});
    context.print(&made, |_| println!("`{}` is made and checked: {bytes} bytes", command.file.display()))
}

pub fn run_restore(context: &Context, command: &Restore) -> Result<(), Failure> {
    let existing = if command.replace { Existing::Replace } else { Existing::Keep };
    let data_dir = &context.config.data_dir;
    restore(&command.file, data_dir, existing)?;
    let made = serde_json::json!({"data_dir": data_dir});
    context.print(&made, |_| println!("`{}` is restored", data_dir.display()))
}

pub fn vacuum(context: &Context) -> Result<(), Failure> {
    let (before, after) = app::vacuum(&context.config.data_dir)?;
    let made = serde_json::json!({"bytes_before": before, "bytes_after": after});
    context.print(&made, |_| println!("the database is rewritten: {before} bytes before, {after} after"))
}

pub async fn doctor(context: Context) -> Result<(), Failure> {
    let findings = examine(&context.config).await;
    context.print(&findings, |findings| {
        let mut table = table::table(&["", "what", "found"]);
        for Finding { subject, health, message } in findings {
            let mark = match health {
                Health::Good => "good",
                Health::Notice => "notice",
                Health::Bad => "BAD",
            };
            table.add_row([mark, subject, message]);
        }
        println!("{table}");
    })?;
    match findings.iter().filter(|finding| finding.health == Health::Bad).count() {
        0 => Ok(()),
        bad => Err(anyhow::anyhow!("{bad} of {} findings are bad", findings.len()).into()),
    }
}
