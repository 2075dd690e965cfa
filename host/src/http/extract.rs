//! The framework's extractors, with problem documents where they refuse.

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::domain::slice::Slice;

/// A JSON body, of a request or of a response.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub struct Json<T>(pub T);

/// The path's variables.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

/// The query string.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

/// A query string that names a slice of production beside other things.
pub struct SliceQuery<T> {
    /// Which interactions.
    pub slice: Slice,
    /// The other things.
    pub rest: T,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for SliceQuery<T> {
    type Rejection = Problem;

    // Each side refuses what it does not know, which one flattened structure
    // could not: so each gets its own part of the query string.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let is_slices = |pair: &&str| Slice::FIELDS.contains(&pair.split('=').next().unwrap_or_default());
        let (slice, rest): (Vec<_>, Vec<_>) =
            query.split('&').filter(|pair| !pair.is_empty()).partition(is_slices);
        Ok(Self { slice: read_query(&slice)?, rest: read_query(&rest)? })
    }
}

fn read_query<T: DeserializeOwned>(pairs: &[&str]) -> Result<T, Problem> {
    let uri = format!("/?{}", pairs.join("&"))
        .parse()
        .map_err(|_| Problem::bad_request("the query string has characters that stand in no query string"))?;
    Ok(axum::extract::Query::try_from_uri(&uri)?.0)
}

/// The body as it is.
pub struct Bytes(pub axum::body::Bytes);

impl<S: Send + Sync> FromRequest<S> for Bytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(axum::body::Bytes::from_request(request, state).await?))
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::from_status(rejection.status(), rejection.body_text())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::from_status(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}
