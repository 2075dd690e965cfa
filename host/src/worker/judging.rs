//! A guest's judge: the daemon, behind the limits of a batch and the check of
//! what it replied.

use std::sync::Arc;

use super::line::Line;
use super::structured::{self, Schemas};
use crate::domain::judge::{JudgeAnswer, JudgeReply, JudgeRequest};
use crate::domain::plugin::{PluginError, PluginErrorKind};
use crate::protocol::{JobId, Limits};
use crate::sandbox::Judge;

/// The judge of one batch.
pub struct DaemonJudge {
    line: Arc<Line>,
    job: JobId,
    calls_left: usize,
    calls_max: usize,
    repairs_max: u32,
    schemas: Schemas,
}

impl DaemonJudge {
    pub fn new(line: Arc<Line>, job: JobId, limits: &Limits, items: usize) -> Self {
        let calls_max = limits.judge_calls_max(items);
        Self {
            line,
            job,
            calls_left: calls_max,
            calls_max,
            repairs_max: limits.judge_repairs_max,
            schemas: Schemas::default(),
        }
    }

    fn ask(&mut self, requests: Vec<JudgeRequest>) -> Vec<JudgeAnswer> {
        let wanted = requests.len();
        if wanted > self.calls_left {
            let told = format!("asked for more than {} calls of a judge in one batch", self.calls_max);
            return (0..wanted).map(|_| Err(error(PluginErrorKind::HostDenied, told.clone()))).collect();
        }
        self.calls_left -= wanted;
        match self.line.ask(self.job, requests) {
            Some(answers) if answers.len() == wanted => answers,
            _ => {
                let told = || error(PluginErrorKind::HostUnavailable, "the judge did not answer".into());
                (0..wanted).map(|_| Err(told())).collect()
            }
        }
    }

    /// The reply's text, or nothing but its JSON where that fits what was asked for;
    /// else what is wrong with it.
    fn fitting(&mut self, request: &JudgeRequest, reply: &JudgeReply) -> Result<String, String> {
        match &request.schema_json {
            None => Ok(reply.text.clone()),
            Some(schema) => self.schemas.read(schema, &reply.text).map(ToOwned::to_owned),
        }
    }
}

impl Judge for DaemonJudge {
    fn complete(&mut self, requests: Vec<JudgeRequest>) -> Vec<JudgeAnswer> {
        let mut answers: Vec<Option<JudgeAnswer>> = vec![None; requests.len()];
        let mut open: Vec<(usize, JudgeRequest)> = requests.into_iter().enumerate().collect();
        for attempt in 0..=self.repairs_max {
            if open.is_empty() {
                break;
            }
            let asked = open.iter().map(|(_, request)| request.clone()).collect();
            let replies = self.ask(asked);
            let mut again = Vec::new();
            for ((index, request), answer) in open.into_iter().zip(replies) {
                let answer = match answer {
                    Err(error) => Err(error),
                    Ok(reply) => match self.fitting(&request, &reply) {
                        Ok(text) => Ok(JudgeReply { text, ..reply }),
                        Err(wrong) => {
                            // Asked again it would be cut off again.
                            if attempt < self.repairs_max
                                && !was_cut_off(&reply)
                                && let Some(repaired) = structured::repair(&request, &reply.text, &wrong)
                            {
                                again.push((index, repaired));
                                continue;
                            }
                            Err(unfit(&request, &reply, attempt + 1, &wrong))
                        }
                    },
                };
                answers[index] = Some(answer);
            }
            open = again;
        }
        answers
            .into_iter()
            .map(|answer| answer.expect("what stays open is answered in the last round"))
            .collect()
    }
}

fn was_cut_off(reply: &JudgeReply) -> bool {
    matches!(reply.finish_reason.as_deref(), Some("length" | "max_tokens"))
}

fn unfit(request: &JudgeRequest, reply: &JudgeReply, times: u32, wrong: &str) -> PluginError {
    let cut = if was_cut_off(reply) { ", and was cut off by the limit on its tokens" } else { "" };
    let message = format!(
        "judge `{}` did not reply as was asked, {times} times: {wrong}{cut} (transcript {})",
        request.profile, reply.transcript_id
    );
    error(PluginErrorKind::HostUnavailable, message)
}

fn error(kind: PluginErrorKind, message: String) -> PluginError {
    PluginError { kind, message }
}
