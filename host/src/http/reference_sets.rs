//! Reference sets over HTTP.

use std::fs::File;
use std::io::{BufReader, Seek as _};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use tokio_util::io::{StreamReader, SyncIoBridge};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Json, Path, Query};
use super::problem::Problem;
use crate::app::{ImportError, import_reference_set, select_reference_set};
use crate::domain::interaction::{Answer, Item};
use crate::domain::reference_set::{ReferenceSet, Version};
use crate::domain::selection::{Selected, Selection};

/// About an upload.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Where the items come from, for people.
    #[serde(default)]
    provenance: String,
}

/// List reference sets
#[utoipa::path(get, path = "/v1/reference-sets", tag = "reference sets",
    responses((status = 200, body = Vec<ReferenceSet>)))]
pub async fn list(State(api): State<Api>) -> Result<Json<Vec<ReferenceSet>>, Problem> {
    Ok(Json(api.app.store.reference_set_list().await?))
}

/// Get a reference set with its versions
#[utoipa::path(get, path = "/v1/reference-sets/{name}", tag = "reference sets", responses(
    (status = 200, body = ReferenceSet), (status = 404, body = Problem),
))]
pub async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<ReferenceSet>, Problem> {
    Ok(Json(api.app.store.reference_set_get(name).await?))
}

/// Create a version
///
/// The body is JSON lines, one item each. Content that the set has already
/// answers the version that holds it.
#[utoipa::path(post, path = "/v1/reference-sets/{name}/versions", tag = "reference sets", params(Upload),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 201, body = Version), (status = 413, body = Problem), (status = 422, body = Problem)))]
pub async fn upload(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(upload): Query<Upload>,
    body: Body,
) -> Result<(StatusCode, Json<Version>), Problem> {
    check_name(&name)?;
    let body = http_body_util::Limited::new(body, api.config.upload_bytes_max);
    let lines = BufReader::with_capacity(1 << 20, spool(&api, body).await.map_err(ImportError::Read)?);
    let at = api.app.clock.now();
    let made = import_reference_set(&api.app.store, name, upload.provenance, at, lines, |_| {}).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Puts a body into a file without a name first: while a version is written
/// nothing else is, and a slow client must not hold up the rest.
async fn spool(api: &Api, body: http_body_util::Limited<Body>) -> std::io::Result<File> {
    let stream = Body::new(body).into_data_stream().map_err(std::io::Error::other);
    let mut body = SyncIoBridge::new(StreamReader::new(stream));
    let folder = api.app.store.path().parent().unwrap_or(std::path::Path::new(".")).to_owned();
    tokio::task::spawn_blocking(move || {
        let mut file = tempfile::tempfile_in(folder)?;
        std::io::copy(&mut body, &mut file)?;
        file.rewind()?;
        Ok(file)
    })
    .await
    .expect("copying does not panic")
}

fn check_name(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.len() > 200 {
        return Err(Problem::bad_request("a name has 1 to 200 characters"));
    }
    Ok(())
}

/// A version that was made from production.
#[derive(Serialize, ToSchema)]
pub struct FromProduction {
    #[serde(flatten)]
    version: Version,
    /// What came of the selection.
    selected: Selected,
}

/// Create a version from production
///
/// Interactions by slice, by what came of them, by signal or by name; a
/// stratified sample of them, or so many of each request class. Each item keeps
/// the interaction's id and the probability with which it was taken.
#[utoipa::path(post, path = "/v1/reference-sets/{name}/versions/from-production", tag = "reference sets",
    params(("name" = String, Path), Upload), request_body = Selection,
    responses((status = 201, body = FromProduction), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn select(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(upload): Query<Upload>,
    Json(selection): Json<Selection>,
) -> Result<(StatusCode, Json<FromProduction>), Problem> {
    check_name(&name)?;
    let at = api.app.clock.now();
    let (version, selected) =
        select_reference_set(&api.app.store, name, upload.provenance, selection, at).await?;
    Ok((StatusCode::CREATED, Json(FromProduction { version, selected })))
}

/// Which page of a version.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ItemsQuery {
    /// The most items, up to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<i64>,
}

/// A page of a version's items, as lines of an upload.
#[derive(Serialize, ToSchema)]
pub struct ReferenceItemPage {
    /// The items, each as a line of an upload may be written.
    #[schema(value_type = Vec<Object>)]
    items: Vec<serde_json::Value>,
    /// For the next page; none at the end.
    next_cursor: Option<i64>,
}

/// List a version's items
///
/// Each item is as a line of an upload: changed, for example with another
/// `expected`, and uploaded, they make the next version.
#[utoipa::path(get, path = "/v1/reference-sets/{name}/versions/{number}/items", tag = "reference sets",
    params(("name" = String, Path), ("number" = u32, Path), ItemsQuery),
    responses((status = 200, body = ReferenceItemPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn items(
    State(api): State<Api>,
    Path((name, number)): Path<(String, u32)>,
    Query(query): Query<ItemsQuery>,
) -> Result<Json<ReferenceItemPage>, Problem> {
    let limit = match query.limit.unwrap_or(100) {
        limit @ 1..=1_000 => limit,
        other => return Err(Problem::bad_request(format!("`limit` is {other}; it is 1 to 1000"))),
    };
    let version = api.app.store.reference_set_version(name, Some(number)).await?;
    let (items, next_cursor) = api.app.store.reference_items(version, query.cursor, limit).await?;
    let items = items.into_iter().map(|(key, item, answers)| line(key, &item, answers)).collect();
    Ok(Json(ReferenceItemPage { items, next_cursor }))
}

fn line(key: String, item: &Item, answers: Vec<(String, u32, Answer)>) -> serde_json::Value {
    let mut line = serde_json::to_value(item).unwrap_or_default();
    line["key"] = key.into();
    let mut recordings = serde_json::Map::new();
    for (recording, _, answer) in answers {
        let trials = recordings.entry(recording).or_insert_with(|| serde_json::json!([]));
        if let Some(trials) = trials.as_array_mut() {
            trials.push(serde_json::to_value(answer).unwrap_or_default());
        }
    }
    if !recordings.is_empty() {
        line["answers"] = recordings.into();
    }
    line
}
