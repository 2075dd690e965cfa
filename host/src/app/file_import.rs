//! A file of interactions or events, into a data directory or a running daemon.
//!
//! One thread reads and converts, in batches of bounded size; two batches are
//! on their way at any time. What was acknowledged is on disk, and a file that
//! is imported again counts once.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{DaemonClient, DaemonError, Intake};
use crate::domain::clock::Timestamp;
use crate::domain::production::{Event, ProductionInteraction};
use crate::ingest::file::{Content, FileError, Format, Mapping, MappingError, Row, Rows};
use crate::ingest::{IngestError, Rejected, event_of, interaction_of};

/// The most bytes of a batch; a larger row goes alone.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// The most rows of a batch.
const BATCH_ROWS_MAX: usize = 2_000;
/// Batches on their way at once: one is packed while one is written.
const BATCHES_AT_ONCE: usize = 2;
/// Bad rows that are told with their reasons.
const TOLD_MAX: usize = 100;

/// Why a file was not imported, or not to its end. What was acknowledged stays.
#[derive(Debug, thiserror::Error)]
pub enum FileImportError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is asked for does not fit the file.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The data directory does not take it.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The daemon does not take it.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

/// Where a file's rows go.
pub enum Destination {
    /// Into a data directory that this process holds.
    Here(Intake),
    /// To a running daemon.
    Daemon(DaemonClient),
}

/// A file, and how it is read.
#[derive(Debug, Clone)]
pub struct FileImport {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// What it holds.
    pub content: Content,
    /// From its columns to fields.
    pub mapping: Mapping,
    /// A larger row is not read.
    pub row_bytes_max: usize,
}

/// What became of a file's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// New ones.
    pub accepted: u64,
    /// Those that were there before; they stay as they were.
    pub duplicates: u64,
    /// Those that cannot be used.
    pub rejected: u64,
    /// The first of them, with their reasons.
    pub rejections: Vec<Rejected>,
}

impl Imported {
    /// Whether not one row could be used.
    pub fn is_nothing(&self) -> bool {
        self.accepted + self.duplicates == 0
    }

    fn reject(&mut self, rejected: Vec<Rejected>) {
        self.rejected += rejected.len() as u64;
        let room = TOLD_MAX.saturating_sub(self.rejections.len());
        self.rejections.extend(rejected.into_iter().take(room));
    }
}

/// Rows on their way.
#[derive(Default)]
struct Batch {
    interactions: Vec<ProductionInteraction>,
    events: Vec<Event>,
    /// For a daemon: JSON lines, and on which line of the file each began.
    lines: Vec<u8>,
    numbers: Vec<usize>,
    rejected: Vec<Rejected>,
    rows: usize,
    bytes: usize,
    /// How far the file was read.
    position: u64,
}

/// Imports a file. `seen` hears how many bytes were read so far, and how many
/// there are.
pub async fn import_file(
    file: FileImport,
    to: &Destination,
    now: Timestamp,
    seen: impl Fn(u64, u64),
) -> Result<Imported, FileImportError> {
    let (batches, received) = mpsc::channel(1);
    let content = file.content;
    let path = file.path.clone();
    let as_lines = matches!(to, Destination::Daemon(_));
    let reading = tokio::task::spawn_blocking(move || read(&file, as_lines, now, &batches));
    let mut imported = Imported::default();
    let mut sent = ReceiverStream::new(received)
        .map(|(batch, length): (Batch, u64)| async move {
            let position = batch.position;
            Ok::<_, FileImportError>((to.take(content, batch).await?, position, length))
        })
        .buffered(BATCHES_AT_ONCE);
    while let Some(taken) = sent.next().await {
        let (taken, position, length) = taken?;
        imported.accepted += taken.accepted;
        imported.duplicates += taken.duplicates;
        imported.reject(taken.rejections);
        seen(position, length);
    }
    let damaged =
        |_| FileError::Content { path, kind: "a file of its format", reason: "it is damaged".into() };
    reading.await.map_err(damaged)??;
    imported.rejections.sort_by_key(|rejected| rejected.line);
    Ok(imported)
}

