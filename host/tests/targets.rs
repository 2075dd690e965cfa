//! The target client against a real model server on loopback.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use assay::domain::interaction::{Answer, Interaction};
use assay::domain::target::Target;
use assay::targets::{Backoff, Failure, TargetClient, TargetError, TimeLimit};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Set by cargo for every test, so that no test has to change the environment.
const KEY_VARIABLE: &str = "CARGO_MANIFEST_DIR";
const KEY: &str = env!("CARGO_MANIFEST_DIR");

/// A model server: what it was sent, and what it answers to the n-th request.
struct Model {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

type Reply = Pin<Box<dyn Future<Output = Response> + Send>>;

impl Model {
    async fn start<F>(reply: impl Fn(usize, Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let reply: Arc<dyn Fn(usize, Value) -> Reply + Send + Sync> =
            Arc::new(move |n, body| Box::pin(reply(n, body)));
        let app = Router::new().fallback(move |request: Request| {
            let (log, reply) = (log.clone(), reply.clone());
            async move {
                let (head, body) = request.into_parts();
                assert_eq!(head.uri.path(), "/v1/chat/completions");
                let body = to_bytes(body, usize::MAX).await.expect("a body");
                let body: Value = serde_json::from_slice(&body).expect("JSON");
                let n = {
                    let mut log = log.lock().expect("not poisoned");
                    log.push((head.headers, body.clone()));
                    log.len() - 1
                };
                reply(n, body).await
            }
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, seen }
    }

    fn target(&self, more: Value) -> Target {
        let mut target = json!({
            "kind": "openai-chat", "base_url": format!("http://{}/v1", self.address), "model": "asked",
        });
        for (field, value) in more.as_object().expect("fields") {
            target[field] = value.clone();
        }
        serde_json::from_value(target).expect("a target")
    }

    /// A client that hardly waits between attempts.
    fn client(&self, more: Value) -> TargetClient {
        let backoff = Backoff { base: Duration::from_millis(5), ..Backoff::default() };
        TargetClient::new(&self.target(more)).expect("valid").with_seed(1).with_backoff(backoff)
    }

    fn requests(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }

    fn request(&self, n: usize) -> (HeaderMap, Value) {
        self.seen.lock().expect("not poisoned")[n].clone()
    }
}

fn question() -> Interaction {
    Interaction { query: "how are you?".into(), ..Interaction::default() }
}

fn delta(delta: Value) -> String {
    format!("data: {}\n\n", json!({ "model": "named", "choices": [{ "index": 0, "delta": delta }] }))
}

fn text(content: &str) -> String {
    delta(json!({ "content": content }))
}

fn finish() -> String {
    String::from("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n")
}

fn done() -> String {
    String::from("data: [DONE]\n\n")
}

/// A stream that sends one chunk after the other, with pauses between.
fn paced(pause_ms: u64, chunks: impl IntoIterator<Item = impl Into<Bytes>>) -> Response {
    let chunks: Vec<Bytes> = chunks.into_iter().map(Into::into).collect();
    flowing(stream::iter(chunks).then(move |chunk| async move {
        sleep(Duration::from_millis(pause_ms)).await;
        Ok::<_, Infallible>(chunk)
    }))
}

fn flowing<E>(chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Response
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    ([("content-type", "text/event-stream; charset=utf-8")], Body::from_stream(chunks)).into_response()
}

fn completion(content: &str) -> Response {
    axum::Json(json!({
        "model": "named",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": content }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 2 },
    }))
    .into_response()
}

fn status(status: u16, body: impl Into<String>) -> Response {
    let mut response = body.into().into_response();
    *response.status_mut() = status.try_into().expect("a status");
    response
}

fn status_after(code: u16, retry_after: &str) -> Response {
    let mut response = status(code, "{\"error\":{\"message\":\"slow down\"}}");
    response.headers_mut().insert("retry-after", retry_after.parse().expect("a header"));
    response
}

fn product(error: TargetError) -> (Failure, u32, Option<String>) {
    assert!(error.is_product() && !error.is_configuration(), "{error:?}");
    match error {
        TargetError::Product { failure, attempts, partial } => (failure, attempts, partial),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn streams_an_answer_with_its_times_and_its_tokens() {
    let model = Model::start(|_, _| async {
        paced(
            30,
            [
                delta(json!({ "role": "assistant", "content": "" })),
                text("fine, "),
                text("thanks") + &finish(),
                format!(
                    "data: {}\n\n",
                    json!({ "choices": [], "usage": {
                        "prompt_tokens": 20, "completion_tokens": 9,
                        "prompt_tokens_details": { "cached_tokens": 16 },
                        "completion_tokens_details": { "reasoning_tokens": 4 },
                    }})
                ),
                done(),
            ],
        )
    })
    .await;
    let client = model
        .client(json!({ "system": "be brief", "temperature": 0.5, "max_output_tokens": 64, "headers": { "x-team": "a" } }))
        .with_clock(|| 1_700_000_000_000_000);
    let answered = client.answer(&question()).await.expect("an answer");

    assert_eq!(answered.actual, "fine, thanks");
    assert_eq!(answered.model.as_deref(), Some("named"));
    assert_eq!(answered.finish_reason.as_deref(), Some("stop"));
    assert_eq!(answered.attempts, 1);
    let usage = answered.usage;
    assert_eq!((usage.input, usage.output), (Some(20), Some(9)));
    assert_eq!((usage.cached_input, usage.reasoning, usage.cache_write_input), (Some(16), Some(4), None));
    let timing = answered.timing;
    assert_eq!((timing.started_at_us, timing.streamed), (Some(1_700_000_000_000_000), Some(true)));
    let (first_us, total_us) = (timing.first_token_us.expect("streamed"), timing.total_us.expect("complete"));
    // The empty delta of the role, after 30 ms, is not the first token.
    assert!(first_us >= 60_000 && first_us + 20_000 < total_us, "{first_us} of {total_us}");
    assert!(Answer::from(answered).presence() == assay::domain::completion::Presence::Given);

    let (headers, body) = model.request(0);
    assert_eq!(
        body,
        json!({
            "model": "asked", "stream": true, "stream_options": { "include_usage": true },
            "temperature": 0.5, "max_tokens": 64,
            "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": "how are you?" },
            ],
        })
    );
    assert_eq!(headers["x-team"], "a");
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test]
async fn an_answer_in_one_piece_has_no_first_token() {
    let model = Model::start(|_, _| async { completion("fine") }).await;
    // Some endpoints answer in one piece whatever they are asked.
    for stream in [false, true] {
        let answered =
            model.client(json!({ "stream": stream })).answer(&question()).await.expect("an answer");
        assert_eq!(answered.actual, "fine");
        assert_eq!((answered.timing.streamed, answered.timing.first_token_us), (Some(false), None));
        assert!(answered.timing.total_us > Some(0));
        assert_eq!((answered.usage.output, answered.usage.cached_input), (Some(2), None));
    }
    assert!(model.request(0).1.get("stream_options").is_none());
}

#[tokio::test]
async fn puts_the_calls_of_tools_together_from_their_parts() {
    let model = Model::start(|_, _| async {
        let part = |part: Value| delta(json!({ "tool_calls": [part] }));
        paced(
            0,
            [
                part(json!({ "index": 0, "id": "c1", "type": "function", "function": { "name": "look", "arguments": "" } })),
                part(json!({ "index": 0, "function": { "arguments": "{\"at\":" } })),
                part(json!({ "index": 0, "function": { "arguments": "\"sky\"}" } })),
                finish(),
                done(),
            ],
        )
    })
    .await;
    let answered = model.client(json!({})).answer(&question()).await.expect("an answer");
    let call = &answered.tool_calls[0];
    assert_eq!(
        (call.id.as_deref(), call.name.as_str(), call.arguments.as_str()),
        (Some("c1"), "look", r#"{"at":"sky"}"#)
    );
    assert!(answered.actual.is_empty() && answered.timing.first_token_us.is_some());
}

#[tokio::test]
async fn reads_a_stream_that_is_cut_anywhere() {
    let whole = format!(
        ": keep-alive\r\n\r\n{}: ping\n\n{}{}data: [DONE]\r\n\r\n",
        text("grüße ").replace('\n', "\r\n"),
        text("🦀🦀").replace("\"choices\"", "\ndata: \"choices\""),
        finish(),
    );
    let size = Arc::new(AtomicUsize::new(1));
    let sizes = size.clone();
    let bytes = Bytes::from(whole);
    let model = Model::start(move |_, _| {
        let (size, bytes) = (sizes.load(Ordering::SeqCst), bytes.clone());
        async move { paced(0, bytes.chunks(size).map(Bytes::copy_from_slice).collect::<Vec<_>>()) }
    })
    .await;
    let client = model.client(json!({}));
    for cut in [1, 2, 3, 7, 64, 4096] {
        size.store(cut, Ordering::SeqCst);
        let answered = client.answer(&question()).await.expect("an answer");
        assert_eq!(answered.actual, "grüße 🦀🦀", "in chunks of {cut} bytes");
    }
}

#[tokio::test]
async fn waits_as_long_as_the_endpoint_asks_and_times_only_the_last_attempt() {
    // The date is a second after the clock that the client is given.
    for retry_after in ["1", "Sun, 06 Nov 1994 08:49:38 GMT"] {
        let model = Model::start(move |n, _| async move {
            if n == 0 { status_after(429, retry_after) } else { paced(5, [text("fine"), finish(), done()]) }
        })
        .await;
        let client = model.client(json!({})).with_clock(|| 784_111_777_000_000);
        let started = Instant::now();
        let answered = client.answer(&question()).await.expect("an answer");
        assert!(started.elapsed() >= Duration::from_secs(1), "{retry_after}: {:?}", started.elapsed());
        assert_eq!((answered.attempts, answered.actual.as_str()), (2, "fine"));
        assert!(answered.timing.total_us < Some(900_000), "{:?}", answered.timing);
        assert!(answered.timing.first_token_us < answered.timing.total_us, "{:?}", answered.timing);
    }
}

#[tokio::test]
async fn cuts_a_wait_that_the_endpoint_asks_for_too_long() {
    let model =
        Model::start(
            |n, _| async move { if n == 0 { status_after(503, "3600") } else { completion("fine") } },
        )
        .await;
    let backoff = Backoff { retry_after_max: Duration::from_millis(50), ..Backoff::default() };
    let client =
        TargetClient::new(&model.target(json!({}))).expect("valid").with_seed(3).with_backoff(backoff);
    let answered = timeout(Duration::from_secs(2), client.answer(&question())).await.expect("in time");
    assert_eq!(answered.expect("an answer").attempts, 2);
}

#[tokio::test]
async fn asks_again_after_every_passing_status() {
    let codes = [408, 409, 425, 429, 500, 502, 503, 504];
    let model = Model::start(move |n, _| async move {
        codes.get(n).map_or_else(|| completion("fine"), |code| status(*code, "busy"))
    })
    .await;
    let answered = model.client(json!({ "retries": 8 })).answer(&question()).await.expect("an answer");
    assert_eq!(answered.attempts, 9);
}

#[tokio::test]
async fn a_status_that_stays_is_the_products_failure() {
    let model = Model::start(|_, _| async { status(500, "{\"error\":{\"message\":\"no\\nmemory\"}}") }).await;
    let error = model.client(json!({ "retries": 2 })).answer(&question()).await.expect_err("exhausted");
    assert_eq!(error.to_string(), "endpoint answered with status 500: no memory (after 3 attempts)");
    let (failure, attempts, partial) = product(error);
    assert_eq!(failure, Failure::Status { status: 500, message: "no memory".into() });
    assert_eq!((attempts, partial, model.requests()), (3, None, 3));
}

#[tokio::test]
async fn does_not_ask_again_where_the_question_is_refused() {
    for code in [400, 413, 422] {
        let model = Model::start(move |_, _| async move { status(code, "too long") }).await;
        let error = model.client(json!({})).answer(&question()).await.expect_err("refused");
        let (failure, attempts, _) = product(error);
        assert_eq!(failure, Failure::Status { status: code, message: "too long".into() });
        assert_eq!((attempts, model.requests()), (1, 1));
    }
}

#[tokio::test]
async fn a_wrong_key_address_or_account_is_a_matter_of_configuration() {
    for (code, body) in [
        (401, "who?"),
        (403, "no"),
        (404, "no such model"),
        (429, "{\"error\":{\"code\":\"insufficient_quota\"}}"),
    ] {
        let model = Model::start(move |_, _| async move { status(code, body) }).await;
        let error = model.client(json!({})).answer(&question()).await.expect_err("refused");
        assert!(error.is_configuration() && !error.is_product(), "{error:?}");
        assert!(matches!(error, TargetError::Refused { status, .. } if status == code), "{error:?}");
        assert_eq!(model.requests(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_completion_is_the_products_failure() {
    let model = Model::start(|n, _| async move {
        match n {
            0 => ([("content-type", "text/html")], "<html>").into_response(),
            1 => axum::Json(json!({ "choices": [] })).into_response(),
            2 => paced(0, ["data: {oops\n\n"]),
            _ => paced(0, [done()]),
        }
    })
    .await;
    let client = model.client(json!({}));
    let mut messages = Vec::new();
    for _ in 0..4 {
        let error = client.answer(&question()).await.expect_err("no completion");
        messages.push(error.to_string());
        assert_eq!(product(error).1, 1);
    }
    assert_eq!(
        messages,
        [
            "response is not a chat completion: not JSON: expected value at line 1 column 1",
            "response is not a chat completion: it has no choices",
            "response is not a chat completion: not JSON: key must be a string at line 1 column 2",
            "response is not a chat completion: it has no choices",
        ]
    );
}

#[tokio::test]
async fn a_stream_that_ends_early_keeps_what_had_come_and_is_not_asked_again() {
    let model = Model::start(|_, _| async { paced(0, [text("fine, "), text("tha")]) }).await;
    let error = model.client(json!({})).answer(&question()).await.expect_err("cut");
    assert_eq!(error.to_string(), "stream ended early");
    assert_eq!(error.partial(), Some("fine, tha"));
    assert_eq!(product(error), (Failure::EndedEarly, 1, Some("fine, tha".into())));
    assert_eq!(model.requests(), 1);
}

#[tokio::test]
async fn a_stream_that_breaks_keeps_what_had_come() {
    let model = Model::start(|_, _| async {
        let broken = stream::iter([Ok(Bytes::from(text("fine"))), Err("broken")]).then(|chunk| async {
            sleep(Duration::from_millis(20)).await;
            chunk
        });
        flowing(broken)
    })
    .await;
    let (failure, attempts, partial) =
        product(model.client(json!({})).answer(&question()).await.expect_err("broken"));
    assert!(matches!(failure, Failure::BrokeOff(_)), "{failure:?}");
    assert_eq!((attempts, partial.as_deref()), (1, Some("fine")));
}

#[tokio::test]
async fn a_stream_that_breaks_before_anything_came_is_asked_again() {
    let model = Model::start(|n, _| async move {
        match n {
            0 => paced(0, [": keep-alive\n\n"]),
            1 => paced(0, ["data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n"]),
            _ => paced(0, [text("fine"), finish(), done()]),
        }
    })
    .await;
    let answered = model.client(json!({})).answer(&question()).await.expect("an answer");
    assert_eq!((answered.actual.as_str(), answered.attempts), ("fine", 3));
}

#[tokio::test]
async fn an_answer_with_a_finish_reason_is_whole_without_done() {
    let model = Model::start(|_, _| async { paced(0, [text("fine"), finish()]) }).await;
    let answered = model.client(json!({})).answer(&question()).await.expect("an answer");
    assert_eq!(answered.finish_reason.as_deref(), Some("stop"));
}

#[tokio::test]
async fn an_error_within_a_stream_is_the_products_failure() {
    let model = Model::start(|_, _| async {
        paced(0, [text("fi"), "data: {\"error\":{\"message\":\"out of memory\"}}\n\n".to_owned()])
    })
    .await;
    let error = model.client(json!({})).answer(&question()).await.expect_err("an error");
    assert_eq!(product(error), (Failure::Reported("out of memory".into()), 1, Some("fi".into())));
}

#[tokio::test]
async fn reads_a_key_when_it_is_used_from_the_environment_or_a_file() {
    let model = Model::start(|_, _| async { completion("fine") }).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let client = model.client(json!({ "key": { "file": file.path() } }));

    let error = client.answer(&question()).await.expect_err("an empty file");
    assert!(error.is_configuration() && error.to_string().ends_with("is empty"), "{error}");
    for key in ["sk-first", "sk-second"] {
        std::fs::write(file.path(), format!("  {key}\n")).expect("written");
        client.answer(&question()).await.expect("an answer");
    }
    model.client(json!({ "key": { "env": KEY_VARIABLE } })).answer(&question()).await.expect("an answer");
    let sent: Vec<_> = (0..3).map(|n| model.request(n).0["authorization"].clone()).collect();
    assert_eq!(sent, ["Bearer sk-first", "Bearer sk-second", &format!("Bearer {KEY}")]);
}

#[tokio::test]
async fn a_missing_key_is_a_matter_of_configuration_and_asks_nothing() {
    let model = Model::start(|_, _| async { completion("fine") }).await;
    for (key, message) in [
        (json!({ "env": "ASSAY_TEST_UNSET" }), "key: environment variable `ASSAY_TEST_UNSET` is not set"),
        (
            json!({ "file": "/nowhere/key" }),
            "key: read file `/nowhere/key`: No such file or directory (os error 2)",
        ),
    ] {
        let error = model.client(json!({ "key": key })).answer(&question()).await.expect_err("no key");
        assert!(error.is_configuration());
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn a_key_that_comes_back_stands_in_no_error_and_no_answer() {
    const SECRET: &str = "sk-a/long/0123456789";
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), SECRET).expect("written");
    let echoes: [fn() -> Response; 6] = [
        || status(401, format!("{{\"error\":{{\"message\":\"bad key {SECRET}\"}}}}")),
        || status(400, format!("<p>bad key {SECRET}</p>")),
        || status(400, format!("{{\"echo\":\"{}\"}}", SECRET.replace('/', "\\/"))),
        || axum::Json(json!({ "choices": SECRET })).into_response(),
        || paced(0, [text(SECRET)]),
        || paced(0, [format!("data: {{\"error\":\"bad key {SECRET}\"}}\n\n")]),
    ];
    for echo in echoes {
        let model = Model::start(move |_, _| async move { echo() }).await;
        let client = model.client(json!({ "key": { "file": file.path() }, "retries": 0 }));
        let error = client.answer(&question()).await.expect_err("an error");
        let shown = format!("{error} {error:?} {client:?} {:?}", error.partial());
        assert!(shown.contains("[redacted]"), "{shown}");
        assert!(!shown.contains(SECRET) && !shown.contains(&SECRET.replace('/', "\\/")), "{shown}");
    }
    let model = Model::start(|_, _| async { completion(&format!("it is {SECRET}")) }).await;
    let client = model.client(json!({ "key": { "file": file.path() } }));
    assert_eq!(client.answer(&question()).await.expect("an answer").actual, "it is [redacted]");
}

#[tokio::test]
async fn never_asks_more_questions_at_a_time_than_the_bound() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, highest) = (now.clone(), most.clone());
    let model = Model::start(move |n, _| {
        let (running, highest) = (running.clone(), highest.clone());
        async move {
            highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            if n % 4 == 0 { status(503, "busy") } else { completion("fine") }
        }
    })
    .await;
    let client = model.client(json!({ "concurrency": 3, "retries": 20 }));
    let question = question();
    let answers = futures_util::future::join_all((0..20).map(|_| client.answer(&question))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!((most.load(Ordering::SeqCst), now.load(Ordering::SeqCst)), (3, 0));
}

#[tokio::test]
async fn does_not_follow_a_redirect() {
    let elsewhere = Model::start(|_, _| async { completion("stolen") }).await;
    for code in [301, 302, 303, 307, 308] {
        let location = format!("http://{}/v1/chat/completions", elsewhere.address);
        let model = Model::start(move |_, _| {
            let mut response = status(code, "over there");
            response.headers_mut().insert("location", location.parse().expect("a header"));
            async { response }
        })
        .await;
        let client = model.client(json!({ "key": { "env": KEY_VARIABLE } }));
        let error = client.answer(&question()).await.expect_err("a redirect");
        assert!(error.is_configuration());
        assert_eq!(
            error.to_string(),
            format!("target refuses requests: status {code}: redirects are not followed")
        );
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn an_endpoint_that_refuses_a_parameter_is_asked_without_it() {
    let model = Model::start(|_, body| async move {
        if body.get("stream_options").is_some() {
            // As Mistral answers.
            return status(422, json!({ "detail": [{ "type": "extra_forbidden", "loc": ["body", "stream_options"] }] }).to_string());
        }
        if body.get("max_tokens").is_some() {
            // As OpenAI answers for models that reason.
            return status(400, json!({ "error": { "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead." } }).to_string());
        }
        paced(0, [text("fine"), finish(), done()])
    })
    .await;
    let client = model.client(json!({ "retries": 0, "max_output_tokens": 5 }));
    let first = client.answer(&question()).await.expect("an answer");
    assert_eq!((first.attempts, first.usage.input, first.timing.streamed), (3, None, Some(true)));
    assert_eq!(client.answer(&question()).await.expect("an answer").attempts, 1);
    assert_eq!(model.request(3).1["max_completion_tokens"], 5);
}

#[tokio::test]
async fn an_endpoint_that_refuses_every_way_is_not_asked_forever() {
    let model = Model::start(|_, _| async { status(400, "stream_options, max_completion_tokens") }).await;
    let client = model.client(json!({ "max_output_tokens": 5 }));
    let (_, attempts, _) = product(client.answer(&question()).await.expect_err("refused"));
    assert_eq!((attempts, model.requests()), (3, 3));
}

#[tokio::test]
async fn a_first_byte_that_comes_late_is_a_timeout_and_asked_for_again() {
    let model = Model::start(|_, _| async { paced(400, [text("late"), finish(), done()]) }).await;
    let client = model.client(json!({ "first_byte_timeout_ms": 60, "retries": 1 }));
    let error = client.answer(&question()).await.expect_err("late");
    assert_eq!(error.to_string(), "endpoint timed out: no first byte within 60 ms (after 2 attempts)");
    assert_eq!(product(error).0, Failure::TimedOut { what: TimeLimit::FirstByte, limit_ms: 60 });
}

#[tokio::test]
async fn an_answer_that_takes_too_long_keeps_what_had_come() {
    let model = Model::start(|_, _| async { paced(80, [text("a"), text("b"), text("c"), finish()]) }).await;
    let error = model.client(json!({ "timeout_ms": 200 })).answer(&question()).await.expect_err("slow");
    let (failure, attempts, partial) = product(error);
    assert_eq!(failure, Failure::TimedOut { what: TimeLimit::Whole, limit_ms: 200 });
    assert_eq!((attempts, partial.as_deref()), (1, Some("ab")));
}

#[tokio::test]
async fn a_product_that_is_not_there_is_asked_again_and_then_has_failed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let model = Model { address, seen: Arc::default() };
    let error = model.client(json!({ "retries": 1 })).answer(&question()).await.expect_err("nobody there");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(matches!(product(error), (Failure::Unreachable(_), 2, None)));
}

#[tokio::test]
async fn refuses_a_response_that_is_too_large() {
    let model = Model::start(|_, body| async move {
        let flood =
            stream::iter((0..9_000).map(|_| Ok::<_, Infallible>(Bytes::from(text(&"x".repeat(1024))))));
        if body["stream"] == true { flowing(flood) } else { Body::from_stream(flood).into_response() }
    })
    .await;
    for stream in [false, true] {
        let error =
            model.client(json!({ "stream": stream })).answer(&question()).await.expect_err("too large");
        assert_eq!(error.to_string(), "response has more than 8388608 bytes in its body");
    }
    assert_eq!(model.requests(), 2);
}

#[tokio::test]
async fn dropping_the_future_closes_the_request_and_frees_its_place() {
    let (gone, is_gone) = oneshot::channel::<()>();
    let gone = Mutex::new(Some(gone));
    let model = Model::start(move |n, _| {
        let guard = gone.lock().expect("not poisoned").take();
        async move {
            if n > 0 {
                return completion("fine");
            }
            // The guard goes with the response's body.
            flowing(stream::unfold(guard, |guard| async move {
                sleep(Duration::from_millis(10)).await;
                Some((Ok::<_, Infallible>(Bytes::from(text("more "))), guard))
            }))
        }
    })
    .await;
    let client = model.client(json!({ "concurrency": 1 }));
    let question = question();
    timeout(Duration::from_millis(100), client.answer(&question)).await.expect_err("it never ends");
    timeout(Duration::from_secs(2), is_gone).await.expect("closed in time").expect_err("dropped, not sent");
    assert_eq!(client.answer(&question).await.expect("an answer").actual, "fine");
}

#[tokio::test]
async fn a_question_that_cannot_be_asked_is_nobodys_failure_but_its_own() {
    let model = Model::start(|_, _| async { completion("fine") }).await;
    let error = model.client(json!({})).answer(&Interaction::default()).await.expect_err("nothing to ask");
    assert!(!error.is_configuration() && !error.is_product());
    assert_eq!(model.requests(), 0);
}

#[test]
fn answers_can_be_awaited_on_any_thread() {
    fn sendable<T: Send>(_: &T) {}
    let target = json!({ "kind": "openai-chat", "base_url": "https://models.example/v1", "model": "m" });
    let target: Target = serde_json::from_value(target).expect("a target");
    let client = TargetClient::new(&target).expect("valid");
    let question = question();
    sendable(&client.answer(&question));
    sendable(&client);
}
