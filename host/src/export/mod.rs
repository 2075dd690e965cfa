//! Sends new scores of production to an OpenTelemetry collector.
//!
//! Where it stands is in the database: what a collector accepted is not sent
//! again, and what it did not take waits, however long. A process that dies
//! between the acceptance and the note of it sends one batch twice.

mod records;

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};

use crate::config::OtlpExport;
use crate::domain::clock::Clock;
use crate::store::{Store, StoreError};
use crate::targets::{Backoff, KeyError, cause, client_builder, retry_after};

/// Interactions of one request.
const INTERACTIONS_MAX: u32 = 500;
/// One request takes no longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why scores cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The endpoint is no URL.
    #[error("the setting `export.otlp.endpoint` is wrong: {0}")]
    Endpoint(String),
    /// A header is none.
    #[error("the setting `export.otlp.headers` is wrong: `{0}` is no name of a header")]
    Header(String),
    /// A header's value cannot be read.
    #[error("a header of `export.otlp`: {0}")]
    Key(#[from] KeyError),
    /// The collector does not take it now.
    #[error("the collector at `{url}` does not take scores: {reason}")]
    Collector {
        /// Where.
        url: String,
        /// Why not.
        reason: String,
        /// When it wants to be asked again.
        again: Option<Duration>,
    },
    /// The database is at fault.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the collector made of a request.
enum Taken {
    /// It has it, but for so many records.
    Accepted { rejected: i64 },
    /// It will never take it.
    Refused(StatusCode),
    /// Less at once.
    TooLarge,
}

/// Sends new scores.
pub struct ScoreExporter {
    store: Store,
    clock: Arc<dyn Clock>,
    settings: OtlpExport,
    url: Url,
    client: Client,
}

impl ScoreExporter {
    /// Nothing is sent before [`ScoreExporter::run`].
    pub fn new(store: Store, clock: Arc<dyn Clock>, settings: OtlpExport) -> Result<Self, ExportError> {
        let url = Url::parse(&format!("{}/v1/logs", settings.endpoint.trim_end_matches('/')))
            .map_err(|error| ExportError::Endpoint(error.to_string()))?;
        for name in settings.headers.keys() {
            HeaderName::try_from(name).map_err(|_| ExportError::Header(name.clone()))?;
        }
        let client = client_builder(&url)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| ExportError::Endpoint(cause(&error)))?;
        Ok(Self { store, clock, settings, url, client })
    }

    /// Serves until the future is dropped.
    pub async fn run(self) {
        let interval = Duration::from_secs(self.settings.interval_s.into());
        let backoff = Backoff { base: interval, cap: Duration::from_secs(300), ..Backoff::default() };
        let mut random = StdRng::from_rng(&mut rand::rng());
        let mut failures = 0;
        loop {
            let wait = match self.send_new().await {
                Ok(_) => {
                    failures = 0;
                    interval
                }
                Err(error) => {
                    metrics::counter!("assay_score_export_failures_total").increment(1);
                    // Once, until it works again.
                    if failures == 0 {
                        tracing::warn!(%error, "scores are not sent, and wait");
                    }
                    let again = match &error {
                        ExportError::Collector { again, .. } => *again,
                        _ => None,
                    };
                    failures += 1;
                    backoff.wait(failures - 1, again, &mut random).max(Duration::from_millis(100))
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends what is new; answers how many scores.
    pub async fn send_new(&self) -> Result<u64, ExportError> {
        self.store.score_export_begin(self.clock.now()).await?;
        let mut sent = 0;
        let mut limit = INTERACTIONS_MAX;
        while let Some(page) = self.store.score_export_page(limit).await? {
            if let Some((request, count)) = records::request(&page, self.clock.now()) {
                match self.send(request.encode_to_vec()).await? {
                    Taken::Accepted { rejected } => {
                        sent += count;
                        metrics::counter!("assay_scores_exported_total").increment(count);
                        if rejected > 0 {
                            tracing::warn!(
                                rejected,
                                "the collector rejected scores, which are not sent again"
                            );
                        }
                    }
                    Taken::TooLarge if limit > 1 => {
                        limit /= 2;
                        continue;
                    }
                    Taken::TooLarge => {
                        tracing::error!(
                            "the collector takes no request of this size, and its scores are left out"
                        );
                    }
                    Taken::Refused(status) => {
                        tracing::error!(%status, "the collector cannot read scores, which are left out");
                    }
                }
            }
            self.store.score_export_done(&page).await?;
        }
        Ok(sent)
    }

    async fn send(&self, body: Vec<u8>) -> Result<Taken, ExportError> {
        let failed = |reason, again| ExportError::Collector { url: self.url.to_string(), reason, again };
        let request = self.client.post(self.url.clone()).headers(self.headers().await?);
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let response = request.send().await.map_err(|error| failed(cause(&error), None))?;
        match response.status() {
            status if status.is_success() => {
                let body = response.bytes().await.map_err(|error| failed(cause(&error), None))?;
                Ok(Taken::Accepted { rejected: rejected_in(&body) })
            }
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Taken::TooLarge),
            status @ (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
                Ok(Taken::Refused(status))
            }
            // Also what is set up wrongly, such as a key: it may be set right.
            status => {
                let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let again = asked.and_then(|value| retry_after(value, self.clock.now().0));
                Err(failed(format!("it answers {status}"), again))
            }
        }
    }

    /// The headers as they are now, so that a changed key needs no restart.
    async fn headers(&self) -> Result<HeaderMap, ExportError> {
        let mut headers = HeaderMap::new();
        for (name, source) in &self.settings.headers {
            let name = HeaderName::try_from(name).map_err(|_| ExportError::Header(name.clone()))?;
            headers.insert(name, source.read().await?.plain_header());
        }
        Ok(headers)
    }
}

/// How many records an answer says were rejected.
fn rejected_in(body: &[u8]) -> i64 {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
    let answer = ExportLogsServiceResponse::decode(body).unwrap_or_default();
    answer.partial_success.map_or(0, |partial| partial.rejected_log_records)
}
