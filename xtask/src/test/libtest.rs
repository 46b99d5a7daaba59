//! What Rust's test harness writes.

use super::summary::Counts;

/// Adds up the closing lines in a test binary's output, as they pass by.
///
/// The harness knows no skipping at run time. A test that cannot do its work
/// writes a line `SKIP name: reason` straight to standard error (not by
/// `eprintln!`, which the harness captures) and returns; the harness counts it
/// as passed, and here it is taken out again.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    counts: Counts,
    closing_lines: u32,
}

impl Reader {
    /// Takes one line.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(counts) = closing_line(line) {
            self.counts += counts;
            self.closing_lines += 1;
        } else if let Some(reason) = skip(line) {
            self.counts.reasons.push(reason.to_owned());
        }
    }

    /// The sum. A binary that failed without counting a failure, or that never
    /// came to its closing line, counts one.
    pub(crate) fn finish(self, succeeded: bool) -> Counts {
        let mut counts = self.counts;
        let skipped = counts.reasons.len() as u64;
        counts.passed = counts.passed.saturating_sub(skipped);
        counts.skipped += skipped;
        if counts.failed == 0 && (!succeeded || self.closing_lines == 0) {
            counts.failed = 1;
        }
        counts
    }
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`
fn closing_line(line: &str) -> Option<Counts> {
    let (_, figures) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = Counts::default();
    for figure in figures.split("; ") {
        match figure.split_once(' ') {
            Some((number, "passed")) => counts.passed = number.parse().ok()?,
            Some((number, "failed")) => counts.failed = number.parse().ok()?,
            Some((number, "ignored")) => counts.skipped = number.parse().ok()?,
            _ => {}
        }
    }
    Some(counts)
}

/// With one test thread the harness has already written `test name ... ` when
/// the test's own line comes.
fn skip(line: &str) -> Option<&str> {
    line.strip_prefix("SKIP ").or_else(|| {
        let (_, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
        rest.strip_prefix("SKIP ")
    })
}

/// How many tests `--list --format terse` names.
pub(crate) fn listed(list: &str) -> u64 {
    list.lines().filter(|line| line.ends_with(": test")).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, succeeded: bool) -> Counts {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.line(line));
        reader.finish(succeeded)
    }

    #[test]
    fn closing_lines_are_added_up() {
        let counts = read(
            "running 2 tests\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: FAILED. 10 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 1.25s\n",
            false,
        );
        assert_eq!((counts.passed, counts.failed, counts.skipped), (12, 3, 1));
    }

    #[test]
    fn a_binary_that_dies_before_its_closing_line_is_a_failure() {
        assert_eq!(read("running 2 tests\ntest a ... ok\n", false).failed, 1);
        assert_eq!(read("running 2 tests\ntest a ... ok\n", true).failed, 1);
    }

    #[test]
    fn a_failure_after_the_closing_line_is_a_failure() {
        let text = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(read(text, false).failed, 1);
        assert_eq!(read(text, true).failed, 0);
    }

    #[test]
    fn a_skipped_test_is_not_counted_as_passed() {
        let counts = read(
            "SKIP one: no vlan device\n\
             test two ... SKIP two: no AF_XDP\n\
             test three ... ok\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
            true,
        );
        assert_eq!((counts.passed, counts.skipped), (1, 2));
        assert_eq!(counts.reasons, ["one: no vlan device", "two: no AF_XDP"]);
    }

    #[test]
    fn a_list_is_counted_without_benches() {
        assert_eq!(listed("a::b: test\nc: benchmark\nd: test\n"), 2);
    }
}
