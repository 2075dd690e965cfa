//! Observations from the interactions' own rows, for what cells do not tell
//! apart. Their number is bounded: a reading thread serves others too.

use rusqlite::Transaction;

use super::observation::Observation;
use crate::domain::slice::Slice;
use crate::store::interactions::SliceConditions;
use crate::store::{Result, StoreError, names};

/// The most rows that one query looks at.
pub const ROWS_MAX: i64 = 200_000;

/// Whether a slice can only be answered from the rows.
pub fn needed(slice: &Slice) -> bool {
    slice.user.is_some() || slice.tenant.is_some() || slice.service_version.is_some()
}

/// Shows every interaction of a slice. Refuses a slice for which too many rows
/// would have to be looked at.
pub fn each(
    transaction: &Transaction<'_>,
    slice: &Slice,
    mut see: impl FnMut(Observation) -> Result<()>,
) -> Result<()> {
    let Some(conditions) = SliceConditions::new(transaction, slice)? else { return Ok(()) };
    let index = cheapest(transaction, slice)?;
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT {} FROM interaction INDEXED BY {index} WHERE {}",
        Observation::COLUMNS,
        conditions.sql()
    ))?;
    let mut rows = statement.query(conditions.values())?;
    while let Some(row) = rows.next()? {
        see(Observation::read(row, 0)?)?;
    }
    Ok(())
}

/// The index that leads to the fewest rows.
fn cheapest(transaction: &Transaction<'_>, slice: &Slice) -> Result<&'static str> {
    let range = "SELECT count(*) FROM (SELECT 1 FROM interaction INDEXED BY interaction_started \
                 WHERE started_at_us >= ?1 AND started_at_us < ?2 LIMIT ?3)";
    let (from, to) = (slice.from.map_or(i64::MIN, |from| from.0), slice.to.map_or(i64::MAX, |to| to.0));
    let count: i64 =
        transaction.prepare_cached(range)?.query_row((from, to, ROWS_MAX + 1), |row| row.get(0))?;
    let mut found = (count, "interaction_started");
    let of_user = "SELECT count(*) FROM (SELECT 1 FROM interaction INDEXED BY interaction_of_user \
                   WHERE user = ?1 LIMIT ?2)";
    let of_tenant = "SELECT count(*) FROM (SELECT 1 FROM interaction INDEXED BY interaction_of_tenant \
                     WHERE tenant = ?1 LIMIT ?2)";
    for (name, sql, index) in
        [(&slice.user, of_user, "interaction_of_user"), (&slice.tenant, of_tenant, "interaction_of_tenant")]
    {
        let Some(name) = name else { continue };
        let Some(id) = names::find(transaction, name)? else { continue };
        let count: i64 = transaction.prepare_cached(sql)?.query_row((id, ROWS_MAX + 1), |row| row.get(0))?;
        found = found.min((count, index));
    }
    if found.0 > ROWS_MAX {
        return Err(StoreError::BadInput(format!(
            "`user`, `tenant` and `service_version` are looked up interaction by interaction, and there are more \
             than {ROWS_MAX} to look at: narrow `from` and `to`"
        )));
    }
    Ok(found.1)
}
