//! What sessions make of the signals.

use assay_plugin::prelude::*;
use assay_plugin_behaviour::plugin::{configure, extract_batch};

/// An answer of a second, `start` seconds into the session.
fn asked(id: &str, start: i64, query: &str) -> Interaction {
    Interaction::new(query, "an answer").with_id(id).at(start * 1_000_000, 1_000_000)
}

fn event(kind: &str, at: i64) -> Event {
    Event::new(kind, at * 1_000_000)
}

fn signals(config: &str, session: Session) -> Vec<Signal> {
    let answers = extract_batch(config, &[session]);
    answers.into_iter().next().expect("one answer").expect("a valid configuration")
}

/// The value of an output for an interaction; none where it is not given.
fn value(signals: &[Signal], output: &str, interaction: Option<&str>) -> Option<Value> {
    let mut found = signals
        .iter()
        .filter(|signal| signal.output == output && signal.interaction_id.as_deref() == interaction);
    let value = found.next().map(|signal| signal.value.clone());
    assert!(found.next().is_none(), "`{output}` is given twice for {interaction:?}");
    value
}

fn yes(signals: &[Signal], output: &str, interaction: &str) -> Option<bool> {
    value(signals, output, Some(interaction)).map(|value| match value {
        Value::Boolean(yes) => yes,
        other => panic!("{output}: {other:?}"),
    })
}

fn number(signals: &[Signal], output: &str, interaction: &str) -> Option<f64> {
    value(signals, output, Some(interaction)).map(|value| match value {
        Value::Number(number) => number,
        other => panic!("{output}: {other:?}"),
    })
}

#[test]
fn another_wording_is_a_rephrase_and_the_same_words_are_a_retry() {
    let session = Session::new([
        asked("a", 0, "How do I reset my password?"),
        asked("b", 10, "how do I reset my pasword"),
        asked("c", 20, " How do I reset my  PASWORD?"),
        asked("d", 30, "Do you ship to Norway?"),
    ]);
    let signals = signals("{}", session);
    let told = |output| ["a", "b", "c", "d"].map(|id| yes(&signals, output, id).expect("it is known"));
    assert_eq!(told("rephrase"), [true, false, false, false]);
    assert_eq!(told("retry"), [false, true, false, false]);
    assert_eq!(told("dissatisfied"), [true, true, false, false]);
    assert_eq!(number(&signals, "rephrase_similarity", "b"), Some(1.0));
    assert!(number(&signals, "rephrase_similarity", "c").is_some_and(|similarity| similarity < 0.3));
    assert_eq!(number(&signals, "rephrase_similarity", "d"), None, "nothing was asked after it");
    let reasons: Vec<_> = signals
        .iter()
        .filter(|signal| signal.output == "dissatisfied")
        .map(|signal| signal.reason.as_deref())
        .collect();
    assert_eq!(reasons, [Some("rephrase"), Some("retry"), None, None]);
}

