//! API tokens: only their hashes.

use rusqlite::{OptionalExtension as _, named_params};

use super::{Result, Store, StoreError};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;
use crate::domain::role::Role;

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Token {
    /// Name, unique among those that are not revoked.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Store {
    /// Keeps a token's hash.
    pub async fn token_insert(&self, name: String, role: Role, hash: Digest, at: Timestamp) -> Result<()> {
        self.write(move |transaction| {
            let added = transaction
                .prepare_cached(
                    "INSERT INTO token (name, role, hash, created_at_us) VALUES (:name, :role, :hash, :at) \
                     ON CONFLICT DO NOTHING",
                )?
                .execute(named_params! {
                    ":name": name,
                    ":role": role.as_str(),
                    ":hash": hash.as_bytes(),
                    ":at": at.0,
                })?;
            if added == 0 {
                return Err(StoreError::Conflict(format!("there is a token `{name}` already")));
            }
            Ok(())
        })
        .await
    }

    /// The role of a token that is not revoked.
    pub async fn token_role(&self, hash: Digest) -> Result<Option<Role>> {
        self.read(move |transaction| {
            transaction
                .prepare_cached("SELECT role FROM token WHERE hash = ?1 AND revoked_at_us IS NULL")?
                .query_row([hash.as_bytes()], |row| row.get::<_, String>(0))
                .optional()?
                .map(|role| read_role(&role))
                .transpose()
        })
        .await
    }

    /// Tokens that are not revoked, oldest first.
    pub async fn token_list(&self) -> Result<Vec<Token>> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT name, role, created_at_us FROM token WHERE revoked_at_us IS NULL ORDER BY id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
            })?;
            rows.map(|row| {
                let (name, role, created_at) = row?;
                Ok(Token { name, role: read_role(&role)?, created_at: Timestamp(created_at) })
            })
            .collect()
        })
        .await
    }

    /// Revokes a token: it is worth nothing from now on.
    pub async fn token_revoke(&self, name: String, at: Timestamp) -> Result<()> {
        self.write(move |transaction| {
            let revoked = transaction
                .prepare_cached(
                    "UPDATE token SET revoked_at_us = ?2 WHERE name = ?1 AND revoked_at_us IS NULL",
                )?
                .execute((&name, at.0))?;
            if revoked == 0 {
                return Err(StoreError::NotFound { kind: "token", name });
            }
            Ok(())
        })
        .await
    }
}

fn read_role(word: &str) -> Result<Role> {
    Role::parse(word).ok_or_else(|| StoreError::Unreadable { what: "role", reason: word.to_owned() })
}
