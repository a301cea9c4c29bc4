//! What is wrong with text that is no TOML, for people who have never read its grammar: the parser's words, or what
//! was most likely meant; and the line itself, unless it may hold a secret.

use std::ops::Range;

use super::keys::{self, Key, Kind};
use super::mistake::quoted;

/// The parser's finding at these bytes of the text, in words and with its line.
pub(crate) fn explain(text: &str, found: Range<usize>, message: &str) -> String {
    let before = text.get(..found.start).unwrap_or(text);
    let from = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(from..).unwrap_or_default().lines().next().unwrap_or_default();
    let what = remedy(line, text.get(found).unwrap_or_default(), message)
        .or_else(|| inside_of_text(message))
        .unwrap_or_else(|| message.trim_end_matches(", expected nothing").to_owned());
    let column = before.get(from..).unwrap_or_default().chars().count();
    let window = if may_be_shown(line) { window(line, column) } else { String::new() };
    format!("is no TOML: {what}{window}")
}

/// Whether text begins on this line that does not end there, so that the lines below are taken for something else.
pub(crate) fn leaves_text_open(line: &str) -> bool {
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    ['"', '\'']
        .iter()
        .any(|quote| value.strip_prefix(*quote).is_some_and(|inner| closing(inner, *quote).is_none()))
}

/// Whether a line is one by itself: a known key and its value, or the head of a table.
pub(crate) fn begins_anew(line: &str) -> bool {
    line.trim_start().starts_with('[')
        || line.split_once('=').is_some_and(|(name, _)| !named(name.trim()).is_empty())
}

/// What is wrong in the midst of text of several lines, or at its end.
fn inside_of_text(message: &str) -> Option<String> {
    if message.starts_with("missing escaped value") {
        return Some(
            "a backslash begins an escape here; write it twice, or the text between ''' and '''".to_owned(),
        );
    }
    let quotes = match message {
        "invalid multi-line basic string, expected `\"`" => "\"\"\"",
        "invalid multi-line literal string, expected `'`" => "'''",
        _ => return None,
    };
    Some(format!("the closing {quotes} is missing"))
}

/// What was most likely meant; `None` where the parser's own words say as much.
fn remedy(line: &str, found: &str, message: &str) -> Option<String> {
    if message == "duplicate key" {
        return Some(match line.trim_start().starts_with('[') {
            true => format!("the table {} is written twice; put its keys into one", quoted(found)),
            false => format!("the key {} is written twice; keep one of them", quoted(found)),
        });
    }
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let Some((name, value)) = line.split_once('=').map(|(name, value)| (name.trim(), value.trim())) else {
        let name = line.trim().split([':', ' ', '\t']).next().unwrap_or_default();
        return (!named(name).is_empty())
            .then(|| format!("`=` parts a key from its value: {}", in_quotes(name, "\"")));
    };
    let one_word = name.replace(' ', "_");
    if one_word != name && !named(&one_word).is_empty() {
        return Some(format!("a key is one word: `{one_word}`"));
    }
    if !is_name(name) {
        return None;
    }
    let kind = named(name).first().map(|key| key.kind);
    match (value.chars().next(), kind) {
        // A secret does not belong here at all, quoted or not.
        (_, Some(Kind::Secret)) => None,
        (Some('“' | '”' | '„' | '‟' | '‘' | '’' | '«' | '»'), _) => {
            Some(format!("the quotes are not straight ones; write {}", in_quotes(name, "\"")))
        }
        (Some(quote @ ('"' | '\'')), _) => of_text(name, value, quote, message),
        (Some('[' | '{'), _) => None,
        // The one number that people write with a leading zero.
        (_, Some(Kind::Mode)) => Some("a mode is written in quotes: file_mode = \"0640\"".to_owned()),
        (_, Some(kind @ (Kind::Whole(..) | Kind::Flag))) => Some(format!("`{name}` is {}", a(kind))),
        (None, _) => Some(format!("`{name}` has no value; text stands in quotes: {}", in_quotes(name, "\""))),
        // What begins as a word cannot be anything but text; what begins as a number may be a number.
        (Some(_), Some(_)) => Some(format!("text stands in quotes: {}", in_quotes(name, "\""))),
        (Some(first), None) => {
            first.is_alphabetic().then(|| format!("text stands in quotes: {}", in_quotes(name, "\"")))
        }
    }
}

/// What is wrong with a value that begins with a quote.
fn of_text(name: &str, value: &str, quote: char, message: &str) -> Option<String> {
    const SEVERAL: &str = "\"\"\"";
    let inner = value.strip_prefix(quote)?;
    // Of text in three quotes, or of a condition in its midst: nothing is escaped between single quotes.
    let escape = message.starts_with("missing escaped value") || message.starts_with("too few unicode");
    if inner.starts_with(&format!("{quote}{quote}")) || (escape && quote == '\'') {
        return None;
    }
    let end = closing(inner, quote);
    // A Windows directory's last backslash takes the closing quote along.
    if quote == '"' && (escape || end.is_none() && inner.ends_with("\\\"")) {
        return Some(format!(
            "between double quotes a backslash begins an escape; write single ones: {}",
            in_quotes(name, "'")
        ));
    }
    match end {
        None => Some(format!(
            "the closing {quote} is missing; text of several lines stands between {SEVERAL} and {SEVERAL}"
        )),
        Some(end) => {
            let rest = inner.get(end + 1..).unwrap_or_default().trim_start();
            (!rest.is_empty() && !rest.starts_with('#')).then(|| {
                format!(
                    "the text ends at its second {quote}; text that holds quotes stands between three: {}",
                    in_quotes(name, SEVERAL)
                )
            })
        }
    }
}

/// Where the text ends that began before.
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

fn in_quotes(name: &str, quotes: &str) -> String {
    format!("{name} = {quotes}...{quotes}")
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

/// Whether nothing in a line can be a secret: it is the head of a table, or begins with a known key that holds none.
/// A line inside text of several lines is neither, and a key that is pasted into a file has many of those.
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
    // Further keys on the line, a login in a URL, a key where its file's name belongs.
    let value: String = value.to_ascii_lowercase().split_whitespace().collect();
    let suspicious = ["password", "key=", "webhook", "ping_url", "secret", "token", "-----"];
    let url = value.contains("://") && value.contains('@');
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/".contains(c);
    let pasted = value.split(|c| !base64(c)).any(|run| run.len() >= 40);
    open && !url && !pasted && !suspicious.iter().any(|word| value.contains(word))
}

/// The line, cut around a column (from 0) to what a terminal shows, and a caret below it.
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
    fn a_line_that_may_hold_a_secret_is_not_shown() {
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
