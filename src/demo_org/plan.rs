//! A query's text → a plan of what to find and how to show it, with every name resolved against the objects.

mod groups;

use std::collections::HashSet;
use std::sync::Arc;

use super::condition::{Chain, Condition, End, Order, Reader};
use super::data::{DataSet, RecordId, Value};
use super::group::Groups;
use super::refusal::Refusal;
use super::restriction;
use super::schema::{Field, Kind, Object};
use crate::soql::{
    Argument, Call, Clause, ClauseKind, Item, Name, Path, Query, Statement, TokenKind, tokens,
};

/// A query, or a child query, ready to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) object: &'static Object,
    pub(super) shape: Shape,
    pub(super) filter: Option<Condition>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
}

/// What a result consists of.
#[derive(Debug)]
pub(super) enum Shape {
    Records(Vec<Column>),
    /// `COUNT()`: a number and no records.
    Count,
    Groups(Groups),
}

/// One key of a record.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) key: String,
    pub(super) content: Content,
}

/// The value of a key.
#[derive(Debug)]
pub(super) enum Content {
    /// A field of the record itself, under its name or an alias; formatted if so it says.
    Own(End, bool),
    Parent(&'static Field, Vec<Column>),
    TypeOf(&'static Field, Vec<(&'static Object, Vec<Column>)>, Option<Vec<Column>>),
    Child(&'static Object, &'static str, Arc<Plan>),
}

/// A column of a result without nesting.
#[derive(Debug)]
pub(super) struct Flat {
    /// As the query spells it: `account.name` for `Account.Name`.
    pub(super) name: String,
    pub(super) chain: Chain,
    /// Whether it is formatted.
    pub(super) formatted: bool,
}

/// Where names are looked up: an object, and what its aliases stand for.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) object: &'static Object,
    /// Names of the root itself.
    roots: Vec<String>,
    /// Aliases of parents: `FROM Contact c, c.Account a`.
    aliases: Vec<(String, Vec<&'static Field>)>,
}

/// The Name pseudo-object's fields, behind polymorphic relationships.
const NAME_FIELDS: [&str; 9] =
    ["Id", "Name", "Type", "FirstName", "LastName", "Email", "Phone", "Title", "Alias"];

/// The limits of the service.
const MAX_SOQL: usize = 100_000;
const MAX_HOPS: usize = 5;
const MAX_LEVELS: usize = 5;
const MAX_CHILD_QUERIES: usize = 20;
const MAX_OFFSET: usize = 2000;
const MAX_FIELDS_LIMIT: usize = 200;

/// A query's text and the org it is asked of.
pub(super) struct Planner<'q> {
    pub(super) data: &'q DataSet,
    pub(super) query: &'q str,
    pub(super) all_rows: bool,
    /// Whether the query is a semi-join's.
    nested: bool,
}

impl<'q> Planner<'q> {
    /// Plans a query.
    pub(super) fn plan(data: &'q DataSet, text: &'q str, all_rows: bool) -> Result<Plan, Refusal> {
        Planner::read(data, text, all_rows, false)
    }

    fn read(data: &'q DataSet, text: &'q str, all_rows: bool, nested: bool) -> Result<Plan, Refusal> {
        let text = text.trim();
        if text.chars().count() > MAX_SOQL {
            return Err(Refusal::new(
                "MALFORMED_QUERY",
                "SOQL statements can not be longer than 100000 characters",
            ));
        }
        let planner = Planner { data, query: text, all_rows, nested };
        let query = Query::parse(text).map_err(|error| Refusal::syntax(text, &error))?;
        planner.order_of_clauses(&query.statement)?;
        let root = &query.statement.from[0];
        let name = &root.path.segments[0];
        let object = (root.path.segments.len() == 1).then(|| data.object(&name.text)).flatten();
        // An object that the user may not see is as good as none.
        let object = object.ok_or_else(|| {
            let reason = format!(
                "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
                dotted(&root.path)
            );
            Refusal::at(text, name.span.start, "INVALID_TYPE", &reason)
        })?;
        restriction::check_object(object)?;
        let plan = planner.statement(&query.statement, object, text.len(), 1)?;
        restriction::check(&plan)?;
        Ok(plan)
    }

