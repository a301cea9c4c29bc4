//! What Bulk API 2.0 does not take of a query, and the query that it is sent: the job's own text, and, for JSON Lines, the
//! Ids of its parents, because a result in CSV does not tell a missing parent from one without values.

use std::collections::HashMap;
use std::fmt;

use super::columns::{Roots, is_object};
use super::{
    Argument, Call, ClauseKind, Columns, Described, Item, Level, Name, Node, Path, Query, Statement,
    ValueKind, described_by_name, tokens,
};
use crate::value::FieldType;

/// Why a query stays with the REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkObstacle {
    /// It has a child query.
    ChildQuery,
    /// It has an aggregate function, or is `SELECT COUNT()`.
    Aggregate,
    /// It has GROUP BY.
    GroupBy,
    /// It has HAVING.
    Having,
    /// It has OFFSET.
    Offset,
    /// It has TYPEOF.
    TypeOf,
    /// Its select list has this function: `toLabel`, `FORMAT`, `DISTANCE`.
    Function(String),
    /// Its select list has `FIELDS(ALL)` or `FIELDS(CUSTOM)`, whose fields the API does not know in advance. It accepts
    /// `FIELDS(STANDARD)`.
    Fields(String),
    /// This column holds JSON objects: addresses, locations.
    Compound(String),
    /// This column holds bytes.
    Base64(String),
    /// The job keeps each record's `attributes`, which a result in CSV does not have.
    Attributes,
    /// It has ORDER BY, for which the org does not split it into chunks.
    OrderBy,
    /// It has LIMIT, for which the org does not split it into chunks.
    Limit,
    /// It has FOR VIEW, FOR REFERENCE or FOR UPDATE. Salesforce does not document what Bulk does with it.
    For,
    /// It has UPDATE TRACKING or UPDATE VIEWSTAT. Salesforce does not document what Bulk does with it.
    Update,
}

impl BulkObstacle {
    /// Whether Bulk refuses such a query. Otherwise it takes the query, but REST is the better choice.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        !matches!(self, Self::OrderBy | Self::Limit | Self::For | Self::Update)
    }
}

impl fmt::Display for BulkObstacle {
    /// A clause: `the query has a child query`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChildQuery => f.write_str("the query has a child query"),
            Self::Aggregate => f.write_str("the query has an aggregate function"),
            Self::GroupBy => f.write_str("the query has GROUP BY"),
            Self::Having => f.write_str("the query has HAVING"),
            Self::Offset => f.write_str("the query has OFFSET"),
            Self::TypeOf => f.write_str("the query has TYPEOF"),
            Self::Function(name) => write!(f, "the query selects {name}()"),
            Self::Fields(call) => write!(f, "the query selects {call}"),
            Self::Compound(name) => write!(f, "{name} is a compound field"),
            Self::Base64(name) => write!(f, "{name} is a base64 field"),
            Self::Attributes => f.write_str("the records keep their attributes"),
            Self::OrderBy => f.write_str("the query has ORDER BY"),
            Self::Limit => f.write_str("the query has LIMIT"),
            Self::For => f.write_str("the query has a FOR clause"),
            Self::Update => f.write_str("the query has an UPDATE clause"),
        }
    }
}

impl Query {
    /// Why the query stays with the REST API, as far as its text tells. What Bulk refuses comes before what it takes.
    #[must_use]
    pub fn bulk_obstacle(&self) -> Option<BulkObstacle> {
        let Statement { select, .. } = &self.statement;
        let clause = |kind, obstacle| self.statement.clause(kind).map(|_| obstacle);
        select
            .iter()
            .find_map(of_item)
            .or_else(|| clause(ClauseKind::GroupBy, BulkObstacle::GroupBy))
            .or_else(|| clause(ClauseKind::Having, BulkObstacle::Having))
            .or_else(|| clause(ClauseKind::Offset, BulkObstacle::Offset))
            .or_else(|| clause(ClauseKind::OrderBy, BulkObstacle::OrderBy))
            .or_else(|| clause(ClauseKind::Limit, BulkObstacle::Limit))
            .or_else(|| clause(ClauseKind::For, BulkObstacle::For))
            .or_else(|| clause(ClauseKind::Update, BulkObstacle::Update))
    }
}

