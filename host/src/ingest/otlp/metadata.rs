//! Attributes without a field of their own, within bounds.

use std::collections::BTreeMap;

pub(super) use crate::domain::production::MODEL_CALLS;

/// Entries kept for one span, and for one interaction.
pub(super) const ENTRIES_MAX: usize = 64;

/// Bytes kept of one value.
pub(super) const VALUE_BYTES_MAX: usize = 4 * 1024;

/// Bytes kept of one name.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// Says that something was left out, and what.
pub(super) const CUT: &str = "assay.metadata_cut";

/// Says what is wrong with the tokens.
pub(super) const USAGE: &str = "assay.usage_flag";

/// Says what could not be read of the content.
pub(super) const CONTENT: &str = "assay.content_flag";

/// Says what is wrong with the times.
pub(super) const TIMING: &str = "assay.timing_flag";

/// The host's own notes, which no client can write.
const OWN: [&str; 5] = [CUT, USAGE, CONTENT, TIMING, MODEL_CALLS];

/// Adds an entry, or notes that there was no room for it. The host's own notes
/// are not entries: see [`note`] and [`copy_notes`].
pub(super) fn add(metadata: &mut BTreeMap<String, String>, name: String, mut value: String) {
    if metadata.contains_key(&name) || OWN.contains(&name.as_str()) {
        return;
    }
    if metadata.len() >= ENTRIES_MAX || name.len() > NAME_BYTES_MAX {
        note(metadata, CUT, "entries");
        return;
    }
    if value.len() > VALUE_BYTES_MAX {
        value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
        note(metadata, CUT, "values");
    }
    metadata.insert(name, value);
}

/// Adds one of the host's own notes to those that are there.
pub(super) fn note(metadata: &mut BTreeMap<String, String>, name: &str, note: &str) {
    match metadata.get_mut(name) {
        Some(notes) if notes.split(", ").any(|known| known == note) => {}
        Some(notes) => {
            notes.push_str(", ");
            notes.push_str(note);
        }
        None => {
            metadata.insert(name.to_owned(), note.to_owned());
        }
    }
}

/// Adds the notes that stand under a name elsewhere.
pub(super) fn copy_notes(
    metadata: &mut BTreeMap<String, String>,
    from: &BTreeMap<String, String>,
    name: &str,
) {
    for one in from.get(name).into_iter().flat_map(|notes| notes.split(", ")) {
        note(metadata, name, one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_fits_and_notes_what_was_cut() {
        let mut metadata = BTreeMap::new();
        add(&mut metadata, "long".into(), "é".repeat(VALUE_BYTES_MAX));
        for number in 0..100 {
            add(&mut metadata, format!("name {number:03}"), number.to_string());
        }
        assert_eq!(metadata["long"].len(), VALUE_BYTES_MAX);
        assert_eq!(metadata[CUT], "values, entries");
        assert_eq!(metadata.len(), ENTRIES_MAX);
    }

    #[test]
    fn a_client_cannot_write_the_hosts_notes() {
        let mut metadata = BTreeMap::new();
        add(&mut metadata, USAGE.into(), "all is well".into());
        assert!(metadata.is_empty());
    }

    #[test]
    fn nothing_is_noted_where_nothing_was_cut() {
        let mut metadata = BTreeMap::new();
        add(&mut metadata, "name".into(), "x".repeat(VALUE_BYTES_MAX));
        assert_eq!(metadata.len(), 1);
        note(&mut metadata, USAGE, "a");
        note(&mut metadata, USAGE, "b");
        note(&mut metadata, USAGE, "a");
        assert_eq!(metadata[USAGE], "a, b");
    }
}
