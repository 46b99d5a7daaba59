//! Rows as Parquet, written by the column: row groups go out as they fill, so memory does not grow with the table.

use std::collections::HashMap;
use std::io::{self, Write};
use std::mem::take;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnPath, Type};

use super::cell::{Cell, Column, Kind, Table};

/// Rows of a group. They are held until it is full, in less than 30 MB of twenty columns.
const GROUP: usize = 1 << 17;
/// Texts of a column that are kept for the rows to come.
const KNOWN: usize = 1 << 16;
/// Goes in front of each key of the metadata.
const PREFIX: &str = "shaper.";

/// A table that ends with its schema.
pub(super) struct Parquet<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Gathered>,
    rows: usize,
}

impl<W: Write + Send> Parquet<W> {
    /// Begins one. `schema` is what it holds, with a version that rises where a column goes or changes its meaning;
    /// `about` stands in the metadata under keys with `shaper.` in front.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn new<'k>(
        out: W,
        columns: &[Column],
        (schema, version): (&str, u32),
        creator: &str,
        about: impl Iterator<Item = (&'k str, String)>,
    ) -> io::Result<Self> {
        let own = [("schema", schema.to_owned()), ("schema_version", version.to_string())];
        let metadata = own.into_iter().chain(about).map(|(key, value)| KeyValue::new(format!("{PREFIX}{key}"), value));
        let mut properties = WriterProperties::builder()
            .set_created_by(creator.to_owned())
            .set_key_value_metadata(Some(metadata.collect()))
            .set_compression(Compression::SNAPPY)
            // What skips row groups by them looks no further.
            .set_statistics_enabled(EnabledStatistics::Chunk);
        let mut fields = Vec::new();
        for column in columns {
            fields.push(Arc::new(column.of_schema().map_err(refused)?));
            // Numbers of packets and times rise step by step: their differences take a few bits each.
            if matches!(column.kind, Kind::Number | Kind::Time) {
                let path = ColumnPath::from(column.name);
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
        }
        let group = Type::group_type_builder(schema).with_fields(fields).build().map_err(refused)?;
        let file = SerializedFileWriter::new(out, Arc::new(group), Arc::new(properties.build())).map_err(refused)?;
        let columns = columns.iter().map(|column| Gathered::new(column.kind)).collect();
        Ok(Self { file, columns, rows: 0 })
    }

    fn group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for gathered in &mut self.columns {
            let Some(mut column) = group.next_column()? else { break };
            gathered.write(&mut column)?;
            column.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl<W: Write + Send> Table for Parquet<W> {
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        for (gathered, cell) in self.columns.iter_mut().zip(cells) {
            gathered.push(*cell);
        }
        self.rows += 1;
        if self.rows == GROUP { self.group().map_err(refused) } else { Ok(()) }
    }

    fn finish(mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.group().map_err(refused)?;
        }
        self.file.close().map(drop).map_err(refused)
    }
}

impl Column {
    fn of_schema(&self) -> Result<Type, ParquetError> {
        let (physical, logical) = match self.kind {
            Kind::Word | Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Number => (Physical::INT64, None),
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
            Kind::Flag => (Physical::BOOLEAN, None),
        };
        Type::primitive_type_builder(self.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
    }
}

/// A column of the group that is being filled.
struct Gathered {
    values: Values,
    /// 1 for each row that has a value, 0 for the others: definition levels.
    levels: Vec<i16>,
}

enum Values {
    Text(Texts),
    Number(Vec<i64>),
    Flag(Vec<bool>),
}

/// Texts, of which each that comes again is shared.
#[derive(Default)]
struct Texts {
    values: Vec<ByteArray>,
    known: HashMap<String, ByteArray>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        let value = match self.values.last() {
            Some(last) if last.data() == text.as_bytes() => last.clone(),
            _ => self.shared(text),
        };
        self.values.push(value);
    }

    fn shared(&mut self, text: &str) -> ByteArray {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() == KNOWN {
            self.known.clear();
        }
        let value = ByteArray::from(text);
        self.known.insert(text.to_owned(), value.clone());
        value
    }
}

impl Gathered {
    fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Word | Kind::Text => Values::Text(Texts::default()),
            Kind::Number | Kind::Time => Values::Number(Vec::new()),
            Kind::Flag => Values::Flag(Vec::new()),
        };
        Self { values, levels: Vec::new() }
    }

    /// A cell of another kind than the column's counts as empty.
    fn push(&mut self, cell: Cell<'_>) {
        let present = match (&mut self.values, cell) {
            (Values::Text(texts), Cell::Text(text)) => {
                texts.push(text);
                true
            }
            (Values::Number(numbers), Cell::Number(number)) => {
                numbers.push(number);
                true
            }
            (Values::Flag(flags), Cell::Flag(flag)) => {
                flags.push(flag);
                true
            }
            (_, other) => {
                debug_assert_eq!(other, Cell::Empty);
                false
            }
        };
        self.levels.push(present.into());
    }

    fn write(&mut self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        fn all<T: DataType>(
            column: &mut SerializedColumnWriter<'_>,
            values: &[T::T],
            levels: &[i16],
        ) -> Result<(), ParquetError> {
            column.typed::<T>().write_batch(values, Some(levels), None).map(drop)
        }
        let levels = take(&mut self.levels);
        match &mut self.values {
            Values::Text(texts) => all::<ByteArrayType>(column, &take(&mut texts.values), &levels),
            Values::Number(numbers) => all::<Int64Type>(column, &take(numbers), &levels),
            Values::Flag(flags) => all::<BoolType>(column, &take(flags), &levels),
        }
    }
}

/// What was refused: by the file, as a rule.
fn refused(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
