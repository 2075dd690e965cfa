//! Interactions of production: kept once, found by slice.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};

use super::names::{self, Names};
use super::payload::{self, Payload};
use super::sessions::{self, SessionKey, Stretch};
use super::{Result, Store, StoreError};
use crate::domain::clock::Timestamp;
use crate::domain::completion::Presence;
use crate::domain::ids::{InteractionId, SessionId};
use crate::domain::interaction::Timing;
use crate::domain::production::{IncomingScore, MODEL_CALLS, ProductionInteraction};
use crate::domain::slice::{Slice, UNCLASSIFIED};

/// An interaction that is ready to be written: made where there is time, so
/// that the one writing thread only inserts.
#[derive(Debug, Clone)]
pub struct NewInteraction {
    /// Its id.
    pub id: InteractionId,
    started_at: Timestamp,
    received_at: Timestamp,
    session: Option<String>,
    conversation: Option<String>,
    user: Option<String>,
    tenant: Option<String>,
    request_class: Option<String>,
    class_rules: Option<String>,
    template: Option<String>,
    template_version: Option<String>,
    model: Option<String>,
    service_version: Option<String>,
    timing: Timing,
    /// Whether it was streamed in one model call: over several, tokens of all
    /// calls would be counted against the time of the last.
    streamed: Option<bool>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cached_tokens: Option<i64>,
    cost: Option<f64>,
    upstream_probability: Option<f64>,
    failed: bool,
    partial: bool,
    present: bool,
    has_content: bool,
    payload: Vec<u8>,
}

fn count(tokens: Option<u64>) -> Option<i64> {
    tokens.and_then(|tokens| i64::try_from(tokens).ok())
}

impl NewInteraction {
    /// Prepares an interaction. `class_rules` names the version of the rules
    /// that gave its class, where rules did.
    pub fn new(from: ProductionInteraction, received_at: Timestamp, class_rules: Option<&str>) -> Self {
        let (id, started_at, origin) = (from.id, from.started_at, from.origin.clone());
        let (item, answer) = from.sides();
        let payload = payload::encode(&item, &answer, &origin);
        Self {
            id,
            started_at,
            received_at,
            session: origin.session,
            conversation: origin.conversation,
            user: origin.user,
            tenant: origin.tenant,
            class_rules: class_rules.map(str::to_owned),
            template: item.template.clone(),
            template_version: item.template_version.clone(),
            model: answer.model.clone(),
            service_version: origin.service_version,
            timing: answer.timing,
            streamed: answer.timing.streamed.filter(|_| !item.metadata.contains_key(MODEL_CALLS)),
            input_tokens: count(answer.usage.input),
            output_tokens: count(answer.usage.output),
            cached_tokens: count(answer.usage.cached_input),
            cost: origin.cost,
            upstream_probability: origin.upstream_probability,
            failed: answer.error.is_some(),
            partial: origin.partial,
            present: answer.presence() == Presence::Given,
            has_content: !item.query.is_empty() || !answer.actual.is_empty() || !answer.tool_calls.is_empty(),
            request_class: item.request_class,
            payload,
        }
    }

    /// Its size in the database, roughly.
    pub fn size(&self) -> usize {
        self.payload.len() + 200
    }

    /// Whether a stored payload is this very one.
    pub(super) fn has_payload(&self, stored: &[u8]) -> bool {
        self.payload == stored
    }

    fn stretch(&self) -> Stretch {
        let took_us = count(self.timing.total_us).unwrap_or(0);
        Stretch {
            from_us: self.started_at.0,
            to_us: self.started_at.0.saturating_add(took_us),
            received_at_us: self.received_at.0,
        }
    }
}

/// What became of something that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is there now.
    New,
    /// It was there before, and stays as it was.
    Duplicate,
}

/// Writes an interaction unless its id is there.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    names: &mut Names,
    new: &NewInteraction,
    idle_gap_us: i64,
) -> Result<Kept> {
    let known = transaction
        .prepare_cached("SELECT 1 FROM interaction WHERE uid = ?1")?
        .exists([new.id.as_bytes()])?;
    if known {
        return Ok(Kept::Duplicate);
    }
    write(transaction, names, new, idle_gap_us)?;
    Ok(Kept::New)
}

