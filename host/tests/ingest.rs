//! Production traffic through the real daemon: in, once, redacted, assembled,
//! scored as it comes in.

mod support;

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};

/// Sessions and traces that do not make tests wait.
const QUICK: [(&str, &str); 4] = [
    ("ASSAY_INGEST__TRACE_SETTLE_S", "1"),
    ("ASSAY_INGEST__TRACE_ROOTLESS_S", "2"),
    ("ASSAY_INGEST__SESSION_IDLE_S", "1"),
    ("ASSAY_INGEST__SESSION_QUIET_S", "0"),
];

async fn send(daemon: &Daemon, path: &str, body: impl Into<reqwest::Body>) -> Value {
    answer(daemon.request(Method::POST, path).body(body), StatusCode::OK).await
}

/// Looks again until what was sent has become what is wanted.
async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not happen within 30 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn interactions_and_events_come_in_once_and_bad_lines_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start(folder.path());
    let lines = concat!(
        r#"{"id":"a","query":"Where is my parcel?","actual":"On its way.","session":"s1","user":"u1","template":"support","usage":{"input":100,"output":20},"timing":{"total_us":900000,"first_token_us":200000,"streamed":true}}"#,
        "\n",
        r#"{"id":"b","qeury":"x"}"#,
        "\n",
        r#"{"id":"c","query":"And now?","error":"upstream timed out","session":"s1"}"#,
    );
    let received = send(&daemon, "/v1/interactions", lines).await;
    assert_eq!((&received["accepted"], &received["duplicates"]), (&json!(2), &json!(0)));
    assert_eq!(received["rejected"][0]["line"], 2);
    assert!(received["rejected"][0]["reason"].as_str().is_some_and(|reason| reason.contains("`qeury`")));
    let again = send(&daemon, "/v1/interactions", lines).await;
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(2)));

    // An event of an interaction that is there, of one that is not yet, and of a session.
    let events = concat!(
        r#"{"id":"e1","kind":"copied","interaction":"a"}"#,
        "\n",
        r#"{"id":"e2","kind":"reported","interaction":"later"}"#,
        "\n",
        r#"{"id":"e3","kind":"rated","session":"s1","value":-1}"#,
        "\n",
        r#"{"kind":"copied"}"#,
    );
    let received = send(&daemon, "/v1/events", events).await;
    assert_eq!((&received["accepted"], received["rejected"][0]["line"].as_u64()), (&json!(3), Some(4)));
    send(&daemon, "/v1/interactions", r#"{"id":"later","query":"q","actual":"a"}"#).await;

    let one = daemon.get("/v1/interactions/a").await;
    assert_eq!(one["item"]["query"], "Where is my parcel?");
    assert_eq!(one["answer"]["timing"]["first_token_us"], 200_000);
    assert_eq!(one["origin"]["user"], "u1");
    let session = one["session"].as_str().expect("it has a session").to_owned();
    assert_eq!(daemon.get("/v1/interactions/c").await["session"], session.as_str());
    assert!(daemon.get("/v1/interactions/later").await["session"].is_string(), "an event needs a session");
    let page = daemon.get("/v1/interactions?template=support").await;
    assert_eq!(page["interactions"].as_array().map(Vec::len), Some(1));
    let all = daemon.get("/v1/interactions?request_class=unclassified&limit=2").await;
    let cursor = all["next_cursor"].as_i64().expect("there is more");
    let rest = daemon.get(&format!("/v1/interactions?limit=2&cursor={cursor}")).await;
    assert_eq!(rest["interactions"].as_array().map(Vec::len), Some(1));

    let lacking = daemon.get("/v1/instrumentation?template=support").await;
    assert_eq!((&lacking["interactions"], &lacking["without_content"]), (&json!(1), &json!(0)));
    let all = daemon.get("/v1/instrumentation").await;
    assert_eq!((&all["without_user"], &all["without_template"]), (&json!(2), &json!(2)));
    assert!(all["advice"].to_string().contains("gen_ai.prompt.name"), "{all}");

    for (body, status) in [
        ("{\"id\":", StatusCode::UNPROCESSABLE_ENTITY),
        ("\u{fffd}", StatusCode::UNPROCESSABLE_ENTITY),
        ("", StatusCode::OK),
    ] {
        answer(daemon.request(Method::POST, "/v1/interactions").body(body), status).await;
    }
    answer(daemon.request(Method::GET, "/v1/interactions/nobody"), StatusCode::NOT_FOUND).await;
    answer(daemon.request(Method::GET, "/v1/interactions?colour=red"), StatusCode::BAD_REQUEST).await;
}

