//! Documents that a retriever found.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::messages::text_of;
use crate::domain::interaction::Document;

/// A document as far as it is known. What has neither text nor name is none.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) id: Option<String>,
    pub(super) content: Option<String>,
    pub(super) score: Option<f64>,
    /// JSON object of the retriever's own names and values.
    pub(super) metadata: Option<String>,
}

#[derive(Default, Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    score: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

/// The documents of a JSON list; none where it is no list.
pub(super) fn list(text: &str) -> Option<Vec<Document>> {
    let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(list.into_iter().filter_map(read).collect())
}

fn read(raw: &RawValue) -> Option<Document> {
    if raw.get().starts_with('"') {
        return Some(Document { id: None, title: None, uri: None, content: text_of(raw)?, relevance: None });
    }
    let raw: Raw<'_> = serde_json::from_str(raw.get()).ok()?;
    let text = |raw: Option<&RawValue>| raw.and_then(text_of);
    let mut document = Draft {
        id: text(raw.id),
        content: text(raw.content).or_else(|| text(raw.text)),
        score: text(raw.score).and_then(|score| score.parse().ok()),
        metadata: text(raw.metadata),
    }
    .finish()?;
    document.title = text(raw.title).or(document.title);
    document.uri = raw.place().or(document.uri);
    Some(document)
}

impl Raw<'_> {
    fn place(&self) -> Option<String> {
        self.uri.or(self.url).or(self.source).and_then(text_of)
    }
}

impl Draft {
    pub(super) fn finish(self) -> Option<Document> {
        if self.id.is_none() && self.content.is_none() {
            return None;
        }
        let metadata: Raw<'_> =
            self.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Some(Document {
            id: self.id,
            title: metadata.title.and_then(text_of),
            uri: metadata.place(),
            content: self.content.unwrap_or_default(),
            relevance: self.score.filter(|score| score.is_finite()),
        })
    }
}
