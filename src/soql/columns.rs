//! Derives the columns of an export from the query's select list, before any record arrives, and says where in a record
//! each value is. The rules are those of the SOQL reference for field lists, aliases and grouped queries.

mod rules;

pub use rules::{ColumnError, ColumnNames, ColumnRules, OutputColumn, Rule, UnusedRules, snake};

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::value::FieldType;

use super::{Argument, Call, Item, Name, Path, Query, Source, Span, Statement, SyntaxError};

/// The columns of an export: their names, in the order and spelling of the select list, and the shape of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    names: Vec<String>,
    /// Their names in the file, if a job's rules changed any.
    output_names: Option<Vec<String>>,
    /// The type of each, if it is known.
    types: Vec<Option<FieldType>>,
    /// The prefix of the names in a job's rules: `Contacts.` for a child query.
    prefix: String,
    shape: Level,
    /// Of a child query: the shape of its records if their object has this name. Then `Contact` in `Contact.LastName` is
    /// the object itself, not a parent. The columns are the same, but their values are in other places.
    own_shapes: Vec<(String, Level)>,
    count_only: bool,
    /// How many cells follow those of the columns: one for each child query with a separate table.
    apart: usize,
}

/// The parts of a record's shape that the query leaves open and the export decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Each child query is a separate table, whose first column is the parent's Id. Otherwise it is one column.
    pub child_tables: bool,
    /// A compound field becomes its parts (`BillingAddress.city`). Otherwise it is one column.
    pub compound_parts: bool,
}

/// A column of a query's result as the org describes it before there are records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its key, in the schema's spelling, or its alias.
    pub name: String,
    /// Whether it is a function or a child query rather than a field.
    pub computed: bool,
    /// What its value is.
    pub kind: ValueKind,
    /// The fields of a parent or of a child query.
    pub inner: Vec<Self>,
}

/// The kind of a described column's value, as far as it matters to the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// One value, of this type.
    Plain(FieldType),
    /// A compound address.
    Address,
    /// A compound location.
    Location,
    /// The org does not say, or names a type that is unknown here.
    Unknown,
}

impl ValueKind {
    /// The type of a column of such values.
    pub(super) fn field_type(self) -> Option<FieldType> {
        match self {
            Self::Plain(field_type) => Some(field_type),
            Self::Address | Self::Location => Some(FieldType::Json),
            Self::Unknown => None,
        }
    }

    /// The keys of a compound value; empty if it is not one. Any of them may be missing: an org without state and country
    /// picklists sends no codes, and old API versions send no accuracy.
    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Address => &[
                "city",
                "country",
                "countryCode",
                "geocodeAccuracy",
                "latitude",
                "longitude",
                "postalCode",
                "state",
                "stateCode",
                "street",
            ],
            Self::Location => &["latitude", "longitude"],
            Self::Plain(_) | Self::Unknown => &[],
        }
    }
}

/// The table of a child query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table<'c> {
    /// The child query's place in [`Statement::child_queries`].
    pub number: usize,
    /// Its columns; the first is the parent's Id.
    pub columns: &'c Columns,
}

impl Columns {
    /// The columns of a query. Each child query and each compound field is one column.
    ///
    /// # Errors
    /// If two columns would have the same name, if the org would refuse an alias, and if the text does not tell the
    /// columns (`FIELDS()`). The error shows the place.
    pub fn of(query: &Query) -> Result<Self, SyntaxError> {
        Self::laid_out(query, Layout::default(), None)
    }

    /// The columns of a query in a layout. `described` is how the org describes them, if it was asked.
    ///
    /// # Errors
    /// As [`Columns::of`]; if [`Columns::need_description`] is true and there is no description, or it is not detailed
    /// enough; and if a child query becomes a table although the query does not select Id.
    pub fn laid_out(
        query: &Query,
        layout: Layout,
        described: Option<&[Described]>,
    ) -> Result<Self, SyntaxError> {
        let reading = Reading { text: &query.text, layout, described };
        Self::of_statement(reading, &query.statement, &Role::Root)
    }

    /// Whether the org must be asked for the columns of a query, because the text does not tell them: if it has `FIELDS()`,
    /// or if the parts of compound fields become columns, because compound fields look like any other field.
    #[must_use]
    pub fn need_description(query: &Query, layout: Layout) -> bool {
        fn need(statement: &Statement, layout: Layout) -> bool {
            let parts = layout.compound_parts && !statement.is_grouped() && !statement.is_count();
            statement.select.iter().any(|item| match item {
                Item::Field { .. } | Item::TypeOf { .. } => parts,
                Item::Function { call, .. } => is_fields(call),
                Item::Child(child) => need(child, layout.of_children()),
            })
        }
        need(&query.statement, layout)
    }

    fn of_statement(reading: Reading<'_>, statement: &Statement, role: &Role) -> Result<Self, SyntaxError> {
        if statement.is_count() {
            // The response has a number instead of records, so the name of the column is our choice.
            let (names, types) = (vec!["count".to_owned()], vec![Some(FieldType::Long)]);
            return Ok(Self { names, types, count_only: true, ..Self::empty() });
        }
        let mut builder = Builder::new(reading, statement, role);
        builder.items()?;
        let prefixes = std::mem::take(&mut builder.prefixes);
        let mut columns = builder.finish();
        if prefixes.len() > MAX_RELATIONSHIPS {
            return Ok(columns);
        }
        for prefix in &prefixes {
            let mut builder = Builder::new(reading, statement, role);
            builder.own = Some((prefix, &columns));
            // An error means that two columns are in the same place, which the org refuses.
            if builder.items().is_err() {
                continue;
            }
            let own = builder.finish();
            if (&own.names, own.apart) == (&columns.names, columns.apart) {
                columns.own_shapes.push((prefix.clone(), own.shape));
            }
        }
        Ok(columns)
    }

    fn empty() -> Self {
        Self {
            names: Vec::new(),
            output_names: None,
            types: Vec::new(),
            prefix: String::new(),
            shape: Level::default(),
            own_shapes: Vec::new(),
            count_only: false,
            apart: 0,
        }
    }

    /// Numbers the cells of the child queries with separate tables, after those of the columns.
    fn set_apart(&mut self) {
        let (mut cell, mut number) = (self.names.len(), 1);
        for entry in &mut self.shape.entries {
            if let Node::Children { column, columns, table: Some(table) } = &mut entry.node {
                (*column, *table) = (cell, number);
                cell += 1;
                number += 1 + columns.tables().len();
            }
        }
        self.apart = cell - self.names.len();
    }

    /// The columns' names, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns' types, in the same order; `None` if neither the org nor the text of the query tells.
    #[must_use]
    pub fn types(&self) -> &[Option<FieldType>] {
        &self.types
    }

    /// Where in a record the values are.
    #[must_use]
    pub fn shape(&self) -> &Level {
        &self.shape
    }

    /// Whether the shape of a record depends on its object: see [`Columns::shape_of`].
    #[must_use]
    pub fn depend_on_object(&self) -> bool {
        !self.own_shapes.is_empty()
    }

    /// Where in a record of this object (its `attributes.type`) the values are. In a child query, the text
    /// `SELECT Contact.LastName` does not say whether `Contact` is the object itself or a parent.
    #[must_use]
    pub fn shape_of(&self, object: &[u8]) -> &Level {
        let own = self.own_shapes.iter().find(|(prefix, _)| is_object(object, prefix.as_bytes()));
        own.map_or(&self.shape, |(_, shape)| shape)
    }

    /// Where in a record the values are according to the org's description: if it does not list the name before a field,
    /// that name is the object itself, not a parent.
    #[must_use]
    pub fn shape_described(&self, described: Option<&[Described]>) -> &Level {
        let is_described = |name: &str| {
            described.unwrap_or_default().iter().any(|known| known.name.eq_ignore_ascii_case(name))
        };
        let own = self.own_shapes.iter().find(|(prefix, _)| described.is_some() && !is_described(prefix));
        own.map_or(&self.shape, |(_, shape)| shape)
    }

