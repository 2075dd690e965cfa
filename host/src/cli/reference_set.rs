//! `assay reference-set`: reference sets of a data directory.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Subcommand;

use super::{Context, Failure, progress, table, wrong};
use crate::app::{ImportError, import_reference_set, open_store};
use crate::domain::clock::{Clock as _, SystemClock};

#[derive(Subcommand)]
pub enum ReferenceSet {
    /// Import JSON lines as a new version
    Import {
        /// Name of the set
        name: String,
        /// The lines
        file: PathBuf,
        /// Where they come from, for people; the file's path where it is missing
        #[arg(long)]
        provenance: Option<String>,
    },
    /// List the sets
    List,
    /// Show a set's versions
    Show {
        /// Name of the set
        name: String,
    },
}

pub async fn run(context: Context, command: ReferenceSet) -> Result<(), Failure> {
    let store = open_store(&context.config.data_dir)?;
    match command {
        ReferenceSet::Import { name, file, provenance } => {
            let opened = File::open(&file)
                .map_err(|error| wrong(format!("failed to read `{}`: {error}", file.display())))?;
            let bar = progress::bytes(opened.metadata()?.len(), "reading");
            let seen = {
                let bar = bar.clone();
                move |bytes| bar.set_position(bytes)
            };
            let provenance = provenance.unwrap_or_else(|| file.display().to_string());
            let lines = BufReader::new(opened);
            let made =
                import_reference_set(&store, name.clone(), provenance, SystemClock.now(), lines, seen).await;
            bar.finish_and_clear();
            let version = made.map_err(|error| match error {
                ImportError::Lines { .. } => wrong(format!("`{}`: {error}", file.display())),
                other => other.into(),
            })?;
            context.print(&version, |version| {
                println!(
                    "{name} version {}: {} items, {}",
                    version.number, version.items, version.content_hash
                );
            })
        }
        ReferenceSet::List => {
            let sets = store.reference_set_list().await?;
            context.print(&sets, |sets| {
                let mut table = table::table(&["name", "versions", "items", "recordings"]);
                for set in sets {
                    let newest = set.versions.last();
                    table.add_row([
                        set.name.clone(),
                        set.versions.len().to_string(),
                        newest.map_or(0, |version| version.items).to_string(),
                        newest.map(|version| version.recordings.join(", ")).unwrap_or_default(),
                    ]);
                }
                println!("{table}");
            })
        }
        ReferenceSet::Show { name } => {
            let set = store.reference_set_get(name).await?;
            context.print(&set, |set| {
                let mut table =
                    table::table(&["version", "items", "recordings", "content", "created", "provenance"]);
                for version in &set.versions {
                    table.add_row([
                        version.number.to_string(),
                        version.items.to_string(),
                        version.recordings.join(", "),
                        version.content_hash.to_string()[..19].to_owned(),
                        version.created_at.to_string(),
                        version.provenance.clone(),
                    ]);
                }
                println!("{table}");
            })
        }
    }
}
