//! Settings that are one word of a few.

use crate::names::suggest;

/// A word that is none of those a setting takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not known{}; write {}",
    near.map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default(), listed(known))]
pub struct UnknownWord {
    /// What stood there.
    pub text: String,
    /// The known word that is nearest, where one is near.
    pub near: Option<&'static str>,
    /// What may stand there.
    pub known: &'static [&'static str],
}

impl UnknownWord {
    pub(crate) fn new(text: &str, known: &'static [&'static str]) -> Self {
        Self { text: text.to_owned(), near: suggest(text, known), known }
    }
}

/// Such as `"a", "b" or "c"`.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

/// Reading and writing of a setting that is one word of a few.
macro_rules! word {
    ($words:ident, $($name:literal => $value:ident),+) => {
        impl std::str::FromStr for $words {
            type Err = $crate::effect::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text.trim() {
                    $($name => Ok(Self::$value),)+
                    text => Err($crate::effect::UnknownWord::new(text, &[$($name),+])),
                }
            }
        }

        impl std::fmt::Display for $words {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self {
                    $(Self::$value => $name,)+
                })
            }
        }

        $crate::effect::as_text!($words);
    };
}
pub(super) use word;
