//! An error with its causes, as one text.

/// The error and its causes, each once: many errors of libraries carry their cause's words already.
pub(crate) fn in_full(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::in_full;

    #[derive(Debug, thiserror::Error)]
    #[error("/run: cannot write: {0}: run as root")]
    struct Library(#[source] std::io::Error);

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let denied = std::io::Error::other("denied");
        let error = Err::<(), _>(Library(denied)).context("cannot build the lab").unwrap_err();
        assert_eq!(in_full(&error), "cannot build the lab: /run: cannot write: denied: run as root");
    }
}
