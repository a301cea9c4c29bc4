//! Explains TOML syntax errors to people who do not know its grammar, with the line itself, unless it may contain a
//! secret.

use std::ops::Range;

use super::keys::{self, Key, Kind};
use super::mistake::{Problem, quoted};

/// Explains the parser's error message at these bytes of the text. Gives the byte of the mistake too.
pub(crate) fn explain(text: &str, found: Range<usize>, message: &str) -> (usize, Problem) {
    let (at, Problem { what, hint }) = match left_open(text, found.start, message) {
        Some((at, closing)) => (at, format!("the closing {closing} is missing").into()),
        None => mistake(text, found, message),
    };
    let (from, line) = line_of(text, at);
    let column = text.get(from..at).unwrap_or_default().chars().count();
    let window = if may_be_shown(line) { window(line, column) } else { String::new() };
    (at, Problem::hinted(format!("invalid TOML: {what}{window}"), hint))
}

/// A mistake on the line where the parser stopped.
fn mistake(text: &str, found: Range<usize>, message: &str) -> (usize, Problem) {
    let (from, line) = line_of(text, found.start);
    let start = found.start;
    let Remedy { problem, at } = remedy(line, text.get(found).unwrap_or_default(), message)
        .or_else(|| inside_of_text(message).map(Remedy::from))
        .or_else(|| inside_of_list(message).map(Remedy::from))
        .unwrap_or_else(|| Problem::from(message.trim_end_matches(", expected nothing")).into());
    (at.map_or(start, |at| from + at), problem)
}

/// The first byte of the line that a byte is on, and the line.
fn line_of(text: &str, at: usize) -> (usize, &str) {
    let from = text.get(..at).unwrap_or(text).rfind('\n').map_or(0, |at| at + 1);
    (from, text.get(from..).unwrap_or_default().lines().next().unwrap_or_default())
}

/// Where a list or a text begins whose end is missing, and what would close it. The parser takes the lines below for its
/// elements and stops at one of them, or at the end.
fn left_open(text: &str, found: usize, message: &str) -> Option<(usize, &'static str)> {
    if message.starts_with("unclosed array") || message.starts_with("invalid multi-line") {
        return open_at(text, found);
    }
    let (from, line) = line_of(text, found);
    open_at(text, from).filter(|(_, closing)| *closing == "]" && is_a_new_entry(line))
}

/// The list or the text of several lines that is open at a byte: where it begins, and what closes it.
fn open_at(text: &str, end: usize) -> Option<(usize, &'static str)> {
    let text = text.get(..end)?;
    let after = |at: usize, sought: &str| {
        text.get(at..).and_then(|rest| rest.find(sought)).map(|found| at + found + sought.len())
    };
    let line_end = |at: usize| after(at, "\n").map_or(text.len(), |next| next - 1);
    let (mut open, mut in_value, mut at) = (Vec::new(), false, 0);
    while let Some(byte) = text.as_bytes().get(at) {
        let rest = text.get(at..).unwrap_or_default();
        at = match byte {
            b'\n' => {
                in_value &= !open.is_empty();
                at + 1
            }
            b'#' => line_end(at),
            b'=' => {
                in_value = true;
                at + 1
            }
            b'[' if in_value => {
                open.push(at);
                at + 1
            }
            // The head of a table.
            b'[' => line_end(at),
            b']' => {
                open.pop();
                at + 1
            }
            b'"' | b'\'' if rest.starts_with("\"\"\"") || rest.starts_with("'''") => {
                let quotes = if *byte == b'"' { "\"\"\"" } else { "'''" };
                match after(at + quotes.len(), quotes) {
                    Some(next) => next,
                    None => return Some((at, quotes)),
                }
            }
            b'"' | b'\'' => {
                let inner = text.get(at + 1..line_end(at)).unwrap_or_default();
                closing(inner, char::from(*byte)).map_or(line_end(at), |end| at + end + 2)
            }
            _ => at + 1,
        };
    }
    open.first().map(|at| (*at, "]"))
}

/// What was most likely meant.
struct Remedy {
    problem: Problem,
    /// The byte of the line where the mistake is, if that is not where the parser stopped.
    at: Option<usize>,
}

impl From<Problem> for Remedy {
    fn from(problem: Problem) -> Self {
        Self { problem, at: None }
    }
}

/// Whether a closing quote is missing on this line, which causes errors on the lines below.
pub(crate) fn leaves_text_open(line: &str) -> bool {
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    ['"', '\'']
        .iter()
        .any(|quote| value.strip_prefix(*quote).is_some_and(|inner| closing(inner, *quote).is_none()))
}

