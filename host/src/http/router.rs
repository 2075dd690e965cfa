//! Every route.

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{Redirect, Response};
use axum::routing::get;
use axum::{Router, http};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use super::problem::Problem;
use super::{
    Api, auth, cache, calibration, comparisons, document, evaluations, histograms, idempotency,
    instrumentation, interactions, latency, otlp, plugins, reclassifications, reference_sets, review_queues,
    reviews, runs, signals, status, transcripts, users,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Assay", description = "Measures the quality of an LLM product in production.", license(
        name = "Apache-2.0", identifier = "Apache-2.0"
    )),
    components(schemas(Problem, runs::Told)),
    security((), ("token" = [])),
)]
struct Documentation;

fn routes(component_bytes_max: u64, ingest_max: usize) -> OpenApiRouter<Api> {
    let component_max = usize::try_from(component_bytes_max).unwrap_or(usize::MAX);
    let mut documentation = Documentation::openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    if let Some(components) = &mut documentation.components {
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
    OpenApiRouter::with_openapi(documentation)
        .routes(routes!(evaluations::list, evaluations::create))
        .routes(routes!(evaluations::get, evaluations::change, evaluations::delete))
        .routes(routes!(evaluations::set_schedule, evaluations::remove_schedule))
        .routes(routes!(runs::start))
        .routes(routes!(runs::list))
        .routes(routes!(runs::get))
        .routes(routes!(runs::result))
        .routes(routes!(runs::failure_modes))
        .routes(routes!(runs::replay))
        .routes(routes!(comparisons::compare))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::items))
        .routes(routes!(runs::events))
        .routes(routes!(reference_sets::list))
        .routes(routes!(reference_sets::get))
        .routes(routes!(reference_sets::upload))
        .routes(routes!(reference_sets::select))
        .routes(routes!(reference_sets::items))
        .routes(routes!(plugins::list))
        .routes(routes!(plugins::upload).layer(DefaultBodyLimit::max(component_max)))
        .routes(routes!(plugins::get, plugins::remove))
        .routes(routes!(plugins::roll_back))
        .merge(review_routes())
        .merge(ingest_routes(ingest_max))
        .routes(routes!(interactions::list))
        .routes(routes!(interactions::get))
        .routes(routes!(interactions::evaluations))
        .routes(routes!(transcripts::get))
        .routes(routes!(transcripts::judges))
        .routes(routes!(reclassifications::list, reclassifications::start))
        .routes(routes!(reclassifications::get))
        .routes(routes!(users::delete))
        .routes(routes!(signals::signals))
        .routes(routes!(instrumentation::instrumentation))
        .routes(routes!(signals::divergence))
        .routes(routes!(latency::latency))
        .routes(routes!(histograms::histogram))
        .routes(routes!(histograms::heatmap))
        .routes(routes!(cache::cache))
        .routes(routes!(status::health))
        .routes(routes!(status::readiness))
        .routes(routes!(status::version))
        .routes(routes!(status::prometheus))
}

/// What people judge.
fn review_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(review_queues::list, review_queues::create))
        .routes(routes!(review_queues::get, review_queues::change, review_queues::delete))
        .routes(routes!(review_queues::fill))
        .routes(routes!(review_queues::pick))
        .routes(routes!(review_queues::status))
        .routes(routes!(review_queues::next))
        .routes(routes!(review_queues::disagreements))
        .routes(routes!(reviews::list, reviews::create))
        .routes(routes!(reviews::skip))
        .routes(routes!(reviews::undo))
        .routes(routes!(reviews::adjudicate))
        .routes(routes!(reviews::import))
        .routes(routes!(reviews::get))
        .routes(routes!(calibration::calibration))
        .routes(routes!(calibration::quality))
}

/// What production sends, with bodies that may be compressed.
fn ingest_routes(body_max: usize) -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(otlp::traces))
        .routes(routes!(otlp::logs))
        .routes(routes!(interactions::receive))
        .routes(routes!(interactions::receive_events))
        // The limit counts what comes out of the decompression.
        .layer(DefaultBodyLimit::max(body_max))
        .layer(RequestDecompressionLayer::new())
}

/// The API's description.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut documentation = routes(0, 0).into_openapi();
    document::complete(&mut documentation);
    documentation
}

/// The API as a service.
pub fn router(api: Api) -> Router {
    let ingest_max = api.app.ingest.settings().body_bytes_max;
    let (routes, mut documentation) =
        routes(api.app.catalogue.component_bytes_max(), ingest_max).split_for_parts();
    document::complete(&mut documentation);
    let body_max = api.config.body_bytes_max;
    let pages = SwaggerUi::new("/docs").url("/openapi.json", documentation);
    routes
        .merge(pages)
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .fallback(|uri: http::Uri| async move {
            Problem::not_found(format!("there is nothing at `{}`", uri.path()))
        })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn_with_state(api.clone(), idempotency::remember))
        .layer(DefaultBodyLimit::max(body_max))
        .layer(from_fn_with_state(api.clone(), auth::authorize))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            axum::response::IntoResponse::into_response(Problem::internal(&std::fmt::Error))
        }))
        .layer(map_response(harden))
        .with_state(api)
}

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    headers.insert("x-frame-options", http::HeaderValue::from_static("DENY"));
    headers.insert("referrer-policy", http::HeaderValue::from_static("no-referrer"));
    response
}