/// Writes an interaction whose id is not there; answers its row.
pub(super) fn write(
    transaction: &Transaction<'_>,
    names: &mut Names,
    new: &NewInteraction,
    idle_gap_us: i64,
) -> Result<i64> {
    let key = match (&new.session, &new.conversation) {
        (Some(session), _) => Some(SessionKey::Session(session)),
        (None, Some(conversation)) => Some(SessionKey::Conversation(conversation)),
        (None, None) => None,
    };
    let user = names.intern_some(transaction, new.user.as_deref())?;
    let session = match key {
        Some(key) => {
            let user = new.user.as_deref();
            Some(sessions::join(transaction, names, key, user, new.stretch(), idle_gap_us)?)
        }
        // An event came first and has to find a session.
        None if has_events(transaction, new.id)? => {
            Some(sessions::insert_lone(transaction, new.id.as_bytes(), user, new.stretch())?)
        }
        None => None,
    };
    let timing = &new.timing;
    let row = transaction
        .prepare_cached(
            "INSERT INTO interaction (uid, session, user, tenant, request_class, class_rules, template, \
                    template_version, model, service_version, started_at_us, received_at_us, total_us, \
                    first_token_us, input_tokens, output_tokens, cached_tokens, cost, upstream_probability, \
                    failed, partial, present, has_content, streamed, payload) \
             VALUES (:uid, :session, :user, :tenant, :class, :rules, :template, :template_version, :model, \
                    :service_version, :started, :received, :total, :first_token, :input, :output, :cached, :cost, \
                    :upstream, :failed, :partial, :present, :has_content, :streamed, :payload)",
        )?
        .insert(named_params! {
            ":uid": new.id.as_bytes(),
            ":session": session,
            ":user": user,
            ":tenant": names.intern_some(transaction, new.tenant.as_deref())?,
            ":class": names.intern_some(transaction, new.request_class.as_deref())?,
            ":rules": names.intern_some(transaction, new.class_rules.as_deref())?,
            ":template": names.intern_some(transaction, new.template.as_deref())?,
            ":template_version": names.intern_some(transaction, new.template_version.as_deref())?,
            ":model": names.intern_some(transaction, new.model.as_deref())?,
            ":service_version": names.intern_some(transaction, new.service_version.as_deref())?,
            ":started": new.started_at.0,
            ":received": new.received_at.0,
            ":total": count(timing.total_us),
            ":first_token": count(timing.first_token_us),
            ":input": new.input_tokens,
            ":output": new.output_tokens,
            ":cached": new.cached_tokens,
            ":cost": new.cost,
            ":upstream": new.upstream_probability,
            ":failed": new.failed,
            ":partial": new.partial,
            ":present": new.present,
            ":has_content": new.has_content,
            ":streamed": new.streamed,
            ":payload": new.payload,
        })?;
    if let Some(session) = session {
        transaction
            .prepare_cached(
                "UPDATE event SET session = ?3 WHERE interaction_uid IN (?1, ?2) AND session IS NULL",
            )?
            .execute((new.id.as_bytes(), new.id.any_of_its_trace().as_bytes(), session))?;
    }
    Ok(row)
}

/// Adds a score that came after its interaction, once.
pub(super) fn add_score(
    transaction: &Transaction<'_>,
    id: InteractionId,
    score: IncomingScore,
) -> Result<()> {
    let found: Option<(i64, Vec<u8>)> = transaction
        .prepare_cached("SELECT id, payload FROM interaction WHERE uid = ?1")?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((row, packed)) = found else { return Ok(()) };
    let mut payload = payload::decode(&packed)?;
    if payload.origin.scores.contains(&score) {
        return Ok(());
    }
    payload.origin.scores.push(score);
    transaction
        .prepare_cached("UPDATE interaction SET payload = ?2 WHERE id = ?1")?
        .execute((row, payload.encode()))?;
    Ok(())
}

fn has_events(transaction: &Transaction<'_>, id: InteractionId) -> Result<bool> {
    Ok(transaction
        .prepare_cached("SELECT 1 FROM event WHERE interaction_uid IN (?1, ?2)")?
        .exists((id.as_bytes(), id.any_of_its_trace().as_bytes()))?)
}

/// An interaction as it is kept.
#[derive(Debug, Clone)]
pub struct StoredInteraction {
    /// The store's own id, for cursors and runs.
    pub row: i64,
    /// Its id.
    pub id: InteractionId,
    /// When the request began.
    pub started_at: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// The visit that it belongs to.
    pub session: Option<SessionId>,
    /// Class of the request.
    pub request_class: Option<String>,
    /// Version of the rules that gave the class.
    pub class_rules: Option<String>,
    /// All the rest.
    pub payload: Payload,
}

/// Columns of a [`StoredInteraction`]; joins `session`.
pub(super) const COLUMNS: &str = "interaction.id, interaction.uid, started_at_us, received_at_us, session.uid, \
     (SELECT text FROM name WHERE name.id = request_class), (SELECT text FROM name WHERE name.id = class_rules), \
     payload";

pub(super) type Columns =
    (i64, [u8; 16], i64, i64, Option<[u8; 16]>, Option<String>, Option<String>, Vec<u8>);

pub(super) fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
    ))
}