fn of_item(item: &Item) -> Option<BulkObstacle> {
    match item {
        Item::Field { .. } => None,
        Item::Child(_) => Some(BulkObstacle::ChildQuery),
        Item::TypeOf { .. } => Some(BulkObstacle::TypeOf),
        Item::Function { call, .. } if call.is_aggregate() => Some(BulkObstacle::Aggregate),
        Item::Function { call, .. } if call.name.eq_ignore_ascii_case("FIELDS") => {
            (!is_fields_standard(call)).then(|| BulkObstacle::Fields(call.to_string()))
        }
        Item::Function { call, .. } => Some(BulkObstacle::Function(call.name.text.clone())),
    }
}

/// Salesforce calls this a bounded query, and the other two unbounded ones (SOQL reference, FIELDS()).
fn is_fields_standard(call: &Call) -> bool {
    matches!(call.arguments.as_slice(), [Argument::Path(path)] if path.last().eq_ignore_ascii_case("STANDARD"))
}

/// A column of a query job's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkColumn {
    /// Its name as a record has it, in any case: `Account.Name`.
    pub name: String,
    /// Its name as the query writes it, if that is another one: `a.Account.Name` after `FROM Contact a`. Salesforce does
    /// not document which of the two the header has.
    pub written: Option<String>,
    /// The type of its values, if it is known.
    pub field_type: Option<FieldType>,
}

impl BulkColumn {
    /// A column that the query writes as a record has it.
    #[must_use]
    pub fn new(name: impl Into<String>, field_type: Option<FieldType>) -> Self {
        Self { name: name.into(), written: None, field_type }
    }

    /// Whether a header's name is this column's: with or without the namespace that a query may leave out, in any case.
    #[must_use]
    pub fn is_named(&self, sent: &[u8]) -> bool {
        let is = |name: &String| {
            let (mut sent, mut own) = (sent.split(is_dot), name.as_bytes().split(is_dot));
            loop {
                match (sent.next(), own.next()) {
                    (Some(sent), Some(own)) if is_object(sent, own) => {}
                    (None, None) => return true,
                    _ => return false,
                }
            }
        };
        is(&self.name) || self.written.as_ref().is_some_and(is)
    }
}

fn is_dot(byte: &u8) -> bool {
    *byte == b'.'
}

/// What a query job is asked, and what its result holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkQuery {
    /// The query: the job's text, with the Ids of parents at the end of its select list if they are needed.
    pub soql: String,
    /// The columns of the result: the export's, then the Ids that were added.
    pub columns: Vec<BulkColumn>,
    /// How a record is put together as JSON, if that was asked for.
    pub json: Option<JsonShape>,
}

/// An object of a record in JSON: its keys in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonShape {
    /// Its entries, at least one.
    pub entries: Vec<JsonEntry>,
}

/// A key of an object, and where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonEntry {
    /// The key, in the schema's spelling if the org described the query.
    pub key: String,
    /// Its value.
    pub value: JsonValue,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonValue {
    /// The cell with this number.
    Cell(usize),
    /// A parent.
    Parent {
        /// The cell with its Id. If that is null, the parent is.
        id: usize,
        /// Its object.
        shape: JsonShape,
    },
}

