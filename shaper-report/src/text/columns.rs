//! Columns that line up.

use std::fmt::Write as _;

/// Where a column's cells stand.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows of cells, each column as wide as its widest cell.
pub(crate) struct Columns<const N: usize> {
    align: [Align; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Columns<N> {
    pub(crate) const fn new(align: [Align; N]) -> Self {
        Self { align, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Writes the rows, two spaces between columns, none at a line's end.
    pub(crate) fn write(&self, out: &mut String) {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), align) in row.iter().zip(widths).zip(self.align) {
                let _ = match align {
                    Align::Left => write!(line, "{cell:<width$}  "),
                    Align::Right => write!(line, "{cell:>width$}  "),
                };
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

/// Writes text behind a label, broken between words to the width, further lines indented under the first.
pub(crate) fn labelled(out: &mut String, label: &str, text: &str, label_width: usize, width: usize) {
    let mut line = format!("{label:<label_width$}");
    let mut used = line.chars().count();
    let mut empty = true;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if !empty && used + 1 + length > width {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(label_width);
            used = label_width;
            empty = true;
        }
        if !empty {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
        empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_spaces() {
        let mut columns = Columns::new([Align::Left, Align::Right, Align::Left]);
        columns.push(["a".to_owned(), "1,000".to_owned(), String::new()]);
        columns.push(["long".to_owned(), "2".to_owned(), "x".to_owned()]);
        let mut out = String::new();
        columns.write(&mut out);
        assert_eq!(out, "a     1,000\nlong      2  x\n");
    }

    #[test]
    fn long_text_breaks_between_words_under_its_label() {
        let mut out = String::new();
        labelled(&mut out, "note", "one two three four", 6, 14);
        assert_eq!(out, "note  one two\n      three\n      four\n");
    }
}