    /// Whether the result is the number `totalSize` instead of records: `SELECT COUNT()`.
    #[must_use]
    pub fn is_count(&self) -> bool {
        self.count_only
    }

    /// Whether the query has a child query.
    #[must_use]
    pub fn has_children(&self) -> bool {
        self.shape.entries.iter().any(|entry| matches!(entry.node, Node::Children { .. }))
    }

    /// How many cells a record has while it is read: one for each column, and one for each child query with a separate
    /// table.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.names.len() + self.apart
    }

    /// The name of a cell in messages.
    #[must_use]
    pub fn cell_name(&self, cell: usize) -> &str {
        let apart = || {
            self.shape.entries.iter().find_map(|entry| match &entry.node {
                Node::Children { column, .. } if *column == cell => Some(entry.key.as_str()),
                _ => None,
            })
        };
        self.names.get(cell).map(String::as_str).or_else(apart).unwrap_or_default()
    }

    /// The column of the record's own Id.
    #[must_use]
    pub fn id(&self) -> Option<usize> {
        self.shape.id()
    }

    /// The columns of the child query of this name.
    fn child(&self, name: &Name) -> Option<Arc<Self>> {
        self.shape.entries.iter().find_map(|entry| match &entry.node {
            Node::Children { columns, .. } if name.eq_ignore_ascii_case(&entry.key) => Some(columns.clone()),
            _ => None,
        })
    }

    /// The tables of the child queries, each followed by those of the child queries in it.
    #[must_use]
    pub fn tables(&self) -> Vec<Table<'_>> {
        let mut tables = Vec::new();
        for entry in &self.shape.entries {
            if let Node::Children { columns, table: Some(number), .. } = &entry.node {
                tables.push(Table { number: *number, columns });
                tables.extend(
                    columns
                        .tables()
                        .into_iter()
                        .map(|inner| Table { number: number + inner.number, ..inner }),
                );
            }
        }
        tables
    }
}

/// The keys of one object in a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    entries: Vec<Entry>,
    /// The indexes of the entries, sorted by [`cmp_keys`].
    sorted: Vec<usize>,
    columns: Vec<usize>,
    /// Sorted by [`cmp_keys`].
    aliases: Vec<(String, usize)>,
    /// Sorted.
    aliased: Vec<usize>,
    is_compound: bool,
}

impl Level {
    /// The keys in the order of their first mention, which is the order in which the org sends them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The index of a key among the entries, whatever its case. In a packaging org, a query may leave out the org's own
    /// namespace, but the org sends it: `ns__Foo__c` for `Foo__c`.
    ///
    /// This is a binary search, because an org may send the keys of a wide record in another order.
    #[must_use]
    pub fn position(&self, key: &[u8]) -> Option<usize> {
        let place = |key| self.search(|entry| cmp_keys(entry.key.as_bytes(), key));
        place(key).or_else(|| place(without_namespace(key)?))
    }

    fn search(&self, mut compare: impl FnMut(&Entry) -> Ordering) -> Option<usize> {
        let found = self.sorted.binary_search_by(|place| compare(&self.entries[*place]));
        found.ok().map(|at| self.sorted[at])
    }

    /// Whether this is a compound value whose parts are columns. Any other keys in it are ignored.
    #[must_use]
    pub fn is_compound(&self) -> bool {
        self.is_compound
    }

    /// The columns whose values are in this object or deeper. They are null if it is null.
    #[must_use]
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The column of an alias that belongs into a parent (`FORMAT(Opportunity.Amount) money`), for an org that sends it in
    /// the record itself.
    #[must_use]
    pub fn aliased_column(&self, key: &[u8]) -> Option<usize> {
        let found = self.aliases.binary_search_by(|(alias, _)| cmp_keys(alias.as_bytes(), key));
        found.ok().map(|at| self.aliases[at].1)
    }

    /// Whether the org may send this one of the [`Level::columns`] in the record itself instead.
    #[must_use]
    pub fn is_aliased(&self, column: usize) -> bool {
        self.aliased.binary_search(&column).is_ok()
    }

    /// The column of the record's own Id.
    #[must_use]
    pub fn id(&self) -> Option<usize> {
        self.entries.iter().find_map(|entry| match entry.node {
            Node::Value(column) if entry.key.eq_ignore_ascii_case("Id") => Some(column),
            _ => None,
        })
    }

    fn gather(&mut self, aliased: &HashSet<usize>) {
        let mut columns = Vec::new();
        for entry in &mut self.entries {
            match &mut entry.node {
                Node::Value(column) | Node::Children { column, .. } => columns.push(*column),
                Node::Parent(level) => {
                    level.gather(aliased);
                    columns.extend_from_slice(&level.columns);
                }
            }
        }
        self.aliased = columns.iter().copied().filter(|column| aliased.contains(column)).collect();
        self.aliased.sort_unstable();
        self.columns = columns;
        self.sorted = (0..self.entries.len()).collect();
        let Self { entries, sorted, .. } = self;
        sorted.sort_by(|a, b| cmp_keys(entries[*a].key.as_bytes(), entries[*b].key.as_bytes()));
    }
}

/// The order of keys without regard to case.
fn cmp_keys(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase))
}

/// The described columns by their names in lower case, with and without the namespace, which a query may leave out. If two
/// have the same name, the first one counts.
pub(crate) fn by_name(described: &[Described]) -> HashMap<String, &Described> {
    let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    let mut by_name: HashMap<_, _> =
        described.iter().rev().map(|known| (lower(known.name.as_bytes()), known)).collect();
    for known in described {
        if let Some(short) = without_namespace(known.name.as_bytes()) {
            by_name.entry(lower(short)).or_insert(known);
        }
    }
    by_name
}

/// Whether a name from the org is the one in the query, which may leave out the namespace.
pub(super) fn is_object(sent: &[u8], written: &[u8]) -> bool {
    let is_written = |name: &[u8]| name.eq_ignore_ascii_case(written);
    is_written(sent) || without_namespace(sent).is_some_and(is_written)
}

/// `Foo__c` for `ns__Foo__c`; `None` if the name has no namespace.
fn without_namespace(name: &[u8]) -> Option<&[u8]> {
    const SEPARATOR: &[u8] = b"__";
    let namespace = memchr::memmem::find(name, SEPARATOR).filter(|length| *length > 0)?;
    let rest = &name[namespace + SEPARATOR.len()..];
    memchr::memmem::find(rest, SEPARATOR).map(|_| rest)
}

/// One key of an object in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as the query spells it. The org spells it as in the schema.
    pub key: String,
    /// Its value.
    pub node: Node,
    /// Whether it may be missing: a field of a TYPEOF branch is missing in records of other types.
    pub optional: bool,
}

/// The value of a key of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A column's value; an object if it is a compound field.
    Value(usize),
    /// A parent record, or null.
    Parent(Level),
    /// The result of a child query, or null.
    Children {
        /// The column; with a separate table, the cell that follows the columns.
        column: usize,
        /// The child query's own columns.
        columns: Arc<Columns>,
        /// The number of its table, counted from that of the enclosing query; `None` if it is a column.
        table: Option<usize>,
    },
}

impl Layout {
    /// The layout for child queries. JSON in a column keeps compound values whole.
    fn of_children(self) -> Self {
        Self { compound_parts: self.compound_parts && self.child_tables, ..self }
    }
}

/// The most relationships of a query that are looked at. The org accepts 55 and refuses the others.
const MAX_RELATIONSHIPS: usize = 64;

/// What is the same for all statements of a query.
#[derive(Clone, Copy)]
struct Reading<'q> {
    text: &'q str,
    layout: Layout,
    /// The org's description of the statement's columns.
    described: Option<&'q [Described]>,
}

/// A statement's place in its query.
enum Role {
    Root,
    /// A child query.
    Child {
        /// The prefix of its columns' names in a job's rules.
        prefix: String,
        /// With a separate table, the name of the column for the parent's Id.
        parent_id: Option<String>,
    },
}