    /// Refuses a clause that is in the wrong place or written twice, in child queries too. FOR may be repeated.
    fn order_of_clauses(&self, statement: &Statement) -> Result<(), Refusal> {
        for item in &statement.select {
            if let Item::Child(child) = item {
                self.order_of_clauses(child)?;
            }
        }
        for pair in statement.clauses.windows(2) {
            let is_in_order = pair[0].kind < pair[1].kind
                || pair[0].kind == ClauseKind::For && pair[1].kind == ClauseKind::For;
            if !is_in_order {
                return Err(Refusal::unexpected(self.query, self.keyword(&pair[1])));
            }
        }
        Ok(())
    }

    /// Where a clause's keyword is.
    fn keyword(&self, clause: &Clause) -> usize {
        let first = clause.tokens.first().map_or(self.query.len(), |token| token.span.start);
        let before: Vec<_> = tokens(self.query)
            .unwrap_or_default()
            .into_iter()
            .filter(|token| token.span.start < first)
            .collect();
        let words = clause.kind.keyword().split(' ').count();
        before.len().checked_sub(words).map_or(first, |at| before[at].span.start)
    }

    /// The ids that a semi-join's query selects.
    pub(super) fn ids(&self, text: &str) -> Result<HashSet<RecordId>, Refusal> {
        if self.nested {
            return Err(Refusal::new("MALFORMED_QUERY", "Nesting of semi join sub-selects is not supported"));
        }
        let plan = Planner::read(self.data, text, self.all_rows, true)?;
        let Shape::Records(columns) = &plan.shape else { return Err(Refusal::unexpected(text, 0)) };
        let [Column { content: Content::Own(End::Field(field), false), .. }] = columns.as_slice() else {
            return Err(Refusal::new("MALFORMED_QUERY", "semi join sub-selects can only query one id field"));
        };
        if !field.kind.is_id() {
            return Err(Refusal::new("MALFORMED_QUERY", "semi join sub-selects can only query id fields"));
        }
        let selection = super::query::select(self.data, &plan, self.all_rows);
        Ok(selection
            .rows(self.data, plan.object)
            .filter_map(|row| match (field.make)(row) {
                Value::Id(id) => Some(id),
                _ => None,
            })
            .collect())
    }

    fn statement(
        &self,
        statement: &Statement,
        object: &'static Object,
        end: usize,
        level: usize,
    ) -> Result<Plan, Refusal> {
        let scope = self.scope(statement, object)?;
        for clause in &statement.clauses {
            let is_known = match clause.kind {
                ClauseKind::Using => {
                    clause.tokens.len() == 2
                        && clause.tokens[0].is_word("SCOPE")
                        && clause.tokens[1].is_word("everything")
                        || matches!(clause.tokens.as_slice(), [only] if only.is_word("everything"))
                }
                ClauseKind::With => false,
                _ => true,
            };
            if !is_known {
                return Err(Refusal::unexpected(
                    self.query,
                    clause.tokens.first().map_or(end, |token| token.span.start),
                ));
            }
        }
        let limit = self.number(statement, ClauseKind::Limit, end)?;
        let offset = self.number(statement, ClauseKind::Offset, end)?.unwrap_or_default();
        if offset > MAX_OFFSET {
            return Err(Refusal::new("NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"));
        }
        let filter = match statement.clause(ClauseKind::Where) {
            Some(clause) => Some(self.reader(&scope, clause, end, None).condition()?),
            None => None,
        };
        let mut order = Vec::new();
        let order_by = statement.clause(ClauseKind::OrderBy);
        let shape = if statement.is_count() && statement.clause(ClauseKind::GroupBy).is_none() {
            if let Some(clause) = order_by {
                let at = clause.tokens.first().map_or(end, |token| token.span.start);
                return Err(Refusal::at(
                    self.query,
                    at,
                    "MALFORMED_QUERY",
                    "Grouped query is required for ORDER BY",
                ));
            }
            Shape::Count
        } else if statement.is_grouped() {
            let mut groups = self.groups(statement, &scope, end)?;
            if let Some(clause) = order_by {
                order = self.reader(&scope, clause, end, Some(&mut groups)).orders()?;
            }
            Shape::Groups(groups)
        } else {
            if let Some(clause) = statement.clause(ClauseKind::Having) {
                return Err(Refusal::unexpected(
                    self.query,
                    clause.tokens.first().map_or(end, |token| token.span.start),
                ));
            }
            if let Some(clause) = order_by {
                order = self.reader(&scope, clause, end, None).orders()?;
            }
            Shape::Records(self.columns(statement, &scope, limit, level)?)
        };
        Ok(Plan { object, shape, filter, order, limit, offset })
    }

