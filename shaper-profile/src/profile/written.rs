//! A link as a profile that reads back the same.

use serde::ser::{Serialize, Serializer};

use super::{Change, Direction, Link, Outages, Patch, RuleProfile};
use crate::quantity::Duration;

/// Single values before tables, as TOML has them.
#[derive(serde::Serialize)]
struct Written<'l> {
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    repeat: Option<Duration>,
    a_to_b: &'l Direction,
    b_to_a: &'l Direction,
    outages: &'l Outages,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    change: Vec<WrittenChange>,
    #[serde(skip_serializing_if = "<[RuleProfile]>::is_empty")]
    rule: &'l [RuleProfile],
}

/// What a change changes.
#[derive(serde::Serialize)]
struct WrittenChange {
    at: Duration,
    a_to_b: Patch,
    b_to_a: Patch,
}

#[derive(serde::Serialize)]
struct WrittenRule<'r> {
    name: &'r str,
    r#match: &'r str,
    #[serde(flatten)]
    link: &'r Link,
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = (&self.a_to_b, &self.b_to_a);
        let mut change = Vec::new();
        for Change { at, a_to_b, b_to_a } in &self.changes {
            change.push(WrittenChange {
                at: *at,
                a_to_b: Patch::between(before.0, a_to_b),
                b_to_a: Patch::between(before.1, b_to_a),
            });
            before = (a_to_b, b_to_a);
        }
        let Self { a_to_b, b_to_a, outages, changes: _, repeat, rules } = self;
        Written { repeat: *repeat, a_to_b, b_to_a, outages, change, rule: rules }.serialize(serializer)
    }
}

impl Serialize for RuleProfile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WrittenRule { name: &self.name, r#match: &self.filter, link: &self.link }.serialize(serializer)
    }
}
