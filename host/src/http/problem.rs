//! Errors as problem documents (RFC 9457). The only place that knows which
//! error is which status.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{ImportError, SelectionError};
use crate::catalogue::{CatalogueError, Rejected};
use crate::domain::evaluation::DefinitionProblem;
use crate::domain::reference_set::LineError;
use crate::runner::RunnerError;
use crate::store::StoreError;

/// An error, for clients.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem: a stable word.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// Each thing that is wrong, with its place in the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemPlace>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemPlace {
    /// JSON Pointer into the body, or `line N`.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, title, status: status.as_u16(), detail: detail.into(), errors: Vec::new() }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be read", detail)
    }

    /// 401: who is asking?
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed", detail)
    }

    /// 403: not with this token, or not from there.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed", detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The resource has no such method",
            "see /openapi.json for the methods of each path",
        )
    }

    /// 409.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Something stands against it", detail)
    }

    /// 413.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    /// 422: readable, but it cannot be.
    pub fn invalid(detail: impl Into<String>, errors: Vec<ProblemPlace>) -> Self {
        let problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "The request cannot be carried out",
            detail,
        );
        Self { errors, ..problem }
    }

    /// 500: ours. The cause is logged, not sent.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request failed inside");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The daemon failed",
            "the cause is in the daemon's log",
        )
    }

    /// 507: no room.
    fn full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk-full",
            "There is no room on the disk",
            "nothing was written; ask again when there is room",
        )
    }

    /// 503: it may work in a moment.
    fn locked(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "locked", "The database is in use", detail)
    }

    /// 503: there is too much to do.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "There is too much to do", detail)
    }

    /// With a status of the framework's own choosing.
    pub fn from_status(status: StatusCode, detail: impl Into<String>) -> Self {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(
                "the body is over `http.body_bytes_max` of the configuration, or as a component over \
                 `workers.component_bytes_max`",
            ),
            StatusCode::UNPROCESSABLE_ENTITY => Self::invalid(detail, Vec::new()),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(status, "unsupported-media-type", "The body has the wrong content type", detail)
            }
            _ => Self::bad_request(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::not_found(error.to_string()),
            StoreError::Conflict(reason) => Self::conflict(reason),
            StoreError::BadInput(reason) => Self::invalid(reason, Vec::new()),
            StoreError::DiskFull => Self::full(),
            StoreError::Locked => Self::locked(error.to_string()),
            _ => Self::internal(error),
        }
    }
}

impl From<CatalogueError> for Problem {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::Rejected(rejected @ Rejected::TooLarge { .. }) => {
                Self::too_large(rejected.to_string())
            }
            CatalogueError::Rejected(rejected) => Self::invalid(rejected.to_string(), Vec::new()),
            CatalogueError::Store(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<RunnerError> for Problem {
    fn from(error: RunnerError) -> Self {
        match error {
            RunnerError::Definition(problems) => problems.into(),
            RunnerError::Store(error) => error.into(),
            RunnerError::Catalogue(error) => error.into(),
            RunnerError::Target(error) => Self::invalid(error.to_string(), Vec::new()),
        }
    }
}

impl From<Vec<DefinitionProblem>> for Problem {
    fn from(problems: Vec<DefinitionProblem>) -> Self {
        let errors: Vec<_> = problems
            .into_iter()
            .map(|problem| ProblemPlace { path: problem.path, message: problem.message })
            .collect();
        let told: Vec<_> =
            errors.iter().map(|error| format!("`{}`: {}", error.path, error.message)).collect();
        Self::invalid(told.join("; "), errors)
    }
}

impl From<SelectionError> for Problem {
    fn from(error: SelectionError) -> Self {
        match error {
            SelectionError::Selection(problems) => problems.into(),
            SelectionError::Store(error) => error.into(),
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Lines { lines } => {
                let place = |line: LineError| ProblemPlace {
                    path: format!("line {}", line.number),
                    message: line.reason,
                };
                Self::invalid(
                    "nothing was kept, because some lines cannot be used",
                    lines.into_iter().map(place).collect(),
                )
            }
            ImportError::Read(error) if is_over_limit(&error) => {
                Self::too_large("the upload is over `http.upload_bytes_max` of the configuration")
            }
            ImportError::Read(error) => Self::bad_request(format!("the body cannot be read: {error}")),
            ImportError::Store(error) => error.into(),
        }
    }
}

/// Whether a body's limit is somewhere among an error's causes.
fn is_over_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
