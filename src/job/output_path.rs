//! The output's path: a template with fields, checked when it is read and expanded for each run. It never looks at the
//! file system; `output` finds links that lead out of the root.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::error::{code_point, is_invisible};
use crate::job::{Codec, ExportKind, JobName, ObjectName, path_text, stage_name};
use crate::org::OrgName;

mod dates;

/// An output path with its template fields, checked when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputTemplate {
    text: String,
    root: PathBuf,
    pieces: Vec<Piece>,
}

/// What one run puts into the fields.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// `{job}`
    pub job: &'a JobName,
    /// `{org}`
    pub org: &'a OrgName,
    /// `{run_id}`
    pub run_id: &'a str,
    /// The timestamp of `{date}`, `{time}` and `{datetime}`.
    pub timestamp: Timestamp,
    /// The zone that it is written in.
    pub timezone: &'a TimeZone,
    /// `{kind}` and `{mark}` of an incremental export; `None` if it is not one, or before they are known.
    pub window: Option<(ExportKind, Timestamp)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Job,
    Org,
    RunId,
    /// Which object is not known before a set's run; [`OutputTemplate::of_object`] puts it in.
    Object,
    /// A strftime format.
    Instant(String),
    /// Whether an incremental export is a full one.
    Kind,
    /// A strftime format of an incremental export's new mark, in UTC.
    Mark(String),
}

impl Piece {
    /// Whether it may differ between the objects of one run of a set.
    fn is_of_one_object(&self) -> bool {
        matches!(self, Self::Object | Self::Kind | Self::Mark(_))
    }
}

/// The names of the fields, as a user may write them.
pub const FIELDS: [&str; 9] = ["job", "org", "object", "run_id", "date", "time", "datetime", "kind", "mark"];

impl OutputTemplate {
    /// Reads a template; a relative one is taken from `root`, the directory that no expansion may leave.
    /// `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// Where a field is unknown or unclosed, a date's format is none, or where no expansion could be a file
    /// below `root`.
    pub fn parse(text: &str, root: &Path) -> Result<Self, TemplateError> {
        if let Some(not_local) = path_text::not_local(text) {
            return Err(TemplateError::new(not_local.reason()).hint(not_local.hint()));
        }
        dates::check(text)?;
        let template = Self { text: text.to_owned(), root: clean(root), pieces: pieces(text)? };
        // Every rule that does not hang on the run is seen here, before a run is ever due. The last second of
        // a year with two-digit month, day and hour makes each format as long as it gets.
        let timestamp = Timestamp::from_second(4_102_444_799).unwrap_or_default();
        let sample = Fields {
            job: &JobName("job".to_owned()),
            org: &OrgName::default_org(),
            run_id: "20991231T235959Z-00000000",
            timestamp,
            timezone: &TimeZone::UTC,
            window: Some((ExportKind::Changes, timestamp)),
        };
        template.of_any_object().expand(&sample)?;
        Ok(template)
    }

    /// Whether the path depends on the object.
    #[must_use]
    pub fn has_object(&self) -> bool {
        self.pieces.contains(&Piece::Object)
    }

    /// Whether the path depends on the org.
    #[must_use]
    pub fn has_org(&self) -> bool {
        self.pieces.contains(&Piece::Org)
    }

    /// Whether the path depends on the run.
    #[must_use]
    pub fn has_run_id(&self) -> bool {
        self.pieces.contains(&Piece::RunId)
    }

    /// Whether the path depends on whether an incremental export is a full one.
    #[must_use]
    pub fn has_kind(&self) -> bool {
        self.pieces.contains(&Piece::Kind)
    }

