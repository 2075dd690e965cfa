//! What extractors say of closed sessions.

use std::collections::HashMap;

use rusqlite::{OptionalExtension as _, Transaction, named_params};

use super::interactions::SliceConditions;
use super::{ENVIRONMENT, PROJECT, Result, Store, evaluations, json, payload, unreadable};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{EvaluationId, InteractionId, SessionId};
use crate::domain::plugin::{Output, Unscored};
use crate::domain::run::RunScorer;
use crate::domain::slice::Slice;

/// A closed session that extractors have not read as it is now.
#[derive(Debug, Clone)]
pub struct DueSession {
    /// The store's own id of it.
    pub row: i64,
    /// Its id.
    pub id: SessionId,
    /// What was read; a later addition makes it due again.
    pub revision: i64,
    /// The client's name of the user.
    pub user: Option<String>,
    /// Its interactions, in order of time.
    pub interactions: Vec<SessionInteraction>,
    /// What the user did, in order of time.
    pub events: Vec<SessionEvent>,
}

/// An interaction of a session.
#[derive(Debug, Clone)]
pub struct SessionInteraction {
    /// The store's own id of it.
    pub row: i64,
    /// Its id.
    pub id: InteractionId,
    /// JSON of the question's side.
    pub item: String,
    /// JSON of the answer's side.
    pub answer: String,
}

/// An event of a session.
#[derive(Debug, Clone)]
pub struct SessionEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: String,
    /// The interaction that it names.
    pub interaction: Option<InteractionId>,
    /// JSON of what goes with the kind.
    pub value: Option<String>,
}

/// A signal as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalRow {
    /// The interaction's row; none for the whole session.
    pub interaction: Option<i64>,
    /// Name of the output.
    pub output: String,
    /// Its value where it is a number or yes or no.
    pub value: Option<f64>,
    /// Its value where it is a category.
    pub category: Option<String>,
    /// JSON of reason and extra.
    pub detail: Option<String>,
}

/// What one extractor gave for one session.
#[derive(Debug, Clone)]
pub struct SessionSignals {
    /// The session's row.
    pub session: i64,
    /// The session as it was read.
    pub revision: i64,
    /// For each extractor its signals, or why there are none.
    pub extractors: Vec<std::result::Result<Vec<SignalRow>, Unscored>>,
}

/// A signal's figures within one cluster: a user, else a session.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterSignal {
    /// Name of the output.
    pub output: String,
    /// What the group is called: a class, a template, or a day; none where the
    /// interactions have none.
    pub group: Option<String>,
    /// Interactions with a value.
    pub n: u64,
    /// Sum of the values.
    pub sum: f64,
}

/// By what signals are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum SignalGroup {
    All,
    RequestClass,
    Template,
    Day,
}

impl SignalGroup {
    /// The expression that names an interaction's group.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::All => "'all'",
            Self::RequestClass => "(SELECT text FROM name WHERE name.id = request_class)",
            Self::Template => "(SELECT text FROM name WHERE name.id = template)",
            Self::Day => "date(started_at_us / 1000000, 'unixepoch')",
        }
    }
}

/// How much of a slice the signals can speak of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Interactions of the slice.
    pub interactions: u64,
    /// Those in sessions that extractors have read.
    pub extracted: u64,
    /// Those in sessions in which the client reported anything at all.
    pub instrumented: u64,
}

/// A user's interactions and signals cluster; else a session's; else the single one.
pub(super) const CLUSTER: &str = "CASE WHEN interaction.user IS NOT NULL THEN 'u' || interaction.user \
     WHEN interaction.session IS NOT NULL THEN 's' || interaction.session ELSE 'i' || interaction.id END";

