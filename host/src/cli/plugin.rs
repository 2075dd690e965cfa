//! `assay plugin`: plugins of a data directory, beside the daemon or without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

use super::{Context, Failure, table, wrong};
use crate::app::{App, open_store};
use crate::catalogue::CatalogueError;
use crate::domain::clock::{SystemClock, Timestamp};
use crate::domain::digest::Digest;
use crate::domain::plugin::{Capability, Descriptor};
use crate::store::StoredPlugin;

#[derive(Subcommand)]
pub enum Plugin {
    /// List the plugins in use
    List,
    /// Show all that is known of a plugin
    Inspect {
        /// Its name
        name: String,
    },
    /// Check a component file without installing it
    Check {
        /// The component
        file: PathBuf,
    },
    /// Put a component file into the watched folder, if it passes its checks
    Install {
        /// The component
        file: PathBuf,
    },
    /// Take a plugin out of use
    Remove {
        /// Its name
        name: String,
    },
    /// Go back to an earlier build
    Rollback {
        /// The plugin's name
        name: String,
        /// The build; the one before the present where it is missing
        #[arg(long)]
        digest: Option<Digest>,
    },
    /// Encode a core module that was built for the contract to a component
    Build {
        /// The core module that the compiler made
        module: PathBuf,
        /// Where to write the component
        #[arg(short, long)]
        output: PathBuf,
    },
}

/// A plugin, as the commands print it.
#[derive(Serialize)]
struct Shown {
    name: String,
    version: String,
    title: String,
    digest: Digest,
    capabilities: Vec<Capability>,
    deterministic: bool,
    judges: bool,
    batch_max: u32,
    size_bytes: u64,
    accepted_at: Timestamp,
    config_schema: serde_json::Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    digest: Option<Digest>,
    changed_at: Timestamp,
}

impl From<StoredPlugin> for Shown {
    fn from(stored: StoredPlugin) -> Self {
        let Descriptor {
            name,
            version,
            title,
            deterministic,
            config_schema_json,
            batch_max,
            capabilities,
            judges,
        } = stored.descriptor;
        Self {
            name,
            version,
            title,
            digest: stored.digest,
            capabilities,
            deterministic,
            judges,
            batch_max,
            size_bytes: stored.size_bytes,
            accepted_at: stored.accepted_at,
            config_schema: serde_json::from_str(&config_schema_json).unwrap_or_default(),
            history: Vec::new(),
        }
    }
}

pub async fn run(context: Context, command: Plugin) -> Result<(), Failure> {
    match command {
        Plugin::List => list(&context).await,
        Plugin::Inspect { name } => inspect(&context, name).await,
        Plugin::Check { file } => {
            let app = open(&context).await?;
            let (plugin, _artifact) =
                app.catalogue.check(read(&file)?).await.map_err(|error| told(&file, error))?;
            context.print(&Shown::from(plugin), |shown| {
                println!("{} {} passes: {}", shown.name, shown.version, shown.digest);
            })
        }
        Plugin::Install { file } => install(&context, &file).await,
        Plugin::Remove { name } => {
            open(&context).await?.catalogue.remove(&name).await?;
            context.print(&name, |name| println!("{name} is out of use; runs that used it keep it"))
        }
        Plugin::Rollback { name, digest } => {
            let plugin = open(&context).await?.catalogue.roll_back(&name, digest).await?;
            context.print(&Shown::from(plugin), |shown| {
                println!("{} is {} again: {}", shown.name, shown.version, shown.digest);
            })
        }
        Plugin::Build { module, output } => build(&context, &module, &output),
    }
}

async fn open(context: &Context) -> Result<App, Failure> {
    Ok(App::open_beside_daemon(&context.config, Arc::new(SystemClock)).await?)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| wrong(format!("failed to read `{}`: {error}", file.display())))
}

fn told(file: &Path, error: CatalogueError) -> Failure {
    match error {
        CatalogueError::Rejected(rejected) => wrong(format!("`{}`: {rejected}", file.display())),
        other => other.into(),
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let store = open_store(&context.config.data_dir)?;
    let shown: Vec<Shown> = store.plugin_list().await?.into_iter().map(Shown::from).collect();
    context.print(&shown, |shown| {
        let mut table = table::table(&["name", "version", "gives", "digest", "title"]);
        for plugin in shown {
            let gives: Vec<_> =
                plugin.capabilities.iter().map(|gives| format!("{gives:?}").to_lowercase()).collect();
            table.add_row([
                plugin.name.clone(),
                plugin.version.clone(),
                gives.join(", "),
                plugin.digest.to_string()[..19].to_owned(),
                plugin.title.clone(),
            ]);
        }
        println!("{table}");
    })
}

async fn inspect(context: &Context, name: String) -> Result<(), Failure> {
    let store = open_store(&context.config.data_dir)?;
    let mut shown = Shown::from(store.plugin_current(name.clone()).await?);
    let history = store.plugin_history(name).await?;
    shown.history = history
        .into_iter()
        .map(|change| Change { digest: change.digest, changed_at: change.changed_at })
        .collect();
    context.print(&shown, |shown| {
        println!("{} {} · {}", shown.name, shown.version, shown.title);
        println!("digest         {}", shown.digest);
        println!("gives          {:?}", shown.capabilities);
        println!("deterministic  {}", shown.deterministic);
        println!("asks a judge   {}", shown.judges);
        println!("batch          up to {} items", shown.batch_max);
        println!("size           {} KiB", shown.size_bytes >> 10);
        println!("accepted       {}", shown.accepted_at);
        for change in &shown.history {
            let build = change.digest.map_or_else(|| "removed".into(), |digest| digest.to_string());
            println!("changed        {} {build}", change.changed_at);
        }
        println!("configuration  {:#}", shown.config_schema);
    })
}

async fn install(context: &Context, file: &Path) -> Result<(), Failure> {
    let app = open(context).await?;
    let component = read(file)?;
    let plugin = app.catalogue.accept(component.clone()).await.map_err(|error| told(file, error))?;
    // In the folder it is found again after the daemon's cache was lost. A
    // rename is whole, so the daemon never reads half a file.
    let name = format!("{}.wasm", plugin.descriptor.name);
    let folder = app.catalogue.folder();
    let staging = folder.join(format!(".{name}.{}", std::process::id()));
    fs::write(&staging, component)?;
    fs::rename(&staging, folder.join(&name))?;
    app.store.plugin_file_set(name, Some(plugin.digest)).await?;
    context.print(&Shown::from(plugin), |shown| {
        println!("{} {} is installed: {}", shown.name, shown.version, shown.digest);
    })
}

fn build(context: &Context, module: &Path, output: &Path) -> Result<(), Failure> {
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&read(module)?)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| wrong(format!("`{}` cannot be encoded: {error:#}", module.display())))?;
    fs::write(output, &encoded)?;
    let made =
        serde_json::json!({"component": output, "digest": Digest::of(&encoded), "size_bytes": encoded.len()});
    context.print(&made, |_| println!("{}: {} KiB", output.display(), encoded.len() >> 10))
}
