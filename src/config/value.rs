//! Reads one value by its key's type. Rules that involve several values are checked where the values are used.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::{Dict, Value};
use jiff::{Span, SpanRelativeTo};
use toml::de::DeValue;

use super::keys::{Kind, range};
use super::mistake::{Problem, did_you_mean, is_content, nearest, quoted};
use crate::error::{code_point, is_invisible};
use crate::job::{AFTER_FIELDS, AfterError, check_after, path_text};
use crate::org::{ApiReserve, OrgId};
use crate::value::FieldType;

/// A value as written.
pub(crate) enum Raw<'a> {
    /// In a file: the value, and its text there.
    Toml(&'a DeValue<'a>, &'a str),
    /// In a variable, a flag or a default: text, whatever the type.
    Text(&'a str),
}

impl Raw<'_> {
    /// The value as a message shows it.
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Toml(DeValue::String(text), _) => quoted(text),
            Self::Toml(DeValue::Table(_), _) => "a table".to_owned(),
            Self::Toml(_, written) => quoted(written).trim_matches('"').to_owned(),
        }
    }
}

/// Reads a value by its type; of a table of columns, the value of one of them. Relative paths start at `base`. Durations become nanoseconds and sizes become bytes, both
/// as whole numbers.
///
/// # Errors
/// If the value is not of this type.
pub(crate) fn read(kind: Kind, raw: &Raw<'_>, base: &Path) -> Result<Value, Problem> {
    let shown = || raw.shown();
    match kind {
        Kind::Text => {
            let text = text(raw)?;
            if text.trim().is_empty() { Err(EMPTY.into()) } else { Ok(text.into()) }
        }
        Kind::Literal => Ok(text(raw)?.into()),
        Kind::Word => {
            let word = text(raw)?;
            match stray(word) {
                None if word.is_empty() => Err(EMPTY.into()),
                None => Ok(word.into()),
                // A URL may contain a password.
                Some((what, hint)) if word.contains('@') && word.contains("://") => {
                    Err(Problem::new(format!("the value {what}"), hint))
                }
                Some((what, hint)) => Err(Problem::new(format!("{} {what}", shown()), hint)),
            }
        }
        // `0640` without quotes is not TOML, and `640` would be another number.
        Kind::Mode => {
            let mode = text(raw).ok().and_then(mode);
            let hint = "write it in octal and in quotes, as in \"0640\"";
            mode.map(Into::into).ok_or_else(|| Problem::new(format!("{} is not a file mode", shown()), hint))
        }
        Kind::Secret => match raw {
            Raw::Text(text) => Ok((*text).into()),
            // Never shown: a secret in a file is still a secret.
            Raw::Toml(..) => Err("secrets are not allowed in this file".into()),
        },
        Kind::Path => path(raw, base),
        Kind::Duration(least) => {
            let duration =
                with_unit(raw, "duration", duration, "\"30s\", \"10m\", \"1h30m\" or \"90 days\"")?;
            if duration < Duration::from_secs(least) {
                return Err(Problem::new(
                    format!("{} is too short", shown()),
                    format!("write {least}s or more"),
                ));
            }
            let nanos = u64::try_from(duration.as_nanos()).map_err(|_| format!("{} is too long", shown()))?;
            Ok(nanos.into())
        }
        Kind::Size => match with_unit(raw, "size", size, "\"256 MB\" or \"1 GiB\"")? {
            0 => Err(format!("{} is too small", shown()).into()),
            size => Ok(size.into()),
        },
        Kind::Whole(min, max) => {
            let number = match raw {
                Raw::Text(text) => text.trim().parse::<u64>().ok(),
                Raw::Toml(DeValue::Integer(number), _) => {
                    // The parser has removed any `_` between digits.
                    u64::from_str_radix(number.as_str().trim_start_matches('+'), number.radix()).ok()
                }
                Raw::Toml(DeValue::String(text), _) if text.trim().parse::<u64>().is_ok() => {
                    return Err(Problem::new(
                        format!("{} is text", shown()),
                        "write the number without quotes",
                    ));
                }
                Raw::Toml(..) => None,
            };
            match number {
                Some(number) if (min..=max).contains(&number) => Ok(number.into()),
                _ => {
                    let what = if is_whole(raw) { "is out of range" } else { "is not a whole number" };
                    let hint = match max {
                        u64::MAX => format!("write {}", range(min, max)),
                        max => format!("write a number in the range {}", range(min, max)),
                    };
                    Err(Problem::new(format!("{} {what}", shown()), hint))
                }
            }
        }
        Kind::Flag => match raw {
            Raw::Toml(DeValue::Boolean(flag), _) => Ok((*flag).into()),
            Raw::Text("true") => Ok(true.into()),
            Raw::Text("false") => Ok(false.into()),
            Raw::Toml(DeValue::String(text), _) if matches!(text.as_ref(), "true" | "false") => {
                Err(Problem::new(format!("{} is text", shown()), "write it without quotes"))
            }
            _ => Err(format!("{} is neither true nor false", shown()).into()),
        },
        Kind::FlagOrText => match raw {
            Raw::Toml(DeValue::String(text), _) if matches!(text.as_ref(), "true" | "false") => {
                Err(Problem::new(format!("{} is text", shown()), "write it without quotes"))
            }
            Raw::Toml(DeValue::String(_), _) => read(Kind::Text, raw, base),
            _ => read(Kind::Flag, raw, base).map_err(|_| {
                Problem::new(format!("{} is not a path", shown()), "write true, false or a path")
            }),
        },
        Kind::TableOrFalse => {
            let is_table = match raw {
                Raw::Toml(DeValue::Table(_), _) => true,
                Raw::Toml(DeValue::Boolean(false), _) => false,
                _ => return Err(format!("{} is neither a table nor false", shown()).into()),
            };
            Ok(Dict::from([(IS_TABLE.to_owned(), is_table.into())]).into())
        }
        Kind::Choice(choices) => {
            let text = text(raw)?;
            choice(text, choices).map(Into::into)
        }
        Kind::Choices(choices) => {
            let words = words(raw)?;
            if words.is_empty() {
                return Err(Problem::new(EMPTY, format!("write a {}", kind.describe())));
            }
            let words: Result<Vec<_>, _> = words.into_iter().map(|word| choice(word, choices)).collect();
            Ok(words?.into_iter().map(Value::from).collect::<Vec<_>>().into())
        }
        Kind::Words => Ok(words(raw)?.into_iter().map(Value::from).collect::<Vec<_>>().into()),
        Kind::Command => command(raw, base),
        Kind::OrgId => match text(raw)? {
            "" => Err(EMPTY.into()),
            id => match OrgId::parse(id) {
                Ok(_) => Ok(id.into()),
                Err(error) => {
                    let hint = "copy the Organization ID from Company Information in Setup";
                    Err(Problem::new(format!("{} {error}", shown()), hint))
                }
            },
        },
        Kind::Reserve => reserve(raw),
        Kind::ColumnTypes => match text(raw)? {
            text if FieldType::parse(text).is_some() => Ok(text.into()),
            text => {
                let what = format!("{} is not a type", quoted(text));
                let hint = did_you_mean(text, FieldType::NAMES).unwrap_or_else(|| {
                    if text.starts_with("decimal") {
                        let most = FieldType::MAX_PRECISION;
                        return format!(
                            "write decimal(P,S) with P from 1 to {most} and S from 0 to P, as in decimal(18,2)"
                        );
                    }
                    format!("choose one of {}, decimal(P,S)", FieldType::NAMES.join(", "))
                });
                Err(Problem::new(what, hint))
            }
        },
        Kind::ColumnNames => match text(raw)? {
            text if text.trim().is_empty() => Err(EMPTY.into()),
            text if text.trim() != text || text.chars().any(char::is_control) => {
                let what = format!("{} has white space at an end, or a control character", shown());
                Err(Problem::new(what, "remove it"))
            }
            text => Ok(text.into()),
        },
        Kind::Address => match text(raw)?.parse::<SocketAddr>() {
            Ok(address) => Ok(address.to_string().into()),
            Err(_) => {
                let what = format!("{} is not an IP address and a port", shown());
                Err(Problem::new(what, "write it as in \"127.0.0.1:9090\""))
            }
        },
        Kind::Webhook => {
            // Such URLs contain tokens, so messages do not repeat them.
            const NOT_A_URL: &str = "the value is not an http or https URL";
            let text = text(raw).map_err(|_| NOT_A_URL)?;
            // A URL parser would skip some of these characters, and encode the others.
            if let Some((what, hint)) = stray(text) {
                return Err(Problem::new(format!("the value {what}"), hint));
            }
            let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            url.map(|url| url.as_str().into()).ok_or_else(|| NOT_A_URL.into())
        }
        Kind::PingUrl => {
            let written = text(raw).unwrap_or_default();
            let filled = ping_url(written, "job", "org");
            if filled.contains(['{', '}']) {
                let hint = "choose one of {job} {org}; `%7B` and `%7D` are the braces themselves";
                return Err(Problem::new("the value has a brace outside {job} and {org}", hint));
            }
            let read = match raw {
                Raw::Toml(DeValue::String(_), _) | Raw::Text(_) => {
                    read(Kind::Webhook, &Raw::Text(&filled), base)
                }
                raw => read(Kind::Webhook, raw, base),
            };
            read.map(|_| written.into())
        }
    }
}

