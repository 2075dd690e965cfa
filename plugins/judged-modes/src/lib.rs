//! The plugin `judged-modes`: the team's own failure modes, which a model
//! looks for. Each mode is asked for by itself, with a quotation and how sure
//! the judge is. Whether the quotation is in the answer is decided here.

mod config;
mod prompt;
mod taxonomy;

use assay_plugin::judge::{Reply, read_object};
use assay_plugin::prelude::*;
use assay_plugin::quotes::{self, head, shortened};

pub use config::{Config, EvidenceRule, ModeConfig};
pub use taxonomy::Taxonomy;

/// Finds a team's own failure modes, with a model as judge
#[classifier(
    name = "judged-modes",
    batch,
    judging,
    batch_max = 64,
    prepare = Taxonomy::new,
    outputs = Taxonomy::outputs
)]
fn judged_modes(taxonomy: &Taxonomy, items: &[Interaction]) -> Vec<Result<Vec<Label>, PluginError>> {
    let asked: Vec<_> = items.iter().map(|item| prompt::request(taxonomy, item)).collect();
    let requests: Vec<_> = asked.iter().flatten().cloned().collect();
    let mut answers = judge::complete(&requests).into_iter();
    let labelled = items.iter().zip(asked).map(|(item, asked)| {
        asked?;
        let reply = answers.next().expect("each request has an answer")?;
        labels(taxonomy, item, &reply)
    });
    labelled.collect()
}

/// What a judge says of one mode.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    reason: String,
    quote: String,
    applies: bool,
    confidence: f64,
}

fn labels(taxonomy: &Taxonomy, item: &Interaction, reply: &Reply) -> Result<Vec<Label>, PluginError> {
    let unfit = |what: String| {
        let (profile, what) = (&taxonomy.config.profile, shortened(&what, 500));
        PluginError::Internal(format!("unfit reply of judge `{profile}`: {what}"))
    };
    let modes = &taxonomy.config.modes;
    let names: Vec<_> = modes.iter().map(|mode| mode.name.as_str()).collect();
    let found: Vec<Found> = read_object(reply, &names).map_err(unfit)?;
    let extra = serde_json::json!({"transcripts": [reply.transcript_id]}).to_string();
    let mut labels = Vec::new();
    for (mode, found) in modes.iter().zip(found) {
        if !(0.0..=1.0).contains(&found.confidence) {
            return Err(unfit(format!("`{}`: `confidence` {} is not 0 to 1", mode.name, found.confidence)));
        }
        if !found.applies || found.confidence < taxonomy.config.confidence_min {
            continue;
        }
        let quote = quotes::find(&item.actual, &found.quote);
        if quote.is_none() && mode.evidence == EvidenceRule::Required {
            log::info(&format!("`{}` left out: its quotation is not in the answer", mode.name));
            continue;
        }
        let label = Label::new(&mode.name, found.confidence)
            .because(shortened(found.reason.trim(), 2_000))
            .with_extra(&*extra);
        labels.push(match quote {
            Some(quote) => label.grounded_in(Evidence::new("actual", head(quote, 1_000))),
            None => label,
        });
    }
    Ok(labels)
}
