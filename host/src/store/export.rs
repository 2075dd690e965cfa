//! What production holds, page by page, beside whoever writes it.
//!
//! The database is opened read-only. Each page is one short read, so that the
//! write-ahead log does not grow however long an export takes; what comes in
//! meanwhile may or may not be in it.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Transaction, named_params};

use super::interactions::{self, SliceConditions, StoredInteraction};
use super::results::{ItemRow, completion_of, fill_outcomes};
use super::signals::SignalRow;
use super::{Result, StoreError, migrations, runs, snapshot};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Digest;
use crate::domain::ids::{EvaluationId, EventId, InteractionId, RunId, SessionId};
use crate::domain::run::RunScorer;
use crate::domain::slice::Slice;

/// Where a page ended: an instant, and the row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    at_us: i64,
    row: i64,
}

impl Default for Place {
    /// Before everything.
    fn default() -> Self {
        Self { at_us: i64::MIN, row: 0 }
    }
}

/// A run over production.
#[derive(Debug, Clone)]
pub struct ProductionRun {
    pub(super) row: i64,
    /// Its id.
    pub id: RunId,
    /// Of which evaluation.
    pub evaluation: EvaluationId,
    /// The evaluation's name as it is now.
    pub evaluation_name: String,
    /// Its scorers.
    pub scorers: Vec<RunScorer>,
}

/// What a run made of an interaction.
#[derive(Debug, Clone)]
pub struct ScoredInteraction {
    /// Its id.
    pub id: InteractionId,
    /// When the request began.
    pub started_at: Timestamp,
    /// Probability with which the run took it.
    pub probability: f64,
    /// Probability with which the client let it through.
    pub upstream_probability: Option<f64>,
    /// Class, completion, scores, and why there are none.
    pub item: ItemRow,
}

/// A signal, with where it comes from.
#[derive(Debug, Clone)]
pub struct SignalOf {
    /// The session.
    pub session: SessionId,
    /// The interaction; none where it is about the whole session.
    pub interaction: Option<InteractionId>,
    /// When the interaction's request began; of a session, its first one's.
    pub started_at: Timestamp,
    /// The extractor's name.
    pub extractor: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub plugin_version: String,
    /// Digest of its component.
    pub digest: Digest,
    /// What it says.
    pub signal: SignalRow,
}

/// An event as it is kept.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// Its id.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// What.
    pub kind: String,
    /// The interaction that it names.
    pub interaction: Option<InteractionId>,
    /// The visit that it belongs to.
    pub session: Option<SessionId>,
    /// The client's name of that visit.
    pub session_key: Option<String>,
    /// The client's name of the user.
    pub user: Option<String>,
    /// JSON of what goes with the kind.
    pub value: Option<String>,
}