/// The key that says whether a table is there, in the value of a [`Kind::TableOrFalse`].
pub(crate) const IS_TABLE: &str = "is_table";

/// The URL of a job and an org.
pub(crate) fn ping_url(template: &str, job: &str, org: &str) -> String {
    template.replace("{job}", job).replace("{org}", org)
}

const EMPTY: &str = "the value is empty";

/// Reads a program and its arguments. A program with a slash in its name is a path, which starts at `base`.
fn command(raw: &Raw<'_>, base: &Path) -> Result<Value, Problem> {
    if let Raw::Toml(DeValue::String(line), _) = raw {
        // Only a shell could split a line with quotes.
        let hint = match line.contains(['"', '\'', '\\', '$', '|', '>', '<', '&', ';']) {
            true => {
                "write a list of the program and its arguments, as in [\"upload\", \"{path}\"]".to_owned()
            }
            false => {
                let words: Vec<_> = line.split_whitespace().map(quoted).collect();
                format!("write a list: [{}]", words.join(", "))
            }
        };
        return Err(Problem::new(
            format!("{} is a single string, and no shell splits it", raw.shown()),
            hint,
        ));
    }
    let words = words(raw)?;
    let Some(program) = words.first() else {
        return Err(Problem::new("the list is empty", "remove this key to run no command"));
    };
    if program.trim().is_empty() {
        return Err(Problem::new(
            "the program's name is empty",
            "write the program first, then its arguments",
        ));
    }
    for word in &words {
        if word.contains('\0') {
            return Err(format!("{} contains a NUL", quoted(word)).into());
        }
        check_after(word).map_err(|error| {
            let (what, hint) = match error {
                AfterError::UnknownField(name) => (
                    format!("has the unknown field {{{name}}}"),
                    match nearest(&name, AFTER_FIELDS) {
                        Some(near) => format!("did you mean {{{near}}}?"),
                        None => format!(
                            "choose one of {}, or write `{{{{` and `}}}}` for the braces themselves",
                            AFTER_FIELDS.map(|field| format!("{{{field}}}")).join(" ")
                        ),
                    },
                ),
                AfterError::Unclosed => {
                    ("has a `{` without its `}`".to_owned(), "write `{{` for the brace itself".to_owned())
                }
                AfterError::Unopened => {
                    ("has a `}` without its `{`".to_owned(), "write `}}` for the brace itself".to_owned())
                }
            };
            Problem::new(format!("{} {what}", quoted(word)), hint)
        })?;
    }
    let mut words: Vec<_> = words.into_iter().map(str::to_owned).collect();
    if let Some(program) = words.first_mut().filter(|program| is_relative(program)) {
        // Braces in the directory's name are not fields.
        let base = base.display().to_string().replace('{', "{{").replace('}', "}}");
        let path: PathBuf = Path::new(&base).join(&*program).components().collect();
        *program = path.display().to_string();
    }
    Ok(words.into_iter().map(Value::from).collect::<Vec<_>>().into())
}