/// The name of a column, and where in a record its value is.
struct Place<'p> {
    /// The segments of the column's name.
    names: Vec<&'p Name>,
    /// How many of them are not keys of a record: 1 if the first one is the name of the child object itself.
    own: usize,
    /// Whether the first one may be that name.
    unresolved: bool,
}

impl<'p> Place<'p> {
    fn of(name: &'p Name) -> Self {
        Self { names: vec![name], own: 0, unresolved: false }
    }

    /// The keys that lead to the value in a record.
    fn keys(&self) -> &[&'p Name] {
        &self.names[self.own..]
    }

    /// The place with another last segment.
    fn renamed(mut self, name: &'p Name) -> Self {
        self.names.pop();
        self.names.push(name);
        self
    }
}

struct Builder<'q> {
    reading: Reading<'q>,
    roots: Roots<'q>,
    statement: &'q Statement,
    grouped: bool,
    is_child: bool,
    /// The number of expressions without an alias so far. The next one is named `expr` and this number.
    expressions: usize,
    columns: Columns,
    /// The columns' names, and the keys of every level by their dotted place, in lower case.
    names: HashSet<String>,
    positions: HashMap<String, usize>,
    /// The described columns by name, in lower case.
    described: HashMap<String, &'q Described>,
    /// Aliases that belong into a parent, and their columns.
    aliases: Vec<(String, usize)>,
    /// The names before fields that may be the name of the child object.
    prefixes: Vec<String>,
    /// The one that is assumed to be, and the columns without this assumption, which have the same child queries.
    own: Option<(&'q str, &'q Columns)>,
}

impl<'q> Builder<'q> {
    fn new(reading: Reading<'q>, statement: &'q Statement, role: &Role) -> Self {
        let mut columns = Columns::empty();
        if let Role::Child { prefix, parent_id } = role {
            columns.prefix.clone_from(prefix);
            columns.names.extend(parent_id.clone());
            columns.types.extend(parent_id.as_ref().map(|_| Some(FieldType::Text)));
        }
        let described = reading.described.unwrap_or_default();
        Self {
            reading,
            roots: Roots::of(&statement.from),
            statement,
            grouped: statement.is_grouped(),
            is_child: matches!(role, Role::Child { .. }),
            expressions: 0,
            names: columns.names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            columns,
            positions: HashMap::new(),
            described: by_name(described),
            aliases: Vec::new(),
            prefixes: Vec::new(),
            own: None,
        }
    }

    fn items(&mut self) -> Result<(), SyntaxError> {
        let statement = self.statement;
        statement.select.iter().try_for_each(|item| self.item(item))
    }

    fn finish(self) -> Columns {
        let Self { mut columns, aliases, positions, .. } = self;
        // A name that may mean something else is accepted only in its own place.
        let mut counts = HashMap::<_, usize>::new();
        for (alias, _) in &aliases {
            *counts.entry(alias.to_ascii_lowercase()).or_default() += 1;
        }
        let is_certain = |alias: String| counts[&alias] == 1 && !positions.contains_key(&alias);
        let mut kept = aliases;
        kept.retain(|(alias, _)| is_certain(alias.to_ascii_lowercase()));
        kept.sort_by(|(a, _), (b, _)| cmp_keys(a.as_bytes(), b.as_bytes()));
        columns.set_apart();
        let aliased = kept.iter().map(|(_, column)| *column).collect();
        columns.shape.gather(&aliased);
        columns.shape.aliases = kept;
        columns
    }

    fn item(&mut self, item: &'q Item) -> Result<(), SyntaxError> {
        match item {
            Item::Field { path, alias } => self.field(path, alias.as_ref()),
            Item::Function { call, alias } => self.function(call, alias.as_ref()),
            Item::Child(statement) => self.child(statement),
            Item::TypeOf { relationship, whens, otherwise } => {
                let fields = whens.iter().map(|(_, fields)| fields).chain(otherwise);
                self.type_of(relationship, fields.flatten())
            }
        }
    }

    fn field(&mut self, path: &'q Path, alias: Option<&'q Name>) -> Result<(), SyntaxError> {
        match alias {
            Some(alias) if self.grouped => {
                let place = Place::of(alias);
                let field_type = self.grouped_value(path, &place).field_type();
                self.add(&place, alias.span, Kind::Value, field_type)
            }
            Some(alias) => Err(SyntaxError::at(
                self.reading.text,
                alias.span.start,
                format!("{alias} is an alias, and fields have aliases only in grouped queries"),
            )
            .hint(format!("add a comma before {alias} if it is a field, or remove it"))),
            None => {
                let place = self.place(path);
                if self.grouped {
                    let field_type = self.grouped_value(path, &place).field_type();
                    return self.add(&place, span(path), Kind::Value, field_type);
                }
                let certain = place.keys().len();
                self.add_field(&place, span(path), certain)
            }
        }
    }

