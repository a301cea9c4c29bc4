//! A query's text → tokens. White space falls away; everything else keeps its spelling.

use std::ops::Range;

use super::SyntaxError;

/// A place in a query's text: bytes, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A token with its text. Two tokens are equal when they are written alike, wherever they stand.
#[derive(Debug, Clone)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// As written, quotes and escapes included; of a dotted name without white space around its dots.
    pub text: String,
    /// Where.
    pub span: Span,
}

impl Token {
    /// Whether it is this keyword; SOQL's keywords have no case.
    #[must_use]
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }
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
    /// A keyword, or a name with its dots: `Account.Owner.Name`.
    Word,
    /// A string in single quotes.
    String,
    /// A number, a date, a datetime (whatever starts with a digit or a sign), `LAST_N_DAYS:30`, `USD5000.00`.
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

/// The tokens of a query.
///
/// # Errors
/// At the first character that no token begins with, and at a string that does not end.
pub fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, SyntaxError> {
        self.at = self.after_space(self.at);
        let start = self.at;
        let Some(first) = self.byte(start) else { return Ok(None) };
        let second = self.byte(start + 1);
        let kind = match first {
            b'(' => self.take(1, TokenKind::Open),
            b')' => self.take(1, TokenKind::Close),
            b',' => self.take(1, TokenKind::Comma),
            b'=' => self.take(1, TokenKind::Operator),
            b'!' if second == Some(b'=') => self.take(2, TokenKind::Operator),
            b'<' if matches!(second, Some(b'=' | b'>')) => self.take(2, TokenKind::Operator),
            b'>' if second == Some(b'=') => self.take(2, TokenKind::Operator),
            b'<' | b'>' => self.take(1, TokenKind::Operator),
            b'\'' => self.string()?,
            b'0'..=b'9' => self.literal(),
            b'+' | b'-' | b'.' if second.is_some_and(|b| b.is_ascii_digit() || b == b'.') => self.literal(),
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => return self.word().map(Some),
            _ => return Err(self.stranger(start)),
        };
        Ok(Some(Token { kind, text: self.text[start..self.at].to_owned(), span: (start..self.at).into() }))
    }

    fn take(&mut self, bytes: usize, kind: TokenKind) -> TokenKind {
        self.at += bytes;
        kind
    }

    fn string(&mut self) -> Result<TokenKind, SyntaxError> {
        let start = self.at;
        let mut at = start + 1;
        loop {
            match self.byte(at) {
                None => return Err(self.error(start, "this string has no closing quote")),
                Some(b'\'') => break,
                Some(b'\\') => at += self.escape(at)?,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        Ok(TokenKind::String)
    }

    /// The length of the escape that begins at this backslash.
    fn escape(&self, at: usize) -> Result<usize, SyntaxError> {
        match self.byte(at + 1) {
            Some(b'u' | b'U') => {
                let digits = self.text.as_bytes().get(at + 2..at + 6);
                if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    Ok(6)
                } else {
                    Err(self.error(at, "\\u wants four hexadecimal digits"))
                }
            }
            Some(b) if br#"nNrRtTbBfF"'\_%"#.contains(&b) => Ok(2),
            _ => Err(self.error(
                at,
                r#"a backslash escapes one of n r t b f " ' \ _ % or uXXXX; write \\ for itself"#,
            )),
        }
    }

    fn literal(&mut self) -> TokenKind {
        while self.byte(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || b"._:+-".contains(&b)) {
            self.at += 1;
        }
        TokenKind::Literal
    }

    /// A word with its dots, or what only looks like one: `LAST_N_DAYS:30`, `USD5000.00`.
    fn word(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at;
        let mut text = self.segment().to_owned();
        let mut kind = TokenKind::Word;
        loop {
            match (self.byte(self.at), self.byte(self.at + 1)) {
                (Some(b':' | b'.'), Some(b'0'..=b'9')) => {
                    let from = self.at;
                    kind = self.literal();
                    text.push_str(&self.text[from..self.at]);
                    break;
                }
                _ => {
                    let dot = self.after_space(self.at);
                    if self.byte(dot) != Some(b'.') {
                        break;
                    }
                    let next = self.after_space(dot + 1);
                    if !self.byte(next).is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') {
                        return Err(self.error(next, "a name must follow the dot"));
                    }
                    self.at = next;
                    text.push('.');
                    text.push_str(self.segment());
                }
            }
        }
        Ok(Token { kind, text, span: (start..self.at).into() })
    }

    fn segment(&mut self) -> &str {
        let start = self.at;
        while self.byte(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn after_space(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        at + (rest.len() - rest.trim_start().len())
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn error(&self, at: usize, reason: impl Into<String>) -> SyntaxError {
        SyntaxError::at(self.text, at, reason)
    }

    fn stranger(&self, at: usize) -> SyntaxError {
        let rest = &self.text[at..];
        let reason = match rest.chars().next() {
            Some('"') => "strings stand in single quotes".to_owned(),
            Some('*') => "SOQL has no *: name the fields, or use FIELDS(ALL)".to_owned(),
            Some(';') => "a query ends without a semicolon".to_owned(),
            Some(':') => "bind variables are Apex's; write the value itself".to_owned(),
            Some('-' | '/') if rest.starts_with("--") || rest.starts_with("/*") || rest.starts_with("//") => {
                "SOQL has no comments".to_owned()
            }
            Some(other) => format!("{other:?} is not expected here"),
            None => "the query ends too early".to_owned(),
        };
        self.error(at, reason)
    }
}
