//! What production holds, as files: one a table, Parquet or JSON lines.
//!
//! Rows go from the database to the file page by page, so an export of any size
//! takes bounded memory, and a daemon may work in the data directory. A file
//! bears its name only when it is whole.

mod columns;
mod lines;
mod parquet;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::columns::{Cell, EVENTS, INTERACTIONS, SCORES, SIGNALS, Table};
use self::parquet::ParquetFile;
use super::DATABASE;
use crate::domain::slice::Slice;
use crate::store::{Place, Reader, StoreError};

/// Interactions or events of one page.
const PAGE: u32 = 500;

/// How the files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Apache Parquet, compressed with zstd.
    Parquet,
    /// JSON lines.
    Jsonl,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no database to read.
    #[error("there is no database in `{}`", .0.display())]
    NoDatabase(PathBuf),
    /// A file of that name is there.
    #[error("`{}` exists already: choose another folder", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("failed to write `{}`: {reason}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The database is at fault.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Which.
    pub file: PathBuf,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// Writes all tables of a slice of production into a folder. `seen` hears of
/// each row that was written.
pub fn export(
    data_dir: &Path,
    slice: &Slice,
    format: ExportFormat,
    folder: &Path,
    seen: impl Fn(&'static str, u64),
) -> Result<Vec<Exported>, ExportError> {
    let database = data_dir.join(DATABASE);
    if !database.is_file() {
        return Err(ExportError::NoDatabase(data_dir.to_owned()));
    }
    let mut reader = Reader::open(&database)?;
    fs::create_dir_all(folder).map_err(|error| write_error(folder, error))?;
    let tables = [INTERACTIONS, SCORES, SIGNALS, EVENTS];
    // Before hours of work: a name that is taken.
    for table in &tables {
        let path = file_path(folder, table, format);
        if path.exists() {
            return Err(ExportError::Exists(path));
        }
    }
    tables
        .into_iter()
        .map(|table| {
            let mut file = TableFile::create(folder, table, format)?;
            let seen = |rows| seen(table.name, rows);
            match table.name {
                "interactions" => interactions(&mut reader, slice, &mut file, &seen)?,
                "scores" => scores(&mut reader, slice, &mut file, &seen)?,
                "signals" => signals(&mut reader, slice, &mut file, &seen)?,
                _ => events(&mut reader, slice, &mut file, &seen)?,
            }
            file.finish()
        })
        .collect()
}

fn interactions(
    reader: &mut Reader,
    slice: &Slice,
    file: &mut TableFile,
    seen: &impl Fn(u64),
) -> Result<(), ExportError> {
    let mut place = Place::default();
    loop {
        let (page, next) = reader.interactions(slice, place, PAGE)?;
        for stored in page {
            match &mut file.writer {
                Writer::Parquet(_) => file.row(columns::interaction_row(stored)?)?,
                Writer::Jsonl(_) => file.line(&lines::interaction_line(&stored)?)?,
            }
        }
        seen(file.rows);
        let Some(next) = next else { return Ok(()) };
        place = next;
    }
}

fn scores(
    reader: &mut Reader,
    slice: &Slice,
    file: &mut TableFile,
    seen: &impl Fn(u64),
) -> Result<(), ExportError> {
    let Some((first, last)) = reader.row_range(slice)? else { return Ok(()) };
    for run in reader.production_runs()? {
        let mut after = first - 1;
        loop {
            let page = reader.scores(&run, slice, (after, last), PAGE)?;
            let Some(end) = page.last() else { break };
            after = end.item.item;
            for scored in &page {
                for row in columns::score_rows(&run, scored) {
                    file.row(row)?;
                }
            }
            seen(file.rows);
        }
    }
    Ok(())
}

fn signals(
    reader: &mut Reader,
    slice: &Slice,
    file: &mut TableFile,
    seen: &impl Fn(u64),
) -> Result<(), ExportError> {
    let mut place = Place::default();
    loop {
        let (page, next) = reader.signals(slice, place, PAGE)?;
        for signal in page {
            file.row(columns::signal_row(signal))?;
        }
        seen(file.rows);
        let Some(next) = next else { return Ok(()) };
        place = next;
    }
}

fn events(
    reader: &mut Reader,
    slice: &Slice,
    file: &mut TableFile,
    seen: &impl Fn(u64),
) -> Result<(), ExportError> {
    let mut place = Place::default();
    loop {
        let (page, next) = reader.events(slice, place, PAGE)?;
        for event in page {
            match &mut file.writer {
                Writer::Parquet(_) => file.row(columns::event_row(event))?,
                Writer::Jsonl(_) => file.line(&lines::event_line(&event))?,
            }
        }
        seen(file.rows);
        let Some(next) = next else { return Ok(()) };
        place = next;
    }
}

/// A table's file that is being written, under a name that says so.
struct TableFile {
    table: Table,
    path: PathBuf,
    part: PathBuf,
    writer: Writer,
    rows: u64,
}

enum Writer {
    Parquet(Box<ParquetFile>),
    Jsonl(BufWriter<File>),
}

fn file_path(folder: &Path, table: &Table, format: ExportFormat) -> PathBuf {
    let ending = match format {
        ExportFormat::Parquet => "parquet",
        ExportFormat::Jsonl => "jsonl",
    };
    folder.join(format!("{}.{ending}", table.name))
}

fn write_error(path: &Path, error: impl std::fmt::Display) -> ExportError {
    ExportError::Write { path: path.to_owned(), reason: error.to_string() }
}

impl TableFile {
    fn create(folder: &Path, table: Table, format: ExportFormat) -> Result<Self, ExportError> {
        let path = file_path(folder, &table, format);
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let writer = match format {
            ExportFormat::Parquet => {
                let file = ParquetFile::create(&part, &table).map_err(|error| write_error(&part, error))?;
                Writer::Parquet(Box::new(file))
            }
            ExportFormat::Jsonl => {
                Writer::Jsonl(BufWriter::new(File::create(&part).map_err(|error| write_error(&part, error))?))
            }
        };
        Ok(Self { table, path, part, writer, rows: 0 })
    }

    fn row(&mut self, row: Vec<Cell>) -> Result<(), ExportError> {
        match &mut self.writer {
            Writer::Parquet(file) => {
                file.push(row).map_err(|error| write_error(&self.part, error))?;
                self.rows += 1;
                Ok(())
            }
            Writer::Jsonl(_) => self.line(&lines::table_line(&self.table, row)),
        }
    }

    fn line(&mut self, line: &serde_json::Value) -> Result<(), ExportError> {
        let Writer::Jsonl(file) = &mut self.writer else { unreachable!("lines are JSON") };
        writeln!(file, "{line}").map_err(|error| write_error(&self.part, error))?;
        self.rows += 1;
        Ok(())
    }

    /// Ends the file and gives it its name.
    fn finish(self) -> Result<Exported, ExportError> {
        let failed = |error: &dyn std::fmt::Display| write_error(&self.part, error);
        match self.writer {
            Writer::Parquet(file) => file.finish().map_err(|error| failed(&error))?,
            Writer::Jsonl(file) => {
                let file = file.into_inner().map_err(|error| failed(&error))?;
                file.sync_all().map_err(|error| failed(&error))?;
            }
        }
        fs::rename(&self.part, &self.path).map_err(|error| failed(&error))?;
        let bytes = fs::metadata(&self.path).map_err(|error| failed(&error))?.len();
        Ok(Exported { file: self.path, rows: self.rows, bytes })
    }
}
