//! What the product's instrumentation lacks, and how to switch it on.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Json, SliceQuery};
use super::problem::Problem;
use crate::domain::slice::Slice;
use crate::store::Instrumentation;

/// Nothing but the slice.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NoQuery {}

/// What a slice's instrumentation lacks.
#[derive(Serialize, ToSchema)]
pub struct InstrumentationView {
    #[serde(flatten)]
    counts: Instrumentation,
    /// What would change it, the gravest first.
    advice: Vec<&'static str>,
}

/// A count, and what would lower it.
type Advice = (fn(&Instrumentation) -> u64, &'static str);

const ADVICE: [Advice; 7] = [
    (
        |found| found.without_content,
        "some requests came without query and answer, so nothing can be scored: set \
         OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only (older instrumentations: true) and \
         OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental in the product's environment; OpenInference \
         hides content only where OPENINFERENCE_HIDE_INPUTS or OPENINFERENCE_HIDE_OUTPUTS is set",
    ),
    (
        |found| found.streamed_without_first_token,
        "some streamed answers came without the time to the first token: it is the attribute \
         gen_ai.response.time_to_first_chunk, or OpenInference's span event \"First Token Stream Event\"",
    ),
    (
        |found| found.without_tokens,
        "some requests came without tokens: for streamed answers the OpenAI API tells them only with \
         stream_options={\"include_usage\": true}",
    ),
    (
        |found| found.without_template,
        "some requests have no template: set gen_ai.prompt.name (and .version), or `template`",
    ),
    (
        |found| found.without_session,
        "some requests belong to no session: set session.id or gen_ai.conversation.id, or `session`",
    ),
    (
        |found| found.without_user,
        "some requests have no user, so intervals take sessions for independent: set user.id, or `user`",
    ),
    (
        |found| found.without_events,
        "in some sessions the client reports nothing that users do: see examples/browser and POST /v1/events",
    ),
];

/// See what the instrumentation lacks
#[utoipa::path(get, path = "/v1/instrumentation", tag = "production", params(Slice),
    responses((status = 200, body = InstrumentationView), (status = 400, body = Problem)))]
pub async fn instrumentation(
    State(api): State<Api>,
    SliceQuery { slice, rest: NoQuery {} }: SliceQuery<NoQuery>,
) -> Result<Json<InstrumentationView>, Problem> {
    let counts = api.app.store.instrumentation(slice).await?;
    let advice = ADVICE.iter().filter(|(count, _)| count(&counts) > 0).map(|(_, advice)| *advice).collect();
    Ok(Json(InstrumentationView { counts, advice }))
}
