//! Deleting one user's data, wherever it is.
//!
//! Each step is a small transaction under `secure_delete`, so what is deleted
//! is overwritten in the file. What SQLite may have left elsewhere in it (a row
//! that moved to another page, a page that an earlier deletion freed) goes when
//! the file is rewritten; `docs/retention.md` says so.

use rusqlite::Transaction;

use super::removal::{self, Budget, ScoringRun};
use super::traces::TraceId;
use super::{Result, Store, latency, names, payload, reviews, transcripts};
use crate::domain::ids::InteractionId;

/// What stands in a definition where a user's name stood.
const NOBODY: &str = "[deleted]";

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Erased {
    /// Interactions, also those that a revision replaced.
    pub interactions: u64,
    /// Scores, outcomes and items of runs, signals, reviewed answers, and what
    /// samples knew.
    pub findings: u64,
    /// Events.
    pub events: u64,
    /// Sessions, also those of others that only lost the user.
    pub sessions: u64,
    /// Records of spans that wait or are kept for late ones.
    pub spans: u64,
    /// Items that reference sets took from the user's interactions.
    pub items: u64,
    /// Answers that were kept for repeated requests.
    pub remembered_answers: u64,
    /// Definitions of evaluations and runs, and provenances of reference sets, in
    /// which the user's name was replaced.
    pub definitions: u64,
}

