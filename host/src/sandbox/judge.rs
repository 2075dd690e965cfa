//! The judge as a guest sees it: a function that takes a list of requests and
//! comes back when all are answered.

use std::time::{Duration, Instant};

use super::bindings::v0_1::assay::plugin::{judge, types};
use super::engine::TICK;
use super::guest::Guest;
use crate::domain::interaction::{Message, Usage};
use crate::domain::judge::{JudgeAnswer, JudgeReply, JudgeRequest};
use crate::domain::plugin::{PluginError, PluginErrorKind};

/// Who answers a guest's requests.
pub trait Judge: Send {
    /// One answer for each request, in their order. It may take long.
    fn complete(&mut self, requests: Vec<JudgeRequest>) -> Vec<JudgeAnswer>;
}

/// A guest's judge, and how long it was waited for.
#[derive(Default)]
pub struct Judging {
    judge: Option<Box<dyn Judge>>,
    /// What was waited for and not yet given back to the deadline.
    waited: Duration,
}

impl Judging {
    pub fn new(judge: Option<Box<dyn Judge>>) -> Self {
        Self { judge, waited: Duration::ZERO }
    }

    /// The ticks by which a deadline is put off: a guest is not to blame for
    /// the time that a judge takes.
    pub fn take_credit(&mut self) -> u64 {
        let ticks = self.waited.as_millis() / TICK.as_millis();
        self.waited = Duration::ZERO;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

impl judge::Host for Guest {
    fn complete(&mut self, requests: Vec<judge::Request>) -> Vec<Result<judge::Reply, types::PluginError>> {
        let wanted = requests.len();
        let Some(judge) = &mut self.judging.judge else {
            let denied = "no judge is asked while a plugin is described, configured or checked";
            return (0..wanted).map(|_| Err(types::PluginError::HostDenied(denied.into()))).collect();
        };
        let started = Instant::now();
        let answers = judge.complete(requests.into_iter().map(request).collect());
        self.judging.waited += started.elapsed();
        debug_assert_eq!(answers.len(), wanted, "one answer for each request");
        answers.into_iter().map(|answer| answer.map(reply).map_err(Into::into)).collect()
    }
}

fn request(from: judge::Request) -> JudgeRequest {
    let messages: Vec<_> = from.messages.into_iter().map(Message::from).collect();
    JudgeRequest {
        profile: from.profile,
        interaction_id: from.interaction_id,
        messages_json: serde_json::to_string(&messages).expect("messages are plain JSON"),
        schema_json: from.schema_json,
        output_tokens_max: from.output_tokens_max,
        temperature: from.temperature,
    }
}

fn reply(from: JudgeReply) -> judge::Reply {
    // What the daemon wrote a moment ago; without it nothing is known of the tokens.
    let usage: Usage = serde_json::from_str(&from.usage_json).unwrap_or_default();
    judge::Reply {
        text: from.text,
        model: from.model,
        finish_reason: from.finish_reason,
        usage: usage.into(),
        transcript_id: from.transcript_id,
    }
}

impl From<PluginError> for types::PluginError {
    fn from(error: PluginError) -> Self {
        let message = error.message;
        match error.kind {
            PluginErrorKind::BadConfig => Self::BadConfig(message),
            PluginErrorKind::BadInput => Self::BadInput(message),
            PluginErrorKind::Unsupported => Self::Unsupported(message),
            PluginErrorKind::HostDenied => Self::HostDenied(message),
            PluginErrorKind::HostUnavailable => Self::HostUnavailable(message),
            PluginErrorKind::BudgetExhausted => Self::BudgetExhausted(message),
            PluginErrorKind::Internal => Self::Internal(message),
        }
    }
}
