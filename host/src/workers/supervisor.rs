//! Keeps one worker alive and its jobs in order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::health::Health;
use super::process::WorkerProcess;
use super::{Artifact, Job, Ready, ScorerCall, Settings, Work, failure};
use crate::domain::digest::Digest;
use crate::domain::judge::{JudgeAnswer, JudgeRequest};
use crate::domain::plugin::Cause;
use crate::fault;
use crate::protocol::{
    AskId, Call, FromWorker, JobId, JobSession, Limits, LogLine, LoggedLevel, PluginSlot, Task, ToWorker,
};

/// A worker works on one job while the next already waits in its queue.
const PIPELINE_DEPTH: usize = 2;
/// Plugins that one worker keeps mapped.
const SLOTS_MAX: usize = 64;
/// How long a worker may take from its start to `Ready`.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How much later than its guest's deadline a worker may answer before it is
/// taken for hanging: loading a plugin and decoding count here.
const GRACE: Duration = Duration::from_secs(5);
/// The line in which a worker counts those that it dropped.
const DROPPED_LINE_BYTES_MAX: usize = 100;
/// Between two starts that failed.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// Where a supervisor says how its worker is.
pub struct Reports {
    pub ready: watch::Sender<Option<Ready>>,
    pub process_id: watch::Sender<Option<u32>>,
    pub failed: mpsc::UnboundedSender<String>,
}

struct InFlight {
    id: JobId,
    job: Job,
    /// How long the guest may take.
    allowed: Duration,
    /// When it is taken for hanging; known once it started.
    overdue_at: Option<Instant>,
    /// Calls that may still log.
    logs_left: usize,
}

/// A job that may wait for a judge.
struct Judged {
    job: InFlight,
    /// What it asked and waits for. Meanwhile it is not overdue.
    asked: Option<Asked>,
}

/// A judge's answers under way; dropping it ends them.
struct Asked(AbortHandle);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A judge's answers on their way to the worker.
type Answers = (JobId, AskId, Vec<JudgeAnswer>);

/// A started worker and what it has.
struct Running {
    process: WorkerProcess,
    /// Done one after another, in order.
    in_flight: VecDeque<InFlight>,
    /// Done beside one another.
    judged: HashMap<JobId, Judged>,
    answers: mpsc::UnboundedSender<Answers>,
    answered: mpsc::UnboundedReceiver<Answers>,
    slots: HashMap<Digest, PluginSlot>,
    /// Least recently used first.
    slot_order: VecDeque<Digest>,
    next_slot: u32,
}

enum Ended {
    /// Nobody can ask for work any more.
    Stopped,
    /// The process died or was ended; `cause` is what the started job met.
    Lost { cause: Cause, message: String },
}

/// Runs until the job channel closes.
pub async fn supervise(
    settings: Settings,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    load: Arc<AtomicUsize>,
    health: Arc<Health>,
    reports: Reports,
) {
    let mut waiting: VecDeque<Job> = VecDeque::new();
    let mut next_job = 0_u64;
    loop {
        let process = match start(&settings, &reports).await {
            Ok(process) => process,
            Err(reason) => {
                tracing::error!(%reason, "failed to start a worker");
                reports.failed.send(reason.clone()).ok();
                tokio::select! {
                    () = sleep(RESTART_PAUSE) => {}
                    job = jobs.recv() => match job {
                        Some(job) => {
                            let reason = format!("no worker could be started: {reason}");
                            answer(job, Err(failure(Cause::WorkerDied, reason)), &load);
                        }
                        None => return,
                    },
                }
                continue;
            }
        };
        tracing::debug!(worker.process = process.id(), "worker ready");
        let (answers, answered) = mpsc::unbounded_channel();
        let mut running = Running {
            process,
            in_flight: VecDeque::new(),
            judged: HashMap::new(),
            answers,
            answered,
            slots: HashMap::new(),
            slot_order: VecDeque::new(),
            next_slot: 0,
        };
        let ended = running.serve(&settings, &mut jobs, &mut waiting, &mut next_job, &load, &health).await;
        reports.process_id.send_replace(None);
        let Ended::Lost { cause, message } = ended else { return };
        let status = running.process.kill();
        metrics::counter!("assay_workers_replaced_total").increment(1);
        tracing::warn!(worker.process = running.process.id(), %status, %message, "worker lost; replacing it");
        let mut lost: Vec<_> = running.in_flight.into_iter().collect();
        lost.extend(running.judged.into_values().map(|judged| judged.job));
        lost.sort_by_key(|lost| lost.id);
        for lost in lost.into_iter().rev() {
            if lost.overdue_at.is_some() {
                let mut plugins = lost.job.work.plugins();
                // Where several ran, the runner tries each alone.
                if let (Some(plugin), None) = (plugins.next(), plugins.next()) {
                    health.lost(plugin, Instant::now());
                }
                drop(plugins);
                let told = match cause {
                    Cause::WorkerDied => format!("{message} ({status})"),
                    _ => message.clone(),
                };
                answer(lost.job, Err(failure(cause, told)), &load);
            } else {
                waiting.push_front(lost.job);
            }
        }
    }
}

