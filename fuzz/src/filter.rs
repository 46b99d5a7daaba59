//! Filters: their words, and the masked keys that they become.

use shaper_common::rules;
use shaper_profile::{Filter, RuleSet};

/// Reads the bytes up to a zero as a filter, and the rest as a frame for it. The keys that it becomes, and the table of
/// them, match what its words match.
pub fn compile(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (text, frame) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(text) = str::from_utf8(text) else { return };
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(text.is_char_boundary(error.at.start) && text.is_char_boundary(error.at.end), "{error:?}");
            assert!(error.at.start <= error.at.end && !error.to_string().is_empty(), "{error:?}");
            return;
        }
    };
    assert_eq!(Filter::parse(&filter.to_string()).as_ref(), Ok(&filter));
    let matches = match filter.matches_of_rule() {
        Ok(matches) => matches,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let Some(key) = rules::key(frame) else { return };
    let says = filter.matches(&key);
    assert_eq!(matches.iter().any(|one| one.matches(&key)), says, "{text}: {key:x?}");
    match RuleSet::compile(std::slice::from_ref(&filter)) {
        Ok(rules) => assert_eq!(rules.matcher().rule(&key).is_some(), says, "{text}: {key:x?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