/// Whether a line is complete in itself: a known key with its value, or the head of a table.
pub(crate) fn is_a_new_entry(line: &str) -> bool {
    line.trim_start().starts_with('[')
        || line.split_once('=').is_some_and(|(name, _)| !named(name.trim()).is_empty())
}

/// Explains an error inside or at the end of multi-line text.
fn inside_of_text(message: &str) -> Option<Problem> {
    if message.starts_with("missing escaped value") {
        return Some(Problem::new(
            "a backslash begins an escape sequence here",
            "write it twice, or put the text between ''' and '''",
        ));
    }
    let quotes = match message {
        "invalid multi-line basic string, expected `\"`" => "\"\"\"",
        "invalid multi-line literal string, expected `'`" => "'''",
        _ => return None,
    };
    Some(format!("the closing {quotes} is missing").into())
}

/// Explains an error in a list or in the head of a table.
fn inside_of_list(message: &str) -> Option<Problem> {
    let is_unclosed = message.starts_with("unclosed array") || message.starts_with("unclosed table");
    match message {
        _ if is_unclosed => Some("the closing ] is missing".into()),
        _ if message.starts_with("missing comma between array elements") => {
            Some("a comma is missing in the list".into())
        }
        _ => None,
    }
}

/// Explains an error by what was most likely meant; `None` if the parser's own message is as good.
fn remedy(line: &str, found: &str, message: &str) -> Option<Remedy> {
    if message == "duplicate key" {
        let problem = match line.trim_start().starts_with('[') {
            true => Problem::new(format!("duplicate table {}", quoted(found)), "merge the tables"),
            false => Problem::new(format!("duplicate key {}", quoted(found)), "remove one of them"),
        };
        return Some(problem.into());
    }
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let Some((name, value)) = line.split_once('=') else {
        let name = line.trim().split([':', ' ', '\t']).next().unwrap_or_default();
        return (!named(name).is_empty())
            .then(|| Problem::new("there is no `=` after the key", write_in_quotes(name, "\"")).into());
    };
    let value_at = line.len() - value.trim_start().len();
    let (name, value) = (name.trim(), value.trim());
    let one_word = name.replace(' ', "_");
    if one_word != name && !named(&one_word).is_empty() {
        return Some(Problem::new("there is a space in the key", format!("write `{one_word}`")).into());
    }
    if !is_name(name) {
        return None;
    }
    let kind = named(name).first().map(|key| key.kind);
    let is_list = matches!(kind, Some(Kind::Words | Kind::Choices(_) | Kind::Command));
    let problem = match (value.chars().next(), kind) {
        // Secrets are not allowed here, with or without quotes.
        (_, Some(Kind::Secret)) => return None,
        (Some('“' | '”' | '„' | '‟' | '‘' | '’' | '«' | '»'), _) => {
            Problem::new("these are not straight quotes", write_in_quotes(name, "\""))
        }
        (Some(quote @ ('"' | '\'')), _) => {
            return of_text(name, value, quote, is_list, message).map(Remedy::from);
        }
        (Some('['), _) => {
            let element = value.get(1..).unwrap_or_default().trim_start();
            let is_word = is_list && element.starts_with(|c: char| c.is_alphabetic() || "*!_".contains(c));
            let at = value_at + value.len() - element.len();
            return is_word.then(|| Remedy {
                problem: Problem::new("text needs quotes", write_list(name)),
                at: Some(at),
            });
        }
        (Some('{'), _) => return None,
        // The only number that people write with a leading zero.
        (_, Some(Kind::Mode)) => Problem::new("file modes need quotes", "write file_mode = \"0640\""),
        (_, Some(kind @ (Kind::Whole(..) | Kind::Flag))) => {
            let what = format!("`{name}` has an invalid value");
            Problem::new(what, format!("write {}", a(kind)))
        }
        (None, _) => Problem::new(format!("`{name}` has no value"), write_in_quotes(name, "\"")),
        (Some(_), _) if is_list => Problem::new("a list needs brackets and quotes", write_list(name)),
        // A value that begins with a letter can only be text. One that begins with a digit may be a number.
        (Some(first), kind) if kind.is_some() || first.is_alphabetic() => {
            Problem::new("text needs quotes", write_in_quotes(name, "\""))
        }
        (Some(_), _) => return None,
    };
    // The parser stops in the middle of what it took for a number or a word of its own.
    Some(Remedy { problem, at: Some(value_at) })
}