/// Whether a program is a path from the directory of its file, and not a name to be looked up in `PATH`.
fn is_relative(program: &str) -> bool {
    program.contains('/') && !program.starts_with(['/', '{'])
}

/// Reads a number of requests, or a percentage of them.
fn reserve(raw: &Raw<'_>) -> Result<Value, Problem> {
    let shown = raw.shown();
    let number = match raw {
        Raw::Text(text) | Raw::Toml(DeValue::String(_), text) if text.contains('%') => {
            let text = self::text(raw)?;
            return ApiReserve::parse(text).map(|_| text.into()).ok_or_else(|| {
                Problem::new(
                    format!("{shown} is not a percentage from 1% to 99%"),
                    "write a whole percentage, as in \"20%\"",
                )
            });
        }
        Raw::Text(text) => (*text).to_owned(),
        Raw::Toml(DeValue::Integer(number), _) => {
            let number = u64::from_str_radix(number.as_str().trim_start_matches('+'), number.radix());
            number.map_or_else(|_| "0".to_owned(), |number| number.to_string())
        }
        Raw::Toml(DeValue::String(text), _) if ApiReserve::parse(text).is_some() => {
            return Err(Problem::new(
                format!("{shown} is text without a percent sign"),
                format!(
                    "write \"{text}%\" for a percentage, or {text} without quotes for a number of requests"
                ),
            ));
        }
        Raw::Toml(..) => String::new(),
    };
    ApiReserve::parse(&number).map(|_| number.as_str().into()).ok_or_else(|| {
        let what = if is_whole(raw) {
            "is out of range"
        } else {
            "is neither a percentage nor a number of requests"
        };
        Problem::new(format!("{shown} {what}"), "write it as in \"20%\" or 5000")
    })
}

