//! From JSON lines to a version of a reference set, parsed on one thread while
//! the store writes on another.

use std::io::BufRead;
use std::sync::mpsc;

use crate::domain::clock::Timestamp;
use crate::domain::ids::ReferenceSetId;
use crate::domain::reference_set::{Line, LineError, Version};
use crate::store::{Import, Store, StoreError};

/// Lines that travel together to the writer.
const CHUNK: usize = 512;
/// Chunks that may wait for it.
const WAITING_MAX: usize = 8;
/// Wrong lines that one error tells of.
const TOLD_MAX: usize = 20;

/// Why no version was made.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Lines are wrong; nothing was kept.
    #[error("{} of the lines cannot be used: {}", lines.len(), told(lines))]
    Lines {
        /// Which, up to a limit.
        lines: Vec<LineError>,
    },
    /// The input cannot be read.
    #[error("failed to read the lines: {0}")]
    Read(#[from] std::io::Error),
    /// The database is at fault, or the set as a whole.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn told(lines: &[LineError]) -> String {
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Imports JSON lines as a new version of a set, whole or not at all. `seen`
/// hears how many bytes were read so far.
pub async fn import_reference_set(
    store: &Store,
    name: String,
    provenance: String,
    at: Timestamp,
    lines: impl BufRead + Send + 'static,
    seen: impl Fn(u64) + Send + 'static,
) -> Result<Version, ImportError> {
    let (chunks, received) = mpsc::sync_channel(WAITING_MAX);
    let parsing = tokio::task::spawn_blocking(move || parse(lines, &chunks, &seen));
    let import = Import { name, id: ReferenceSetId::new(), provenance, at };
    let imported = store.reference_set_import(import, received).await;
    // What the parser found tells more than that the import was given up.
    parsing.await.expect("parsing does not panic")?;
    Ok(imported?)
}

type Chunk = Result<Vec<crate::store::ImportedItem>, StoreError>;

fn parse(
    mut lines: impl BufRead,
    chunks: &mpsc::SyncSender<Chunk>,
    seen: &impl Fn(u64),
) -> Result<(), ImportError> {
    let give_up = |error: ImportError| {
        // Rolls the writer's transaction back.
        chunks.send(Err(StoreError::BadInput("the lines cannot be used".into()))).ok();
        Err(error)
    };
    let mut wrong = Vec::new();
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut text = String::new();
    let mut bytes = 0;
    for number in 1.. {
        text.clear();
        match lines.read_line(&mut text) {
            Ok(0) => break,
            Ok(read) => bytes += read as u64,
            Err(error) => return give_up(error.into()),
        }
        if text.trim().is_empty() {
            continue;
        }
        match Line::parse(text.trim_end(), number) {
            Ok(mut line) => {
                let key = line.key.take().unwrap_or_else(|| number.to_string());
                let (item, answers) = line.into_parts();
                chunk.push((key, item, answers));
            }
            Err(error) => wrong.push(error),
        }
        if wrong.len() >= TOLD_MAX {
            break;
        }
        if chunk.len() == CHUNK {
            seen(bytes);
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            if chunks.send(Ok(full)).is_err() {
                // The writer refused; its own error says why.
                return Ok(());
            }
        }
    }
    if !wrong.is_empty() {
        return give_up(ImportError::Lines { lines: wrong });
    }
    seen(bytes);
    chunks.send(Ok(chunk)).ok();
    Ok(())
}
