//! As much of JSON Schema as `result.schema.json` uses. A keyword that is not known here fails, so that nothing in the
//! schema is left unchecked; what the schema describes and nobody has written is found as well.
//!
//! Written here because the crates that do it bring thirty to fifty others along, for a keyword or fifteen.

use std::collections::BTreeSet;

use serde_json::Value;

/// What says something to people and nothing to a validator.
const ANNOTATIONS: [&str; 5] = [
    "$schema",
    "$defs",
    "title",
    "description",
    "contentEncoding",
];

#[derive(Debug)]
pub(crate) struct Schema {
    root: Value,
    /// The properties that were met, by the address of their schema.
    met: BTreeSet<*const Value>,
}

impl Schema {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            root: serde_json::from_str(text).unwrap(),
            met: BTreeSet::new(),
        }
    }

    /// What is wrong with `value`, with the place where it is.
    pub(crate) fn check(&mut self, value: &Value) -> Result<(), String> {
        let mut met = BTreeSet::new();
        let checked = self.matches(&self.root, value, "", &mut met);
        self.met.append(&mut met);
        checked
    }

    /// Properties that no value so far has had.
    pub(crate) fn unmet(&self) -> Vec<String> {
        let mut unmet = Vec::new();
        self.collect_unmet(&self.root, "", &mut unmet);
        unmet
    }

    fn collect_unmet(&self, schema: &Value, path: &str, unmet: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let path = format!("{path}/{name}");
                    if name == "properties" {
                        let properties = field.as_object().unwrap().iter();
                        let missing = properties.filter(|(_, schema)| {
                            let schema: *const Value = *schema;
                            !self.met.contains(&schema)
                        });
                        unmet.extend(missing.map(|(property, _)| format!("{path}/{property}")));
                    }
                    self.collect_unmet(field, &path, unmet);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.collect_unmet(item, path, unmet);
                }
            }
            _ => {}
        }
    }

    fn matches(
        &self,
        schema: &Value,
        value: &Value,
        path: &str,
        met: &mut BTreeSet<*const Value>,
    ) -> Result<(), String> {
        let wrong = |what: String| Err(format!("{path}: {what}, found {value}"));
        for (keyword, expected) in schema.as_object().expect("a schema is an object") {
            let fits = match keyword.as_str() {
                "$ref" => {
                    let pointer = expected.as_str().and_then(|to| to.strip_prefix('#'));
                    let found = self
                        .root
                        .pointer(pointer.expect("a reference within the file"));
                    self.matches(found.expect("its definition"), value, path, met)?;
                    true
                }
                "type" => is_of(value, expected),
                "const" => value == expected,
                "enum" => expected.as_array().unwrap().contains(value),
                "oneOf" => self.is_one_of(expected, value, path, met),
                "minimum" => value.as_f64() >= expected.as_f64() || value.is_null(),
                "maximum" => value.as_f64() <= expected.as_f64() || value.is_null(),
                "minItems" => length(value) >= expected.as_u64(),
                "maxItems" => length(value) <= expected.as_u64(),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.matches(expected, item, &format!("{path}/{index}"), met)?;
                    }
                    true
                }
                "required" => {
                    let names = expected.as_array().unwrap().iter();
                    let mut names = names.map(|name| name.as_str().unwrap());
                    match names.find(|name| value.get(*name).is_none()) {
                        Some(name) => return wrong(format!("{name} is missing")),
                        None => true,
                    }
                }
                "properties" => {
                    for (name, schema) in expected.as_object().unwrap() {
                        if let Some(field) = value.get(name) {
                            met.insert(schema);
                            self.matches(schema, field, &format!("{path}/{name}"), met)?;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    for (name, field) in more_than_known(schema, value) {
                        if expected == false {
                            return wrong(format!("{name} is not in the schema"));
                        }
                        self.matches(expected, field, &format!("{path}/{name}"), met)?;
                    }
                    true
                }
                annotation if ANNOTATIONS.contains(&annotation) => true,
                unknown => panic!("{unknown} is no keyword that is checked"),
            };
            if !fits {
                return wrong(format!("{keyword} {expected}"));
            }
        }
        Ok(())
    }

    fn is_one_of(
        &self,
        schemas: &Value,
        value: &Value,
        path: &str,
        met: &mut BTreeSet<*const Value>,
    ) -> bool {
        let mut count = 0;
        for schema in schemas.as_array().unwrap() {
            let mut own = BTreeSet::new();
            if self.matches(schema, value, path, &mut own).is_ok() {
                count += 1;
                met.append(&mut own);
            }
        }
        count == 1
    }
}

/// The fields of an object that its schema has no property for.
fn more_than_known<'a>(
    schema: &Value,
    value: &'a Value,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let known = schema.get("properties").and_then(Value::as_object);
    let fields = value.as_object().into_iter().flatten();
    fields.filter(move |(name, _)| !known.is_some_and(|known| known.contains_key(*name)))
}

fn is_of(value: &Value, expected: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        unknown => panic!("{unknown} is no type"),
    };
    match expected {
        Value::String(name) => is(name),
        names => names
            .as_array()
            .unwrap()
            .iter()
            .any(|name| is(name.as_str().unwrap())),
    }
}

fn length(value: &Value) -> Option<u64> {
    Some(value.as_array()?.len() as u64)
}
