//! A model server on loopback that speaks both interfaces and misbehaves on
//! demand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// What the server does with a request.
pub enum Act {
    /// Replies with this text.
    Say(String),
    /// Replies with this text after a while.
    SayAfter(Duration, String),
    /// Refuses with a status, and a `Retry-After` where one is given.
    Refuse(u16, Option<&'static str>),
    /// Begins a response and cuts the connection.
    Cut,
    /// Sends a response byte by byte, for ever.
    Drip,
    /// Sends so many bytes that are no completion.
    Bytes(usize),
    /// Sends this body with status 200.
    Raw(String),
}

/// A request, as far as a test looks at it.
pub struct Asked {
    /// The whole body.
    pub body: Value,
    /// Text of the last message.
    pub text: String,
    /// How often this very body was asked before.
    pub before: u64,
}

type Behaviour = Arc<dyn Fn(&Asked) -> Act + Send + Sync>;

#[derive(Clone)]
struct Served {
    behaviour: Behaviour,
    calls: Arc<AtomicU64>,
    replied: Arc<AtomicU64>,
    under_way: Arc<AtomicU64>,
    most_under_way: Arc<AtomicU64>,
    seen: Arc<Mutex<HashMap<String, u64>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

/// A running server; it ends with the test's runtime.
pub struct ModelServer {
    /// What stands before `/chat/completions`, and before `/v1/messages`.
    pub base_url: String,
    served: Served,
}

impl ModelServer {
    /// Listens on a free port of loopback.
    pub async fn start(behaviour: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let served = Served {
            behaviour: Arc::new(behaviour),
            calls: Arc::default(),
            replied: Arc::default(),
            under_way: Arc::default(),
            most_under_way: Arc::default(),
            seen: Arc::default(),
            keys: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base_url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(answer).with_state(served.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { base_url, served }
    }

    /// Requests that came.
    pub fn calls(&self) -> u64 {
        self.served.calls.load(Ordering::SeqCst)
    }

    /// Requests that were replied to with a completion.
    pub fn replied(&self) -> u64 {
        self.served.replied.load(Ordering::SeqCst)
    }

    /// The most requests that were under way at a time.
    pub fn most_under_way(&self) -> u64 {
        self.served.most_under_way.load(Ordering::SeqCst)
    }

    /// Keys that requests brought.
    pub fn keys(&self) -> Vec<String> {
        self.served.keys.lock().expect("no panic").clone()
    }
}

async fn answer(State(served): State<Served>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    served.calls.fetch_add(1, Ordering::SeqCst);
    let now = served.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    served.most_under_way.fetch_max(now, Ordering::SeqCst);
    let response = act(&served, &uri, &headers, &body).await;
    served.under_way.fetch_sub(1, Ordering::SeqCst);
    response
}

async fn act(served: &Served, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
    let key = headers.get("authorization").or(headers.get("x-api-key"));
    if let Some(key) = key.and_then(|key| key.to_str().ok()) {
        served.keys.lock().expect("no panic").push(key.to_owned());
    }
    let text = String::from_utf8_lossy(body).into_owned();
    let body: Value = serde_json::from_str(&text).expect("requests are JSON");
    let before = {
        let mut seen = served.seen.lock().expect("no panic");
        let seen = seen.entry(text).or_default();
        *seen += 1;
        *seen - 1
    };
    let last = body["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    let text = match &last["content"] {
        Value::String(text) => text.clone(),
        parts => parts[0]["text"].as_str().unwrap_or_default().to_owned(),
    };
    let asked = Asked { body, text, before };
    let anthropic = uri.path().ends_with("/v1/messages");
    let say = |text: String| {
        served.replied.fetch_add(1, Ordering::SeqCst);
        axum::Json(if anthropic { message(&asked.body, &text) } else { completion(&text) }).into_response()
    };
    match (served.behaviour)(&asked) {
        Act::Say(text) => say(text),
        Act::SayAfter(wait, text) => {
            tokio::time::sleep(wait).await;
            say(text)
        }
        Act::Refuse(status, after) => {
            let mut response =
                (StatusCode::from_u16(status).expect("a status"), r#"{"error":{"message":"not now"}}"#)
                    .into_response();
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.parse().expect("a header"));
            }
            response
        }
        Act::Cut => {
            let pieces = [Ok(Bytes::from_static(b"{\"choices\"")), Err(std::io::Error::other("cut"))];
            Response::new(Body::from_stream(futures_util::stream::iter(pieces)))
        }
        Act::Drip => {
            let drops = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
            });
            Response::new(Body::from_stream(drops))
        }
        Act::Bytes(count) => Response::new(Body::from(vec![b'x'; count])),
        Act::Raw(body) => Response::new(Body::from(body)),
    }
}

fn completion(text: &str) -> Value {
    json!({
        "model": "loopback-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10},
    })
}

/// In Anthropic's shape; a reply that has to use a tool does.
fn message(request: &Value, text: &str) -> Value {
    let content = match (request.get("tool_choice"), serde_json::from_str::<Value>(text)) {
        (Some(_), Ok(input)) => json!([{"type": "tool_use", "id": "t", "name": "reply", "input": input}]),
        _ => json!([{"type": "text", "text": text}]),
    };
    json!({
        "model": "loopback-1", "content": content, "stop_reason": "end_turn",
        "usage": {"input_tokens": 100, "output_tokens": 10},
    })
}
