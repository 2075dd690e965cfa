//! Reference sets over HTTP.

use std::io::BufReader;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::TryStreamExt as _;
use serde::Deserialize;
use tokio_util::io::{StreamReader, SyncIoBridge};
use utoipa::IntoParams;

use super::Api;
use super::extract::{Json, Path, Query};
use super::problem::Problem;
use crate::app::import_reference_set;
use crate::domain::reference_set::{ReferenceSet, Version};

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
    if name.is_empty() || name.len() > 200 {
        return Err(Problem::bad_request("a name has 1 to 200 characters"));
    }
    let body = http_body_util::Limited::new(body, api.config.upload_bytes_max);
    let stream = Body::new(body).into_data_stream().map_err(std::io::Error::other);
    let lines = BufReader::new(SyncIoBridge::new(StreamReader::new(stream)));
    let at = api.app.clock.now();
    let made = import_reference_set(&api.app.store, name, upload.provenance, at, lines, |_| {}).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