    /// Whether the path depends on an incremental export's new mark.
    #[must_use]
    pub fn has_mark(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Mark(_)))
    }

    /// The template of one object of a set.
    #[must_use]
    pub fn of_object(&self, object: &ObjectName) -> Self {
        self.of_name(object.as_str())
    }

    /// The template of an object with the longest name that an org gives one, with a namespace.
    pub(crate) fn of_any_object(&self) -> Self {
        self.of_name(&"o".repeat(60))
    }

    fn of_name(&self, object: &str) -> Self {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Object => Piece::Literal(object.to_owned()),
            other => other.clone(),
        });
        Self { pieces: pieces.collect(), ..self.clone() }
    }

    /// A path without fields, taken as it is: the output of a query without a job file.
    #[must_use]
    pub fn fixed(path: &Path) -> Self {
        let root = path.parent().unwrap_or(path).to_owned();
        let text = path.display().to_string();
        Self { pieces: vec![Piece::Literal(text.clone())], text, root }
    }

    /// The template as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The directory that no expansion leaves.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path for one run: below [`OutputTemplate::root`], without `.` and `..`.
    ///
    /// # Errors
    /// Where the fields make it leave the root, or no file's path at all.
    pub fn expand(&self, fields: &Fields<'_>) -> Result<PathBuf, TemplateError> {
        self.below_root(&self.filled_in(fields)?)
    }

    fn filled_in(&self, fields: &Fields<'_>) -> Result<String, TemplateError> {
        let zoned = fields.timestamp.to_zoned(fields.timezone.clone());
        let mut text = String::with_capacity(self.text.len() + 16);
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Job => text.push_str(fields.job.as_str()),
                Piece::Org => text.push_str(fields.org.as_str()),
                Piece::RunId => text.push_str(fields.run_id),
                Piece::Object => {
                    return Err(TemplateError::new(
                        "has the field {object}, which only a set of objects fills in",
                    ));
                }
                Piece::Instant(format) => text.push_str(&written(&zoned, format)?),
                Piece::Kind | Piece::Mark(_) => {
                    let Some((kind, mark)) = fields.window else {
                        return Err(TemplateError::new(
                            "has the field {kind} or {mark}, which only an incremental export fills in",
                        ));
                    };
                    match piece {
                        Piece::Mark(format) => {
                            text.push_str(&written(&mark.to_zoned(TimeZone::UTC), format)?);
                        }
                        _ => text.push_str(kind.as_str()),
                    }
                }
            }
        }
        Ok(text)
    }

    /// The path of a file called `name` in the deepest directory that the outputs of all objects share, whatever
    /// objects there are, and whether they are exported in full.
    ///
    /// # Errors
    /// As for [`OutputTemplate::expand`].
    pub fn beside_objects(&self, name: &str, fields: &Fields<'_>) -> Result<PathBuf, TemplateError> {
        let before = self.pieces.iter().take_while(|piece| !piece.is_of_one_object()).cloned().collect();
        let text = Self { pieces: before, ..self.clone() }.filled_in(fields)?;
        let directory = text.rfind('/').map_or("", |end| &text[..=end]);
        self.below_root(&format!("{directory}{name}"))
    }

    fn below_root(&self, text: &str) -> Result<PathBuf, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::new("is empty").hint("name a file, as in \"accounts/{date}.csv\""));
        }
        if text == "~" || text.starts_with("~/") {
            return Err(
                TemplateError::new("begins with `~`, which only a shell expands").hint("write the full path")
            );
        }
        // Beside NUL, a tab or a line break would tear the line that a run prints.
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(TemplateError::new(format!("contains the control character {c:?}")));
        }
        // Joiners and selectors are part of some scripts' words and of emoji.
        let part_of_words = |c: char| matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
        if let Some(c) = text.chars().find(|c| is_invisible(*c) && !part_of_words(*c)) {
            let what = format!("contains an invisible character, {}", code_point(c));
            return Err(TemplateError::new(what).hint("delete it"));
        }
        if text.ends_with('/') || text.ends_with("/.") || text == "." {
            return Err(TemplateError::new("names a directory").hint("name a file in it"));
        }
        let path = Path::new(text);
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(TemplateError::new("contains `..`")
                .hint(format!("write a path below output_root, {}", self.root.display())));
        }
        let path = clean(path);
        let below = if path.is_absolute() {
            path.strip_prefix(&self.root).map(Path::to_owned).map_err(|_| {
                TemplateError::new("is outside output_root")
                    .hint(format!("write a path below {}, or set output_root", self.root.display()))
            })?
        } else {
            path
        };
        if below.as_os_str().is_empty() {
            return Err(TemplateError::new("names output_root itself").hint("name a file in it"));
        }
        if below.file_name().is_some_and(stage_name::is_stage) {
            return Err(TemplateError::new(
                "looks like the name of an unfinished export, which the next run would remove",
            )
            .hint("choose a name that does not end in .partial"));
        }
        Ok(self.root.join(below))
    }
}

