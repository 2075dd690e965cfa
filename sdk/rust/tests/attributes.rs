//! What each attribute makes of a function.

use assay_plugin::prelude::*;

mod graded {
    use assay_plugin::prelude::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// The best length
        pub length: usize,
    }

    /// How near the answer's length is.
    ///
    /// This paragraph is for readers of the code.
    #[scorer(name = "near-length", batch_max = 7, deterministic = false, direction = "neutral", range = (0.0, 10.0))]
    pub fn graded(config: &Config, item: &Interaction) -> Result<f64, PluginError> {
        if item.actual.is_empty() {
            return Err(PluginError::unsupported("no answer"));
        }
        Ok((10.0 - item.actual.len().abs_diff(config.length) as f64).max(0.0))
    }
}

mod prepared {
    use assay_plugin::prelude::*;

    #[derive(Deserialize, JsonSchema)]
    pub struct Config {
        words: Vec<String>,
    }

    pub struct Words(Vec<String>);

    fn lower_case(config: Config) -> Result<Words, Vec<Problem>> {
        match config.words.iter().position(String::is_empty) {
            Some(index) => Err(vec![Problem { path: format!("/words/{index}"), message: "empty".into() }]),
            None => Ok(Words(config.words.iter().map(|word| word.to_lowercase()).collect())),
        }
    }

    fn outputs(words: &Words) -> Vec<Output> {
        words
            .0
            .iter()
            .map(|word| Output {
                name: word.clone(),
                capability: Capability::Score,
                kind: OutputKind::Boolean,
                direction: Direction::HigherIsBetter,
                description: None,
            })
            .collect()
    }

    /// Which words the answer has
    #[scorer(prepare = lower_case, outputs = outputs)]
    pub fn has_words(words: &Words, item: &Interaction) -> Vec<Score> {
        words.0.iter().map(|word| Score::new(word, item.actual.contains(word))).collect()
    }
}

mod modes {
    use assay_plugin::prelude::*;

    #[derive(Deserialize, JsonSchema)]
    pub struct Config {}

    /// Finds refusals
    #[classifier(modes = ["refusal", "empty"])]
    pub fn refusals(_config: &Config, item: &Interaction) -> Option<Label> {
        item.actual.starts_with("I cannot").then(|| Label::new("refusal", 0.9))
    }
}

mod judged {
    use std::cell::RefCell;
    use std::rc::Rc;

    use assay_plugin::judge::{Answer, Reply, Request};
    use assay_plugin::prelude::*;
    use assay_plugin::{Message, Role};

    #[derive(Deserialize, JsonSchema)]
    pub struct Config {
        profile: String,
    }

    /// What a judge says of politeness
    #[scorer(batch, judging, range = (0.0, 10.0))]
    pub fn politeness(config: &Config, items: &[Interaction]) -> Vec<Result<f64, PluginError>> {
        let requests: Vec<_> = items
            .iter()
            .map(|item| {
                let shown = judge::material(item, &[], &[("answer", &item.actual)]);
                let messages =
                    [Message::new(Role::System, "0 to 10, how polite?"), Message::new(Role::User, shown)];
                Request::new(&config.profile, messages).about(&item.id)
            })
            .collect();
        let points = |reply: Reply| {
            reply.text.parse().map_err(|_| PluginError::Internal(format!("`{}` is no number", reply.text)))
        };
        judge::complete(&requests).into_iter().map(|answer| answer.and_then(points)).collect()
    }

    fn items() -> [Interaction; 3] {
        ["a", "b", "c"].map(|id| Interaction::new("q", format!("answer {id}")).with_id(id))
    }