impl BulkQuery {
    /// The query job for a query with these columns. `described` is how the org describes them, if it was asked: it gives
    /// the types of the values, which a job's rules may override in `columns`, and the spelling of keys. `nested` says that
    /// records become objects with their parents in them.
    ///
    /// # Errors
    /// If Bulk refuses such a query.
    pub fn of(
        query: &Query,
        columns: &Columns,
        described: Option<&[Described]>,
        nested: bool,
    ) -> Result<Self, BulkObstacle> {
        if let Some(obstacle) = query.bulk_obstacle().filter(BulkObstacle::is_refused) {
            return Err(obstacle);
        }
        let writing = Writing::of(query);
        let mut kinds = vec![ValueKind::Unknown; columns.names().len()];
        kinds_of(columns.shape(), described.unwrap_or_default(), &mut kinds);
        if let Some(part) = compound_part(columns.shape()) {
            let name = columns.names()[part].rsplit_once('.').map_or("", |(name, _)| name);
            return Err(BulkObstacle::Compound(name.to_owned()));
        }
        let mut own = Vec::with_capacity(columns.names().len());
        for ((name, kind), ruled) in columns.names().iter().zip(kinds).zip(columns.types()) {
            let field_type = kind.field_type().or(*ruled);
            match field_type {
                Some(FieldType::Json) => return Err(BulkObstacle::Compound(name.clone())),
                Some(FieldType::Base64) => return Err(BulkObstacle::Base64(name.clone())),
                _ => own.push(BulkColumn {
                    written: writing.of_column(name),
                    ..BulkColumn::new(name, field_type)
                }),
            }
        }
        let mut building = Building { names: columns.names(), writing, columns: own };
        let described = described.unwrap_or_default();
        let json = nested.then(|| building.object(columns.shape(), described, &mut Vec::new()));
        let added = &building.columns[columns.names().len()..];
        let soql =
            with_fields(query, added.iter().map(|column| column.written.as_ref().unwrap_or(&column.name)));
        Ok(Self { soql, columns: building.columns, json })
    }
}

/// What the org says about the value of each column.
fn kinds_of(level: &Level, described: &[Described], kinds: &mut [ValueKind]) {
    let by_name = described_by_name(described);
    for entry in level.entries() {
        let known = by_name.get(&entry.key.to_ascii_lowercase());
        match (&entry.node, known) {
            (Node::Value(column), Some(known)) => kinds[*column] = known.kind,
            (Node::Parent(parent), Some(known)) => kinds_of(parent, &known.inner, kinds),
            (Node::Children { .. }, _) | (_, None) => {}
        }
    }
}

/// A column that is a part of a compound field, if there is one.
fn compound_part(level: &Level) -> Option<usize> {
    if level.is_compound() {
        return level.columns().first().copied();
    }
    level.entries().iter().find_map(|entry| match &entry.node {
        Node::Parent(parent) => compound_part(parent),
        Node::Value(_) | Node::Children { .. } => None,
    })
}

/// The query with these fields at the end of its select list.
fn with_fields<'f>(query: &Query, fields: impl Iterator<Item = &'f String>) -> String {
    let Query { text, statement } = query;
    let added: String = fields.map(|field| format!(", {field}")).collect();
    let from = statement.from.first().and_then(|source| source.path.segments.first());
    // What precedes FROM, which precedes the object, ends the select list.
    let list_end = from.and_then(|object| {
        let tokens = tokens(text).ok()?;
        let place = tokens.iter().position(|token| token.span.start == object.span.start)?;
        Some(tokens.get(place.checked_sub(2)?)?.span.end)
    });
    let Some(list_end) = list_end else { return text.clone() };
    let (list, rest) = text.split_at(list_end);
    format!("{list}{added}{rest}")
}

/// The paths of a query's fields as it writes them.
struct Writing<'q> {
    /// By the names of their columns in lower case.
    paths: HashMap<String, &'q Path>,
    /// What a path from the root may begin with: its alias or its name.
    root: Option<&'q str>,
}

