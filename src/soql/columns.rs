//! A select list → the columns of its export, before any record is seen, and where in a record each one's value
//! stands. The rules are those of the SOQL reference's field lists, aliases and grouped queries.

use super::{Argument, Call, Item, Name, Path, Query, Source, Span, Statement, SyntaxError};

/// The columns of an export: their names, in the select list's order and spelling, and the shape of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    names: Vec<String>,
    shape: Level,
    count_only: bool,
    /// How many of the cells behind the columns' own stand for child queries with a table of their own.
    apart: usize,
}

/// What of a record's shape the query leaves open, and the export decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Each child query is a table of its own, whose first column is the parent's Id; else it is one column.
    pub child_tables: bool,
    /// A compound field is its parts (`BillingAddress.city`); else it is one column.
    pub compound_parts: bool,
}

/// A column of a query's result as the org describes it where no record is there to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its key, in the schema's spelling, or its alias.
    pub name: String,
    /// Whether it is no field: a function, or a child query.
    pub computed: bool,
    /// What its value is.
    pub kind: ValueKind,
    /// What is behind it: the fields of a parent or of a child query.
    pub inner: Vec<Self>,
}

/// What the value of a described column is, as far as it matters to the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// One value.
    Plain,
    /// A compound address.
    Address,
    /// A compound location.
    Location,
    /// The org does not say, or says what is not known here.
    Unknown,
}

impl ValueKind {
    /// The keys of a compound value, and whether each may be missing; empty where it is none. An org without
    /// state and country picklists sends no codes.
    fn parts(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Address => &[
                ("city", false),
                ("country", false),
                ("countryCode", true),
                ("geocodeAccuracy", false),
                ("latitude", false),
                ("longitude", false),
                ("postalCode", false),
                ("state", false),
                ("stateCode", true),
                ("street", false),
            ],
            Self::Location => &[("latitude", false), ("longitude", false)],
            Self::Plain | Self::Unknown => &[],
        }
    }
}

/// A child query's table: what it is called, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table<'c> {
    /// The child query's place in [`Statement::child_queries`].
    pub number: usize,
    /// Its columns; the first is the parent's Id.
    pub columns: &'c Columns,
}

impl Columns {
    /// The columns of a query, a child query or a compound field being one column each.
    ///
    /// # Errors
    /// Where two columns would bear one name, where an alias stands that the org would refuse, and where the
    /// columns cannot be known from the text (`FIELDS()`). The error shows the place.
    pub fn of(query: &Query) -> Result<Self, SyntaxError> {
        Self::laid_out(query, Layout::default(), None)
    }

    /// The columns of a query in a layout; `described` is what the org says of them, where it was asked.
    ///
    /// # Errors
    /// As [`Columns::of`]; where [`Columns::need_description`] says so and there is none, or where it leaves open
    /// what must be known; and where a child query is to be a table, and Id is not selected beside it.
    pub fn laid_out(
        query: &Query,
        layout: Layout,
        described: Option<&[Described]>,
    ) -> Result<Self, SyntaxError> {
        Self::of_statement(&query.text, &query.statement, layout, described, None)
    }

    /// Whether the text alone does not tell the columns of a query, and the org must be asked: where it has
    /// `FIELDS()`, and where the parts of compound fields are to be columns, which look like any other field.
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

    fn of_statement(
        text: &str,
        statement: &Statement,
        layout: Layout,
        described: Option<&[Described]>,
        parent_id: Option<String>,
    ) -> Result<Self, SyntaxError> {
        if statement.is_count() {
            // The org answers with a number in place of records; the column is ours.
            let names = vec!["count".to_owned()];
            return Ok(Self { names, shape: Level::default(), count_only: true, apart: 0 });
        }
        let names = parent_id.into_iter().collect();
        let mut builder = Builder {
            text,
            roots: Roots::of(&statement.from),
            statement,
            grouped: statement.is_grouped(),
            expressions: 0,
            layout,
            described,
            columns: Self { names, shape: Level::default(), count_only: false, apart: 0 },
        };
        for item in &statement.select {
            builder.item(item)?;
        }
        let mut columns = builder.columns;
        columns.set_apart();
        columns.shape.gather();
        Ok(columns)
    }

    /// Gives the child queries with a table of their own the cells behind the columns'.
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

    /// Where in a record the values stand.
    #[must_use]
    pub fn shape(&self) -> &Level {
        &self.shape
    }

