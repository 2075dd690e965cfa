//! From a selection of production to a version of a reference set.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::mpsc;

use crate::domain::clock::Timestamp;
use crate::domain::evaluation::DefinitionProblem;
use crate::domain::ids::{InteractionId, ReferenceSetId};
use crate::domain::interaction::{Answer, Item, Message};
use crate::domain::reference_set::{DEFAULT_RECORDING, Version};
use crate::domain::selection::{Selected, Selection};
use crate::domain::slice::{UNCLASSIFIED, lot};
use crate::store::{Import, ImportedItem, SelectedRow, Store, StoreError};

/// Items that are read and written at a time.
const CHUNK: usize = 512;
/// Items of one version that come from production.
const ITEMS_MAX: usize = 100_000;

/// Why no version was made.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// The selection is at fault.
    #[error("the selection cannot be used")]
    Selection(Vec<DefinitionProblem>),
    /// The database is at fault, or the set as a whole.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a version of a reference set from what production did. Each item
/// tells in `extra.production` which interaction it was and with which
/// probability it was taken; its answer is recorded as the default one.
pub async fn select_reference_set(
    store: &Store,
    name: String,
    provenance: String,
    selection: Selection,
    at: Timestamp,
) -> Result<(Version, Selected), SelectionError> {
    let problem = |path: &str, message: String| {
        SelectionError::Selection(vec![DefinitionProblem { path: path.into(), message }])
    };
    let problems = selection.problems();
    if !problems.is_empty() {
        let told =
            problems.into_iter().map(|(path, message)| DefinitionProblem { path: path.into(), message });
        return Err(SelectionError::Selection(told.collect()));
    }
    let mut earlier = Earlier::default();
    if selection.extend {
        earlier = Earlier::read(store, &name).await?;
    }
    let mut rows = store.selection_rows(selection.clone()).await?;
    if !selection.interactions.is_empty() {
        let wanted: HashSet<_> =
            selection.interactions.iter().map(|name| InteractionId::of_name(name)).collect();
        rows.retain(|row| wanted.contains(&row.id));
        if rows.len() < wanted.len() {
            let missing = wanted.len() - rows.len();
            return Err(problem(
                "/interactions",
                format!("{missing} of them are not there, or outside the slice"),
            ));
        }
    }
    let mut selected = Selected { found: rows.len() as u64, ..Selected::default() };
    let drawn = draw(&selection, &name, rows);
    if drawn.len() > ITEMS_MAX {
        let message = format!("{} interactions fit; take at most {ITEMS_MAX}", drawn.len());
        return Err(problem("/sample", message));
    }
    let (chunks, received) = mpsc::sync_channel(8);
    let import = Import {
        name: name.clone(),
        id: ReferenceSetId::new(),
        provenance: told(&provenance, &selection),
        at,
    };
    let making = async {
        let made = send(store, &selection, &name, drawn, earlier, &chunks, &mut selected).await;
        if made.is_err() {
            // Rolls the writer's transaction back.
            chunks.send(Err(StoreError::BadInput("the selection cannot be read".into()))).ok();
        }
        drop(chunks);
        made
    };
    let (made, version) = tokio::join!(making, store.reference_set_import(import, received));
    made?;
    Ok((version?, selected))
}

/// The items of the version before.
#[derive(Default)]
struct Earlier {
    items: Vec<ImportedItem>,
}

impl Earlier {
    async fn read(store: &Store, name: &str) -> Result<Self, StoreError> {
        let version = match store.reference_set_version(name.to_owned(), None).await {
            Ok(version) => version,
            Err(StoreError::NotFound { .. }) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let (page, more) = store.reference_items(version, after, CHUNK as u32).await?;
            items.extend(page);
            match more {
                Some(_) => after = more,
                None => return Ok(Self { items }),
            }
        }
    }
}

/// An interaction that was drawn, with the probability of that.
struct Drawn {
    row: SelectedRow,
    probability: f64,
}

fn draw(selection: &Selection, salt: &str, rows: Vec<SelectedRow>) -> Vec<Drawn> {
    let mut by_class = BTreeMap::<Option<String>, Vec<(f64, SelectedRow)>>::new();
    for row in rows {
        let lot = lot(salt.as_bytes(), row.id);
        let probability = selection.sample.probability(row.request_class.as_deref());
        if lot < probability {
            by_class.entry(row.request_class.clone()).or_default().push((lot, row));
        }
    }
    let mut drawn = Vec::new();
    for (class, mut rows) in by_class {
        let sampled = selection.sample.probability(class.as_deref());
        let kept = selection.per_class_max.map_or(rows.len(), |most| rows.len().min(most as usize));
        // A simple random sample of what there is: the lowest lots.
        let share = kept as f64 / rows.len() as f64;
        rows.sort_by(|one, other| one.0.total_cmp(&other.0));
        rows.truncate(kept);
        drawn.extend(rows.into_iter().map(|(_, row)| {
            let probability = sampled * share * row.upstream_probability;
            Drawn { row, probability }
        }));
    }
    drawn.sort_by_key(|drawn| drawn.row.row);
    drawn
}