    fn reader<'p>(
        &'p self,
        scope: &'p Scope,
        clause: &'p Clause,
        end: usize,
        groups: Option<&'p mut Groups>,
    ) -> Reader<'p> {
        let end = clause.tokens.last().map_or(end, |token| token.span.end);
        Reader { planner: self, scope, tokens: &clause.tokens, at: 0, end, groups }
    }

    fn number(&self, statement: &Statement, kind: ClauseKind, end: usize) -> Result<Option<usize>, Refusal> {
        let Some(clause) = statement.clause(kind) else { return Ok(None) };
        match clause.tokens.as_slice() {
            [token]
                if token.kind == TokenKind::Literal
                    && token.text.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                Ok(Some(token.text.parse().unwrap_or(usize::MAX)))
            }
            [] => Err(Refusal::unexpected(self.query, end)),
            [token, rest @ ..] => {
                let is_number = token.text.bytes().all(|byte| byte.is_ascii_digit());
                let wrong = rest.first().filter(|_| is_number).unwrap_or(token);
                Err(Refusal::unexpected(self.query, wrong.span.start))
            }
        }
    }

    fn scope(&self, statement: &Statement, object: &'static Object) -> Result<Scope, Refusal> {
        let root = &statement.from[0];
        let mut roots = vec![root.path.last().to_owned(), object.name.to_owned()];
        roots.extend(root.alias.as_ref().map(|alias| alias.text.clone()));
        let mut scope = Scope { object, roots, aliases: Vec::new() };
        for source in &statement.from[1..] {
            let segments: Vec<&str> = source.path.segments.iter().map(Name::as_str).collect();
            let at = source.path.segments[0].span.start;
            let (hops, rest) = scope.begin(&segments);
            // A second object that is not a path from the first would be a join, and SOQL has none.
            if rest.len() == segments.len() {
                return Err(Refusal::unexpected(self.query, at));
            }
            let (hops, object) = self.walk(&scope, hops, rest, at, &dotted(&source.path))?;
            if object.is_none() {
                return Err(Refusal::unexpected(self.query, at));
            }
            let Some(alias) = &source.alias else { return Err(Refusal::unexpected(self.query, at)) };
            scope.aliases.push((alias.text.clone(), hops));
        }
        Ok(scope)
    }

    /// Follows relationships from the scope's object; `None` is the Name pseudo-object.
    fn walk(
        &self,
        scope: &Scope,
        mut hops: Vec<&'static Field>,
        relationships: &[&str],
        at: usize,
        path: &str,
    ) -> Result<(Vec<&'static Field>, Option<&'static Object>), Refusal> {
        let mut object = match hops.last() {
            Some(hop) => self.target(hop),
            None => Some(scope.object),
        };
        for relationship in relationships {
            let hop = object.and_then(|object| object.reference(relationship));
            // Where the user may not see the parent's object, there is no relationship.
            let hop = hop.filter(|hop| self.target(hop).is_some() || is_polymorphic(hop)).ok_or_else(|| {
                let reason = format!(
                    "Didn't understand relationship '{relationship}' in field path. If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the appropriate names."
                );
                Refusal::at(self.query, at, "INVALID_FIELD", &reason)
            })?;
            hops.push(hop);
            object = self.target(hop);
        }
        if hops.len() > MAX_HOPS {
            let reason = format!("The path '{path}' has more than {MAX_HOPS} relationships");
            return Err(Refusal::at(self.query, at, "INVALID_FIELD", &reason));
        }
        Ok((hops, object))
    }

    fn target(&self, hop: &Field) -> Option<&'static Object> {
        match hop.reference.as_ref()?.to {
            [only] => self.data.object(only),
            _ => None,
        }
    }

    pub(super) fn chain_of_text(&self, scope: &Scope, text: &str, at: usize) -> Result<Chain, Refusal> {
        let segments: Vec<&str> = text.split('.').collect();
        self.chain(scope, &segments, at)
    }

    fn chain(&self, scope: &Scope, segments: &[&str], at: usize) -> Result<Chain, Refusal> {
        let (hops, rest) = scope.begin(segments);
        let [relationships @ .., name] = rest else { return Err(Refusal::unexpected(self.query, at)) };
        let (hops, object) = self.walk(scope, hops, relationships, at, &segments.join("."))?;
        let end = match object {
            Some(object) => object.field(name).map(End::Field),
            None => NAME_FIELDS.into_iter().find(|known| known.eq_ignore_ascii_case(name)).map(End::Name),
        };
        let end = end.ok_or_else(|| {
            let reason = format!(
                "No such column '{name}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.",
                object.map_or("Name", |object| object.name)
            );
            Refusal::at(self.query, at, "INVALID_FIELD", &reason)
        })?;
        let mut path: Vec<&str> = hops.iter().map(|hop| relationship(hop)).collect();
        path.push(end.name());
        let path = path.join(".");
        Ok(Chain { hops, end, path })
    }

    fn path(&self, scope: &Scope, path: &Path) -> Result<Chain, Refusal> {
        let segments: Vec<&str> = path.segments.iter().map(Name::as_str).collect();
        self.chain(scope, &segments, place(path))
    }

    /// The columns of a query's result where records do not nest, in the order of the SELECT. Child queries and TYPEOF
    /// have none.
    pub(super) fn flat(data: &'q DataSet, text: &'q str, plan: &Plan) -> Result<Vec<Flat>, Refusal> {
        let text = text.trim();
        let planner = Planner { data, query: text, all_rows: false, nested: false };
        let query = Query::parse(text).map_err(|error| Refusal::syntax(text, &error))?;
        let scope = planner.scope(&query.statement, plan.object)?;
        let mut flat = Vec::new();
        for item in &query.statement.select {
            match item {
                Item::Field { path, .. } => {
                    let chain = planner.path(&scope, path)?;
                    flat.push(Flat { name: typed(&scope, &chain, path), chain, formatted: false });
                }
                Item::Function { call, .. } if call.name.eq_ignore_ascii_case("FIELDS") => {
                    for field in planner.listed(call, &scope, plan.limit)? {
                        let (hops, path) = (Vec::new(), field.name.to_owned());
                        let chain = Chain { hops, end: End::Field(field), path: path.clone() };
                        flat.push(Flat { name: path, chain, formatted: false });
                    }
                }
                Item::Function { call, alias } => {
                    let (chain, formatted) = planner.shown(&scope, call)?;
                    let mut name = chain.path.clone();
                    if let Some(alias) = alias {
                        name.truncate(name.len() - chain.key().len());
                        name.push_str(alias.as_str());
                    }
                    flat.push(Flat { name, chain, formatted });
                }
                Item::Child(_) | Item::TypeOf { .. } => {}
            }
        }
        Ok(flat)
    }

    fn columns(
        &self,
        statement: &Statement,
        scope: &Scope,
        limit: Option<usize>,
        level: usize,
    ) -> Result<Vec<Column>, Refusal> {
        let mut columns = Vec::new();
        let mut child_queries = 0;
        for item in &statement.select {
            match item {
                Item::Field { path, alias: Some(_) } => {
                    let reason = "only aggregate expressions use field aliasing";
                    return Err(Refusal::at(self.query, place(path), "MALFORMED_QUERY", reason));
                }
                Item::Field { path, alias: None } => {
                    let chain = self.path(scope, path)?;
                    self.insert(&mut columns, &chain.hops, named(chain.end), place(path))?;
                }
                Item::Function { call, .. } if call.name.eq_ignore_ascii_case("FIELDS") => {
                    for field in self.listed(call, scope, limit)? {
                        self.insert(&mut columns, &[], named(End::Field(field)), call.name.span.start)?;
                    }
                }
                Item::Function { call, alias } => {
                    let at = call.name.span.start;
                    let (chain, formatted) = self.shown(scope, call)?;
                    let key = alias.as_ref().map_or(chain.key(), Name::as_str).to_owned();
                    // An alias is where the field would be: inside its parents.
                    let column = Column { key, content: Content::Own(chain.end, formatted) };
                    self.insert(&mut columns, &chain.hops, column, at)?;
                }
                Item::Child(child) => {
                    child_queries += 1;
                    let at = place(&child.from[0].path);
                    if level == MAX_LEVELS || child_queries > MAX_CHILD_QUERIES {
                        let reason = if level == MAX_LEVELS {
                            "SOQL statements cannot query aggregate relationships more than 5 levels away from the root entity object."
                        } else {
                            "SOQL statements can have at most 20 sub-queries"
                        };
                        return Err(Refusal::at(self.query, at, "MALFORMED_QUERY", reason));
                    }
                    let column = self.child(child, scope, level)?;
                    self.push(&mut columns, column, at)?;
                }
                Item::TypeOf { relationship: path, whens, otherwise } => {
                    let column = self.type_of(scope, path, whens, otherwise.as_deref())?;
                    self.push(&mut columns, column, place(path))?;
                }
            }
        }
        Ok(columns)
    }

    /// `toLabel(f)`, `convertCurrency(f)`, `FORMAT(f)` and `FORMAT(convertCurrency(f))`: the field, and whether
    /// it is formatted. Labels are the values themselves, and there is one currency.
    fn shown(&self, scope: &Scope, call: &Call) -> Result<(Chain, bool), Refusal> {
        let at = call.name.span.start;
        let is = |name: &str| call.name.eq_ignore_ascii_case(name);
        let (chain, formatted) = match call.arguments.as_slice() {
            [Argument::Path(path)] => (self.path(scope, path)?, is("FORMAT")),
            [Argument::Call(inner)] if is("FORMAT") => (self.shown(scope, inner)?.0, true),
            _ => return Err(Refusal::unexpected(self.query, at)),
        };
        let kind = chain.kind();
        let fits = is("FORMAT")
            || is("toLabel") && matches!(kind, Kind::Picklist | Kind::MultiPicklist | Kind::Text)
            || is("convertCurrency") && kind == Kind::Currency;
        if fits { Ok((chain, formatted)) } else { Err(Refusal::unexpected(self.query, at)) }
    }

    /// The fields selected by `FIELDS()`.
    fn listed(
        &self,
        call: &Call,
        scope: &Scope,
        limit: Option<usize>,
    ) -> Result<Vec<&'static Field>, Refusal> {
        let at = call.name.span.start;
        let which = match call.arguments.as_slice() {
            [Argument::Path(path)] if path.segments.len() == 1 => path.last().to_ascii_uppercase(),
            _ => return Err(Refusal::unexpected(self.query, at)),
        };
        let takes: fn(&Field) -> bool = match which.as_str() {
            "ALL" => |_| true,
            "STANDARD" => |field| !field.is_custom(),
            "CUSTOM" => Field::is_custom,
            _ => return Err(Refusal::unexpected(self.query, at)),
        };
        if which != "STANDARD" && limit.is_none_or(|limit| limit > MAX_FIELDS_LIMIT) {
            let reason = "The SOQL FIELDS function must have a LIMIT of at most 200";
            return Err(Refusal::new("MALFORMED_QUERY", reason));
        }
        Ok(scope.object.fields.iter().filter(|field| takes(field)).collect())
    }

    fn child(&self, child: &Statement, scope: &Scope, level: usize) -> Result<Column, Refusal> {
        let path = &child.from[0].path;
        let name = match path.segments.as_slice() {
            [name] => name,
            [root, name] if scope.is_root(&root.text) => name,
            _ => return Err(Refusal::unexpected(self.query, place(path))),
        };
        let relationship = scope.object.child(&name.text).ok_or_else(|| {
            let reason = format!(
                "Didn't understand relationship '{}' in FROM part of query call. If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the appropriate names.",
                name.text
            );
            Refusal::at(self.query, name.span.start, "INVALID_TYPE", &reason)
        })?;
        let object = self.data.object(relationship.object);
        let object = object.ok_or_else(|| Refusal::unexpected(self.query, name.span.start))?;
        if child.is_grouped() {
            let reason = "A sub-select can not have aggregate functions or GROUP BY";
            return Err(Refusal::at(self.query, name.span.start, "MALFORMED_QUERY", reason));
        }
        let plan = self.statement(child, object, name.span.end, level + 1)?;
        Ok(Column {
            key: relationship.name.to_owned(),
            content: Content::Child(object, relationship.field, Arc::new(plan)),
        })
    }

    fn type_of(
        &self,
        scope: &Scope,
        path: &Path,
        whens: &[(Name, Vec<Path>)],
        otherwise: Option<&[Path]>,
    ) -> Result<Column, Refusal> {
        let at = place(path);
        let segments: Vec<&str> = path.segments.iter().map(Name::as_str).collect();
        let (hops, rest) = scope.begin(&segments);
        let reference = match (hops.as_slice(), rest) {
            ([], [name]) => scope.object.reference(name),
            _ => None,
        };
        let polymorphic =
            reference.filter(|field| field.reference.as_ref().is_some_and(|to| to.to.len() > 1));
        let reference = polymorphic.ok_or_else(|| {
            let reason = format!("'{}' is not a polymorphic relationship", dotted(path));
            Refusal::at(self.query, at, "INVALID_FIELD", &reason)
        })?;
        let mut branches = Vec::new();
        for (name, fields) in whens {
            let object = self
                .data
                .object(&name.text)
                .filter(|object| reference.reference.as_ref().is_some_and(|to| to.to.contains(&object.name)));
            let object = object.ok_or_else(|| {
                let reason = format!("'{}' is not a type that '{}' can have", name.text, dotted(path));
                Refusal::at(self.query, name.span.start, "INVALID_TYPE", &reason)
            })?;
            let inner = Scope { object, roots: Vec::new(), aliases: Vec::new() };
            let mut columns = Vec::new();
            for field in fields {
                let chain = self.path(&inner, field)?;
                self.insert(&mut columns, &chain.hops, named(chain.end), place(field))?;
            }
            branches.push((object, columns));
        }
        let otherwise = match otherwise {
            None => None,
            Some(fields) => {
                let mut columns = Vec::new();
                for field in fields {
                    let name = NAME_FIELDS.into_iter().find(|name| field.last().eq_ignore_ascii_case(name));
                    let name = name.filter(|_| field.segments.len() == 1).ok_or_else(|| {
                        let reason = format!("No such column '{}' on entity 'Name'.", dotted(field));
                        Refusal::at(self.query, place(field), "INVALID_FIELD", &reason)
                    })?;
                    self.insert(&mut columns, &[], named(End::Name(name)), place(field))?;
                }
                Some(columns)
            }
        };
        Ok(Column {
            key: relationship(reference).to_owned(),
            content: Content::TypeOf(reference, branches, otherwise),
        })
    }

    /// Puts a column where it belongs: paths through one parent share its object.
    fn insert(
        &self,
        columns: &mut Vec<Column>,
        hops: &[&'static Field],
        column: Column,
        at: usize,
    ) -> Result<(), Refusal> {
        let [hop, rest @ ..] = hops else { return self.push(columns, column, at) };
        let key = relationship(hop);
        let known = columns
            .iter()
            .position(|column| column.key == key && matches!(column.content, Content::Parent(..)));
        let place = match known {
            Some(place) => place,
            None => {
                let content = Content::Parent(hop, Vec::new());
                self.push(columns, Column { key: key.to_owned(), content }, at)?;
                columns.len() - 1
            }
        };
        match &mut columns[place].content {
            Content::Parent(_, inner) => self.insert(inner, rest, column, at),
            _ => Ok(()),
        }
    }

    fn push(&self, columns: &mut Vec<Column>, column: Column, at: usize) -> Result<(), Refusal> {
        if columns.iter().any(|known| known.key.eq_ignore_ascii_case(&column.key)) {
            let reason = format!("duplicate field selected: {}", column.key);
            return Err(Refusal::at(self.query, at, "INVALID_FIELD", &reason));
        }
        columns.push(column);
        Ok(())
    }
}

