//! Asks models on plugins' behalf: keys, costs, limits, retries, and a record
//! of every call.
//!
//! A [`Judges`] has one endpoint for each profile of the configuration. What a
//! plugin asks is redacted, looked for among what was replied before, and else
//! asked within the profile's limits and budgets. Every call leaves a
//! transcript before its reply is handed on, so that nothing is paid twice.
//!
//! Nothing here knows of runs beyond the name under which costs are counted.
//! What must stay true: a plugin sees a profile's name and nothing else of it;
//! a key stands in no log, error, transcript or file.

mod budget;
mod endpoint;
mod flights;
mod pace;
mod recorder;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use crate::config;
use crate::domain::clock::Clock;
use crate::domain::digest::Digest;
use crate::domain::ids::{RunId, TranscriptId};
use crate::domain::interaction::{Message, Part};
use crate::domain::judge::{JudgeAnswer, JudgeReply, JudgeRequest};
use crate::domain::plugin::{PluginError, PluginErrorKind};
use crate::ingest::{Redactor, RuleError};
use crate::store::{KeptReply, NewTranscript, Store, TranscriptSubject};

use budget::Budgets;
use endpoint::{Endpoint, Exchange};
use flights::Flights;
use recorder::Recorder;

/// Why there are no judges.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A profile cannot be used.
    #[error("the setting `judge.profiles` is wrong: profile `{profile}`: {reason}")]
    Profile {
        /// Which.
        profile: String,
        /// Why.
        reason: String,
    },
    /// What is redacted is described wrongly.
    #[error("the setting `ingest.redact` is wrong: {0}")]
    Redaction(#[from] RuleError),
}

/// On whose behalf a judge is asked.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The plugin's name, which a profile may be granted to.
    pub plugin: String,
    /// The run that costs are counted for; none outside of runs.
    pub run: Option<RunId>,
    /// Where replies come from.
    pub replies: Replies,
}

/// Where replies come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// What was replied before, else the model.
    CachedOrFresh,
    /// The model. Samples of one request are told apart by their number.
    Fresh(u32),
    /// What was replied in this run. Nothing is asked.
    Recorded(RunId),
}

/// All judges. Clones share them.
#[derive(Clone)]
pub struct Judges {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    endpoints: HashMap<String, Endpoint>,
    /// How old a reply may be that is used again, in microseconds.
    cache_us: i64,
    redactor: Redactor,
    budgets: Budgets,
    recorder: Recorder,
    flights: Flights,
}