    /// Whether the result is no records but the number `totalSize`: `SELECT COUNT()`.
    #[must_use]
    pub fn is_count(&self) -> bool {
        self.count_only
    }

    /// Whether the query has a child query.
    #[must_use]
    pub fn has_children(&self) -> bool {
        self.shape.entries.iter().any(|entry| matches!(entry.node, Node::Children { .. }))
    }

    /// How many cells a record has while it is read: the columns', and one for each child query with a table of
    /// its own.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.names.len() + self.apart
    }

    /// What a cell is called in a message.
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
        self.shape.entries.iter().find_map(|entry| match entry.node {
            Node::Value(column) if entry.key.eq_ignore_ascii_case("Id") => Some(column),
            _ => None,
        })
    }

    /// The tables of the child queries, each before those of its own child queries.
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
    columns: Vec<usize>,
}

impl Level {
    /// The keys, in the order of their first mention, which is the order that the org sends them in.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The columns whose values stand in this object or deeper: those that are null when it is.
    #[must_use]
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn gather(&mut self) {
        let mut columns = Vec::new();
        for entry in &mut self.entries {
            match &mut entry.node {
                Node::Value(column) | Node::Children { column, .. } => columns.push(*column),
                Node::Parent(level) => {
                    level.gather();
                    columns.extend_from_slice(&level.columns);
                }
            }
        }
        self.columns = columns;
    }
}

/// One key of an object in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, in the query's spelling; the org answers in the schema's.
    pub key: String,
    /// What stands behind it.
    pub node: Node,
    /// Whether it may be missing: a field of a TYPEOF branch is, in the records of other types.
    pub optional: bool,
}

/// What stands behind a key of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A column's value; an object where the field is a compound one.
    Value(usize),
    /// A parent record, or null.
    Parent(Level),
    /// The result of a child query, or null.
    Children {
        /// The column; the cell behind the columns where it has a table of its own.
        column: usize,
        /// The child query's own columns.
        columns: Box<Columns>,
        /// How many tables further its own is than that of the query around it; `None` where it is a column.
        table: Option<usize>,
    },
}

impl Layout {
    /// What it says of a child query: JSON in a column keeps compound values whole.
    fn of_children(self) -> Self {
        Self { compound_parts: self.compound_parts && self.child_tables, ..self }
    }
}

struct Builder<'q> {
    text: &'q str,
    roots: Roots<'q>,
    statement: &'q Statement,
    grouped: bool,
    /// How many expressions without an alias there were: the next is `expr` and this number.
    expressions: usize,
    layout: Layout,
    described: Option<&'q [Described]>,
    columns: Columns,
}

