//! `query?columns=true`: the columns that a query's records have, and their types.

use super::condition::{End, Operand};
use super::group::Groups;
use super::plan::{Column, Content, Plan, Shape};
use super::render::{json, push};
use super::schema::Kind;

/// The columns of a plan, and so many made-up ones behind them.
pub(super) fn columns(plan: &Plan, extra: usize) -> Vec<u8> {
    let mut out = b"{\"columnMetadata\":".to_vec();
    let (grouped, id_selected) = match &plan.shape {
        Shape::Records(columns) => {
            column_list(&mut out, columns);
            if extra > 0 {
                extra_list(&mut out, columns.is_empty(), extra);
            }
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
            Content::Own(end, formatted) => {
                let kind = match end {
                    End::Field(field) if !formatted => field.kind,
                    _ => Kind::Text,
                };
                // Under an alias it is a function.
                let is_aliased = column.key != end.name();
                one(out, &column.key, end.name(), kind, is_aliased, |out| out.extend_from_slice(b"[]"));
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

/// Puts made-up columns into the list that ends `out`.
fn extra_list(out: &mut Vec<u8>, is_empty: bool, extra: usize) {
    out.pop();
    for n in 0..extra {
        if n > 0 || !is_empty {
            out.push(b',');
        }
        let name = json::extra_column(n);
        one(out, &name, &name, Kind::Text, false, |out| out.extend_from_slice(b"[]"));
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
            Operand::Aggregate(number) => groups.aggregates[*number].kind(),
            Operand::Key(number) => groups.keys.get(*number).map_or(Kind::Text, kind_of_key),
            Operand::Grouping(_) => Kind::Int,
            operand => kind_of_key(operand),
        };
        one(out, &column.key, &column.text, kind, !column.is_field, |out| out.extend_from_slice(b"[]"));
    }
    out.push(b']');
}

fn kind_of_key(operand: &Operand) -> Kind {
    match operand {
        Operand::Field(chain) => chain.kind(),
        Operand::Date(function, _) => function.kind(),
        Operand::Distance(_) => Kind::Double,
        Operand::Key(_) | Operand::Aggregate(_) | Operand::Grouping(_) => Kind::Text,
    }
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
    json::string(out, name);
    push(out, format_args!(r#","custom":{custom},"displayName":"#));
    json::string(out, display);
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
