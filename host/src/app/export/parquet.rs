//! One Parquet file, written row by row.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::columns::{Cell, Column, Kind, Table};

/// What waits in memory for its row group, in bytes.
const GROUP_BYTES_MAX: usize = 32 << 20;
/// Rows of a row group.
const GROUP_ROWS_MAX: usize = 200_000;
/// Level 3 of zstd, its own default.
const LEVEL: i32 = 3;

/// A file that is being written.
pub struct ParquetFile {
    writer: SerializedFileWriter<BufWriter<File>>,
    columns: Vec<Waiting>,
    rows: usize,
    bytes: usize,
}

/// A column's values that wait for their row group.
struct Waiting {
    column: Column,
    values: Values,
    /// For each row whether there is a value.
    present: Vec<i16>,
}

enum Values {
    Text(Vec<ByteArray>),
    Integer(Vec<i64>),
    Number(Vec<f64>),
    Flag(Vec<bool>),
}

impl Waiting {
    fn new(column: Column) -> Self {
        let values = match column.kind {
            Kind::Text => Values::Text(Vec::new()),
            Kind::Instant | Kind::Integer => Values::Integer(Vec::new()),
            Kind::Number => Values::Number(Vec::new()),
            Kind::Flag => Values::Flag(Vec::new()),
        };
        Self { column, values, present: Vec::new() }
    }

    /// Adds a cell; answers its size.
    fn push(&mut self, cell: Cell) -> usize {
        self.present.push(i16::from(cell != Cell::Missing));
        match (&mut self.values, cell) {
            (_, Cell::Missing) => return 2,
            (Values::Text(values), Cell::Text(text)) => {
                let bytes = text.len() + 32;
                values.push(ByteArray::from(text.into_bytes()));
                return bytes;
            }
            (Values::Integer(values), Cell::Instant(value) | Cell::Integer(value)) => values.push(value),
            (Values::Number(values), Cell::Number(value)) => values.push(value),
            (Values::Flag(values), Cell::Flag(value)) => values.push(value),
            (_, cell) => unreachable!("`{}` holds no {cell:?}", self.column.name),
        }
        10
    }
}

/// The schema in Parquet's own language.
fn schema(table: &Table) -> String {
    let columns = table.columns.iter().map(|column| {
        let presence = if column.optional { "optional" } else { "required" };
        let name = column.name;
        match column.kind {
            Kind::Text => format!("{presence} binary {name} (STRING);"),
            Kind::Instant => format!("{presence} int64 {name} (TIMESTAMP(MICROS,true));"),
            Kind::Integer => format!("{presence} int64 {name};"),
            Kind::Number => format!("{presence} double {name};"),
            Kind::Flag => format!("{presence} boolean {name};"),
        }
    });
    format!("message {} {{ {} }}", table.name, columns.collect::<Vec<_>>().join(" "))
}

impl ParquetFile {
    /// Makes a file.
    pub fn create(path: &Path, table: &Table) -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(&schema(table))?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_created_by(concat!("assay ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = BufWriter::new(File::create(path)?);
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
        let columns = table.columns.iter().copied().map(Waiting::new).collect();
        Ok(Self { writer, columns, rows: 0, bytes: 0 })
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Cell>) -> Result<(), ParquetError> {
        debug_assert_eq!(row.len(), self.columns.len());
        for (column, cell) in self.columns.iter_mut().zip(row) {
            self.bytes += column.push(cell);
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what waits, and the file's end.
    pub fn finish(mut self) -> Result<(), ParquetError> {
        if self.rows > 0 {
            self.flush()?;
        }
        let file = self.writer.into_inner()?;
        let file = file.into_inner().map_err(|error| ParquetError::from(error.into_error()))?;
        Ok(file.sync_all()?)
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for waiting in &mut self.columns {
            let mut column = group.next_column()?.expect("the schema has a column for each");
            let present = waiting.column.optional.then_some(waiting.present.as_slice());
            match &waiting.values {
                Values::Text(values) => {
                    column.typed::<ByteArrayType>().write_batch(values, present, None)?;
                }
                Values::Integer(values) => {
                    column.typed::<Int64Type>().write_batch(values, present, None)?;
                }
                Values::Number(values) => {
                    column.typed::<DoubleType>().write_batch(values, present, None)?;
                }
                Values::Flag(values) => {
                    column.typed::<BoolType>().write_batch(values, present, None)?;
                }
            }
            column.close()?;
            *waiting = Waiting::new(waiting.column);
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}
