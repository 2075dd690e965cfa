//! Texts that many rows repeat, as integers.

use std::collections::HashMap;

use rusqlite::{OptionalExtension as _, Transaction};

use super::Result;

/// The names that one transaction has met, so that each is looked up once.
#[derive(Default)]
pub(super) struct Names {
    met: HashMap<String, i64>,
}

impl Names {
    /// The integer of a text, made where there is none.
    pub fn intern(&mut self, transaction: &Transaction<'_>, text: &str) -> Result<i64> {
        if let Some(id) = self.met.get(text) {
            return Ok(*id);
        }
        let id = match find(transaction, text)? {
            Some(id) => id,
            None => transaction.prepare_cached("INSERT INTO name (text) VALUES (?1)")?.insert([text])?,
        };
        self.met.insert(text.to_owned(), id);
        Ok(id)
    }

    /// As [`Names::intern`], for a text that may be missing.
    pub fn intern_some(&mut self, transaction: &Transaction<'_>, text: Option<&str>) -> Result<Option<i64>> {
        text.map(|text| self.intern(transaction, text)).transpose()
    }
}

/// The integer of a text that was met before.
pub(super) fn find(transaction: &Transaction<'_>, text: &str) -> Result<Option<i64>> {
    Ok(transaction
        .prepare_cached("SELECT id FROM name WHERE text = ?1")?
        .query_row([text], |row| row.get(0))
        .optional()?)
}