impl Judges {
    /// Prepares the endpoints; nothing is asked yet.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        settings: &config::Judge,
        redaction: &[config::RedactionRule],
    ) -> Result<Self, JudgeError> {
        let mut endpoints = HashMap::new();
        for (name, profile) in &settings.profiles {
            let endpoint = Endpoint::new(name, profile, Arc::clone(&clock))
                .map_err(|reason| JudgeError::Profile { profile: name.clone(), reason })?;
            endpoints.insert(name.clone(), endpoint);
        }
        let shared = Shared {
            budgets: Budgets::new(store.clone(), Arc::clone(&clock)),
            recorder: Recorder::start(store.clone()),
            store,
            clock,
            endpoints,
            cache_us: i64::from(settings.cache_days) * 86_400_000_000,
            redactor: Redactor::new(redaction)?,
            flights: Flights::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The profiles' names, sorted.
    pub fn profiles(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.shared.endpoints.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Answers one request. `subject` is what the transcript is kept with.
    /// Dropping the future before the model is asked asks nothing; afterwards
    /// the call is finished and kept all the same.
    pub async fn complete(
        &self,
        asker: &Asker,
        subject: Option<TranscriptSubject>,
        request: JudgeRequest,
    ) -> JudgeAnswer {
        let shared = &self.shared;
        let endpoint = self.endpoint(asker, &request.profile)?;
        let messages = self.redacted(&request)?;
        let body = endpoint
            .body(&request, &messages)
            .map_err(|reason| refusal(PluginErrorKind::BadInput, &request.profile, reason))?;
        let key = key(endpoint, &body, asker.replies);
        let alone = shared.flights.enter(key).await;
        let kept = match asker.replies {
            Replies::Recorded(run) => {
                let kept = shared.store.transcript_of_run(key, run).await.map_err(internal)?;
                let missing = "the run has no transcript of this request".to_owned();
                Some(
                    kept.ok_or_else(|| refusal(PluginErrorKind::HostUnavailable, &request.profile, missing))?,
                )
            }
            Replies::CachedOrFresh | Replies::Fresh(_) if shared.cache_us > 0 => {
                let since = shared.clock.now().0 - shared.cache_us;
                shared.store.transcript_reply(key, since).await.map_err(internal)?
            }
            Replies::CachedOrFresh | Replies::Fresh(_) => None,
        };
        if let Some(kept) = kept {
            metrics::counter!("assay_judge_calls_total", "outcome" => "cached").increment(1);
            if let Some(subject) = subject
                && !matches!(asker.replies, Replies::Recorded(_))
            {
                shared.recorder.refer(kept.transcript, subject).await.map_err(internal)?;
            }
            return Ok(reply(kept));
        }
        let turn = endpoint.turn(&body).await;
        // Only now: what waits for its turn costs nothing yet.
        let spending = shared
            .budgets
            .reserve(endpoint, asker.run, endpoint.cost_at_most(&request, &body))
            .await
            .map_err(internal)?
            .map_err(|spent| {
                refusal(PluginErrorKind::BudgetExhausted, &request.profile, spent.to_string())
            })?;
        // From here on it is paid for: whoever asked may go, the call does not.
        let (judges, asker, profile) = (self.clone(), asker.clone(), request.profile);
        let asked = tokio::spawn(async move {
            let shared = &judges.shared;
            let endpoint = &shared.endpoints[&profile];
            let exchange = endpoint.ask(&body).await;
            drop(turn);
            spending.settle(exchange.cost(endpoint));
            let answer = judges.keep(endpoint, &asker, key, &body, subject, exchange).await;
            drop(alone);
            answer
        });
        asked.await.unwrap_or_else(|error| Err(internal(error)))
    }

    fn endpoint(&self, asker: &Asker, profile: &str) -> Result<&Endpoint, PluginError> {
        let denied = |reason: &str| refusal(PluginErrorKind::HostDenied, profile, reason.to_owned());
        let endpoint = self
            .shared
            .endpoints
            .get(profile)
            .ok_or_else(|| denied("there is no such profile under `judge.profiles`"))?;
        if endpoint.profile.is_granted_to(&asker.plugin) {
            Ok(endpoint)
        } else {
            Err(denied(&format!("it is not granted to plugin `{}`", asker.plugin)))
        }
    }

    fn redacted(&self, request: &JudgeRequest) -> Result<Vec<Message>, PluginError> {
        let mut messages: Vec<Message> = serde_json::from_str(&request.messages_json)
            .map_err(|error| refusal(PluginErrorKind::BadInput, &request.profile, error.to_string()))?;
        for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
            if let Part::Text { text } = part {
                self.shared.redactor.everything(text);
            }
        }
        Ok(messages)
    }

    /// Keeps the transcript of a call and gives its reply.
    async fn keep(
        &self,
        endpoint: &Endpoint,
        asker: &Asker,
        key: Digest,
        body: &str,
        subject: Option<TranscriptSubject>,
        exchange: Exchange,
    ) -> JudgeAnswer {
        let outcome = if exchange.reply.is_ok() { "replied" } else { "failed" };
        metrics::counter!("assay_judge_calls_total", "outcome" => outcome).increment(1);
        let id = TranscriptId::new();
        let cost = exchange.cost(endpoint);
        let (completion, failure) = match &exchange.reply {
            Ok(completion) => (Some(completion), None),
            Err(failure) => (None, Some(failure.to_string())),
        };
        let transcript = NewTranscript {
            id,
            key,
            run: asker.run,
            profile: endpoint.name.clone(),
            request: body.to_owned(),
            reply: completion.map(|completion| completion.text.clone()),
            model: completion.and_then(|completion| completion.model.clone()),
            finish_reason: completion.and_then(|completion| completion.finish_reason.clone()),
            failure,
            usage: completion.map(|completion| completion.usage).unwrap_or_default(),
            cost,
            attempts: exchange.attempts,
            asked_at: exchange.asked_at,
            latency_us: exchange.latency_us,
        };
        self.shared.recorder.keep(transcript, subject).await.map_err(internal)?;
        match exchange.reply {
            Ok(completion) => Ok(JudgeReply {
                text: completion.text,
                model: completion.model.unwrap_or_else(|| endpoint.profile.model.clone()),
                finish_reason: completion.finish_reason,
                usage_json: serde_json::to_string(&completion.usage).expect("counts are plain JSON"),
                transcript_id: id.to_string(),
            }),
            Err(failure) => {
                Err(refusal(PluginErrorKind::HostUnavailable, &endpoint.name, failure.to_string()))
            }
        }
    }
}

/// What makes two requests the same: profile, endpoint, and all that is sent.
fn key(endpoint: &Endpoint, body: &str, replies: Replies) -> Digest {
    let sample = match replies {
        Replies::Fresh(sample) => sample,
        Replies::CachedOrFresh | Replies::Recorded(_) => 0,
    };
    let text = serde_json::json!([endpoint.name, endpoint.url.as_str(), sample, body]).to_string();
    Digest::of(text.as_bytes())
}

fn reply(kept: KeptReply) -> JudgeReply {
    JudgeReply {
        text: kept.text,
        model: kept.model,
        finish_reason: kept.finish_reason,
        usage_json: serde_json::to_string(&kept.usage).expect("counts are plain JSON"),
        transcript_id: kept.id.to_string(),
    }
}

fn refusal(kind: PluginErrorKind, profile: &str, reason: String) -> PluginError {
    PluginError { kind, message: format!("judge `{profile}`: {reason}") }
}

/// A failure of the host's own: the log has it, the plugin does not.
fn internal(error: impl std::fmt::Display) -> PluginError {
    tracing::error!(%error, "a judge could not be asked");
    PluginError {
        kind: PluginErrorKind::HostUnavailable,
        message: "the host could not ask the judge; its log says why".into(),
    }
}
