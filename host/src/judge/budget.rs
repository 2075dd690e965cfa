//! What calls may cost: in one run and in one day, for each profile.
//!
//! A call is let through only if it fits even if it costs the most that it can,
//! together with those under way; so no budget is ever exceeded, and the last
//! of it may stay unspent. What was spent is read from the transcripts when a
//! run or a day is met for the first time, so a restart forgets nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::endpoint::Endpoint;
use crate::domain::clock::Clock;
use crate::domain::ids::RunId;
use crate::store::{Store, StoreError};

const DAY_US: i64 = 86_400_000_000;
/// Sums of many small amounts are not exact.
const ROUNDING: f64 = 1e-9;
/// Accounts that are remembered; the transcripts know all.
const ACCOUNTS_MAX: usize = 1_000;

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Account {
    Run(String, RunId),
    /// Counted in days since the Unix epoch, UTC.
    Day(String, i64),
}

#[derive(Debug, Default, Clone, Copy)]
struct Ledger {
    spent: f64,
    reserved: f64,
}

type Ledgers = Arc<Mutex<HashMap<Account, Ledger>>>;

/// All accounts.
pub struct Budgets {
    store: Store,
    clock: Arc<dyn Clock>,
    ledgers: Ledgers,
}

/// A budget that a call does not fit into.
#[derive(Debug)]
pub struct Spent {
    what: &'static str,
    limit: f64,
    spent: f64,
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of {} is used up: {:.4} is spent or under way", self.what, self.limit, self.spent)
    }
}

/// What one call may cost, kept free for it until it is settled or dropped.
pub struct Spending {
    ledgers: Ledgers,
    accounts: Vec<Account>,
    reserved: f64,
}

impl Budgets {
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, ledgers: Ledgers::default() }
    }

    /// Keeps `most` free for a call, where it fits.
    pub async fn reserve(
        &self,
        endpoint: &Endpoint,
        run: Option<RunId>,
        most: f64,
    ) -> Result<Result<Spending, Spent>, StoreError> {
        let mut limits = Vec::new();
        if let (Some(limit), Some(run)) = (endpoint.profile.budget_per_run, run) {
            limits.push(("budget_per_run", limit, Account::Run(endpoint.name.clone(), run)));
        }
        if let Some(limit) = endpoint.profile.budget_per_day {
            let day = self.clock.now().0.div_euclid(DAY_US);
            limits.push(("budget_per_day", limit, Account::Day(endpoint.name.clone(), day)));
        }
        for (_, _, account) in &limits {
            self.open(account).await?;
        }
        let mut ledgers = lock(&self.ledgers);
        for (what, limit, account) in &limits {
            let ledger = ledgers.entry(account.clone()).or_default();
            let spent = ledger.spent + ledger.reserved;
            if spent + most > *limit * (1.0 + ROUNDING) {
                return Ok(Err(Spent { what, limit: *limit, spent }));
            }
        }
        let accounts: Vec<_> = limits.into_iter().map(|(_, _, account)| account).collect();
        for account in &accounts {
            ledgers.entry(account.clone()).or_default().reserved += most;
        }
        Ok(Ok(Spending { ledgers: Arc::clone(&self.ledgers), accounts, reserved: most }))
    }

    /// Reads what was spent before, the first time.
    async fn open(&self, account: &Account) -> Result<(), StoreError> {
        if lock(&self.ledgers).contains_key(account) {
            return Ok(());
        }
        let spent = match account.clone() {
            Account::Run(profile, run) => self.store.judge_cost_of_run(profile, run).await?,
            Account::Day(profile, day) => {
                self.store.judge_cost_between(profile, day * DAY_US, (day + 1) * DAY_US).await?
            }
        };
        let mut ledgers = lock(&self.ledgers);
        if ledgers.len() >= ACCOUNTS_MAX {
            ledgers.retain(|_, ledger| ledger.reserved > 0.0);
        }
        ledgers.entry(account.clone()).or_insert(Ledger { spent, reserved: 0.0 });
        Ok(())
    }
}

impl Spending {
    /// The call has cost this.
    pub fn settle(self, cost: Option<f64>) {
        let mut ledgers = lock(&self.ledgers);
        for account in &self.accounts {
            if let Some(ledger) = ledgers.get_mut(account) {
                ledger.spent += cost.unwrap_or_default();
            }
        }
        // What was kept free is given back by dropping.
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        let mut ledgers = lock(&self.ledgers);
        for account in &self.accounts {
            if let Some(ledger) = ledgers.get_mut(account) {
                ledger.reserved = (ledger.reserved - self.reserved).max(0.0);
            }
        }
    }
}

fn lock(ledgers: &Ledgers) -> MutexGuard<'_, HashMap<Account, Ledger>> {
    ledgers.lock().unwrap_or_else(PoisonError::into_inner)
}
