//! Dates as other tools write them, in an output's path: `YYYY-MM-DD`, `%Y-%m-%d` outside a field, `{{ ds }}`,
//! `$(date +%F)`. Taken literally, each would give one file that every run overwrites.

use super::{FIELDS, TemplateError};
use crate::job::path_text::shell_variable;

/// Refuses a template that holds such a date outside its fields.
pub(super) fn check(text: &str) -> Result<(), TemplateError> {
    if text.contains("$(") || text.contains("${") || text.contains('`') {
        let hint = "write a field: {date} is the day of the run, {date:%Y%m} its month";
        return Err(TemplateError::new("contains a substitution that only a shell makes").hint(hint));
    }
    if let Some(variable) = shell_variable(text) {
        return Err(TemplateError::new(format!("contains {variable}, which only a shell replaces"))
            .hint("write its value instead, or a field such as {date}"));
    }
    if let Some(found) = doubled_braces(text) {
        let name = found.trim_matches(['{', '}', ' ']);
        let field = if FIELDS.contains(&name.split(':').next().unwrap_or_default()) { name } else { "date" };
        return Err(TemplateError::new(format!("contains {found}, which is literal text"))
            .hint(format!("write a field in single braces: {{{field}}}")));
    }
    match in_fields(text) {
        Some(right) => Err(TemplateError::new("contains a date format outside a field")
            .hint(format!("write it as in \"{right}\""))),
        None => Ok(()),
    }
}

/// The names that Airflow's and other templates give to a run's date.
const OTHER_TOOLS: [&str; 9] = [
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "execution_date",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "now",
];

/// `{{date}}`, `{{ ds }}`: braces that are doubled around the name of a field, ours or another tool's.
fn doubled_braces(text: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(start) = text[from..].find("{{").map(|at| from + at) {
        let end = text[start..].find("}}").map(|at| start + at)?;
        let inner = text[start + 2..end].trim();
        let name = inner.split([':', ' ', '|', '.']).next().unwrap_or_default();
        if FIELDS.contains(&name) || OTHER_TOOLS.contains(&name) {
            return Some(&text[start..end + 2]);
        }
        from = start + 2;
    }
    None
}

/// The template with each date format outside a field put into one; `None` if there is none.
fn in_fields(text: &str) -> Option<String> {
    let mut right = String::with_capacity(text.len() + 16);
    let (mut found, mut depth, mut at) = (false, 0_usize, 0);
    while let Some(c) = text[at..].chars().next() {
        if depth == 0
            && let Some(length) = format_length(&text[at..])
        {
            let format = &text[at..at + length];
            right.push_str(&format!("{{{}:{format}}}", field_of(format)));
            found = true;
            at += length;
            continue;
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        right.push(c);
        at += c.len_utf8();
    }
    found.then_some(right)
}

/// How long the date format is that a text begins with, separators between its parts included.
fn format_length(text: &str) -> Option<usize> {
    let mut length = 0;
    let mut rest = text;
    loop {
        let separators = if length == 0 {
            0
        } else {
            rest.len() - rest.trim_start_matches(['-', '_', '/', '.', 'T', ' ']).len()
        };
        let Some(directive) = directive_length(&rest[separators..]) else { break };
        length += separators + directive;
        rest = &text[length..];
    }
    (length > 0).then_some(length)
}

/// `%Y`: a percent sign and a letter of strftime, which no word goes on behind, as in `100%done`.
fn directive_length(text: &str) -> Option<usize> {
    let mut chars = text.chars();
    let is_directive = chars.next() == Some('%')
        && chars.next().is_some_and(|c| "YyCGgmbBdejFDHIMSTRpPsVUWuaAz".contains(c));
    let ends = chars.next().is_none_or(|c| !c.is_ascii_alphanumeric() || c == 'T');
    (is_directive && ends).then_some(2)
}

/// The field that a format belongs into.
fn field_of(format: &str) -> &'static str {
    let has = |letters: &str| letters.chars().any(|letter| format.contains(&format!("%{letter}")));
    match (has("YyCGgmbBdejFDVUWuaA"), has("HIMSTRpPsz")) {
        (true, true) => "datetime",
        (false, true) => "time",
        _ => "date",
    }
}

/// Whether a format says the same at every time: nothing in it is replaced.
pub(super) fn is_constant(format: &str) -> bool {
    !format.is_empty() && !format.replace("%%", "").contains('%')
}

/// What to write instead of a format without `%`.
pub(super) fn meant(field: &str, format: &str) -> String {
    match translated(field, format) {
        Some(right) => format!("write {{{field}:{right}}}"),
        None if field == "mark" => "write it as in {mark:%Y%m%dT%H%M%SZ}".to_owned(),
        None => "write it as in {date:%Y-%m-%d}".to_owned(),
    }
}

/// What to write instead of an unknown field that is a date format itself: `{YYYY-MM-DD}`, `{%Y-%m-%d}`.
pub(super) fn meant_field(text: &str) -> Option<String> {
    if format_length(text) == Some(text.len()) {
        return Some(format!("write {{{}:{text}}}", field_of(text)));
    }
    let right = translated("date", text)?;
    Some(format!("write {{{}:{right}}}", field_of(&right)))
}

