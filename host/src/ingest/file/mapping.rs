//! From a row of a file to the members of an interaction or event.

use serde_json::{Map, Value};

use super::fields::{Content, Field};
use super::times::TimeFormat;

/// Why a mapping cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// No field has this name.
    #[error("`{field}` is no field; the fields are: {known}")]
    NoField {
        /// What was given.
        field: String,
        /// What there is.
        known: String,
    },
    /// Two things are to stand in one field.
    #[error("the field `{0}` is given twice")]
    Twice(String),
    /// A constant does not fit its field.
    #[error("`{field}` cannot be `{value}`: {reason}")]
    Constant {
        /// The field.
        field: String,
        /// The value.
        value: String,
        /// Why not.
        reason: String,
    },
    /// The file has no such column.
    #[error("the file has no column `{column}`; it has: {known}")]
    NoColumn {
        /// What was given.
        column: String,
        /// What there is.
        known: String,
    },
}

/// What users say of a file.
#[derive(Debug, Clone, Default)]
pub struct MappingOptions {
    /// (field, column) pairs. With any of them, only these columns are taken.
    pub columns: Vec<(String, String)>,
    /// (field, value) pairs, the same for every row; they stand over the row.
    pub constants: Vec<(String, String)>,
    /// The column that names an interaction or event.
    pub key: Option<String>,
    /// How instants are written.
    pub times: TimeFormat,
}

/// From a row of a file to the members of an interaction or event.
#[derive(Debug, Clone)]
pub struct Mapping {
    content: Content,
    columns: Vec<(Field, String)>,
    constants: Vec<(Field, Value)>,
    key: Option<String>,
    times: TimeFormat,
    file: String,
}

impl Mapping {
    /// Checks what users say. `file` names the file by its content: rows
    /// without a key are named by it and their number.
    pub fn new(content: Content, options: MappingOptions, file: String) -> Result<Self, MappingError> {
        let find = |path: &str| {
            Field::find(content, path)
                .ok_or_else(|| MappingError::NoField { field: path.to_owned(), known: Field::names(content) })
        };
        let mut columns = Vec::new();
        for (path, column) in options.columns {
            columns.push((find(&path)?, column));
        }
        let mut constants = Vec::new();
        for (path, value) in options.constants {
            let field = find(&path)?;
            let read = field.read(Value::String(value.clone()), &options.times);
            let read = read.map_err(|reason| MappingError::Constant { field: path, value, reason })?;
            constants.push((field, read));
        }
        let fields = columns.iter().map(|(field, _)| field).chain(constants.iter().map(|(field, _)| field));
        let mut seen = Vec::new();
        for field in fields {
            let place = (field.member.as_str(), field.below.as_deref());
            if seen.contains(&place) || (place.0 == "id" && options.key.is_some()) {
                let below = place.1.map(|below| format!(".{below}")).unwrap_or_default();
                return Err(MappingError::Twice(format!("{}{below}", place.0)));
            }
            seen.push(place);
        }
        Ok(Self { content, columns, constants, key: options.key, times: options.times, file })
    }

    /// Checks that a file whose columns are known has those that are asked for.
    pub fn check_columns(&self, known: &[String]) -> Result<(), MappingError> {
        let wanted = self.columns.iter().map(|(_, column)| column).chain(&self.key);
        for column in wanted {
            // A path leads into a structured column.
            let top = column.split_once('.').map_or(column.as_str(), |(top, _)| top);
            if !known.iter().any(|known| known == column || known == top) {
                return Err(MappingError::NoColumn { column: column.clone(), known: known.join(", ") });
            }
        }
        Ok(())
    }

    /// What a row stands for. `typed` rows have the fields' own kinds already,
    /// as a line of JSON has that is no table's.
    pub fn apply(
        &self,
        number: usize,
        row: Map<String, Value>,
        typed: bool,
    ) -> Result<Map<String, Value>, String> {
        let key = match &self.key {
            Some(column) => {
                let value = look(&row, column).filter(|value| !value.is_null() && **value != "").cloned();
                let value = value.ok_or_else(|| format!("the key `{column}` is missing"))?;
                let name = Field::find(self.content, "id").expect("both contents have an id");
                Some(name.read(value, &self.times).map_err(|reason| told(column, &reason))?)
            }
            None => None,
        };
        let mut members =
            if self.columns.is_empty() && typed { self.of_json(row)? } else { self.of_columns(row)? };
        for (field, value) in &self.constants {
            put(&mut members, field, value.clone());
        }
        match key {
            Some(key) => drop(members.insert("id".into(), key)),
            None => {
                members.entry("id").or_insert_with(|| Value::String(format!("{}:{number}", self.file)));
            }
        }
        Ok(members)
    }

    /// A line of JSON that is what the API takes, but for its instants.
    fn of_json(&self, mut row: Map<String, Value>) -> Result<Map<String, Value>, String> {
        let instant = match self.content {
            Content::Interactions => "started_at",
            Content::Events => "at",
        };
        if let Some(value) = row.remove(instant).filter(|value| !value.is_null()) {
            let at = self.times.read(&value).map_err(|reason| told(instant, &reason))?;
            row.insert(instant.into(), Value::from(at.0));
        }
        Ok(row)
    }

