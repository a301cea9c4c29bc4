//! Hints for a query that the org refuses: for a field or an object that it does not know, or for what only SQL has. Names
//! are found by our own reading of the query and the org's descriptions, never by the org's message, which is in the user's
//! language.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::client::OrgClient;
use crate::config::nearest;
use crate::job::{Job, QueryOrigin};
use crate::salesforce::describe::{self, ObjectDescription};
use crate::salesforce::fault::{ErrorCode, Fault, FaultKind};
use crate::soql::{
    ClauseKind, INSTEAD_OF_JOIN, Item, Mention, Name, Query, SemiJoin, Statement, habit_of_sql,
};

/// How many descriptions a refusal is worth: the object's own and those of some parents and children.
const MAX_DESCRIPTIONS: usize = 6;

/// A name that the org does not know for this user.
#[derive(Debug, PartialEq, Eq)]
struct Unknown {
    name: Name,
    kind: Kind,
    /// The object that lacks it; none for an object.
    object: Option<String>,
    /// What was most likely meant.
    near: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Field,
    Relationship,
    ChildRelationship,
    Object,
}

/// What the descriptions at hand say of a query.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Unknown(Unknown),
    /// The description of this object has to be seen first.
    Needs(String),
    /// Whatever is wrong, it is none of these names: the org has them all.
    Nothing,
    /// No name is known to be wrong, and not all are known to be right.
    Unclear,
}

/// How many queries may be in the conditions of each other. An org accepts fewer.
const MAX_SEMI_JOINS: usize = 3;

/// Descriptions by the object's name in lower case; `None` if the org has none for this user.
type Descriptions = HashMap<String, Option<ObjectDescription>>;

/// The fault with a hint that names the field or the object, if the org refused the query for one of them. Asks the
/// org a few questions; whatever comes of them, the fault stays.
pub(crate) async fn explained(client: &OrgClient, job: &Job, fault: Fault) -> Fault {
    let Some(query) = job.query() else { return fault };
    let is_about_the_query = fault.code.as_ref().is_some_and(ErrorCode::is_about_the_query);
    if fault.kind != FaultKind::QueryRefused || !is_about_the_query || fault.hint.is_some() {
        return fault;
    }
    if let Some((root, other)) = query.statement.unrelated_object() {
        return fault.hint(format!(
            "\"{other}\" after FROM is not a path from {root}, and SOQL has no joins: {INSTEAD_OF_JOIN}"
        ));
    }
    if !matches!(fault.code, Some(ErrorCode::InvalidField | ErrorCode::InvalidType)) {
        return match habit_of_sql(&query.statement) {
            Some(hint) => fault.hint(hint),
            None => fault,
        };
    }
    let mut descriptions = Descriptions::new();
    let finding = loop {
        match look(&query.statement, &query.text, None, &descriptions) {
            Finding::Needs(object) if descriptions.len() < MAX_DESCRIPTIONS => {
                let found = match client.describe_object(&object).await {
                    Ok(found) => Some(found),
                    Err(fault) if fault.code == Some(ErrorCode::NotFound) => None,
                    Err(_) => break Finding::Unclear,
                };
                descriptions.insert(object.to_ascii_lowercase(), found);
            }
            Finding::Needs(_) => break Finding::Unclear,
            finding => break finding,
        }
    };
    let username = &client.org().username;
    let origin = job.query_origin.as_ref();
    let general = || {
        let place = place(0, query, origin);
        format!("check each field in {place}, and that {username} may read it (field-level security)")
    };
    let hint = match finding {
        Finding::Unknown(unknown) if unknown.kind == Kind::Object => {
            let objects = client.objects().await.unwrap_or_default();
            let near = similar(unknown.name.as_str(), objects.iter().map(|object| object.name.as_str()));
            hint_of(&Unknown { near, ..unknown }, query, origin, username)
        }
        Finding::Unknown(unknown) => hint_of(&unknown, query, origin, username),
        finding => match (&fault.code, finding) {
            (Some(ErrorCode::InvalidType), finding) if is_not_queryable(query, &finding, &descriptions) => {
                not_queryable(query, origin, username)
            }
            (Some(ErrorCode::InvalidField), Finding::Nothing) => {
                names_are_right(query, origin).unwrap_or_else(general)
            }
            _ => general(),
        },
    };
    fault.hint(hint)
}

