//! The text of a SOQL query → its select list → the columns of its export.
//! The select list and FROM are parsed in full, because the columns come from them. Clauses after FROM are kept as
//! tokens, because only the org can judge them. The text is sent to the org unchanged.

mod bulk;
mod columns;
mod count;
pub mod generate;
mod habits;
mod lexer;
mod mentions;
mod parser;
mod print;
mod window;
mod without_literals;

pub use bulk::{BulkColumn, BulkObstacle, BulkQuery, JsonEntry, JsonShape, JsonValue};
pub(crate) use columns::by_name as described_by_name;
pub use columns::{
    ColumnError, ColumnNames, ColumnRules, Columns, Described, Entry, Layout, Level, Node, OutputColumn,
    Rule, Table, UnusedRules, ValueKind, snake,
};
pub(crate) use count::CountQuery;
pub(crate) use habits::habit_of_sql;
pub use lexer::{Span, Token, TokenKind, tokens};
pub(crate) use mentions::{Mention, SemiJoin};
pub(crate) use parser::INSTEAD_OF_JOIN;
pub use window::{IncrementalObstacle, Window};

use std::fmt;

pub(crate) use without_literals::without_literals;

/// A query: its text as the user wrote it, and its parsed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The text, without white space at either end and without a final semicolon.
    pub text: String,
    /// The parsed text.
    pub statement: Statement,
}

impl Query {
    /// Parses a query.
    ///
    /// # Errors
    /// If the text is not a SELECT statement. The error shows the place.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let text = text.trim();
        let text = text.strip_suffix(';').unwrap_or(text).trim_end();
        Ok(Self { text: text.to_owned(), statement: parser::parse(text)? })
    }

    /// The text without the values in it, for readers who need not know them.
    #[must_use]
    pub fn without_literals(&self) -> String {
        without_literals(&self.text)
    }
}

/// A SELECT statement, or a child query in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The entries of the select list, in order.
    pub select: Vec<Item>,
    /// FROM: the first is the root, the others (`FROM Contact c, c.Account a`) name paths from it.
    pub from: Vec<Source>,
    /// The clauses after FROM, in order.
    pub clauses: Vec<Clause>,
}

impl Statement {
    /// The clause of this kind, if the statement has it.
    #[must_use]
    pub fn clause(&self, kind: ClauseKind) -> Option<&Clause> {
        self.clauses.iter().find(|clause| clause.kind == kind)
    }

    /// Whether the result consists of groups instead of records: the query has GROUP BY or an aggregate function.
    #[must_use]
    pub fn is_grouped(&self) -> bool {
        self.clause(ClauseKind::GroupBy).is_some()
            || self
                .select
                .iter()
                .any(|item| matches!(item, Item::Function { call, .. } if call.is_aggregate()))
    }

    /// The relationship in a child query's FROM: `Contacts`, also in `FROM Account.Contacts`.
    #[must_use]
    pub fn relationship(&self) -> Option<&Name> {
        self.from.first()?.path.segments.last()
    }

    /// The first object after FROM that is no path from the root (`FROM Account, Contact`), with the root.
    #[must_use]
    pub fn unrelated_object(&self) -> Option<(&Name, &Name)> {
        let (root, others) = self.from.split_first()?;
        let object = root.path.segments.last()?;
        let mut known = vec![object];
        known.extend(&root.alias);
        for other in others {
            let [first, rest @ ..] = other.path.segments.as_slice() else { continue };
            if rest.is_empty() || !known.iter().any(|name| name.eq_ignore_ascii_case(&first.text)) {
                return Some((object, first));
            }
            known.extend(&other.alias);
        }
        None
    }

    /// The names of the child queries, each before those nested in it: `Contacts`, `Contacts.Tasks`.
    #[must_use]
    pub fn child_queries(&self) -> Vec<String> {
        let mut names = Vec::new();
        for item in &self.select {
            if let Item::Child(child) = item
                && let Some(name) = child.relationship()
            {
                names.push(name.text.clone());
                names.extend(child.child_queries().iter().map(|inner| format!("{name}.{inner}")));
            }
        }
        names
    }

    /// Whether the select list is only `COUNT()`, whose result is a number instead of records.
    #[must_use]
    pub fn is_count(&self) -> bool {
        matches!(self.select.as_slice(), [Item::Function { call, alias: None }]
            if call.arguments.is_empty() && call.name.eq_ignore_ascii_case("COUNT"))
    }
}

