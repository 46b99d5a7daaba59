//! `docs/analyze.schema.json`: what both forms of an analysis write as JSON is what it says, and nothing else.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

mod traffic;
mod validator;

use std::{fs, path::Path};

use serde_json::{Value, json};
use shaper_offline::analyze::{Analysis, Description, Options, one_point, two_points};

use validator::Validator;

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(repository().join("docs/analyze.schema.json")).unwrap()).unwrap()
}

/// Both forms, of every sample capture and of generated traffic.
fn outputs() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let options = Options::default();
    let mut compare = |a: &Path, b: &Path| {
        for point in [a, b] {
            let found = serde_json::to_value(one_point(point, &options).unwrap()).unwrap();
            all.push((point.display().to_string(), found));
        }
        let found = serde_json::to_value(two_points(a, b, &options).unwrap()).unwrap();
        all.push((format!("{} {}", a.display(), b.display()), found));
    };
    let mut samples = 0;
    for entry in fs::read_dir(repository().join("captures")).unwrap() {
        let a = entry.unwrap().path();
        if let Some(sample) = a.to_str().unwrap().strip_suffix("-a.pcapng") {
            compare(&a, Path::new(&format!("{sample}-b.pcapng")));
            samples += 1;
        }
    }
    assert!(samples >= 3, "{samples} pairs of samples");
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = traffic::write(folder.path());
    // The two lengths of the last block differ.
    let mut broken = fs::read(&b).unwrap();
    broken.last_chunk_mut::<4>().unwrap().fill(0xff);
    let damaged = folder.path().join("damaged.pcapng");
    fs::write(&damaged, broken).unwrap();
    compare(&a, &damaged);
    compare(&a, &b);
    all
}

#[test]
fn what_is_written_is_what_the_schema_says() {
    let schema = schema();
    let mut validator = Validator::new(&schema);
    for (of, output) in outputs() {
        validator.validate(&output).unwrap_or_else(|problem| panic!("{of}: {problem}"));
    }
    // What `--expect` adds is of the command.
    let judged = json!({"text": "loss.a_to_b < 6%", "held": true, "measured": "5 %"});
    validator.validate_as("judged", &judged).unwrap();
    // Each kind of object was there: a field that one of them gains, or loses, is found.
    let defined = schema["$defs"].as_object().unwrap().keys();
    let unmet: Vec<&String> = defined.filter(|name| !validator.met.contains(*name)).collect();
    assert!(unmet.is_empty(), "no output has any of {unmet:?}");
}

#[test]
fn a_field_that_the_schema_does_not_know_is_found_wherever_it_is() {
    let schema = schema();
    let mut tried = 0;
    for (of, output) in outputs() {
        let mut places = Vec::new();
        objects(&output, "", &mut places);
        for place in places {
            let mut output = output.clone();
            let object = output.pointer_mut(&place).unwrap().as_object_mut().unwrap();
            object.insert("unheard_of".to_owned(), json!("x"));
            assert!(Validator::new(&schema).validate(&output).is_err(), "{of}: {place}");
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn a_field_that_is_gone_or_of_another_kind_is_found() {
    let schema = schema();
    let (_, output) = outputs().pop().unwrap();
    for name in output.as_object().unwrap().keys() {
        let mut changed = output.clone();
        changed[name] = json!({"another": "kind"});
        assert!(Validator::new(&schema).validate(&changed).is_err(), "{name}");
        changed.as_object_mut().unwrap().remove(name);
        assert!(Validator::new(&schema).validate(&changed).is_err(), "{name}");
    }
}

#[test]
fn both_forms_have_the_version_of_the_schema() {
    let schema = schema();
    for (form, version) in [("one_point", Description::SCHEMA_VERSION), ("two_points", Analysis::SCHEMA_VERSION)] {
        let stated = schema.pointer(&format!("/$defs/{form}/properties/schema_version/enum"));
        assert_eq!(stated, Some(&json!([version])), "{form}");
    }
}

/// Where objects are: of lists the first, of which the others are repetitions.
fn objects(value: &Value, at: &str, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            places.push(at.to_owned());
            fields.iter().for_each(|(name, value)| objects(value, &format!("{at}/{name}"), places));
        }
        Value::Array(items) => items.iter().take(1).for_each(|item| objects(item, &format!("{at}/0"), places)),
        _ => {}
    }
}