pub(super) fn read(columns: Columns) -> Result<StoredInteraction> {
    let (row, id, started_at, received_at, session, request_class, class_rules, payload) = columns;
    Ok(StoredInteraction {
        row,
        id: InteractionId::from_bytes(id),
        started_at: Timestamp(started_at),
        received_at: Timestamp(received_at),
        session: session.map(SessionId::from_bytes),
        request_class,
        class_rules,
        payload: payload::decode(&payload)?,
    })
}

/// A slice as conditions on `interaction`, each a fragment and its value.
pub(super) struct SliceConditions {
    sql: String,
    values: Vec<Value>,
}

impl SliceConditions {
    /// None where the slice names something that was never seen: it is empty.
    pub fn new(transaction: &Transaction<'_>, slice: &Slice) -> Result<Option<Self>> {
        let mut conditions = Self { sql: "interaction.uid IS NOT NULL".into(), values: Vec::new() };
        let named = [
            ("request_class", &slice.request_class),
            ("template", &slice.template),
            ("template_version", &slice.template_version),
            ("model", &slice.model),
            ("service_version", &slice.service_version),
            ("interaction.user", &slice.user),
            ("tenant", &slice.tenant),
        ];
        for (column, wanted) in named {
            let Some(wanted) = wanted else { continue };
            match names::find(transaction, wanted)? {
                _ if column == "request_class" && wanted == UNCLASSIFIED => {
                    conditions.sql.push_str(" AND request_class IS NULL");
                }
                Some(id) => conditions.and(column, "=", id),
                None => return Ok(None),
            }
        }
        if let Some(from) = slice.from {
            conditions.and("started_at_us", ">=", from.0);
        }
        if let Some(to) = slice.to {
            conditions.and("started_at_us", "<", to.0);
        }
        Ok(Some(conditions))
    }

    /// Adds a comparison of a column that this code names.
    pub fn and(&mut self, column: &'static str, comparison: &'static str, value: i64) {
        self.values.push(Value::Integer(value));
        let place = self.values.len();
        self.sql.push_str(&format!(" AND {column} {comparison} ?{place}"));
    }

    /// Later than an instant, or there in a later row.
    pub fn and_after(&mut self, at_us: i64, row: i64) {
        self.and_beside(">", at_us, row);
    }

    /// Earlier than an instant, or there in an earlier row.
    pub fn and_before(&mut self, at_us: i64, row: i64) {
        self.and_beside("<", at_us, row);
    }

    fn and_beside(&mut self, comparison: &'static str, at_us: i64, row: i64) {
        self.values.extend([Value::Integer(at_us), Value::Integer(row)]);
        let place = self.values.len();
        self.sql.push_str(&format!(
            " AND (started_at_us, interaction.id) {comparison} (?{}, ?{place})",
            place - 1
        ));
    }

    /// The conditions, to stand behind `WHERE`.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Their values, in order, to add to.
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }

    /// Their values, in order.
    pub fn values(&self) -> impl rusqlite::Params + '_ {
        rusqlite::params_from_iter(&self.values)
    }
}

impl Store {
    /// One interaction.
    pub async fn interaction_get(&self, id: InteractionId) -> Result<StoredInteraction> {
        self.read(move |transaction| {
            let found = transaction
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM interaction LEFT JOIN session ON session.id = interaction.session \
                     WHERE interaction.uid = ?1"
                ))?
                .query_row([id.as_bytes()], columns)
                .optional()?;
            read(found.ok_or_else(|| not_found(id))?)
        })
        .await
    }

    /// A page of a slice, last received first.
    pub async fn interaction_page(
        &self,
        slice: Slice,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredInteraction>> {
        self.read(move |transaction| {
            let Some(mut conditions) = SliceConditions::new(transaction, &slice)? else {
                return Ok(Vec::new());
            };
            conditions.and("interaction.id", "<", before.unwrap_or(i64::MAX));
            let mut statement = transaction.prepare(&format!(
                "SELECT {COLUMNS} FROM interaction LEFT JOIN session ON session.id = interaction.session \
                 WHERE {} ORDER BY interaction.id DESC LIMIT {limit}",
                conditions.sql()
            ))?;
            let rows = statement.query_map(conditions.values(), columns)?;
            rows.map(|row| read(row?)).collect()
        })
        .await
    }

    /// How many interactions a slice has.
    pub async fn interaction_count(&self, slice: Slice) -> Result<u64> {
        self.read(move |transaction| {
            let Some(conditions) = SliceConditions::new(transaction, &slice)? else { return Ok(0) };
            let count: i64 = transaction
                .prepare(&format!("SELECT count(*) FROM interaction WHERE {}", conditions.sql()))?
                .query_row(conditions.values(), |row| row.get(0))?;
            Ok(count as u64)
        })
        .await
    }
}

fn not_found(id: InteractionId) -> StoreError {
    StoreError::NotFound { kind: "interaction", name: id.to_string() }
}