/// One entry of a select list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `Name`, `Account.Owner.Name`. Only grouped queries have aliases here.
    Field {
        /// The path, as written.
        path: Path,
        /// Its alias.
        alias: Option<Name>,
    },
    /// `COUNT(Id) n`, `toLabel(Status)`, `FORMAT(convertCurrency(Amount)) a`, `FIELDS(ALL)`.
    Function {
        /// The call.
        call: Call,
        /// Its alias.
        alias: Option<Name>,
    },
    /// `(SELECT Id FROM Contacts)`.
    Child(Box<Statement>),
    /// `TYPEOF What WHEN Account THEN Phone ELSE Name END`.
    TypeOf {
        /// The polymorphic relationship.
        relationship: Path,
        /// The branches: object type → fields.
        whens: Vec<(Name, Vec<Path>)>,
        /// The fields of every other type.
        otherwise: Option<Vec<Path>>,
    },
}

/// A function call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function's name, as written.
    pub name: Name,
    /// Its arguments.
    pub arguments: Vec<Argument>,
}

impl Call {
    /// Whether it is an aggregate function, such as SUM.
    #[must_use]
    pub fn is_aggregate(&self) -> bool {
        ["COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX", "GROUPING"]
            .iter()
            .any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

/// An argument of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A field or a path.
    Path(Path),
    /// Another call.
    Call(Call),
    /// A string, number or other literal, as written.
    Literal(String),
}

/// A dotted path, as written: at least one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Its segments.
    pub segments: Vec<Name>,
}

impl Path {
    /// The last segment: the field itself.
    #[must_use]
    pub fn last(&self) -> &str {
        self.segments.last().map_or("", Name::as_str)
    }
}

impl From<&Token> for Path {
    /// A word as a path, with the place of each segment. If there is white space around the dots, which is rare, each
    /// segment has the place of the whole path.
    fn from(token: &Token) -> Self {
        let exact = token.span.end - token.span.start == token.text.len();
        let mut start = token.span.start;
        let segments = token.text.split('.').map(|segment| {
            let span = if exact { Span { start, end: start + segment.len() } } else { token.span };
            start += segment.len() + 1;
            Name { text: segment.to_owned(), span }
        });
        Self { segments: segments.collect() }
    }
}

/// A name with its place in the text. Names are compared by their spelling alone.
#[derive(Debug, Clone)]
pub struct Name {
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
}

impl Name {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is this name. Case does not matter in SOQL.
    #[must_use]
    pub fn eq_ignore_ascii_case(&self, other: &str) -> bool {
        self.text.eq_ignore_ascii_case(other)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Name {}

/// One entry of FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// An object's name, a child relationship's, or a path from an alias.
    pub path: Path,
    /// Its alias.
    pub alias: Option<Name>,
}

/// A clause after FROM, as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Which.
    pub kind: ClauseKind,
    /// Its tokens, without the keyword.
    pub tokens: Vec<Token>,
}

/// The clauses that may follow FROM, in the order of the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClauseKind {
    /// USING SCOPE
    Using,
    /// WHERE
    Where,
    /// WITH
    With,
    /// GROUP BY
    GroupBy,
    /// HAVING
    Having,
    /// ORDER BY
    OrderBy,
    /// LIMIT
    Limit,
    /// OFFSET
    Offset,
    /// FOR VIEW, FOR REFERENCE, FOR UPDATE
    For,
    /// UPDATE TRACKING, UPDATE VIEWSTAT
    Update,
}

impl ClauseKind {
    /// The keywords that begin the clause.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Using => "USING",
            Self::Where => "WHERE",
            Self::With => "WITH",
            Self::GroupBy => "GROUP BY",
            Self::Having => "HAVING",
            Self::OrderBy => "ORDER BY",
            Self::Limit => "LIMIT",
            Self::Offset => "OFFSET",
            Self::For => "FOR",
            Self::Update => "UPDATE",
        }
    }
}

/// Why a text is not a query that can be exported, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line, from 1.
    pub line: usize,
    /// The column in that line, in characters, from 1.
    pub column: usize,
    /// The line's text, for the caret.
    pub source: String,
}

impl SyntaxError {
    /// An error at this byte of a query's text.
    pub(crate) fn at(text: &str, byte: usize, reason: impl Into<String>) -> Self {
        let before = &text[..byte.min(text.len())];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            reason: reason.into(),
            hint: None,
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            source: text[start..].lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// The same error with what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for SyntaxError {
    /// Three lines: the reason with its place, the source line, and a caret below the place. The hint is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, reason, source, .. } = self;
        // Only the part of a long line around the place is shown.
        let first = if source.chars().count() > WINDOW { (column - 1).saturating_sub(WINDOW / 2) } else { 0 };
        let shown: String = source.chars().skip(first).take(WINDOW).collect();
        // Tabs are kept, so the caret is below its place.
        let before = source.chars().skip(first).take(column - 1 - first);
        let before: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
        write!(f, "line {line}, column {column}: {reason}\n  {shown}\n  {before}^")
    }
}

/// How many characters of a line are shown around an error.
const WINDOW: usize = 160;

impl std::error::Error for SyntaxError {}
