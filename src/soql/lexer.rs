//! The text of a query → tokens. White space is dropped, and everything else keeps its spelling. Characters without a
//! meaning in SOQL become tokens too, and the parser decides whether they are wrong.

use std::ops::Range;

use super::SyntaxError;
use crate::error::{code_point, is_invisible};

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

/// A token with its text. Tokens are compared by kind and spelling alone.
#[derive(Debug, Clone)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// As written, with quotes and escapes, but without white space inside a dotted name (`Account . Name`), after
    /// a sign (`- 5`) and around the colon of `LAST_N_DAYS : 30`.
    pub text: String,
    /// Where.
    pub span: Span,
}

impl Token {
    /// Whether it is this keyword. Case does not matter in SOQL.
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
    /// A number, a date, a datetime (anything that starts with a digit or a sign), `LAST_N_DAYS:30`, `USD5000.00`.
    Literal,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `=`, `!=`, `<>`, `<`, `<=`, `>`, `>=`
    Operator,
    /// A character that begins none of the others.
    Other,
}

/// The tokens of a query.
///
/// # Errors
/// If a string does not end, or if the text contains something that no query does: a comment, a double quote, a bind
/// variable or a semicolon.
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
            b'+' | b'-' if self.digit_at(self.after_space(start + 1)) => return Ok(Some(self.signed())),
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => return self.word().map(Some),
            _ => {
                self.certain_mistake(start)?;
                let character = self.text[start..].chars().next().map_or(1, char::len_utf8);
                self.take(character, TokenKind::Other)
            }
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
                None => {
                    return Err(self
                        .error(start, "this string has no closing quote")
                        .hint("add a ', or write \\' for one that is part of a text"));
                }
                Some(b'\'') => break,
                // The org decides which escapes are valid. Here they only matter for where the string ends.
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        Ok(TokenKind::String)
    }

    fn literal(&mut self) -> TokenKind {
        while self.byte(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || b"._:+-".contains(&b)) {
            self.at += 1;
        }
        TokenKind::Literal
    }

    /// A number with white space after its sign.
    fn signed(&mut self) -> Token {
        let start = self.at;
        let number = self.after_space(start + 1);
        self.at = number;
        let kind = self.literal();
        let text = format!("{}{}", &self.text[start..=start], &self.text[number..self.at]);
        Token { kind, text, span: (start..self.at).into() }
    }

    /// A word with its dots, or a literal that begins like one: `LAST_N_DAYS:30`, `USD5000.00`.
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
                    let mark = self.after_space(self.at);
                    let next = self.after_space(mark + 1);
                    match self.byte(mark) {
                        Some(b':') if self.digit_at(next) => {
                            self.at = next;
                            kind = self.literal();
                            text.push(':');
                            text.push_str(&self.text[next..self.at]);
                            break;
                        }
                        Some(b'.')
                            if self.byte(next).is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') =>
                        {
                            self.at = next;
                            text.push('.');
                            text.push_str(self.segment());
                        }
                        Some(b'.') if self.byte(next) == Some(b'*') => return Err(no_star(self.text, next)),
                        Some(b'.') => {
                            return Err(self
                                .error(next, "a dot is not followed by a name")
                                .hint("name a field after the dot, or remove the dot"));
                        }
                        _ => break,
                    }
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

    /// The place of the next character that is not white space.
    fn after_space(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + (rest.len() - rest.trim_start().len())
    }

    fn digit_at(&self, at: usize) -> bool {
        self.byte(at).is_some_and(|byte| byte.is_ascii_digit())
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn error(&self, at: usize, reason: impl Into<String>) -> SyntaxError {
        SyntaxError::at(self.text, at, reason)
    }

    /// Rejects what no query contains anywhere outside a string.
    fn certain_mistake(&self, at: usize) -> Result<(), SyntaxError> {
        let rest = &self.text[at..];
        let begins = |starts: &[&str]| starts.iter().any(|start| rest.starts_with(start));
        let next = self.after_space(at + 1);
        let name_follows = self.byte(next).is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let (reason, hint) = match rest.chars().next() {
            _ if begins(&["--", "//", "/*"]) => {
                ("SOQL has no comments".to_owned(), "write comments in the job's file, after a #")
            }
            Some('"') => ("SOQL does not use double quotes".to_owned(), "write strings as in 'text'"),
            Some('‘' | '’' | '‚' | '‛' | '“' | '”' | '„' | '`' | '´') => {
                ("this is not a straight single quote".to_owned(), "write strings as in 'text'")
            }
            Some(';') => (
                "there is text after the semicolon".to_owned(),
                "write one query; a semicolon can only end it",
            ),
            Some(':') if name_follows => {
                ("only Apex has bind variables".to_owned(), "write the value instead of the variable")
            }
            Some(c) if is_invisible(c) => {
                (format!("there is an invisible character here, {}", code_point(c)), "delete it")
            }
            _ => return Ok(()),
        };
        Err(self.error(at, reason).hint(hint))
    }
}

/// The error for a `*` at this byte.
pub(super) fn no_star(text: &str, at: usize) -> SyntaxError {
    SyntaxError::at(text, at, "SOQL has no *")
        .hint("list the fields, or export all of them with `object` instead of `soql` in a job")
}