/// Reads to the file's end, or until nobody takes the batches any more.
fn read(
    file: &FileImport,
    as_lines: bool,
    now: Timestamp,
    batches: &mpsc::Sender<(Batch, u64)>,
) -> Result<(), FileImportError> {
    let mut rows = Rows::open(&file.path, file.format, file.row_bytes_max)?;
    if let Some(columns) = rows.columns() {
        file.mapping.check_columns(columns)?;
    }
    let (typed, length) = (rows.is_typed(), rows.length());
    let mut batch = Batch::default();
    while let Some(row) = rows.next() {
        let Row { number, bytes, values } = row?;
        if batch.rows > 0
            && batch.bytes + bytes > BATCH_BYTES_MAX
            && batches.blocking_send((std::mem::take(&mut batch), length)).is_err()
        {
            return Ok(());
        }
        let members = values.and_then(|values| file.mapping.apply(number, values, typed));
        let added = members.and_then(|members| batch.add(file.content, as_lines, number, members, now));
        if let Err(reason) = added {
            batch.rejected.push(Rejected { line: number, reason });
        }
        batch.rows += 1;
        batch.bytes = (batch.bytes + bytes).max(batch.lines.len());
        batch.position = rows.position();
        if batch.rows == BATCH_ROWS_MAX
            && batches.blocking_send((std::mem::take(&mut batch), length)).is_err()
        {
            return Ok(());
        }
    }
    if batch.rows > 0 {
        batches.blocking_send((batch, length)).ok();
    }
    Ok(())
}

impl Batch {
    fn add(
        &mut self,
        content: Content,
        as_lines: bool,
        number: usize,
        members: Map<String, Value>,
        now: Timestamp,
    ) -> Result<(), String> {
        if as_lines {
            let line = Value::Object(members).to_string();
            self.lines.extend_from_slice(line.as_bytes());
            self.lines.push(b'\n');
            self.numbers.push(number);
            return Ok(());
        }
        match content {
            Content::Interactions => self.interactions.push(interaction_of(members, now)?),
            Content::Events => self.events.push(event_of(members, now)?),
        }
        Ok(())
    }
}

impl Destination {
    async fn take(&self, content: Content, batch: Batch) -> Result<Imported, FileImportError> {
        let mut imported = Imported::default();
        match self {
            Self::Here(intake) => {
                let taken = match content {
                    Content::Interactions => intake.ingest.interactions(batch.interactions).await?,
                    Content::Events => intake.ingest.events(batch.events).await?,
                };
                imported.accepted = taken.new as u64;
                imported.duplicates = taken.duplicates as u64;
            }
            Self::Daemon(daemon) => {
                let path = match content {
                    Content::Interactions => "v1/interactions",
                    Content::Events => "v1/events",
                };
                if !batch.numbers.is_empty() {
                    imported = send(daemon, path, batch.lines.into(), &batch.numbers).await?;
                }
            }
        }
        imported.reject(batch.rejected);
        Ok(imported)
    }
}

/// Sends lines, in halves where the daemon takes no body of this size.
async fn send(
    daemon: &DaemonClient,
    path: &str,
    lines: Bytes,
    numbers: &[usize],
) -> Result<Imported, FileImportError> {
    let mut imported = Imported::default();
    let mut open = vec![(lines, numbers)];
    while let Some((lines, numbers)) = open.pop() {
        match daemon.send_lines(path, lines.clone()).await {
            Ok(received) => {
                imported.accepted += received.accepted;
                imported.duplicates += received.duplicates;
                let own = |rejected: Rejected| Rejected {
                    line: numbers.get(rejected.line.wrapping_sub(1)).copied().unwrap_or_default(),
                    reason: rejected.reason,
                };
                imported.reject(received.rejected.into_iter().map(own).collect());
            }
            Err(DaemonError::Refused { status, detail, .. }) if status.as_u16() == 413 => {
                if let [number] = numbers {
                    imported.reject(vec![Rejected { line: *number, reason: detail }]);
                    continue;
                }
                let (first, second) = numbers.split_at(numbers.len() / 2);
                let cut = cut_after(&lines, first.len());
                open.push((lines.slice(cut..), second));
                open.push((lines.slice(..cut), first));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(imported)
}

/// Where so many lines end.
fn cut_after(lines: &[u8], count: usize) -> usize {
    let ends = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(place, _)| place + 1).nth(count.saturating_sub(1)).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_one_ends() {
        assert_eq!(cut_after(b"a\nbb\nc\n", 2), 5);
        assert_eq!(cut_after(b"a\nbb\nc\n", 3), 7);
    }

    #[test]
    fn only_so_many_bad_rows_are_kept_and_all_are_counted() {
        let mut imported = Imported::default();
        let bad = |line| Rejected { line, reason: String::new() };
        imported.reject((1..=150).map(bad).collect());
        assert_eq!((imported.rejected, imported.rejections.len()), (150, TOLD_MAX));
        assert!(imported.is_nothing());
    }
}