fn path(raw: &Raw<'_>, base: &Path) -> Result<Value, Problem> {
    let (text, shown) = (text(raw)?, raw.shown());
    if text.is_empty() {
        return Err(EMPTY.into());
    }
    if is_content(text) {
        let hint = "write the path of the file; the variable SFEXPORT_ORG__KEY takes a private key itself";
        return Err(Problem::new("this is the content of a file, not a path", hint));
    }
    if text.contains('\0') {
        return Err(format!("{shown} contains a NUL").into());
    }
    if let Some(not_local) = path_text::not_local(text) {
        return Err(Problem::new(format!("{shown} {}", not_local.reason()), not_local.hint()));
    }
    if text.starts_with("~/") {
        let what = format!("{shown} begins with `~`, which only a shell expands");
        return Err(Problem::new(what, "write the whole path"));
    }
    if let Some(variable) = path_text::shell_variable(text) {
        let what = format!("{shown} contains {variable}, which only a shell replaces");
        return Err(Problem::new(what, "write its value instead"));
    }
    match base.join(text).to_str() {
        Some(path) => Ok(path.into()),
        None => Err(format!("{shown} is in a directory whose name is not UTF-8").into()),
    }
}

/// Reads a number with a unit: a duration or a size.
fn with_unit<T>(
    raw: &Raw<'_>,
    noun: &str,
    read: impl Fn(&str) -> Option<T>,
    examples: &str,
) -> Result<T, Problem> {
    let (found, is_number) = match raw {
        Raw::Toml(DeValue::Integer(_), _) => (None, true),
        _ => match text(raw) {
            Ok(text) => (read(text), text.trim().parse::<u64>().is_ok()),
            Err(_) => (None, false),
        },
    };
    found.ok_or_else(|| {
        let what = match is_number {
            true => format!("{} has no unit", raw.shown()),
            false => format!("{} is not a {noun}", raw.shown()),
        };
        Problem::new(what, format!("write a {noun} as in {examples}"))
    })
}