impl Scope {
    fn is_root(&self, name: &str) -> bool {
        self.roots.iter().any(|root| root.eq_ignore_ascii_case(name))
    }

    /// Takes the root's name or an alias off a path's front: the relationships that it stands for, and what is
    /// left of the path.
    fn begin<'s, 't>(&self, segments: &'s [&'t str]) -> (Vec<&'static Field>, &'s [&'t str]) {
        let [first, rest @ ..] = segments else { return (Vec::new(), segments) };
        if let Some((_, hops)) = self.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(first)) {
            return (hops.clone(), rest);
        }
        // A relationship of the same name comes first.
        let is_prefix = self.is_root(first) && !rest.is_empty() && self.object.reference(first).is_none();
        (Vec::new(), if is_prefix { rest } else { segments })
    }
}

fn is_polymorphic(hop: &Field) -> bool {
    hop.reference.as_ref().is_some_and(|reference| reference.to.len() > 1)
}

/// A field under its own name.
fn named(end: End) -> Column {
    Column { key: end.name().to_owned(), content: Content::Own(end, false) }
}

/// The relationship's name of a reference.
pub(super) fn relationship(field: &Field) -> &'static str {
    field.reference.as_ref().map_or("", |reference| reference.relationship)
}

/// A path in the query's spelling, with aliases resolved and without the name of the root.
fn typed(scope: &Scope, chain: &Chain, path: &Path) -> String {
    let segments: Vec<&str> = path.segments.iter().map(Name::as_str).collect();
    let (_, rest) = scope.begin(&segments);
    let behind_alias = chain.hops.len() + 1 - rest.len();
    let hops = chain.hops[..behind_alias].iter().map(|hop| relationship(hop));
    hops.chain(rest.iter().copied()).collect::<Vec<_>>().join(".")
}

fn place(path: &Path) -> usize {
    path.segments.first().map_or(0, |name| name.span.start)
}

fn dotted(path: &Path) -> String {
    path.segments.iter().map(Name::as_str).collect::<Vec<_>>().join(".")
}
