//! Rows as CSV (RFC 4180).

use std::io::{self, Write};

use super::cell::{Cell, Column, Kind, Table};

/// A table under a line with the names of its columns.
pub(super) struct Csv<W> {
    out: W,
    columns: &'static [Column],
}

impl<W: Write> Csv<W> {
    /// Begins one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn new(mut out: W, columns: &'static [Column]) -> io::Result<Self> {
        for (at, column) in columns.iter().enumerate() {
            write!(out, "{}{}", if at == 0 { "" } else { "," }, column.name)?;
        }
        writeln!(out)?;
        Ok(Self { out, columns })
    }
}

impl<W: Write> Table for Csv<W> {
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        let out = &mut self.out;
        for (at, (cell, column)) in cells.iter().zip(self.columns).enumerate() {
            if at > 0 {
                out.write_all(b",")?;
            }
            match *cell {
                Cell::Empty => {}
                Cell::Text(text) if column.kind == Kind::Text => write!(out, "\"{text}\"")?,
                Cell::Text(word) => out.write_all(word.as_bytes())?,
                Cell::Number(number) => write!(out, "{number}")?,
                Cell::Flag(flag) => write!(out, "{flag}")?,
            }
        }
        out.write_all(b"\n")
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}
