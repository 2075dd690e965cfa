//! Writes transcripts, as many in one transaction as wait for it.
//!
//! A call is answered only when its transcript is durable; one transaction for
//! each would make a thousand calls a second wait for the disk.

use tokio::sync::{mpsc, oneshot};

use crate::store::{NewTranscript, Store, StoreError, TranscriptEntry, TranscriptRow, TranscriptSubject};

/// Entries that wait to be written; beyond, who asks waits.
const WAITING_MAX: usize = 4_096;
/// Entries of one transaction.
const TOGETHER_MAX: usize = 512;

type Waiting = (TranscriptEntry, oneshot::Sender<Result<(), String>>);

/// The way to the database.
pub struct Recorder {
    waiting: mpsc::Sender<Waiting>,
}

impl Recorder {
    pub fn start(store: Store) -> Self {
        let (waiting, received) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write(store, received));
        Self { waiting }
    }

    /// Keeps a call's transcript, with what it is about.
    pub async fn keep(
        &self,
        transcript: NewTranscript,
        subject: Option<TranscriptSubject>,
    ) -> Result<(), String> {
        self.write(TranscriptEntry::New { transcript: Box::new(transcript), subject }).await
    }

    /// Notes that a transcript of before served something else too.
    pub async fn refer(&self, transcript: TranscriptRow, subject: TranscriptSubject) -> Result<(), String> {
        self.write(TranscriptEntry::Again { transcript, subject }).await
    }

    async fn write(&self, entry: TranscriptEntry) -> Result<(), String> {
        let (done, written) = oneshot::channel();
        let closed = || "the recorder of transcripts has ended".to_owned();
        self.waiting.send((entry, done)).await.map_err(|_| closed())?;
        written.await.map_err(|_| closed())?
    }
}

async fn write(store: Store, mut received: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::new();
    while received.recv_many(&mut waiting, TOGETHER_MAX).await > 0 {
        let (entries, done): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
        let written = persist(&store, entries).await.map_err(|error| error.to_string());
        for done in done {
            // Who asked may have gone.
            done.send(written.clone()).ok();
        }
    }
}

/// Waits while the disk is full or the database locked: the calls are paid for.
async fn persist(store: &Store, entries: Vec<TranscriptEntry>) -> Result<(), StoreError> {
    let entries: std::sync::Arc<[TranscriptEntry]> = entries.into();
    loop {
        match store.transcripts_insert(std::sync::Arc::clone(&entries)).await {
            Err(error) if error.is_passing() => {
                tracing::error!(%error, "transcripts wait until they can be written");
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
            written => return written,
        }
    }
}