/// Whether the query's object is what the org refuses: its description says so, or nothing else can be the reason.
fn is_not_queryable(query: &Query, finding: &Finding, descriptions: &Descriptions) -> bool {
    let Query { text, statement } = query;
    let object = statement.from.first().map_or("", |source| source.path.last());
    let described = descriptions.get(&object.to_ascii_lowercase()).and_then(Option::as_ref);
    let has_others = statement.select.iter().any(|item| matches!(item, Item::TypeOf { .. } | Item::Child(_)))
        || !statement.semi_joins(text).is_empty();
    described.is_some_and(|described| !described.queryable) || *finding == Finding::Nothing && !has_others
}

/// The hint for a query whose names the org has, all of them; `None` if the query does nothing but select them.
fn names_are_right(query: &Query, origin: Option<&QueryOrigin>) -> Option<String> {
    let statement = &query.statement;
    let begins = |kind| Some(statement.clause(kind)?.tokens.first()?.span.start);
    if let Some(byte) = begins(ClauseKind::Where).or_else(|| begins(ClauseKind::Having)) {
        return Some(format!(
            "the names in the query are right, so check the values and operators in {}: text needs single quotes, numbers \
             and dates have none, a datetime field needs a time (2020-01-01T00:00:00Z), and long text cannot be filtered",
            place(byte, query, origin)
        ));
    }
    let is_ordered = statement.clause(ClauseKind::OrderBy).is_some();
    (is_ordered || statement.is_grouped()).then(|| {
        format!(
            "the names in {} are right, so check what is done with each field: not every field can be sorted, grouped or \
             aggregated",
            place(0, query, origin)
        )
    })
}

/// The hint for an object that the org describes, but does not let this user query.
fn not_queryable(query: &Query, origin: Option<&QueryOrigin>, username: &str) -> String {
    let object = query.statement.from.first().map_or("", |source| source.path.last());
    let place = origin.map_or_else(|| "the query".to_owned(), ToString::to_string);
    format!(
        "\"{object}\" exists, but cannot be queried: give {username} read access to it (object permissions), or remove it \
         from {place} if it does not support queries"
    )
}

/// Where a byte of the query is, for a message.
fn place(byte: usize, query: &Query, origin: Option<&QueryOrigin>) -> String {
    match origin {
        Some(origin @ QueryOrigin { line: first, is_exact: true, .. }) => {
            let line = query.text[..byte].matches('\n').count();
            origin.at(Some(first + line))
        }
        // The query of an object has its fields before FROM and its condition after it.
        Some(origin) => {
            let from = query.statement.from.first().and_then(|source| source.path.segments.first());
            match from.map(|object| byte.cmp(&object.span.start)) {
                Some(Ordering::Less) => origin.at(origin.fields_line),
                Some(Ordering::Greater) => origin.at(origin.condition_line),
                _ => origin.to_string(),
            }
        }
        None => "the query".to_owned(),
    }
}

fn hint_of(unknown: &Unknown, query: &Query, origin: Option<&QueryOrigin>, username: &str) -> String {
    let Unknown { name, kind, object, near } = unknown;
    let place = place(name.span.start, query, origin);
    let (article, word, access) = match kind {
        Kind::Field => ("a", "field", "field-level security"),
        Kind::Relationship => ("a", "relationship", "field-level security of its lookup field"),
        Kind::ChildRelationship => (
            "a",
            "child relationship",
            "object permissions of the children, and field-level security of their lookup field",
        ),
        Kind::Object => ("an", "object", "object permissions"),
    };
    let of = object.as_ref().map_or_else(|| "the org".to_owned(), Clone::clone);
    match near {
        Some(near) => format!(
            "write \"{near}\" instead of \"{name}\" in {place}; if {of} does have {article} {word} \"{name}\", give {username} \
             read access to it ({access})"
        ),
        None => format!(
            "{of} has no {word} \"{name}\" that {username} may read: correct it in {place}, or give {username} read \
             access to it ({access})"
        ),
    }
}

/// Looks for the first name that is unknown in a statement, or in one of its child queries and semi-joins. `text` is the
/// query that it is in, and `object` that of a child query.
fn look(statement: &Statement, text: &str, object: Option<&str>, descriptions: &Descriptions) -> Finding {
    Search { text, descriptions, depth: 0 }.look(statement, object)
}

/// What is the same for a statement and its child queries.
#[derive(Clone, Copy)]
struct Search<'s> {
    text: &'s str,
    descriptions: &'s Descriptions,
    /// In how many conditions of other queries it is.
    depth: usize,
}

