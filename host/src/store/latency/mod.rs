//! How fast production answers: rolled up as it arrives, read by whatever
//! tells requests apart.
//!
//! Each interaction is counted in the hour in which it started, however late it
//! comes, exactly once: the cells and the cursor that says how far they tell
//! change in one transaction. An hour that holds an interaction whose place a
//! later revision took is stale, and is counted again from its rows. Days that are
//! over are added up once more, for queries that reach far.
//!
//! What the cells do not tell apart (user, tenant, version of the service) is
//! answered from the rows, exactly, as long as there are not too many.

mod blocks;
mod cells;
mod days;
mod groups;
mod observation;
mod query;
mod roll_up;
mod rows;

pub use cells::Counts;
pub use days::ChangedDay;
pub use groups::{CacheGroup, Distribution, GroupKey, KeyPart, LatencyGroup};
pub use query::{Figures, Grouping};
pub use roll_up::StaleHour;
pub(super) use roll_up::mark_stale;