async fn send(
    store: &Store,
    selection: &Selection,
    name: &str,
    drawn: Vec<Drawn>,
    earlier: Earlier,
    chunks: &mpsc::SyncSender<Result<Vec<ImportedItem>, StoreError>>,
    selected: &mut Selected,
) -> Result<(), StoreError> {
    let expected: HashMap<_, _> =
        selection.expected.iter().map(|(name, answers)| (InteractionId::of_name(name), answers)).collect();
    let mut known: HashSet<blake3::Hash> = HashSet::new();
    let mut keys: HashSet<String> = HashSet::new();
    for (key, item, _) in &earlier.items {
        known.insert(fingerprint(item));
        keys.insert(key.clone());
        *selected.classes.entry(class_of(item)).or_default() += 1;
    }
    selected.carried_over = earlier.items.len() as u64;
    let mut carried = earlier.items.into_iter().peekable();
    while carried.peek().is_some() {
        let chunk: Vec<_> = carried.by_ref().take(CHUNK).collect();
        tokio::task::block_in_place(|| chunks.send(Ok(chunk))).ok();
    }
    for drawn in drawn.chunks(CHUNK) {
        let rows = drawn.iter().map(|drawn| drawn.row.row).collect();
        let sides = store.interaction_sides(rows).await?;
        let drawn: HashMap<_, _> = drawn.iter().map(|drawn| (drawn.row.row, drawn)).collect();
        let mut chunk = Vec::with_capacity(sides.len());
        for (row, mut item, answer) in sides {
            let Drawn { row, probability } = drawn[&row];
            let key = row.id.to_string();
            if !known.insert(fingerprint(&item)) || !keys.insert(key.clone()) {
                selected.duplicates += 1;
                continue;
            }
            if let Some(answers) = expected.get(&row.id) {
                item.expected = answers.to_vec();
            }
            if let Some(part) = part_of(&selection.split, name, row.id) {
                item.metadata.insert("split".into(), part);
            }
            let whence = serde_json::json!({"interaction": row.id, "probability": probability});
            item.extra.get_or_insert_default().insert("production".into(), whence);
            *selected.classes.entry(class_of(&item)).or_default() += 1;
            selected.taken += 1;
            chunk.push((key, item, vec![(DEFAULT_RECORDING.to_owned(), 0, without_time(answer))]));
        }
        if tokio::task::block_in_place(|| chunks.send(Ok(chunk))).is_err() {
            // The writer refused; its own error says why.
            return Ok(());
        }
    }
    Ok(())
}

fn class_of(item: &Item) -> String {
    item.request_class.clone().unwrap_or_else(|| UNCLASSIFIED.to_owned())
}

/// The same question asked at another time is the same item.
fn without_time(mut answer: Answer) -> Answer {
    answer.timing.started_at_us = None;
    answer
}

/// What makes two questions the same: their words, whatever the case and space.
fn fingerprint(item: &Item) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for word in item.query.split_whitespace() {
        hasher.update(word.to_lowercase().as_bytes());
        hasher.update(b" ");
    }
    let rest: (&[Message], _) = (&item.history, &item.query_media);
    hasher.update(&serde_json::to_vec(&rest).expect("messages are plain JSON"));
    hasher.finalize()
}

/// The part that an interaction is dealt to; the same for every version.
fn part_of(split: &BTreeMap<String, f64>, name: &str, id: InteractionId) -> Option<String> {
    let lot = lot(format!("{name} split").as_bytes(), id);
    let mut end = 0.0;
    for (part, share) in split {
        end += share;
        if lot < end {
            return Some(part.clone());
        }
    }
    split.keys().next_back().cloned()
}

fn told(provenance: &str, selection: &Selection) -> String {
    let mut told = String::new();
    if !provenance.is_empty() {
        told.push_str(provenance);
        told.push_str("; ");
    }
    let mut shown = selection.clone();
    // Answers are in the items.
    shown.expected.clear();
    shown.interactions.truncate(20);
    told.push_str("from production: ");
    told.push_str(&serde_json::to_string(&shown).expect("a selection is plain JSON"));
    if selection.is_by_outcome() {
        told.push_str("; chosen by what came of them: rates over this set say nothing of production");
    }
    told
}
