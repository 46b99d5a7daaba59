//! What rows are made of, whatever they are written as.

use std::io;

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

impl Column {
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind }
    }
}

/// What a column holds; any cell of it may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of few words without spaces, commas and quotes.
    Word,
    /// A text without quotes, which many rows share.
    Text,
    /// A whole number.
    Number,
    /// Nanoseconds since the epoch.
    Time,
    /// Yes or no.
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "only rows of a run have such a column"))]
    Flag,
}

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    /// Nothing is known.
    Empty,
    /// A word or a text.
    Text(&'a str),
    /// A number or a time.
    Number(i64),
    /// Yes or no.
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "only rows of a run have such a cell"))]
    Flag(bool),
}

impl Cell<'_> {
    /// A number, if there is one that fits.
    pub(super) fn number<N: TryInto<i64>>(number: Option<N>) -> Self {
        number.and_then(|number| number.try_into().ok()).map_or(Self::Empty, Self::Number)
    }
}

impl<'a> Cell<'a> {
    /// A word or a text, if there is one.
    pub(super) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Empty, Self::Text)
    }
}

/// Takes rows one by one.
pub(super) trait Table {
    /// Writes a row: a cell for each column.
    ///
    /// # Errors
    /// When it cannot be written.
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()>;

    /// Writes what is left.
    ///
    /// # Errors
    /// As [`row`](Self::row).
    fn finish(self) -> io::Result<()>;
}
