//! A select list → the columns of its export, before any record is seen, and where in a record each one's value
//! stands. The rules are those of the SOQL reference's field lists, aliases and grouped queries.

use super::{Argument, Call, Item, Name, Path, Query, Source, Span, Statement, SyntaxError};

/// The columns of an export: their names, in the select list's order and spelling, and the shape of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    names: Vec<String>,
    shape: Level,
    count_only: bool,
}

impl Columns {
    /// The columns of a query.
    ///
    /// # Errors
    /// Where two columns would bear one name, where an alias stands that the org would refuse, and where the
    /// columns cannot be known from the text (`FIELDS()`). The error shows the place.
    pub fn of(query: &Query) -> Result<Self, SyntaxError> {
        Self::of_statement(&query.text, &query.statement)
    }

    fn of_statement(text: &str, statement: &Statement) -> Result<Self, SyntaxError> {
        if statement.is_count() {
            // The org answers with a number in place of records; the column is ours.
            return Ok(Self { names: vec!["count".to_owned()], shape: Level::default(), count_only: true });
        }
        let mut builder = Builder {
            text,
            roots: Roots::of(&statement.from),
            grouped: statement.is_grouped(),
            expressions: 0,
            columns: Self { names: Vec::new(), shape: Level::default(), count_only: false },
        };
        for item in &statement.select {
            builder.item(item)?;
        }
        let mut columns = builder.columns;
        columns.shape.gather();
        Ok(columns)
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

    /// Whether any column holds the records of a child query.
    #[must_use]
    pub fn has_children(&self) -> bool {
        self.shape.entries.iter().any(|entry| matches!(entry.node, Node::Children { .. }))
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
        /// The column.
        column: usize,
        /// The child query's own columns.
        columns: Box<Columns>,
    },
}

struct Builder<'q> {
    text: &'q str,
    roots: Roots<'q>,
    grouped: bool,
    /// How many expressions without an alias there were: the next is `expr` and this number.
    expressions: usize,
    columns: Columns,
}

impl Builder<'_> {
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
        self.add(place, span(path), Kind::Value)
    }

    fn function(&mut self, call: &Call, alias: Option<&Name>) -> Result<(), SyntaxError> {
        if call.name.eq_ignore_ascii_case("FIELDS") {
            return Err(SyntaxError::at(
                self.text,
                call.name.span.start,
                "the columns of FIELDS() cannot be known before the query; name the fields",
            ));
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
            (None, Some(path)) => self.own_place(path),
            (None, None) => {
                let name = Name { text: format!("expr{}", self.expressions), span: call.name.span };
                self.expressions += 1;
                self.add(&[&name], call.name.span, Kind::Value)
            }
        }
    }

    fn child(&mut self, statement: &Statement) -> Result<(), SyntaxError> {
        let columns = Columns::of_statement(self.text, statement)?;
        let Some(source) = statement.from.first() else { return Ok(()) };
        // `FROM Contacts` or `FROM Account.Contacts`: the key is the relationship's name.
        let place = self.roots.place(&source.path);
        self.add(&place[place.len() - 1..], span(&source.path), Kind::Children(columns))
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
            self.add(&place, span(field), Kind::Branch { relationship: parent.len() })?;
            seen.push(names);
        }
        Ok(())
    }

    fn add(&mut self, place: &[&Name], at: Span, kind: Kind) -> Result<(), SyntaxError> {
        let name = place.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(".");
        let refused = |reason| Err(SyntaxError::at(self.text, at.start, reason));
        if self.columns.names.iter().any(|other| other.eq_ignore_ascii_case(&name)) {
            return refused(format!("two columns would be named {name}; give one an alias, or leave it out"));
        }
        let column = self.columns.names.len();
        // Which segments may be missing from a record: those behind a TYPEOF's relationship.
        let certain = match kind {
            Kind::Branch { relationship } => relationship,
            Kind::Value | Kind::Children(_) => place.len(),
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
        if level.position(key).is_some() {
            return refused(format!("{key} is both a column and a relationship here"));
        }
        let node = match kind {
            Kind::Value | Kind::Branch { .. } => Node::Value(column),
            Kind::Children(columns) => Node::Children { column, columns: Box::new(columns) },
        };
        level.entries.push(Entry { key: key.text.clone(), node, optional: certain < place.len() });
        self.columns.names.push(name);
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
    /// A field of a TYPEOF branch, behind a relationship of this many segments.
    Branch {
        relationship: usize,
    },
    Children(Columns),
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
}
