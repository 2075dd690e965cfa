//! Comma-separated values with a heading.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::{FileError, Row, read_error};

/// Read from the system at once.
const BUFFER_BYTES: usize = 1 << 16;

/// The records of a file.
pub struct Table {
    reader: csv::Reader<Gate>,
    record: csv::StringRecord,
    columns: Vec<String>,
    passed: Rc<Cell<usize>>,
    path: PathBuf,
}

/// Lets only so much of a file through for one record: a quotation mark that
/// is never closed would else take the rest of the file into memory.
struct Gate {
    file: File,
    passed: Rc<Cell<usize>>,
    most: usize,
}

impl Read for Gate {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.passed.get() > self.most {
            let reason = format!("a record has more than {} bytes; is a quotation mark open?", self.most);
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let read = self.file.read(buffer)?;
        self.passed.set(self.passed.get() + read);
        Ok(read)
    }
}

impl Table {
    pub fn new(file: File, path: &Path, record_bytes_max: usize) -> Result<Self, FileError> {
        let passed = Rc::new(Cell::new(0));
        let most = record_bytes_max.max(BUFFER_BYTES);
        let gate = Gate { file, passed: Rc::clone(&passed), most };
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(BUFFER_BYTES).from_reader(gate);
        let columns = reader.headers().map_err(|error| failed(path, error))?;
        // A byte order mark is no part of the first name.
        let columns =
            columns.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        Ok(Self { reader, record: csv::StringRecord::new(), columns, passed, path: path.to_owned() })
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    pub fn next(&mut self) -> Option<Result<Row, FileError>> {
        self.passed.set(0);
        let before = self.position();
        let read = self.reader.read_record(&mut self.record);
        let bytes = (self.position() - before) as usize;
        let line = |position: Option<&csv::Position>| position.map_or(0, |at| at.line() as usize);
        match read {
            Ok(false) => None,
            Ok(true) => {
                let values = self.columns.iter().zip(&self.record).map(|(column, text)| {
                    // An empty cell is a missing value.
                    let value = if text.is_empty() { Value::Null } else { Value::String(text.to_owned()) };
                    (column.clone(), value)
                });
                let number = line(self.record.position());
                Some(Ok(Row { number, bytes, values: Ok(values.collect::<Map<_, _>>()) }))
            }
            Err(error) => match error.kind() {
                csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                    let reason = format!("it has {len} cells, and the heading {expected_len}");
                    Some(Ok(Row { number: line(pos.as_ref()), bytes, values: Err(reason) }))
                }
                csv::ErrorKind::Utf8 { pos, .. } => {
                    let reason = "it is not UTF-8".to_owned();
                    Some(Ok(Row { number: line(pos.as_ref()), bytes, values: Err(reason) }))
                }
                _ => Some(Err(failed(&self.path, error))),
            },
        }
    }
}

fn failed(path: &Path, error: csv::Error) -> FileError {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => read_error(path, source),
        other => FileError::Content { path: path.to_owned(), kind: "CSV", reason: format!("{other:?}") },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Rows};

    /// A row's number and whether it can be used, or why there are no more.
    type Counted = Result<(usize, bool), String>;

    fn rows(text: &[u8], bytes_max: usize) -> (Vec<String>, Vec<Counted>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).expect("written");
        let rows = Rows::open(&path, Format::Csv, bytes_max).expect("opened");
        let columns = rows.columns().expect("it has a heading").to_vec();
        let told = rows
            .take(10)
            .map(|row| row.map(|row| (row.number, row.values.is_ok())).map_err(|error| error.to_string()));
        (columns, told.collect())
    }

    #[test]
    fn records_are_numbered_by_their_first_line_and_bad_ones_are_passed_over() {
        let text = b"\xef\xbb\xbfa, b\n1,\"two\nlines\"\n3\n\"x\xff\",4\n5,\n";
        let (columns, rows) = rows(text, 1_000);
        assert_eq!(columns, ["a", "b"]);
        assert_eq!(rows, [Ok((2, true)), Ok((4, false)), Ok((5, false)), Ok((6, true))]);
    }

    #[test]
    fn a_quotation_mark_that_stays_open_does_not_take_the_whole_file_into_memory() {
        let text = format!("a\n\"{}", "x\n".repeat(500_000));
        let (_, rows) = rows(text.as_bytes(), 1_000);
        let error = rows[0].as_ref().expect_err("too long");
        assert!(error.contains("is a quotation mark open?"), "{error}");
    }
}
