//! How the org refuses: Salesforce's codes and bodies, and the window with a caret below the place in the query.

use super::render::json;
use crate::soql::{SyntaxError, Token, TokenKind, tokens};

/// A refusal of a REST request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    /// A refusal without a place: status 400.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into() }
    }

    /// A refusal with the place in the query, a byte offset.
    pub(super) fn at(query: &str, byte: usize, code: &'static str, reason: &str) -> Self {
        Self::new(code, format!("{}{reason}", place(query, byte)))
    }

    /// A token in the wrong place.
    pub(super) fn unexpected(query: &str, byte: usize) -> Self {
        let rest = query.get(byte..).unwrap_or_default();
        let length = rest
            .char_indices()
            .find(|(at, c)| !(c.is_alphanumeric() || *c == '_') && *at > 0)
            .map_or(rest.len(), |(at, _)| at);
        let token = if rest.is_empty() { "<EOF>" } else { &rest[..length] };
        Self::at(query, byte, "MALFORMED_QUERY", &format!("unexpected token: '{token}'"))
    }

    /// A text that is not a SELECT statement.
    pub(super) fn syntax(query: &str, error: &SyntaxError) -> Self {
        let line = query.split('\n').take(error.line - 1).map(|line| line.len() + 1).sum::<usize>();
        let rest = query.get(line..).unwrap_or_default();
        let column = rest.char_indices().nth(error.column - 1).map_or(rest.len(), |(at, _)| at);
        Self::unexpected(query, misspelt(query, line + column).unwrap_or(line + column))
    }
}

/// In `SELECT Id FORM Account` the word before the place is what is wrong, though it might have been an alias.
fn misspelt(query: &str, byte: usize) -> Option<usize> {
    let tokens = tokens(query).ok()?;
    let at = tokens.iter().position(|token| token.span.start == byte)?;
    let [.., field, word] = &tokens[..at] else { return None };
    let is_word = |token: &Token| token.kind == TokenKind::Word && !token.is_word("SELECT");
    (is_word(&tokens[at]) && is_word(word) && is_word(field)).then_some(word.span.start)
}

/// `\n<window>\n<spaces>^\nERROR at Row:1:Column:43\n`
fn place(query: &str, byte: usize) -> String {
    /// How far the window reaches to either side; real ones begin at a token at most so far before the place.
    const CONTEXT_CHARS: usize = 34;
    let byte = byte.min(query.len());
    let line_start = query[..byte].rfind('\n').map_or(0, |newline| newline + 1);
    let row = query[..byte].matches('\n').count() + 1;
    let column = query[line_start..byte].chars().count() + 1;
    let mut start = byte.saturating_sub(CONTEXT_CHARS);
    if start <= line_start {
        start = line_start;
    } else {
        while !query.is_char_boundary(start) {
            start += 1;
        }
        start = query[start..byte].find([' ', ',', '(', '\t']).map_or(start, |at| start + at + 1).min(byte);
        start += query[start..byte].len() - query[start..byte].trim_start().len();
    }
    let mut end = (byte + CONTEXT_CHARS).min(query.len());
    while !query.is_char_boundary(end) {
        end += 1;
    }
    let end = match query[byte..end].find('\n') {
        Some(newline) => byte + newline,
        None if end == query.len() => end,
        None => query[byte..end].rfind([' ', ',', '(']).map_or(end, |at| byte + at),
    };
    let window = &query[start..end.max(byte)];
    let caret = query[start..byte].chars().count();
    format!("\n{window}\n{}^\nERROR at Row:{row}:Column:{column}\n", " ".repeat(caret))
}

/// The body of a REST error.
pub(super) fn body(code: &str, message: &str) -> Vec<u8> {
    let mut out = b"[{\"message\":".to_vec();
    json::string(&mut out, message);
    out.extend_from_slice(b",\"errorCode\":");
    json::string(&mut out, code);
    out.extend_from_slice(b"}]");
    out
}

/// The body of an OAuth error.
pub(super) fn oauth_body(error: &str, description: &str) -> Vec<u8> {
    let mut out = b"{\"error\":".to_vec();
    json::string(&mut out, error);
    out.extend_from_slice(b",\"error_description\":");
    json::string(&mut out, description);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_one_that_was_recorded() {
        let query = "SELECT Id,Name,BillingCity,IsDeleted FROM Accout";
        assert_eq!(
            place(query, 42),
            "\nName,BillingCity,IsDeleted FROM Accout\n                                ^\nERROR at Row:1:Column:43\n"
        );
        assert_eq!(
            place("SELECT Id, Nope FROM Account", 11),
            "\nSELECT Id, Nope FROM Account\n           ^\nERROR at Row:1:Column:12\n"
        );
    }

    #[test]
    fn rows_and_columns_count_from_one() {
        assert_eq!(
            place("SELECT Id\nFROM  Acount", 16),
            "\nFROM  Acount\n      ^\nERROR at Row:2:Column:7\n"
        );
        assert_eq!(place("SELECT", 6), "\nSELECT\n      ^\nERROR at Row:1:Column:7\n");
    }
}
