//! Reads a response's body within its limits, whole or as server-sent events.
//!
//! The `sse-stream` crate takes events apart (characters and lines split over
//! chunks, CRLF, comments, data of several lines); it has no limits, so they
//! are held here, on the bytes that it is given.

use std::error::Error as _;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sse_stream::{Error as SseError, SseByteStream};

use super::errors::Failure;

/// Most bytes of a line of a stream.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Why a body cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The connection broke.
    #[error("{}", cause(.0))]
    Transport(reqwest::Error),
    /// A limit is passed.
    #[error("more than {bytes_max} bytes in {what}")]
    TooLarge { what: &'static str, bytes_max: usize },
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge { what, bytes_max } => Self::TooLarge { what, bytes_max },
            ReadError::Transport(_) => Self::BrokeOff(error.to_string()),
        }
    }
}

/// Passes chunks on until they are more than `bytes_max` together.
pub(super) fn limited(
    chunks: impl Stream<Item = Result<Bytes, reqwest::Error>>,
    bytes_max: usize,
) -> impl Stream<Item = Result<Bytes, ReadError>> {
    let mut seen = 0_usize;
    chunks.map(move |chunk| {
        let chunk = chunk.map_err(ReadError::Transport)?;
        seen = seen.saturating_add(chunk.len());
        if seen > bytes_max { Err(ReadError::TooLarge { what: "its body", bytes_max }) } else { Ok(chunk) }
    })
}

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type; none for an ordinary one.
    pub(super) name: Option<String>,
    /// Its data.
    pub(super) data: String,
}

/// The events of a stream. After an error there are no more.
pub(super) fn events(
    chunks: impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static,
) -> impl Stream<Item = Result<Event, Failure>> + Send + Unpin {
    let mut line = 0_usize;
    let short_lines = chunks.map(move |chunk| {
        let chunk = chunk?;
        for part in chunk.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            line += part.len();
            if line > LINE_BYTES_MAX {
                return Err(ReadError::TooLarge { what: "a line", bytes_max: LINE_BYTES_MAX });
            }
            if part.ends_with(b"\n") || part.ends_with(b"\r") {
                line = 0;
            }
        }
        Ok(chunk)
    });
    let events = SseByteStream::new(short_lines.boxed()).filter_map(async |event| match event {
        Ok(event) => event.data.map(|data| Ok(Event { name: event.event, data })),
        Err(error) => Some(Err(failure(error))),
    });
    events.boxed()
}

fn failure(error: SseError) -> Failure {
    match error {
        SseError::Body(inner) => match inner.downcast::<ReadError>() {
            Ok(read) => (*read).into(),
            Err(other) => Failure::BrokeOff(other.to_string()),
        },
        other => Failure::Malformed(other.to_string()),
    }
}

/// The whole chain of causes. Without the URL, which the reader knows.
pub fn cause(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut words = Vec::new();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !words.contains(&text) {
            words.push(text);
        }
        source = inner.source();
    }
    if words.is_empty() { "the connection failed".into() } else { words.join(": ") }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn read(chunks: Vec<Bytes>) -> Vec<Result<Event, Failure>> {
        events(stream::iter(chunks.into_iter().map(Ok))).collect().await
    }

    fn data(data: &str) -> Result<Event, Failure> {
        Ok(Event { name: None, data: data.into() })
    }

    #[tokio::test]
    async fn reads_the_same_events_however_the_bytes_are_cut() {
        let text = ": keep-alive\r\n\r\ndata: grüße 🦀\r\n\r\ndata: one\ndata: two\n\nevent: error\ndata:x\n\n: ping\n\n";
        let expected = vec![
            data("grüße 🦀"),
            data("one\ntwo"),
            Ok(Event { name: Some("error".into()), data: "x".into() }),
        ];
        for size in 1..=text.len() {
            let chunks = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
            assert_eq!(read(chunks).await, expected, "in chunks of {size} bytes");
        }
    }

    #[tokio::test]
    async fn refuses_a_line_without_end_also_where_it_comes_in_pieces() {
        let piece = Bytes::from(vec![b'x'; LINE_BYTES_MAX / 4]);
        let mut chunks = vec![Bytes::from_static(b"data: ok\n\ndata: ")];
        chunks.extend(std::iter::repeat_n(piece, 5));
        assert_eq!(
            read(chunks).await,
            [data("ok"), Err(Failure::TooLarge { what: "a line", bytes_max: LINE_BYTES_MAX })]
        );
    }

    #[tokio::test]
    async fn takes_a_line_of_just_the_limit() {
        let text = format!("data: {}\n\n", "x".repeat(LINE_BYTES_MAX - "data: \n".len()));
        assert!(read(vec![Bytes::from(text)]).await[0].is_ok());
    }
}
