//! Misbehaves on the items whose query is the configured one, and answers
//! `true` for the others. So it does on sessions that hold such an item. It
//! uses no SDK, because the SDK cannot do this.

use assay::plugin::types::{Interaction, PluginError, Score, Session, Signal, Value};
use exports::assay::plugin::{extraction, lifecycle, scoring};
use exports::local::hostile::hoard;
use serde::Deserialize;

wit_bindgen::generate!({
    path: "../../../wit/v0.1.0",
    inline: "
        package local:hostile;

        // A resource of its own, to hoard handles of.
        interface hoard {
            resource thing;
        }

        world hostile {
            include assay:plugin/scorer@0.1.0;
            include assay:plugin/extractor@0.1.0;
            export hoard;
        }
    ",
    world: "local:hostile/hostile",
    generate_all,
});

/// What `describe` and `configure` lie about; see `lie`. They take no
/// configuration, so tests write another word over this one in the component.
static LIE: [u8; 48] = *b"assay-hostile-lies-about:nothing                ";

/// The word after the colon.
fn lie() -> String {
    // Volatile, or the compiler would know the word that stands here.
    // SAFETY: it is a reference to a static.
    let bytes = unsafe { std::ptr::read_volatile(&LIE) };
    let text = String::from_utf8_lossy(&bytes);
    text.split_once(':').map_or("", |(_, word)| word).trim_end().to_owned()
}

#[derive(Deserialize)]
#[serde(default)]
struct Config {
    /// What to do; see `misbehave`.
    how: String,
    /// On which query; on each where it is missing.
    on: Option<String>,
    /// Work for each well-behaved item, in rounds of a small loop.
    rounds: u64,
    /// The output is a number in [0, 1] instead of yes or no.
    number: bool,
    /// Outputs that are declared and never given.
    more: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { how: "no".into(), on: None, rounds: 0, number: false, more: 0 }
    }
}

struct Hostile;
struct Thing;

impl hoard::Guest for Hostile {
    type Thing = Thing;
}

impl hoard::GuestThing for Thing {}

fn plain(value: Value) -> Score {
    Score { output: "fine".into(), value, reason: None, evidence: Vec::new(), extra_json: None }
}

fn score(value: Value) -> Result<Vec<Score>, PluginError> {
    Ok(vec![plain(value)])
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
        "fill" => {
            let mut room = vec![0_u8; 100 << 20];
            for byte in 0_u8.. {
                std::hint::black_box(&mut room).fill(byte);
            }
            score(Value::Boolean(true))
        }
        "recurse" => {
            #[expect(unconditional_recursion, reason = "that is the point")]
            fn down(depth: u64) -> u64 {
                let room = std::hint::black_box([depth; 64]);
                down(depth + 1) + room[3]
            }
            score(Value::Number(down(0) as f64))
        }
        "leak" => loop {
            std::mem::forget(hoard::Thing::new(Thing));
        },
        "panic" => panic!("the item is poison"),
        "nan" => score(Value::Number(f64::NAN)),
        "out-of-range" => score(Value::Number(1.5)),
        "infinite" => score(Value::Number(f64::INFINITY)),
        "category" => score(Value::Category("surprise".into())),
        "huge" => score(Value::Category("x".repeat(128 << 20))),
        // As much as is let through, to see what it costs the host.
        "large" => score(Value::Category("x".repeat(30 << 20))),
        "twice" => Ok(vec![plain(Value::Boolean(true)), plain(Value::Boolean(false))]),
        "nothing" => Ok(Vec::new()),
        "no-json" => Ok(vec![Score { extra_json: Some("{".into()), ..plain(Value::Boolean(true)) }]),
        "long-reason" => Ok(vec![Score { reason: Some("x".repeat(1 << 20)), ..plain(Value::Boolean(true)) }]),
        "undeclared" => Ok(vec![Score { output: "surprise".into(), ..plain(Value::Boolean(true)) }]),
        "log" => {
            for line in 0..100_000 {
                assay::plugin::log::write(assay::plugin::log::Level::Info, &format!("line {line}"));
            }
            score(Value::Boolean(true))
        }
        "long-line" => {
            assay::plugin::log::write(assay::plugin::log::Level::Info, &"x".repeat(128 << 20));
            score(Value::Boolean(true))
        }
        "error" => Err(PluginError::Internal("a fault of my own".into())),
        "skip" => Err(PluginError::Unsupported("not my kind of item".into())),
        _ => score(Value::Boolean(true)),
    }
}