async fn start(settings: &Settings, reports: &Reports) -> Result<WorkerProcess, String> {
    let mut process = WorkerProcess::start(settings)
        .map_err(|error| format!("failed to run `{} worker`: {error}", settings.executable.display()))?;
    match timeout(START_TIMEOUT, process.said.recv()).await {
        Ok(Some(FromWorker::Ready { compatibility, missing })) => {
            reports.process_id.send_replace(Some(process.id()));
            reports.ready.send_replace(Some(Ready { compatibility, missing }));
            Ok(process)
        }
        Ok(_) => Err(format!("the worker ended before it was ready ({})", process.kill())),
        Err(_) => Err(format!("the worker was not ready within {} s", START_TIMEOUT.as_secs())),
    }
}

fn answer(
    job: Job,
    reply: Result<crate::protocol::Reply, crate::protocol::BatchFailure>,
    load: &AtomicUsize,
) {
    load.fetch_sub(1, Ordering::Relaxed);
    // Who asked may have been cancelled; then nobody wants the answer.
    job.answer.send(reply).ok();
}

impl Running {
    async fn serve(
        &mut self,
        settings: &Settings,
        jobs: &mut mpsc::UnboundedReceiver<Job>,
        waiting: &mut VecDeque<Job>,
        next_job: &mut u64,
        load: &AtomicUsize,
        health: &Health,
    ) -> Ended {
        loop {
            while let Some(next) = waiting.iter().position(|job| self.has_room(settings, job)) {
                let job = waiting.remove(next).expect("it was found a moment ago");
                self.send(settings, job, next_job, load, health);
            }
            let overdue_at = self.overdue_at();
            tokio::select! {
                biased;
                said = self.process.said.recv() => match said {
                    Some(FromWorker::Started(id)) => {
                        if let Some(started) = self.job_mut(id) {
                            started.overdue_at = Some(Instant::now() + started.allowed + GRACE);
                        }
                    }
                    Some(FromWorker::Asked(id, ask, requests)) => {
                        if !self.ask(&settings.limits, id, ask, requests) {
                            let message = "the worker asked for more than it may".into();
                            return Ended::Lost { cause: Cause::WorkerDied, message };
                        }
                    }
                    Some(FromWorker::Logged(id, slot, lines)) => {
                        if !self.log(&settings.limits, id, slot, lines) {
                            let message = "the worker logged more than it may".into();
                            return Ended::Lost { cause: Cause::WorkerDied, message };
                        }
                    }
                    Some(FromWorker::Finished(id, reply)) => {
                        fault::point("job-answered");
                        match self.take_finished(id) {
                            Some(finished) => answer(finished.job, Ok(reply), load),
                            None => {
                                let message = "the worker answered out of turn".into();
                                return Ended::Lost { cause: Cause::WorkerDied, message };
                            }
                        }
                    }
                    Some(FromWorker::Ready { .. } | FromWorker::Compiled(_)) => {
                        let message = "the worker spoke out of turn".into();
                        return Ended::Lost { cause: Cause::WorkerDied, message };
                    }
                    None => {
                        let message = "the worker died".into();
                        return Ended::Lost { cause: Cause::WorkerDied, message };
                    }
                },
                () = sleep_until(overdue_at.unwrap_or_else(Instant::now)), if overdue_at.is_some() => {
                    let message = "the worker did not come back from the plugin and was ended".into();
                    return Ended::Lost { cause: Cause::Timeout, message };
                }
                Some((id, ask, answers)) = self.answered.recv() => self.answer(id, ask, answers),
                job = jobs.recv() => match job {
                    Some(job) => waiting.push_back(job),
                    None => return Ended::Stopped,
                },
            }
        }
    }