impl<'q> Builder<'q> {
    fn item(&mut self, item: &Item) -> Result<(), SyntaxError> {
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

    fn field(&mut self, path: &Path, alias: Option<&Name>) -> Result<(), SyntaxError> {
        match alias {
            Some(alias) if self.grouped => self.add(&[alias], alias.span, Kind::Value),
            Some(alias) => Err(SyntaxError::at(
                self.text,
                alias.span.start,
                format!("a field has an alias only in a grouped query; is a comma missing before {alias}?"),
            )),
            None => self.own_place(path),
        }
    }

    /// A field's own place: in a grouped query under its last segment, else at the end of its path.
    fn own_place(&mut self, path: &Path) -> Result<(), SyntaxError> {
        let place = self.roots.place(path);
        let place = if self.grouped { &place[place.len() - 1..] } else { &place[..] };
        self.add_field(place, span(path), place.len())
    }

    /// A field, whose place is `certain` to be in every record for so many segments; its parts, where it is a
    /// compound one and they are asked for.
    fn add_field(&mut self, place: &[&Name], at: Span, certain: usize) -> Result<(), SyntaxError> {
        let kind = if self.layout.compound_parts && !self.grouped {
            self.described_kind(place, at)?
        } else {
            ValueKind::Plain
        };
        let parts = kind.parts();
        if parts.is_empty() {
            return self.add(place, at, Kind::Branch { certain });
        }
        for (part, optional) in parts {
            let part = Name { text: (*part).to_owned(), span: at };
            let place: Vec<_> = place.iter().copied().chain([&part]).collect();
            self.add(&place, at, Kind::Part { certain, optional: *optional })?;
        }
        Ok(())
    }

    /// What the org says that a field's value is.
    fn described_kind(&self, place: &[&Name], at: Span) -> Result<ValueKind, SyntaxError> {
        let mut level = self.described;
        let mut kind = ValueKind::Unknown;
        for name in place {
            let found =
                level.and_then(|level| level.iter().find(|known| name.eq_ignore_ascii_case(&known.name)));
            kind = found.map_or(ValueKind::Unknown, |found| found.kind);
            level = found.map(|found| found.inner.as_slice());
        }
        if kind != ValueKind::Unknown {
            return Ok(kind);
        }
        let name = dotted(place);
        let reason = format!(
            "the org does not say whether {name} is a compound field, whose parts are to be columns; name the parts as fields of their own"
        );
        Err(SyntaxError::at(self.text, at.start, reason))
    }

    /// `FIELDS()`: what the org describes and no other item asks for.
    fn fields(&mut self, call: &Call) -> Result<(), SyntaxError> {
        let at = call.name.span;
        let Some(described) = self.described else {
            let reason = "the columns of FIELDS() cannot be known before the query; name the fields";
            return Err(SyntaxError::at(self.text, at.start, reason));
        };
        let claimed: Vec<_> = self.statement.select.iter().filter_map(|item| self.first_key(item)).collect();
        let several = self.statement.select.iter().filter(|item| is_fields_item(item)).count() > 1;
        // Which of several FIELDS() a field belongs to, its name tells: what is custom has two underscores in it.
        let custom = match call.arguments.as_slice() {
            [Argument::Path(path)] if several && path.last().eq_ignore_ascii_case("CUSTOM") => Some(true),
            [Argument::Path(path)] if several && path.last().eq_ignore_ascii_case("STANDARD") => Some(false),
            _ => None,
        };
        let names: Vec<_> = described
            .iter()
            .filter(|known| !known.computed)
            .filter(|known| !claimed.iter().any(|name| name.eq_ignore_ascii_case(&known.name)))
            .filter(|known| custom.is_none_or(|custom| known.name.contains("__") == custom))
            .map(|known| Name { text: known.name.clone(), span: at })
            .collect();
        if names.is_empty() {
            return Err(SyntaxError::at(self.text, at.start, "the org describes no field for this FIELDS()"));
        }
        names.iter().try_for_each(|name| self.add_field(&[name], at, 1))
    }

    /// The key in the record under which an item's value stands; none for `FIELDS()` and for expressions.
    fn first_key<'i>(&self, item: &'i Item) -> Option<&'i Name>
    where
        'q: 'i,
    {
        let first = |path| self.roots.place(path).first().copied();
        match item {
            Item::Field { alias: Some(alias), .. } | Item::Function { alias: Some(alias), .. } => Some(alias),
            Item::Field { path, alias: None } | Item::TypeOf { relationship: path, .. } => first(path),
            Item::Function { call, alias: None } => presented_field(call).and_then(first),
            Item::Child(child) => child.relationship(),
        }
    }

    fn function(&mut self, call: &Call, alias: Option<&Name>) -> Result<(), SyntaxError> {
        if is_fields(call) {
            return self.fields(call);
        }
        if call.arguments.is_empty() && call.is_aggregate() {
            return Err(SyntaxError::at(
                self.text,
                call.name.span.start,
                "COUNT() must stand alone; use COUNT(Id)",
            ));
        }
        match (alias, presented_field(call)) {
            (Some(alias), _) => self.add(&[alias], alias.span, Kind::Value),
            // Text, whatever the field is.
            (None, Some(path)) => {
                let place = self.roots.place(path);
                let place = if self.grouped { &place[place.len() - 1..] } else { &place[..] };
                self.add(place, span(path), Kind::Value)
            }
            (None, None) => {
                let name = Name { text: format!("expr{}", self.expressions), span: call.name.span };
                self.expressions += 1;
                self.add(&[&name], call.name.span, Kind::Value)
            }
        }
    }

    fn child(&mut self, statement: &Statement) -> Result<(), SyntaxError> {
        // `FROM Contacts` or `FROM Account.Contacts`: the key is the relationship's name.
        let Some(name) = statement.relationship() else { return Ok(()) };
        let described = self.described.and_then(|level| {
            let found =
                level.iter().find(|known| known.computed && name.eq_ignore_ascii_case(&known.name))?;
            Some(found.inner.as_slice())
        });
        let parent_id = if self.layout.child_tables {
            let selected = self.statement.select.iter().any(|item| self.gives_id(item));
            if !selected {
                let reason = format!(
                    "the file of {name} tells of each row which record it belongs to: select Id beside this child query"
                );
                return Err(SyntaxError::at(self.text, name.span.start, reason));
            }
            self.roots.object.map(|object| format!("{object}.Id"))
        } else {
            None
        };
        let layout = self.layout.of_children();
        let columns = Columns::of_statement(self.text, statement, layout, described, parent_id)?;
        self.add(&[name], name.span, Kind::Children(columns))
    }

