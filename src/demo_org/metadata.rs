//! What the org tells about itself: versions, resources, limits, objects, columns, and who the user is.

use std::sync::atomic::Ordering;

use super::condition::End;
use super::data::{Row, Value};
use super::group::Groups;
use super::plan::{Column, Content, Plan, Shape};
use super::render::{self, push};
use super::schema::{Field, Kind, Object};
use super::{API_VERSIONS, Org};

/// `/services/data`: the versions, oldest first.
pub(super) fn versions() -> Vec<u8> {
    let mut out = b"[".to_vec();
    for version in API_VERSIONS.0..=API_VERSIONS.1 {
        // 31.0 was Summer '14; three releases a year: Spring, Summer, Winter of the next year.
        let since = version - 31;
        let (season, year) = match since % 3 {
            0 => ("Summer", 14 + since / 3),
            1 => ("Winter", 15 + since / 3),
            _ => ("Spring", 15 + since / 3),
        };
        if version > API_VERSIONS.0 {
            out.push(b',');
        }
        push(
            &mut out,
            format_args!(
                r#"{{"label":"{season} '{year}","url":"/services/data/v{version}.0","version":"{version}.0"}}"#
            ),
        );
    }
    out.push(b']');
    out
}

/// `/services/data/vXX.0/`: the resources that are here.
pub(super) fn resources(version: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for name in ["limits", "query", "queryAll", "sobjects"] {
        out.push(if out.is_empty() { b'{' } else { b',' });
        push(&mut out, format_args!(r#""{name}":"/services/data/v{version}/{name}""#));
    }
    out.push(b'}');
    out
}

/// `/limits`
pub(super) fn limits(org: &Org) -> Vec<u8> {
    let (_, allowed) = org.options.api_calls;
    let remaining = allowed.saturating_sub(org.api_calls.load(Ordering::Relaxed));
    let mut out = Vec::new();
    push(
        &mut out,
        format_args!(
            r#"{{"DailyApiRequests":{{"Max":{allowed},"Remaining":{remaining}}},"DailyBulkV2QueryFileStorageMB":{{"Max":976562,"Remaining":976562}},"DailyBulkV2QueryJobs":{{"Max":10000,"Remaining":10000}}}}"#
        ),
    );
    out
}

/// `/limits/recordCount?sObjects=A,B`; objects without records are left out.
pub(super) fn record_counts(org: &Org, parameters: &[(String, String)]) -> Vec<u8> {
    let asked = parameters.iter().find(|(key, _)| key == "sObjects").map(|(_, value)| value.as_str());
    let mut out = b"{\"sObjects\":[".to_vec();
    let mut first = true;
    for object in org.data.objects() {
        let count = org.data.live_count(object);
        let wanted =
            asked.is_none_or(|asked| asked.split(',').any(|name| name.eq_ignore_ascii_case(object.name)));
        if count > 0 && wanted {
            if !first {
                out.push(b',');
            }
            first = false;
            push(&mut out, format_args!(r#"{{"count":{count},"name":"{}"}}"#, object.name));
        }
    }
    out.extend_from_slice(b"]}");
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
pub(super) fn describe(object: &Object, version: &str) -> Vec<u8> {
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
    for (n, field) in object.fields.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        describe_field(&mut out, object, field);
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
            r#"{{"aggregatable":{},"compoundFieldName":{compound},"custom":{},"filterable":{},"groupable":{},"label":"{name}","name":"{name}","nillable":{},"polymorphicForeignKey":{},"referenceTo":[{to}],"relationshipName":{relationship},"soapType":"{}","sortable":{},"type":"{}"}}"#,
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

/// `query?columns=true`: the columns that a query's records have.
pub(super) fn columns(plan: &Plan) -> Vec<u8> {
    let mut out = b"{\"columnMetadata\":".to_vec();
    let (grouped, id_selected) = match &plan.shape {
        Shape::Records(columns) => {
            column_list(&mut out, columns);
            (false, columns.iter().any(|column| column.key == "Id"))
        }
        Shape::Count => {
            out.extend_from_slice(b"[]");
            (false, false)
        }
        Shape::Groups(groups) => {
            group_list(&mut out, groups);
            (!groups.keys.is_empty(), false)
        }
    };
    push(
        &mut out,
        format_args!(
            r#","entityName":"{}","groupBy":{grouped},"idSelected":{id_selected},"keyPrefix":"{}"}}"#,
            plan.object.name, plan.object.prefix
        ),
    );
    out
}

fn column_list(out: &mut Vec<u8>, columns: &[Column]) {
    out.push(b'[');
    for (n, column) in columns.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        match &column.content {
            Content::Own(End::Field(field), formatted) => {
                let kind = if *formatted { Kind::Text } else { field.kind };
                one(out, &column.key, &column.key, kind, false, |out| out.extend_from_slice(b"[]"));
            }
            Content::Own(End::Name(_), _) => {
                one(out, &column.key, &column.key, Kind::Text, false, |out| out.extend_from_slice(b"[]"));
            }
            Content::Aliased(chain, _) => {
                one(out, &column.key, &chain.path, chain.kind(), true, |out| out.extend_from_slice(b"[]"));
            }
            Content::Parent(_, inner) => {
                one(out, &column.key, &column.key, Kind::Reference, false, |out| column_list(out, inner));
            }
            Content::TypeOf(_, branches, otherwise) => {
                one(out, &column.key, &column.key, Kind::Reference, false, |out| {
                    let all = branches.iter().map(|(_, columns)| columns).chain(otherwise);
                    union(out, all.flatten());
                });
            }
            Content::Child(_, _, plan) => {
                one(out, &column.key, &column.key, Kind::Reference, true, |out| match &plan.shape {
                    Shape::Records(inner) => column_list(out, inner),
                    _ => out.extend_from_slice(b"[]"),
                });
            }
        }
    }
    out.push(b']');
}

/// The fields of a TYPEOF's branches, each name once.
fn union<'c>(out: &mut Vec<u8>, columns: impl Iterator<Item = &'c Column>) {
    let mut seen: Vec<&str> = Vec::new();
    out.push(b'[');
    for column in columns {
        if seen.contains(&column.key.as_str()) {
            continue;
        }
        if !seen.is_empty() {
            out.push(b',');
        }
        seen.push(&column.key);
        match &column.content {
            Content::Parent(_, inner) => {
                one(out, &column.key, &column.key, Kind::Reference, false, |out| column_list(out, inner));
            }
            Content::Own(End::Field(field), _) => {
                one(out, &column.key, &column.key, field.kind, false, |out| out.extend_from_slice(b"[]"));
            }
            _ => one(out, &column.key, &column.key, Kind::Text, false, |out| out.extend_from_slice(b"[]")),
        }
    }
    out.push(b']');
}

fn group_list(out: &mut Vec<u8>, groups: &Groups) {
    out.push(b'[');
    for (n, column) in groups.columns.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let kind = match &column.operand {
            super::condition::Operand::Aggregate(number) => groups.aggregates[*number].kind(),
            _ => Kind::Text,
        };
        one(out, &column.key, &column.text, kind, !column.is_field, |out| out.extend_from_slice(b"[]"));
    }
    out.push(b']');
}

fn one(
    out: &mut Vec<u8>,
    name: &str,
    display: &str,
    kind: Kind,
    aggregate: bool,
    join: impl FnOnce(&mut Vec<u8>),
) {
    let custom = name.ends_with("__c") || name.ends_with("__s") || name.ends_with("__r");
    push(
        out,
        format_args!(
            r#"{{"aggregate":{aggregate},"apexType":"{}","booleanType":{},"columnName":"#,
            apex(kind),
            kind == Kind::Boolean
        ),
    );
    render::string(out, name);
    push(out, format_args!(r#","custom":{custom},"displayName":"#));
    render::string(out, display);
    out.extend_from_slice(br#","foreignKeyName":null,"insertable":true,"joinColumns":"#);
    join(out);
    push(
        out,
        format_args!(
            r#","numberType":{},"textType":{},"updatable":true}}"#,
            kind.is_number(),
            kind.is_text()
        ),
    );
}

fn apex(kind: Kind) -> &'static str {
    match kind {
        Kind::Id | Kind::Reference => "Id",
        Kind::Boolean => "Boolean",
        Kind::Int => "Integer",
        Kind::Double | Kind::Currency | Kind::Percent => "Double",
        Kind::Date => "Date",
        Kind::Datetime => "Datetime",
        Kind::Address => "Address",
        Kind::Location => "Location",
        Kind::Base64 => "Blob",
        _ => "String",
    }
}

/// The identity URL's answer.
pub(super) fn identity(org: &Org, user: Row<'_>) -> Vec<u8> {
    let text = |field: &str| match user.value(field) {
        Some(Value::Text(text)) => text.into_owned(),
        _ => String::new(),
    };
    let organization = org.organization_id();
    let id = user.id();
    let url = &org.url;
    let mut out = Vec::new();
    push(
        &mut out,
        format_args!(
            r#"{{"id":"{url}/id/{organization}/{id}","asserted_user":true,"user_id":"{id}","organization_id":"{organization}","username":"#
        ),
    );
    render::string(&mut out, &text("Username"));
    for (key, value) in [
        (",\"nick_name\":", text("Alias")),
        (",\"display_name\":", text("Name")),
        (",\"email\":", text("Email")),
        (",\"first_name\":", text("FirstName")),
        (",\"last_name\":", text("LastName")),
        (",\"timezone\":", text("TimeZoneSidKey")),
    ] {
        out.extend_from_slice(key.as_bytes());
        render::string(&mut out, &value);
    }
    push(
        &mut out,
        format_args!(
            r#","email_verified":true,"urls":{{"rest":"{url}/services/data/v{{version}}/","sobjects":"{url}/services/data/v{{version}}/sobjects/","query":"{url}/services/data/v{{version}}/query/"}},"active":true,"user_type":"STANDARD","language":"en_US","locale":"en_US","utcOffset":0,"is_app_installed":true}}"#
        ),
    );
    out
}

/// `/services/oauth2/userinfo` of the user that logs in.
pub(super) fn user_info(org: &Org) -> Vec<u8> {
    let organization = org.organization_id();
    let id = org.user_id();
    let url = &org.url;
    let username = org.options.username.as_str();
    let mut out = Vec::new();
    push(
        &mut out,
        format_args!(
            r#"{{"sub":"{url}/id/{organization}/{id}","user_id":"{id}","organization_id":"{organization}","preferred_username":"#
        ),
    );
    render::string(&mut out, username);
    out.extend_from_slice(b",\"nickname\":\"demo\",\"name\":");
    let name = org.data.row(&id.to_string()).and_then(|row| row.value("Name"));
    render::value(&mut out, &name.unwrap_or(Value::Null), "");
    out.extend_from_slice(b",\"email\":");
    render::string(&mut out, username);
    push(
        &mut out,
        format_args!(
            r#","email_verified":true,"zoneinfo":"Europe/Berlin","urls":{{"rest":"{url}/services/data/v{{version}}/"}},"active":true,"user_type":"STANDARD","language":"en_US","locale":"en_US","utcOffset":0,"updated_at":"2026-01-01T00:00:00Z"}}"#
        ),
    );
    out
}
