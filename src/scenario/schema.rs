//! JSON Schema — decides what editors know of scenario files: keys, their descriptions and defaults, names to
//! choose from. It never judges a file; [`read`](super::read) does, and knows more.
//!
//! Draft 7, which the TOML extensions of editors understand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use crate::{
    check::{goal::GOALS, law::LAWS},
    event::EventKind,
    name::HostId,
    scenario::{
        bytes::Bytes,
        deeds::Shift,
        dice::QUESTIONS,
        duration::{OptionalSpan, Span},
        format::Scenario,
        plan::Selector,
        select::SELECTORS,
        values::Values,
    },
};

/// The schema of a scenario file.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Scenario>().to_value();
    schema["title"] = "Shardarium scenario".into();
    schema["required"] = json!(["title", "duration"]);
    let definitions = &mut schema["definitions"];
    require(definitions, "Index", &["name"]);
    require(definitions, "Workload", &["index"]);
    require(definitions, "When", &["event"]);
    require(definitions, "IndexValues", &["index"]);
    require(definitions, "Canary", &["defect"]);
    choose(&mut definitions["When"]["properties"]["event"], EventKind::NAMES.iter().copied());
    choose(&mut definitions["FixedDraw"]["properties"]["key"], QUESTIONS.iter().map(|entry| entry.name));
    let expect = &mut definitions["Expect"]["properties"];
    choose(&mut expect["laws"]["items"], LAWS.iter().map(|law| law.name));
    choose(&mut expect["goals"]["items"], GOALS.iter().map(|goal| goal.name));
    schema
}

/// Serde takes a default for every key, so that one reading can find several mistakes; some have no sensible one.
fn require(definitions: &mut Value, table: &str, keys: &[&str]) {
    definitions[table]["required"] = json!(keys);
    for key in keys {
        if let Some(property) = definitions[table]["properties"][key].as_object_mut() {
            property.remove("default");
        }
    }
}

fn choose<'a>(property: &mut Value, names: impl Iterator<Item = &'a str>) {
    property["enum"] = names.collect();
    if let Some(property) = property.as_object_mut() {
        property.remove("default");
    }
}

/// How the schema shows a seed: one that TOML has no number for is text.
#[derive(Debug)]
pub struct Seed;

/// How the schema shows types that files write as something else: in place, or under the type's name.
macro_rules! schemas {
    ($($kind:ident, $place:ident: $schema:expr;)*) => {
        $(impl JsonSchema for $kind {
            fn inline_schema() -> bool {
                matches!(Place::$place, Place::Inline)
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($kind).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        })*
    };
}

enum Place {
    Inline,
    Named,
}

schemas! {
    Span, Inline: span();
    OptionalSpan, Inline: span();
    Seed, Inline: json_schema!({ "type": ["integer", "string"], "minimum": 0 });
    Shift, Inline: json_schema!({ "type": "string", "examples": ["2s", "-500ms"] });
    Bytes, Inline: json_schema!({ "type": "string", "examples": ["8mb", "512kb"] });
    HostId, Inline: json_schema!({
        "type": "string", "pattern": "^(zk|search|client)-[1-9][0-9]*$", "examples": ["zk-1", "search-2"]
    });
    Selector, Named: selector();
    Values, Named: json_schema!({
        "type": "object",
        "description": "Elasticsearch's settings by name, quoted as a whole or with dots.",
        "additionalProperties": true,
    });
}

fn span() -> Schema {
    json_schema!({ "type": "string", "examples": ["250ms", "12s", "1m 30s", "50us"] })
}

fn selector() -> Schema {
    let ways: Vec<String> = SELECTORS.iter().map(|(who, what)| format!("`{who}`: {what}")).collect();
    let examples: Vec<&str> = SELECTORS.iter().flat_map(|(who, _)| who.split(", ")).collect();
    json_schema!({ "type": "string", "description": ways.join("\n"), "examples": examples })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::builtin;

    fn as_json(text: &str) -> Value {
        serde_json::to_value(toml::from_str::<toml::Table>(text).expect("TOML")).expect("TOML is JSON")
    }

    /// Where a value is not as the schema says: as much of JSON Schema as the schema uses.
    fn flaws(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/definitions/")) {
            found.extend(flaws(root, &root["definitions"][name], value, at));
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            found.extend(flaws(root, part, value, at));
        }
        for choices in [&schema["anyOf"], &schema["oneOf"]] {
            let fits = |choice: &Value| flaws(root, choice, value, at).is_empty();
            if choices.as_array().is_some_and(|choices| !choices.iter().any(fits)) {
                found.push(format!("{at}: {value} is none of the choices"));
            }
        }
        let is_type = |name: &str| match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            _ => value.is_null(),
        };
        let types: Vec<&str> = match &schema["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|name| is_type(name)) {
            found.push(format!("{at}: {value} is no {types:?}"));
        }
        if schema["enum"].as_array().is_some_and(|names| !names.contains(value))
            || schema.get("const").is_some_and(|only| only != value)
        {
            found.push(format!("{at}: {value} is no choice"));
        }
        found.extend(inner_flaws(root, schema, value, at));
        found
    }

    fn inner_flaws(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let mut found = Vec::new();
        for item in value.as_array().into_iter().flatten() {
            found.extend(flaws(root, &schema["items"], item, at));
        }
        for (key, inner) in value.as_object().into_iter().flatten() {
            match (&schema["properties"][key], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => found.push(format!("{at}: there is no key {key}")),
                (Value::Null, rest @ Value::Object(_)) => found.extend(flaws(root, rest, inner, key)),
                (own, _) => found.extend(flaws(root, own, inner, &format!("{at}.{key}"))),
            }
        }
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.as_object().is_some_and(|table| !table.contains_key(key)) {
                found.push(format!("{at}: {key} is missing"));
            }
        }
        found
    }

    fn is_valid(schema: &Value, text: &str) -> bool {
        flaws(schema, schema, &as_json(text), "").is_empty()
    }

    #[test]
    fn every_built_in_scenario_is_valid() {
        let schema = schema();
        for builtin in builtin::ALL {
            let flaws = flaws(&schema, &schema, &as_json(builtin.text), "");
            assert!(flaws.is_empty(), "{}: {flaws:#?}", builtin.name);
        }
    }

    #[test]
    fn misspelt_and_missing_keys_are_invalid() {
        let schema = schema();
        let start = "title = \"t\"\nduration = \"1s\"\n";
        assert!(is_valid(&schema, start));
        for rest in [
            "durations = \"1s\"",
            "[[faults]]\nat = 3",
            "[[faults]]\nwhen = { event = \"PrimaryAppendet\" }",
            "[[indices]]\nshards = 2",
            "[expect]\nlaws = [\"no.such\"]",
            "defects = [\"no-such\"]",
            "[cluster]\nread_policy = \"sometimes\"",
        ] {
            assert!(!is_valid(&schema, &format!("{start}{rest}")), "{rest}");
        }
        assert!(!is_valid(&schema, "title = \"t\""));
    }

    #[test]
    fn keys_have_their_documentation_and_default() {
        let schema = schema();
        let tick = &schema["definitions"]["Cluster"]["properties"]["tick"];
        assert_eq!((&tick["type"], &tick["default"]), (&json!("string"), &json!("500ms")));
        assert_eq!(tick["description"], "ZooKeeper's tickTime. Default 500 ms.");
    }
}