    #[test]
    fn a_batch_is_asked_in_one_call_and_each_item_has_its_answer() {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&asked);
        let judge = move |requests: &[Request]| -> Vec<Answer> {
            seen.borrow_mut().push(requests.to_vec());
            vec![
                Ok(Reply::new("7", "t1")),
                Err(PluginError::BudgetExhausted("no money".into())),
                Ok(Reply::new("many", "t3")),
            ]
        };
        let config = r#"{"profile":"strict"}"#;
        let answers = judge::answered_by(judge, || plugin::score_batch(config, &items()));
        assert_eq!(answers[0], Ok(vec![Score::new("politeness", 7.0)]));
        assert_eq!(answers[1], Err(PluginError::BudgetExhausted("no money".into())));
        assert_eq!(answers[2], Err(PluginError::Internal("`many` is no number".into())));
        let asked = asked.borrow();
        assert_eq!(asked.len(), 1);
        let requests = &asked[0];
        assert_eq!(requests[1].interaction_id.as_deref(), Some("b"));
        assert_eq!(requests[2].profile, "strict");
        assert_eq!(requests[0].text_of(Role::System), "0 to 10, how polite?");
        assert!(requests[0].text_of(Role::User).contains("answer a"));
    }

    #[test]
    fn nobody_answers_once_the_test_s_judge_is_gone() {
        let judge = |requests: &[Request]| requests.iter().map(|_| Ok(Reply::new("1", "t"))).collect();
        assert_eq!(judge::answered_by(judge, || judge::complete(&[Request::new("p", [])])).len(), 1);
        let answers = judge::complete(&[Request::new("p", []), Request::new("p", [])]);
        assert_eq!(answers.len(), 2);
        assert!(answers.iter().all(|answer| matches!(answer, Err(PluginError::HostDenied(_)))));
    }

    #[test]
    fn a_judge_that_answers_too_little_answered_nothing() {
        let answers = judge::answered_by(
            |_: &[Request]| vec![Ok(Reply::new("1", "t"))],
            || judge::complete(&[Request::new("p", []), Request::new("p", [])]),
        );
        assert!(answers.iter().all(|answer| matches!(answer, Err(PluginError::HostUnavailable(_)))));
    }

    #[test]
    fn what_asks_a_judge_is_not_deterministic() {
        assert!(!plugin::describe().deterministic);
        let outputs = plugin::configure(r#"{"profile":"p"}"#).expect("valid");
        assert_eq!(outputs[0].kind, OutputKind::Number(Range { low: 0.0, high: 10.0 }));
    }
}

mod whole_batches {
    use assay_plugin::prelude::*;

    #[derive(Deserialize, JsonSchema)]
    pub struct Config {
        answers: usize,
    }

    /// Answers of some items
    #[classifier(batch, modes = ["late"])]
    pub fn late(config: &Config, items: &[Interaction]) -> Vec<Result<Vec<Label>, PluginError>> {
        items
            .iter()
            .take(config.answers)
            .map(|item| Ok(vec![Label::new("late", 1.0).because(&item.id)]))
            .collect()
    }