impl Search<'_> {
    fn look(self, statement: &Statement, object: Option<&str>) -> Finding {
        let Some(root) = statement.from.first().and_then(|source| source.path.segments.last()) else {
            return Finding::Unclear;
        };
        let unknown_object =
            |name: Name| Finding::Unknown(Unknown { name, kind: Kind::Object, object: None, near: None });
        let object = object.unwrap_or(root.as_str());
        let described = match self.descriptions.get(&object.to_ascii_lowercase()) {
            None => return Finding::Needs(object.to_owned()),
            Some(None) => return unknown_object(root.clone()),
            Some(Some(described)) => described,
        };
        let of_mention = |mention: Mention| {
            let mut place = mention.place.as_slice();
            // A child query may name its own object first.
            if let [first, rest @ ..] = place
                && !rest.is_empty()
                && first.eq_ignore_ascii_case(&described.name)
            {
                place = rest;
            }
            let object = match mention.object {
                None => described,
                Some(branch) => match self.descriptions.get(&branch.as_str().to_ascii_lowercase()) {
                    None => return Finding::Needs(branch.text),
                    Some(None) => return unknown_object(branch),
                    Some(Some(branch)) => branch,
                },
            };
            resolve(place, mention.is_relationship, object, self.descriptions)
        };
        let of_item = |item: &Item| match item {
            Item::Child(child) => self.look_at_child(child, described),
            _ => Finding::Nothing,
        };
        let mentions = statement.mentions();
        let findings = mentions.into_iter().map(of_mention).chain(statement.select.iter().map(of_item));
        let inner = statement.semi_joins(self.text);
        let findings = findings.chain(inner.into_iter().map(|inner| self.look_inside(&inner)));
        first(findings, if statement.mentions_less() { Finding::Unclear } else { Finding::Nothing })
    }

    fn look_at_child(self, child: &Statement, parent: &ObjectDescription) -> Finding {
        let Some(relationship) = child.relationship() else { return Finding::Unclear };
        let known = || {
            parent.child_relationships.iter().filter_map(|child| {
                child.relationship_name.as_deref().map(|name| (name, child.object.as_str()))
            })
        };
        match known().find(|(name, _)| relationship.eq_ignore_ascii_case(name)) {
            Some((_, object)) => self.look(child, Some(object)),
            None => Finding::Unknown(Unknown {
                name: relationship.clone(),
                kind: Kind::ChildRelationship,
                object: Some(parent.name.clone()),
                near: similar(relationship.as_str(), known().map(|(name, _)| name)),
            }),
        }
    }

    fn look_inside(self, SemiJoin { query, start }: &SemiJoin) -> Finding {
        if self.depth == MAX_SEMI_JOINS {
            return Finding::Unclear;
        }
        let inner = Search { text: &query.text, depth: self.depth + 1, ..self };
        match inner.look(&query.statement, None) {
            Finding::Unknown(mut unknown) => {
                unknown.name.span.start += start;
                unknown.name.span.end += start;
                Finding::Unknown(unknown)
            }
            finding => finding,
        }
    }
}

/// The first finding that ends the search, or what all of them show together.
fn first(findings: impl Iterator<Item = Finding>, otherwise: Finding) -> Finding {
    let mut together = otherwise;
    for finding in findings {
        match finding {
            Finding::Nothing => {}
            Finding::Unclear => together = Finding::Unclear,
            found => return found,
        }
    }
    together
}

/// Follows a place from an object by its relationships to the field, or to the last relationship.
fn resolve(
    place: &[Name],
    is_relationship: bool,
    object: &ObjectDescription,
    descriptions: &Descriptions,
) -> Finding {
    let Some((first, rest)) = place.split_first() else { return Finding::Unclear };
    let relationships = || object.fields.iter().filter_map(|field| field.relationship_name.as_deref());
    let fields = || object.fields.iter().map(|field| field.name.as_str());
    let unknown = |kind, near| {
        Finding::Unknown(Unknown { name: first.clone(), kind, object: Some(object.name.clone()), near })
    };
    if rest.is_empty() && !is_relationship {
        return match fields().any(|name| first.eq_ignore_ascii_case(name)) {
            true => Finding::Nothing,
            false => unknown(Kind::Field, similar(first.as_str(), fields())),
        };
    }
    let leads = |field: &&describe::FieldDescription| {
        field.relationship_name.as_deref().is_some_and(|name| first.eq_ignore_ascii_case(name))
    };
    let Some(field) = object.fields.iter().find(leads) else {
        return unknown(Kind::Relationship, similar(first.as_str(), relationships()));
    };
    if rest.is_empty() {
        return Finding::Nothing;
    }
    // A relationship to several objects has the fields that all of them have, which no description lists.
    let [parent] = field.reference_to.as_deref().unwrap_or_default() else { return Finding::Unclear };
    match descriptions.get(&parent.to_ascii_lowercase()) {
        None => Finding::Needs(parent.clone()),
        Some(None) => Finding::Unclear,
        Some(Some(parent)) => resolve(rest, is_relationship, parent, descriptions),
    }
}