/// What is wrong with a text that must be one word (a name, a key, an address), and what to do about it: white space,
/// quotation marks and invisible characters, which are often copied along with it.
fn stray(word: &str) -> Option<(String, &'static str)> {
    let quote =
        |c: char| matches!(c, '"' | '“' | '”' | '„' | '‟' | '‘' | '’' | '‚' | '‛' | '«' | '»' | '`' | '´');
    // A username may contain an apostrophe.
    if word.contains(quote) || word.starts_with('\'') || word.ends_with('\'') {
        return Some(("contains a quotation mark".to_owned(), "remove it"));
    }
    let found = word.chars().find(|c| c.is_whitespace() || is_invisible(*c))?;
    let what = match found {
        '\n' | '\r' => "contains a line break".to_owned(),
        ' ' | '\t' => "contains white space".to_owned(),
        c if c.is_whitespace() => format!("contains white space, {}", code_point(c)),
        c => format!("contains an invisible character, {}", code_point(c)),
    };
    Some((what, "remove it"))
}

/// Whether a value is a whole number of any size.
fn is_whole(raw: &Raw<'_>) -> bool {
    match raw {
        Raw::Toml(DeValue::Integer(_), _) => true,
        Raw::Toml(..) => false,
        Raw::Text(text) => text.trim().parse::<i128>().is_ok(),
    }
}

fn text<'a>(raw: &Raw<'a>) -> Result<&'a str, Problem> {
    match raw {
        Raw::Text(text) => Ok(text),
        Raw::Toml(DeValue::String(text), _) => Ok(text.as_ref()),
        Raw::Toml(
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_),
            _,
        ) => Err(Problem::new(format!("{} is not text", raw.shown()), format!("write \"{}\"", raw.shown()))),
        Raw::Toml(..) => Err(format!("{} is not text", raw.shown()).into()),
    }
}

/// The words of a list. A single word is a list of one. Outside of files, commas separate the words.
fn words<'a>(raw: &Raw<'a>) -> Result<Vec<&'a str>, Problem> {
    const HINT: &str = "write it as in [\"a\", \"b\"]";
    match raw {
        Raw::Text(text) => Ok(text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()),
        Raw::Toml(DeValue::String(word), _) => Ok(vec![word.as_ref()]),
        Raw::Toml(DeValue::Array(items), _) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(word) => Ok(word.as_ref()),
                _ => Err(Problem::new(format!("{} has an entry that is not text", raw.shown()), HINT)),
            })
            .collect(),
        Raw::Toml(..) => Err(Problem::new(format!("{} is not a list", raw.shown()), HINT)),
    }
}

fn choice<'a>(text: &str, choices: &[&'a str]) -> Result<&'a str, Problem> {
    choices.iter().copied().find(|choice| *choice == text).ok_or_else(|| {
        let all: Vec<_> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
        let what = format!("{} is not one of {}", quoted(text), all.join(", "));
        Problem::hinted(what, did_you_mean(text, choices.iter().copied()))
    })
}

/// A duration as people write it; a day has 24 hours. `None` for a number without a unit, a negative duration, and
/// months and years, whose lengths differ.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    // The parser also accepts `-10s`, `10s ago`, `PT10S` and `01:30:00`, but one spelling is enough.
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains(':') || text.ends_with("ago") {
        return None;
    }
    let span: Span = text.parse().ok()?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return None;
    }
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
}

/// Permission bits: three octal digits, with or without a leading zero.
fn mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
    let octal = digits.len() == 3 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten()
}

/// A size in bytes. kB, MB and GB are powers of 1000; KiB, MiB and GiB are powers of 1024.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("10s", 10),
            ("150s", 150),
            ("10m", 600),
            ("2h", 7200),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("90 days", 7_776_000),
            ("1 day", 86_400),
            ("2w", 1_209_600),
            ("1 hour, 5 minutes", 3900),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        for text in
            ["", "10", "s", "-10s", "10s ago", "PT10S", "01:30:00", "1 month", "1y", "10 parsecs", "ten"]
        {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("256 MB", 256_000_000),
            ("256MB", 256_000_000),
            ("1 GiB", 1_073_741_824),
            ("64 kB", 64_000),
            ("5 b", 5),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "256", "MB", "1.5 GB", "-1 MB", "256 Mbit", "99999999999999 GB"] {
            assert_eq!(size(text), None, "{text:?}");
        }
    }
}
