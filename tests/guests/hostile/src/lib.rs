//! Misbehaves on the items whose query is the configured one, and answers
//! `true` for the others. So it does on sessions that hold such an item. It
//! uses no SDK, because the SDK cannot do this.

use assay::plugin::types::{Interaction, PluginError, Score, Session, Signal, Value};
use exports::assay::plugin::{extraction, lifecycle, scoring};
use serde::Deserialize;

wit_bindgen::generate!({
    path: "../../../wit/v0.1.0",
    inline: "
        package assay:hostile;

        world hostile {
            include assay:plugin/scorer@0.1.0;
            include assay:plugin/extractor@0.1.0;
        }
    ",
    world: "assay:hostile/hostile",
    generate_all,
});

#[derive(Deserialize)]
#[serde(default)]
struct Config {
    /// What to do; see `misbehave`.
    how: String,
    /// On which query; on each where it is missing.
    on: Option<String>,
    /// Work for each well-behaved item, in rounds of a small loop.
    rounds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { how: "no".into(), on: None, rounds: 0 }
    }
}

struct Hostile;

fn score(value: Value) -> Result<Vec<Score>, PluginError> {
    Ok(vec![Score { output: "fine".into(), value, reason: None, evidence: Vec::new(), extra_json: None }])
}

fn misbehave(how: &str) -> Result<Vec<Score>, PluginError> {
    match how {
        "loop" => loop {
            std::hint::black_box(());
        },
        "allocate" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "recurse" => {
            #[expect(unconditional_recursion, reason = "that is the point")]
            fn down(depth: u64) -> u64 {
                let room = std::hint::black_box([depth; 64]);
                down(depth + 1) + room[3]
            }
            score(Value::Number(down(0) as f64))
        }
        "panic" => panic!("the item is poison"),
        "nan" => score(Value::Number(f64::NAN)),
        "huge" => score(Value::Category("x".repeat(128 << 20))),
        "undeclared" => Ok(vec![Score {
            output: "surprise".into(),
            value: Value::Boolean(true),
            reason: None,
            evidence: Vec::new(),
            extra_json: None,
        }]),
        "log" => {
            for line in 0..1_000_000 {
                assay::plugin::log::write(assay::plugin::log::Level::Info, &format!("line {line}"));
            }
            score(Value::Boolean(true))
        }
        "error" => Err(PluginError::Internal("a fault of my own".into())),
        "skip" => Err(PluginError::Unsupported("not my kind of item".into())),
        _ => score(Value::Boolean(true)),
    }
}

impl lifecycle::Guest for Hostile {
    fn describe() -> lifecycle::Descriptor {
        std::panic::set_hook(Box::new(|_| {}));
        lifecycle::Descriptor {
            name: "hostile".into(),
            version: "0.1.0".into(),
            title: "Misbehaves as its configuration says".into(),
            deterministic: true,
            config_schema_json: r#"{"type":"object"}"#.into(),
            batch_max: 512,
        }
    }

    fn configure(_config: String) -> Result<Vec<lifecycle::Output>, Vec<lifecycle::Problem>> {
        let output = |name: &str, capability| lifecycle::Output {
            name: name.into(),
            capability,
            kind: lifecycle::OutputKind::Boolean,
            direction: lifecycle::Direction::HigherIsBetter,
            description: None,
        };
        Ok(vec![
            output("fine", lifecycle::Capability::Score),
            output("fine-too", lifecycle::Capability::Signal),
        ])
    }
}

impl Config {
    fn read(config: &str) -> Self {
        std::panic::set_hook(Box::new(|panic| {
            assay::plugin::log::write(assay::plugin::log::Level::Error, &panic.to_string());
        }));
        serde_json::from_str(config).expect("a configuration of mine")
    }

    fn is_poison(&self, item: &Interaction) -> bool {
        self.on.as_ref().is_none_or(|on| *on == item.query)
    }
}

impl scoring::Guest for Hostile {
    fn score_batch(config: String, items: Vec<Interaction>) -> Vec<Result<Vec<Score>, PluginError>> {
        let config = Config::read(&config);
        let mut answers = Vec::new();
        for item in items {
            if config.is_poison(&item) {
                if config.how == "wrong-length" {
                    continue;
                }
                answers.push(misbehave(&config.how));
                continue;
            }
            for round in 0..config.rounds {
                std::hint::black_box(round);
            }
            answers.push(score(Value::Boolean(true)));
        }
        answers
    }
}

fn signal(output: &str, interaction_id: Option<&str>, value: Value) -> Signal {
    Signal {
        output: output.into(),
        interaction_id: interaction_id.map(Into::into),
        value,
        reason: None,
        extra_json: None,
    }
}

impl extraction::Guest for Hostile {
    fn extract_batch(config: String, sessions: Vec<Session>) -> Vec<Result<Vec<Signal>, PluginError>> {
        let config = Config::read(&config);
        let mut answers = Vec::new();
        for session in sessions {
            let poison = session.interactions.iter().any(|item| config.is_poison(item));
            answers.push(match config.how.as_str() {
                _ if !poison => Ok(session
                    .interactions
                    .iter()
                    .map(|item| signal("fine-too", Some(&item.id), Value::Boolean(true)))
                    .collect()),
                "wrong-length" => continue,
                "foreign" => Ok(vec![signal("fine-too", Some("of another session"), Value::Boolean(true))]),
                "twice" => Ok(vec![signal("fine-too", None, Value::Boolean(true)); 2]),
                how => misbehave(how).map(|scores| {
                    scores
                        .into_iter()
                        .map(|score| signal(&format!("{}-too", score.output), None, score.value))
                        .collect()
                }),
            });
        }
        answers
    }
}

export!(Hostile);