impl Store {
    /// Closed sessions that are to be read, the longest closed first.
    pub async fn sessions_to_extract(&self, limit: u32) -> Result<Vec<DueSession>> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT session.id, session.uid, revision, name.text FROM session \
                 LEFT JOIN name ON name.id = session.user \
                 WHERE closed_at_us IS NOT NULL AND extracted_revision < revision \
                 ORDER BY closed_at_us LIMIT ?1",
            )?;
            let due: Vec<(i64, [u8; 16], i64, Option<String>)> = statement
                .query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect::<rusqlite::Result<_>>()?;
            due.into_iter()
                .map(|(row, id, revision, user)| {
                    let interactions = interactions_of(transaction, row)?;
                    let events = events_of(transaction, row, &interactions)?;
                    Ok(DueSession {
                        row,
                        id: SessionId::from_bytes(id),
                        revision,
                        user,
                        interactions,
                        events,
                    })
                })
                .collect()
        })
        .await
    }

    /// Keeps what extractors gave, in place of what they gave before.
    pub async fn signals_commit(
        &self,
        extractors: Vec<RunScorer>,
        sessions: Vec<SessionSignals>,
    ) -> Result<()> {
        self.write(move |transaction| {
            let rows = extractors
                .iter()
                .map(|extractor| extractor_row(transaction, extractor))
                .collect::<Result<Vec<_>>>()?;
            for session in &sessions {
                // It was deleted while it was read: so is what was said of it.
                if !exists(transaction, "SELECT 1 FROM session WHERE id = ?1", session.session)? {
                    continue;
                }
                // Also those of earlier builds: one session has one set of signals.
                for table in ["signal", "session_unscored"] {
                    transaction
                        .prepare_cached(&format!("DELETE FROM {table} WHERE session = ?1"))?
                        .execute([session.session])?;
                }
                for (extractor, given) in rows.iter().zip(&session.extractors) {
                    insert(transaction, session.session, *extractor, given)?;
                }
                transaction
                    .prepare_cached("UPDATE session SET extracted_revision = ?2 WHERE id = ?1")?
                    .execute((session.session, session.revision))?;
            }
            Ok(())
        })
        .await
    }

    /// The signals of an interaction.
    pub async fn signals_of(&self, interaction: i64) -> Result<Vec<SignalRow>> {
        self.read(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT output, value, category, detail FROM signal WHERE interaction = ?1 ORDER BY output",
            )?;
            let rows = statement.query_map([interaction], |row| {
                Ok(SignalRow {
                    interaction: Some(interaction),
                    output: row.get(0)?,
                    value: row.get(1)?,
                    category: row.get(2)?,
                    detail: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Figures of each output over a slice, by group and cluster.
    pub async fn signal_clusters(&self, slice: Slice, group: SignalGroup) -> Result<Vec<ClusterSignal>> {
        self.read(move |transaction| {
            let Some(conditions) = SliceConditions::new(transaction, &slice)? else { return Ok(Vec::new()) };
            let (group, where_) = (group.sql(), conditions.sql());
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT output, {group} AS grouped, count(value), total(value) \
                 FROM interaction JOIN signal ON signal.interaction = interaction.id \
                 WHERE {where_} AND value IS NOT NULL \
                 GROUP BY output, grouped, {CLUSTER} ORDER BY output, grouped"
            ))?;
            let rows = statement.query_map(conditions.values(), |row| {
                Ok(ClusterSignal {
                    output: row.get(0)?,
                    group: row.get(1)?,
                    n: row.get::<_, i64>(2)? as u64,
                    sum: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// How much of a slice the signals can speak of.
    pub async fn signal_coverage(&self, slice: Slice) -> Result<Coverage> {
        self.read(move |transaction| {
            let Some(conditions) = SliceConditions::new(transaction, &slice)? else {
                return Ok(Coverage::default());
            };
            let sql = format!(
                "SELECT count(*), total(session.extracted_revision >= 0), \
                        total(EXISTS (SELECT 1 FROM event WHERE event.session = interaction.session)) \
                 FROM interaction LEFT JOIN session ON session.id = interaction.session WHERE {}",
                conditions.sql()
            );
            Ok(transaction.prepare_cached(&sql)?.query_row(conditions.values(), |row| {
                Ok(Coverage {
                    interactions: row.get::<_, i64>(0)? as u64,
                    extracted: row.get::<_, f64>(1)? as u64,
                    instrumented: row.get::<_, f64>(2)? as u64,
                })
            })?)
        })
        .await
    }
}

fn interactions_of(transaction: &Transaction<'_>, session: i64) -> Result<Vec<SessionInteraction>> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, uid, payload FROM interaction WHERE session = ?1 AND uid IS NOT NULL \
         ORDER BY started_at_us, id",
    )?;
    let mut rows = statement.query([session])?;
    let mut interactions = Vec::new();
    while let Some(row) = rows.next()? {
        let content = payload::decode(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
        interactions.push(SessionInteraction {
            row: row.get(0)?,
            id: InteractionId::from_bytes(row.get(1)?),
            item: content.item().to_owned(),
            answer: content.answer().to_owned(),
        });
    }
    Ok(interactions)
}

fn events_of(
    transaction: &Transaction<'_>,
    session: i64,
    interactions: &[SessionInteraction],
) -> Result<Vec<SessionEvent>> {
    // An event may name a trace: it means the trace's interaction here.
    let named: HashMap<InteractionId, InteractionId> = interactions
        .iter()
        .flat_map(|interaction| {
            [(interaction.id.any_of_its_trace(), interaction.id), (interaction.id, interaction.id)]
        })
        .collect();
    let mut statement = transaction.prepare_cached(
        "SELECT at_us, kind, interaction_uid, value FROM event WHERE session = ?1 ORDER BY at_us, id",
    )?;
    let rows = statement.query_map([session], |row| {
        let interaction = row.get::<_, Option<[u8; 16]>>(2)?.map(InteractionId::from_bytes);
        Ok(SessionEvent {
            at: Timestamp(row.get(0)?),
            kind: row.get(1)?,
            interaction: interaction.map(|id| named.get(&id).copied().unwrap_or(id)),
            value: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn extractor_row(transaction: &Transaction<'_>, extractor: &RunScorer) -> Result<i64> {
    let config = extractor.config.to_string();
    let found = transaction
        .prepare_cached(
            "SELECT id FROM extractor WHERE project = :project AND environment = :environment \
             AND name = :name AND digest = :digest AND config = :config",
        )?
        .query_row(
            named_params! {
                ":project": PROJECT,
                ":environment": ENVIRONMENT,
                ":name": extractor.name,
                ":digest": extractor.digest.as_bytes(),
                ":config": config,
            },
            |row| row.get(0),
        )
        .optional()?;
    if let Some(found) = found {
        return Ok(found);
    }
    Ok(transaction
        .prepare_cached(
            "INSERT INTO extractor \
                 (project, environment, name, plugin, plugin_version, digest, contract, config, outputs) \
             VALUES (:project, :environment, :name, :plugin, :version, :digest, :contract, :config, :outputs)",
        )?
        .insert(named_params! {
            ":project": PROJECT,
            ":environment": ENVIRONMENT,
            ":name": extractor.name,
            ":plugin": extractor.plugin,
            ":version": extractor.version,
            ":digest": extractor.digest.as_bytes(),
            ":contract": extractor.contract,
            ":config": config,
            ":outputs": json(&extractor.outputs),
        })?)
}

fn exists(transaction: &Transaction<'_>, sql: &'static str, row: i64) -> Result<bool> {
    Ok(transaction.prepare_cached(sql)?.exists([row])?)
}

fn insert(
    transaction: &Transaction<'_>,
    session: i64,
    extractor: i64,
    given: &std::result::Result<Vec<SignalRow>, Unscored>,
) -> Result<()> {
    match given {
        Ok(signals) => {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO signal (session, extractor, interaction, output, value, category, detail) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for signal in signals {
                if let Some(row) = signal.interaction
                    && !exists(transaction, "SELECT 1 FROM interaction WHERE id = ?1", row)?
                {
                    continue;
                }
                insert.execute((
                    session,
                    extractor,
                    signal.interaction.unwrap_or(0),
                    &signal.output,
                    signal.value,
                    &signal.category,
                    &signal.detail,
                ))?;
            }
        }
        Err(why) => {
            transaction
                .prepare_cached(
                    "INSERT INTO session_unscored (session, extractor, cause, message) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute((session, extractor, why.cause.as_str(), &why.message))?;
        }
    }
    Ok(())
}

/// An interaction with a score and a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedInteraction {
    /// Its id.
    pub id: InteractionId,
    /// Its group; none where it has none.
    pub group: Option<String>,
    /// Its user, else its session.
    pub cluster: String,
    /// When the request began.
    pub started_at: Timestamp,
    /// What the scorer said.
    pub score: f64,
    /// What the user showed.
    pub signal: f64,
}

impl Store {
    /// Every output that an extractor has declared, the latest declaration of each name.
    pub async fn signal_outputs(&self) -> Result<Vec<Output>> {
        self.read(|transaction| {
            let mut statement =
                transaction.prepare_cached("SELECT outputs FROM extractor ORDER BY id DESC")?;
            let mut rows = statement.query([])?;
            let mut outputs = Vec::<Output>::new();
            while let Some(row) = rows.next()? {
                let declared: Vec<Output> =
                    serde_json::from_str(&row.get::<_, String>(0)?).map_err(unreadable("list of outputs"))?;
                for output in declared {
                    if outputs.iter().all(|known| known.name != output.name) {
                        outputs.push(output);
                    }
                }
            }
            Ok(outputs)
        })
        .await
    }

    /// The scorers and outputs of the evaluation's last run over production.
    pub async fn production_outputs(&self, evaluation: EvaluationId) -> Result<Vec<(String, Vec<Output>)>> {
        self.read(move |transaction| {
            let evaluation = evaluations::row_id(transaction, evaluation)?;
            let mut statement = transaction.prepare_cached(
                "SELECT name, outputs FROM run_scorer WHERE run = \
                     (SELECT max(id) FROM run WHERE evaluation = ?1 AND first_row IS NOT NULL) ORDER BY position",
            )?;
            let mut rows = statement.query([evaluation])?;
            let mut scorers = Vec::new();
            while let Some(row) = rows.next()? {
                let outputs =
                    serde_json::from_str(&row.get::<_, String>(1)?).map_err(unreadable("list of outputs"))?;
                scorers.push((row.get(0)?, outputs));
            }
            Ok(scorers)
        })
        .await
    }

    /// The interactions of a window that have both a score and a signal; of
    /// several runs the last one's score.
    pub async fn judged_interactions(
        &self,
        evaluation: EvaluationId,
        scorer: String,
        output: usize,
        signal: String,
        group: SignalGroup,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<JudgedInteraction>> {
        self.read(move |transaction| {
            let evaluation = evaluations::row_id(transaction, evaluation)?;
            let group = group.sql();
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT interaction.uid, {group}, {CLUSTER}, started_at_us, score.value, signal.value, max(run.id) \
                 FROM interaction JOIN signal ON signal.interaction = interaction.id AND signal.output = :signal \
                 JOIN run ON run.evaluation = :evaluation AND run.first_row IS NOT NULL \
                 JOIN run_scorer ON run_scorer.run = run.id AND run_scorer.name = :scorer \
                 JOIN score ON score.run_scorer = run_scorer.id AND score.item = interaction.id \
                      AND score.trial = 0 AND score.output = :output \
                 WHERE started_at_us >= :from AND started_at_us < :to AND interaction.uid IS NOT NULL \
                   AND score.value IS NOT NULL AND signal.value IS NOT NULL \
                 GROUP BY interaction.id"
            ))?;
            let rows = statement.query_map(
                named_params! {
                    ":signal": signal,
                    ":evaluation": evaluation,
                    ":scorer": scorer,
                    ":output": output as i64,
                    ":from": from.0,
                    ":to": to.0,
                },
                |row| {
                    Ok(JudgedInteraction {
                        id: InteractionId::from_bytes(row.get(0)?),
                        group: row.get(1)?,
                        cluster: row.get(2)?,
                        started_at: Timestamp(row.get(3)?),
                        score: row.get(4)?,
                        signal: row.get(5)?,
                    })
                },
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