#[test]
fn the_threshold_is_the_users() {
    let session =
        || Session::new([asked("a", 0, "refund status"), asked("b", 9, "What is the status of my refund?")]);
    assert_eq!(yes(&signals("{}", session()), "rephrase", "a"), Some(true));
    let strict = signals(r#"{"rephrase":{"similarity_min":0.95}}"#, session());
    assert_eq!(yes(&strict, "rephrase", "a"), Some(false));
}

#[test]
fn another_picture_is_another_question_whatever_the_words() {
    let picture = |id: &str, start, uri: &str| {
        let mut asked = asked(id, start, "What is this?");
        let media = assay_plugin::Media { uri: uri.into(), media_type: None, name: None };
        asked.query_media.push(assay_plugin::Part::Image(media));
        asked
    };
    let session = Session::new([picture("a", 0, "x:1"), picture("b", 9, "x:2"), picture("c", 19, "x:2")]);
    let signals = signals("{}", session);
    assert_eq!(["a", "b"].map(|id| yes(&signals, "retry", id)), [Some(false), Some(true)]);
    assert_eq!(yes(&signals, "rephrase", "a"), Some(false));
    assert_eq!(number(&signals, "rephrase_similarity", "a"), None);
}

#[test]
fn queries_that_were_not_recorded_say_nothing() {
    let session = || Session::new([asked("a", 0, ""), asked("b", 10, ""), asked("c", 20, "something")]);
    let silent = signals("{}", session());
    for output in ["rephrase", "retry", "dissatisfied"] {
        assert_eq!(["a", "b"].map(|id| yes(&silent, output, id)), [None, None], "{output}");
        assert_eq!(yes(&silent, output, "c"), Some(false), "nothing followed: {output}");
    }
    assert_eq!(number(&silent, "time_to_next_message_s", "a"), Some(9.0), "instants are known");
    let reported = session().with_events([event("reported", 5), event("retried", 15)]);
    let told = signals("{}", reported);
    assert_eq!(["a", "b"].map(|id| yes(&told, "dissatisfied", id)), [Some(true), Some(true)]);
    assert_eq!(yes(&told, "retry", "b"), Some(true));
}

#[test]
fn a_copy_is_a_good_sign_and_a_better_one_when_nothing_is_asked_after_it() {
    let session = Session::new([asked("a", 0, "one"), asked("b", 10, "two"), asked("c", 20, "three")])
        .with_events([event("copied", 5), event("copied", 25).about("b"), event("copied", 26)]);
    let signals = signals("{}", session);
    let told = |output| ["a", "b", "c"].map(|id| yes(&signals, output, id).expect("it is known"));
    assert_eq!(told("copy"), [true, true, true]);
    assert_eq!(told("copy_then_leave"), [false, true, true]);
    assert_eq!(told("dissatisfied"), [false, false, false]);
}

#[test]
fn the_last_rating_counts_unless_it_is_taken_back() {
    let rated = |at, json: &str| event("rated", at).with_value(json);
    let session = Session::new([asked("a", 0, "one"), asked("b", 10, "two"), asked("c", 20, "three")])
        .with_events([
            rated(3, "\"up\""),
            rated(4, "false"),
            rated(13, "1"),
            rated(14, "null"),
            rated(23, "\"meh\""),
        ]);
    let signals = signals("{}", session);
    assert_eq!(["a", "b", "c"].map(|id| number(&signals, "thumbs", id)), [Some(-1.0), None, None]);
    assert_eq!(yes(&signals, "dissatisfied", "a"), Some(true));
    let stars = Session::new([asked("a", 0, "one")]).with_events([rated(3, "2")]);
    let signals = self::signals(r#"{"rating":{"worst":1,"best":5}}"#, stars);
    assert_eq!(number(&signals, "thumbs", "a"), Some(-0.5));
}

#[test]
fn events_before_any_answer_belong_to_the_session_and_foreign_ones_to_nobody() {
    let session = Session::new([asked("a", 10, "one"), asked("b", 20, "two")]).with_events([
        event("reported", 2),
        event("rated", 3).with_value("-1"),
        event("copied", 12).about("of yesterday"),
        event("scrolled", 13),
    ]);
    let signals = signals("{}", session);
    assert_eq!(value(&signals, "report", None), Some(Value::Boolean(true)));
    assert_eq!(value(&signals, "thumbs", None), Some(Value::Number(-1.0)));
    assert_eq!(signals.iter().filter(|signal| signal.interaction_id.is_none()).count(), 2);
    assert_eq!(["a", "b"].map(|id| yes(&signals, "copy", id)), [Some(false), Some(false)]);
    assert_eq!(["a", "b"].map(|id| yes(&signals, "report", id)), [Some(false), Some(false)]);
}

#[test]
fn giving_up_is_an_event_and_guesses_only_where_they_are_asked_for() {
    let cut = || {
        let mut last = asked("b", 10, "two");
        last.finish_reason = Some("length".into());
        Session::new([asked("a", 0, "one"), last])
    };
    let empty = || {
        let mut last = asked("b", 10, "two");
        last.actual = " ".into();
        Session::new([asked("a", 0, "one"), last])
    };
    let abandon = |config, session| yes(&signals(config, session), "abandon", "b").expect("it is known");
    let bad_answer = r#"{"abandon":{"after_bad_answer":true}}"#;
    for session in [cut, empty] {
        assert!(!abandon("{}", session()), "a guess is not made unasked");
        assert!(abandon(bad_answer, session()));
        assert_eq!(yes(&signals(bad_answer, session()), "abandon", "a"), Some(false));
    }
    assert!(!abandon(bad_answer, Session::new([asked("a", 0, "one"), asked("b", 10, "two")])));

    let leaving =
        |events: Vec<Event>| Session::new([asked("a", 0, "one"), asked("b", 10, "two")]).with_events(events);
    let soon = r#"{"abandon":{"left_within_s":5}}"#;
    assert!(abandon("{}", leaving(vec![event("abandoned", 10)])), "while it was awaited");
    assert!(abandon(soon, leaving(vec![event("left", 15)])));
    assert!(!abandon("{}", leaving(vec![event("left", 15)])));
    assert!(!abandon(soon, leaving(vec![event("left", 17)])), "six seconds after its end");
    assert!(!abandon(soon, leaving(vec![])), "nobody said when the user left");
    assert!(!abandon(soon, leaving(vec![event("copied", 12), event("left", 15)])));
    let liked = vec![event("rated", 12).with_value("true"), event("left", 15)];
    assert!(!abandon(soon, leaving(liked)));
}

#[test]
fn the_pause_is_missing_where_it_is_not_known_or_says_nothing() {
    let mut untimed = asked("c", 30, "three");
    untimed.timing.started_at_us = None;
    let session = Session::new([
        asked("a", 0, "one"),
        asked("b", 4, "two"),
        untimed,
        asked("d", 40, "four"),
        asked("e", 40, "asked before the answer was there"),
        asked("f", 40 + 8 * 86_400, "eight days later"),
    ]);
    let signals = signals("{}", session);
    let pauses = ["a", "b", "c", "d", "e", "f"].map(|id| number(&signals, "time_to_next_message_s", id));
    assert_eq!(pauses, [Some(3.0), None, None, None, None, None]);
}

#[test]
fn what_the_client_does_not_report_is_not_given() {
    let names = |config| -> Vec<String> {
        configure(config).expect("valid").into_iter().map(|output| output.name).collect()
    };
    assert_eq!(
        names("{}"),
        [
            "rephrase",
            "rephrase_similarity",
            "retry",
            "copy",
            "copy_then_leave",
            "report",
            "abandon",
            "thumbs",
            "time_to_next_message_s",
            "dissatisfied"
        ]
    );
    let silent = ["rephrase", "rephrase_similarity", "retry", "time_to_next_message_s", "dissatisfied"];
    assert_eq!(names(r#"{"client_reports":[]}"#), silent);
    assert!(
        names(r#"{"client_reports":[],"abandon":{"after_bad_answer":true}}"#).contains(&"abandon".into())
    );
    let session =
        Session::new([asked("a", 0, "one")]).with_events([event("copied", 5), event("reported", 6)]);
    let signals = signals(r#"{"client_reports":["rated"]}"#, session);
    for output in ["copy", "copy_then_leave", "report", "abandon"] {
        assert_eq!(yes(&signals, output, "a"), None, "{output}");
    }
    assert_eq!(yes(&signals, "dissatisfied", "a"), Some(false));
}

#[test]
fn every_signal_fits_a_declared_output() {
    let outputs = configure("{}").expect("valid");
    let session = Session::new([asked("a", 0, "one two three"), asked("b", 9, "three two one")])
        .with_events([event("rated", 5).with_value("true"), event("copied", 6)]);
    for signal in signals("{}", session) {
        let declared = outputs.iter().find(|output| output.name == signal.output).expect("declared");
        let fits = match (&declared.kind, &signal.value) {
            (OutputKind::Number(range), Value::Number(number)) => (range.low..=range.high).contains(number),
            (OutputKind::Boolean, Value::Boolean(_)) => true,
            _ => false,
        };
        assert!(fits, "{signal:?}");
    }
    assert_eq!(signals("{}", Session::new([])), []);
}

#[test]
fn dissatisfied_counts_what_the_configuration_names() {
    let session =
        || Session::new([asked("a", 0, "one"), asked("b", 9, "one")]).with_events([event("reported", 5)]);
    let reason = |config| {
        let signals = signals(config, session());
        signals.into_iter().find(|signal| signal.output == "dissatisfied").and_then(|signal| signal.reason)
    };
    assert_eq!(reason("{}").as_deref(), Some("retry, report"));
    assert_eq!(reason(r#"{"dissatisfied":["report"]}"#).as_deref(), Some("report"));
    assert_eq!(reason(r#"{"dissatisfied":["thumbs_down"]}"#), None);
}

#[test]
fn each_problem_of_a_configuration_has_its_pointer() {
    let cases = [
        (r#"{"rephrase":{"similarity_min":0}}"#, "/rephrase/similarity_min"),
        (r#"{"rephrase":{"similarity_min":1.5}}"#, "/rephrase/similarity_min"),
        (r#"{"rating":{"worst":1,"best":1}}"#, "/rating"),
        (r#"{"abandon":{"left_within_s":-1}}"#, "/abandon/left_within_s"),
        (r#"{"dissatisfied":[]}"#, "/dissatisfied"),
        (r#"{"client_reports":["rated"],"dissatisfied":["report"]}"#, "/dissatisfied"),
        (r#"{"client_reports":["sneezed"]}"#, "/client_reports/0"),
        (r#"{"rephrase":{"similarity":1}}"#, "/rephrase/similarity"),
    ];
    for (config, path) in cases {
        let problems = configure(config).expect_err(config);
        assert_eq!(problems[0].path, path, "{config}: {problems:?}");
    }
}
