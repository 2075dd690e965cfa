//! Numbered steps, applied in one transaction and never edited after a release.

use std::path::Path;

use rusqlite::Connection;

use super::{Result, StoreError};

const STEPS: [&str; 7] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_production.sql"),
    include_str!("migrations/0003_latency.sql"),
    include_str!("migrations/0004_keeping.sql"),
    include_str!("migrations/0005_reclassification.sql"),
    include_str!("migrations/0006_judging.sql"),
    include_str!("migrations/0007_reviews.sql"),
];

/// The newest schema that this version knows.
pub const KNOWN: u32 = STEPS.len() as u32;

/// Brings a database up to this version. A newer one is refused.
pub fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > KNOWN {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: KNOWN });
    }
    for step in &STEPS[found as usize..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_a_later_version_is_refused_and_left_alone() {
        let mut connection = Connection::open_in_memory().expect("opened");
        connection.pragma_update(None, "user_version", 99).expect("writable");
        let error = migrate(&mut connection, Path::new("assay.db")).expect_err("newer");
        assert_eq!(
            error.to_string(),
            format!(
                "the database `assay.db` has schema 99; this version knows up to {KNOWN}: use a newer `assay`"
            )
        );
        let tables: u32 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .expect("readable");
        assert_eq!(tables, 0);
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = Connection::open_in_memory().expect("opened");
        for _ in 0..2 {
            migrate(&mut connection, Path::new("assay.db")).expect("migrated");
        }
    }
}
