//! The list of objects, the describe of one, and single records.

use crate::demo_org::Org;
use crate::demo_org::data::Row;
use crate::demo_org::fault::Fault;
use crate::demo_org::query::Distortion;
use crate::demo_org::render::{json, push};
use crate::demo_org::reply::Reply;
use crate::demo_org::schema::{Field, Kind, Object};

/// What is below `/sobjects/X`: describe, a record, a record's bytes.
pub(super) fn sobject(
    org: &Org,
    faults: &[Fault],
    version: &str,
    object: &'static Object,
    rest: &[&str],
) -> Reply {
    let found =
        |id: &str| org.data.row(id).filter(|row| row.object().name == object.name && !row.is_deleted());
    match rest {
        [] | ["describe"] => {
            let extra = Distortion::of(faults).extra_columns;
            let hidden: Vec<_> = faults
                .iter()
                .filter_map(|fault| match fault {
                    Fault::HiddenFields(names) => Some(names.as_slice()),
                    _ => None,
                })
                .flatten()
                .copied()
                .collect();
            Reply::json(describe(object, version, extra, &hidden))
        }
        [id] => found(id).map_or_else(Reply::not_found, |row| Reply::json(record(row, version))),
        [id, "Body"] => found(id).map_or_else(Reply::not_found, |row| {
            let body = format!("the bytes of {}\n", row.id()).into_bytes();
            let mut reply = Reply::json(body);
            reply.content_type = "application/octet-stream";
            reply
        }),
        _ => Reply::not_found(),
    }
}

fn record(row: Row<'_>, version: &str) -> Vec<u8> {
    let mut out = b"{".to_vec();
    json::attributes(&mut out, row.object.name, row.id(), version);
    for Field { name, make, .. } in row.object.fields {
        json::key(&mut out, name);
        json::value(&mut out, &make(row), version);
    }
    out.push(b'}');
    out
}

/// `/sobjects`
pub(super) fn describe_all(org: &Org, version: &str) -> Vec<u8> {
    let mut out = b"{\"encoding\":\"UTF-8\",\"maxBatchSize\":200,\"sobjects\":[".to_vec();
    for (n, object) in org.data.objects().iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.push(b'{');
        about(&mut out, object, version);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

/// `/sobjects/X/describe`, with the keys that exporters read.
fn describe(object: &Object, version: &str, extra: usize, hidden: &[&str]) -> Vec<u8> {
    let mut out = b"{\"childRelationships\":[".to_vec();
    for (n, child) in object.children.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        push(
            &mut out,
            format_args!(
                r#"{{"childSObject":"{}","field":"{}","relationshipName":"{}"}}"#,
                child.object, child.field, child.name
            ),
        );
    }
    out.extend_from_slice(b"],\"fields\":[");
    for (n, field) in object.fields.iter().filter(|field| !hidden.contains(&field.name)).enumerate() {
        if n > 0 {
            out.push(b',');
        }
        describe_field(&mut out, object, field);
    }
    for n in 0..extra {
        push(&mut out, format_args!(",{}", extra_field(&json::extra_column(n))));
    }
    out.extend_from_slice(b"],");
    about(&mut out, object, version);
    out.push(b'}');
    out
}

fn about(out: &mut Vec<u8>, object: &Object, version: &str) {
    let name = object.name;
    let custom = name.ends_with("__c");
    let label = name.trim_end_matches("__c");
    push(
        out,
        format_args!(
            r#""custom":{custom},"keyPrefix":"{}","label":"{label}","labelPlural":"{label}s","name":"{name}","queryable":true,"retrieveable":true,"urls":{{"describe":"/services/data/v{version}/sobjects/{name}/describe","rowTemplate":"/services/data/v{version}/sobjects/{name}/{{ID}}","sobject":"/services/data/v{version}/sobjects/{name}"}}"#,
            object.prefix
        ),
    );
}

fn describe_field(out: &mut Vec<u8>, object: &Object, field: &Field) {
    let compound = compound_of(object, field).map_or("null".to_owned(), |name| format!("\"{name}\""));
    let (to, relationship) = match &field.reference {
        Some(reference) => (
            reference.to.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(","),
            format!("\"{}\"", reference.relationship),
        ),
        None => (String::new(), "null".to_owned()),
    };
    push(
        out,
        format_args!(
            r#"{{"aggregatable":{},"compoundFieldName":{compound},"custom":{},"deprecatedAndHidden":false,"filterable":{},"groupable":{},"label":"{name}","name":"{name}","nillable":{},"polymorphicForeignKey":{},"referenceTo":[{to}],"relationshipName":{relationship},"soapType":"{}","sortable":{},"type":"{}"}}"#,
            field.kind.is_sortable(),
            field.is_custom(),
            field.kind.is_filterable(),
            field.kind.is_groupable(),
            !matches!(field.kind, Kind::Id | Kind::Boolean),
            field.reference.as_ref().is_some_and(|reference| reference.to.len() > 1),
            soap_type(field.kind),
            field.kind.is_sortable(),
            field.kind.as_str(),
            name = field.name,
        ),
    );
}

/// A made-up field.
fn extra_field(name: &str) -> String {
    format!(
        r#"{{"aggregatable":true,"compoundFieldName":null,"custom":true,"deprecatedAndHidden":false,"filterable":true,"groupable":true,"label":"{name}","name":"{name}","nillable":true,"polymorphicForeignKey":false,"referenceTo":[],"relationshipName":null,"soapType":"xsd:string","sortable":true,"type":"string"}}"#
    )
}

/// The compound field that a field is a part of.
fn compound_of(object: &Object, field: &Field) -> Option<&'static str> {
    if field.kind == Kind::Address {
        return None;
    }
    let parts =
        ["Street", "City", "State", "PostalCode", "Country", "Latitude", "Longitude", "GeocodeAccuracy"];
    object.fields.iter().find_map(|compound| {
        let of_location = compound.kind == Kind::Location
            && field.name.starts_with(compound.name.trim_end_matches("__c"))
            && field.name.ends_with("__s");
        let of_address = compound.kind == Kind::Address
            && field
                .name
                .strip_prefix(compound.name.trim_end_matches("Address"))
                .is_some_and(|part| parts.contains(&part));
        (of_location || of_address).then_some(compound.name)
    })
}

fn soap_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Id | Kind::Reference => "tns:ID",
        Kind::Boolean => "xsd:boolean",
        Kind::Int => "xsd:int",
        Kind::Double | Kind::Currency | Kind::Percent => "xsd:double",
        Kind::Date => "xsd:date",
        Kind::Datetime => "xsd:dateTime",
        Kind::Address => "urn:address",
        Kind::Location => "urn:location",
        Kind::Base64 => "xsd:base64Binary",
        _ => "xsd:string",
    }
}
