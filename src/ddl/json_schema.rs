//! JSON Schema, draft 2020-12, of one record of JSON Lines.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use super::{Column, Export, Form, Node, nested};
use crate::error::{Exit, Failure};
use crate::job::Format;
use crate::value::FieldType;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A datetime as the org sends it; RFC 3339 wants a colon in the offset.
const AS_SENT: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}\+0000$";
const TIME: &str = r"^[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$";

/// The schema of a record.
///
/// # Errors
/// [`Exit::Usage`] for CSV and Parquet, whose records are not JSON.
pub(super) fn write(export: &Export) -> Result<String, Failure> {
    let file = export.files.first().filter(|_| export.form.format == Format::Jsonl).ok_or_else(|| {
        let (job, format) = (&export.job, export.form.format.title());
        let what = format!("the job \"{job}\" writes {format}, and a JSON Schema describes JSON Lines");
        Failure::new(Exit::Usage, what).hint("end `output` in .jsonl, or choose a database with --as")
    })?;
    let nodes = nested(&file.columns);
    let schema = Schema::Record { title: Some(&export.job), nodes, nullable: false, form: &export.form };
    // Text and lists of text can always be written as JSON.
    Ok(serde_json::to_string_pretty(&schema).map(|text| text + "\n").unwrap_or_default())
}

/// A schema whose keys are in the order of the columns.
enum Schema<'c> {
    Record { title: Option<&'c str>, nodes: Vec<Node<'c>>, nullable: bool, form: &'c Form },
    List { of: &'c [Column], form: &'c Form },
    Value { column: &'c Column, form: &'c Form },
}

impl<'c> Schema<'c> {
    fn of(node: &Node<'c>, form: &'c Form) -> Self {
        match node {
            Node::Parent(_, inner) => {
                Self::Record { title: None, nodes: inner.clone(), nullable: true, form }
            }
            Node::Value(_, column) => match &column.children {
                Some(of) => Self::List { of, form },
                None => Self::Value { column, form },
            },
        }
    }
}

impl Serialize for Schema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Record { title, nodes, nullable, form } => {
                if let Some(title) = title {
                    map.serialize_entry("$schema", DRAFT)?;
                    map.serialize_entry("title", title)?;
                }
                match nullable {
                    true => map.serialize_entry("type", &["object", "null"])?,
                    false => map.serialize_entry("type", "object")?,
                }
                map.serialize_entry("properties", &Properties { nodes, form })?;
                let required: Vec<_> = nodes.iter().filter(|node| !is_optional(node)).map(key).collect();
                map.serialize_entry("required", &required)?;
                map.serialize_entry("additionalProperties", &false)?;
            }
            Self::List { of, form } => {
                map.serialize_entry("type", &["array", "null"])?;
                let items = Schema::Record { title: None, nodes: nested(of), nullable: false, form };
                map.serialize_entry("items", &items)?;
            }
            Self::Value { column, form } => {
                for (name, value) in rules(column, form) {
                    map.serialize_entry(name, &value)?;
                }
            }
        }
        map.end()
    }
}

struct Properties<'p, 'c> {
    nodes: &'p [Node<'c>],
    form: &'p Form,
}

impl Serialize for Properties<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.nodes.iter().map(|node| (key(node), Schema::of(node, self.form))))
    }
}

fn key<'c>(node: &Node<'c>) -> &'c str {
    match node {
        Node::Value(key, _) | Node::Parent(key, _) => key,
    }
}

/// Whether a record may lack the key.
fn is_optional(node: &Node<'_>) -> bool {
    match node {
        Node::Value(_, column) => column.optional,
        // The relationship of a TYPEOF is always there; only what is in it depends on the branch.
        Node::Parent(..) => false,
    }
}

/// What is said of a value.
fn rules(column: &Column, form: &Form) -> Vec<(&'static str, Value)> {
    let of_type = |name: &str| match column.required {
        true => ("type", json!(name)),
        false => ("type", json!([name, "null"])),
    };
    match column.field_type {
        FieldType::DateTime if form.rfc3339 => vec![of_type("string"), ("format", json!("date-time"))],
        _ if column.type_is_set => Vec::new(),
        FieldType::Text | FieldType::Base64 => vec![of_type("string")],
        FieldType::Boolean => vec![of_type("boolean")],
        FieldType::Integer | FieldType::Long => vec![of_type("integer")],
        FieldType::Double | FieldType::Decimal { .. } => vec![of_type("number")],
        FieldType::Date => vec![of_type("string"), ("format", json!("date"))],
        FieldType::DateTime => vec![of_type("string"), ("pattern", json!(AS_SENT))],
        FieldType::Time => vec![of_type("string"), ("pattern", json!(TIME))],
        FieldType::Json => vec![("type", json!(["object", "array", "null"]))],
        FieldType::Any => Vec::new(),
    }
}
