//! The words and signs of a filter, with their places.

use std::ops::Range;

use super::error::FilterError;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    /// A keyword, name, number, address or range: what is right for its place is decided there.
    Word(&'t str),
    And,
    Or,
    Not,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Ampersand,
    Bar,
    Slash,
    Equal,
    NotEqual,
    /// `<`, `>`, `<=` or `>=`.
    Order(&'t str),
    /// A sign of arithmetic.
    Arithmetic(&'t str),
    /// Behind the last one.
    End,
}

/// A token and its bytes in the text.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind<'t>,
    pub(super) at: Range<usize>,
}

/// An error at a place of this text.
pub(super) fn error(text: &str, at: Range<usize>, problem: impl Into<String>, hint: impl Into<String>) -> FilterError {
    let column = text.get(..at.start).unwrap_or(text).chars().count() + 1;
    FilterError { at, column, problem: problem.into(), hint: hint.into() }
}

const SIGNS: [(&str, Kind<'static>); 20] = [
    ("&&", Kind::And),
    ("||", Kind::Or),
    ("!=", Kind::NotEqual),
    ("==", Kind::Equal),
    ("<=", Kind::Order("<=")),
    (">=", Kind::Order(">=")),
    ("<<", Kind::Arithmetic("<<")),
    (">>", Kind::Arithmetic(">>")),
    ("!", Kind::Not),
    ("(", Kind::Open),
    (")", Kind::Close),
    ("[", Kind::OpenBracket),
    ("]", Kind::CloseBracket),
    ("&", Kind::Ampersand),
    ("|", Kind::Bar),
    ("/", Kind::Slash),
    ("=", Kind::Equal),
    ("<", Kind::Order("<")),
    (">", Kind::Order(">")),
    ("+", Kind::Arithmetic("+")),
];
const ARITHMETIC: [&str; 5] = ["-", "*", "%", "^", "~"];

fn of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '\\')
}

/// All tokens of a text; the last one is [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let start = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            tokens.push(Token { kind: Kind::End, at: text.len()..text.len() });
            return Ok(tokens);
        };
        let (kind, length) = if of_word(first) {
            // A hyphen stands within words: `tcp-syn`, `80-90`.
            let length = rest.find(|c| !of_word(c) && c != '-').unwrap_or(rest.len());
            match rest.get(..length).unwrap_or(rest) {
                "and" => (Kind::And, length),
                "or" => (Kind::Or, length),
                "not" => (Kind::Not, length),
                word => (Kind::Word(word), length),
            }
        } else if let Some((sign, kind)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            (*kind, sign.len())
        } else if let Some(sign) = ARITHMETIC.iter().find(|sign| rest.starts_with(**sign)) {
            (Kind::Arithmetic(sign), sign.len())
        } else {
            let at = start..start + first.len_utf8();
            let problem = format!("\"{first}\" has no meaning in a filter");
            return Err(error(text, at, problem, "write for example `udp and dst port 5004`"));
        };
        tokens.push(Token { kind, at: start..start + length });
        rest = rest.get(length..).unwrap_or("");
    }
}

impl std::fmt::Display for Kind<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Word(text) | Self::Order(text) | Self::Arithmetic(text) => text,
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
            Self::Open => "(",
            Self::Close => ")",
            Self::OpenBracket => "[",
            Self::CloseBracket => "]",
            Self::Ampersand => "&",
            Self::Bar => "|",
            Self::Slash => "/",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::End => return formatter.write_str("the end"),
        };
        write!(formatter, "`{text}`")
    }
}
