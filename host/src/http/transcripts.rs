//! Judges over HTTP: which there are, and what they were asked.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::extract::{Json, Path};
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{RunId, TranscriptId};

/// One call of a judge. It holds no key.
#[derive(Serialize, ToSchema)]
pub struct Transcript {
    /// Id.
    id: TranscriptId,
    /// Name of the judge's profile.
    profile: String,
    /// The run that paid for it.
    run: Option<RunId>,
    /// What was sent.
    #[schema(value_type = Object)]
    request: serde_json::Value,
    /// Text of the reply.
    reply: Option<String>,
    /// Why there is none.
    failure: Option<String>,
    /// The model as the response named it.
    model: Option<String>,
    /// Why the model stopped.
    finish_reason: Option<String>,
    /// Tokens.
    #[schema(value_type = Object)]
    usage: serde_json::Value,
    /// What it cost, in the currency of the profile's price; none where that is
    /// not known.
    cost: Option<f64>,
    /// Requests sent, with those that failed.
    attempts: u32,
    /// When it was asked.
    asked_at: Timestamp,
    /// With all attempts, in microseconds.
    latency_us: u64,
    /// For how many scores it served.
    uses: u64,
}

/// Get one call of a judge
#[utoipa::path(get, path = "/v1/transcripts/{id}", tag = "judges", params(("id" = TranscriptId, Path)),
    responses((status = 200, body = Transcript), (status = 404, body = Problem)))]
pub async fn get(State(api): State<Api>, Path(id): Path<TranscriptId>) -> Result<Json<Transcript>, Problem> {
    let stored = api.app.store.transcript_get(id).await?;
    let call = stored.call;
    Ok(Json(Transcript {
        id: call.id,
        profile: call.profile,
        run: call.run,
        request: serde_json::from_str(&call.request).unwrap_or_default(),
        reply: call.reply,
        failure: call.failure,
        model: call.model,
        finish_reason: call.finish_reason,
        usage: serde_json::to_value(call.usage).unwrap_or_default(),
        cost: call.cost,
        attempts: call.attempts,
        asked_at: call.asked_at,
        latency_us: call.latency_us,
        uses: stored.uses,
    }))
}

/// The judges that plugins may ask.
#[derive(Serialize, ToSchema)]
pub struct Judges {
    /// Names of the profiles. Nothing more of them leaves the daemon.
    profiles: Vec<String>,
}

/// List the judges
#[utoipa::path(get, path = "/v1/judges", tag = "judges", responses((status = 200, body = Judges)))]
pub async fn judges(State(api): State<Api>) -> Json<Judges> {
    Json(Judges { profiles: api.app.judges.profiles().into_iter().map(str::to_owned).collect() })
}
