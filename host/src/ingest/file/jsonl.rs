//! JSON lines.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{FileError, Row, read_error};

/// Read from the system at once.
const BUFFER_BYTES: usize = 1 << 18;

/// The lines of a file.
pub struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    line: Vec<u8>,
    number: usize,
    position: u64,
    line_bytes_max: usize,
}

impl Lines {
    pub fn new(file: File, path: &Path, line_bytes_max: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, file),
            path: path.to_owned(),
            line: Vec::new(),
            number: 0,
            position: 0,
            line_bytes_max,
        }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn next(&mut self) -> Option<Result<Row, FileError>> {
        loop {
            let row = match self.read() {
                Ok(Some(row)) => row,
                Ok(None) => return None,
                Err(source) => return Some(Err(read_error(&self.path, source))),
            };
            if row.values.is_err() || !self.line.trim_ascii().is_empty() {
                return Some(Ok(row));
            }
        }
    }

    /// One line; an empty one is a row without values.
    fn read(&mut self) -> std::io::Result<Option<Row>> {
        self.line.clear();
        let most = self.line_bytes_max as u64 + 1;
        let mut read = self.reader.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let too_long = !self.line.ends_with(b"\n") && read as u64 == most;
        if too_long {
            self.line.clear();
            read += self.reader.skip_until(b'\n')?;
        }
        self.position += read as u64;
        let values = if too_long {
            Err(format!("it has more than {} bytes", self.line_bytes_max))
        } else if self.line.trim_ascii().is_empty() {
            Ok(serde_json::Map::new())
        } else {
            serde_json::from_slice(&self.line).map_err(|error| error.to_string())
        };
        Ok(Some(Row { number: self.number, bytes: read, values }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Rows};

    #[test]
    fn lines_are_numbered_and_one_that_is_too_long_costs_the_others_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.jsonl");
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100));
        std::fs::write(&path, format!("{{\"a\":1}}\r\n\n{long}\n7\n{{\"a\":\n{{\"a\":2}}")).expect("written");
        let mut rows = Rows::open(&path, Format::Jsonl, 50).expect("opened");
        let found: Vec<_> = rows.by_ref().map(|row| row.expect("readable")).collect();
        let told: Vec<_> = found.iter().map(|row| (row.number, row.values.is_ok())).collect();
        assert_eq!(told, [(1, true), (3, false), (4, false), (5, false), (6, true)]);
        assert!(found[1].values.as_ref().is_err_and(|reason| reason.contains("more than 50 bytes")));
        assert_eq!(rows.position(), rows.length());
    }
}
