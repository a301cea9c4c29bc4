//! A SOQL query's text → its select list → the columns of its export.
//!
//! The select list and FROM are understood in full, because the columns come from them; every clause after
//! FROM is kept as tokens, because only the org can judge it. The text itself goes to the org untouched.

mod columns;
mod count;
pub mod generate;
mod lexer;
mod mentions;
mod parser;
mod print;
mod without_literals;

pub use columns::{
    ColumnError, ColumnNames, ColumnRules, Columns, Described, Entry, Layout, Level, Node, OutputColumn,
    Rule, Table, ValueKind, snake,
};
pub(crate) use count::CountQuery;
pub use lexer::{Span, Token, TokenKind, tokens};

use std::fmt;

pub(crate) use without_literals::without_literals;

/// A query: its text as the user wrote it, and what its text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The text, without white space at both ends and without a semicolon that ends it.
    pub text: String,
    /// What it says.
    pub statement: Statement,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// Where the text is no SELECT statement; the error shows the place.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let text = text.trim();
        let text = text.strip_suffix(';').unwrap_or(text).trim_end();
        Ok(Self { text: text.to_owned(), statement: parser::parse(text)? })
    }

    /// Its text without the values in it, for readers who need not know them.
    #[must_use]
    pub fn without_literals(&self) -> String {
        without_literals(&self.text)
    }
}

/// A SELECT statement, or a child query in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The select list, in its order.
    pub select: Vec<Item>,
    /// FROM: the first is the root, the others (`FROM Contact c, c.Account a`) name paths from it.
    pub from: Vec<Source>,
    /// The clauses after FROM, in their order.
    pub clauses: Vec<Clause>,
}

impl Statement {
    /// The clause of this kind, if the statement has it.
    #[must_use]
    pub fn clause(&self, kind: ClauseKind) -> Option<&Clause> {
        self.clauses.iter().find(|clause| clause.kind == kind)
    }

    /// Whether the result holds groups rather than records: it has GROUP BY, or an aggregate function.
    #[must_use]
    pub fn is_grouped(&self) -> bool {
        self.clause(ClauseKind::GroupBy).is_some()
            || self
                .select
                .iter()
                .any(|item| matches!(item, Item::Function { call, .. } if call.is_aggregate()))
    }

    /// The name that a child query's FROM gives its relationship: `Contacts` in `FROM Account.Contacts` too.
    #[must_use]
    pub fn relationship(&self) -> Option<&Name> {
        self.from.first()?.path.segments.last()
    }

    /// The names of the child queries, each before those of its own child queries: `Contacts`, `Contacts.Tasks`.
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

    /// Whether the select list is `COUNT()` alone, which gives no records but a number.
    #[must_use]
    pub fn is_count(&self) -> bool {
        matches!(self.select.as_slice(), [Item::Function { call, alias: None }]
            if call.arguments.is_empty() && call.name.eq_ignore_ascii_case("COUNT"))
    }
}

/// One entry of a select list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `Name`, `Account.Owner.Name`; an alias only where the query is grouped.
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
    /// Whether it makes the query an aggregate one (COUNT_DISTINCT, SUM, GROUPING ...).
    #[must_use]
    pub fn is_aggregate(&self) -> bool {
        ["COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX", "GROUPING"]
            .iter()
            .any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

/// What a function is called with.
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
    /// The path that a word is, with the place of each segment. If there is white space around its dots, which is rare,
    /// a segment's place is the whole path's.
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

/// A name with its place in the text. Two names are equal when they are spelled alike, wherever they stand.
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

    /// Whether it is this name; SOQL's names have no case.
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

/// A clause after FROM, as tokens: what stands behind its keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Which.
    pub kind: ClauseKind,
    /// Its tokens, without the keyword.
    pub tokens: Vec<Token>,
}

/// The clauses that may follow FROM, in the order that the grammar gives them.
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

/// Where and why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong, and what was expected.
    pub reason: String,
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
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            source: text[start..].lines().next().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for SyntaxError {
    /// Three lines: the reason with its place, the source line, the caret under the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, reason, source } = self;
        // Of a long line its part around the place.
        let first = if source.chars().count() > WINDOW { (column - 1).saturating_sub(WINDOW / 2) } else { 0 };
        let shown: String = source.chars().skip(first).take(WINDOW).collect();
        // A tab stays a tab, so that the caret stands under its place.
        let before = source.chars().skip(first).take(column - 1 - first);
        let before: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
        write!(f, "line {line}, column {column}: {reason}\n  {shown}\n  {before}^")
    }
}

/// How many characters of a line are shown around an error.
const WINDOW: usize = 160;

impl std::error::Error for SyntaxError {}