/// The first field of a template in a text that is none, and so would be taken as it is.
#[must_use]
pub fn field_in(text: &str) -> Option<&str> {
    text.match_indices('{').find_map(|(start, _)| {
        let length = text[start..].find('}')?;
        let name = text[start + 1..start + length].split(':').next().unwrap_or_default();
        FIELDS.contains(&name).then(|| &text[start..=start + length])
    })
}

/// The path of a further file of an export, beside the file at `path`: `accounts.Contacts.csv` for `accounts.csv` and the part
/// `Contacts`, `accounts.Contacts.csv.gz` for `accounts.csv.gz`. A name without an extension gets the part at its end.
#[must_use]
pub fn beside(path: &Path, part: &str) -> PathBuf {
    let (mut name, extensions) = split_extensions(path);
    name.push(".");
    name.push(part);
    name.push(extensions);
    path.with_file_name(name)
}

/// The path of the manifest of an export to `path`: `accounts.manifest.json` for `accounts.csv` and `accounts.csv.gz`.
#[must_use]
pub fn manifest_beside(path: &Path) -> PathBuf {
    let (mut name, _) = split_extensions(path);
    name.push(".manifest.json");
    path.with_file_name(name)
}

/// The name of a path's file in two pieces: its stem, and its extension with that of a compression.
fn split_extensions(path: &Path) -> (OsString, OsString) {
    let with_dot = |extension: &OsStr| {
        let mut text = OsString::from(".");
        text.push(extension);
        text
    };
    let mut stem = Path::new(path.file_name().unwrap_or_default());
    let mut extensions = OsString::new();
    if let Some(extension) = stem.extension()
        && extension.to_str().is_some_and(|extension| Codec::of_extension(extension).is_some())
    {
        extensions = with_dot(extension);
        stem = Path::new(stem.file_stem().unwrap_or_default());
    }
    if let Some(extension) = stem.extension() {
        let mut both = with_dot(extension);
        both.push(extensions);
        extensions = both;
        stem = Path::new(stem.file_stem().unwrap_or_default());
    }
    (stem.as_os_str().to_owned(), extensions)
}

/// The first two of these paths that are one file where names differ by more than case.
pub fn collision<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Option<(&'p Path, &'p Path)> {
    let mut seen = HashMap::new();
    for path in paths {
        let folded = path.to_string_lossy().to_lowercase();
        if let Some(first) = seen.insert(folded, path) {
            return Some((first, path));
        }
    }
    None
}

/// Why a text is no output path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong, to stand behind the template.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The name of a field that is none, for a suggestion.
    pub unknown_field: Option<String>,
}

