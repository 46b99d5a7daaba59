//! Tables of figures, written alike wherever they come from.

use maud::{Markup, Render, html};

use crate::words;

/// A figure of a table, or words.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A name that may be long, and is broken where there is no room.
    Name(String),
    /// How many.
    Count(u64),
    /// How many, where that is known.
    Whole(Option<u64>),
    /// A share of 1, shown in percent.
    Share(Option<f64>),
    /// An interval of shares.
    Interval(Option<(f64, f64)>),
    /// Nanoseconds, shown in a unit that suits them.
    Span(Option<i64>),
    /// Bits a second.
    Rate(Option<f64>),
    /// Any other figure.
    Figure(Option<f64>),
}

impl Cell {
    const fn is_number(&self) -> bool {
        !matches!(self, Self::Text(_) | Self::Name(_))
    }

    fn words(&self) -> String {
        let or_dash = |words: Option<String>| words.unwrap_or_else(|| "-".to_owned());
        match self {
            Self::Text(text) | Self::Name(text) => text.clone(),
            Self::Count(count) => words::count(*count),
            Self::Whole(count) => or_dash(count.map(words::count)),
            Self::Share(share) => or_dash(share.map(|share| format!("{} %", words::measured_percent(share)))),
            Self::Interval(of) => or_dash(of.map(|(low, high)| {
                let [low, high] = [low, high].map(words::measured_percent);
                format!("{low} to {high} %")
            })),
            Self::Span(ns) => or_dash(ns.map(words::span)),
            Self::Rate(rate) => or_dash(rate.map(words::measured_rate)),
            Self::Figure(value) => words::figure_or_dash(*value),
        }
    }
}

impl Render for Cell {
    fn render(&self) -> Markup {
        html! { (self.words()) }
    }
}

/// What stands above a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Whether it is of numbers.
    pub is_number: bool,
}

/// A table; the first cell of a row is what the row is of.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// The heads of its columns.
    pub columns: Vec<Column>,
    /// Rows, with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows as yet; `columns` are of numbers, but the first one and those in brackets, `[flow]`.
    #[must_use]
    pub fn new(caption: &str, columns: &[&'static str]) -> Self {
        let column = |(place, name): (usize, &&'static str)| {
            let words = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            Column { name: words.unwrap_or(name), is_number: place > 0 && words.is_none() }
        };
        Self {
            caption: caption.to_owned(),
            columns: columns.iter().enumerate().map(column).collect(),
            rows: Vec::new(),
        }
    }
}

impl Render for Table {
    fn render(&self) -> Markup {
        html! {
            div.scroll tabindex="0" role="region" aria-label=(self.caption) {
                table.figures {
                    caption { (self.caption) }
                    thead { tr {
                        @for column in &self.columns {
                            @if column.is_number { th.number scope="col" { (column.name) } } @else {
                                th scope="col" { (column.name) }
                            }
                        }
                    } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (place, cell) in row.iter().enumerate() {
                                    @match cell {
                                        Cell::Name(_) if place == 0 => th.name scope="row" { (cell) },
                                        _ if place == 0 => th scope="row" { (cell) },
                                        Cell::Name(_) => td.name { (cell) },
                                        _ if cell.is_number() => td.number { (cell) },
                                        _ => td { (cell) },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_in_units_that_suit_them() {
        for (cell, words) in [
            (Cell::Count(12_345), "12,345"),
            (Cell::Share(Some(0.0734)), "7.34 %"),
            (Cell::Share(None), "-"),
            (Cell::Whole(Some(2)), "2"),
            (Cell::Interval(Some((0.041, 0.0612))), "4.10 to 6.12 %"),
            (Cell::Span(Some(999)), "999 ns"),
            (Cell::Span(Some(20_040_000)), "20.0 ms"),
            (Cell::Span(Some(-1_500)), "-1.50 us"),
            (Cell::Rate(Some(64_123.4)), "64.1 kbit/s"),
            (Cell::Figure(None), "-"),
        ] {
            assert_eq!(cell.words(), words);
        }
    }

    #[test]
    fn what_a_capture_says_is_no_markup() {
        let mut table = Table::new("of <i>", &["flow", "[what]", "packets"]);
        table.rows.push(vec![Cell::Name("<b>".to_owned()), Cell::Text("&".to_owned()), Cell::Count(1)]);
        let text = table.render().into_string();
        assert!(!text.contains("<b>") && !text.contains("<i>"), "{text}");
        assert!(text.contains("<td class=\"number\">1</td>") && text.contains("<td>&amp;</td>"), "{text}");
    }
}
