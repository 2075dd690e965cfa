//! OpenTelemetry's receiver over gRPC (OTLP/gRPC), on a port of its own.
//!
//! The same path as over HTTP, and the same promise: what is acknowledged is
//! on disk. `UNAVAILABLE` is what exporters repeat.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::Api;
use crate::domain::digest::Digest;
use crate::domain::role::Role;
use crate::ingest::IngestError;
use crate::ingest::otlp::{from_export, from_logs_export, logs_response, traces_response};

#[derive(Clone)]
struct Receiver {
    api: Api,
}

impl Receiver {
    /// As over HTTP: from this machine without a token, unless one is required.
    async fn authorize<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let token = match request.metadata().get("authorization") {
            None if self.api.loopback && !self.api.config.require_token => return Ok(()),
            None => return Err(Status::unauthenticated("send `authorization: Bearer …`")),
            Some(value) => value
                .to_str()
                .ok()
                .and_then(|value| value.split_once(' '))
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token.trim()),
        };
        let token = token.ok_or_else(|| Status::unauthenticated("`authorization` is not `Bearer …`"))?;
        let hash = Digest::of(token.as_bytes());
        match self.api.app.store.token_role(hash).await {
            Ok(Some(role)) if role.allows(Role::Ingest) => Ok(()),
            Ok(Some(_)) => Err(Status::permission_denied("this needs the role `ingest`")),
            Ok(None) => Err(Status::unauthenticated("the token is not known, or was revoked")),
            Err(_) => Err(Status::unavailable("the database cannot be read")),
        }
    }
}

fn refused(error: IngestError) -> Status {
    match error {
        IngestError::Full => Status::unavailable(error.to_string()),
        IngestError::Store(error) if error.is_passing() => Status::unavailable(error.to_string()),
        IngestError::Store(error) => {
            tracing::error!(%error, "telemetry could not be kept");
            Status::internal("the cause is in the daemon's log")
        }
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.authorize(&request).await?;
        let decoded = from_export(request.into_inner());
        self.api.app.ingest.spans(decoded.records, Vec::new()).await.map_err(refused)?;
        Ok(Response::new(traces_response(&decoded.rejected)))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.authorize(&request).await?;
        let decoded = from_logs_export(request.into_inner());
        self.api.app.ingest.spans(Vec::new(), decoded.records).await.map_err(refused)?;
        Ok(Response::new(logs_response(&decoded.rejected)))
    }
}

/// Listens; answers where.
pub async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until `stop` is done.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let body_max = api.app.ingest.settings().body_bytes_max;
    let receiver = Receiver { api };
    let traces = TraceServiceServer::new(receiver.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(body_max);
    let logs = LogsServiceServer::new(receiver)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(body_max);
    Server::builder()
        .concurrency_limit_per_connection(64)
        .timeout(std::time::Duration::from_secs(30))
        .add_service(traces)
        .add_service(logs)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop)
        .await
}
