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
    /// Names a reference set across its versions.
    ReferenceSetId,
    "reference set"
);

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
    fn refuses_a_text_that_is_no_uuid_and_names_it() {
        let error = "nightly".parse::<EvaluationId>().expect_err("not a UUID");
        assert_eq!(error.to_string(), "evaluation id `nightly` is not a UUID");
    }
}
