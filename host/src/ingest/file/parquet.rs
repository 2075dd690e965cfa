//! Apache Parquet.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as Record};
use serde_json::{Map, Value};

use super::{FileError, Row};
use crate::domain::clock::Timestamp;

/// Values that are decoded at once of each column.
const DECODED_AT_ONCE: usize = 256;

/// The rows of a file.
pub struct Table {
    rows: RowIter<'static>,
    columns: Vec<String>,
    /// Of each column, nanoseconds of one unit where it is an instant that the
    /// reader gives as a bare number.
    instants: Vec<Option<i64>>,
    number: usize,
    count: u64,
    length: u64,
    path: PathBuf,
    failed: bool,
}

impl Table {
    pub fn new(file: File, path: &Path, length: u64) -> Result<Self, FileError> {
        let reader = SerializedFileReader::new(file).map_err(|error| failed(path, &error))?;
        let metadata = reader.metadata().file_metadata();
        let fields = metadata.schema().get_fields().to_vec();
        let count = u64::try_from(metadata.num_rows()).unwrap_or(0);
        let columns = fields.iter().map(|field| field.name().to_owned()).collect();
        let instants = fields
            .iter()
            .map(|field| match field.get_basic_info().logical_type_ref() {
                Some(LogicalType::Timestamp(timestamp)) => Some(match timestamp.unit {
                    TimeUnit::MILLIS => 1_000_000,
                    TimeUnit::MICROS => 1_000,
                    TimeUnit::NANOS => 1,
                }),
                _ => None,
            })
            .collect();
        let rows = RowIter::from_file_into(Box::new(reader)).with_batch_size(DECODED_AT_ONCE);
        Ok(Self { rows, columns, instants, number: 0, count, length, path: path.to_owned(), failed: false })
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub fn position(&self) -> u64 {
        let share = self.number as f64 / self.count.max(1) as f64;
        (self.length as f64 * share) as u64
    }

    pub fn next(&mut self) -> Option<Result<Row, FileError>> {
        if self.failed {
            return None;
        }
        match self.rows.next()? {
            Ok(record) => {
                self.number += 1;
                let mut bytes = 0;
                let values = self.values(record, &mut bytes);
                Some(Ok(Row { number: self.number, bytes, values }))
            }
            // The reader does not find its way on.
            Err(error) => {
                self.failed = true;
                Some(Err(failed(&self.path, &error)))
            }
        }
    }

    fn values(&self, record: Record, bytes: &mut usize) -> Result<Map<String, Value>, String> {
        let mut values = Map::new();
        for ((name, field), unit_ns) in record.into_columns().into_iter().zip(&self.instants) {
            let value = match (field, unit_ns) {
                (Field::Long(count), Some(unit_ns)) => {
                    let us = i128::from(count) * i128::from(*unit_ns) / 1_000;
                    instant(i64::try_from(us).map_err(|_| format!("`{name}` is no instant"))?)
                }
                (field, _) => value(field).map_err(|reason| format!("`{name}`: {reason}"))?,
            };
            *bytes += name.len() + value.as_str().map_or(8, str::len);
            values.insert(name, value);
        }
        Ok(values)
    }
}

fn failed(path: &Path, error: &parquet::errors::ParquetError) -> FileError {
    FileError::Content { path: path.to_owned(), kind: "Parquet", reason: error.to_string() }
}

/// As RFC 3339, which is read whatever format a user states.
fn instant(us: i64) -> Value {
    Value::String(Timestamp(us).to_string())
}

fn value(field: Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => Value::Bool(flag),
        Field::Byte(number) => Value::from(number),
        Field::Short(number) => Value::from(number),
        Field::Int(number) => Value::from(number),
        Field::Long(number) => Value::from(number),
        Field::UByte(number) => Value::from(number),
        Field::UShort(number) => Value::from(number),
        Field::UInt(number) => Value::from(number),
        Field::ULong(number) => Value::from(number),
        Field::Float16(number) => float(number.to_f64()),
        // Through its text: 0.1 stays 0.1.
        Field::Float(number) => number.to_string().parse().map_or(Value::Null, float),
        Field::Double(number) => float(number),
        Field::Str(text) => Value::String(text),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => return Err("it holds bytes that are no text".into()),
        },
        Field::TimestampMillis(ms) => instant(ms.saturating_mul(1_000)),
        Field::TimestampMicros(us) => instant(us),
        other @ (Field::Decimal(_) | Field::Date(_) | Field::TimeMillis(_) | Field::TimeMicros(_)) => {
            Value::String(other.to_string())
        }
        Field::Group(row) => {
            let members = row.into_columns().into_iter().map(|(name, field)| Ok((name, value(field)?)));
            Value::Object(members.collect::<Result<_, String>>()?)
        }
        Field::ListInternal(list) => {
            Value::Array(list.elements().iter().cloned().map(value).collect::<Result<_, _>>()?)
        }
        Field::MapInternal(map) => {
            let members = map.entries().iter().map(|(key, field)| {
                let key = match value(key.clone())? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Ok((key, value(field.clone())?))
            });
            Value::Object(members.collect::<Result<_, String>>()?)
        }
    })
}

/// Tables write a missing number as one that is none.
fn float(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::super::{Format, Rows};

    #[test]
    fn columns_become_values_and_instants_of_any_unit_are_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.parquet");
        let schema = "message m { required int64 ns (TIMESTAMP(NANOS,false)); \
             required int64 ms (TIMESTAMP(MILLIS,true)); required binary text (UTF8); optional double cost; }";
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let file = std::fs::File::create(&path).expect("made");
        let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).expect("a writer");
        for group in 0..2_i64 {
            let mut rows = writer.next_row_group().expect("a group");
            let mut column = rows.next_column().expect("written").expect("a column");
            column
                .typed::<Int64Type>()
                .write_batch(&[1_700_158_623_979_960_000 + group], None, None)
                .expect("written");
            column.close().expect("written");
            let mut column = rows.next_column().expect("written").expect("a column");
            column.typed::<Int64Type>().write_batch(&[1_700_158_623_979], None, None).expect("written");
            column.close().expect("written");
            let mut column = rows.next_column().expect("written").expect("a column");
            let text = [ByteArray::from("hello")];
            column.typed::<ByteArrayType>().write_batch(&text, None, None).expect("written");
            column.close().expect("written");
            let mut column = rows.next_column().expect("written").expect("a column");
            column.typed::<DoubleType>().write_batch(&[], Some(&[0]), None).expect("written");
            column.close().expect("written");
            rows.close().expect("written");
        }
        writer.close().expect("written");

        let mut rows = Rows::open(&path, Format::Parquet, 1_000).expect("opened");
        assert_eq!(rows.columns().map(<[String]>::len), Some(4));
        let found: Vec<_> = rows.by_ref().map(|row| row.expect("readable")).collect();
        assert_eq!(found.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2]);
        let values = found[0].values.as_ref().expect("readable");
        assert_eq!(values["ns"], "2023-11-16T18:17:03.979960Z");
        assert_eq!(values["ms"], "2023-11-16T18:17:03.979Z");
        assert_eq!((&values["text"], &values["cost"]), (&"hello".into(), &serde_json::Value::Null));
        assert_eq!(rows.position(), rows.length());

        std::fs::write(&path, b"PAR1 and nothing of it").expect("written");
        let error = Rows::open(&path, Format::Parquet, 1_000).err().expect("no parquet").to_string();
        assert!(error.contains("cannot be read as Parquet"), "{error}");
    }
}
