//! Bearer tokens of WHIP and WHEP (RFC 9725, section 4.6; RFC 6750).

use subtle::{Choice, ConstantTimeEq};

/// The tokens that are accepted; with none, everybody is.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Vec<String>);

impl Tokens {
    pub(crate) fn new(tokens: Vec<String>) -> Self {
        Self(tokens)
    }

    /// Whether the value of an Authorization header is good. Each token is compared in a time that
    /// depends on lengths alone, and all of them are.
    pub(crate) fn accept(&self, authorization: Option<&[u8]>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(given) = authorization.and_then(bearer) else { return false };
        let compare = |found: Choice, token: &String| found | token.as_bytes().ct_eq(given);
        self.0.iter().fold(Choice::from(0), compare).into()
    }
}

/// The credentials behind the scheme, which is compared without case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
}

/// Whether two secrets are equal, in a time that depends on their lengths alone.
pub(crate) fn same_secret(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_tokens_must_be_borne_whole() {
        let tokens = Tokens::new(vec!["first".to_owned(), "second".to_owned()]);
        let accept = |value: &str| tokens.accept(Some(value.as_bytes()));
        assert!(accept("Bearer first"));
        assert!(accept("bearer second"));
        for bad in ["Bearer firs", "Bearer firstt", "Bearer ", "Bearer", "Basic first", "first", ""] {
            assert!(!accept(bad), "{bad}");
        }
        assert!(!tokens.accept(None));
        assert!(Tokens::new(Vec::new()).accept(None));
    }
}
