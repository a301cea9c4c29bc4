//! Generates JSON Schemas (draft 2020-12) of the shared file and of job files, for completion and checks in editors.
//! Rules that involve several keys are not part of them.

use serde_json::{Map, Value, json};

use super::keys::{self, Key, Kind, Table, Unwritten};
use crate::value::FieldType;

/// The schema of `sfexport.toml` for [`Table::Settings`], of one org's table, of a job file, or of one object's table.
#[must_use]
pub fn schema(table: Table) -> Value {
    let mut schema = match table {
        Table::Settings => {
            let mut schema = object(table, "");
            if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
                let org = org("The org of a job that names none.");
                let orgs = json!({
                    "type": "object",
                    "description": "Any number of further orgs, by name.",
                    "propertyNames": {"pattern": "^(?!default$)(?!.*__)[a-z0-9_]+$"},
                    "additionalProperties": self::org("An org that jobs name by `org`."),
                });
                properties.insert("defaults".to_owned(), defaults());
                properties.insert("org".to_owned(), org);
                properties.insert("orgs".to_owned(), orgs);
            }
            schema
        }
        Table::Org => org("An org."),
        Table::Job => {
            // `[defaults]` may set `output`.
            let mut schema = job();
            insert(&mut schema, "not", json!({"required": ["org", "orgs"]}));
            let sources = ["soql", "soql_file", "object", "objects"];
            insert(&mut schema, "oneOf", sources.map(|source| json!({"required": [source]})).into());
            schema
        }
        Table::Object => object(table, ""),
    };
    let title = match table {
        Table::Settings => "sfexport.toml",
        Table::Org => "An org of sfexport.toml",
        Table::Job => "A job of sfexport",
        Table::Object => "An object of a set",
    };
    insert(&mut schema, "$schema", json!("https://json-schema.org/draft/2020-12/schema"));
    insert(&mut schema, "title", json!(title));
    schema
}

/// The keys of a job.
fn job() -> Value {
    let mut schema = object(Table::Job, "");
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let objects_with = json!({
            "type": "object",
            "description": "Keys of single objects of `objects`, by name.",
            "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_]*$"},
            "additionalProperties": object(Table::Object, ""),
        });
        properties.insert("objects_with".to_owned(), objects_with);
    }
    schema
}

/// The keys of `[defaults]`.
fn defaults() -> Value {
    let mut schema = job();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| keys::may_be_default(name));
    }
    insert(&mut schema, "description", json!("Keys of jobs, for the jobs that do not set them."));
    schema
}

fn org(about: &str) -> Value {
    let mut schema = object(Table::Org, "");
    insert(&mut schema, "description", json!(about));
    insert(&mut schema, "not", json!({"required": ["key_password_file", "key_password"]}));
    schema
}

/// The schema of the keys below a prefix (`""`, `"http."`).
fn object(table: Table, prefix: &str) -> Value {
    let mut properties = Map::new();
    for name in keys::children(table, prefix) {
        let path = format!("{prefix}{name}");
        let property = match keys::find(table, &path) {
            Some(key) if key.kind == Kind::TableOrFalse => {
                let mut either = property(key);
                let table = object(table, &format!("{path}."));
                insert(&mut either, "anyOf", json!([{"const": false}, table]));
                either
            }
            Some(key) => property(key),
            None => object(table, &format!("{path}.")),
        };
        properties.insert(name.to_owned(), property);
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn property(key: &Key) -> Value {
    let mut schema = value(key.kind);
    let about = match key.default {
        Unwritten::Otherwise(words) => format!("{} Default: {words}.", key.about),
        Unwritten::RequiredUnless(words) => format!("{} Required, unless {words}.", key.about),
        Unwritten::Required | Unwritten::Is(_) => key.about.to_owned(),
    };
    insert(&mut schema, "description", json!(about));
    if let Unwritten::Is(default) = key.default {
        let default = match key.kind {
            Kind::Whole(..) => default.parse::<u64>().map_or(Value::Null, Value::from),
            Kind::Flag => Value::from(default == "true"),
            Kind::Choices(_) | Kind::Words => default.split(',').map(str::trim).collect(),
            _ => Value::from(default),
        };
        insert(&mut schema, "default", default);
    }
    schema
}

/// The name of a column in the keys of a table.
const COLUMN: &str = r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$";

/// The schema of a value of this type in a file.
fn value(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string", "pattern": "\\S"}),
        Kind::Word => json!({"type": "string", "pattern": "^\\S+$"}),
        Kind::Literal => json!({"type": "string"}),
        // Secrets are not allowed in files.
        Kind::Secret => json!({"not": {}}),
        Kind::Path => json!({"type": "string", "minLength": 1, "pattern": "^(?!~/)"}),
        Kind::Duration(_) => json!({
            "type": "string",
            "pattern": "^\\s*\\d[\\d.]*\\s*[A-Za-zµ]+([\\s,]*\\d[\\d.]*\\s*[A-Za-zµ]+)*\\s*$",
        }),
        Kind::Size => json!({"type": "string", "pattern": "^\\s*\\d+\\s*([kKmMgG][iI]?)?[bB]\\s*$"}),
        Kind::Whole(min, u64::MAX) => json!({"type": "integer", "minimum": min}),
        Kind::Whole(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::FlagOrText => json!({"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": "\\S"}]}),
        // Its keys are added by the caller.
        Kind::TableOrFalse => json!({}),
        Kind::Mode => json!({"type": "string", "pattern": "^0?[0-7]{3}$"}),
        Kind::Choice(choices) => json!({"enum": choices}),
        Kind::Choices(choices) => json!({"anyOf": [
            {"enum": choices},
            {"type": "array", "items": {"enum": choices}, "minItems": 1},
        ]}),
        Kind::Words => json!({"anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}},
        ]}),
        Kind::Command => json!({
            "type": "array",
            "items": {"type": "string"},
            "prefixItems": [{"type": "string", "pattern": "^[^{]*\\S[^{]*$"}],
            "minItems": 1,
        }),
        Kind::OrgId => json!({"type": "string", "pattern": "^00D[A-Za-z0-9]{12}([A-Z0-5]{3})?$"}),
        Kind::Reserve => json!({"anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": "^[1-9][0-9]?%$"},
        ]}),
        Kind::ColumnTypes => json!({
            "type": "object",
            "propertyNames": {"pattern": COLUMN},
            "additionalProperties": {"anyOf": [
                {"enum": FieldType::NAMES},
                {"type": "string", "pattern": r"^decimal\(\s*\d+\s*,\s*\d+\s*\)$"},
            ]},
        }),
        Kind::ColumnNames => json!({
            "type": "object",
            "propertyNames": {"pattern": COLUMN},
            "additionalProperties": {"type": "string", "pattern": r"^\S(.*\S)?$"},
        }),
        Kind::Address => json!({"type": "string", "pattern": ":\\d+$"}),
        Kind::Webhook | Kind::PingUrl => json!({"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://"}),
    }
}

fn insert(schema: &mut Value, key: &str, value: Value) {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert(key.to_owned(), value);
    }
}