    fn of_columns(&self, row: Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut members = Map::new();
        if self.columns.is_empty() {
            for (column, value) in row {
                let field = Field::find(self.content, &column)
                    .ok_or_else(|| format!("the column `{column}` is no field; name columns with --map"))?;
                self.add(&mut members, &field, &column, value)?;
            }
            return Ok(members);
        }
        for (field, column) in &self.columns {
            // One column may serve two fields.
            if let Some(value) = look(&row, column).cloned() {
                self.add(&mut members, field, column, value)?;
            }
        }
        Ok(members)
    }

    fn add(
        &self,
        members: &mut Map<String, Value>,
        field: &Field,
        column: &str,
        value: Value,
    ) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        let value = field.read(value, &self.times).map_err(|reason| told(column, &reason))?;
        put(members, field, value);
        Ok(())
    }
}

fn told(column: &str, reason: &str) -> String {
    format!("`{column}`: {reason}")
}

/// A column by its name, else by the path that its name is.
fn look<'a>(row: &'a Map<String, Value>, column: &str) -> Option<&'a Value> {
    if let Some(value) = row.get(column) {
        return Some(value);
    }
    let (first, rest) = column.split_once('.')?;
    match row.get(first)? {
        Value::Object(below) => look(below, rest),
        _ => None,
    }
}

fn put(members: &mut Map<String, Value>, field: &Field, value: Value) {
    let Some(below) = &field.below else {
        members.insert(field.member.clone(), value);
        return;
    };
    let member = members.entry(field.member.clone()).or_insert_with(|| Value::Object(Map::new()));
    if !member.is_object() {
        *member = Value::Object(Map::new());
    }
    member.as_object_mut().expect("it is an object").insert(below.clone(), value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(columns: &[(&str, &str)], constants: &[(&str, &str)]) -> MappingOptions {
        let own = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
        };
        MappingOptions { columns: own(columns), constants: own(constants), ..MappingOptions::default() }
    }

    fn mapping(options: MappingOptions) -> Result<Mapping, MappingError> {
        Mapping::new(Content::Interactions, options, "f".into())
    }

    fn object(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).expect("an object")
    }

    #[test]
    fn mapped_columns_and_constants_become_fields_and_other_columns_are_left_out() {
        let options = options(
            &[("query", "prompt"), ("usage.input", "tokens.in"), ("metadata.city", "city")],
            &[("service", "shop"), ("metadata.source", "old")],
        );
        let mapping = mapping(options).expect("valid");
        let row = json!({"prompt": "p", "tokens": {"in": 7}, "city": null, "other": [1]});
        let wanted = json!({
            "query": "p", "usage": {"input": 7}, "service": "shop", "metadata": {"source": "old"}, "id": "f:3",
        });
        assert_eq!(mapping.apply(3, object(row), true), Ok(object(wanted)));
    }

    #[test]
    fn without_a_mapping_lines_are_taken_as_they_are_and_columns_by_name() {
        let mapping = mapping(options(&[], &[])).expect("valid");
        let row = object(json!({"id": "a", "query": "q", "usage": {"input": 1}}));
        assert_eq!(mapping.apply(1, row.clone(), true), Ok(row));
        let row = object(json!({"id": "a", "query": "q", "usage.input": "1"}));
        let wanted = object(json!({"id": "a", "query": "q", "usage": {"input": 1}}));
        assert_eq!(mapping.apply(1, row, false), Ok(wanted));
        let error = mapping.apply(1, object(json!({"prompt": "q"})), false).expect_err("no field");
        assert!(error.contains("`prompt`") && error.contains("--map"), "{error}");
    }

    #[test]
    fn a_key_names_the_row_and_must_be_there() {
        let mapping = mapping(MappingOptions { key: Some("n".into()), ..options(&[("query", "q")], &[]) });
        let mapping = mapping.expect("valid");
        let row = mapping.apply(1, object(json!({"n": 5, "q": "q"})), true).expect("a row");
        assert_eq!(row["id"], "5");
        for row in [json!({"q": "q"}), json!({"n": "", "q": "q"})] {
            assert!(mapping.apply(1, object(row), true).is_err());
        }
    }

    #[test]
    fn a_mapping_that_cannot_be_is_refused_at_once() {
        for (given, reason) in [
            (options(&[("prompt", "a")], &[]), "`prompt` is no field"),
            (options(&[("query", "a"), ("query", "b")], &[]), "`query` is given twice"),
            (options(&[("timing.total_ms", "a"), ("timing.total_us", "b")], &[]), "`timing.total_us`"),
            (options(&[("cost", "a")], &[("cost", "1")]), "`cost` is given twice"),
            (options(&[], &[("cost", "much")]), "`cost` cannot be `much`"),
            (MappingOptions { key: Some("k".into()), ..options(&[("id", "a")], &[]) }, "`id`"),
        ] {
            let error = mapping(given).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
        }
        let mapping = mapping(options(&[("query", "prompt")], &[])).expect("valid");
        let error = mapping.check_columns(&["a".into(), "b".into()]).expect_err("missing").to_string();
        assert!(error.contains("`prompt`") && error.contains("a, b"), "{error}");
        assert_eq!(mapping.check_columns(&["prompt".into()]), Ok(()));
    }
}
