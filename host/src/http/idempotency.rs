//! `Idempotency-Key`: a creating request that is sent again is answered as the
//! first time and creates nothing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Api;
use super::auth::Asker;
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;
use crate::store::{IDEMPOTENCY_KEPT_US, Recall, Remembered};

const HEADER: &str = "idempotency-key";
const KEY_BYTES_MAX: usize = 255;

/// Keys whose first request is being answered.
pub type Answering = Arc<Mutex<HashSet<(String, String)>>>;

/// Stands for a request and its key. What a request creates takes its id from
/// it: a daemon that dies between the creation and the memory of its answer
/// creates nothing twice.
#[derive(Debug, Clone)]
pub struct RequestDigest(pub Digest);

/// Whether what was made then is still the answer to the same request.
pub fn is_recent(made_at: Timestamp, now: Timestamp) -> bool {
    made_at.0 > now.0 - IDEMPOTENCY_KEPT_US
}

/// Answers a repeated request from memory.
pub async fn remember(State(api): State<Api>, request: Request, next: Next) -> Response {
    let key = match request.headers().get(HEADER).map(|key| key.to_str().unwrap_or_default().to_owned()) {
        Some(key) if request.method() == Method::POST => key,
        _ => return next.run(request).await,
    };
    match answer(api, key, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn answer(api: Api, key: String, request: Request, next: Next) -> Result<Response, Problem> {
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !visible {
        return Err(Problem::bad_request(format!(
            "`Idempotency-Key` has 1 to {KEY_BYTES_MAX} visible characters"
        )));
    }
    let asker = request.extensions().get::<Asker>().map_or("", |asker| &asker.0);
    let scope = format!("{} {} {asker}", request.method(), request.uri().path());
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, api.config.body_bytes_max)
        .await
        .map_err(|_| Problem::too_large(format!("the body is over {} bytes", api.config.body_bytes_max)))?;
    let digest = Digest::of(&body);
    let _first = First::claim(&api.answering, &scope, &key)?;
    let store = &api.app.store;
    let now = api.app.clock.now();
    match store.idempotency_recall(scope.clone(), key.clone(), digest, now).await? {
        Recall::Same(before) => return Ok(replay(before)),
        Recall::Different => {
            return Err(Problem::invalid("this `Idempotency-Key` was used for another request", Vec::new()));
        }
        Recall::New => {}
    }
    let mut request = Request::from_parts(parts, Body::from(body));
    request
        .extensions_mut()
        .insert(RequestDigest(Digest::of(format!("{scope}\n{key}\n{digest}").as_bytes())));
    let response = next.run(request).await;
    if !response.status().is_success() {
        // A failure may be repeated.
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body: Bytes =
        axum::body::to_bytes(body, usize::MAX).await.map_err(|error| Problem::internal(&error))?;
    let remembered =
        Remembered { status: parts.status.as_u16(), body: String::from_utf8_lossy(&body).into_owned() };
    store.idempotency_remember(scope, key, digest, remembered, now).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(before: Remembered) -> Response {
    let status = StatusCode::from_u16(before.status).unwrap_or(StatusCode::OK);
    let headers = [(header::CONTENT_TYPE.as_str(), "application/json"), ("idempotency-replayed", "true")];
    (status, headers, before.body).into_response()
}

/// The right to answer a key first; given back when dropped.
struct First {
    answering: Answering,
    claim: (String, String),
}

impl First {
    fn claim(answering: &Answering, scope: &str, key: &str) -> Result<Self, Problem> {
        let claim = (scope.to_owned(), key.to_owned());
        let fresh = answering.lock().unwrap_or_else(PoisonError::into_inner).insert(claim.clone());
        if fresh {
            Ok(Self { answering: Arc::clone(answering), claim })
        } else {
            Err(Problem::conflict("a request with this `Idempotency-Key` is being answered"))
        }
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.answering.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.claim);
    }
}