    /// Where the value of a path is: in a grouped query under its last segment, otherwise at the end of its path.
    fn place<'p>(&mut self, path: &'p Path) -> Place<'p>
    where
        'q: 'p,
    {
        let (names, is_whole) = self.roots.place(path);
        if let (true, Some(last)) = (self.grouped, names.last()) {
            return Place::of(last);
        }
        let first = names.first().map_or("", |name| name.as_str());
        let unresolved = self.is_child && is_whole && names.len() > 1;
        // Every relationship of a custom field is named like this, but no object.
        let unresolved = unresolved && !first.to_ascii_lowercase().ends_with("__r");
        let own = unresolved && self.own.is_some_and(|(own, _)| own.eq_ignore_ascii_case(first));
        let is_new = || !self.prefixes.iter().any(|known| known.eq_ignore_ascii_case(first));
        if unresolved && self.prefixes.len() <= MAX_RELATIONSHIPS && is_new() {
            self.prefixes.push(first.to_owned());
        }
        Place { names, own: usize::from(own), unresolved }
    }

    /// Adds a field, or its parts if it is a compound field and they become columns. The first `certain` of its keys are in
    /// every record.
    fn add_field(&mut self, place: &Place<'_>, at: Span, certain: usize) -> Result<(), SyntaxError> {
        let value = self.described_value(place);
        if !self.reading.layout.compound_parts {
            return self.add(place, at, Kind::Branch { certain }, value.field_type());
        }
        if value == ValueKind::Unknown {
            let name = dotted(&place.names);
            let reason = format!("the org does not say whether {name} is a compound field");
            return Err(SyntaxError::at(self.reading.text, at.start, reason)
                .hint("select its parts as separate fields, or set compound = \"json\""));
        }
        let parts = value.parts();
        if parts.is_empty() {
            return self.add(place, at, Kind::Branch { certain }, value.field_type());
        }
        for part in parts {
            let is_number = matches!(*part, "latitude" | "longitude");
            let field_type = if is_number { FieldType::Double } else { FieldType::Text };
            let part = Name { text: (*part).to_owned(), span: at };
            let names = place.names.iter().copied().chain([&part]).collect();
            let place = Place { names, ..*place };
            self.add(&place, at, Kind::Part { certain }, Some(field_type))?;
        }
        Ok(())
    }

    /// The keys as the org describes them: without the name of the object itself.
    fn described_keys<'p, 's>(&self, place: &'s Place<'p>) -> &'s [&'p Name] {
        let is_known = |name: &Name| self.described.contains_key(&name.as_str().to_ascii_lowercase());
        match place.names.split_first() {
            Some((first, rest)) if place.unresolved && !is_known(first) => rest,
            _ => &place.names,
        }
    }

    /// What the org says about a field's value.
    fn described_value(&self, place: &Place<'_>) -> ValueKind {
        let keys = self.described_keys(place);
        let mut found =
            keys.first().and_then(|name| self.described.get(&name.as_str().to_ascii_lowercase()).copied());
        for name in keys.iter().skip(1) {
            let inner = found.map(|found| found.inner.as_slice()).unwrap_or_default();
            let exact = inner.iter().find(|known| name.eq_ignore_ascii_case(&known.name));
            found = exact.or_else(|| {
                inner.iter().find(|known| is_object(known.name.as_bytes(), name.text.as_bytes()))
            });
        }
        found.map_or(ValueKind::Unknown, |found| found.kind)
    }

    /// What the org says about a grouped field. It may be described under the name of its column or in its parent.
    fn grouped_value(&self, path: &Path, place: &Place<'_>) -> ValueKind {
        match self.described_value(place) {
            ValueKind::Unknown => {
                let (names, _) = self.roots.place(path);
                self.described_value(&Place { names, own: 0, unresolved: false })
            }
            known => known,
        }
    }

    /// Adds a function, whose value is in the record itself under this name.
    fn add_call(&mut self, call: &Call, name: &Name, at: Span) -> Result<(), SyntaxError> {
        let place = Place::of(name);
        let field_type = match type_of_call(call) {
            Some(FieldType::Text) => Some(FieldType::Text),
            own => self.described_value(&place).field_type().or(own),
        };
        self.add(&place, at, Kind::Value, field_type)
    }

    /// Adds the fields of `FIELDS()`: those that the org describes and no other item selects.
    fn fields(&mut self, call: &'q Call) -> Result<(), SyntaxError> {
        let at = call.name.span;
        let Some(described) = self.reading.described else {
            let reason = "the columns of FIELDS() are unknown until the org describes them";
            return Err(SyntaxError::at(self.reading.text, at.start, reason).hint("list the fields"));
        };
        let statement = self.statement;
        let mut claimed = HashSet::new();
        for item in &statement.select {
            claimed.extend(self.claimed_keys(item));
        }
        let several = statement.select.iter().filter(|item| is_fields_item(item)).count() > 1;
        // The name of a field tells to which of several FIELDS() it belongs: custom fields have two underscores.
        let custom = match call.arguments.as_slice() {
            [Argument::Path(path)] if several && path.last().eq_ignore_ascii_case("CUSTOM") => Some(true),
            [Argument::Path(path)] if several && path.last().eq_ignore_ascii_case("STANDARD") => Some(false),
            _ => None,
        };
        let names: Vec<_> = described
            .iter()
            .filter(|known| !known.computed)
            .filter(|known| !claimed.contains(&known.name.to_ascii_lowercase()))
            .filter(|known| custom.is_none_or(|custom| known.name.contains("__") == custom))
            .map(|known| Name { text: known.name.clone(), span: at })
            .collect();
        if names.is_empty() {
            let reason = "the org describes no fields for this FIELDS()";
            return Err(SyntaxError::at(self.reading.text, at.start, reason).hint("remove it"));
        }
        names.iter().try_for_each(|name| self.add_field(&Place::of(name), at, 1))
    }

    /// The described columns that an item selects by name, in lower case; none for `FIELDS()` and expressions.
    fn claimed_keys(&mut self, item: &'q Item) -> Vec<String> {
        let (path, alias) = match item {
            Item::Field { alias: Some(alias), .. } => (None, Some(alias)),
            Item::Field { path, alias: None } | Item::TypeOf { relationship: path, .. } => (Some(path), None),
            Item::Function { call, alias } => (presented_field(call), alias.as_ref()),
            Item::Child(child) => (None, child.relationship()),
        };
        let mut claimed: Vec<_> =
            alias.map(|alias| alias.as_str().to_ascii_lowercase()).into_iter().collect();
        if let Some(path) = path {
            let place = self.place(path);
            let keys = self.described_keys(&place);
            // The alias of a field of the record itself replaces the field.
            if alias.is_none() || keys.len() > 1 {
                claimed.extend(keys.first().map(|key| key.as_str().to_ascii_lowercase()));
            }
        }
        claimed
    }

    fn function(&mut self, call: &'q Call, alias: Option<&'q Name>) -> Result<(), SyntaxError> {
        if is_fields(call) {
            return self.fields(call);
        }
        if call.arguments.is_empty() && call.is_aggregate() {
            return Err(SyntaxError::at(
                self.reading.text,
                call.name.span.start,
                "COUNT() cannot be combined with other items",
            )
            .hint("write COUNT(Id)"));
        }
        match (alias, presented_field(call)) {
            // A field of a parent stays in the parent, under the alias.
            (Some(alias), Some(path)) if !self.grouped => {
                let place = self.place(path).renamed(alias);
                if place.keys().len() > 1 {
                    self.aliases.push((alias.text.clone(), self.columns.names.len()));
                }
                let field_type = self.presented_type(call, &place);
                self.add(&place, alias.span, Kind::Presented, field_type)
            }
            (Some(alias), _) => self.add_call(call, alias, alias.span),
            (None, Some(path)) => {
                let place = self.place(path);
                let field_type = self.presented_type(call, &place);
                self.add(&place, span(path), Kind::Presented, field_type)
            }
            (None, None) => {
                let name = Name { text: format!("expr{}", self.expressions), span: call.name.span };
                self.expressions += 1;
                self.add_call(call, &name, call.name.span)
            }
        }
    }

    /// The type of a field inside toLabel, FORMAT or convertCurrency: text, unless the outermost function converts an
    /// amount.
    fn presented_type(&self, call: &Call, place: &Place<'_>) -> Option<FieldType> {
        if call.name.eq_ignore_ascii_case("convertCurrency") {
            self.described_value(place).field_type().or(Some(FieldType::Double))
        } else {
            Some(FieldType::Text)
        }
    }

    fn child(&mut self, statement: &'q Statement) -> Result<(), SyntaxError> {
        // `FROM Contacts` or `FROM Account.Contacts`: the key is the relationship's name.
        let Some(name) = statement.relationship() else { return Ok(()) };
        let parent_id = if self.reading.layout.child_tables {
            let selected = self.statement.select.iter().any(|item| self.gives_id(item));
            if !selected {
                let reason =
                    format!("each row in the file of {name} needs the parent's Id, which is not selected");
                return Err(SyntaxError::at(self.reading.text, name.span.start, reason)
                    .hint("select Id next to this child query"));
            }
            self.roots.object.map(|object| format!("{object}.Id"))
        } else {
            None
        };
        let known = self.own.and_then(|(_, columns)| columns.child(name));
        let columns = match known {
            Some(columns) => columns,
            None => {
                let described = self.described.get(&name.as_str().to_ascii_lowercase());
                let reading = Reading {
                    text: self.reading.text,
                    layout: self.reading.layout.of_children(),
                    described: described.filter(|known| known.computed).map(|known| known.inner.as_slice()),
                };
                let prefix = format!("{}{name}.", self.columns.prefix);
                let role = Role::Child { prefix, parent_id };
                Arc::new(Columns::of_statement(reading, statement, &role)?)
            }
        };
        self.add(&Place::of(name), name.span, Kind::Children(columns), Some(FieldType::Json))
    }

    /// Whether an item selects the record's own Id, or may do so.
    fn gives_id(&self, item: &Item) -> bool {
        match item {
            Item::Field { path, alias: None } => {
                let (names, is_whole) = self.roots.place(path);
                match names.as_slice() {
                    [only] => only.eq_ignore_ascii_case("Id"),
                    [_, id] => self.is_child && is_whole && id.eq_ignore_ascii_case("Id"),
                    _ => false,
                }
            }
            Item::Function { call, .. } if is_fields(call) => self.described.contains_key("id"),
            _ => false,
        }
    }

    fn type_of(
        &mut self,
        relationship: &'q Path,
        fields: impl Iterator<Item = &'q Path>,
    ) -> Result<(), SyntaxError> {
        let key = |field: &Path| {
            let names: Vec<_> = field.segments.iter().map(Name::as_str).collect();
            names.join(".").to_ascii_lowercase()
        };
        let fields: Vec<_> = fields.collect();
        let mut branches = HashMap::<_, usize>::new();
        fields.iter().for_each(|field| *branches.entry(key(field)).or_default() += 1);
        let mut seen = HashSet::new();
        for field in fields {
            if !seen.insert(key(field)) {
                continue;
            }
            let before = self.columns.types.len();
            let mut place = self.place(relationship);
            let certain = place.keys().len();
            place.names.extend(&field.segments);
            self.add_field(&place, span(field), certain)?;
            // The org describes only one field of that name; the others may have another type.
            if branches[&key(field)] > 1 && !is_system_field(field) && !self.reading.layout.compound_parts {
                self.columns.types[before..].fill(None);
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        place: &Place<'_>,
        at: Span,
        kind: Kind,
        field_type: Option<FieldType>,
    ) -> Result<(), SyntaxError> {
        let text = self.reading.text;
        let refused = |reason, remedy: &str| Err(SyntaxError::at(text, at.start, reason).hint(remedy));
        let name = dotted(&place.names);
        let lower = name.to_ascii_lowercase();
        if self.names.contains(&lower) {
            // Only computed columns can have an alias.
            let takes_alias = self.grouped || matches!(kind, Kind::Presented);
            let remedy =
                if takes_alias { "give this one an alias, or remove it" } else { "remove one of them" };
            return refused(format!("two columns would be named {name}"), remedy);
        }
        let column = self.columns.names.len();
        let keys = place.keys();
        // The keys below the relationship of a TYPEOF may be missing from a record.
        let (certain, optional) = match kind {
            Kind::Branch { certain } => (certain, certain < keys.len()),
            Kind::Part { certain } => (certain, true),
            Kind::Value | Kind::Presented | Kind::Children(_) => (keys.len(), false),
        };
        let Some((key, parents)) = keys.split_last() else { return Ok(()) };
        let mut level = &mut self.columns.shape;
        let mut position = String::new();
        for (depth, parent) in parents.iter().enumerate() {
            position.push_str(&parent.as_str().to_ascii_lowercase());
            let index = *self.positions.entry(position.clone()).or_insert_with(|| {
                let node = Node::Parent(Level::default());
                level.entries.push(Entry { key: parent.text.clone(), node, optional: depth >= certain });
                level.entries.len() - 1
            });
            position.push('.');
            level = match &mut level.entries[index].node {
                Node::Parent(level) => level,
                _ => {
                    return refused(
                        format!("{parent} is both a column and a relationship here"),
                        "remove one of them",
                    );
                }
            };
        }
        if let Kind::Part { .. } = kind {
            level.is_compound = true;
        }
        position.push_str(&key.as_str().to_ascii_lowercase());
        match self.positions.get(&position).map(|index| &level.entries[*index].node) {
            None => {}
            Some(Node::Children { .. }) if matches!(kind, Kind::Children(_)) => {
                return refused(format!("two child queries would be named {key}"), "remove one of them");
            }
            Some(_) => {
                return refused(
                    format!("{key} is both a column and a relationship here"),
                    "remove one of them",
                );
            }
        }
        let node = match kind {
            Kind::Value | Kind::Presented | Kind::Branch { .. } | Kind::Part { .. } => Node::Value(column),
            Kind::Children(columns) => {
                let table = self.reading.layout.child_tables.then_some(0);
                Node::Children { column, columns, table }
            }
        };
        let is_column = !matches!(node, Node::Children { table: Some(_), .. });
        self.positions.insert(position, level.entries.len());
        level.entries.push(Entry { key: key.text.clone(), node, optional });
        if is_column {
            self.columns.names.push(name);
            self.columns.types.push(field_type);
            self.names.insert(lower);
        }
        Ok(())
    }
}

enum Kind {
    Value,
    /// A field as toLabel, FORMAT or convertCurrency present it.
    Presented,
    /// A field whose first segments, this many, are in every record: those of a TYPEOF's relationship.
    Branch {
        certain: usize,
    },
    /// A part of a compound field, which may be missing.
    Part {
        certain: usize,
    },
    Children(Arc<Columns>),
}

/// Whether a field of this name has the same type in every object.
fn is_system_field(field: &Path) -> bool {
    const NAMES: [&str; 8] = [
        "Id",
        "Name",
        "CreatedById",
        "CreatedDate",
        "LastModifiedById",
        "LastModifiedDate",
        "SystemModstamp",
        "IsDeleted",
    ];
    matches!(field.segments.as_slice(), [name] if NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)))
}