/// Explains an error in a value that begins with a quote.
fn of_text(name: &str, value: &str, quote: char, is_list: bool, message: &str) -> Option<Problem> {
    const SEVERAL: &str = "\"\"\"";
    let inner = value.strip_prefix(quote)?;
    // In text between three quotes, or in a condition inside of it, single quotes do not disable escapes.
    let escape = message.starts_with("missing escaped value") || message.starts_with("too few unicode");
    if inner.starts_with(&format!("{quote}{quote}")) || (escape && quote == '\'') {
        return None;
    }
    let end = closing(inner, quote);
    // The last backslash of a Windows directory escapes the closing quote.
    if quote == '"' && (escape || end.is_none() && inner.ends_with("\\\"")) {
        return Some(Problem::new(
            "a backslash between double quotes begins an escape sequence",
            write_in_quotes(name, "'"),
        ));
    }
    match end {
        None => Some(Problem::new(
            format!("the closing {quote} is missing"),
            format!("add it, or put text of several lines between {SEVERAL} and {SEVERAL}"),
        )),
        Some(end) => {
            let rest = inner.get(end + 1..).unwrap_or_default().trim_start();
            if is_list && rest.starts_with(',') {
                return Some(Problem::new("a list needs brackets", write_list(name)));
            }
            (!rest.is_empty() && !rest.starts_with('#')).then(|| {
                Problem::new(format!("the text ends at the second {quote}"), write_in_quotes(name, SEVERAL))
            })
        }
    }
}

/// The place of the closing quote.
fn closing(inner: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn write_in_quotes(name: &str, quotes: &str) -> String {
    format!("write {name} = {quotes}...{quotes}")
}

fn write_list(name: &str) -> String {
    format!("write {name} = [\"...\", \"...\"]")
}

fn a(kind: Kind) -> String {
    match kind {
        Kind::Whole(..) => format!("a {}", kind.describe()),
        _ => kind.describe(),
    }
}

/// The keys of this name, in any table.
fn named(name: &str) -> Vec<&'static Key> {
    let last = |name: &'_ str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let name = last(name);
    keys::keys().filter(|key| last(key.name) == name).collect()
}

/// Whether a line contains no secret: it is the head of a table, or begins with a known key that is not secret. Lines of
/// multi-line text, such as a pasted private key, are neither.
fn may_be_shown(line: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "[]_-. \"".contains(c);
    if line.trim_start().starts_with('[') {
        return line.trim().chars().all(plain) && line.len() < 80;
    }
    let (name, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
    let name = name.trim();
    let keys = named(name);
    let open = !keys.is_empty()
        && !name.contains("password")
        && keys.iter().all(|key| !matches!(key.kind, Kind::Secret | Kind::Webhook));
    // More keys on the same line, a login in a URL, or a private key instead of its path.
    let value: String = value.to_ascii_lowercase().split_whitespace().collect();
    let suspicious = ["password", "key=", "webhook", "ping_url", "secret", "token", "-----"];
    let url = value.contains("://") && value.contains('@');
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/".contains(c);
    let pasted = value.split(|c| !base64(c)).any(|run| run.len() >= 40);
    open && !url && !pasted && !suspicious.iter().any(|word| value.contains(word))
}

/// The line, cut around a column (from 0) to the width of a terminal, with a caret below it.
fn window(line: &str, column: usize) -> String {
    const WIDTH: usize = 72;
    let all: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let first = if all.len() > WIDTH { column.saturating_sub(WIDTH - 12) } else { 0 };
    let shown: String = all.iter().skip(first).take(WIDTH).collect();
    let (before, after) =
        (if first > 0 { "..." } else { "" }, if first + WIDTH < all.len() { "..." } else { "" });
    let caret = " ".repeat(column - first + before.len());
    format!("\n  {before}{shown}{after}\n  {caret}^")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_may_contain_a_secret_is_not_shown() {
        for line in
            ["client_id = x", "[org", "soql = \"SELECT Id\" x", "key_file = server.key", "attempts: 5"]
        {
            assert!(may_be_shown(line), "{line}");
        }
        for line in [
            "key = hunter2",
            "key_password = hunter2",
            "key_password_file = hunter2",
            "org.key = hunter2",
            "webhook = https://hooks.example.com/hunter2",
            "login_url = https://me:hunter2@example.com",
            "org = { client_id = \"x\", key = hunter2 }",
            "username = \"x\" password = hunter2",
            "passwort = hunter2",
            "hunter2",
            "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ==",
            "key_file = MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ",
            "key_file = -----BEGIN PRIVATE KEY-----",
        ] {
            assert!(!may_be_shown(line), "{line}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("soql = \"{}\" x", "a".repeat(200));
        let shown = window(&line, 210);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[1], format!("  ...{}\" x", "a".repeat(58)));
        assert_eq!(lines[2].len(), lines[1].len());
        assert_eq!(window("a\tb", 2), "\n  a b\n    ^");
    }
}
