//! Giving interactions their class anew, in small transactions, and what they
//! were before.
//!
//! Reading and deciding happen elsewhere; the writing thread only changes rows
//! that are still as they were read. The position moves in the same
//! transaction, so each interaction is changed once, whoever works on it and
//! however often that breaks off.

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::names::{self, Names};
use super::payload::{self, Payload};
use super::removal::Budget;
use super::{Result, Store, StoreError, latency};
use crate::domain::clock::Timestamp;
use crate::domain::ids::ReclassificationId;
use crate::domain::interaction::{Answer, Interaction, Item};
use crate::domain::production::Origin;
use crate::domain::reclassification::{
    EarlierClass, Reclassification, ReclassificationProgress, ReclassificationState,
};

/// Rows that one read passes at most, and interactions that it answers.
const ROWS_PASSED_MAX: i64 = 10_000;
const PAGE: u32 = 500;
/// Reclassifications that are listed, the latest.
const LISTED: u32 = 100;

const COLUMNS: &str = "uid, rules, from_us, to_us, created_at_us, state, finished_at_us, last_row, seen_row, \
     examined, changed, kept";

/// A reclassification that is asked for.
#[derive(Debug, Clone)]
pub struct NewReclassification {
    /// Its id.
    pub id: ReclassificationId,
    /// Version of the rules.
    pub rules: String,
    /// Only what started at this instant or later.
    pub from: Option<Timestamp>,
    /// Only what started before this instant.
    pub to: Option<Timestamp>,
    /// When it is asked for.
    pub at: Timestamp,
}

/// What asking for a reclassification did.
#[derive(Debug, Clone)]
pub enum Started {
    /// There is a new one.
    New(Reclassification),
    /// The very same is under way.
    Running(Reclassification),
}

/// Interactions whose class may have to change.
#[derive(Debug, Clone)]
pub struct ClassPage {
    /// The interactions, in the order of their rows.
    pub interactions: Vec<ClassedInteraction>,
    /// Rows that were passed, because these rules gave their class already.
    current: Vec<i64>,
    /// Rows that were passed, because the client gave their class.
    kept: Vec<i64>,
    /// From where the page was read.
    after: i64,
    /// Everything up to this row was looked at.
    seen: i64,
}

/// An interaction with its class.
#[derive(Debug, Clone)]
pub struct ClassedInteraction {
    row: i64,
    request_class: Option<i64>,
    class_rules: Option<i64>,
    class: Option<String>,
    packed: Vec<u8>,
}

/// What becomes of an interaction.
#[derive(Debug, Clone)]
pub struct GivenClass {
    before: ClassedInteraction,
    /// The class and the payload with it, where they are others.
    change: Option<(Option<String>, Vec<u8>)>,
}

impl ClassedInteraction {
    /// Asks for its class; what `give` sees has none.
    pub fn give(self, give: impl FnOnce(&mut Interaction, &Origin)) -> Result<GivenClass> {
        let payload: Payload = payload::decode(&self.packed)?;
        let unreadable = super::unreadable("interaction");
        let item: Item = serde_json::from_str(payload.item()).map_err(unreadable)?;
        let unreadable = super::unreadable("interaction");
        let answer: Answer = serde_json::from_str(payload.answer()).map_err(unreadable)?;
        let mut interaction = Item { request_class: None, ..item.clone() }.with_answer(answer);
        give(&mut interaction, &payload.origin);
        let class = interaction.request_class;
        if class == self.class {
            return Ok(GivenClass { before: self, change: None });
        }
        let packed = payload.with_item(&Item { request_class: class.clone(), ..item }).encode();
        Ok(GivenClass { before: self, change: Some((class, packed)) })
    }
}

impl Store {
    /// Starts a reclassification of all that is there now. One at a time is under
    /// way: the same is answered, another stands against it, and one by other
    /// rules ends.
    pub async fn reclassification_start(&self, new: NewReclassification) -> Result<Started> {
        self.write(move |transaction| {
            if let Some(running) = find(transaction, "state = 'running'", [])? {
                if running.rules != new.rules {
                    transaction
                        .prepare_cached(
                            "UPDATE reclassification SET state = 'superseded', finished_at_us = ?1 \
                             WHERE state = 'running'",
                        )?
                        .execute([new.at.0])?;
                } else if (running.from, running.to) == (new.from, new.to) {
                    return Ok(Started::Running(running));
                } else {
                    return Err(StoreError::Conflict(format!(
                        "the reclassification {} of another time is under way: ask again when it is finished",
                        running.id
                    )));
                }
            }
            transaction
                .prepare_cached(
                    "INSERT INTO reclassification (uid, rules, from_us, to_us, state, created_at_us, last_row, \
                            seen_row, examined, changed, kept) \
                     SELECT :uid, :rules, :from, :to, 'running', :at, coalesce(max(id), 0), 0, 0, 0, 0 \
                     FROM interaction",
                )?
                .execute(named_params! {
                    ":uid": new.id.as_bytes(),
                    ":rules": new.rules,
                    ":from": new.from.map(|from| from.0),
                    ":to": new.to.map(|to| to.0),
                    ":at": new.at.0,
                })?;
            Ok(Started::New(get(transaction, new.id)?))
        })
        .await
    }