/// The type of a function's values, if it depends on the function alone. MIN and MAX have the type of their field.
fn type_of_call(call: &Call) -> Option<FieldType> {
    const TYPES: [(&str, FieldType); 22] = [
        ("FORMAT", FieldType::Text),
        ("toLabel", FieldType::Text),
        ("COUNT", FieldType::Long),
        ("COUNT_DISTINCT", FieldType::Long),
        ("SUM", FieldType::Double),
        ("AVG", FieldType::Double),
        ("convertCurrency", FieldType::Double),
        ("DISTANCE", FieldType::Double),
        ("DAY_ONLY", FieldType::Date),
        ("GROUPING", FieldType::Integer),
        ("CALENDAR_MONTH", FieldType::Integer),
        ("CALENDAR_QUARTER", FieldType::Integer),
        ("CALENDAR_YEAR", FieldType::Integer),
        ("DAY_IN_MONTH", FieldType::Integer),
        ("DAY_IN_WEEK", FieldType::Integer),
        ("DAY_IN_YEAR", FieldType::Integer),
        ("FISCAL_MONTH", FieldType::Integer),
        ("FISCAL_QUARTER", FieldType::Integer),
        ("FISCAL_YEAR", FieldType::Integer),
        ("HOUR_IN_DAY", FieldType::Integer),
        ("WEEK_IN_MONTH", FieldType::Integer),
        ("WEEK_IN_YEAR", FieldType::Integer),
    ];
    let known = TYPES.iter().find(|(name, _)| call.name.eq_ignore_ascii_case(name));
    known.map(|(_, field_type)| *field_type)
}

fn is_fields(call: &Call) -> bool {
    call.name.eq_ignore_ascii_case("FIELDS")
}

fn is_fields_item(item: &Item) -> bool {
    matches!(item, Item::Function { call, .. } if is_fields(call))
}

/// The field inside toLabel, FORMAT and convertCurrency, which may be nested. Its value is where the field's value would
/// be.
fn presented_field(call: &Call) -> Option<&Path> {
    let presents =
        ["toLabel", "FORMAT", "convertCurrency"].iter().any(|name| call.name.eq_ignore_ascii_case(name));
    match call.arguments.as_slice() {
        [Argument::Path(path)] if presents => Some(path),
        [Argument::Call(inner)] if presents => presented_field(inner),
        _ => None,
    }
}

/// The names that may begin a path without being keys of a record: the root object, its alias, and the aliases of paths
/// (`FROM Contact c, c.Account a`).
pub(super) struct Roots<'q> {
    object: Option<&'q Name>,
    aliases: Vec<(&'q Name, Vec<&'q Name>)>,
}

impl<'q> Roots<'q> {
    pub(super) fn of(from: &'q [Source]) -> Self {
        let object = from.first().and_then(|source| source.path.segments.last());
        let mut roots = Self { object, aliases: Vec::new() };
        for (index, source) in from.iter().enumerate() {
            let place = if index == 0 { Vec::new() } else { roots.place(&source.path).0 };
            if let Some(alias) = &source.alias {
                roots.aliases.push((alias, place));
            }
        }
        roots
    }

    /// Where in a record the value of a path is, without the name or alias of the root and with other aliases written out;
    /// and whether that is the whole path as written.
    pub(super) fn place<'p>(&self, path: &'p Path) -> (Vec<&'p Name>, bool)
    where
        'q: 'p,
    {
        let [first, rest @ ..] = path.segments.as_slice() else { return (Vec::new(), true) };
        if rest.is_empty() {
            return (vec![first], true);
        }
        if let Some((_, place)) =
            self.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(&first.text))
        {
            return (place.iter().copied().chain(rest).collect(), false);
        }
        if self.object.is_some_and(|object| object.eq_ignore_ascii_case(&first.text)) {
            return (rest.iter().collect(), false);
        }
        (path.segments.iter().collect(), true)
    }
}

