//! Files of interactions and events: JSON lines, CSV and Parquet, row by row.
//!
//! A file of any size is read in bounded memory. A row that cannot be read is
//! told by its number and costs the others nothing; only a file that cannot be
//! read on ends the reading.

mod fields;
mod jsonl;
mod mapping;
mod parquet;
mod table;
mod times;

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use fields::Content;
pub use mapping::{Mapping, MappingError, MappingOptions};
pub use times::TimeFormat;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// JSON lines.
    Jsonl,
    /// Comma-separated values with a heading.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// What a file's name says.
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Why a file cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses.
    #[error("failed to read `{}`: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("`{}` cannot be read as {kind}: {reason}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// As what it was read.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The line on which it begins; of Parquet the row; counted from 1.
    pub number: usize,
    /// Its size in the file, roughly.
    pub bytes: usize,
    /// Its values by column, or what is wrong with it.
    pub values: Result<Map<String, Value>, String>,
}

/// The rows of a file.
pub struct Rows {
    reader: Reader,
    length: u64,
}

enum Reader {
    Jsonl(jsonl::Lines),
    Csv(table::Table),
    Parquet(Box<parquet::Table>),
}

impl Rows {
    /// Opens a file. A row of more than `row_bytes_max` is not read.
    pub fn open(path: &Path, format: Format, row_bytes_max: usize) -> Result<Self, FileError> {
        let file = open(path)?;
        let length = file.metadata().map_err(|source| read_error(path, source))?.len();
        let reader = match format {
            Format::Jsonl => Reader::Jsonl(jsonl::Lines::new(file, path, row_bytes_max)),
            Format::Csv => Reader::Csv(table::Table::new(file, path, row_bytes_max)?),
            Format::Parquet => Reader::Parquet(Box::new(parquet::Table::new(file, path, length)?)),
        };
        Ok(Self { reader, length })
    }

    /// The columns, where the file names them.
    pub fn columns(&self) -> Option<&[String]> {
        match &self.reader {
            Reader::Jsonl(_) => None,
            Reader::Csv(table) => Some(table.columns()),
            Reader::Parquet(table) => Some(table.columns()),
        }
    }

    /// Whether rows are what the API takes, and no table's.
    pub fn is_typed(&self) -> bool {
        matches!(self.reader, Reader::Jsonl(_))
    }

    /// The file's size, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How much of the file was read, in bytes; of Parquet roughly.
    pub fn position(&self) -> u64 {
        match &self.reader {
            Reader::Jsonl(lines) => lines.position(),
            Reader::Csv(table) => table.position(),
            Reader::Parquet(table) => table.position(),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.reader {
            Reader::Jsonl(lines) => lines.next(),
            Reader::Csv(table) => table.next(),
            Reader::Parquet(table) => table.next(),
        }
    }
}

/// Names a file by its content, in 16 hexadecimal digits.
pub fn content_name(path: &Path) -> Result<String, FileError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(open(path)?).map_err(|source| read_error(path, source))?;
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|source| read_error(path, source))
}

fn read_error(path: &Path, source: std::io::Error) -> FileError {
    FileError::Read { path: path.to_owned(), source }
}
