//! Mistakes in what a user wrote: the place, the problem and the remedy. The readers of the configuration find them;
//! this module orders and prints them.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Exit, Failure, plain, plain_lines};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it was written.
    pub origin: Origin,
    /// The dotted key.
    pub key: Option<String>,
    /// What is wrong. Further lines show the place in a query.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What is wrong with something, and what to do about it. The reader that knows its place makes a [`Mistake`] of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: Some(hint.into()) }
    }

    /// With this hint, unless there is none.
    pub(crate) fn hinted(what: impl Into<String>, hint: Option<String>) -> Self {
        Self { what: what.into(), hint }
    }
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self { what, hint: None }
    }
}

impl From<&str> for Problem {
    fn from(what: &str) -> Self {
        what.to_owned().into()
    }
}

impl Mistake {
    pub(crate) fn new(origin: Origin, key: impl Into<Option<String>>, problem: impl Into<Problem>) -> Self {
        let Problem { what, hint } = problem.into();
        Self { origin, key: key.into(), what, hint }
    }

    /// The same with the key below a table (`"defaults."`).
    pub(crate) fn below(mut self, table: &str) -> Self {
        self.key = self.key.map(|key| format!("{table}{key}"));
        self
    }

    /// The same without the text at its place, which may hold the values of a query: for readers of a status page.
    fn redacted(&self) -> Self {
        match self.what.contains('\n') {
            true => {
                let problem =
                    Problem::new("this is not valid", "run `sfexport check --offline` to see where");
                Self::new(self.origin.clone(), self.key.clone(), problem)
            }
            false => self.clone(),
        }
    }

    /// The mistake without its hint, and the hint.
    #[must_use]
    pub fn split(mut self) -> (String, Option<String>) {
        let hint = self.hint.take();
        (self.to_string(), hint)
    }
}

impl fmt::Display for Mistake {
    /// `jobs/accounts.toml:3: timezone: "Europe/Berln" is not a time zone`, and the hint on a line below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Anywhere => {}
            origin => write!(f, "{}: ", plain(&origin.to_string()))?,
        }
        // The name of a variable or a flag includes the key.
        if let (Some(key), false) = (&self.key, matches!(self.origin, Origin::Variable(_) | Origin::Flag(_)))
        {
            write!(f, "{}: ", plain(key))?;
        }
        f.write_str(&plain_lines(&self.what))?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {}", plain(hint)))
    }
}

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nowhere in particular: something is missing, or the command line names a job that does not exist.
    Anywhere,
    /// A flag of the command line.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A file, as seen from the working directory; line and column count from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: Option<usize>,
        /// The column in characters, if the line alone is not enough.
        column: Option<usize>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere => Ok(()),
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File { path, line, column } => {
                write!(f, "{}", path.display())?;
                line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
                column.map_or(Ok(()), |column| write!(f, ":{column}"))
            }
        }
    }
}

/// Every mistake of one reading, ordered by file and line; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// `None` if there are no mistakes.
    pub(crate) fn of(mut mistakes: Vec<Mistake>) -> Option<Self> {
        mistakes.sort();
        mistakes.dedup();
        (!mistakes.is_empty()).then_some(Self(mistakes))
    }

    /// All of these together; `None` if there are none.
    #[must_use]
    pub fn together(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        Self::of(all.into_iter().flat_map(|mistakes| mistakes.0).collect())
    }

    pub(crate) fn one(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }

    /// The mistakes, ordered by file and line.
    #[must_use]
    pub fn as_slice(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = if let [only] = self.0.as_slice() {
            return only.fmt(f);
        } else {
            // A job that the command line names and nobody has written is not a mistake of the configuration.
            let asked = |mistake: &Mistake| mistake.origin == Origin::Anywhere && mistake.key.is_none();
            let subject = if self.0.iter().any(asked) { "there are" } else { "the configuration has" };
            writeln!(f, "{subject} {} mistakes:", self.0.len())?;
            "  "
        };
        for (at, mistake) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            let text = mistake.to_string().replace('\n', &format!("\n{indent}"));
            write!(f, "{indent}{text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        let redacted = Mistakes(mistakes.0.iter().map(Mistake::redacted).collect());
        let redacted = (redacted != mistakes).then(|| redacted.to_string());
        let (what, hint) = match mistakes.0.as_slice() {
            [only] => only.clone().split(),
            _ => (mistakes.to_string(), None),
        };
        Self { hint, redacted, ..Self::new(Exit::Configuration, what) }
    }
}