fn dotted(place: &[&Name]) -> String {
    place.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(".")
}

fn span(path: &Path) -> Span {
    path.segments.first().map_or(Span { start: 0, end: 0 }, |name| name.span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        Columns::of(&query).unwrap_or_else(|error| panic!("{text}: {error}")).names
    }

    fn refused(text: &str) -> (usize, String) {
        let error = Columns::of(&Query::parse(text).unwrap()).expect_err(text);
        (error.column, error.reason)
    }

    #[test]
    fn a_key_is_found_with_few_comparisons() {
        let fields: Vec<_> = (0..1_000).map(|n| format!("F{n}__c")).collect();
        let query = Query::parse(&format!("SELECT {} FROM A", fields.join(", "))).unwrap();
        let columns = Columns::of(&query).unwrap();
        for (place, field) in fields.iter().enumerate() {
            assert_eq!(columns.shape().position(field.to_uppercase().as_bytes()), Some(place));
            let mut comparisons = 0;
            let found = columns.shape().search(|entry| {
                comparisons += 1;
                cmp_keys(entry.key.as_bytes(), field.as_bytes())
            });
            assert_eq!(found, Some(place));
            assert!(comparisons <= 11, "{comparisons} comparisons for {field}");
        }
        assert_eq!(columns.shape().position(b"F1000__c"), None);
        assert_eq!(columns.shape().position(b""), None);
    }

    #[test]
    fn columns_are_named_as_the_query_spells_them() {
        assert_eq!(
            names("select ID, name, Account.OWNER.name from Contact"),
            ["ID", "name", "Account.OWNER.name"]
        );
        assert_eq!(
            names(
                "SELECT toLabel(Status), FORMAT(convertCurrency(Amount)), toLabel(RecordType.Name) rt FROM X"
            ),
            ["Status", "Amount", "RecordType.rt"]
        );
    }

    #[test]
    fn the_roots_name_and_aliases_are_no_part_of_a_column() {
        assert_eq!(
            names(
                "SELECT Contact.Id, c.Name, a.Name, Contact.Account.Owner.Name, Account.Id FROM Contact c, c.Account a"
            ),
            ["Id", "Name", "Account.Name", "Account.Owner.Name", "Account.Id"]
        );
        assert_eq!(names("SELECT Account.Name FROM Contact, Contact.Account a"), ["Account.Name"]);
        assert_eq!(names("SELECT o.Owner.Name FROM Account a, a.Owner o"), ["Owner.Owner.Name"]);
    }

    #[test]
    fn expressions_are_numbered_and_grouped_fields_keep_their_last_segment() {
        assert_eq!(
            names(
                "SELECT Account.Name, COUNT(Id), MAX(Amount) m, SUM(Amount), CALENDAR_YEAR(CloseDate) FROM O GROUP BY Account.Name, CALENDAR_YEAR(CloseDate)"
            ),
            ["Name", "expr0", "m", "expr1", "expr2"]
        );
        assert_eq!(
            names("SELECT LeadSource ls, GROUPING(LeadSource) g FROM L GROUP BY ROLLUP(LeadSource)"),
            ["ls", "g"]
        );
        assert_eq!(names("SELECT Id, DISTANCE(L__c, GEOLOCATION(1,2), 'mi') FROM W"), ["Id", "expr0"]);
        assert_eq!(names("SELECT FORMAT(MIN(CloseDate)), COUNT(Id) FROM O"), ["expr0", "expr1"]);
        assert_eq!(names("select count() from Account"), ["count"]);
        assert_eq!(names("SELECT COUNT(Id) FROM Account"), ["expr0"]);
    }

    #[test]
    fn typeof_is_the_union_of_its_branches_and_a_child_query_one_column() {
        assert_eq!(
            names(
                "SELECT Id, TYPEOF What WHEN Account THEN Phone, Name WHEN Opportunity THEN Amount, name ELSE Name END FROM Event"
            ),
            ["Id", "What.Phone", "What.Name", "What.Amount"]
        );
        assert_eq!(
            names("SELECT Id, (SELECT Id, Name FROM Contacts), (SELECT Id FROM Account.Cases) FROM Account"),
            ["Id", "Contacts", "Cases"]
        );
    }

    #[test]
    fn what_cannot_be_written_rightly_is_refused_with_its_place() {
        let cases = [
            ("SELECT Id, id FROM A", 12, "two columns would be named id"),
            ("SELECT Amount, FORMAT(Amount) FROM A", 23, "two columns would be named Amount"),
            ("SELECT FORMAT(A.x) m, FORMAT(A.y) M FROM B", 35, "two columns would be named A.M"),
            (
                "SELECT Account.Name, Owner.Name FROM O GROUP BY Account.Name, Owner.Name",
                22,
                "two columns would be named Name",
            ),
            ("SELECT Id, COUNT(Id) expr0, SUM(X) FROM A GROUP BY Id", 29, "two columns would be named expr0"),
            (
                "SELECT Id Name FROM A",
                11,
                "Name is an alias, and fields have aliases only in grouped queries",
            ),
            ("SELECT FIELDS(ALL) FROM A LIMIT 200", 8, "the columns of FIELDS() are unknown"),
            ("SELECT Owner, Owner.Name FROM A", 15, "Owner is both a column and a relationship here"),
            (
                "SELECT Owner.Name, (SELECT Id FROM Owner) FROM A",
                36,
                "Owner is both a column and a relationship",
            ),
            ("SELECT COUNT(), Id FROM A", 8, "COUNT() cannot be combined"),
        ];
        for (text, column, reason) in cases {
            let found = refused(text);
            assert!(found.1.starts_with(reason), "{text}: {found:?}");
            assert_eq!(found.0, column, "{text}");
        }
    }

    #[test]
    fn an_alias_of_a_parents_field_stays_in_its_parent() {
        assert_eq!(
            names(
                "SELECT Id, FORMAT(Opportunity.Amount) money, toLabel(a.Owner.Title) t, FORMAT(Price) p FROM L, L.Account a"
            ),
            ["Id", "Opportunity.money", "Account.Owner.t", "p"]
        );
        // Groups and expressions have no parent.
        assert_eq!(names("SELECT FORMAT(MIN(A.x)) m, SUM(A.y) s FROM B"), ["m", "s"]);
        assert_eq!(names("SELECT toLabel(A.x) l, COUNT(Id) n FROM B GROUP BY A.x"), ["l", "n"]);
        assert_eq!(names("SELECT DISTANCE(A.x, GEOLOCATION(1,2), 'km') d FROM B"), ["d"]);
    }

    #[test]
    fn an_alias_is_accepted_in_the_record_where_it_is_clear() {
        let column = |text: &str, key: &str| {
            Columns::of(&Query::parse(text).unwrap()).unwrap().shape().aliased_column(key.as_bytes())
        };
        assert_eq!(column("SELECT Id, FORMAT(A.x) Money FROM B", "money"), Some(1));
        assert_eq!(column("SELECT Id, FORMAT(A.x) Money FROM B", "x"), None);
        // The key of another column, of a parent, or of two aliases.
        assert_eq!(column("SELECT Name, FORMAT(A.x) Name FROM B", "Name"), None);
        assert_eq!(column("SELECT Owner.Id, FORMAT(A.x) Owner FROM B", "Owner"), None);
        assert_eq!(column("SELECT FORMAT(A.x) m, FORMAT(C.x) m FROM B", "m"), None);
    }

    #[test]
    fn a_childs_prefix_is_its_own_name_or_a_parents() {
        let text = "SELECT Id, (SELECT Contact.LastName, Contact.Account.Name, Account.Id, FORMAT(Contact.Fee__c) f \
                    FROM Account.Contacts) FROM Account";
        for layout in [Layout::default(), FILES] {
            let columns = Columns::laid_out(&Query::parse(text).unwrap(), layout, None);
            // Two columns have the same name, because the file begins with Account.Id.
            let Ok(columns) = columns else { continue };
            let Node::Children { columns, .. } = &columns.shape().entries()[1].node else { panic!() };
            assert_eq!(
                columns.names(),
                ["Contact.LastName", "Contact.Account.Name", "Account.Id", "Contact.f"]
            );
            let keys = |object: &str| {
                let keys =
                    |level: &Level| level.entries().iter().map(|entry| entry.key.clone()).collect::<Vec<_>>();
                keys(columns.shape_of(object.as_bytes()))
            };
            assert_eq!(keys("Case"), ["Contact", "Account"]);
            assert_eq!(keys("contact"), ["LastName", "Account", "f"]);
            assert_eq!(keys("Account"), ["Contact", "Id"]);
        }
    }

    #[test]
    fn the_name_of_a_relationship_or_an_alias_is_never_in_doubt() {
        let depends = |child: &str| {
            let text = format!("SELECT Id, ({child}) FROM Account");
            let columns = Columns::of(&Query::parse(&text).unwrap()).unwrap();
            let Node::Children { columns, .. } = &columns.shape().entries()[1].node else { panic!() };
            columns.depend_on_object()
        };
        assert!(depends("SELECT Contact.Name FROM Contacts"));
        assert!(depends("SELECT TYPEOF Task.What WHEN Account THEN Phone END FROM Tasks"));
        assert!(depends("SELECT Pet__c.Name FROM Pets__r"));
        for child in [
            "SELECT Name FROM Contacts",
            "SELECT Contacts.Name FROM Account.Contacts",
            "SELECT c.Name FROM Contacts c",
            "SELECT Vet__r.Name FROM Pets__r",
        ] {
            assert!(!depends(child), "{child}");
        }
    }

    #[test]
    fn an_object_is_known_with_and_without_its_namespace() {
        for (sent, written, same) in [
            ("Contact", "contact", true),
            ("ns__Pet__c", "Pet__c", true),
            ("ns__Pet__c", "ns__pet__C", true),
            ("Pet__c", "ns__Pet__c", false),
            ("HotPet__c", "Pet__c", false),
            ("__Pet__c", "Pet__c", false),
            ("ns__Contact", "Contact", false),
            ("Case", "Contact", false),
        ] {
            assert_eq!(is_object(sent.as_bytes(), written.as_bytes()), same, "{sent} {written}");
        }
    }

    #[test]
    fn a_key_is_found_with_the_namespace_that_the_query_leaves_out() {
        let query = Query::parse("SELECT Name, Pet__c, Vet__r.Name, a__Toy__c, Toy__c FROM A").unwrap();
        let columns = Columns::of(&query).unwrap();
        for (key, place) in [
            ("ns__Pet__c", Some(1)),
            ("NS__PET__C", Some(1)),
            ("ns__Vet__r", Some(2)),
            ("a__Toy__c", Some(3)),
            ("b__Toy__c", Some(4)),
            ("ns__Name", None),
            ("__Pet__c", None),
            ("HotPet__c", None),
            ("ns__Pet__r", None),
        ] {
            assert_eq!(columns.shape().position(key.as_bytes()), place, "{key}");
        }
    }

    #[test]
    fn many_columns_and_many_prefixes_are_read_in_time() {
        let start = std::time::Instant::now();
        let flat: Vec<_> = (0..60_000).map(|n| format!("F{n}")).collect();
        assert_eq!(names(&format!("SELECT {} FROM A", flat.join(","))).len(), 60_000);
        let all: Vec<_> = (0..100_000).map(|n| plain(&format!("f{n}"))).collect();
        let columns = laid_out("SELECT F99999, FIELDS(ALL) FROM A", PARTS, &all).unwrap();
        assert_eq!(columns.names().len(), 100_000);
        for prefixes in [60, 6_000] {
            let prefixed: Vec<_> = (0..6_000).map(|n| format!("P{}.F{n}", n % prefixes)).collect();
            let mut text = "SELECT Id FROM Bs".to_owned();
            for _ in 0..3 {
                text = format!("SELECT {}, ({text}) FROM Bs", prefixed.join(","));
            }
            assert!(Columns::of(&Query::parse(&text).unwrap()).is_ok());
        }
        // This takes a few seconds. If the time grew with the square of the columns, it would take many minutes.
        assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    }

    const FILES: Layout = Layout { child_tables: true, compound_parts: false };
    const PARTS: Layout = Layout { child_tables: true, compound_parts: true };

    fn laid_out(text: &str, layout: Layout, described: &[Described]) -> Result<Columns, String> {
        let query = Query::parse(text).unwrap();
        Columns::laid_out(&query, layout, Some(described)).map_err(|error| error.reason)
    }

    fn plain(name: &str) -> Described {
        Described {
            name: name.to_owned(),
            computed: false,
            kind: ValueKind::Plain(FieldType::Text),
            inner: Vec::new(),
        }
    }

    #[test]
    fn a_child_query_is_a_table_whose_first_column_is_the_parents_id() {
        let text = "SELECT id, (SELECT Email, Id, (SELECT Subject FROM Tasks) FROM contacts), Name, (SELECT Id FROM \
                    a.Cases) FROM Account a";
        let query = Query::parse(text).unwrap();
        assert_eq!(query.statement.child_queries(), ["contacts", "contacts.Tasks", "Cases"]);
        let columns = Columns::laid_out(&query, FILES, None).unwrap();
        assert_eq!(columns.names(), ["id", "Name"]);
        assert_eq!((columns.id(), columns.cells()), (Some(0), 4));
        assert_eq!([2, 3].map(|cell| columns.cell_name(cell)), ["contacts", "Cases"]);
        let tables: Vec<_> =
            columns.tables().iter().map(|table| (table.number, table.columns.names())).collect();
        assert_eq!(tables[0], (1, &["Account.Id", "Email", "Id"].map(str::to_owned)[..]));
        assert_eq!(tables[1], (2, &["contacts.Id", "Subject"].map(str::to_owned)[..]));
        assert_eq!(tables[2], (3, &["Account.Id", "Id"].map(str::to_owned)[..]));
    }

    #[test]
    fn a_table_without_its_parents_id_is_refused() {
        for text in [
            "SELECT Name, (SELECT Id FROM Contacts) FROM Account",
            "SELECT Owner.Id, (SELECT Id FROM Contacts) FROM Account",
            "SELECT Id, (SELECT Name, (SELECT Id FROM Tasks) FROM Contacts) FROM Account",
        ] {
            let reason = laid_out(text, FILES, &[]).expect_err(text);
            assert!(reason.contains("needs the parent's Id"), "{text}: {reason}");
        }
        assert!(laid_out("SELECT Account.Id, (SELECT Id FROM Contacts) FROM Account", FILES, &[]).is_ok());
    }

    #[test]
    fn fields_are_those_that_the_org_describes_and_no_other_item_names() {
        let custom = |name: &str| plain(&format!("{name}__c"));
        let owner = Described { inner: vec![plain("Name")], ..plain("Owner") };
        let count = Described { computed: true, ..plain("Contacts") };
        let all = [plain("Id"), plain("Name"), custom("Rank"), owner, count];
        let names = |text: &str| laid_out(text, Layout::default(), &all).map(|columns| columns.names);
        assert_eq!(
            names("SELECT owner.NAME, FIELDS(ALL), (SELECT Id FROM Contacts) FROM A").unwrap(),
            ["owner.NAME", "Id", "Name", "Rank__c", "Contacts"]
        );
        assert_eq!(
            names("SELECT fields(custom), Owner.Name, FIELDS(standard) FROM A").unwrap(),
            ["Rank__c", "Owner.Name", "Id", "Name"]
        );
        assert_eq!(
            names("SELECT FIELDS(ALL), toLabel(rank__C) FROM A").unwrap(),
            ["Id", "Name", "Owner", "rank__C"]
        );
        let none =
            laid_out("SELECT FIELDS(ALL) FROM A", Layout::default(), &[]).expect_err("nothing described");
        assert_eq!(none, "the org describes no fields for this FIELDS()");
    }

    #[test]
    fn a_compound_field_is_its_parts_where_the_org_says_that_it_is_one() {
        let of = |kind, name: &str| Described { kind, ..plain(name) };
        let account = Described { inner: vec![of(ValueKind::Location, "Site__c")], ..plain("Account") };
        let all =
            [plain("Id"), account, of(ValueKind::Address, "MailingAddress"), of(ValueKind::Unknown, "Odd")];
        let columns =
            laid_out("SELECT Id, account.SITE__c, MailingAddress FROM Contact", PARTS, &all).unwrap();
        assert_eq!(
            columns.names()[..4],
            ["Id", "account.SITE__c.latitude", "account.SITE__c.longitude", "MailingAddress.city"]
        );
        assert_eq!(columns.names().len(), 13);
        for (text, name) in
            [("SELECT Odd FROM Contact", "Odd"), ("SELECT Id, Owner.City FROM Contact", "Owner.City")]
        {
            let reason = laid_out(text, PARTS, &all).expect_err(text);
            assert!(
                reason.starts_with(&format!("the org does not say whether {name} is a compound")),
                "{reason}"
            );
        }
    }

    #[test]
    fn columns_know_the_types_that_the_org_says() {
        use FieldType::{Any, Date, DateTime, Double, Integer, Json, Long, Text};
        let of = |kind, name: &str| Described { kind, ..plain(name) };
        let typed = |field_type, name: &str| of(ValueKind::Plain(field_type), name);
        let computed = |field_type, name: &str| Described { computed: true, ..typed(field_type, name) };
        let owner = Described {
            kind: ValueKind::Unknown,
            inner: vec![typed(Any, "Old"), of(ValueKind::Unknown, "New")],
            ..plain("Owner")
        };
        let contacts = Described {
            computed: true,
            kind: ValueKind::Unknown,
            inner: vec![typed(Date, "Born"), of(ValueKind::Location, "Home__c")],
            ..plain("Contacts")
        };
        let all = [
            plain("Id"),
            typed(Integer, "Size"),
            typed(Double, "Amount"),
            of(ValueKind::Address, "Site"),
            owner,
            contacts,
        ];
        let types = |text: &str, layout| {
            let columns = laid_out(text, layout, &all).unwrap();
            let children = columns.tables().iter().map(|table| table.columns.types().to_vec()).collect();
            (columns.types().to_vec(), children)
        };
        let some = |types: &[FieldType]| types.iter().copied().map(Some).collect::<Vec<_>>();
        let no_tables: Vec<Vec<Option<FieldType>>> = Vec::new();
        let text = "SELECT ID, size, Site, owner.OLD, Owner.New, Nope, (SELECT Born FROM contacts) FROM A";
        let mut expected = some(&[Text, Integer, Json, Any]);
        expected.extend([None, None, Some(Json)]);
        assert_eq!(types(text, Layout::default()), (expected, no_tables.clone()));
        // The child's file begins with its parent's Id.
        let text = "SELECT Id, (SELECT Born, Home__c FROM Contacts) FROM A";
        assert_eq!(types(text, FILES), (some(&[Text]), vec![some(&[Text, Date, Json])]));
        let parts = types("SELECT Id, Site, (SELECT Home__c FROM Contacts) FROM A", PARTS);
        let mut expected = vec![Some(Text); 11];
        (expected[5], expected[6]) = (Some(Double), Some(Double));
        assert_eq!(parts, (expected, vec![some(&[Text, Double, Double])]));
        // A field inside a function is text, except for an amount in another currency.
        let text = "SELECT toLabel(Size), FORMAT(Amount) a, convertCurrency(Amount), FORMAT(convertCurrency(Amount)) b \
                    FROM A";
        assert_eq!(types(text, Layout::default()).0, some(&[Text, Text, Double, Text]));
        let all =
            [computed(Integer, "n"), computed(Double, "expr0"), typed(Text, "Name"), computed(Date, "d")];
        let text = "SELECT Name, COUNT(Id) n, SUM(Amount), Born d FROM A GROUP BY Name, Born";
        let columns = laid_out(text, Layout::default(), &all).unwrap();
        assert_eq!(columns.types(), some(&[Text, Integer, Double, Date]));
        // A function whose type does not depend on its field need not be described.
        let text = "SELECT COUNT(Id), MIN(Born) begun, FORMAT(MAX(Born)) ended, DAY_ONLY(Born) FROM A GROUP BY DAY_ONLY(Born)";
        let described = [computed(DateTime, "begun"), computed(DateTime, "ended")];
        let columns = laid_out(text, Layout::default(), &described).unwrap();
        assert_eq!(columns.types(), some(&[Long, DateTime, Text, Date]));
        // A grouped field may be described in its parent, and with the namespace that the query leaves out.
        let owner = Described { inner: vec![typed(DateTime, "CreatedDate")], ..typed(Text, "Owner") };
        let custom = typed(Date, "ns__Born__c");
        let text = "SELECT Owner.CreatedDate, Owner.CreatedDate d, Born__c FROM A GROUP BY Owner.CreatedDate, Born__c";
        let columns = laid_out(text, Layout::default(), &[owner.clone(), custom.clone()]).unwrap();
        assert_eq!(columns.types(), some(&[DateTime, DateTime, Date]));
        let inner = Described { inner: vec![custom], ..owner };
        let columns = laid_out("SELECT Owner.Born__c FROM A", Layout::default(), &[inner]).unwrap();
        assert_eq!(columns.types(), some(&[Date]));
        // If several branches of a TYPEOF have a field of the same name, the org describes one of them.
        let text = "SELECT TYPEOF What WHEN A THEN Begun, CreatedDate, Size WHEN B THEN begun, CreatedDate END FROM T";
        let inner = vec![typed(DateTime, "Begun"), typed(DateTime, "CreatedDate"), typed(Integer, "Size")];
        let what = Described { inner, ..typed(Text, "What") };
        let columns = laid_out(text, Layout::default(), &[what]).unwrap();
        assert_eq!(columns.types(), [None, Some(DateTime), Some(Integer)]);
        // Without a description, only what the text says is known.
        let columns = Columns::of(&Query::parse("SELECT Id, (SELECT Id FROM Bs) FROM A").unwrap()).unwrap();
        assert_eq!(columns.types(), [None, Some(Json)]);
        assert_eq!(Columns::of(&Query::parse("SELECT COUNT() FROM A").unwrap()).unwrap().types().len(), 1);
    }

    #[test]
    fn the_org_is_asked_only_where_the_text_does_not_tell() {
        let asks = |text: &str, layout| Columns::need_description(&Query::parse(text).unwrap(), layout);
        let json = Layout { child_tables: false, compound_parts: true };
        for (text, layout, asked) in [
            ("SELECT Id FROM A", Layout::default(), false),
            ("SELECT Id, (SELECT FIELDS(ALL) FROM Bs) FROM A", Layout::default(), true),
            ("SELECT FIELDS(ALL) FROM A", FILES, true),
            ("SELECT Id FROM A", PARTS, true),
            ("SELECT COUNT() FROM A", PARTS, false),
            ("SELECT Name, COUNT(Id) FROM A GROUP BY Name", PARTS, false),
            ("SELECT toLabel(Name), (SELECT Id FROM Bs) FROM A", PARTS, true),
            // In JSON compound values stay whole.
            ("SELECT toLabel(Name), (SELECT Id FROM Bs) FROM A", json, false),
        ] {
            assert_eq!(asks(text, layout), asked, "{text} {layout:?}");
        }
    }
}
