//! `assay user`: users of the product, as clients name them.

use clap::Subcommand;

use super::{Context, Failure};
use crate::app::{erase_user, open_store_that_exists};

#[derive(Subcommand)]
pub enum User {
    /// Delete a user's data everywhere, while the daemon may work
    ///
    /// Interactions with their scores and signals, events, sessions, spans that wait, and the name itself. It is
    /// overwritten in the file, and cannot be undone. What arrives afterwards is kept: stop sending first. Backups are
    /// files of their own, and `assay vacuum` rewrites the database; docs/retention.md tells when that is needed.
    Delete {
        /// The client's name of the user, as it is stored
        name: String,
    },
}

pub async fn run(context: Context, command: User) -> Result<(), Failure> {
    let store = open_store_that_exists(&context.config.data_dir)?;
    let User::Delete { name } = command;
    let gone = erase_user(&store, &name).await?;
    context.print(&gone, |gone| {
        let erased = &gone.erased;
        println!(
            "of `{}` are deleted: {} interactions, {} scores, signals and outcomes, {} events, {} sessions, \
             {} records of spans, {} items of reference sets, {} remembered answers; the name is replaced in {} definitions",
            gone.user,
            erased.interactions,
            erased.findings,
            erased.events,
            erased.sessions,
            erased.spans,
            erased.items,
            erased.remembered_answers,
            erased.definitions
        );
    })?;
    if !gone.log_emptied {
        let reason =
            "the write-ahead log could not be emptied, because someone reads the database: delete again";
        return Err(anyhow::anyhow!(reason).into());
    }
    Ok(())
}
