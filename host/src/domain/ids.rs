//! Ids that cannot be swapped: a `RunId` does not fit where an `EvaluationId` is wanted.
//!
//! Each is a UUIDv7, so ids sort by the time of their making. The caller makes
//! them; the store only writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} id `{text}` is not a UUID")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, later in order than those made before it.
            #[expect(clippy::new_without_default, reason = "two defaults would not be equal")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The one id that follows from a digest, for requests that are sent
            /// again.
            pub fn derived(digest: &crate::domain::digest::Digest) -> Self {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&digest.as_bytes()[..16]);
                Self(Uuid::new_v8(bytes))
            }

            /// The id as the store keeps it.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id that the store kept.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| IdError { kind: $kind, text: text.to_owned() })
            }
        }
    };
}

id!(
    /// Names an evaluation.
    EvaluationId,
    "evaluation"
);
id!(
    /// Names one execution of an evaluation.
    RunId,
    "run"
);
id!(
    /// Names an interaction of production.
    InteractionId,
    "interaction"
);
id!(
    /// Names something that a user did.
    EventId,
    "event"
);
id!(
    /// Names a user's visit.
    SessionId,
    "session"
);
id!(
    /// Names a reference set across its versions.
    ReferenceSetId,
    "reference set"
);
id!(
    /// Names a reclassification.
    ReclassificationId,
    "reclassification"
);

id!(
    /// Names a call of a judge.
    TranscriptId,
    "transcript"
);

id!(
    /// Names a queue of answers that people review.
    ReviewQueueId,
    "review queue"
);
id!(
    /// Names an answer that a reviewer was given.
    AssignmentId,
    "assignment"
);
id!(
    /// Names what a person said of an answer.
    ReviewId,
    "review"
);

impl InteractionId {
    /// The one id of the interaction whose root is a span. Interactions of one
    /// trace share their first eight bytes, so that they are found together.
    pub fn of_span(trace: &[u8; 16], span: &[u8; 8]) -> Self {
        Self::from_parts(trace, span)
    }

    /// The one id of the interaction that a client names.
    pub fn of_key(key: &str) -> Self {
        Self::from_parts(key.as_bytes(), b"key")
    }

    fn from_parts(first: &[u8], second: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&blake3::hash(first).as_bytes()[..8]);
        bytes[8..].copy_from_slice(&blake3::hash(second).as_bytes()[..8]);
        Self(Uuid::new_v8(bytes))
    }

    /// The id that a text stands for: one of these ids, or the client's own
    /// name of an interaction.
    pub fn of_name(name: &str) -> Self {
        match Uuid::parse_str(name) {
            // Ids that clients make themselves have other versions.
            Ok(id) if id.get_version_num() == 8 => Self(id),
            _ => Self::of_key(name),
        }
    }

    /// Stands for whichever interaction a trace has, given its 32 hexadecimal
    /// digits.
    pub fn any_of_trace_text(trace: &str) -> Option<Self> {
        let trace = u128::from_str_radix(trace, 16).ok().filter(|_| trace.len() == 32)?;
        Some(Self::range_of_trace(&trace.to_be_bytes()).0)
    }

    /// The greatest id that this one stands for: itself, unless it stands for
    /// a trace.
    pub fn last_that_it_means(&self) -> Self {
        let mut bytes = *self.as_bytes();
        if bytes[8..] == [0; 8] {
            bytes[8..].fill(0xff);
        }
        Self(Uuid::from_bytes(bytes))
    }

    /// What [`InteractionId::any_of_trace_text`] answers for this one's trace.
    pub fn any_of_its_trace(&self) -> Self {
        let mut bytes = *self.as_bytes();
        bytes[8..].fill(0);
        Self(Uuid::from_bytes(bytes))
    }

    /// The least and the greatest id that a trace's interactions can have.
    pub fn range_of_trace(trace: &[u8; 16]) -> (Self, Self) {
        let some = Self::of_span(trace, &[0; 8]).0.into_bytes();
        let with_rest = |rest: u8| {
            let mut bytes = some;
            bytes[8..].fill(rest);
            Self::from_bytes(bytes)
        };
        (with_rest(0x00), with_rest(0xff))
    }
}

impl EventId {
    /// The one id of the event that a client names.
    pub fn of_key(key: &str) -> Self {
        Self::derived(&super::digest::Digest::of(key.as_bytes()))
    }

    /// The id that a text stands for: one of these ids, or the client's own
    /// name of an event.
    pub fn of_name(name: &str) -> Self {
        match Uuid::parse_str(name) {
            Ok(id) if id.get_version_num() == 8 => Self(id),
            _ => Self::of_key(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_bytes() {
        let id = RunId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(RunId::from_bytes(*id.as_bytes()), id);
    }

    #[test]
    fn ids_sort_by_the_time_of_their_making() {
        let ids: Vec<_> = (0..100).map(|_| EvaluationId::new()).collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn interactions_of_one_trace_stand_together() {
        let (trace, other) = ([7; 16], [8; 16]);
        let (low, high) = InteractionId::range_of_trace(&trace);
        for span in 0..=255 {
            let id = InteractionId::of_span(&trace, &[span; 8]);
            assert!(low <= id && id <= high);
            assert_eq!(id, InteractionId::of_span(&trace, &[span; 8]));
            let stranger = InteractionId::of_span(&other, &[span; 8]);
            assert!(stranger < low || stranger > high);
        }
    }

    #[test]
    fn refuses_a_text_that_is_no_uuid_and_names_it() {
        let error = "nightly".parse::<EvaluationId>().expect_err("not a UUID");
        assert_eq!(error.to_string(), "evaluation id `nightly` is not a UUID");
    }
}
