//! `assay serve`: the daemon.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::{Context, Failure, wrong};
use crate::app::App;
use crate::catalogue;
use crate::config::Config;
use crate::domain::clock::SystemClock;
use crate::export::ScoreExporter;
use crate::http::{self, Api};
use crate::scheduler::{Scheduler, Upkeep};

#[derive(Args)]
pub struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Refuse to start where the system cannot confine plugins wholly
    #[arg(long)]
    require_sandbox: bool,
}

/// A daemon that serves in the background.
pub struct Daemon {
    /// The parts.
    pub app: App,
    /// The schedules.
    pub scheduler: Scheduler,
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<std::io::Result<()>>,
}

pub async fn run(mut context: Context, command: Serve) -> Result<(), Failure> {
    if let Some(listen) = command.listen {
        context.config.listen = listen;
    }
    context.config.workers.require_sandbox |= command.require_sandbox;
    let daemon = start(&context.config).await?;
    let resumed = daemon.app.runner.resume().await?;
    tracing::info!(
        address = %daemon.address,
        data_dir = %context.config.data_dir.display(),
        workers = daemon.app.workers.count(),
        runs_resumed = resumed,
        "ready"
    );
    println!("listening on http://{}", daemon.address);
    daemon.wait().await
}

/// Opens everything and serves.
pub async fn start(config: &Config) -> Result<Daemon, Failure> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("failed to listen on `{}`", config.listen))?;
    let address = listener.local_addr()?;
    let metrics = PrometheusBuilder::new().install_recorder().ok();
    let clock = Arc::new(SystemClock);
    let app = App::open(config, clock.clone()).await?;
    if !address.ip().is_loopback() && app.store.token_list().await?.is_empty() {
        return Err(wrong(format!(
            "`{address}` can be reached from other machines, and there is no token: make one with \
             `assay token create NAME --role admin`, or listen on 127.0.0.1"
        )));
    }
    let scheduler = Scheduler::new(app.store.clone(), app.runner.clone(), clock);
    tokio::spawn(scheduler.clone().run());
    tokio::spawn(catalogue::watch(app.catalogue.clone()));
    app.ingest.resume().await?;
    let (store, ingest, runner) = (app.store.clone(), app.ingest.clone(), app.runner.clone());
    tokio::spawn(Upkeep::new(store, ingest, runner, config.retention.clone()).run());
    if let Some(otlp) = config.export.otlp.clone() {
        let exporter = ScoreExporter::new(app.store.clone(), Arc::clone(&app.clock), otlp);
        tokio::spawn(exporter.map_err(wrong)?.run());
    }
    let api = Api::new(app.clone(), scheduler.clone(), config.http.clone(), address, metrics);
    if let Some(port) = config.ingest.grpc_port {
        let wanted = SocketAddr::new(config.listen.ip(), port);
        let (listener, bound) = http::grpc::bind(wanted)
            .await
            .with_context(|| format!("failed to listen on `{wanted}` for gRPC"))?;
        tracing::info!(address = %bound, "receives OTLP over gRPC");
        let api = api.clone();
        tokio::spawn(async move {
            if let Err(error) = http::grpc::serve(listener, api, stopped()).await {
                tracing::error!(%error, "the gRPC receiver ended");
            }
        });
    }
    let serving = tokio::spawn(http::serve(listener, api, stopped()));
    Ok(Daemon { app, scheduler, address, serving })
}

impl Daemon {
    /// Serves until the process is told to stop.
    pub async fn wait(self) -> Result<(), Failure> {
        stopped().await;
        tracing::info!("stopping; open runs go on with the next start");
        self.app.runner.stop();
        // Streams that clients hold open must not keep the daemon.
        tokio::time::timeout(std::time::Duration::from_secs(3), self.serving).await.ok();
        Ok(())
    }
}

async fn stopped() {
    let mut terminate = signal(SignalKind::terminate()).expect("the runtime handles signals");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