/// The name that was most likely meant: with the ending of custom names, or with a slip of the fingers.
pub(crate) fn similar<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let known: Vec<_> = known.collect();
    let stem = |name: &str| {
        let lower = name.to_ascii_lowercase().replace("_", "");
        lower
            .strip_suffix("c")
            .or_else(|| lower.strip_suffix("r"))
            .filter(|_| name.contains("__"))
            .unwrap_or(&lower)
            .to_owned()
    };
    let wanted = stem(name);
    let custom = known.iter().copied().find(|known| known.contains("__") && stem(known) == wanted);
    custom.or_else(|| nearest(name, known.iter().copied())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soql::Query;

    /// The relationship of a field, and the objects that it leads to.
    type Parent<'p> = Option<(&'p str, &'p [&'p str])>;

    fn object(name: &str, fields: &[(&str, Parent<'_>)], children: &[(&str, &str)]) -> ObjectDescription {
        let field = |(name, parent): &(&str, Parent<'_>)| describe::FieldDescription {
            name: (*name).to_owned(),
            label: String::new(),
            calculated: false,
            filterable: true,
            field_type: "string".to_owned(),
            soap_type: "xsd:string".to_owned(),
            precision: 0,
            scale: 0,
            deprecated_and_hidden: false,
            relationship_name: parent.map(|(name, _)| name.to_owned()),
            reference_to: parent
                .map(|(_, objects)| objects.iter().map(|object| (*object).to_owned()).collect()),
        };
        let child = |(name, object): &(&str, &str)| describe::ChildRelationship {
            relationship_name: Some((*name).to_owned()),
            object: (*object).to_owned(),
        };
        ObjectDescription {
            name: name.to_owned(),
            queryable: true,
            replicateable: true,
            fields: fields.iter().map(field).collect(),
            child_relationships: children.iter().map(child).collect(),
        }
    }

    /// An org of three objects.
    fn org() -> Descriptions {
        let account = object(
            "Account",
            &[("Id", None), ("Name", None), ("Rank__c", None), ("OwnerId", Some(("Owner", &["User"])))],
            &[("Contacts", "Contact")],
        );
        let contact = object(
            "Contact",
            &[
                ("LastName", None),
                ("AccountId", Some(("Account", &["Account"]))),
                ("WhoId", Some(("Who", &["Lead", "Contact"]))),
                ("Vet__c", Some(("Vet__r", &["User"]))),
            ],
            &[],
        );
        let user = object("User", &[("Username", None)], &[]);
        [account, contact, user]
            .into_iter()
            .map(|object| (object.name.to_ascii_lowercase(), Some(object)))
            .chain([("secret".to_owned(), None)])
            .collect()
    }

    fn found(text: &str) -> Option<(String, Kind, Option<String>)> {
        match look(&Query::parse(text).unwrap().statement, text, None, &org()) {
            Finding::Unknown(unknown) => {
                let Name { text: name, span } = unknown.name;
                assert_eq!(text[span.start..span.end], name, "{text}");
                Some((name, unknown.kind, unknown.near))
            }
            Finding::Nothing | Finding::Unclear => None,
            Finding::Needs(object) => panic!("{text}: {object}"),
        }
    }

    #[test]
    fn the_unknown_name_is_found_with_what_was_meant() {
        use Kind::{ChildRelationship, Field, Object, Relationship};
        for (text, name, kind, near) in [
            ("SELECT Id, Nmae FROM Account", "Nmae", Field, Some("Name")),
            ("SELECT Id, a.Nmae FROM Account a", "Nmae", Field, Some("Name")),
            ("SELECT Rank FROM Account", "Rank", Field, Some("Rank__c")),
            ("SELECT Salary__c FROM Account", "Salary__c", Field, None),
            ("SELECT toLabel(Nmae) FROM Account", "Nmae", Field, Some("Name")),
            ("SELECT Id FROM Account WHERE Nmae = 'x'", "Nmae", Field, Some("Name")),
            ("SELECT Id FROM Account ORDER BY Nmae", "Nmae", Field, Some("Name")),
            ("SELECT Ownr.Username FROM Account", "Ownr", Relationship, Some("Owner")),
            ("SELECT Owner.Usrname FROM Account", "Usrname", Field, Some("Username")),
            ("SELECT Vet__c.Username FROM Contact", "Vet__c", Relationship, Some("Vet__r")),
            ("SELECT Account.Owner.Name FROM Contact", "Name", Field, None),
            ("SELECT Id, (SELECT LstName FROM Contacts) FROM Account", "LstName", Field, Some("LastName")),
            (
                "SELECT Id, (SELECT Contact.LstName FROM Contacts) FROM Account",
                "LstName",
                Field,
                Some("LastName"),
            ),
            (
                "SELECT Id, (SELECT LastName FROM Contcts) FROM Account",
                "Contcts",
                ChildRelationship,
                Some("Contacts"),
            ),
            (
                "SELECT TYPEOF Who WHEN Contact THEN LstName END FROM Contact",
                "LstName",
                Field,
                Some("LastName"),
            ),
            ("SELECT Id FROM Secret", "Secret", Object, None),
            ("SELECT TYPEOF Who WHEN Secret THEN Phone END FROM Contact", "Secret", Object, None),
            (
                "SELECT TYPEOF Woh WHEN Contact THEN LastName END FROM Contact",
                "Woh",
                Relationship,
                Some("Who"),
            ),
            ("SELECT Id FROM Account WHERE CALENDAR_YEAR(Nmae) = 2026", "Nmae", Field, Some("Name")),
            (
                "SELECT Id FROM Account WHERE Id IN (SELECT AccountIdd FROM Contact)",
                "AccountIdd",
                Field,
                Some("AccountId"),
            ),
            (
                "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE AccountId NOT IN (SELECT Nmae \
                 FROM Account))",
                "Nmae",
                Field,
                Some("Name"),
            ),
            ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Secret)", "Secret", Object, None),
        ] {
            let expected = Some((name.to_owned(), kind, near.map(str::to_owned)));
            assert_eq!(found(text), expected, "{text}");
        }
        for text in [
            "SELECT ID, name, owner.USERNAME, (SELECT Contact.LastName, Account.Name FROM Contacts) FROM Account",
            "SELECT Who.Anything, Who.Name FROM Contact",
            "SELECT COUNT() FROM Account",
            "SELECT FIELDS(ALL) FROM Account LIMIT 200",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_right_only_if_all_of_them_are_known() {
        let is_right = |text: &str| match look(&Query::parse(text).unwrap().statement, text, None, &org()) {
            Finding::Nothing => true,
            Finding::Unclear => false,
            found => panic!("{text}: {found:?}"),
        };
        let inside = "Id IN (SELECT AccountId FROM Contact WHERE ".repeat(4);
        let nested = format!("SELECT Id FROM Account WHERE {inside}LastName = 'x'{}", ")".repeat(4));
        for (text, expected) in [
            ("SELECT Id FROM Account WHERE Name = 5 AND Owner.Username LIKE 'x'", true),
            ("SELECT Id, (SELECT LastName FROM Contacts WHERE LastName > 5) FROM Account", true),
            ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE LastName = 5)", true),
            ("SELECT TYPEOF Who WHEN Contact THEN LastName END FROM Contact", true),
            ("SELECT TYPEOF Who WHEN Contact THEN LastName ELSE Nmae END FROM Contact", false),
            ("SELECT Who.Nmae FROM Contact", false),
            (
                nested
                    .replace(
                        "SELECT AccountId FROM Contact WHERE Id",
                        "SELECT AccountId FROM Contact WHERE AccountId",
                    )
                    .as_str(),
                false,
            ),
        ] {
            assert_eq!(is_right(text), expected, "{text}");
        }
    }

    #[test]
    fn a_description_that_is_missing_is_asked_for() {
        let query = Query::parse("SELECT Id, Owner.Manager.Name FROM Account").unwrap();
        let mut known = Descriptions::new();
        assert_eq!(look(&query.statement, &query.text, None, &known), Finding::Needs("Account".to_owned()));
        known.insert("account".to_owned(), org()["account"].clone());
        assert_eq!(look(&query.statement, &query.text, None, &known), Finding::Needs("User".to_owned()));
    }
}
