//! What the SQL of every database has in common: comments, literals, names, and words for a shell.

use std::collections::HashMap;

use super::{Export, File, Mistake};
use crate::error::{hides, plain, plain_lines};
use crate::job::Format;

/// The width of comments.
const WIDTH: usize = 96;

/// Appends a comment of one or more lines.
pub(super) fn comment(out: &mut String, text: &str) {
    for line in plain_lines(text).lines() {
        out.push_str(format!("-- {line}").trim_end());
        out.push('\n');
    }
}

/// Appends a line of a command, which nothing else in a script looks like: `sed -n 's/^--   //p'` finds all of them.
/// [`check_hidden`] refuses the text that escaping would change.
pub(super) fn command(out: &mut String, text: &str) {
    out.push_str("--   ");
    out.push_str(&plain(text));
    out.push('\n');
}

/// Appends what the script is about: the files, and the query.
pub(super) fn begin(out: &mut String, export: &Export, database: &str) {
    let form = export.form.format.title();
    comment(out, &format!("The export \"{}\" ({form}) in {database}. The query:", export.job));
    for line in wrap(&export.soql, WIDTH) {
        // Indented, it would look like a command.
        comment(out, line.trim_start());
    }
    out.push('\n');
}

/// Appends a statement that makes a table.
pub(super) fn table(out: &mut String, create: &str, name: &str, columns: &[String]) {
    out.push_str(&format!("{create} {name} (\n    {}\n);\n\n", columns.join(",\n    ")));
}

/// A text in single quotes, which are doubled in it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name in double quotes, which are doubled in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes for the databases that read `E'\x01'`: control characters are written by their codes.
pub(super) fn escaped_literal(text: &str) -> String {
    if !text.contains(hides) {
        return literal(text);
    }
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\t' => escaped.push_str("\\t"),
            '\\' => escaped.push_str("\\\\"),
            '\'' => escaped.push_str("''"),
            c if c.is_ascii_control() => escaped.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    format!("E'{escaped}'")
}

/// A word of a POSIX shell, in quotes if it needs them. `printf` makes the characters that a script cannot show.
pub(super) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    if text.contains(hides) {
        let octal = |byte: u8| match byte {
            b' '..=b'~' if !matches!(byte, b'\'' | b'\\' | b'%') => char::from(byte).to_string(),
            byte => format!("\\{byte:03o}"),
        };
        return format!("\"$(printf '{}')\"", text.bytes().map(octal).collect::<String>());
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Finds the names that are the same to a database, which compares them by `key`.
pub(super) fn find_same<'n>(
    names: impl Iterator<Item = (&'n str, String)>,
    key: impl Fn(&str) -> String,
    mistakes: &mut Vec<Mistake>,
) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for (original, name) in names {
        if let Some(one) = seen.insert(key(&name), original) {
            mistakes.push(Mistake::Same { one: one.to_owned(), other: original.to_owned(), name });
        }
    }
}

/// Finds the text that a command cannot show exactly: the characters are invisible, so a script that holds them does not
/// do what it seems to. A control character in the token for null can be escaped.
pub(super) fn check_hidden(export: &Export, mistakes: &mut Vec<Mistake>) {
    for file in &export.files {
        if file.path.contains(hides) {
            mistakes.push(Mistake::Path(file.path.clone()));
        }
    }
    let null = &export.form.csv.null;
    let is_escapable = |c: char| c.is_ascii_control() && c != '\0';
    if export.form.format == Format::Csv && null.contains(|c| hides(c) && !is_escapable(c)) {
        mistakes.push(Mistake::Null(null.clone()));
    }
}

/// Finds the names that a command cannot show exactly.
pub(super) fn check_hidden_names(file: &File, mistakes: &mut Vec<Mistake>) {
    for column in &file.columns {
        let mut names = std::iter::once(&column.name).chain(&column.keys);
        mistakes.extend(names.find(|name| name.contains(hides)).cloned().map(Mistake::Hidden));
    }
}

/// Finds the tables of an export that are one to a database, and those whose names are too long.
pub(super) fn check_tables(
    export: &Export,
    limit: (usize, &'static str),
    key: impl Fn(&str) -> String,
    mistakes: &mut Vec<Mistake>,
) {
    let named: Vec<_> = export.files.iter().map(|file| (file, file.table(&export.job))).collect();
    for (_, name) in &named {
        if name.len() > limit.0 {
            mistakes.push(Mistake::Table { name: name.clone(), limit: limit.1 });
        }
    }
    let shown = |file: &File| file.child.clone().unwrap_or_else(|| export.job.clone());
    let shown: Vec<_> = named.iter().map(|(file, _)| shown(file)).collect();
    let names = shown.iter().map(String::as_str).zip(named.iter().map(|(_, name)| name.clone()));
    find_same(names, key, mistakes);
}

/// A query in lines of this width if that can be done at its spaces. A space in a literal stays one.
pub(crate) fn wrap(soql: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in soql.lines() {
        let mut start = 0;
        // The last space where the line can be broken.
        let mut space = None;
        let (mut in_literal, mut escaped) = (false, false);
        let mut length = 0;
        for (at, c) in line.char_indices() {
            match c {
                '\'' if !escaped => in_literal = !in_literal,
                ' ' if !in_literal => space = Some(at).filter(|at| *at > start).or(space),
                _ => {}
            }
            escaped = in_literal && c == '\\' && !escaped;
            length += 1;
            if let (true, Some(end)) = (length > width, space) {
                lines.push(line[start..end].to_owned());
                start = end + 1;
                space = None;
                length = line[start..at + c.len_utf8()].chars().count();
            }
        }
        lines.push(line[start..].trim_end().to_owned());
    }
    lines
}
