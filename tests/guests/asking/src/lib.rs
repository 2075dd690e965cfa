//! Asks a judge for points, in the way that its configuration names.

use assay_plugin::judge::{self, Reply, Request};
use assay_plugin::prelude::*;
use assay_plugin::{Message, Role};

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The judge's profile
    profile: String,
    /// What it does
    #[serde(default)]
    how: How,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum How {
    /// One request for each item, with a schema.
    #[default]
    Structured,
    /// One request for each item, in free text.
    Free,
    /// A thousand requests for each item.
    Flood,
    /// Asks, and then never ends.
    AskAndLoop,
    /// A schema that is none.
    WrongSchema,
}

const SCHEMA: &str = r#"{"type":"object","properties":{"points":{"type":"integer","minimum":0,"maximum":10}},"required":["points"],"additionalProperties":false}"#;

/// Points from a judge, out of ten
#[scorer(batch, judging, batch_max = 100, range = (0.0, 10.0))]
fn asking(config: &Config, items: &[Interaction]) -> Vec<Result<Score, PluginError>> {
    let repetitions = if matches!(config.how, How::Flood) { 1_000 } else { 1 };
    let requests: Vec<_> = items
        .iter()
        .flat_map(|item| std::iter::repeat_n(item, repetitions))
        .map(|item| request(config, item))
        .collect();
    let replies = judge::complete(&requests);
    if matches!(config.how, How::AskAndLoop) {
        loop {
            std::hint::black_box(&replies);
        }
    }
    replies.into_iter().step_by(repetitions).map(|reply| score(reply?)).collect()
}

fn request(config: &Config, item: &Interaction) -> Request {
    let request = Request::new(&config.profile, [Message::new(Role::User, item.actual.clone())]).about(&item.id);
    match config.how {
        How::Free => request,
        How::WrongSchema => request.with_schema(r#"{"type":"unicorn"}"#),
        How::Structured | How::Flood | How::AskAndLoop => request.with_schema(SCHEMA),
    }
}

fn score(reply: Reply) -> Result<Score, PluginError> {
    let digits: String = reply.text.chars().filter(char::is_ascii_digit).collect();
    let points: f64 = digits
        .parse()
        .map_err(|_| PluginError::Internal(format!("`{}` has no points", reply.text)))?;
    let mut score = Score::new("asking", points);
    score.extra_json = Some(format!(r#"{{"transcripts":["{}"]}}"#, reply.transcript_id));
    Ok(score)
}
