//! The way to the daemon, shared by the threads of a worker.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use crate::domain::judge::{JudgeAnswer, JudgeRequest};
use crate::protocol::{AskId, FrameError, FrameWriter, FromWorker, JobId};

/// Sends, and knows which thread waits for which answer.
pub struct Line {
    writer: Mutex<FrameWriter>,
    asked: Mutex<HashMap<AskId, mpsc::Sender<Vec<JudgeAnswer>>>>,
    next: AtomicU64,
}

impl Line {
    pub fn new(writer: FrameWriter) -> Self {
        Self { writer: Mutex::new(writer), asked: Mutex::default(), next: AtomicU64::new(0) }
    }

    pub fn send(&self, message: &FromWorker) -> Result<(), FrameError> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).send(message, None)
    }

    /// Asks the daemon's judge and waits; none where the daemon has gone.
    pub fn ask(&self, job: JobId, requests: Vec<JudgeRequest>) -> Option<Vec<JudgeAnswer>> {
        let ask = AskId(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = mpsc::channel();
        self.asked().insert(ask, answer);
        self.send(&FromWorker::Asked(job, ask, requests)).ok()?;
        answered.recv().ok()
    }

    /// Hands what the judge said to the thread that waits for it.
    pub fn answer(&self, ask: AskId, answers: Vec<JudgeAnswer>) {
        if let Some(waiting) = self.asked().remove(&ask) {
            // A thread that waits does not end before it is answered.
            waiting.send(answers).ok();
        }
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<AskId, mpsc::Sender<Vec<JudgeAnswer>>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