impl<'q> Writing<'q> {
    fn of(query: &'q Query) -> Self {
        let Statement { select, from, .. } = &query.statement;
        let roots = Roots::of(from);
        let name = |path: &Path| {
            let (place, _) = roots.place(path);
            place.iter().map(|name| name.text.to_ascii_lowercase()).collect::<Vec<_>>().join(".")
        };
        let paths = select.iter().filter_map(|item| match item {
            Item::Field { path, .. } => Some((name(path), path)),
            _ => None,
        });
        let root = from.first().and_then(|root| root.alias.as_ref().or_else(|| root.path.segments.last()));
        Self { paths: paths.collect(), root: root.map(Name::as_str) }
    }

    /// A column's name as the query writes it, if that is another one.
    fn of_column(&self, name: &str) -> Option<String> {
        let written = self.paths.get(&name.to_ascii_lowercase())?.to_string();
        (!written.eq_ignore_ascii_case(name)).then_some(written)
    }

    /// The Id of the parent that is `depth` relationships away from the record and on the way to this column, as the query
    /// would write it.
    fn parent_id(&self, column: &str, depth: usize) -> String {
        let place: Vec<_> = column.split('.').collect();
        let behind = place.len() - depth;
        let written = self.paths.get(&column.to_ascii_lowercase()).and_then(|path| {
            let parent = path.segments.len().checked_sub(behind).filter(|length| *length > 0)?;
            Some(path.segments[..parent].iter().map(|name| name.as_str()).collect::<Vec<_>>())
        });
        // An alias may cover several relationships: `FROM Contact c, c.Account.Owner o`.
        let path =
            written.unwrap_or_else(|| self.root.into_iter().chain(place[..depth].iter().copied()).collect());
        format!("{}.Id", path.join("."))
    }
}

/// The putting together of a record, which adds the Ids that it needs.
struct Building<'q> {
    /// The names of the export's columns.
    names: &'q [String],
    writing: Writing<'q>,
    /// The columns of the result so far.
    columns: Vec<BulkColumn>,
}