/// A schema of a few kilobytes that takes 2^60 steps to validate against.
fn schema_bomb() -> String {
    let levels: Vec<_> = (0..60)
        .map(|level| {
            let next = level + 1;
            format!(r##""d{level}":{{"allOf":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}}"##)
        })
        .collect();
    format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d60":{{"type":"object"}}}}}}"##, levels.join(","))
}

impl lifecycle::Guest for Hostile {
    fn describe() -> lifecycle::Descriptor {
        std::panic::set_hook(Box::new(|_| {}));
        let mut descriptor = lifecycle::Descriptor {
            name: "hostile".into(),
            version: "0.1.0".into(),
            title: "Misbehaves as its configuration says".into(),
            deterministic: true,
            config_schema_json: r#"{"type":"object"}"#.into(),
            batch_max: 512,
        };
        match lie().as_str() {
            "name" => descriptor.name = "Not A Name\n".into(),
            "huge-name" => descriptor.name = "x".repeat(20 << 20),
            "version" => descriptor.version = "x".repeat(20 << 20),
            "huge-title" => descriptor.title = "x".repeat(20 << 20),
            "no-batch" => descriptor.batch_max = 0,
            "schema" => descriptor.config_schema_json = "{".into(),
            "huge-schema" => {
                descriptor.config_schema_json = format!(r#"{{"description":"{}"}}"#, "x".repeat(20 << 20));
            }
            "schema-bomb" => descriptor.config_schema_json = schema_bomb(),
            _ => {}
        }
        descriptor
    }

    fn configure(config: String) -> Result<Vec<lifecycle::Output>, Vec<lifecycle::Problem>> {
        let config: Config = serde_json::from_str(&config)
            .map_err(|error| vec![lifecycle::Problem { path: String::new(), message: error.to_string() }])?;
        let output = |name: String, kind| lifecycle::Output {
            name,
            capability: lifecycle::Capability::Score,
            kind,
            direction: lifecycle::Direction::HigherIsBetter,
            description: None,
        };
        let range = |low, high| lifecycle::OutputKind::Number(lifecycle::Range { low, high });
        let kind = if config.number { range(0.0, 1.0) } else { lifecycle::OutputKind::Boolean };
        let more =
            (0..config.more).map(|index| output(format!("more-{index}"), lifecycle::OutputKind::Boolean));
        let mut outputs: Vec<_> = [output("fine".into(), kind)].into_iter().chain(more).collect();
        outputs.push(lifecycle::Output {
            capability: lifecycle::Capability::Signal,
            ..output("fine-too".into(), lifecycle::OutputKind::Boolean)
        });
        match lie().as_str() {
            "range" => outputs[0].kind = range(1.0, 0.0),
            "endless-range" => outputs[0].kind = range(0.0, f64::INFINITY),
            "same-output" => outputs.push(output("fine".into(), lifecycle::OutputKind::Boolean)),
            "huge-output" => outputs[0].name = "x".repeat(20 << 20),
            "problems" => {
                return Err((0..50_000)
                    .map(|index| lifecycle::Problem { path: format!("/{index}"), message: "x".repeat(100) })
                    .collect());
            }
            "capability" => outputs[0].capability = lifecycle::Capability::Label,
            _ => {}
        }
        Ok(outputs)
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
        let good = || if config.number { Value::Number(1.0) } else { Value::Boolean(true) };
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
            answers.push(score(good()));
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