/// The candidate that this text is most likely a misspelling of.
pub(crate) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A paragraph is not a misspelled word, and computing its distance would be expensive.
    if text.len() > 80 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let text = plain(text);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&text, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(text.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "accounts"?`, or nothing.
pub(crate) fn did_you_mean<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(text, candidates).map(|near| format!("did you mean {}?", quoted(near)))
}

/// A value as a message shows it: quoted, on one line, and shortened if it is long.
pub(crate) fn quoted(text: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 80;
    if may_be_key(text) || has_password(text) {
        return "\"...\"".to_owned();
    }
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

/// The hint with the names there are, or with the first ones.
pub(crate) fn choose<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    const MAX_NAMES: usize = 20;
    let number = names.len();
    let some: Vec<_> = names.take(MAX_NAMES).collect();
    match (some.as_slice(), number.saturating_sub(MAX_NAMES)) {
        ([only], _) => format!("the only one is {only}"),
        (some, 0) => format!("choose one of {}", some.join(", ")),
        (some, more) => format!("choose one of {} and {more} more", some.join(", ")),
    }
}

/// Whether a text is the content of a file, and no path.
pub(crate) fn is_content(text: &str) -> bool {
    text.contains(['\n', '\r']) || may_be_key(text)
}

/// Whether a text is a URL with a password.
fn has_password(text: &str) -> bool {
    let login = text.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    login.is_some_and(|(login, _)| login.contains(':'))
}

/// Whether a text may be a private key in PEM or base64.
fn may_be_key(text: &str) -> bool {
    // Longer than most paths, and shorter than the smallest RSA key. Paths of this length have other characters too.
    const MIN_BASE64: usize = 200;
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    text.contains("-----BEGIN") || text.len() >= MIN_BASE64 && text.chars().all(is_base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_what_was_meant() {
        let keys = ["schedule", "timezone", "output", "org", "soql", "soql_file"];
        for (text, meant) in [
            ("shedule", Some("schedule")),
            ("time_zone", Some("timezone")),
            ("TimeZone", Some("timezone")),
            ("soql-file", Some("soql_file")),
            ("ogr", Some("org")),
            ("delimiter", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, keys), meant, "{text}");
        }
    }

    #[test]
    fn mistakes_are_listed_by_file_and_line() {
        let at = |path: &str, line| Origin::File { path: path.into(), line: Some(line), column: None };
        let mistakes = Mistakes::of(vec![
            Mistake::new(at("sfexport.toml", 9), "org.client_id".to_owned(), "b"),
            Mistake::new(at("jobs/a.toml", 2), None, "two\n  lines"),
            Mistake::new(Origin::Variable("SFEXPORT_ORG__KEY".into()), "org.key".to_owned(), "c"),
            Mistake::new(at("sfexport.toml", 1), "org".to_owned(), "a"),
        ])
        .unwrap();
        assert_eq!(
            mistakes.to_string(),
            "the configuration has 4 mistakes:\n  SFEXPORT_ORG__KEY: c\n  jobs/a.toml:2: two\n    lines\n  \
             sfexport.toml:1: org: a\n  sfexport.toml:9: org.client_id: b"
        );
        let failure = Failure::from(mistakes);
        assert_eq!(failure.exit.code(), 78);
        assert_eq!(
            failure.redacted.unwrap(),
            "the configuration has 4 mistakes:\n  SFEXPORT_ORG__KEY: c\n  jobs/a.toml:2: this is not valid\n    \
             hint: run `sfexport check --offline` to see where\n  sfexport.toml:1: org: a\n  sfexport.toml:9: org.client_id: b"
        );
    }
}
