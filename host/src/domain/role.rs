//! What the holder of an API token may do.

use serde::Serialize;

/// What a token may do. Each role may do what those before it may, but for
/// `ingest`, which may send traffic and nothing else.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Send traffic.
    Ingest,
    /// Look.
    Read,
    /// Change evaluations, reference sets and runs.
    Write,
    /// Change plugins and tokens.
    Admin,
}

impl Role {
    /// The word that SQL and the CLI use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The role that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Ingest, Self::Read, Self::Write, Self::Admin].into_iter().find(|role| role.as_str() == word)
    }

    /// Whether this role may do what `needed` may.
    pub fn allows(self, needed: Self) -> bool {
        match needed {
            Self::Ingest => self == Self::Ingest || self >= Self::Write,
            _ => self != Self::Ingest && self >= needed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_what_the_lesser_ones_may_and_ingest_stands_apart() {
        assert!(Role::Admin.allows(Role::Write) && Role::Write.allows(Role::Read));
        assert!(!Role::Read.allows(Role::Write) && !Role::Write.allows(Role::Admin));
        assert!(Role::Ingest.allows(Role::Ingest) && !Role::Ingest.allows(Role::Read));
        assert!(Role::Write.allows(Role::Ingest) && !Role::Read.allows(Role::Ingest));
    }
}