impl Erased {
    fn add(&mut self, other: Self) {
        self.interactions += other.interactions;
        self.findings += other.findings;
        self.events += other.events;
        self.sessions += other.sessions;
        self.spans += other.spans;
        self.items += other.items;
        self.remembered_answers += other.remembered_answers;
        self.definitions += other.definitions;
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Names a record of a span.
pub type SpanPlace = (TraceId, [u8; 8], i64);

/// One transaction's share of what is to go.
type Step = fn(&Transaction<'_>, i64) -> Result<Erased>;

const STEPS: [Step; 3] = [erase_interactions, erase_events, erase_sessions];

impl Store {
    /// Deletes what is a user's and what tells of it, but for spans.
    pub async fn user_erase(&self, name: &str) -> Result<Erased> {
        let mut erased = Erased::default();
        let wanted = name.to_owned();
        let user = self.read(move |transaction| names::find(transaction, &wanted)).await?;
        if let Some(user) = user {
            for step in STEPS {
                loop {
                    let gone = self.erase(move |transaction| step(transaction, user)).await?;
                    if gone.is_nothing() {
                        break;
                    }
                    erased.add(gone);
                    // What comes in has its turn between two steps.
                    tokio::task::yield_now().await;
                }
            }
        }
        let wanted = name.to_owned();
        erased.add(self.erase(move |transaction| erase_mentions(transaction, &wanted)).await?);
        if let Some(user) = user
            && let Some(seen) = self.read(move |transaction| is_unused(transaction, user)).await?
        {
            self.erase_name(user, seen).await?;
        }
        Ok(erased)
    }

    /// Records of spans, in order of their places.
    pub async fn span_page(&self, after: Option<SpanPlace>, limit: u32) -> Result<Vec<(SpanPlace, Vec<u8>)>> {
        self.read(move |transaction| {
            let (trace, span, part) = after.unwrap_or(([0; 16], [0; 8], i64::MIN));
            let mut statement = transaction.prepare_cached(
                "SELECT trace, span, part, record FROM span WHERE (trace, span, part) > (?1, ?2, ?3) \
                 ORDER BY trace, span, part LIMIT ?4",
            )?;
            let mut rows = statement.query((trace, span, part, limit))?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                let record = payload::unpack(row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?)?;
                page.push(((row.get(0)?, row.get(1)?, row.get(2)?), record));
            }
            Ok(page)
        })
        .await
    }

    /// Deletes traces with their spans; answers how many records went.
    pub async fn traces_erase(&self, traces: Vec<TraceId>) -> Result<u64> {
        self.erase(move |transaction| {
            let mut gone = 0;
            for trace in traces {
                gone += erase_trace(transaction, &trace)?;
            }
            Ok(gone)
        })
        .await
    }
}

/// Interactions of the user, and those without a user in the user's sessions.
fn erase_interactions(transaction: &Transaction<'_>, user: i64) -> Result<Erased> {
    let mut rows: Vec<i64> = transaction
        .prepare_cached("SELECT id FROM interaction WHERE user = ?1 LIMIT 500")?
        .query_map([user], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if rows.is_empty() {
        rows = transaction
            .prepare_cached(
                "SELECT interaction.id FROM session CROSS JOIN interaction ON interaction.session = session.id \
                 WHERE session.user = ?1 AND interaction.user IS NULL LIMIT 500",
            )?
            .query_map([user], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
    }
    let runs = if rows.is_empty() { Vec::new() } else { removal::scoring_runs(transaction)? };
    let mut erased = Erased::default();
    let mut budget = Budget::default();
    for row in rows {
        budget.spend(erase_interaction(transaction, &runs, row, &mut erased)?);
        if budget.is_spent() {
            break;
        }
    }
    Ok(erased)
}

/// Answers how many rows went.
fn erase_interaction(
    transaction: &Transaction<'_>,
    runs: &[ScoringRun],
    row: i64,
    erased: &mut Erased,
) -> Result<usize> {
    let (uid, packed): (Option<[u8; 16]>, Vec<u8>) = transaction
        .prepare_cached("SELECT uid, payload FROM interaction WHERE id = ?1")?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut events = 0;
    if let Some(id) = uid.map(InteractionId::from_bytes) {
        erased.items += erase_items(transaction, id)?;
        // Also what others said of it.
        events = transaction
            .prepare_cached("DELETE FROM event WHERE interaction_uid IN (?1, ?2)")?
            .execute((id.as_bytes(), id.any_of_its_trace().as_bytes()))?;
    }
    // A payload that cannot be read goes all the same.
    let trace = payload::decode(&packed).ok().and_then(|payload| trace_id(payload.origin.trace.as_deref()?));
    let spans = trace.map(|trace| erase_trace(transaction, &trace)).transpose()?.unwrap_or(0);
    latency::mark_stale(transaction, row)?;
    let (gone, session) = removal::interaction(transaction, runs, row)?;
    let mut findings = gone.saturating_sub(1);
    if let Some(session) = session {
        let (sessions, signals) = forget_in_session(transaction, session)?;
        erased.sessions += sessions;
        findings += signals;
    }
    erased.interactions += 1;
    erased.findings += findings as u64;
    erased.events += events as u64;
    erased.spans += spans;
    Ok(1 + findings + events + spans as usize)
}

/// Deletes what reference sets took from an interaction, with its scores. Their
/// versions keep their number and lose the items.
fn erase_items(transaction: &Transaction<'_>, id: InteractionId) -> Result<u64> {
    let items: Vec<(i64, i64)> = transaction
        .prepare_cached("SELECT id, version FROM item WHERE key = ?1")?
        .query_map([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (item, version) in &items {
        transcripts::remove_of_item(transaction, *item, *version)?;
        reviews::forget_item(transaction, *item)?;
        for table in ["score", "unscored"] {
            transaction
                .prepare_cached(&format!(
                    "DELETE FROM {table} WHERE item = ?1 AND run_scorer IN \
                         (SELECT run_scorer.id FROM run_scorer JOIN run ON run.id = run_scorer.run WHERE version = ?2)"
                ))?
                .execute((item, version))?;
        }
        for table in ["run_item", "target_answer"] {
            transaction
                .prepare_cached(&format!(
                    "DELETE FROM {table} WHERE item = ?1 AND run IN (SELECT id FROM run WHERE version = ?2)"
                ))?
                .execute((item, version))?;
        }
        transaction.prepare_cached("DELETE FROM recorded_answer WHERE item = ?1")?.execute([item])?;
        transaction.prepare_cached("DELETE FROM item WHERE id = ?1")?.execute([item])?;
        transaction
            .prepare_cached("UPDATE reference_set_version SET item_count = item_count - 1 WHERE id = ?1")?
            .execute([version])?;
    }
    Ok(items.len() as u64)
}

/// What was said of a session of which a part was deleted is void: an empty one
/// goes, another is read again. Answers how many sessions and signals went.
fn forget_in_session(transaction: &Transaction<'_>, session: i64) -> Result<(u64, usize)> {
    let signals = removal::session_signals(transaction, session)?;
    if removal::empty_session(transaction, session)? > 0 {
        return Ok((1, signals));
    }
    transaction
        .prepare_cached("UPDATE session SET revision = revision + 1 WHERE id = ?1")?
        .execute([session])?;
    Ok((0, signals))
}

/// Events of the user.
fn erase_events(transaction: &Transaction<'_>, user: i64) -> Result<Erased> {
    let found: Vec<(i64, Option<i64>)> = transaction
        .prepare_cached("SELECT id, session FROM event WHERE user = ?1 LIMIT 500")?
        .query_map([user], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut erased = Erased::default();
    let mut budget = Budget::default();
    for (event, session) in found {
        transaction.prepare_cached("DELETE FROM event WHERE id = ?1")?.execute([event])?;
        erased.events += 1;
        budget.spend(1);
        if let Some(session) = session {
            let (sessions, signals) = forget_in_session(transaction, session)?;
            erased.sessions += sessions;
            erased.findings += signals as u64;
            budget.spend(signals);
        }
        if budget.is_spent() {
            break;
        }
    }
    Ok(erased)
}

/// Sessions that are still the user's: with their events without a user. What
/// another user has in one stays, and so does the session without this user.
fn erase_sessions(transaction: &Transaction<'_>, user: i64) -> Result<Erased> {
    let found: Vec<i64> = transaction
        .prepare_cached("SELECT id FROM session WHERE user = ?1 LIMIT 500")?
        .query_map([user], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut erased = Erased::default();
    let mut budget = Budget::default();
    for session in found {
        let events = transaction
            .prepare_cached("DELETE FROM event WHERE session = ?1 AND user IS NULL")?
            .execute([session])?;
        let (sessions, signals) = forget_in_session(transaction, session)?;
        if sessions == 0 {
            transaction.prepare_cached("UPDATE session SET user = NULL WHERE id = ?1")?.execute([session])?;
        }
        erased.events += events as u64;
        // Also one that only lost its user: the step has done something.
        erased.sessions += 1;
        erased.findings += signals as u64;
        budget.spend(1 + events + signals);
        if budget.is_spent() {
            break;
        }
    }
    Ok(erased)
}

/// Where the name itself stands: in definitions, and in answers that are kept
/// for repeated requests. Those to what production sent and people reviewed may
/// quote it, too.
fn erase_mentions(transaction: &Transaction<'_>, name: &str) -> Result<Erased> {
    const PLACE: &str = "$.source.production.slice.user";
    let mut definitions = 0;
    for table in ["evaluation", "run"] {
        definitions += transaction
            .prepare_cached(&format!(
                "UPDATE {table} SET definition = json_set(definition, ?1, ?3) WHERE definition ->> ?1 = ?2"
            ))?
            .execute((PLACE, name, NOBODY))?;
    }
    let escaped = serde_json::Value::from(name).to_string();
    let escaped = escaped[1..escaped.len() - 1].to_owned();
    // A version from production tells of the slice that it was taken from.
    definitions += transaction
        .prepare_cached(
            "UPDATE reference_set_version SET provenance = replace(provenance, '\"user\":\"' || ?1 || '\"', \
                 '\"user\":\"' || ?2 || '\"') WHERE instr(provenance, '\"user\":\"' || ?1 || '\"') > 0",
        )?
        .execute((&escaped, NOBODY))?;
    let remembered_answers = transaction
        .prepare_cached(
            "DELETE FROM idempotency WHERE instr(body, ?1) > 0 OR instr(key, ?1) > 0 OR instr(scope, ?1) > 0 \
             OR instr(body, ?2) > 0 OR scope LIKE 'POST /v1/interactions %' OR scope LIKE 'POST /v1/events %' \
             OR scope LIKE 'POST /v1/review%'",
        )?
        .execute((name, escaped))?;
    Ok(Erased {
        definitions: definitions as u64,
        remembered_answers: remembered_answers as u64,
        ..Erased::default()
    })
}

/// The last interaction, where none up to it and nothing else has a name. That
/// looks through all interactions: a reader's work, not the writer's. A table
/// that refers to names has its line here.
fn is_unused(transaction: &Transaction<'_>, name: i64) -> Result<Option<i64>> {
    let used = transaction
        .prepare_cached(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM interaction WHERE user = ?1) \
             OR EXISTS (SELECT 1 FROM event WHERE user = ?1) OR EXISTS (SELECT 1 FROM session WHERE user = ?1) \
             OR EXISTS (SELECT 1 FROM latency_block WHERE ?1 IN (template, template_version)) \
             OR EXISTS (SELECT 1 FROM latency_day_block WHERE ?1 IN (template, template_version)) \
             OR EXISTS (SELECT 1 FROM class_change WHERE ?1 IN (request_class, class_rules)) \
             OR EXISTS (SELECT 1 FROM interaction WHERE ?1 IN \
                 (tenant, request_class, class_rules, template, template_version, model, service_version))",
        )?
        .exists([name])?;
    let last = transaction
        .prepare_cached("SELECT coalesce(max(id), 0) FROM interaction")?
        .query_row([], |row| row.get(0))?;
    Ok((!used).then_some(last))
}

fn erase_trace(transaction: &Transaction<'_>, trace: &TraceId) -> Result<u64> {
    let gone = transaction.prepare_cached("DELETE FROM span WHERE trace = ?1")?.execute([trace])?;
    transaction.prepare_cached("DELETE FROM trace WHERE id = ?1")?.execute([trace])?;
    Ok(gone as u64)
}

/// Reads 32 hexadecimal digits.
fn trace_id(text: &str) -> Option<TraceId> {
    let trace = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    Some(trace.to_be_bytes())
}
