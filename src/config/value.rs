//! One value as written → the same value by its key's type. What a value means beside the others is judged
//! where it is used.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use figment::value::Value;
use jiff::{Span, SpanRelativeTo};
use toml::de::DeValue;

use super::keys::{Kind, range};
use super::mistake::{did_you_mean, quoted};
use crate::error::{code_point, is_invisible};
use crate::job::path_text;

/// A value as written.
pub(crate) enum Raw<'a> {
    /// In a file: the value, and the text that it was written as.
    Toml(&'a DeValue<'a>, &'a str),
    /// In the environment, as a flag or as a default: text, whatever the type.
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

/// Reads a value by its type; relative paths are taken from `base`. Durations become nanoseconds and sizes
/// bytes, both whole numbers.
///
/// # Errors
/// What was found and what was expected.
pub(crate) fn read(kind: Kind, raw: &Raw<'_>, base: &Path) -> Result<Value, String> {
    let shown = || raw.shown();
    match kind {
        Kind::Text => {
            let text = text(raw)?;
            if text.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(text.into()) }
        }
        Kind::Literal => Ok(text(raw)?.into()),
        Kind::Word => {
            let word = text(raw)?;
            match stray(word) {
                None if word.is_empty() => Err("is empty".to_owned()),
                None => Ok(word.into()),
                // A URL may hold a password.
                Some(what) if word.contains('@') && word.contains("://") => Err(what),
                Some(what) => Err(format!("{} {what}", shown())),
            }
        }
        // `0640` without quotes is no TOML, and `640` would mean something else.
        Kind::Mode => match text(raw) {
            Ok(text) => match mode(text) {
                Some(mode) => Ok(mode.into()),
                None => Err(format!("{} is no file mode; write it in octal, as in \"0640\"", shown())),
            },
            Err(_) => Err("is written in quotes, as in \"0640\"".to_owned()),
        },
        Kind::Secret => match raw {
            Raw::Text(text) => Ok((*text).into()),
            // Never shown: a secret pasted into a file is still a secret.
            Raw::Toml(..) => Err("a secret does not belong in a file that others read".to_owned()),
        },
        Kind::Path => {
            let text = text(raw)?;
            if text.is_empty() {
                return Err("is empty".to_owned());
            }
            if text.contains('\0') {
                return Err(format!("{} holds a NUL", shown()));
            }
            if let Some(not_local) = path_text::not_local(text) {
                // `output` is no path but a template: what is left to be written is directories.
                return Err(format!("{} {}; {}", shown(), not_local.reason(), not_local.hint()));
            }
            if text.starts_with("~/") {
                return Err(format!(
                    "{} begins with `~`, which only a shell knows; write the whole path",
                    shown()
                ));
            }
            match base.join(text).to_str() {
                Some(path) => Ok(path.into()),
                None => Err(format!("{} lies in a directory whose name is not UTF-8", shown())),
            }
        }
        Kind::Duration(least) => {
            const FORM: &str = "as in \"30s\", \"10m\", \"1h30m\" or \"90 days\"";
            let text = match raw {
                Raw::Toml(DeValue::Integer(number), _) => {
                    return Err(format!("{number} has no unit; write a duration {FORM}"));
                }
                _ => text(raw).map_err(|_| format!("{} is no duration; write it {FORM}", shown()))?,
            };
            let duration = duration(text).ok_or_else(|| {
                if text.trim().parse::<u64>().is_ok() {
                    format!("{} has no unit; write a duration {FORM}", shown())
                } else {
                    format!("{} is no duration; write it {FORM}", shown())
                }
            })?;
            if duration < Duration::from_secs(least) {
                return Err(format!("{} is too short; the shortest is {least}s", shown()));
            }
            let nanos = u64::try_from(duration.as_nanos()).map_err(|_| format!("{} is too long", shown()))?;
            Ok(nanos.into())
        }
        Kind::Size => {
            const FORM: &str = "as in \"256 MB\" or \"1 GiB\"";
            let text = match raw {
                Raw::Toml(DeValue::Integer(number), _) => {
                    return Err(format!("{number} has no unit; write a size {FORM}"));
                }
                _ => text(raw).map_err(|_| format!("{} is no size; write it {FORM}", shown()))?,
            };
            let size = size(text).ok_or_else(|| format!("{} is no size; write it {FORM}", shown()))?;
            if size == 0 { Err(format!("{} is too small", shown())) } else { Ok(size.into()) }
        }
        Kind::Whole(min, max) => {
            let number = match raw {
                Raw::Text(text) => text.trim().parse::<u64>().ok(),
                Raw::Toml(DeValue::Integer(number), _) => {
                    // Digits may be parted by `_`, which the parser has removed already.
                    u64::from_str_radix(number.as_str().trim_start_matches('+'), number.radix()).ok()
                }
                Raw::Toml(DeValue::String(text), _) if text.trim().parse::<u64>().is_ok() => {
                    return Err(format!("{} is text; write the number without quotes", shown()));
                }
                Raw::Toml(..) => None,
            };
            match number {
                Some(number) if (min..=max).contains(&number) => Ok(number.into()),
                _ if is_whole(raw) => Err(format!("{} is out of range: {}", shown(), range(min, max))),
                _ => Err(format!("{} is no {}", shown(), kind.describe())),
            }
        }
        Kind::Flag => match raw {
            Raw::Toml(DeValue::Boolean(flag), _) => Ok((*flag).into()),
            Raw::Text("true") => Ok(true.into()),
            Raw::Text("false") => Ok(false.into()),
            Raw::Toml(DeValue::String(text), _) if matches!(text.as_ref(), "true" | "false") => {
                Err(format!("{} is text; write it without quotes", shown()))
            }
            _ => Err(format!("{} is neither true nor false", shown())),
        },
        Kind::Choice(choices) => {
            let text = text(raw)?;
            choice(text, choices).map(Into::into)
        }
        Kind::Choices(choices) => {
            let words = words(raw)?;
            if words.is_empty() {
                return Err(format!("is empty; write a {}", kind.describe()));
            }
            let words: Result<Vec<_>, _> = words.into_iter().map(|word| choice(word, choices)).collect();
            Ok(words?.into_iter().map(Value::from).collect::<Vec<_>>().into())
        }
        Kind::Words => Ok(words(raw)?.into_iter().map(Value::from).collect::<Vec<_>>().into()),
        Kind::Address => match text(raw)?.parse::<SocketAddr>() {
            Ok(address) => Ok(address.to_string().into()),
            Err(_) => {
                Err(format!("{} is no IP address and port; write it as in \"127.0.0.1:9090\"", shown()))
            }
        },
        Kind::Webhook => match url::Url::parse(text(raw).map_err(|_| "is no URL".to_owned())?) {
            // A parser of URLs passes over some of these, and encodes the others.
            _ if text(raw).is_ok_and(|text| stray(text).is_some()) => {
                Err(text(raw).ok().and_then(stray).unwrap_or_default())
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.as_str().into()),
            // Such URLs hold tokens: the message does not repeat it.
            _ => Err("is no http or https URL".to_owned()),
        },
    }
}

