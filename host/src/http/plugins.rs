//! Plugins over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::extract::{Bytes, Json, Path};
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;
use crate::domain::plugin::Capability;
use crate::store::StoredPlugin;

/// A plugin in use.
#[derive(Serialize, ToSchema)]
pub struct Plugin {
    /// Name.
    name: String,
    /// Version.
    version: String,
    /// One line about it.
    title: String,
    /// Digest of its component.
    digest: Digest,
    /// What it gives.
    capabilities: Vec<Capability>,
    /// The same input always gives the same answer.
    deterministic: bool,
    /// Size of the component.
    size_bytes: u64,
    /// When it was accepted.
    accepted_at: Timestamp,
}

/// A plugin in use, with all that is known of it.
#[derive(Serialize, ToSchema)]
pub struct PluginDetail {
    #[serde(flatten)]
    plugin: Plugin,
    /// The most items of one batch.
    batch_max: u32,
    /// JSON Schema of the configuration.
    #[schema(value_type = Object)]
    config_schema: serde_json::Value,
    /// Every change of the current build, newest first.
    history: Vec<PluginChange>,
}

/// One change of a plugin's current build.
#[derive(Serialize, ToSchema)]
pub struct PluginChange {
    /// The build; none where the plugin was removed.
    digest: Option<Digest>,
    /// When.
    changed_at: Timestamp,
}

/// All plugins, and what became of each file of the watched folder.
#[derive(Serialize, ToSchema)]
pub struct PluginList {
    /// Those in use.
    plugins: Vec<Plugin>,
    /// Files of the watched folder.
    files: Vec<PluginFile>,
}

/// One file of the watched folder.
#[derive(Serialize, ToSchema)]
pub struct PluginFile {
    /// File name.
    file: String,
    /// Digest of what it holds.
    digest: Option<Digest>,
    /// The plugin that it is.
    plugin: Option<String>,
    /// Why it is none.
    error: Option<String>,
}

/// Which build to go back to.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RollBack {
    /// The build; the one before the present where it is missing.
    digest: Option<Digest>,
}

impl From<StoredPlugin> for Plugin {
    fn from(stored: StoredPlugin) -> Self {
        Self {
            name: stored.descriptor.name,
            version: stored.descriptor.version,
            title: stored.descriptor.title,
            digest: stored.digest,
            capabilities: stored.descriptor.capabilities,
            deterministic: stored.descriptor.deterministic,
            size_bytes: stored.size_bytes,
            accepted_at: stored.accepted_at,
        }
    }
}

/// List plugins
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins", responses((status = 200, body = PluginList)))]
pub async fn list(State(api): State<Api>) -> Result<Json<PluginList>, Problem> {
    let plugins = api.app.store.plugin_list().await?.into_iter().map(Plugin::from).collect();
    let files = api
        .app
        .catalogue
        .files()
        .into_iter()
        .map(|(file, status)| {
            let (plugin, error) = match status.outcome {
                Ok(plugin) => (Some(plugin), None),
                Err(error) => (None, Some(error)),
            };
            PluginFile { file, digest: status.digest, plugin, error }
        })
        .collect();
    Ok(Json(PluginList { plugins, files }))
}

/// Inspect a plugin
#[utoipa::path(get, path = "/v1/plugins/{name}", tag = "plugins", responses(
    (status = 200, body = PluginDetail), (status = 404, body = Problem),
))]
pub async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<PluginDetail>, Problem> {
    let stored = api.app.store.plugin_current(name.clone()).await?;
    let history = api.app.store.plugin_history(name).await?;
    let history = history
        .into_iter()
        .map(|change| PluginChange { digest: change.digest, changed_at: change.changed_at })
        .collect();
    let config_schema = serde_json::from_str(&stored.descriptor.config_schema_json).unwrap_or_default();
    let batch_max = stored.descriptor.batch_max;
    Ok(Json(PluginDetail { plugin: stored.into(), batch_max, config_schema, history }))
}

/// Upload a plugin
///
/// The body is a component file. It becomes the current build of its name.
#[utoipa::path(post, path = "/v1/plugins", tag = "plugins",
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses((status = 201, body = Plugin), (status = 413, body = Problem), (status = 422, body = Problem)))]
pub async fn upload(
    State(api): State<Api>,
    Bytes(component): Bytes,
) -> Result<(StatusCode, Json<Plugin>), Problem> {
    let plugin = api.app.catalogue.accept(component.to_vec()).await?;
    Ok((StatusCode::CREATED, Json(plugin.into())))
}

/// Take a plugin out of use
#[utoipa::path(delete, path = "/v1/plugins/{name}", tag = "plugins", responses(
    (status = 204), (status = 404, body = Problem),
))]
pub async fn remove(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    api.app.catalogue.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Go back to an earlier build
#[utoipa::path(post, path = "/v1/plugins/{name}/rollback", tag = "plugins", request_body = RollBack,
    responses((status = 200, body = Plugin), (status = 404, body = Problem)))]
pub async fn roll_back(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(to): Json<RollBack>,
) -> Result<Json<Plugin>, Problem> {
    Ok(Json(api.app.catalogue.roll_back(&name, to.digest).await?.into()))
}