impl Building<'_> {
    /// The object of a level, to which `path` leads.
    fn object(&mut self, level: &Level, described: &[Described], path: &mut Vec<String>) -> JsonShape {
        let by_name = described_by_name(described);
        let mut entries = Vec::with_capacity(level.entries().len());
        for entry in level.entries() {
            let known = by_name.get(&entry.key.to_ascii_lowercase()).copied();
            let key = known.map_or(&entry.key, |known| &known.name).clone();
            let value = match &entry.node {
                Node::Value(column) | Node::Children { column, .. } => JsonValue::Cell(*column),
                Node::Parent(parent) => {
                    path.push(entry.key.clone());
                    let id = parent.id().unwrap_or_else(|| self.add_id(parent, path));
                    let inner = known.map_or(&[][..], |known| &known.inner);
                    let shape = self.object(parent, inner, path);
                    path.pop();
                    JsonValue::Parent { id, shape }
                }
            };
            entries.push(JsonEntry { key, value });
        }
        JsonShape { entries }
    }

    /// Adds the Id of the parent to which `path` leads; returns its cell.
    fn add_id(&mut self, parent: &Level, path: &[String]) -> usize {
        let name = format!("{}.Id", path.join("."));
        let column = parent.columns().first().map_or("", |column| self.names[*column].as_str());
        let written = self.writing.parent_id(column, path.len());
        let written = (!written.eq_ignore_ascii_case(&name)).then_some(written);
        self.columns.push(BulkColumn { written, ..BulkColumn::new(name, Some(FieldType::Text)) });
        self.columns.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{ColumnRules, Layout};
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The job of a query whose columns the org describes like this.
    fn bulk(text: &str, described: &[Described], nested: bool) -> Result<BulkQuery, BulkObstacle> {
        let query = query(text);
        let layout = Layout::default();
        let columns = Columns::laid_out(&query, layout, Some(described)).unwrap();
        BulkQuery::of(&query, &columns, Some(described).filter(|known| !known.is_empty()), nested)
    }

    fn of(kind: ValueKind, name: &str) -> Described {
        Described { name: name.to_owned(), computed: false, kind, inner: Vec::new() }
    }

    fn text(name: &str) -> Described {
        of(ValueKind::Plain(FieldType::Text), name)
    }

    fn parent(name: &str, inner: Vec<Described>) -> Described {
        Described { inner, ..of(ValueKind::Unknown, name) }
    }

    #[test]
    fn a_text_tells_why_a_query_stays_with_rest() {
        for (text, why, is_refused) in [
            ("SELECT Id, Owner.Name FROM A", None, false),
            ("SELECT FIELDS(standard), Owner.Name FROM A", None, false),
            (
                "SELECT Id FROM A USING SCOPE mine WHERE CALENDAR_YEAR(D) = 2026 WITH SECURITY_ENFORCED",
                None,
                false,
            ),
            ("SELECT Id, (SELECT Id FROM Bs) FROM A ORDER BY Id", Some("the query has a child query"), true),
            ("SELECT COUNT() FROM A", Some("the query has an aggregate function"), true),
            ("SELECT count_distinct(X) FROM A", Some("the query has an aggregate function"), true),
            ("SELECT Name FROM A GROUP BY Name LIMIT 2", Some("the query has GROUP BY"), true),
            ("SELECT Name FROM A HAVING X > 1", Some("the query has HAVING"), true),
            ("SELECT Id FROM A LIMIT 5 OFFSET 2", Some("the query has OFFSET"), true),
            ("SELECT TYPEOF W WHEN B THEN C END FROM A", Some("the query has TYPEOF"), true),
            ("SELECT tolabel(S) FROM A", Some("the query selects tolabel()"), true),
            ("SELECT FORMAT(convertCurrency(S)) FROM A", Some("the query selects FORMAT()"), true),
            ("SELECT FIELDS(ALL) FROM A LIMIT 200", Some("the query selects FIELDS(ALL)"), true),
            ("SELECT FIELDS(Custom) FROM A LIMIT 200", Some("the query selects FIELDS(Custom)"), true),
            ("SELECT Id FROM A ORDER BY Id LIMIT 5", Some("the query has ORDER BY"), false),
            ("SELECT Id FROM A LIMIT 5", Some("the query has LIMIT"), false),
            ("SELECT Id FROM A FOR VIEW", Some("the query has a FOR clause"), false),
            ("SELECT Id FROM A UPDATE VIEWSTAT", Some("the query has an UPDATE clause"), false),
            // Only the query itself counts, not one inside a condition.
            ("SELECT Id FROM A WHERE Id IN (SELECT B FROM C LIMIT 5) AND N = 'GROUP BY'", None, false),
        ] {
            let obstacle = query(text).bulk_obstacle();
            let found = obstacle.as_ref().map(|obstacle| (obstacle.to_string(), obstacle.is_refused()));
            assert_eq!(found, why.map(|why| (why.to_owned(), is_refused)), "{text}");
        }
    }

    #[test]
    fn a_type_tells_why_a_query_stays_with_rest() {
        let site = of(ValueKind::Address, "Site");
        let body = of(ValueKind::Plain(FieldType::Base64), "Body");
        let place = parent("Owner", vec![text("Name"), of(ValueKind::Location, "Place__c")]);
        for (select, described, why) in [
            ("Id, site", [text("Id"), site], BulkObstacle::Compound("site".to_owned())),
            ("Body, Id", [body, text("Id")], BulkObstacle::Base64("Body".to_owned())),
            ("Id, owner.Place__c", [text("Id"), place], BulkObstacle::Compound("owner.Place__c".to_owned())),
        ] {
            assert_eq!(bulk(&format!("SELECT {select} FROM A"), &described, true), Err(why), "{select}");
        }
        // The parts of a compound field may be columns of the export; the query asks for the field all the same.
        let all = [text("Id"), of(ValueKind::Address, "Site")];
        let query = query("SELECT Id, Site FROM A");
        let layout = Layout { compound_parts: true, ..Layout::default() };
        let columns = Columns::laid_out(&query, layout, Some(&all)).unwrap();
        let refused = Err(BulkObstacle::Compound("Site".to_owned()));
        assert_eq!(BulkQuery::of(&query, &columns, Some(&all), false), refused);
        assert_eq!(BulkQuery::of(&query, &columns, None, false), refused);
    }

    #[test]
    fn the_ids_of_parents_are_added_behind_the_select_list() {
        for (text, sent, added) in [
            ("SELECT  Id ,\nName FROM A", "SELECT  Id ,\nName FROM A", &[][..]),
            (
                "select Owner.Name ,Owner.Email\tFROM A WHERE N = 'x FROM y'",
                "select Owner.Name ,Owner.Email, Owner.Id\tFROM A WHERE N = 'x FROM y'",
                &["Owner.Id"][..],
            ),
            (
                "SELECT Account.Owner.Name, Id FROM Contact",
                "SELECT Account.Owner.Name, Id, Account.Id, Account.Owner.Id FROM Contact",
                &["Account.Id", "Account.Owner.Id"][..],
            ),
            (
                "SELECT Owner.ID, Owner.Manager.Name, owner.Name FROM A",
                "SELECT Owner.ID, Owner.Manager.Name, owner.Name, Owner.Manager.Id FROM A",
                &["Owner.Manager.Id"][..],
            ),
            (
                "SELECT Account.Parent.Name FROM Account",
                "SELECT Account.Parent.Name, Account.Parent.Id FROM Account",
                &["Parent.Id"][..],
            ),
            (
                "SELECT c . Account . Name FROM Contact c",
                "SELECT c . Account . Name, c.Account.Id FROM Contact c",
                &["Account.Id"][..],
            ),
            (
                "SELECT o.Name, a.Name FROM Contact c, c.Account a, a.Owner o",
                "SELECT o.Name, a.Name, c.Account.Id, o.Id FROM Contact c, c.Account a, a.Owner o",
                &["Account.Id", "Account.Owner.Id"][..],
            ),
            (
                "SELECT FIELDS(STANDARD), Owner.Name FROM From",
                "SELECT FIELDS(STANDARD), Owner.Name, Owner.Id FROM From",
                &["Owner.Id"][..],
            ),
        ] {
            let described = [self::text("Id"), parent("Owner", vec![self::text("Name")])];
            let described = if text.contains("FIELDS") { &described[..] } else { &[] };
            let flat = bulk(text, described, false).unwrap();
            assert_eq!((flat.soql.as_str(), flat.json), (text, None));
            let nested = bulk(text, described, true).unwrap();
            assert_eq!(nested.soql, sent);
            let names: Vec<_> = nested.columns.iter().map(|column| column.name.as_str()).collect();
            assert_eq!(names[flat.columns.len()..], *added, "{text}");
            assert_eq!(nested.columns[..flat.columns.len()], flat.columns);
        }
    }

    proptest! {
        #[test]
        fn the_query_asks_for_the_columns_it_promises(
            paths in prop::collection::vec("(Id|a|b|c|o)(\\.(a|b|o|x)){0,3}", 1..6),
            from in prop::sample::select(vec!["a", "Q", "Q a", "Q c, c.b o", "Q c, c.a.b o", "a, a.b.x o", "a o"]),
            rest in prop::sample::select(vec!["", "\nWHERE a = 'x FROM y'", " LIMIT 3"]),
        ) {
            let text = format!("SELECT {} FROM {from}{rest}", paths.join(" ,\t"));
            let query = query(&text);
            // Random paths may clash.
            let Ok(columns) = Columns::of(&query) else { return Ok(()) };
            let bulk = BulkQuery::of(&query, &columns, None, true).unwrap();
            let asked = Columns::of(&self::query(&bulk.soql)).unwrap();
            let promised: Vec<_> = bulk.columns.iter().map(|column| column.name.clone()).collect();
            prop_assert_eq!(asked.names(), promised, "{}", bulk.soql);
            let added: Vec<_> = bulk.columns[columns.names().len()..].iter().collect();
            let added: String =
                added.iter().map(|column| format!(", {}", column.written.as_ref().unwrap_or(&column.name))).collect();
            prop_assert_eq!(bulk.soql.replacen(&added, "", 1), text);
        }
    }

    #[test]
    fn a_header_may_name_a_column_in_either_way() {
        let written = |text: &str| {
            let columns = bulk(text, &[], true).unwrap().columns;
            columns.into_iter().map(|column| (column.name, column.written)).collect::<Vec<_>>()
        };
        let pair = |name: &str, written: Option<&str>| (name.to_owned(), written.map(str::to_owned));
        assert_eq!(
            written("SELECT Id, C.name, a.Name FROM Contact c, c.Account a"),
            [
                pair("Id", None),
                pair("name", Some("C.name")),
                pair("Account.Name", Some("a.Name")),
                pair("Account.Id", Some("a.Id"))
            ]
        );
        assert_eq!(written("SELECT account.Name FROM Account"), [pair("Name", Some("account.Name"))]);
        let column =
            BulkColumn { written: Some("p.Rank__c".to_owned()), ..BulkColumn::new("Pet__r.Rank__c", None) };
        for (sent, is_named) in [
            ("pet__R.rank__C", true),
            ("ns__Pet__r.Rank__c", true),
            ("Pet__r.ns__Rank__c", true),
            ("P.ns__Rank__c", true),
            ("Rank__c", false),
            ("Pet__r", false),
            ("Pet__r.Rank__c.x", false),
            ("HotPet__r.Rank__c", false),
            ("", false),
        ] {
            assert_eq!(column.is_named(sent.as_bytes()), is_named, "{sent}");
        }
    }

    #[test]
    fn values_have_the_orgs_types_and_keys_its_spelling() {
        use FieldType::{Date, DateTime, Integer, Long, Text};
        let described = [
            text("Id"),
            of(ValueKind::Plain(DateTime), "ns__Born__c"),
            parent("Owner", vec![of(ValueKind::Plain(Integer), "Size")]),
            of(ValueKind::Unknown, "Odd"),
        ];
        let query = query("SELECT ID, born__c, OWNER.size, Odd, New FROM A");
        let rules = ColumnRules {
            types: [("born__c", Text), ("Odd", Long), ("new", Date)]
                .map(|(name, field_type)| (name.to_owned(), field_type))
                .to_vec(),
            ..ColumnRules::default()
        };
        let columns = Columns::of(&query).unwrap().with_rules(&rules).unwrap();
        let bulk = BulkQuery::of(&query, &columns, Some(&described), true).unwrap();
        let types: Vec<_> = bulk.columns.iter().map(|column| column.field_type).collect();
        assert_eq!(types, [Text, DateTime, Integer, Long, Date, Text].map(Some));
        let cell = |key: &str, cell| JsonEntry { key: key.to_owned(), value: JsonValue::Cell(cell) };
        let owner = JsonValue::Parent { id: 5, shape: JsonShape { entries: vec![cell("Size", 2)] } };
        let entries = vec![
            cell("Id", 0),
            cell("ns__Born__c", 1),
            JsonEntry { key: "Owner".to_owned(), value: owner },
            cell("Odd", 3),
            cell("New", 4),
        ];
        assert_eq!(bulk.json, Some(JsonShape { entries }));
        // If the org was not asked, the job and the text are all there is.
        let bulk = BulkQuery::of(&query, &columns, None, false).unwrap();
        let types: Vec<_> = bulk.columns.iter().map(|column| column.field_type).collect();
        assert_eq!(types, [None, Some(Text), None, Some(Long), Some(Date)]);
    }
}