    /// Whether an item puts the record's own Id into it.
    fn gives_id(&self, item: &Item) -> bool {
        match item {
            Item::Field { path, alias: None } => {
                matches!(self.roots.place(path).as_slice(), [only] if only.eq_ignore_ascii_case("Id"))
            }
            Item::Function { call, .. } if is_fields(call) => self
                .described
                .is_some_and(|all| all.iter().any(|known| known.name.eq_ignore_ascii_case("Id"))),
            _ => false,
        }
    }

    fn type_of<'p>(
        &mut self,
        relationship: &Path,
        fields: impl Iterator<Item = &'p Path>,
    ) -> Result<(), SyntaxError> {
        let parent = self.roots.place(relationship);
        let mut seen: Vec<Vec<&str>> = Vec::new();
        for field in fields {
            let names: Vec<_> = field.segments.iter().map(Name::as_str).collect();
            if seen.iter().any(|other| same(other, &names)) {
                continue;
            }
            let place: Vec<_> = parent.iter().copied().chain(&field.segments).collect();
            self.add_field(&place, span(field), parent.len())?;
            seen.push(names);
        }
        Ok(())
    }

    fn add(&mut self, place: &[&Name], at: Span, kind: Kind) -> Result<(), SyntaxError> {
        let name = dotted(place);
        let refused = |reason| Err(SyntaxError::at(self.text, at.start, reason));
        if self.columns.names.iter().any(|other| other.eq_ignore_ascii_case(&name)) {
            return refused(format!("two columns would be named {name}; give one an alias, or leave it out"));
        }
        let column = self.columns.names.len();
        // Which segments may be missing from a record: those behind a TYPEOF's relationship.
        let (certain, optional) = match kind {
            Kind::Branch { certain } => (certain, certain < place.len()),
            Kind::Part { certain, optional } => (certain, optional),
            Kind::Value | Kind::Children(_) => (place.len(), false),
        };
        let Some((key, parents)) = place.split_last() else { return Ok(()) };
        let mut level = &mut self.columns.shape;
        for (depth, parent) in parents.iter().enumerate() {
            let index = level.position(parent).unwrap_or_else(|| {
                let node = Node::Parent(Level::default());
                level.entries.push(Entry { key: parent.text.clone(), node, optional: depth >= certain });
                level.entries.len() - 1
            });
            level = match &mut level.entries[index].node {
                Node::Parent(level) => level,
                _ => return refused(format!("{parent} is both a column and a relationship here")),
            };
        }
        match level.position(key).map(|index| &level.entries[index].node) {
            None => {}
            Some(Node::Children { .. }) if matches!(kind, Kind::Children(_)) => {
                return refused(format!("two child queries would be named {key}"));
            }
            Some(_) => return refused(format!("{key} is both a column and a relationship here")),
        }
        let node = match kind {
            Kind::Value | Kind::Branch { .. } | Kind::Part { .. } => Node::Value(column),
            Kind::Children(columns) => {
                let table = self.layout.child_tables.then_some(0);
                Node::Children { column, columns: Box::new(columns), table }
            }
        };
        let is_column = !matches!(node, Node::Children { table: Some(_), .. });
        level.entries.push(Entry { key: key.text.clone(), node, optional });
        if is_column {
            self.columns.names.push(name);
        }
        Ok(())
    }
}

impl Level {
    fn position(&self, key: &Name) -> Option<usize> {
        self.entries.iter().position(|entry| key.eq_ignore_ascii_case(&entry.key))
    }
}

enum Kind {
    Value,
    /// A field of which only so many segments are in every record: a TYPEOF's relationship.
    Branch {
        certain: usize,
    },
    /// A part of such a field.
    Part {
        certain: usize,
        optional: bool,
    },
    Children(Columns),
}

fn is_fields(call: &Call) -> bool {
    call.name.eq_ignore_ascii_case("FIELDS")
}