    fn has_room(&self, settings: &Settings, job: &Job) -> bool {
        match job.work {
            Work::Judge { .. } => self.judged.len() < settings.limits.judged_batches_max as usize,
            _ => self.in_flight.len() < PIPELINE_DEPTH,
        }
    }

    /// When the first job is taken for hanging.
    fn overdue_at(&self) -> Option<Instant> {
        let first = self.in_flight.front().and_then(|first| first.overdue_at);
        let judged = self.judged.values().filter(|judged| judged.asked.is_none());
        first.into_iter().chain(judged.filter_map(|judged| judged.job.overdue_at)).min()
    }

    /// A job that the worker may speak of now.
    fn job_mut(&mut self, id: JobId) -> Option<&mut InFlight> {
        match self.judged.get_mut(&id) {
            Some(judged) => Some(&mut judged.job),
            None => self.in_flight.front_mut().filter(|first| first.id == id),
        }
    }

    fn take_finished(&mut self, id: JobId) -> Option<InFlight> {
        if let Some(judged) = self.judged.remove(&id) {
            return Some(judged.job);
        }
        self.in_flight.pop_front_if(|first| first.id == id)
    }

    /// Has a judge answer; answers whether the worker may ask this.
    fn ask(&mut self, limits: &Limits, id: JobId, ask: AskId, requests: Vec<JudgeRequest>) -> bool {
        let Some(judged) = self.judged.get_mut(&id) else { return false };
        let Work::Judge { items, judge, .. } = &judged.job.job.work else { return false };
        if judged.asked.is_some() || requests.len() > limits.judge_calls_max(items.len()) {
            return false;
        }
        let (judge, answers) = (Arc::clone(judge), self.answers.clone());
        let asked = tokio::spawn(async move {
            let answered = judge.answer(requests).await;
            // The worker may have been lost meanwhile.
            answers.send((id, ask, answered)).ok();
        });
        judged.asked = Some(Asked(asked.abort_handle()));
        true
    }

    fn answer(&mut self, id: JobId, ask: AskId, answers: Vec<JudgeAnswer>) {
        let Some(judged) = self.judged.get_mut(&id) else { return };
        judged.asked = None;
        judged.job.overdue_at = Some(Instant::now() + judged.job.allowed + GRACE);
        self.process.send(move |writer| writer.send(&ToWorker::Judged(ask, answers), None).is_ok());
    }