/// A database that is only read.
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens a database of this version's schema.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = snapshot::open_read_only(path)?;
        let schema: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if schema > migrations::KNOWN {
            return Err(StoreError::Newer { path: path.to_owned(), found: schema, known: migrations::KNOWN });
        }
        if schema < migrations::KNOWN {
            return Err(StoreError::BadInput(format!(
                "the database `{}` has schema {schema}, and this version has {}: start its daemon once",
                path.display(),
                migrations::KNOWN
            )));
        }
        Ok(Self { connection })
    }

    /// Interactions of a slice by their start, and where the page ended; none
    /// at the end.
    pub fn interactions(
        &mut self,
        slice: &Slice,
        after: Place,
        limit: u32,
    ) -> Result<(Vec<StoredInteraction>, Option<Place>)> {
        let transaction = self.connection.transaction()?;
        let Some(mut conditions) = SliceConditions::new(&transaction, slice)? else {
            return Ok((Vec::new(), None));
        };
        conditions.and_after(after.at_us, after.row);
        let mut statement = transaction.prepare_cached(&format!(
            "SELECT {} FROM interaction LEFT JOIN session ON session.id = interaction.session \
             WHERE {} ORDER BY started_at_us, interaction.id LIMIT {limit}",
            interactions::COLUMNS,
            conditions.sql()
        ))?;
        let rows = statement.query_map(conditions.values(), interactions::columns)?;
        let page = rows.map(|row| interactions::read(row?)).collect::<Result<Vec<_>>>()?;
        let next = page.last().map(|last| Place { at_us: last.started_at.0, row: last.row });
        Ok((page, next))
    }

    /// Every run over production that has started, oldest first.
    pub fn production_runs(&mut self) -> Result<Vec<ProductionRun>> {
        let transaction = self.connection.transaction()?;
        let mut statement = transaction.prepare_cached(
            "SELECT run.id, run.uid, evaluation.uid, evaluation.name \
             FROM run JOIN evaluation ON evaluation.id = run.evaluation \
             WHERE first_row IS NOT NULL ORDER BY run.id",
        )?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let run = row.get(0)?;
            let scorers = runs::pinned(&transaction, run)?;
            found.push(ProductionRun {
                row: run,
                id: RunId::from_bytes(row.get(1)?),
                evaluation: EvaluationId::from_bytes(row.get(2)?),
                evaluation_name: row.get(3)?,
                scorers: scorers.into_iter().map(|pinned| pinned.scorer).collect(),
            });
        }
        Ok(found)
    }

    /// The first and last row of a slice's time, so that runs are not read
    /// where nothing of it can be.
    pub fn row_range(&mut self, slice: &Slice) -> Result<Option<(i64, i64)>> {
        let transaction = self.connection.transaction()?;
        let times = Slice { from: slice.from, to: slice.to, ..Slice::default() };
        let Some(conditions) = SliceConditions::new(&transaction, &times)? else { return Ok(None) };
        let sql = format!("SELECT min(id), max(id) FROM interaction WHERE {}", conditions.sql());
        let found: (Option<i64>, Option<i64>) = transaction
            .prepare_cached(&sql)?
            .query_row(conditions.values(), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.0.zip(found.1))
    }

    /// What a run made of the interactions of a slice, in the order of receipt,
    /// after one row and up to another.
    pub fn scores(
        &mut self,
        run: &ProductionRun,
        slice: &Slice,
        (after, last): (i64, i64),
        limit: u32,
    ) -> Result<Vec<ScoredInteraction>> {
        let transaction = self.connection.transaction()?;
        let Some(mut conditions) = SliceConditions::new(&transaction, slice)? else { return Ok(Vec::new()) };
        conditions.and("run_item.run", "=", run.row);
        conditions.and("run_item.item", ">", after);
        conditions.and("run_item.item", "<=", last);
        // The order of the joins is the order of the rows.
        let mut statement = transaction.prepare_cached(&format!(
            "SELECT run_item.item, interaction.uid, started_at_us, name.text, completion, \
                    coalesce(run_sample.probability, 1.0), upstream_probability \
             FROM run_item CROSS JOIN interaction ON interaction.id = run_item.item \
             LEFT JOIN run_sample ON run_sample.run = run_item.run AND run_sample.interaction = run_item.item \
             LEFT JOIN name ON name.id = request_class \
             WHERE {} ORDER BY run_item.item LIMIT {limit}",
            conditions.sql()
        ))?;
        let mut rows = statement.query(conditions.values())?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            let mut item = ItemRow {
                item: row.get(0)?,
                request_class: row.get(3)?,
                completion: completion_of(row.get(4)?),
                ..ItemRow::default()
            };
            fill_outcomes(&transaction, run.row, &mut item)?;
            page.push(ScoredInteraction {
                id: InteractionId::from_bytes(row.get(1)?),
                started_at: Timestamp(row.get(2)?),
                probability: row.get(5)?,
                upstream_probability: row.get(6)?,
                item,
            });
        }
        Ok(page)
    }

    /// Signals of a slice's interactions by their start, those of a whole
    /// session before those of its first interaction in the slice; and where
    /// the page ended, of so many interactions.
    pub fn signals(
        &mut self,
        slice: &Slice,
        after: Place,
        limit: u32,
    ) -> Result<(Vec<SignalOf>, Option<Place>)> {
        let transaction = self.connection.transaction()?;
        let Some(mut conditions) = SliceConditions::new(&transaction, slice)? else {
            return Ok((Vec::new(), None));
        };
        conditions.and_after(after.at_us, after.row);
        let mut statement = transaction.prepare_cached(&format!(
            "SELECT interaction.id, started_at_us, session FROM interaction \
             WHERE {} ORDER BY started_at_us, interaction.id LIMIT {limit}",
            conditions.sql()
        ))?;
        let mut rows = statement.query(conditions.values())?;
        let (mut page, mut next) = (Vec::new(), None);
        while let Some(row) = rows.next()? {
            let place = Place { at_us: row.get(1)?, row: row.get(0)? };
            next = Some(place);
            let Some(session) = row.get::<_, Option<i64>>(2)? else { continue };
            if is_first_of_session(&transaction, slice, session, place)? {
                read_signals(&transaction, session, 0, place, &mut page)?;
            }
            read_signals(&transaction, session, place.row, place, &mut page)?;
        }
        Ok((page, next))
    }

    /// Events by their time, and where the page ended. The slice's times are
    /// those of the events; of its other conditions an event is in where its
    /// interaction is, or one of its session where it names none.
    pub fn events(
        &mut self,
        slice: &Slice,
        after: Place,
        limit: u32,
    ) -> Result<(Vec<StoredEvent>, Option<Place>)> {
        let transaction = self.connection.transaction()?;
        let of_interactions = Slice { from: None, to: None, ..slice.clone() };
        let mut statement = transaction.prepare_cached(
            "SELECT event.id, event.uid, at_us, received_at_us, kind, interaction_uid, session.uid, session.key, \
                    name.text, value, event.session \
             FROM event LEFT JOIN session ON session.id = event.session LEFT JOIN name ON name.id = event.user \
             WHERE (at_us, event.id) > (:at, :row) AND at_us >= :from AND at_us < :to \
             ORDER BY at_us, event.id LIMIT :limit",
        )?;
        let mut rows = statement.query(named_params! {
            ":at": after.at_us,
            ":row": after.row,
            ":from": slice.from.map_or(i64::MIN, |from| from.0),
            ":to": slice.to.map_or(i64::MAX, |to| to.0),
            ":limit": limit,
        })?;
        let (mut page, mut next) = (Vec::new(), None);
        while let Some(row) = rows.next()? {
            next = Some(Place { at_us: row.get(2)?, row: row.get(0)? });
            let named = row.get::<_, Option<[u8; 16]>>(5)?.map(InteractionId::from_bytes);
            let session: Option<i64> = row.get(10)?;
            if of_interactions != Slice::default()
                && !is_event_in(&transaction, &of_interactions, named, session)?
            {
                continue;
            }
            page.push(StoredEvent {
                id: EventId::from_bytes(row.get(1)?),
                at: Timestamp(row.get(2)?),
                received_at: Timestamp(row.get(3)?),
                kind: row.get(4)?,
                interaction: named.map(|id| resolve(&transaction, id)).transpose()?,
                session: row.get::<_, Option<[u8; 16]>>(6)?.map(SessionId::from_bytes),
                session_key: row.get(7)?,
                user: row.get(8)?,
                value: row.get(9)?,
            });
        }
        Ok((page, next))
    }
}