fn is_fields_item(item: &Item) -> bool {
    matches!(item, Item::Function { call, .. } if is_fields(call))
}

/// The field that toLabel, FORMAT and convertCurrency, also one in another, present: its value comes back in the
/// field's own place.
fn presented_field(call: &Call) -> Option<&Path> {
    let presents =
        ["toLabel", "FORMAT", "convertCurrency"].iter().any(|name| call.name.eq_ignore_ascii_case(name));
    match call.arguments.as_slice() {
        [Argument::Path(path)] if presents => Some(path),
        [Argument::Call(inner)] if presents => presented_field(inner),
        _ => None,
    }
}

/// The names that may stand before a path without being part of a record: the root object's, its alias, and the
/// aliases of paths (`FROM Contact c, c.Account a`).
struct Roots<'q> {
    object: Option<&'q Name>,
    aliases: Vec<(&'q Name, Vec<&'q Name>)>,
}

impl<'q> Roots<'q> {
    fn of(from: &'q [Source]) -> Self {
        let object = from.first().and_then(|source| source.path.segments.last());
        let mut roots = Self { object, aliases: Vec::new() };
        for (index, source) in from.iter().enumerate() {
            let place = if index == 0 { Vec::new() } else { roots.place(&source.path) };
            if let Some(alias) = &source.alias {
                roots.aliases.push((alias, place));
            }
        }
        roots
    }

    /// A path's place in a record: without the root's name or alias, and with other aliases written out.
    fn place<'p>(&self, path: &'p Path) -> Vec<&'p Name>
    where
        'q: 'p,
    {
        let whole = || path.segments.iter().collect();
        let [first, rest @ ..] = path.segments.as_slice() else { return whole() };
        if rest.is_empty() {
            return whole();
        }
        if let Some((_, place)) =
            self.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(&first.text))
        {
            return place.iter().copied().chain(rest).collect();
        }
        if self.object.is_some_and(|object| object.eq_ignore_ascii_case(&first.text)) {
            return rest.iter().collect();
        }
        whole()
    }
}

fn same(one: &[&str], other: &[&str]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.eq_ignore_ascii_case(b))
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
    fn columns_are_named_as_the_query_spells_them() {
        assert_eq!(
            names("select ID, name, Account.OWNER.name from Contact"),
            ["ID", "name", "Account.OWNER.name"]
        );
        assert_eq!(
            names(
                "SELECT toLabel(Status), FORMAT(convertCurrency(Amount)), toLabel(RecordType.Name) rt FROM X"
            ),
            ["Status", "Amount", "rt"]
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
            (
                "SELECT Account.Name, Owner.Name FROM O GROUP BY Account.Name, Owner.Name",
                22,
                "two columns would be named Name",
            ),
            ("SELECT Id, COUNT(Id) expr0, SUM(X) FROM A GROUP BY Id", 29, "two columns would be named expr0"),
            (
                "SELECT Id Name FROM A",
                11,
                "a field has an alias only in a grouped query; is a comma missing before Name?",
            ),
            ("SELECT FIELDS(ALL) FROM A LIMIT 200", 8, "the columns of FIELDS() cannot be known"),
            ("SELECT Owner, Owner.Name FROM A", 15, "Owner is both a column and a relationship here"),
            (
                "SELECT Owner.Name, (SELECT Id FROM Owner) FROM A",
                36,
                "Owner is both a column and a relationship",
            ),
            ("SELECT COUNT(), Id FROM A", 8, "COUNT() must stand alone"),
        ];
        for (text, column, reason) in cases {
            let found = refused(text);
            assert!(found.1.starts_with(reason), "{text}: {found:?}");
            assert_eq!(found.0, column, "{text}");
        }
    }

    const FILES: Layout = Layout { child_tables: true, compound_parts: false };
    const PARTS: Layout = Layout { child_tables: true, compound_parts: true };

    fn laid_out(text: &str, layout: Layout, described: &[Described]) -> Result<Columns, String> {
        let query = Query::parse(text).unwrap();
        Columns::laid_out(&query, layout, Some(described)).map_err(|error| error.reason)
    }

    fn plain(name: &str) -> Described {
        Described { name: name.to_owned(), computed: false, kind: ValueKind::Plain, inner: Vec::new() }
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
            assert!(reason.contains("select Id beside this child query"), "{text}: {reason}");
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
        assert_eq!(none, "the org describes no field for this FIELDS()");
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
