//! Deleting one user's data everywhere.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use crate::ingest::names_user;
use crate::store::{Erased, Store, StoreError};

/// Records of spans that are looked at in one read.
const SPANS_AT_ONCE: u32 = 500;
/// Traces that are deleted in one transaction.
const TRACES_AT_ONCE: usize = 100;
/// How often the log is tried to be emptied, and how long between.
const LOG_ATTEMPTS: u32 = 20;
const LOG_PAUSE: Duration = Duration::from_millis(250);

/// What became of a user's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ErasedUser {
    /// The client's name of the user.
    pub user: String,
    /// What was deleted.
    #[serde(flatten)]
    pub erased: Erased,
    /// The write-ahead log, which holds what was there before, is empty. It is
    /// not while a backup reads: ask again after it.
    pub log_emptied: bool,
}

/// Deletes what is a user's, in small transactions. What arrives meanwhile or
/// afterwards is kept.
pub async fn erase_user(store: &Store, user: &str) -> Result<ErasedUser, StoreError> {
    // Spans first: assembled meanwhile, they would be interactions again.
    let spans = erase_spans(store, user).await?;
    let mut erased = store.user_erase(user).await?;
    erased.spans += spans;
    let mut log_emptied = store.log_empty().await?;
    for _ in 1..LOG_ATTEMPTS {
        if log_emptied {
            break;
        }
        tokio::time::sleep(LOG_PAUSE).await;
        log_emptied = store.log_empty().await?;
    }
    Ok(ErasedUser { user: user.to_owned(), erased, log_emptied })
}

/// Deletes the traces of which a span names the user.
async fn erase_spans(store: &Store, user: &str) -> Result<u64, StoreError> {
    let mut traces = HashSet::new();
    let mut after = None;
    loop {
        let page = store.span_page(after, SPANS_AT_ONCE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        traces.extend(
            page.iter().filter(|(_, record)| names_user(record, user)).map(|((trace, ..), _)| *trace),
        );
    }
    let traces: Vec<_> = traces.into_iter().collect();
    let mut gone = 0;
    for some in traces.chunks(TRACES_AT_ONCE) {
        gone += store.traces_erase(some.to_vec()).await?;
    }
    Ok(gone)
}
