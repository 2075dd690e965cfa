//! Classifying interactions anew, whether or not a daemon works.

use std::sync::Arc;

use super::{AppError, open_store_that_exists};
use crate::config::Config;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::reclassification::Reclassification;
use crate::ingest::Reclassifier;
use crate::store::Started;

/// Gives what started in a time the class that the configuration's rules give
/// it, and waits until that is done. `told` hears how far it is. What broke off
/// goes on where it stood.
pub async fn reclassify(
    config: &Config,
    clock: Arc<dyn Clock>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    told: impl Fn(&Reclassification),
) -> Result<Reclassification, AppError> {
    let store = open_store_that_exists(&config.data_dir)?;
    let reclassifier = Reclassifier::new(store.clone(), clock, &config.ingest.classes)?;
    let (Started::New(started) | Started::Running(started)) = reclassifier.start(from, to).await?;
    reclassifier.carry_out(told).await?;
    Ok(store.reclassification_get(started.id).await?)
}