/// A span as OTLP writes it in JSON. Times are milliseconds after a start.
fn span(trace: u8, id: u8, parent: Option<u8>, times: (u64, u64), attributes: &Value) -> Value {
    let start = 1_780_000_000_000_u64;
    let attributes: Vec<_> = attributes
        .as_object()
        .expect("an object")
        .iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Number(number) => json!({ "intValue": number.to_string() }),
                other => json!({ "stringValue": other }),
            };
            json!({ "key": key, "value": value })
        })
        .collect();
    json!({
        "traceId": format!("{trace:02x}").repeat(16),
        "spanId": format!("{id:02x}").repeat(8),
        "parentSpanId": parent.map_or_else(String::new, |parent| format!("{parent:02x}").repeat(8)),
        "name": "a span",
        "startTimeUnixNano": ((start + times.0) * 1_000_000).to_string(),
        "endTimeUnixNano": ((start + times.1) * 1_000_000).to_string(),
        "attributes": attributes,
    })
}

fn export(spans: &[Value]) -> String {
    json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]}).to_string()
}

async fn send_spans(daemon: &Daemon, spans: &[Value]) -> Value {
    let request = daemon.request(Method::POST, "/v1/traces").header("content-type", "application/json");
    answer(request.body(export(spans)), StatusCode::OK).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_a_trace_become_one_interaction_in_whichever_order_they_come() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start_with(folder.path(), &QUICK);
    let model = |id, times| {
        let attributes = json!({
            "openinference.span.kind": "LLM", "llm.model_name": "m-1",
            "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "inner question",
            "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "inner answer",
            "llm.token_count.prompt": 100, "llm.token_count.completion": 10,
        });
        span(1, id, Some(1), times, &attributes)
    };
    let retrieval = json!({
        "openinference.span.kind": "RETRIEVER", "retrieval.documents.0.document.content": "a found text",
    });
    send_spans(&daemon, &[model(3, (30, 60))]).await;
    send_spans(&daemon, &[span(1, 2, Some(1), (5, 25), &retrieval)]).await;
    let root = json!({
        "openinference.span.kind": "AGENT", "input.value": "the user's question",
        "output.value": "the agent's answer", "session.id": "s", "user.id": "u",
    });
    send_spans(&daemon, &[span(1, 1, None, (0, 100), &root)]).await;
    let list = || async {
        let page = daemon.get("/v1/interactions").await;
        page["interactions"].as_array().expect("a list").clone()
    };
    let made = eventually(async || list().await.first().cloned()).await;
    assert_eq!(made["item"]["query"], "the user's question");
    assert_eq!(made["answer"]["actual"], "the agent's answer");
    assert_eq!(made["answer"]["documents"][0]["content"], "a found text");
    assert_eq!(made["answer"]["usage"]["input"], 100);
    assert_eq!(made["answer"]["timing"]["total_us"], 100_000);

    // What is exported again changes nothing; a late span makes a revision.
    send_spans(&daemon, &[span(1, 1, None, (0, 100), &root), model(3, (30, 60))]).await;
    send_spans(&daemon, &[model(4, (65, 90))]).await;
    let revised =
        eventually(async || list().await.into_iter().find(|found| found["answer"]["usage"]["input"] == 200))
            .await;
    assert_eq!(revised["id"], made["id"]);
    assert_eq!(list().await.len(), 1);

    // A model span that is its own root is there at once; a bad one costs the others nothing.
    let alone = json!({
        "gen_ai.operation.name": "chat", "gen_ai.response.model": "m-2",
        "gen_ai.input.messages": r#"[{"role":"user","parts":[{"type":"text","content":"hello"}]}]"#,
        "gen_ai.output.messages": r#"[{"role":"assistant","parts":[{"type":"text","content":"hi"}]}]"#,
    });
    let told =
        send_spans(&daemon, &[span(2, 1, None, (0, 10), &alone), span(0, 0, None, (0, 1), &alone)]).await;
    assert_eq!(told["partialSuccess"]["rejectedSpans"], "1");
    let found = daemon.get("/v1/interactions?model=m-2").await;
    assert_eq!(found["interactions"][0]["answer"]["actual"], "hi");
    let daemon = {
        daemon.kill();
        Daemon::start_with(folder.path(), &QUICK)
    };
    assert_eq!(daemon.get("/v1/interactions").await["interactions"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_redacted_reaches_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("assay.toml");
    let rules = "[[ingest.redact]]\npattern = \"email\"\n[[ingest.redact]]\nregex = \"TICKET-[0-9]+\"\n\
                 replacement = \"[ticket]\"\n[[ingest.classes]]\nclass = \"tickets\"\nquery = \"TICKET-\"\n";
    fs::write(&config, rules).expect("written");
    let config = config.to_str().expect("UTF-8");
    let data = folder.path().join("data");
    let daemon =
        Daemon::start_with(&data, &[("ASSAY_CONFIG", config), QUICK[0], QUICK[1], QUICK[2], QUICK[3]]);
    let secret = "secret.person@example.com";
    let body = json!({
        "id": "a", "query": format!("TICKET-4711 of {secret}"), "actual": format!("Dear {secret}"),
        "history": [{"role": "user", "parts": [{"type": "text", "text": secret}]}],
        "metadata": {"mail": secret}, "documents": [{"content": secret}],
        "tool_calls": [{"name": "look_up", "arguments": format!("{{\"mail\":\"{secret}\"}}"), "output": secret}],
    });
    send(&daemon, "/v1/interactions", body.to_string()).await;
    let event = json!({"kind": "reported", "interaction": "a", "value": {"comment": secret}});
    send(&daemon, "/v1/events", event.to_string()).await;
    let attributes = json!({
        "openinference.span.kind": "AGENT", "input.value": secret, "output.value": secret, "custom": secret,
    });
    // One span waits for its root, and so is written as it is.
    send_spans(&daemon, &[span(7, 2, Some(1), (0, 10), &attributes)]).await;
    let found = daemon.get("/v1/interactions/a").await;
    assert_eq!(found["item"]["query"], "[ticket] of [email]");
    assert_eq!(found["request_class"], "tickets", "rules see what redaction replaces");
    eventually(async || {
        let page = daemon.get("/v1/interactions").await;
        (page["interactions"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
    // Packed content hides a text from a search of the file: every answer of the API is searched too.
    let all = daemon.get("/v1/interactions").await.to_string();
    assert!(!all.contains("secret.person") && !all.contains("4711"), "{all}");
    for file in ["assay.db", "assay.db-wal"] {
        let bytes = fs::read(data.join(file)).unwrap_or_default();
        assert!(!bytes.windows(13).any(|part| part == b"secret.person"), "{file}");
    }
    let stored = rusqlite::Connection::open(data.join("assay.db")).expect("opened");
    let mut packed = stored
        .prepare("SELECT payload FROM interaction UNION ALL SELECT record FROM span UNION ALL SELECT CAST(value AS BLOB) FROM event")
        .expect("prepared");
    let blobs = packed.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("read");
    let mut seen = 0;
    for blob in blobs {
        let blob = blob.expect("read");
        let text = zstd::decode_all(blob.get(1..).unwrap_or_default()).unwrap_or(blob);
        assert!(!text.windows(13).any(|part| part == b"secret.person"));
        seen += 1;
    }
    assert!(seen >= 4, "{seen} stored contents were looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_follows_production_and_a_sample_keeps_its_probabilities() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start_with(folder.path(), &QUICK);
    let lines = |from: usize, to: usize| -> String {
        (from..to)
            .map(|i| {
                let (class, actual) = if i % 10 == 0 { ("rare", "no") } else { ("common", "yes") };
                format!(
                    "{{\"id\":\"i{i}\",\"query\":\"q\",\"actual\":\"{actual}\",\"expected\":[\"yes\"],\
                     \"request_class\":\"{class}\",\"user\":\"u{}\",\"cost\":0.5}}\n",
                    i % 40
                )
            })
            .collect()
    };
    send(&daemon, "/v1/interactions", lines(0, 100)).await;
    let scorers = json!([{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}]);
    let completion = json!({"output": "equals", "at_least": 1});
    let follow = json!({
        "name": "live", "source": {"production": {"follow": true}}, "scorers": scorers, "completion": completion,
    });
    let id = daemon.create("/v1/evaluations", &follow).await["id"].as_str().expect("an id").to_owned();
    let run = eventually(async || {
        let runs = daemon.get(&format!("/v1/runs?evaluation={id}&state=running")).await;
        runs["runs"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    send(&daemon, "/v1/interactions", lines(100, 1_100)).await;
    let result = eventually(async || {
        let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
        (result["completion"]["n"] == 1_000).then_some(result)
    })
    .await;
    assert_eq!(result["completion"]["rate"], 0.9);
    assert_eq!(result["completion"]["clusters"], 40, "users are what is independent");
    assert_eq!(result["classes"][1]["request_class"], "rare");
    assert_eq!(result["classes"][1]["rate"], 0.0);
    let cost = result["completion"]["cost_per_completed"].as_f64().expect("costs are known");
    assert!((cost - 500.0 / 900.0).abs() < 1e-9, "{cost}");
    answer(daemon.request(Method::POST, &format!("/v1/evaluations/{id}/runs")), StatusCode::CONFLICT).await;

    // Killed and started again, it goes on with the same run and scores nothing twice.
    daemon.kill();
    let daemon = Daemon::start_with(folder.path(), &QUICK);
    send(&daemon, "/v1/interactions", lines(1_100, 1_200)).await;
    eventually(async || {
        let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
        (result["completion"]["n"] == 1_100).then_some(())
    })
    .await;

    // A stratified sample of the past: all of the rare class, a fifth of the rest.
    let sampled = json!({
        "name": "sampled", "scorers": scorers, "completion": completion,
        "source": {"production": {"sample": {"rate": 0.2, "rates": {"rare": 1}}}},
    });
    let id = daemon.create("/v1/evaluations", &sampled).await["id"].as_str().expect("an id").to_owned();
    let run = daemon.create(&format!("/v1/evaluations/{id}/runs"), &json!({})).await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(daemon.finished(&run).await["state"], "finished");
    let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
    let n = result["completion"]["n"].as_u64().expect("a number");
    assert!((250..=430).contains(&n), "120 rare ones and about 216 others: {n}");
    let rate = result["completion"]["rate"].as_f64().expect("a rate");
    // Unweighted it would be about 0.64.
    assert!((rate - 0.9).abs() < 0.03, "weights undo the sampling: {rate}");
    let items = daemon.get(&format!("/v1/runs/{run}/items?request_class=rare&limit=1")).await;
    assert_eq!(items["items"][0]["answer"]["actual"], "no");

    // Every interaction can be asked what became of it.
    let told = daemon.get("/v1/interactions/i5/evaluations").await;
    let status = |name: &str| {
        let found = told["evaluations"].as_array().expect("a list").iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("{name} in {told}"))["status"].as_str().expect("a status").to_owned()
    };
    assert_eq!(status("live"), "before_run");
    assert!(["scored", "not_drawn"].contains(&status("sampled").as_str()));
    let told = daemon.get("/v1/interactions/i110/evaluations").await;
    let live = told["evaluations"].as_array().expect("a list").iter().find(|one| one["name"] == "live");
    assert_eq!(live.expect("it is listed")["scores"][0]["value"], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_is_there_once_however_the_daemon_dies() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut acknowledged = HashSet::new();
    for round in 0..10 {
        let daemon = Daemon::start(folder.path());
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (client, base, stop) = (daemon.client.clone(), daemon.base.clone(), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut known = Vec::new();
                    for batch in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let names: Vec<_> =
                            (0..20).map(|i| format!("{round}-{sender}-{batch}-{i}")).collect();
                        let body: String = names
                            .iter()
                            .map(|name| format!("{{\"id\":\"{name}\",\"query\":\"q\"}}\n"))
                            .collect();
                        let sent = client.post(format!("{base}/v1/interactions")).body(body).send().await;
                        if sent.is_ok_and(|sent| sent.status() == StatusCode::OK) {
                            known.extend(names);
                        }
                    }
                    known
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100 + round * 30)).await;
        daemon.kill();
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            acknowledged.extend(sender.await.expect("it ended"));
        }
    }
    assert!(acknowledged.len() > 1_000, "only {} were acknowledged", acknowledged.len());
    let daemon = Daemon::start(folder.path());
    let mut found = HashSet::new();
    let mut cursor = String::new();
    loop {
        let page = daemon.get(&format!("/v1/interactions?limit=500{cursor}")).await;
        for interaction in page["interactions"].as_array().expect("a list") {
            let key = interaction["origin"]["key"].as_str().expect("a key").to_owned();
            assert!(found.insert(key), "twice: {interaction}");
        }
        match page["next_cursor"].as_i64() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), acknowledged.len());
}

/// One visit: a question, its answer, and what the user did.
fn visit(index: usize, started_at_us: i64, score: &str, satisfied: bool) -> (String, String) {
    let second = 1_000_000;
    let interaction = |part: usize, query: &str, at: i64| {
        json!({
            "id": format!("v{index}-{part}"), "session": format!("s{index}"), "user": format!("u{index}"),
            "query": query, "actual": score, "expected": ["good"], "request_class": "help",
            "started_at": at, "timing": {"total_us": second},
        })
        .to_string()
    };
    let mut interactions = interaction(0, "how do I reset my password", started_at_us);
    let event = if satisfied {
        json!({"kind": "copied", "interaction": format!("v{index}-0"), "at": started_at_us + 5 * second})
    } else {
        interactions.push('\n');
        let again = "how can I reset the password please";
        interactions.push_str(&interaction(1, again, started_at_us + 20 * second));
        json!({"kind": "reported", "interaction": format!("v{index}-0"), "at": started_at_us + 5 * second})
    };
    (interactions + "\n", event.to_string() + "\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_did_stands_beside_the_scores_and_an_alarm_tells_when_they_part() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start_with(folder.path(), &QUICK);
    let (now, hour_us) = (now_us(), 3_600 * 1_000_000);
    let (mut interactions, mut events) = (String::new(), String::new());
    let mut add = |index: usize, hours_ago: i64, score: &str, satisfied: bool| {
        let visit = visit(index, now - hours_ago * hour_us, score, satisfied);
        interactions.push_str(&visit.0);
        events.push_str(&visit.1);
    };
    for index in 0..60 {
        // Three days ago most answers are good and most users satisfied …
        add(index, 72, if index % 5 == 0 { "bad" } else { "good" }, index % 4 != 0);
        // … and now answers look better still, and most users are not.
        add(100 + index, 2, if index % 10 == 0 { "bad" } else { "good" }, index % 4 == 0);
    }
    send(&daemon, "/v1/interactions", interactions).await;
    send(&daemon, "/v1/events", events).await;
    let detail = eventually(async || {
        let found = daemon.get("/v1/interactions/v0-0").await;
        (!found["signals"].as_array().expect("a list").is_empty()).then_some(found)
    })
    .await;
    let signal = |name: &str| {
        let found =
            detail["signals"].as_array().expect("a list").iter().find(|found| found["output"] == name);
        found.unwrap_or_else(|| panic!("{name} in {detail}"))["value"].clone()
    };
    assert_eq!(
        (signal("rephrase"), signal("report"), signal("dissatisfied")),
        (json!(1.0), json!(1.0), json!(1.0))
    );
    assert_eq!(signal("copy"), 0.0);

    let report = eventually(async || {
        let report = daemon.get("/v1/signals?group_by=day").await;
        (report["extracted_share"] == 1.0).then_some(report)
    })
    .await;
    assert_eq!(report["instrumented_share"], 1.0);
    let all = daemon.get("/v1/signals?request_class=help").await;
    let reported =
        all["signals"].as_array().expect("a list").iter().find(|found| found["output"] == "report");
    let reported = reported.expect("reports are counted");
    // 60 of 120 first answers, and no second answer, over 180.
    assert_eq!((&reported["n"], &reported["clusters"]), (&json!(180), &json!(120)));
    assert!((reported["mean"].as_f64().expect("a share") - 60.0 / 180.0).abs() < 1e-9);
    assert!(reported["interval"]["low"].as_f64().is_some_and(|low| low > 0.2));

    let definition = json!({
        "name": "live", "source": {"production": {}},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
    });
    let id = daemon.create("/v1/evaluations", &definition).await["id"].as_str().expect("an id").to_owned();
    let started = daemon.create(&format!("/v1/evaluations/{id}/runs"), &json!({})).await;
    daemon.finished(started["id"].as_str().expect("an id")).await;
    let path = format!("/v1/divergence?evaluation={id}&output=equals&group_by=request_class");
    let told = daemon.get(&path).await;
    let group = &told["groups"][0];
    assert_eq!((&group["group"], &group["verdict"]), (&json!("help"), &json!("scores_high_users_leaving")));
    assert!(group["score_change"].as_f64().is_some_and(|change| change > 0.0), "{group}");
    assert!(group["satisfaction_change"].as_f64().is_some_and(|change| change < 0.0), "{group}");
    assert_eq!(group["look_first"].as_array().map(Vec::len), Some(10));
    let same = daemon.get(&format!("{path}&signal=time_to_next_message_s")).await;
    assert_eq!(same["groups"][0]["verdict"], "cannot_tell", "few sessions have two messages: {same}");
    answer(daemon.request(Method::GET, &format!("{path}&signal=delight")), StatusCode::UNPROCESSABLE_ENTITY)
        .await;

    // A late event opens its session again, and its signals follow.
    let reported = async || {
        let found = daemon.get("/v1/interactions/v1-0").await;
        let signals = found["signals"].as_array().expect("a list");
        signals.iter().find(|found| found["output"] == "report").map(|found| found["value"] == 1.0)
    };
    assert_eq!(reported().await, Some(false));
    send(&daemon, "/v1/events", r#"{"kind":"reported","interaction":"v1-0"}"#).await;
    eventually(async || (reported().await == Some(true)).then_some(())).await;
}

fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_micros()).expect("before 294,000")
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_comes_over_grpc_too() {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let port = port.to_string();
    let daemon = Daemon::start_with(
        folder.path(),
        &[("ASSAY_INGEST__GRPC_PORT", &port), ("ASSAY_HTTP__REQUIRE_TOKEN", "true")],
    );
    let token = std::process::Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["token", "create", "exporter", "--role", "ingest", "--data-dir"])
        .arg(folder.path())
        .output()
        .expect("the command runs");
    let token = String::from_utf8(token.stdout).expect("text").trim().to_owned();
    let alone = json!({
        "gen_ai.operation.name": "chat", "gen_ai.response.model": "m-3",
        "gen_ai.input.messages": r#"[{"role":"user","parts":[{"type":"text","content":"hello"}]}]"#,
        "gen_ai.output.messages": r#"[{"role":"assistant","parts":[{"type":"text","content":"hi"}]}]"#,
    });
    let body = export(&[span(5, 1, None, (0, 10), &alone)]);
    let request: ExportTraceServiceRequest = serde_json::from_str(&body).expect("OTLP's JSON");
    let mut client =
        TraceServiceClient::connect(format!("http://127.0.0.1:{port}")).await.expect("connected");
    let refused = client.export(request.clone()).await.expect_err("no token");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let mut request = tonic::Request::new(request);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
    client.export(request).await.expect("taken");
    let stored = rusqlite::Connection::open(daemon.data_dir.join("assay.db")).expect("opened");
    let count: u32 =
        stored.query_row("SELECT count(*) FROM interaction", [], |row| row.get(0)).expect("read");
    assert_eq!(count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_has_its_status_and_the_next_one_is_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Daemon::start_with(folder.path(), &[("ASSAY_INGEST__BODY_BYTES_MAX", "70000")]);
    let good =
        export(&[span(3, 1, None, (0, 10), &json!({"gen_ai.operation.name": "chat", "input.value": "q"}))]);
    let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
    let status = async |path: &str, kind: &str, body: Vec<u8>| {
        let sent = daemon.request(Method::POST, path).header("content-type", kind).body(body).send().await;
        sent.expect("answered").status().as_u16()
    };
    let before = resident_kib(daemon.process_id());
    let mut seen = HashSet::new();
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..10_000_usize {
        // Xorshift (Marsaglia 2003): the same every time.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = random as usize % good.len();
        let (path, kind) = [
            ("/v1/traces", "application/json"),
            ("/v1/traces", "application/x-protobuf"),
            ("/v1/logs", "application/json"),
            ("/v1/logs", "application/x-protobuf"),
            ("/v1/interactions", "application/x-ndjson"),
            ("/v1/events", "application/json"),
        ][round % 6];
        let body = match (random >> 32) % 5 {
            0 => good.as_bytes()[..at].to_vec(),
            1 => {
                let mut bytes = good.clone().into_bytes();
                bytes[at] ^= 1 << (random % 8);
                bytes
            }
            2 => deep.clone().into_bytes(),
            3 => vec![0xff; at],
            _ => random.to_le_bytes().repeat(at),
        };
        seen.insert((path, status(path, kind, body).await));
    }
    let allowed = [200, 400, 422];
    assert!(seen.iter().all(|(_, status)| allowed.contains(status)), "{seen:?}");
    assert!(seen.contains(&("/v1/traces", 400)) && seen.contains(&("/v1/interactions", 422)), "{seen:?}");
    assert_eq!(status("/v1/traces", "application/x-protobuf", vec![b'x'; 80_000]).await, 413);
    assert_eq!(status("/v1/traces", "text/plain", good.clone().into_bytes()).await, 415);
    // Packed, it is small; what comes out of it is not.
    let bomb = {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, &vec![b'x'; 50 << 20]).expect("packed");
        packed.finish().expect("packed")
    };
    let sent = daemon
        .request(Method::POST, "/v1/traces")
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "gzip")
        .body(bomb);
    assert_eq!(sent.send().await.expect("answered").status(), StatusCode::PAYLOAD_TOO_LARGE);
    let grown = resident_kib(daemon.process_id()).saturating_sub(before);
    assert!(grown < 64 << 10, "memory grew by {grown} KiB");
    assert_eq!(status("/v1/traces", "application/json", good.into_bytes()).await, 200);
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("readable");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a number")
}