/// `YYYY-MM-DD` and its kind as strftime writes them; `None` for what holds any other letter.
fn translated(field: &str, format: &str) -> Option<String> {
    let mut right = String::new();
    let (mut rest, mut hour_before, mut found) = (format, field == "time", false);
    while let Some(first) = rest.chars().next() {
        // In bytes, which for a letter of ASCII is its number too.
        let run = rest.len() - rest.trim_start_matches(first).len();
        let of = |letter: char| first.eq_ignore_ascii_case(&letter);
        let directive = match run {
            _ if !first.is_ascii_alphabetic() => None,
            // Java's and Python's letters, whatever their case; minutes are those behind an hour.
            4 if of('y') => Some("%Y"),
            2 if of('y') => Some("%y"),
            3 if first == 'M' => Some("%b"),
            2 if of('m') && hour_before && (first == 'm' || field == "time" || right.contains("%m")) => {
                Some("%M")
            }
            2 if of('m') => Some("%m"),
            2 if of('d') => Some("%d"),
            3 if first == 'D' => Some("%j"),
            2 if of('h') => Some("%H"),
            2 if of('s') => Some("%S"),
            1 if first == 'T' => None,
            _ => return None,
        };
        match directive {
            Some(directive) => {
                hour_before |= directive == "%H";
                found = true;
                right.push_str(directive);
            }
            None => right.push_str(&rest[..run].replace('%', "%%")),
        }
        rest = &rest[run..];
    }
    found.then_some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_formats_of_other_tools_are_translated() {
        for (field, format, right) in [
            ("date", "YYYY-MM-DD", "%Y-%m-%d"),
            ("date", "yyyy/MM/dd", "%Y/%m/%d"),
            ("date", "yyyymmdd", "%Y%m%d"),
            ("date", "YY.MM", "%y.%m"),
            ("date", "dd-MMM-yyyy", "%d-%b-%Y"),
            ("datetime", "YYYYMMDDTHHmmss", "%Y%m%dT%H%M%S"),
            ("datetime", "yyyy-mm-dd_hh-mm-ss", "%Y-%m-%d_%H-%M-%S"),
            ("datetime", "YYYYMMDDHHMMSS", "%Y%m%d%H%M%S"),
            ("time", "HHMM", "%H%M"),
            ("time", "HH-mm", "%H-%M"),
        ] {
            assert_eq!(meant(field, format), format!("write {{{field}:{right}}}"), "{format}");
        }
        assert_eq!(meant("date", "YYYY年MM"), "write {date:%Y年%m}");
        for format in ["long", "v1", "YYYYY", "-", "2026", "年", "年年"] {
            assert_eq!(meant("date", format), "write it as in {date:%Y-%m-%d}", "{format}");
        }
        assert!(is_constant("YYYY") && is_constant("%%") && !is_constant("%Y") && !is_constant("%%%d"));
    }

    #[test]
    fn a_format_outside_a_field_is_put_into_one() {
        for (text, right) in [
            ("a-%Y-%m-%d.csv", "a-{date:%Y-%m-%d}.csv"),
            ("%Y/%m/%d/a.csv", "{date:%Y/%m/%d}/a.csv"),
            ("a_%Y%m%dT%H%M%S.csv", "a_{datetime:%Y%m%dT%H%M%S}.csv"),
            ("{job}/%Y/x-%H.csv", "{job}/{date:%Y}/x-{time:%H}.csv"),
            ("%F.csv", "{date:%F}.csv"),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("contains a date format outside a field; write it as in \"{right}\""),
                "{text}"
            );
        }
        for text in [
            "a.csv",
            "{date:%Y-%m-%d}.csv",
            "100%done.csv",
            "a%20b.csv",
            "50%.csv",
            "{{{job}}}.csv",
            "{{x}}.csv",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn another_templates_fields_are_told_from_ours() {
        for (text, hint) in [
            (
                "a-{{ ds }}.csv",
                "contains {{ ds }}, which is literal text; write a field in single braces: {date}",
            ),
            (
                "a-{{date}}.csv",
                "contains {{date}}, which is literal text; write a field in single braces: {date}",
            ),
            ("{{job}}.csv", "contains {{job}}, which is literal text; write a field in single braces: {job}"),
            (
                "a-$(date +%F).csv",
                "contains a substitution that only a shell makes; write a field: {date} is the day of the run, {date:%Y%m} \
                 its month",
            ),
            (
                "a-${DATE}.csv",
                "contains a substitution that only a shell makes; write a field: {date} is the day of the run, {date:%Y%m} \
                 its month",
            ),
        ] {
            assert_eq!(check(text).unwrap_err().to_string(), hint, "{text}");
        }
        assert_eq!(meant_field("YYYY-MM-DD").as_deref(), Some("write {date:%Y-%m-%d}"));
        assert_eq!(meant_field("%Y-%m-%d").as_deref(), Some("write {date:%Y-%m-%d}"));
        assert_eq!(meant_field("yyyyMMddHHmm").as_deref(), Some("write {datetime:%Y%m%d%H%M}"));
        assert_eq!(meant_field("jobb"), None);
    }
}