    /// A reclassification.
    pub async fn reclassification_get(&self, id: ReclassificationId) -> Result<Reclassification> {
        self.read(move |transaction| get(transaction, id)).await
    }

    /// The latest reclassifications, the latest first.
    pub async fn reclassification_list(&self) -> Result<Vec<Reclassification>> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM reclassification ORDER BY id DESC LIMIT {LISTED}"
            ))?;
            Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The reclassification by a version of the rules that is under way.
    pub async fn reclassification_running(&self, rules: String) -> Result<Option<Reclassification>> {
        self.read(move |transaction| find(transaction, "state = 'running' AND rules = ?1", [rules])).await
    }

    /// What a reclassification has to look at next.
    pub async fn reclassification_page(&self, of: &Reclassification) -> Result<ClassPage> {
        let (from, to) = (of.from.map_or(i64::MIN, |from| from.0), of.to.map_or(i64::MAX, |to| to.0));
        let (after, last) = (of.progress.seen_row as i64, of.progress.last_row as i64);
        let rules = of.rules.clone();
        self.read(move |transaction| {
            let mut page = ClassPage {
                interactions: Vec::new(),
                current: Vec::new(),
                kept: Vec::new(),
                after,
                seen: last,
            };
            // Retention leaves wide gaps.
            let next: Option<i64> = transaction
                .prepare_cached("SELECT min(id) FROM interaction WHERE id > ?1")?
                .query_row([after], |row| row.get(0))?;
            let Some(next) = next.filter(|next| *next <= last) else { return Ok(page) };
            let end = last.min(next.saturating_add(ROWS_PASSED_MAX));
            let rules = names::find(transaction, &rules)?;
            let mut statement = transaction.prepare_cached(
                "SELECT id, request_class, class_rules, (SELECT text FROM name WHERE name.id = request_class), \
                        CASE WHEN request_class IS NOT NULL AND class_rules IS NULL THEN 1 \
                             WHEN class_rules = :rules THEN 2 ELSE 0 END AS standing, payload \
                 FROM interaction \
                 WHERE id > :after AND id <= :end AND uid IS NOT NULL \
                   AND started_at_us >= :from AND started_at_us < :to \
                 ORDER BY id LIMIT :limit",
            )?;
            let mut rows = statement.query(named_params! {
                ":rules": rules, ":after": after, ":end": end, ":from": from, ":to": to, ":limit": PAGE,
            })?;
            let mut found = 0;
            page.seen = end;
            while let Some(row) = rows.next()? {
                found += 1;
                let id = row.get(0)?;
                match row.get(4)? {
                    1 => page.kept.push(id),
                    2 => page.current.push(id),
                    _ => page.interactions.push(ClassedInteraction {
                        row: id,
                        request_class: row.get(1)?,
                        class_rules: row.get(2)?,
                        class: row.get(3)?,
                        packed: row.get(5)?,
                    }),
                }
                if found == PAGE {
                    page.seen = id;
                }
            }
            Ok(page)
        })
        .await
    }

    /// Writes the classes that a page's interactions were given, and moves on. What
    /// has changed since it was read is looked at again. Does nothing where someone
    /// else has moved on.
    pub async fn reclassification_advance(
        &self,
        of: &Reclassification,
        page: ClassPage,
        given: Vec<GivenClass>,
        at: Timestamp,
    ) -> Result<()> {
        let (id, rules, last) = (of.id, of.rules.clone(), of.progress.last_row as i64);
        self.write(move |transaction| {
            let is_ours = transaction
                .prepare_cached(
                    "SELECT 1 FROM reclassification WHERE uid = ?1 AND state = 'running' AND seen_row = ?2",
                )?
                .exists((id.as_bytes(), page.after))?;
            if !is_ours {
                return Ok(());
            }
            let mut names = Names::default();
            let rules = names.intern(transaction, &rules)?;
            let mut budget = Budget::default();
            let (mut seen, mut examined, mut changed) = (page.seen, 0, 0);
            for given in &given {
                let row = given.before.row;
                match give(transaction, &mut names, rules, given, at)? {
                    Fate::Given => {
                        examined += 1;
                        changed += i64::from(given.change.is_some());
                    }
                    Fate::Gone => {}
                    Fate::Changed => {
                        seen = row - 1;
                        break;
                    }
                }
                budget.spend(1);
                if budget.is_spent() {
                    seen = row;
                    break;
                }
            }
            let passed = |rows: &[i64]| rows.partition_point(|row| *row <= seen) as i64;
            examined += passed(&page.current);
            let kept = passed(&page.kept);
            let finished = (seen >= last).then_some(at.0);
            transaction
                .prepare_cached(
                    "UPDATE reclassification SET seen_row = :seen, examined = examined + :examined, \
                            changed = changed + :changed, kept = kept + :kept, finished_at_us = :finished, \
                            state = iif(:finished IS NULL, 'running', 'finished') \
                     WHERE uid = :uid",
                )?
                .execute(named_params! {
                    ":uid": id.as_bytes(),
                    ":seen": seen,
                    ":examined": examined,
                    ":changed": changed,
                    ":kept": kept,
                    ":finished": finished,
                })?;
            Ok(())
        })
        .await
    }

    /// The classes that an interaction, by its row, had before, the earliest first.
    pub async fn earlier_classes(&self, interaction: i64) -> Result<Vec<EarlierClass>> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT (SELECT text FROM name WHERE name.id = request_class), \
                        (SELECT text FROM name WHERE name.id = class_rules), changed_at_us \
                 FROM class_change WHERE interaction = ?1 ORDER BY id",
            )?;
            let rows = statement.query_map([interaction], |row| {
                Ok(EarlierClass {
                    request_class: row.get(0)?,
                    class_rules: row.get(1)?,
                    until: Timestamp(row.get(2)?),
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// What became of an interaction.
enum Fate {
    /// It has its class.
    Given,
    /// It was let go, or a revision took its place, which has a class of its own.
    Gone,
    /// It is not as it was read.
    Changed,
}

/// Gives one interaction its class, if it is as it was read.
fn give(
    transaction: &Transaction<'_>,
    names: &mut Names,
    rules: i64,
    given: &GivenClass,
    at: Timestamp,
) -> Result<Fate> {
    let before = &given.before;
    let done = match &given.change {
        None => transaction
            .prepare_cached(
                "UPDATE interaction SET class_rules = :rules \
                 WHERE id = :row AND uid IS NOT NULL AND request_class IS :class AND class_rules IS :before",
            )?
            .execute(named_params! {
                ":row": before.row,
                ":class": before.request_class,
                ":before": before.class_rules,
                ":rules": rules,
            })?,
        Some((class, packed)) => transaction
            .prepare_cached(
                "UPDATE interaction SET request_class = :given, class_rules = :rules, payload = :packed \
                 WHERE id = :row AND uid IS NOT NULL AND request_class IS :class AND class_rules IS :before \
                   AND payload = :payload",
            )?
            .execute(named_params! {
                ":row": before.row,
                ":class": before.request_class,
                ":before": before.class_rules,
                ":payload": before.packed,
                ":given": names.intern_some(transaction, class.as_deref())?,
                ":rules": rules,
                ":packed": packed,
            })?,
    };
    if done == 0 {
        let there = transaction
            .prepare_cached("SELECT 1 FROM interaction WHERE id = ?1 AND uid IS NOT NULL")?
            .exists([before.row])?;
        return Ok(if there { Fate::Changed } else { Fate::Gone });
    }
    if given.change.is_some() {
        transaction
            .prepare_cached(
                "INSERT INTO class_change (interaction, request_class, class_rules, changed_at_us) \
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((before.row, before.request_class, before.class_rules, at.0))?;
        latency::mark_stale(transaction, before.row)?;
    }
    Ok(Fate::Given)
}

fn get(transaction: &Transaction<'_>, id: ReclassificationId) -> Result<Reclassification> {
    let found = find(transaction, "uid = ?1", [id.as_bytes()])?;
    found.ok_or_else(|| StoreError::NotFound { kind: "reclassification", name: id.to_string() })
}

/// The one that fulfils a condition, which this file names.
fn find(
    transaction: &Transaction<'_>,
    condition: &'static str,
    values: impl rusqlite::Params,
) -> Result<Option<Reclassification>> {
    Ok(transaction
        .prepare_cached(&format!("SELECT {COLUMNS} FROM reclassification WHERE {condition}"))?
        .query_row(values, read)
        .optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Reclassification> {
    let instant = |place: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(place)?.map(Timestamp));
    // Written from numbers that are not negative.
    let count = |place: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(place)?.max(0) as u64);
    let state: String = row.get(5)?;
    let finished_at = instant(6)?.unwrap_or(Timestamp(0));
    Ok(Reclassification {
        id: ReclassificationId::from_bytes(row.get(0)?),
        rules: row.get(1)?,
        from: instant(2)?,
        to: instant(3)?,
        created_at: Timestamp(row.get(4)?),
        state: match state.as_str() {
            "running" => ReclassificationState::Running,
            "superseded" => ReclassificationState::Superseded { finished_at },
            _ => ReclassificationState::Finished { finished_at },
        },
        progress: ReclassificationProgress {
            last_row: count(7)?,
            seen_row: count(8)?,
            examined: count(9)?,
            changed: count(10)?,
            kept: count(11)?,
        },
    })
}
