//! What can be wrong with settings of another tool, and what is worth knowing about those that are held.

use std::fmt;

use crate::error::Invalid;

/// Why settings of another tool could not be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A place in a file.
    #[error("{file}:{line}: {problem}; {hint}")]
    At {
        /// What the file is called.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong there, or cannot be held.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The settings as a whole, or what was said beside them.
    #[error("{format}: {problem}; {hint}")]
    Whole {
        /// The format's name.
        format: &'static str,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
}

/// Something about settings that were taken over: what was left out without harm, or means something else elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What the file is called.
    pub file: String,
    /// Line, from 1; none where it is about all of the file.
    pub line: Option<usize>,
    /// What is worth knowing.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.file, self.text),
            None => write!(formatter, "{}: {}", self.file, self.text),
        }
    }
}

/// What is wrong in a text, before it is known what the text is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) problem: String,
    pub(super) hint: String,
}

impl Wrong {
    pub(super) fn new(line: usize, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { line, problem: problem.into(), hint: hint.into() }
    }

    /// Settings that a profile cannot have.
    pub(super) fn invalid(line: usize, invalid: &Invalid) -> Self {
        Self::new(line, format!("this comes to {}: {}", invalid.key, invalid.problem), invalid.hint.clone())
    }

    pub(super) fn in_file(self, file: &str) -> ImportError {
        let Self { line, problem, hint } = self;
        ImportError::At { file: file.to_owned(), line, problem, hint }
    }
}

/// Notes about one text, each once.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<(Option<usize>, String)>,
}

impl Notes {
    pub(super) fn at(&mut self, line: usize, text: impl Into<String>) {
        self.add(Some(line), text.into());
    }

    pub(super) fn all(&mut self, text: impl Into<String>) {
        self.add(None, text.into());
    }

    fn add(&mut self, line: Option<usize>, text: String) {
        if !self.notes.iter().any(|(_, known)| *known == text) {
            self.notes.push((line, text));
        }
    }

    pub(super) fn in_file(self, file: &str) -> impl Iterator<Item = Note> {
        self.notes.into_iter().map(|(line, text)| Note { file: file.to_owned(), line, text })
    }
}
