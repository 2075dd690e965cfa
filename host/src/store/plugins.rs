//! Accepted plugins, and which build of each is the current one.

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::{ENVIRONMENT, PROJECT, Result, Store, StoreError, json, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;
use crate::domain::plugin::Descriptor;

/// A component that was accepted once. It stays, because runs refer to it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPlugin {
    /// Digest of the component.
    pub digest: Digest,
    /// What it said of itself.
    pub descriptor: Descriptor,
    /// Size of the component.
    pub size_bytes: u64,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// One change of a plugin's current build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginChange {
    /// The build; none where the plugin was removed.
    pub digest: Option<Digest>,
    /// When.
    pub changed_at: Timestamp,
}

fn plugin(row: &Row<'_>) -> rusqlite::Result<(Digest, String, i64, i64)> {
    Ok((Digest::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?, row.get(3)?))
}

fn read_plugin((digest, descriptor, size, accepted_at): (Digest, String, i64, i64)) -> Result<StoredPlugin> {
    Ok(StoredPlugin {
        digest,
        descriptor: serde_json::from_str(&descriptor).map_err(unreadable("plugin descriptor"))?,
        size_bytes: size as u64,
        accepted_at: Timestamp(accepted_at),
    })
}

fn current(transaction: &Transaction<'_>, name: &str) -> Result<Option<Digest>> {
    let digest: Option<Option<[u8; 32]>> = transaction
        .prepare_cached(
            "SELECT digest FROM plugin_change \
             WHERE project = :project AND environment = :environment AND name = :name \
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(named_params! { ":project": PROJECT, ":environment": ENVIRONMENT, ":name": name }, |row| {
            row.get(0)
        })
        .optional()?;
    Ok(digest.flatten().map(Digest::from_bytes))
}

/// Whether a build says that the same input always gives the same answer.
pub(super) fn is_deterministic(transaction: &Transaction<'_>, digest: Digest) -> Result<bool> {
    let said: Option<bool> = transaction
        .prepare_cached("SELECT descriptor ->> '$.deterministic' FROM plugin WHERE digest = ?1")?
        .query_row([digest.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(said.unwrap_or(false))
}

impl Store {
    /// Keeps an accepted plugin. One that is known already stays as it is.
    pub async fn plugin_insert(&self, plugin: StoredPlugin) -> Result<()> {
        self.write(move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO plugin (digest, name, version, descriptor, size_bytes, accepted_at_us) \
                     VALUES (:digest, :name, :version, :descriptor, :size, :at) ON CONFLICT DO NOTHING",
                )?
                .execute(named_params! {
                    ":digest": plugin.digest.as_bytes(),
                    ":name": plugin.descriptor.name,
                    ":version": plugin.descriptor.version,
                    ":descriptor": json(&plugin.descriptor),
                    ":size": plugin.size_bytes as i64,
                    ":at": plugin.accepted_at.0,
                })?;
            Ok(())
        })
        .await
    }

    /// An accepted plugin by its digest.
    pub async fn plugin_get(&self, digest: Digest) -> Result<Option<StoredPlugin>> {
        self.read(move |transaction| {
            transaction
                .prepare_cached(
                    "SELECT digest, descriptor, size_bytes, accepted_at_us FROM plugin WHERE digest = ?1",
                )?
                .query_row([digest.as_bytes()], plugin)
                .optional()?
                .map(read_plugin)
                .transpose()
        })
        .await
    }

    /// Makes a build the current one of its name; none removes the plugin.
    pub async fn plugin_set_current(
        &self,
        name: String,
        digest: Option<Digest>,
        at: Timestamp,
    ) -> Result<()> {
        self.write(move |transaction| {
            if current(transaction, &name)? == digest {
                return Ok(());
            }
            transaction
                .prepare_cached(
                    "INSERT INTO plugin_change (project, environment, name, digest, changed_at_us) \
                     VALUES (:project, :environment, :name, :digest, :at)",
                )?
                .execute(named_params! {
                    ":project": PROJECT,
                    ":environment": ENVIRONMENT,
                    ":name": name,
                    ":digest": digest.map(|digest| *digest.as_bytes()),
                    ":at": at.0,
                })?;
            Ok(())
        })
        .await
    }

    /// The current build of a plugin.
    pub async fn plugin_current(&self, name: String) -> Result<StoredPlugin> {
        self.read(move |transaction| {
            let not_found = || StoreError::NotFound { kind: "plugin", name: name.clone() };
            let digest = current(transaction, &name)?.ok_or_else(not_found)?;
            let found = transaction
                .prepare_cached(
                    "SELECT digest, descriptor, size_bytes, accepted_at_us FROM plugin WHERE digest = ?1",
                )?
                .query_row([digest.as_bytes()], plugin)
                .optional()?;
            read_plugin(found.ok_or_else(not_found)?)
        })
        .await
    }

    /// The current build of each plugin, by name.
    pub async fn plugin_list(&self) -> Result<Vec<StoredPlugin>> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT plugin.digest, descriptor, size_bytes, accepted_at_us \
                 FROM plugin_change JOIN plugin ON plugin.digest = plugin_change.digest \
                 WHERE plugin_change.id IN (\
                     SELECT max(id) FROM plugin_change \
                     WHERE project = :project AND environment = :environment GROUP BY name) \
                 ORDER BY plugin_change.name",
            )?;
            let rows = statement
                .query_map(named_params! { ":project": PROJECT, ":environment": ENVIRONMENT }, plugin)?;
            rows.map(|row| read_plugin(row?)).collect()
        })
        .await
    }

    /// Every change of a plugin's current build, newest first.
    pub async fn plugin_history(&self, name: String) -> Result<Vec<PluginChange>> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT digest, changed_at_us FROM plugin_change \
                 WHERE project = :project AND environment = :environment AND name = :name ORDER BY id DESC",
            )?;
            let rows = statement.query_map(
                named_params! { ":project": PROJECT, ":environment": ENVIRONMENT, ":name": name },
                |row| {
                    let digest: Option<[u8; 32]> = row.get(0)?;
                    Ok(PluginChange {
                        digest: digest.map(Digest::from_bytes),
                        changed_at: Timestamp(row.get(1)?),
                    })
                },
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The digest that was last seen under a file name of the watched folder.
    pub async fn plugin_file_list(&self) -> Result<Vec<(String, Digest)>> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT file, digest FROM plugin_file")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, Digest::from_bytes(row.get(1)?))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Remembers what was seen under a file name; none forgets it.
    pub async fn plugin_file_set(&self, file: String, digest: Option<Digest>) -> Result<()> {
        self.write(move |transaction| {
            match digest {
                Some(digest) => transaction.execute(
                    "INSERT INTO plugin_file (file, digest) VALUES (?1, ?2) \
                     ON CONFLICT DO UPDATE SET digest = ?2",
                    (file, digest.as_bytes()),
                )?,
                None => transaction.execute("DELETE FROM plugin_file WHERE file = ?1", [file])?,
            };
            Ok(())
        })
        .await
    }
}