/// Whether a session has no earlier interaction in a slice.
fn is_first_of_session(
    transaction: &Transaction<'_>,
    slice: &Slice,
    session: i64,
    place: Place,
) -> Result<bool> {
    let Some(mut conditions) = SliceConditions::new(transaction, slice)? else { return Ok(false) };
    conditions.and("session", "=", session);
    conditions.and_before(place.at_us, place.row);
    let sql = format!("SELECT 1 FROM interaction WHERE {}", conditions.sql());
    Ok(!transaction.prepare_cached(&sql)?.exists(conditions.values())?)
}

fn read_signals(
    transaction: &Transaction<'_>,
    session: i64,
    interaction: i64,
    place: Place,
    page: &mut Vec<SignalOf>,
) -> Result<()> {
    let mut statement = transaction.prepare_cached(
        "SELECT session.uid, (SELECT uid FROM interaction WHERE interaction.id = signal.interaction), \
                extractor.name, plugin, plugin_version, digest, output, value, category, detail \
         FROM signal JOIN session ON session.id = signal.session JOIN extractor ON extractor.id = signal.extractor \
         WHERE signal.session = ?1 AND signal.interaction = ?2 ORDER BY signal.extractor, output",
    )?;
    let rows = statement.query_map((session, interaction), |row| {
        Ok(SignalOf {
            session: SessionId::from_bytes(row.get(0)?),
            interaction: row.get::<_, Option<[u8; 16]>>(1)?.map(InteractionId::from_bytes),
            started_at: Timestamp(place.at_us),
            extractor: row.get(2)?,
            plugin: row.get(3)?,
            plugin_version: row.get(4)?,
            digest: Digest::from_bytes(row.get(5)?),
            signal: SignalRow {
                interaction: Some(interaction).filter(|interaction| *interaction > 0),
                output: row.get(6)?,
                value: row.get(7)?,
                category: row.get(8)?,
                detail: row.get(9)?,
            },
        })
    })?;
    for row in rows {
        page.push(row?);
    }
    Ok(())
}

/// The interaction that an event means: it may name a trace.
fn resolve(transaction: &Transaction<'_>, named: InteractionId) -> Result<InteractionId> {
    let found = transaction
        .prepare_cached("SELECT uid FROM interaction WHERE uid BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")?
        .query_row((named.as_bytes(), named.last_that_it_means().as_bytes()), |row| row.get(0))
        .optional()?;
    Ok(found.map_or(named, InteractionId::from_bytes))
}

fn is_event_in(
    transaction: &Transaction<'_>,
    slice: &Slice,
    named: Option<InteractionId>,
    session: Option<i64>,
) -> Result<bool> {
    let Some(mut conditions) = SliceConditions::new(transaction, slice)? else { return Ok(false) };
    match (named, session) {
        (Some(named), _) => {
            let id = resolve(transaction, named)?;
            let row: Option<i64> = transaction
                .prepare_cached("SELECT id FROM interaction WHERE uid = ?1")?
                .query_row([id.as_bytes()], |row| row.get(0))
                .optional()?;
            let Some(row) = row else { return Ok(false) };
            conditions.and("interaction.id", "=", row);
        }
        (None, Some(session)) => conditions.and("session", "=", session),
        (None, None) => return Ok(false),
    }
    let sql = format!("SELECT 1 FROM interaction WHERE {}", conditions.sql());
    Ok(transaction.prepare_cached(&sql)?.exists(conditions.values())?)
}