/// What does not belong into a text that is one word (a name, a key, an address), because it came along when the word
/// was copied: white space, quotation marks, characters that nobody sees.
fn stray(word: &str) -> Option<String> {
    let quote =
        |c: char| matches!(c, '"' | '“' | '”' | '„' | '‟' | '‘' | '’' | '‚' | '‛' | '«' | '»' | '`' | '´');
    // A user's name may have an apostrophe in it.
    if word.contains(quote) || word.starts_with('\'') || word.ends_with('\'') {
        return Some("holds a quotation mark; leave it out".to_owned());
    }
    let found = word.chars().find(|c| c.is_whitespace() || is_invisible(*c))?;
    Some(match found {
        '\n' | '\r' => "holds a line break".to_owned(),
        ' ' | '\t' => "holds white space".to_owned(),
        c if c.is_whitespace() => format!("holds white space, {}; delete it", code_point(c)),
        c => format!("holds an invisible character, {}; delete it", code_point(c)),
    })
}

/// Whether a value is a whole number, of whatever size.
fn is_whole(raw: &Raw<'_>) -> bool {
    match raw {
        Raw::Toml(DeValue::Integer(_), _) => true,
        Raw::Toml(..) => false,
        Raw::Text(text) => text.trim().parse::<i128>().is_ok(),
    }
}

fn text<'a>(raw: &Raw<'a>) -> Result<&'a str, String> {
    match raw {
        Raw::Text(text) => Ok(text),
        Raw::Toml(DeValue::String(text), _) => Ok(text.as_ref()),
        Raw::Toml(
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_),
            _,
        ) => Err(format!("{} is not text; write it in quotes: \"{}\"", raw.shown(), raw.shown())),
        Raw::Toml(..) => Err(format!("{} stands where text is expected", raw.shown())),
    }
}

/// The words of a list; one word alone is a list of one, and text parts them by commas where it has no lists.
fn words<'a>(raw: &Raw<'a>) -> Result<Vec<&'a str>, String> {
    match raw {
        Raw::Text(text) => Ok(text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()),
        Raw::Toml(DeValue::String(word), _) => Ok(vec![word.as_ref()]),
        Raw::Toml(DeValue::Array(items), _) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(word) => Ok(word.as_ref()),
                _ => Err(format!(
                    "{} holds an entry that is not text; write it as in [\"a\", \"b\"]",
                    raw.shown()
                )),
            })
            .collect(),
        Raw::Toml(..) => Err(format!("{} is no list; write it as in [\"a\", \"b\"]", raw.shown())),
    }
}

fn choice<'a>(text: &str, choices: &[&'a str]) -> Result<&'a str, String> {
    choices.iter().copied().find(|choice| *choice == text).ok_or_else(|| {
        let all: Vec<_> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
        let near = did_you_mean(text, choices.iter().copied());
        format!("{} is none of {}{near}", quoted(text), all.join(", "))
    })
}

/// A duration as a person writes it; days have 24 hours. `None` for what is none: a bare number, a negative
/// one, months and years, whose lengths differ.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    // The parser would also take `-10s`, `10s ago`, `PT10S` and `01:30:00`: one spelling is enough.
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

/// A size in bytes: kB, MB, GB count by 1000, KiB, MiB, GiB by 1024.
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