    #[test]
    fn a_batch_of_too_few_answers_fails_whole() {
        let items = [Interaction::new("q", "a").with_id("1"), Interaction::new("q", "b").with_id("2")];
        let answers = plugin::classify_batch(r#"{"answers":2}"#, &items);
        assert_eq!(answers[1], Ok(vec![Label::new("late", 1.0).because("2")]));
        let answers = plugin::classify_batch(r#"{"answers":1}"#, &items);
        assert_eq!(answers, vec![Err(PluginError::Internal("2 items had 1 answers".into())); 2]);
        assert!(plugin::describe().deterministic);
    }
}

mod longest_visit {
    use assay_plugin::prelude::*;

    #[derive(Deserialize, JsonSchema)]
    pub struct Config {}

    /// Whether a visit is the longest of its batch
    #[extractor(batch)]
    pub fn longest_visit(_config: &Config, sessions: &[Session]) -> Vec<bool> {
        let longest = sessions.iter().map(|session| session.interactions.len()).max();
        sessions.iter().map(|session| Some(session.interactions.len()) == longest).collect()
    }

    #[test]
    fn an_extractor_of_batches_declares_the_output_of_its_type() {
        assert_eq!(plugin::configure("{}").expect("valid")[0].kind, OutputKind::Boolean);
        let sessions = [Session::new([]), Session::new([Interaction::new("q", "a")])];
        let signals = plugin::extract_batch("{}", &sessions);
        assert_eq!(signals[1], Ok(vec![Signal::new("longest-visit", true)]));
    }
}

mod visits {
    use assay_plugin::prelude::*;

    #[derive(Deserialize, JsonSchema)]
    pub struct Config {}

    /// Interactions of a visit
    #[extractor(range = (0.0, 1000.0))]
    pub fn visit_length(_config: &Config, session: &Session) -> f64 {
        session.interactions.len() as f64
    }
}

mod visit {
    use assay_plugin::prelude::*;

    #[derive(Deserialize, JsonSchema)]
    pub struct Config {
        questions_max: f64,
    }

    /// Whether the user copied each answer, and how many questions the visit had
    #[extractor(outputs = outputs)]
    pub fn visit(config: &Config, session: &Session) -> Vec<Signal> {
        let copied = |item: &Interaction| {
            session
                .events
                .iter()
                .any(|event| event.kind == "copied" && event.interaction_id.as_ref() == Some(&item.id))
        };
        let mut signals: Vec<_> = session
            .interactions
            .iter()
            .map(|item| Signal::new("copied", copied(item)).about(&item.id))
            .collect();
        let questions = (session.interactions.len() as f64).min(config.questions_max);
        signals.push(Signal::new("questions", questions).because("counted"));
        signals
    }

    fn outputs(config: &Config) -> Vec<Output> {
        let output = |name: &str, kind| Output {
            name: name.into(),
            capability: Capability::Signal,
            kind,
            direction: Direction::Neutral,
            description: None,
        };
        let count = OutputKind::Number(Range { low: 0.0, high: config.questions_max });
        vec![output("copied", OutputKind::Boolean), output("questions", count)]
    }
}

#[test]
fn an_extractor_gives_several_outputs_about_interactions_and_the_session() {
    let config = r#"{"questions_max":9.0}"#;
    let outputs = visit::plugin::configure(config).expect("valid");
    assert_eq!(
        outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(),
        ["copied", "questions"]
    );
    assert_eq!(outputs[1].kind, OutputKind::Number(Range { low: 0.0, high: 9.0 }));
    let session = Session::new(["a", "b"].map(|id| Interaction::new("q", "a").with_id(id).at(5, 2)))
        .with_events([Event::new("copied", 9).about("b").with_value("1")]);
    assert_eq!(session.interactions[0].timing.started_at_us, Some(5));
    let signals = visit::plugin::extract_batch(config, &[session]);
    assert_eq!(
        signals[0].as_ref().expect("extracted"),
        &[
            Signal::new("copied", false).about("a"),
            Signal::new("copied", true).about("b"),
            Signal::new("questions", 2.0).because("counted"),
        ]
    );
}

#[test]
fn the_descriptor_comes_from_the_function_and_the_options_stand_over_it() {
    let about = graded::plugin::describe();
    assert_eq!(
        (about.name.as_str(), about.title.as_str()),
        ("near-length", "How near the answer's length is")
    );
    assert_eq!((about.batch_max, about.deterministic), (7, false));
    let schema: serde_json::Value = serde_json::from_str(&about.config_schema_json).expect("JSON");
    assert_eq!(schema["properties"]["length"]["description"], "The best length");
    let outputs = graded::plugin::configure(r#"{"length":3}"#).expect("valid");
    assert_eq!(outputs[0].kind, OutputKind::Number(Range { low: 0.0, high: 10.0 }));
    assert_eq!(outputs[0].direction, Direction::Neutral);
    assert_eq!(prepared::plugin::describe().name, "has-words");
}

#[test]
fn each_item_answers_on_its_own_and_a_bad_configuration_fails_all() {
    let items = [Interaction::new("q", "abcd"), Interaction::new("q", "")];
    let answers = graded::plugin::score_batch(r#"{"length":3}"#, &items);
    assert_eq!(answers[0].as_ref().expect("scored")[0].value, Value::Number(9.0));
    assert_eq!(answers[1], Err(PluginError::Unsupported("no answer".into())));
    let answers = graded::plugin::score_batch(r#"{"lenght":3}"#, &items);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Err(PluginError::BadConfig(text)) if text.contains("lenght")))
    );
}

#[test]
fn prepared_state_refuses_and_declares() {
    let problems = prepared::plugin::configure(r#"{"words":["a",""]}"#).expect_err("an empty word");
    assert_eq!(problems[0].path, "/words/1");
    let problems = prepared::plugin::configure(r#"{"words":["a",5]}"#).expect_err("a number");
    assert_eq!(problems[0].path, "/words/1");
    let outputs = prepared::plugin::configure(r#"{"words":["Yes","no"]}"#).expect("valid");
    assert_eq!(outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["yes", "no"]);
    let answers =
        prepared::plugin::score_batch(r#"{"words":["yes","no"]}"#, &[Interaction::new("q", "yes!")]);
    let values: Vec<_> =
        answers[0].as_ref().expect("scored").iter().map(|score| score.value.clone()).collect();
    assert_eq!(values, [Value::Boolean(true), Value::Boolean(false)]);
}

#[test]
fn a_classifier_declares_its_modes_and_an_extractor_sees_a_session() {
    let outputs = modes::plugin::configure("{}").expect("valid");
    assert_eq!(outputs[0].kind, OutputKind::Category(vec!["refusal".into(), "empty".into()]));
    let items = [Interaction::new("q", "I cannot do that"), Interaction::new("q", "Sure")];
    let labels = modes::plugin::classify_batch("{}", &items);
    assert_eq!(labels[0].as_ref().expect("labelled")[0].failure_mode, "refusal");
    assert_eq!(labels[1].as_ref().map(Vec::len), Ok(0));
    let session = Session::new([Interaction::new("q", "a"), Interaction::new("r", "b")]);
    let signals = visits::plugin::extract_batch("{}", &[session]);
    assert_eq!(signals[0].as_ref().expect("extracted")[0].value, Value::Number(2.0));
}
