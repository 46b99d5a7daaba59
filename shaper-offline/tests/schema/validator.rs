//! As much of JSON Schema (draft 2020-12) as `docs/analyze.schema.json` is written in. A word that is not known here is an
//! error, so that no part of the schema goes unheeded.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Words that say something for people.
const SAID: [&str; 4] = ["$schema", "title", "description", "$defs"];
const NOTHING: &Value = &Value::Null;

/// A schema, and which of its definitions values were held to.
pub(crate) struct Validator<'a> {
    root: &'a Value,
    pub(crate) met: BTreeSet<String>,
}

impl<'a> Validator<'a> {
    pub(crate) fn new(root: &'a Value) -> Self {
        Self { root, met: BTreeSet::new() }
    }

    /// Holds a value to the whole schema.
    pub(crate) fn validate(&mut self, value: &Value) -> Result<(), String> {
        self.check(self.root, value, "")
    }

    /// Holds a value to one definition.
    pub(crate) fn validate_as(&mut self, definition: &str, value: &Value) -> Result<(), String> {
        self.reference(&format!("#/$defs/{definition}"), value, "")
    }

    fn check(&mut self, schema: &'a Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = schema.as_object().ok_or_else(|| format!("{at}: the schema is no object"))?;
        for (word, wanted) in schema {
            match word.as_str() {
                "type" => kind(wanted, value, at)?,
                "enum" => {
                    let known = wanted.as_array().is_some_and(|all| all.contains(value));
                    known.then_some(()).ok_or_else(|| format!("{at}: {value} is none of {wanted}"))?;
                }
                "minimum" | "maximum" => bound(word, wanted, value, at)?,
                "minItems" | "maxItems" => length(word, wanted, value, at)?,
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(wanted, item, &format!("{at}/{number}"))?;
                    }
                }
                "required" => {
                    let names = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
                    for name in names.filter(|_| value.is_object()) {
                        value.get(name).ok_or_else(|| format!("{at}: {name} is missing"))?;
                    }
                }
                "properties" | "additionalProperties" => {}
                "$ref" => self.reference(wanted.as_str().unwrap_or_default(), value, at)?,
                "oneOf" => self.one_of(wanted, value, at)?,
                word if SAID.contains(&word) => {}
                word => return Err(format!("{at}: the schema says {word}, which is not checked")),
            }
        }
        self.properties(schema, value, at)
    }

    fn properties(&mut self, schema: &'a Map<String, Value>, value: &Value, at: &str) -> Result<(), String> {
        let known = schema.get("properties").unwrap_or(NOTHING);
        for (name, value) in value.as_object().into_iter().flatten() {
            let at = format!("{at}/{name}");
            match (known.get(name), schema.get("additionalProperties")) {
                (Some(schema), _) => self.check(schema, value, &at)?,
                (None, Some(Value::Bool(false))) => return Err(format!("{at}: is not in the schema")),
                (None, Some(schema)) => self.check(schema, value, &at)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn reference(&mut self, to: &str, value: &Value, at: &str) -> Result<(), String> {
        let schema = to.strip_prefix('#').and_then(|to| self.root.pointer(to));
        self.check(schema.ok_or_else(|| format!("{at}: nothing is at {to}"))?, value, at)?;
        self.met.insert(to.rsplit('/').next().unwrap_or_default().to_owned());
        Ok(())
    }

    fn one_of(&mut self, schemas: &'a Value, value: &Value, at: &str) -> Result<(), String> {
        let mut held = Vec::new();
        let mut problems = Vec::new();
        for schema in schemas.as_array().into_iter().flatten() {
            let mut one = Self::new(self.root);
            match one.check(schema, value, at) {
                Ok(()) => held.push(one.met),
                Err(problem) => problems.push(problem),
            }
        }
        if held.len() != 1 {
            return Err(format!("{at}: {} forms hold: {}", held.len(), problems.join("; ")));
        }
        self.met.extend(held.into_iter().flatten());
        Ok(())
    }
}

fn kind(wanted: &Value, value: &Value, at: &str) -> Result<(), String> {
    let is = |kind: &Value| match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("null") => value.is_null(),
        _ => false,
    };
    let held = wanted.as_array().map_or_else(|| is(wanted), |kinds| kinds.iter().any(is));
    held.then_some(()).ok_or_else(|| format!("{at}: {value} is no {wanted}"))
}

fn bound(word: &str, wanted: &Value, value: &Value, at: &str) -> Result<(), String> {
    let (Some(value), Some(wanted)) = (value.as_f64(), wanted.as_f64()) else { return Ok(()) };
    let held = if word == "minimum" { value >= wanted } else { value <= wanted };
    held.then_some(()).ok_or_else(|| format!("{at}: {value}, where the {word} is {wanted}"))
}

fn length(word: &str, wanted: &Value, value: &Value, at: &str) -> Result<(), String> {
    let (Some(items), Some(wanted)) = (value.as_array(), wanted.as_u64()) else { return Ok(()) };
    let held = if word == "minItems" { items.len() as u64 >= wanted } else { items.len() as u64 <= wanted };
    held.then_some(()).ok_or_else(|| format!("{at}: {} items, where {word} is {wanted}", items.len()))
}
