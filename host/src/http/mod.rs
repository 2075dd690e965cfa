//! The HTTP API: one file per resource, every route in `router.rs`.
//!
//! A handler extracts, calls and responds. Whatever fails becomes a problem
//! document in one place, and nothing internal leaves with a 5xx.

mod auth;
mod cache;
mod calibration;
mod comparisons;
mod connections;
mod document;
mod evaluations;
mod extract;
mod grouping;
pub mod grpc;
mod histograms;
mod idempotency;
mod instrumentation;
mod interactions;
mod latency;
mod otlp;
mod plugins;
mod problem;
mod reclassifications;
mod reference_sets;
mod review_queues;
mod reviews;
mod router;
mod runs;
mod signals;
mod status;
mod transcripts;
mod users;

use std::net::SocketAddr;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::app::App;
use crate::config;
use crate::scheduler::Scheduler;

pub use router::{openapi, router};

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    /// The parts.
    pub app: App,
    /// The schedules.
    pub scheduler: Scheduler,
    /// Settings.
    pub config: Arc<config::Http>,
    /// Whether only this machine can reach the API.
    pub loopback: bool,
    /// The daemon's own figures.
    pub metrics: Option<PrometheusHandle>,
    /// Idempotency keys whose first request is being answered.
    pub(crate) answering: idempotency::Answering,
}

impl Api {
    /// Prepares the API for an address.
    pub fn new(
        app: App,
        scheduler: Scheduler,
        config: config::Http,
        address: SocketAddr,
        metrics: Option<PrometheusHandle>,
    ) -> Self {
        Self {
            app,
            scheduler,
            config: Arc::new(config),
            loopback: address.ip().is_loopback(),
            metrics,
            answering: idempotency::Answering::default(),
        }
    }
}

/// Serves until `stop` is done; requests under way are finished first.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let limits = Arc::clone(&api.config);
    connections::raise_descriptor_limit();
    connections::serve(listener, router(api), &limits, stop).await
}