impl TemplateError {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None, unknown_field: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for TemplateError {}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(
                TemplateError::new("has a `}` without its `{`").hint("write `}}` for the brace itself")
            );
        }
        let Some(end) = rest.find('}') else {
            return Err(
                TemplateError::new("has a `{` without its `}`").hint("write `{{` for the brace itself")
            );
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(field(&rest[..end])?);
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

fn field(text: &str) -> Result<Piece, TemplateError> {
    let (name, format) = match text.split_once(':') {
        Some((name, format)) => (name, Some(format)),
        None => (text, None),
    };
    let default = match name {
        "date" => "%Y-%m-%d",
        "time" => "%H%M%S",
        "datetime" => "%Y%m%dT%H%M%S%z",
        "mark" => "%Y%m%dT%H%M%SZ",
        _ => {
            let piece = match name {
                "job" => Piece::Job,
                "org" => Piece::Org,
                "run_id" => Piece::RunId,
                "object" => Piece::Object,
                "kind" => Piece::Kind,
                _ => {
                    let hint = dates::meant_field(text);
                    return Err(TemplateError {
                        reason: format!("has the unknown field {{{name}}}"),
                        unknown_field: hint.is_none().then(|| name.to_owned()),
                        hint,
                    });
                }
            };
            return match format {
                None => Ok(piece),
                Some(_) => Err(TemplateError::new(format!("gives {{{name}}} a format"))
                    .hint("only {date}, {time}, {datetime} and {mark} take one")),
            };
        }
    };
    match format {
        Some("") => Err(TemplateError::new(format!("has an empty format in {{{text}}}"))
            .hint("write it as in {date:%Y/%m/%d}")),
        Some(format) if dates::is_constant(format) => {
            Err(TemplateError::new(format!("has the date format \"{format}\", which has no %"))
                .hint(dates::meant(name, format)))
        }
        format => {
            let format = format.unwrap_or(default).to_owned();
            Ok(if name == "mark" { Piece::Mark(format) } else { Piece::Instant(format) })
        }
    }
}

fn written(zoned: &Zoned, format: &str) -> Result<String, TemplateError> {
    jiff::fmt::strtime::format(format, zoned).map_err(|_| {
        TemplateError::new(format!("has the invalid date format \"{format}\""))
            .hint("write it as in {date:%Y/%m/%d}; `%%` is a percent sign")
    })
}

/// The path without `.`, doubled slashes and, as far as a path without a file system can tell, `..`.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(clean.components().next_back(), Some(Component::Normal(_))) => {
                clean.pop();
            }
            Component::ParentDir if clean.has_root() => {}
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/data/exports";

    fn parse(text: &str) -> Result<OutputTemplate, TemplateError> {
        OutputTemplate::parse(text, Path::new(ROOT))
    }

    /// 2026-11-22 02:00 in Berlin.
    fn expand(text: &str) -> Result<PathBuf, TemplateError> {
        let job = JobName::parse("accounts").unwrap();
        let org = OrgName::parse("emea").unwrap();
        let timezone = TimeZone::get("Europe/Berlin").unwrap();
        let fields = Fields {
            job: &job,
            org: &org,
            run_id: "r1",
            timestamp: "2026-11-22T01:00:00Z".parse().unwrap(),
            timezone: &timezone,
            window: None,
        };
        parse(text)?.expand(&fields)
    }

    #[test]
    fn a_further_file_lies_beside_the_output_with_its_part_before_the_ending() {
        for (path, expected) in [
            ("/x/accounts.csv", "/x/accounts.Contacts.csv"),
            ("/x/2026.11.22.csv", "/x/2026.11.22.Contacts.csv"),
            ("/x/2026.11.csv.gz", "/x/2026.11.Contacts.csv.gz"),
            ("/x/accounts.zst", "/x/accounts.Contacts.zst"),
            ("/x.d/accounts", "/x.d/accounts.Contacts"),
            ("/x/.csv", "/x/.csv.Contacts"),
        ] {
            assert_eq!(beside(Path::new(path), "Contacts"), Path::new(expected));
        }
    }

    #[test]
    fn a_manifest_lies_beside_its_output() {
        for (path, expected) in [
            ("/x/accounts.csv", "/x/accounts.manifest.json"),
            ("/x/accounts.csv.gz", "/x/accounts.manifest.json"),
            ("/x/2026.11.jsonl.ZST", "/x/2026.11.manifest.json"),
            ("/x.d/accounts", "/x.d/accounts.manifest.json"),
        ] {
            assert_eq!(manifest_beside(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn the_objects_of_a_set_share_a_directory() {
        let fields = Fields {
            job: &JobName::parse("backup").unwrap(),
            org: &OrgName::parse("emea").unwrap(),
            run_id: "r1",
            timestamp: "2026-11-22T01:00:00Z".parse().unwrap(),
            timezone: &TimeZone::UTC,
            window: None,
        };
        for (template, expected) in [
            ("{object}.csv", "m.json"),
            ("{org}/{date:%Y/%m}/{object}.csv", "emea/2026/11/m.json"),
            ("{org}/x-{object}/{date}.csv", "emea/m.json"),
            ("/data/exports/{object}/{object}.csv", "m.json"),
            ("{{x}}/{object}.csv", "{x}/m.json"),
            ("a/{kind}/{object}.csv", "a/m.json"),
            ("a/b-{mark:%Y}/{object}.csv", "a/m.json"),
        ] {
            let path = parse(template).unwrap().beside_objects("m.json", &fields).unwrap();
            assert_eq!(path, Path::new(ROOT).join(expected), "{template}");
        }
    }

    #[test]
    fn only_a_set_fills_in_the_object() {
        let template = parse("{object}/{object}.csv").unwrap();
        assert!(template.has_object() && !parse("{job}.csv").unwrap().has_object());
        assert!(expand("{object}.csv").unwrap_err().reason.contains("{object}"));
        let fields = Fields {
            job: &JobName::parse("backup").unwrap(),
            org: &OrgName::default_org(),
            run_id: "r1",
            timestamp: Timestamp::UNIX_EPOCH,
            timezone: &TimeZone::UTC,
            window: None,
        };
        let path = template.of_object(&ObjectName::parse("Account").unwrap()).expand(&fields).unwrap();
        assert_eq!(path, Path::new(ROOT).join("Account/Account.csv"));
        // An object's name must not make a file of a set look like the stage of another.
        assert!(parse(".{object}.csv.20261122T010000Z-1f2e3d4c.partial").is_err());
    }

    #[test]
    fn an_incremental_export_has_its_kind_and_mark() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let fields = Fields {
            job: &JobName::parse("backup").unwrap(),
            org: &OrgName::default_org(),
            run_id: "r1",
            timestamp: Timestamp::UNIX_EPOCH,
            timezone: &zone,
            window: Some((ExportKind::Changes, "2026-11-22T01:45:07.25Z".parse().unwrap())),
        };
        // The zone of the job does not matter: in summer or winter, a later mark has a later name.
        for (text, expected) in [
            ("{kind}-{mark}.csv", "changes-20261122T014507Z.csv"),
            ("{mark:%Y/%m/%d}/{mark:%H%M%z}.csv", "2026/11/22/0145+0000.csv"),
            ("{kind}/{date}.csv", "changes/1970-01-01.csv"),
        ] {
            assert_eq!(
                parse(text).unwrap().expand(&fields).unwrap(),
                Path::new(ROOT).join(expected),
                "{text}"
            );
        }
        let full = Fields { window: Some((ExportKind::Full, Timestamp::UNIX_EPOCH)), ..fields };
        let path = parse("{kind}-{mark}.csv").unwrap().expand(&full).unwrap();
        assert_eq!(path, Path::new(ROOT).join("full-19700101T000000Z.csv"));
        for text in ["{kind}.csv", "{mark}.csv"] {
            assert!(expand(text).unwrap_err().reason.contains("only an incremental export"), "{text}");
        }
        let has = |text| {
            let template = parse(text).unwrap();
            (template.has_kind(), template.has_mark(), template.has_run_id())
        };
        assert_eq!(has("{kind}-{run_id}.csv"), (true, false, true));
        assert_eq!(has("{mark:%Y}.csv"), (false, true, false));
    }

    #[test]
    fn paths_that_differ_by_case_alone_collide() {
        let paths = |texts: &[&'static str]| texts.iter().map(|text| Path::new(*text)).collect::<Vec<_>>();
        let two = paths(&["/x/A.csv", "/x/b.csv", "/x/a.csv"]);
        assert_eq!(collision(two.iter().copied()), Some((Path::new("/x/A.csv"), Path::new("/x/a.csv"))));
        assert_eq!(collision(paths(&["/x/a.csv", "/X/b.csv"])), None);
    }

    #[test]
    fn a_field_is_found_in_a_text_that_is_no_template() {
        for (text, found) in [
            ("a-{date}.csv", Some("{date}")),
            ("{x}/{date:%Y}.csv", Some("{date:%Y}")),
            ("{x}.csv", None),
            ("{date.csv", None),
            ("a.csv", None),
        ] {
            assert_eq!(field_in(text), found, "{text}");
        }
    }

    #[test]
    fn fields_are_written_in_the_zone_of_the_job() {
        for (template, path) in [
            ("accounts.csv", "accounts.csv"),
            ("{job}.csv", "accounts.csv"),
            ("{org}/{job}-{run_id}.jsonl", "emea/accounts-r1.jsonl"),
            ("accounts/{date}.csv", "accounts/2026-11-22.csv"),
            ("{date}T{time}.csv", "2026-11-22T020000.csv"),
            ("{datetime}.csv", "20261122T020000+0100.csv"),
            ("{date:%Y/%m/%d}/{time:%H-%M}.csv", "2026/11/22/02-00.csv"),
            ("{{{job}}}.csv", "{accounts}.csv"),
            ("./a//b/./c.csv", "a/b/c.csv"),
            ("/data/exports/a.csv", "a.csv"),
            ("/data//exports/./a.csv", "a.csv"),
            ("...csv", "...csv"),
        ] {
            assert_eq!(expand(template).unwrap(), Path::new(ROOT).join(path), "{template}");
        }
    }

    #[test]
    fn no_path_leaves_the_root() {
        for template in [
            "../a.csv",
            "a/../../b.csv",
            "a/..",
            "/etc/passwd",
            "/data/exports2/a.csv",
            "/data/exports/../a.csv",
            "/data/exports",
            "/data",
            ".",
            "",
            "a/",
            "a/.",
            "a\0b.csv",
            "a\tb.csv",
            "a\nb.csv",
            "{date:..}/a.csv",
            ".a.csv.{run_id}.partial",
            "x/.a.{run_id}.query.partial",
            ".a.csv.20261122T010000Z-1f2e3d4c.group.partial",
            ".a.{datetime:%Y%m%dT%H%M%SZ}-1f2e3d4c.partial",
            "{date:.}{date:.}/a.csv",
        ] {
            assert!(parse(template).is_err(), "{template:?}");
        }
    }

    #[test]
    fn a_run_whose_fields_would_leave_the_root_is_refused() {
        let (job, org) = (JobName::parse("accounts").unwrap(), OrgName::parse("emea").unwrap());
        let template = parse("{run_id}/a.csv").unwrap();
        for run_id in ["..", "a/../..", "\0"] {
            let fields = Fields {
                job: &job,
                org: &org,
                run_id,
                timestamp: Timestamp::UNIX_EPOCH,
                timezone: &TimeZone::UTC,
                window: None,
            };
            assert!(template.expand(&fields).is_err(), "{run_id:?}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_reason() {
        for (template, expected) in [
            ("{jobb}.csv", "has the unknown field {jobb}"),
            ("{}.csv", "has the unknown field {}"),
            ("{job.csv", "has a `{` without its `}`; write `{{` for the brace itself"),
            ("job}.csv", "has a `}` without its `{`; write `}}` for the brace itself"),
            ("{job:%Y}.csv", "gives {job} a format; only {date}, {time}, {datetime} and {mark} take one"),
            ("{date:}.csv", "has an empty format in {date:}; write it as in {date:%Y/%m/%d}"),
            (
                "{date:%!}.csv",
                "has the invalid date format \"%!\"; write it as in {date:%Y/%m/%d}; `%%` is a percent sign",
            ),
            (
                "{mark:YYYY-MM-DD}.csv",
                "has the date format \"YYYY-MM-DD\", which has no %; write {mark:%Y-%m-%d}",
            ),
            (
                "{mark:x}.csv",
                "has the date format \"x\", which has no %; write it as in {mark:%Y%m%dT%H%M%SZ}",
            ),
            ("{kind:%Y}.csv", "gives {kind} a format; only {date}, {time}, {datetime} and {mark} take one"),
            ("../a.csv", "contains `..`; write a path below output_root, /data/exports"),
            ("/etc/passwd", "is outside output_root; write a path below /data/exports, or set output_root"),
        ] {
            assert_eq!(parse(template).unwrap_err().to_string(), expected, "{template}");
        }
    }

    #[test]
    fn a_root_with_dots_is_the_directory_that_it_means() {
        let template =
            OutputTemplate::parse("/srv/exports/a.csv", Path::new("/srv/config/../exports/.")).unwrap();
        assert_eq!(template.root(), Path::new("/srv/exports"));
    }
}
