//! What a rubric makes of a judge's replies.

use std::cell::RefCell;
use std::rc::Rc;

use assay_plugin::judge::{Answer, Reply, Request};
use assay_plugin::prelude::*;
use assay_plugin::{Document, Role};
use assay_plugin_rubric::READY_MADE;
use assay_plugin_rubric::plugin::{configure, describe, score_batch};
use serde_json::{Value as Json, json};

const ANSWER: &str = "Sorry, I cannot say.\nThe museum opens at “nine”.";

fn item() -> Interaction {
    Interaction::new("When does the museum open?", ANSWER).with_id("i1")
}

fn config(more: Json) -> String {
    let mut config = json!({
        "profile": "strict",
        "criteria": [
            {"name": "right", "question": "Is it right?", "points": 3, "evidence": "required", "weight": 2,
             "cannot_tell": true},
            {"name": "blunt", "question": "How blunt is it?", "scale": [1, 5], "direction": "lower"},
        ],
    });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    config.to_string()
}

/// What the plugin makes of one reply text for each request, in order.
fn judged(config: &str, item: &Interaction, replies: &[&str]) -> Result<Vec<Score>, PluginError> {
    let replies: Vec<String> = replies.iter().map(|reply| (*reply).to_owned()).collect();
    let judge = move |requests: &[Request]| -> Vec<Answer> {
        assert_eq!(requests.len(), replies.len());
        replies.iter().enumerate().map(|(at, reply)| Ok(Reply::new(reply, format!("t{at}")))).collect()
    };
    let answers = judge::answered_by(judge, || score_batch(config, std::slice::from_ref(item)));
    let scores = answers.into_iter().next().expect("one answer");
    if let Ok(scores) = &scores {
        fits(config, scores);
    }
    scores
}

