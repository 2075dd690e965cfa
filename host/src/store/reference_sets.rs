//! Reference sets, their versions, items and recorded answers.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, Transaction, named_params};
use sha2::{Digest as _, Sha256};

use super::{ENVIRONMENT, PROJECT, Result, Store, StoreError, json, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::completion::Presence;
use crate::domain::digest::Digest;
use crate::domain::ids::ReferenceSetId;
use crate::domain::interaction::{Answer, Item};
use crate::domain::reference_set::{ReferenceSet, Version};

/// A version to be made: parsed lines arrive one after another.
pub struct Import {
    /// Name of the set; a new one is made where there is none.
    pub name: String,
    /// Id of the set, if it has to be made.
    pub id: ReferenceSetId,
    /// Where it comes from, for people.
    pub provenance: String,
    /// When.
    pub at: Timestamp,
}

/// A version, as runs refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRef {
    pub(super) id: i64,
    pub(super) first_item: i64,
    pub(super) last_item: i64,
    /// 1 for the first.
    pub number: u32,
}

/// One item on its way in: key, question, answers.
pub type ImportedItem = (String, Item, Vec<(String, u32, Answer)>);

fn version(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u32, [u8; 32], String, i64, String, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

const VERSION_COLUMNS: &str = "number, content_hash, provenance, item_count, recordings, created_at_us";

fn read_version(row: (u32, [u8; 32], String, i64, String, i64)) -> Result<Version> {
    let (number, content_hash, provenance, items, recordings, created_at) = row;
    Ok(Version {
        number,
        content_hash: Digest::from_bytes(content_hash),
        provenance,
        items: items as u64,
        recordings: serde_json::from_str(&recordings).map_err(unreadable("list of recordings"))?,
        created_at: Timestamp(created_at),
    })
}

impl Store {
    /// Makes a version from items that arrive over a channel, all of them or,
    /// after an error, none. A set that already has a version with this very
    /// content answers that version.
    pub async fn reference_set_import(
        &self,
        import: Import,
        items: std::sync::mpsc::Receiver<std::result::Result<Vec<ImportedItem>, StoreError>>,
    ) -> Result<Version> {
        self.write(move |transaction| insert_version(transaction, &import, items)).await
    }

    /// A set with its versions.
    pub async fn reference_set_get(&self, name: String) -> Result<ReferenceSet> {
        self.read(move |transaction| {
            let sets = list(transaction, Some(&name))?;
            sets.into_iter().next().ok_or(StoreError::NotFound { kind: "reference set", name })
        })
        .await
    }

    /// Every set, by name.
    pub async fn reference_set_list(&self) -> Result<Vec<ReferenceSet>> {
        self.read(|transaction| list(transaction, None)).await
    }

    /// A version of a set, the newest where no number is given.
    pub async fn reference_set_version(&self, name: String, number: Option<u32>) -> Result<VersionRef> {
        self.read(move |transaction| {
            let found = transaction
                .prepare_cached(
                    "SELECT reference_set_version.id, first_item, last_item, number FROM reference_set_version \
                     JOIN reference_set ON reference_set.id = reference_set_version.reference_set \
                     WHERE project = :project AND environment = :environment AND name = :name \
                       AND (:number IS NULL OR number = :number) ORDER BY number DESC LIMIT 1",
                )?
                .query_row(
                    named_params! {
                        ":project": PROJECT,
                        ":environment": ENVIRONMENT,
                        ":name": name,
                        ":number": number,
                    },
                    |row| {
                        Ok(VersionRef {
                            id: row.get(0)?,
                            first_item: row.get(1)?,
                            last_item: row.get(2)?,
                            number: row.get(3)?,
                        })
                    },
                )
                .optional()?;
            found.ok_or_else(|| StoreError::NotFound {
                kind: "reference set",
                name: number.map_or(name.clone(), |number| format!("{name}` version `{number}")),
            })
        })
        .await
    }
}

fn list(transaction: &Transaction<'_>, name: Option<&str>) -> Result<Vec<ReferenceSet>> {
    let mut sets = transaction.prepare_cached(
        "SELECT id, uid, name, created_at_us FROM reference_set \
         WHERE project = :project AND environment = :environment AND (:name IS NULL OR name = :name) \
         ORDER BY name",
    )?;
    let mut versions = transaction.prepare_cached(&format!(
        "SELECT {VERSION_COLUMNS} FROM reference_set_version WHERE reference_set = ?1 ORDER BY number"
    ))?;
    let rows = sets.query_map(
        named_params! { ":project": PROJECT, ":environment": ENVIRONMENT, ":name": name },
        |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    rows.map(|row| {
        let (id, uid, name, created_at) = row?;
        let versions =
            versions.query_map([id], version)?.map(|row| read_version(row?)).collect::<Result<Vec<_>>>()?;
        Ok(ReferenceSet {
            id: ReferenceSetId::from_bytes(uid),
            name,
            created_at: Timestamp(created_at),
            versions,
        })
    })
    .collect()
}

fn insert_version(
    transaction: &Transaction<'_>,
    import: &Import,
    items: std::sync::mpsc::Receiver<std::result::Result<Vec<ImportedItem>, StoreError>>,
) -> Result<Version> {
    transaction
        .prepare_cached(
            "INSERT INTO reference_set (uid, project, environment, name, created_at_us) \
             VALUES (:uid, :project, :environment, :name, :at) ON CONFLICT DO NOTHING",
        )?
        .execute(named_params! {
            ":uid": import.id.as_bytes(),
            ":project": PROJECT,
            ":environment": ENVIRONMENT,
            ":name": import.name,
            ":at": import.at.0,
        })?;
    let set: i64 = transaction.query_row(
        "SELECT id FROM reference_set WHERE project = ?1 AND environment = ?2 AND name = ?3",
        [PROJECT, ENVIRONMENT, &import.name],
        |row| row.get(0),
    )?;
    // The hash is known at the end only, and is unique meanwhile.
    transaction
        .prepare_cached(
            "INSERT INTO reference_set_version \
             (reference_set, number, content_hash, provenance, item_count, recordings, created_at_us) \
             VALUES (:set, (SELECT coalesce(max(number), 0) + 1 FROM reference_set_version \
                            WHERE reference_set = :set), randomblob(32), :provenance, 0, '[]', :at)",
        )?
        .execute(named_params! { ":set": set, ":provenance": import.provenance, ":at": import.at.0 })?;
    let version_id = transaction.last_insert_rowid();

    let mut insert_item = transaction.prepare_cached(
        "INSERT INTO item (version, key, content_hash, request_class, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut insert_answer = transaction.prepare_cached(
        "INSERT INTO recorded_answer (item, recording, trial, present, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut whole = Sha256::new();
    let mut count = 0_u64;
    let (mut first_item, mut last_item) = (0, -1);
    let mut recordings = BTreeSet::new();
    for batch in items {
        for (key, item, answers) in batch? {
            let payload = json(&item);
            let added = insert_item.execute((
                version_id,
                &key,
                Digest::of(payload.as_bytes()).as_bytes(),
                &item.request_class,
                &payload,
            ));
            match added {
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                    return Err(StoreError::BadInput(format!("two items have the key `{key}`")));
                }
                other => other?,
            };
            let item_id = transaction.last_insert_rowid();
            if count == 0 {
                first_item = item_id;
            }
            last_item = item_id;
            whole.update((key.len() as u64).to_le_bytes());
            whole.update(&key);
            whole.update(payload.as_bytes());
            for (recording, trial, answer) in answers {
                let payload = json(&answer);
                whole.update(&recording);
                whole.update(payload.as_bytes());
                let present = answer.presence() == Presence::Given;
                insert_answer.execute((item_id, &recording, trial, present, &payload))?;
                if !recordings.contains(&recording) {
                    recordings.insert(recording);
                }
            }
            count += 1;
        }
    }
    drop((insert_item, insert_answer));
    if count == 0 {
        return Err(StoreError::BadInput("a reference set needs at least one item".into()));
    }
    let content_hash: [u8; 32] = whole.finalize().into();
    let same = transaction
        .prepare_cached(&format!(
            "SELECT {VERSION_COLUMNS} FROM reference_set_version WHERE reference_set = ?1 AND content_hash = ?2"
        ))?
        .query_row((set, content_hash), version)
        .optional()?;
    if let Some(same) = same {
        transaction
            .execute("DELETE FROM recorded_answer WHERE item BETWEEN ?1 AND ?2", [first_item, last_item])?;
        transaction.execute("DELETE FROM item WHERE id BETWEEN ?1 AND ?2", [first_item, last_item])?;
        transaction.execute("DELETE FROM reference_set_version WHERE id = ?1", [version_id])?;
        return read_version(same);
    }
    transaction.execute(
        "UPDATE reference_set_version SET content_hash = ?2, item_count = ?3, recordings = ?4, \
         first_item = ?5, last_item = ?6 WHERE id = ?1",
        (version_id, content_hash, count as i64, json(&recordings), first_item, last_item),
    )?;
    let made = transaction.query_row(
        &format!("SELECT {VERSION_COLUMNS} FROM reference_set_version WHERE id = ?1"),
        [version_id],
        version,
    )?;
    read_version(made)
}
