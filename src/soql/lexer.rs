//! A query's text → tokens.

/// A place in a query's text: bytes, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A token with its text. Two tokens are equal when they are written alike, wherever they stand.
#[derive(Debug, Clone)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// As written, quotes and escapes included.
    pub text: String,
    /// Where.
    pub span: Span,
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.text == other.text
    }
}

impl Eq for Token {}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword, or a name with its dots: `Account.Owner.Name`; the dots may have white space around them.
    Word,
    /// A string in single quotes.
    String,
    /// A number, a date, a datetime, or a currency amount such as `USD5000`: whatever starts with a digit or a
    /// sign, and `LAST_N_DAYS:30`.
    Literal,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `=`, `!=`, `<>`, `<`, `<=`, `>`, `>=`
    Operator,
}