    fn send(
        &mut self,
        settings: &Settings,
        job: Job,
        next_job: &mut u64,
        load: &AtomicUsize,
        health: &Health,
    ) {
        if job.answer.is_closed() {
            // Cancelled while it waited.
            load.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let now = Instant::now();
        let unhealthy = job.work.plugins().find(|plugin| health.is_unhealthy(*plugin, now));
        if let Some(plugin) = unhealthy {
            let message =
                format!("{plugin} took down {} workers within a minute", settings.restarts_per_minute_max);
            answer(job, Err(failure(Cause::PluginUnhealthy, message)), load);
            return;
        }
        let id = JobId(*next_job);
        *next_job += 1;
        let limits = &settings.limits;
        let allowed_ms = match &job.work {
            Work::Describe(plugin) => {
                let task = Task::Describe(self.slot(plugin));
                self.process.send(move |writer| writer.send(&ToWorker::Do(id, task), None).is_ok());
                limits.deadline_ms(1)
            }
            Work::Configure { plugin, config } => {
                let task = Task::Configure { plugin: self.slot(plugin), config: config.clone() };
                self.process.send(move |writer| writer.send(&ToWorker::Do(id, task), None).is_ok());
                limits.deadline_ms(1)
            }
            Work::Validate { schema, config, .. } => {
                let task = Task::Validate { schema: schema.clone(), config: config.clone() };
                self.process.send(move |writer| writer.send(&ToWorker::Do(id, task), None).is_ok());
                limits.deadline_ms(1)
            }
            Work::Score { items, calls } => {
                let allowed_ms = limits.deadline_ms(items.len()).saturating_mul(calls.len() as u32);
                let items = Arc::clone(items);
                let calls = self.calls(calls);
                self.process.send(move |writer| {
                    let task = Task::Score { items: items.as_ref().into(), calls };
                    writer.send(&ToWorker::Do(id, task), None).is_ok()
                });
                allowed_ms
            }
            Work::Judge { items, call, .. } => {
                let allowed_ms = limits.deadline_ms(items.len());
                let items = Arc::clone(items);
                let call = self.calls(std::slice::from_ref(call)).remove(0);
                self.process.send(move |writer| {
                    let task = Task::Judge { items: items.as_ref().into(), call };
                    writer.send(&ToWorker::Do(id, task), None).is_ok()
                });
                allowed_ms
            }
            Work::Extract { sessions, calls } => {
                let items = sessions.iter().map(JobSession::deadline_items).sum();
                let allowed_ms = limits.deadline_ms(items).saturating_mul(calls.len() as u32);
                let sessions = Arc::clone(sessions);
                let calls = self.calls(calls);
                self.process.send(move |writer| {
                    let task = Task::Extract { sessions: sessions.as_ref().into(), calls };
                    writer.send(&ToWorker::Do(id, task), None).is_ok()
                });
                allowed_ms
            }
        };
        let allowed = Duration::from_millis(u64::from(allowed_ms));
        let logs_left = job.work.plugins().count();
        let judged = matches!(job.work, Work::Judge { .. });
        let job = InFlight { id, job, allowed, overdue_at: None, logs_left };
        if judged {
            self.judged.insert(id, Judged { job, asked: None });
        } else {
            self.in_flight.push_back(job);
        }
        fault::point("job-sent");
    }

    /// The calls as this worker gets them, with each plugin handed over.
    fn calls(&mut self, calls: &[ScorerCall]) -> Vec<Call> {
        calls
            .iter()
            .map(|call| Call {
                plugin: self.slot(&call.plugin),
                capability: call.capability,
                config: call.config.to_string(),
            })
            .collect()
    }

    /// Passes on what a plugin logged. A worker has cut it already; one that was
    /// broken into has not, and is not to fill the disk: answers whether all is well.
    fn log(&mut self, limits: &Limits, id: JobId, slot: PluginSlot, lines: Vec<LogLine>) -> bool {
        let bytes: usize = lines.iter().map(|line| line.message.len()).sum();
        // The line that counts the dropped ones comes on top.
        let within = lines.len() <= limits.log_lines_max as usize + 1
            && bytes <= limits.log_bytes_max as usize + DROPPED_LINE_BYTES_MAX;
        let expected = self.job_mut(id).filter(|job| job.overdue_at.is_some());
        let Some(calls_left) = expected.map(|job| &mut job.logs_left).filter(|left| within && **left > 0)
        else {
            return false;
        };
        *calls_left -= 1;
        let digest =
            self.slots.iter().find(|(_, known)| **known == slot).map(|(digest, _)| digest.to_string());
        let plugin = digest.unwrap_or_default();
        for LogLine { level, message } in lines {
            let message = one_line(&message);
            match level {
                LoggedLevel::Debug => tracing::debug!(target: "plugin", digest = plugin, "{message}"),
                LoggedLevel::Info => tracing::info!(target: "plugin", digest = plugin, "{message}"),
                LoggedLevel::Warn => tracing::warn!(target: "plugin", digest = plugin, "{message}"),
                LoggedLevel::Error => tracing::error!(target: "plugin", digest = plugin, "{message}"),
            }
        }
        true
    }

    /// The slot where the worker has this plugin; hands it over where it has not.
    fn slot(&mut self, plugin: &Arc<Artifact>) -> PluginSlot {
        let digest = plugin.digest();
        if let Some(slot) = self.slots.get(&digest) {
            let slot = *slot;
            self.slot_order.retain(|other| *other != digest);
            self.slot_order.push_back(digest);
            return slot;
        }
        if self.slots.len() >= SLOTS_MAX
            && let Some(oldest) = self.slot_order.pop_front()
            && let Some(slot) = self.slots.remove(&oldest)
        {
            self.process.send(move |writer| writer.send(&ToWorker::Unload(slot), None).is_ok());
        }
        let slot = PluginSlot(self.next_slot);
        self.next_slot += 1;
        self.slots.insert(digest, slot);
        self.slot_order.push_back(digest);
        self.process.load(slot, Arc::clone(plugin));
        slot
    }
}

/// A plugin's line as one line of the log: it cannot pass for a line of ours.
fn one_line(message: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_plugin_cannot_pass_for_two() {
        assert_eq!(one_line("schön\n2020 ERROR \u{1b}[31mforged"), "schön\\n2020 ERROR \\u{1b}[31mforged");
    }
}
