//! Two templates, expanded for a run whose fields stand on the lines before them: a path is below its root and a
//! file's, whoever wrote it; what was read once can always be expanded; and two paths are equal where a plain
//! reading of both texts says so, which is what clashes are found by.
#![no_main]

use std::ffi::OsStr;
use std::path::{Component, Path};
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use sfexport::job::output_path::{Fields, OutputTemplate, beside};
use sfexport::job::{ExportKind, JobName, ObjectName};
use sfexport::org::OrgName;

static ZONES: LazyLock<Vec<TimeZone>> = LazyLock::new(|| {
    ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Pacific/Apia", "Etc/GMT+12"]
        .iter()
        .map(|name| TimeZone::get(name).expect("a zone"))
        .collect()
});

/// The object that replaces `{object}`.
static OBJECT: LazyLock<ObjectName> = LazyLock::new(|| ObjectName::parse("Account").expect("a name"));

/// The kind that replaces `{kind}`.
const KIND: ExportKind = ExportKind::Changes;

/// Each as it may be written, and as it is meant.
const ROOTS: [(&str, &str); 4] = [
    ("/data/exports", "/data/exports"),
    ("/", ""),
    ("/data/./x/../exports/", "/data/exports"),
    ("/a b/ü", "/a b/ü"),
];

/// The end of 2100: schedules end with it.
const END: u32 = 4_133_980_800;

fuzz_target!(|data: &[u8]| {
    let [a, b, c, d, zone, root, rest @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (job, org, run_id) = (line(), line(), line());
    let (Ok(job), Ok(org)) = (JobName::parse(job), OrgName::parse(org)) else { return };
    let second = u32::from_le_bytes([*a, *b, *c, *d]) % END;
    let fields = Fields {
        job: &job,
        org: &org,
        run_id,
        timestamp: Timestamp::from_second(second.into()).expect("a timestamp"),
        timezone: &ZONES[usize::from(*zone) % ZONES.len()],
        window: Some((KIND, Timestamp::from_second(second.into()).expect("a timestamp"))),
    };
    let (root, plain_root) = ROOTS[usize::from(*root) % ROOTS.len()];
    let own_run_id = !run_id.is_empty() && run_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');

    let texts = [line(), line()];
    let paths = texts.map(|text| {
        let template = OutputTemplate::parse(text, Path::new(root)).ok()?;
        assert_eq!(template.text(), text);
        let template = template.of_object(&OBJECT);
        let path = match template.expand(&fields) {
            Ok(path) => path,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(!own_run_id, "{text:?} was read, but {error}");
                return None;
            }
        };
        let shown = path.to_str().expect("UTF-8");
        let below = path.strip_prefix(template.root()).expect("below the root");
        assert!(below.components().count() > 0, "{shown}");
        assert!(path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))));
        // Its spelling is the only one: no `//`, no `/./`, nothing that a terminal would not show.
        assert!(!shown[1..].split('/').any(|part| matches!(part, "" | "." | "..")), "{shown}");
        assert!(!shown.contains(char::is_control), "{shown:?}");
        let further = beside(&path, "Contacts");
        assert_eq!(further.parent(), path.parent());
        assert!(
            further.file_name().and_then(OsStr::to_str).is_some_and(|name| name.contains(".Contacts")),
            "{further:?}"
        );
        Some(path)
    });
    let [Some(one), Some(other)] = paths else { return };
    let (Some(plain_one), Some(plain_other)) = (plainly(texts[0], &fields), plainly(texts[1], &fields))
    else {
        return;
    };
    let same = segments(&plain_one, plain_root) == segments(&plain_other, plain_root);
    assert_eq!(one == other, same, "{texts:?}");
});

/// A template's text with its fields put in, character by character; `None` where it names a timestamp.
fn plainly(template: &str, fields: &Fields<'_>) -> Option<String> {
    let known = [
        ("{{", "{"),
        ("}}", "}"),
        ("{job}", fields.job.as_str()),
        ("{org}", fields.org.as_str()),
        ("{run_id}", fields.run_id),
        ("{object}", OBJECT.as_str()),
        ("{kind}", KIND.as_str()),
    ];
    let (mut text, mut rest) = (String::new(), template);
    while let Some(c) = rest.chars().next() {
        if let Some((written, value)) = known.iter().find(|(written, _)| rest.starts_with(written)) {
            text.push_str(value);
            rest = &rest[written.len()..];
        } else if c == '{' {
            return None;
        } else {
            text.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    Some(text)
}

/// The names on the way to a file.
fn segments(text: &str, root: &str) -> Vec<String> {
    let whole = if text.starts_with('/') { text.to_owned() } else { format!("{root}/{text}") };
    whole.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}