/// Every score is of a declared output and within its range.
fn fits(config: &str, scores: &[Score]) {
    let outputs = configure(config).expect("valid");
    for score in scores {
        let output = outputs.iter().find(|output| output.name == score.output).expect("declared");
        match (&output.kind, &score.value) {
            (OutputKind::Number(range), Value::Number(value)) => {
                assert!((range.low..=range.high).contains(value), "{score:?}")
            }
            (OutputKind::Boolean, Value::Boolean(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn number(scores: &[Score], output: &str) -> Option<f64> {
    scores.iter().find(|score| score.output == output).map(|score| match score.value {
        Value::Number(value) => value,
        ref other => panic!("{other:?}"),
    })
}

fn score<'a>(scores: &'a [Score], output: &str) -> &'a Score {
    scores.iter().find(|score| score.output == output).expect(output)
}

fn reply(right: Json, blunt: i64) -> String {
    let mut answer =
        json!({"reason": "it says so", "quote": "opens at \"NINE\"", "cannot_tell": false, "points": 3});
    for (key, value) in right.as_object().expect("an object") {
        answer[key] = value.clone();
    }
    json!({"right": answer, "blunt": {"reason": "short", "quote": "", "points": blunt}}).to_string()
}

#[test]
fn points_quotations_and_a_total_that_nobody_was_asked_for() {
    let scores = judged(&config(json!({})), &item(), &[&reply(json!({}), 2)]).expect("scored");
    assert_eq!(number(&scores, "right"), Some(3.0));
    assert_eq!(number(&scores, "blunt"), Some(2.0));
    // 2 × 3, and of 1 to 5 the 2 counts as 4 because less is better.
    assert_eq!(number(&scores, "total"), Some(10.0));
    assert_eq!(number(&scores, "criteria_scored"), Some(1.0));
    let right = score(&scores, "right");
    assert_eq!(right.evidence, [Evidence::new("actual", "opens at “nine”")]);
    assert_eq!(right.reason.as_deref(), Some("it says so"));
    assert_eq!(right.extra_json.as_deref(), Some(r#"{"transcripts":["t0"]}"#));
    let outputs = configure(&config(json!({}))).expect("valid");
    let named: Vec<_> = outputs.iter().map(|output| (output.name.as_str(), &output.kind)).collect();
    let range = |low, high| OutputKind::Number(Range { low, high });
    assert_eq!(
        named,
        [
            ("right", &range(0.0, 3.0)),
            ("blunt", &range(1.0, 5.0)),
            ("total", &range(1.0, 11.0)),
            ("criteria_scored", &range(0.0, 1.0)),
        ]
    );
}

#[test]
fn a_judge_that_cannot_tell_leaves_no_value_and_no_total() {
    let text =
        reply(json!({"cannot_tell": true, "points": null, "reason": "no opening hours", "quote": ""}), 1);
    let scores = judged(&config(json!({})), &item(), &[&text]).expect("scored");
    assert_eq!((number(&scores, "right"), number(&scores, "total")), (None, None));
    let covered = score(&scores, "criteria_scored");
    assert_eq!(covered.value, Value::Number(0.5));
    assert_eq!(covered.reason.as_deref(), Some("`right`: cannot tell: no opening hours"));
    // The rest, scaled: 5 of 1 to 5 is the most, so the total is the most too.
    let scores = judged(&config(json!({"total": "rest"})), &item(), &[&text]).expect("scored");
    assert_eq!(number(&scores, "total"), Some(11.0));
}

#[test]
fn a_needed_quotation_that_is_not_in_the_answer_leaves_no_value_and_no_total() {
    for rule in ["complete", "rest"] {
        let text = reply(json!({"quote": "opens at ten"}), 1);
        let scores = judged(&config(json!({"total": rule})), &item(), &[&text]).expect("scored");
        assert_eq!((number(&scores, "right"), number(&scores, "total")), (None, None));
        let reason = score(&scores, "criteria_scored").reason.as_deref().expect("a reason");
        assert!(
            reason.contains("not grounded") && reason.contains("“opens at ten” is not in the answer"),
            "{reason}"
        );
    }
    let nothing = judged(&config(json!({})), &item(), &[&reply(json!({"quote": " "}), 1)]).expect("scored");
    assert_eq!(number(&nothing, "right"), None);
    // What is absent cannot be quoted: no points need no quotation.
    let absent = reply(json!({"quote": "", "points": 0}), 1);
    let scores = judged(&config(json!({})), &item(), &[&absent]).expect("scored");
    assert_eq!(number(&scores, "right"), Some(0.0));
}

#[test]
fn a_quotation_that_is_only_wished_for_is_dropped_and_the_points_stay() {
    let text = json!({
        "right": {"reason": "r", "quote": "opens at “nine”.", "cannot_tell": false, "points": 1},
        "blunt": {"reason": "r", "quote": "Go away", "points": 5},
    });
    let scores = judged(&config(json!({})), &item(), &[&text.to_string()]).expect("scored");
    let blunt = score(&scores, "blunt");
    assert_eq!((&blunt.value, blunt.evidence.len()), (&Value::Number(5.0), 0));
    assert!(blunt.reason.as_ref().is_some_and(|reason| reason.contains("“Go away” is not in the answer")));
}

#[test]
fn a_reply_that_does_not_fit_fails_the_item_by_name() {
    let good: Json = serde_json::from_str(&reply(json!({}), 2)).expect("JSON");
    let with = |pointer: &str, value: Json| {
        let mut reply = good.clone();
        *reply.pointer_mut(pointer).expect("there") = value;
        reply.to_string()
    };
    let cases = [
        (with("/right/points", json!(4)), "`points` 4 is no whole number from 0 to 3"),
        (with("/right/points", json!(-1)), "`points` -1"),
        (with("/right/points", json!(2.5)), "`points` 2.5"),
        (with("/right/points", json!("3")), "invalid type"),
        (with("/right/points", Json::Null), "no `points`"),
        (with("/blunt/points", json!(0)), "from 1 to 5"),
        (with("/blunt", json!({"reason": "", "quote": "", "points": 1, "cannot_tell": true})), "may not say"),
        (with("/blunt", json!({"reason": "", "points": 1, "total": 99})), "unknown field `total`"),
        (with("/blunt", json!({"quote": "", "points": 1})), "missing field `reason`"),
        (json!({"right": good["right"]}).to_string(), "`blunt` is missing"),
        (
            json!({"right": good["right"], "blunt": good["blunt"], "total": good["right"]}).to_string(),
            "`total`",
        ),
        (format!("Here it is: {good}"), "expected value"),
        (format!("{good}{good}"), "trailing characters"),
        (format!("```json\n{good}\n```"), "expected value"),
        ("I would rather not.".into(), "expected value"),
        (String::new(), "EOF"),
    ];
    for (text, told) in cases {
        match judged(&config(json!({})), &item(), &[&text]) {
            Err(PluginError::Internal(error)) => {
                assert!(
                    error.starts_with("unfit reply of judge `strict`: ") && error.contains(told),
                    "{text}: {error}"
                )
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    // A whole number that is written with a point is one.
    assert!(judged(&config(json!({})), &item(), &[&with("/right/points", json!(2.0))]).is_ok());
}

#[test]
fn a_jury_votes_and_its_disagreement_is_told() {
    let jury = json!({"profile": null, "jury": ["a", "b", "c"]});
    let replies =
        [reply(json!({"points": 3}), 1), reply(json!({"points": 0}), 1), reply(json!({"points": 3}), 1)];
    let replies = replies.each_ref().map(String::as_str);
    let mean = judged(&config(jury.clone()), &item(), &replies).expect("scored");
    assert_eq!(number(&mean, "right"), Some(2.0));
    // `right` is a whole range apart, `blunt` not at all.
    assert_eq!(number(&mean, "disagreement"), Some(0.5));
    let right = score(&mean, "right");
    let extra: Json = serde_json::from_str(right.extra_json.as_ref().expect("extra")).expect("JSON");
    assert_eq!(extra["votes"][1], json!({"profile": "b", "value": 0.0}));
    assert_eq!((&extra["spread"], &extra["transcripts"]), (&json!(3.0), &json!(["t0", "t1", "t2"])));
    assert_eq!(right.evidence.len(), 1, "the same quotation once");
    assert!(right.reason.as_ref().is_some_and(|reason| reason.contains("b: 0: it says so")));

    let mut majority = jury;
    majority["combine"] = "majority".into();
    let scores = judged(&config(majority.clone()), &item(), &replies).expect("scored");
    assert_eq!((number(&scores, "right"), number(&scores, "total")), (Some(3.0), Some(11.0)));
    let split =
        [reply(json!({"points": 3}), 1), reply(json!({"points": 2}), 1), reply(json!({"points": 1}), 1)];
    let scores = judged(&config(majority), &item(), &split.each_ref().map(String::as_str)).expect("scored");
    assert_eq!((number(&scores, "right"), number(&scores, "total")), (None, None));
}

#[test]
fn half_of_a_jury_is_no_jury() {
    let jury = config(json!({"profile": null, "jury": ["a", "b"]}));
    let unclear = reply(json!({"cannot_tell": true, "points": null}), 1);
    let scores = judged(&jury, &item(), &[&reply(json!({}), 1), &unclear]).expect("scored");
    assert_eq!(number(&scores, "right"), None);
    // One judge's error is the item's: two of three would be another measure.
    let judge = |_: &[Request]| -> Vec<Answer> {
        vec![Ok(Reply::new(reply(json!({}), 1), "t")), Err(PluginError::BudgetExhausted("spent".into()))]
    };
    let answers = judge::answered_by(judge, || score_batch(&jury, &[item()]));
    assert_eq!(answers, [Err(PluginError::BudgetExhausted("spent".into()))]);
}

fn compared(first: &str) -> String {
    json!({"better": {"reason": "r", "quote": "", "better": first}}).to_string()
}

fn pairwise(more: Json) -> String {
    let mut config = json!({
        "profile": "strict", "mode": "pairwise", "baseline": {"metadata": "previous"},
        "criteria": [{"name": "better", "question": "Which is better?", "cannot_tell": true}],
    });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    config.to_string()
}

fn with_baseline() -> Interaction {
    let mut item = item();
    item.metadata = vec![assay_plugin::bindings::assay::plugin::types::Entry {
        name: "previous".into(),
        value: "It opens at ten.".into(),
    }];
    item
}

#[test]
fn two_orders_give_a_winner_or_a_preference_for_a_place() {
    let verdicts = |first: &str, second: &str| {
        let scores = judged(&pairwise(json!({})), &with_baseline(), &[&compared(first), &compared(second)])
            .expect("scored");
        let get = |output: &str| number(&scores, output);
        let agreement = scores.iter().find(|score| score.output == "order_agreement");
        (
            get("prefers_answer"),
            get("prefers_answer_when_first"),
            get("prefers_answer_when_second"),
            agreement.map(|score| score.value == Value::Boolean(true)),
            get("position_bias"),
        )
    };
    assert_eq!(verdicts("first", "second"), (Some(1.0), Some(1.0), Some(1.0), Some(true), Some(0.0)));
    assert_eq!(verdicts("second", "first"), (Some(0.0), Some(0.0), Some(0.0), Some(true), Some(0.0)));
    assert_eq!(verdicts("first", "first"), (Some(0.5), Some(1.0), Some(0.0), Some(false), Some(1.0)));
    assert_eq!(verdicts("second", "second"), (Some(0.5), Some(0.0), Some(1.0), Some(false), Some(-1.0)));
    assert_eq!(verdicts("tie", "tie"), (Some(0.5), Some(0.5), Some(0.5), Some(true), Some(0.0)));
    assert_eq!(verdicts("tie", "first"), (Some(0.5), Some(0.5), Some(0.0), Some(false), Some(0.5)));
    assert_eq!(verdicts("cannot_tell", "first"), (None, None, Some(0.0), None, None));
}

#[test]
fn criteria_are_weighed_within_an_order() {
    let config = pairwise(json!({"criteria": [
        {"name": "right", "question": "Which is right?", "weight": 2, "evidence": "required"},
        {"name": "short", "question": "Which is shorter?", "evidence": "none"},
    ]}));
    let reply = |right: &str, quote: &str, short: &str| {
        json!({"right": {"reason": "r", "quote": quote, "better": right}, "short": {"reason": "r", "better": short}})
            .to_string()
    };
    let answers = [reply("first", "the museum opens", "second"), reply("second", "museum opens", "first")];
    let scores = judged(&config, &with_baseline(), &answers.each_ref().map(String::as_str)).expect("scored");
    assert_eq!(number(&scores, "prefers_answer"), Some(1.0));
    assert_eq!((number(&scores, "right"), number(&scores, "short")), (Some(1.0), Some(0.0)));
    assert_eq!(score(&scores, "right").evidence, [Evidence::new("actual", "The museum opens")]);
    // A quotation of the worse answer grounds nothing.
    let answers = [reply("first", "opens at ten", "first"), reply("second", "museum opens", "second")];
    let scores = judged(&config, &with_baseline(), &answers.each_ref().map(String::as_str)).expect("scored");
    assert_eq!((number(&scores, "prefers_answer"), number(&scores, "right")), (None, None));
    assert_eq!(number(&scores, "short"), Some(1.0));
}

#[test]
fn a_jury_compares_and_counts_each_judge_once() {
    let config = pairwise(json!({"profile": null, "jury": ["a", "b", "c"]}));
    let replies = ["first", "second", "first", "first", "first", "second"].map(compared);
    let scores = judged(&config, &with_baseline(), &replies.each_ref().map(String::as_str)).expect("scored");
    let close = |output: &str, expected: f64| {
        let value = number(&scores, output).expect(output);
        assert!((value - expected).abs() < 1e-12, "{output}: {value}");
    };
    close("prefers_answer", 2.5 / 3.0);
    close("position_bias", 1.0 / 3.0);
    close("disagreement", 0.5);
    assert_eq!(score(&scores, "order_agreement").value, Value::Boolean(false));
}

#[test]
fn all_items_are_asked_in_one_call_and_what_is_nothing_for_the_rubric_is_not() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&asked);
    let judge = move |requests: &[Request]| -> Vec<Answer> {
        seen.borrow_mut().push(requests.to_vec());
        requests.iter().map(|_| Ok(Reply::new(reply(json!({}), 1), "t"))).collect()
    };
    let mut with_documents = item().with_id("i3");
    with_documents.documents =
        vec![Document { id: None, title: None, uri: None, content: "Open from 9.".into(), relevance: None }];
    let items = [with_documents.clone().with_id("i1"), item(), Interaction::new("q", " "), with_documents];
    let config = config(json!({"uses": ["documents"], "temperature": 0.0, "output_tokens_max": 500}));
    let answers = judge::answered_by(judge, || score_batch(&config, &items));
    let told = |index: usize| match &answers[index] {
        Err(PluginError::Unsupported(reason)) => reason.clone(),
        other => panic!("{other:?}"),
    };
    assert!(told(1).contains("uses documents"));
    assert!(told(2).contains("no answer text"));
    assert!(answers[0].is_ok() && answers[3].is_ok());
    let asked = asked.borrow();
    assert_eq!(asked.len(), 1);
    let requests = &asked[0];
    assert_eq!(
        requests.iter().map(|request| request.interaction_id.as_deref()).collect::<Vec<_>>(),
        [Some("i1"), Some("i3")]
    );
    assert_eq!((requests[0].temperature, requests[0].output_tokens_max), (Some(0.0), Some(500)));
    let schema: Json =
        serde_json::from_str(requests[0].schema_json.as_ref().expect("a schema")).expect("JSON");
    assert_eq!(schema["required"], json!(["right", "blunt"]));
    let right = &schema["properties"]["right"];
    assert_eq!(right["required"], json!(["reason", "quote", "cannot_tell", "points"]));
    assert_eq!(
        right["properties"]["points"],
        json!({"type": ["integer", "null"], "minimum": 0, "maximum": 3})
    );
    let system = requests[0].text_of(Role::System);
    assert!(system.contains("`right`: Is it right?") && system.contains("from 1 to 5"), "{system}");
}

#[test]
fn each_problem_of_a_configuration_has_its_pointer() {
    let criterion = |more: Json| {
        let mut criterion = json!({"name": "a", "question": "q?", "points": 2});
        for (key, value) in more.as_object().expect("an object") {
            criterion[key] = value.clone();
        }
        json!({"profile": "p", "criteria": [criterion]})
    };
    let cases = [
        (json!({"criteria": []}), "/profile"),
        (json!({"criteria": []}), "/criteria"),
        (json!({"jury": ["a"], "rubric": "helpfulness"}), "/jury"),
        (json!({"jury": ["a", "a"], "rubric": "helpfulness"}), "/jury/1"),
        (json!({"profile": "p", "jury": ["a", "b"], "rubric": "helpfulness"}), "/jury"),
        (json!({"profile": "p", "rubric": "niceness"}), "/rubric"),
        (
            json!({"profile": "p", "rubric": "helpfulness", "criteria": [{"name": "a", "question": "q"}]}),
            "/rubric",
        ),
        (json!({"profile": "p", "rubric": "helpfulness", "temperature": 3}), "/temperature"),
        (json!({"profile": "p", "rubric": "helpfulness", "baseline": "expected"}), "/baseline"),
        (json!({"profile": "p", "rubric": "factual-correctness", "mode": "pairwise"}), "/uses"),
        (criterion(json!({"name": "A b"})), "/criteria/0/name"),
        (criterion(json!({"name": "total"})), "/criteria/0/name"),
        (criterion(json!({"question": " "})), "/criteria/0/question"),
        (criterion(json!({"points": 0})), "/criteria/0/points"),
        (criterion(json!({"points": null})), "/criteria/0"),
        (criterion(json!({"scale": [1, 5]})), "/criteria/0"),
        (criterion(json!({"points": null, "scale": [5, 1]})), "/criteria/0/scale"),
        (criterion(json!({"weight": 0})), "/criteria/0/weight"),
        (criterion(json!({"anchors": {"3": "too good"}})), "/criteria/0/anchors/3"),
        (criterion(json!({"evidence": "maybe"})), "/criteria/0/evidence"),
    ];
    for (config, path) in cases {
        let problems = configure(&config.to_string()).expect_err(path);
        assert!(problems.iter().any(|problem| problem.path == path), "{config}: {problems:?}");
    }
}

#[test]
fn ready_made_rubrics_are_configured_by_name_and_as_files() {
    for (name, text) in READY_MADE {
        let by_name = configure(&json!({"profile": "p", "rubric": name}).to_string()).expect(name);
        let mut file: Json = toml::from_str(text).expect(name);
        file["profile"] = "p".into();
        assert_eq!(configure(&file.to_string()).expect(name), by_name, "{name}");
        for criterion in file["criteria"].as_array().expect("criteria") {
            let anchors = criterion["anchors"].as_object().expect("anchors");
            let ends = ["0".to_owned(), criterion["points"].to_string()];
            assert!(ends.iter().all(|end| anchors.contains_key(end)), "{name}: {criterion}");
            assert!(
                criterion["question"].as_str().is_some_and(|question| question.contains('?')),
                "{criterion}"
            );
        }
    }
    let outputs =
        configure(&json!({"profile": "p", "rubric": "character-consistency"}).to_string()).expect("valid");
    let total = outputs.iter().find(|output| output.name == "total").expect("a total");
    assert_eq!(total.kind, OutputKind::Number(Range { low: 0.0, high: 12.0 }));
    assert!(!describe().deterministic);
}

#[test]
fn a_team_s_instructions_stand_behind_those_of_a_ready_made_rubric() {
    let seen = Rc::new(RefCell::new(String::new()));
    let system = Rc::clone(&seen);
    let judge = move |requests: &[Request]| -> Vec<Answer> {
        *system.borrow_mut() = requests[0].text_of(Role::System);
        requests.iter().map(|_| Err(PluginError::HostUnavailable("down".into()))).collect()
    };
    let config = json!({"profile": "p", "rubric": "brand-tone", "instructions": "Say \"du\"."}).to_string();
    let answers = judge::answered_by(judge, || score_batch(&config, &[item()]));
    assert_eq!(answers, [Err(PluginError::HostUnavailable("down".into()))]);
    let system = seen.borrow();
    let at = |part: &str| system.find(part).expect(part);
    assert!(at("Where a tone is described here") < at("Say \"du\"."));
}
