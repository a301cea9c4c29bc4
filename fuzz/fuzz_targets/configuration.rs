//! Any `sfexport.toml`, two job files, a query's file and an environment, parted by 0xFF: every mistake has a place
//! and words and no secret, and a configuration without one means the same however it is laid out: read twice, as
//! another writer of TOML spells it, and with its settings moved into the environment.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret as _;
use sfexport::config::{self, Config, Mistake, Origin, Selection, Sources};
use sfexport::job::{Job, Source};

/// What no message may repeat: it is put before every secret of the environment.
const CANARY: &str = "c4n4ry-7f3a";

/// One directory for each process.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let shared = Path::new("/dev/shm");
    let root = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    let directory = root.join(format!("sfexport-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("jobs")).expect("a directory");
    directory
});

fuzz_target!(|data: &[u8]| {
    // Files that never end are the user's own affair.
    if ["/dev", "/proc", "/sys", CANARY].iter().any(|part| holds(data, part.as_bytes())) {
        return;
    }
    let mut parts = data.split(|byte| *byte == 0xFF);
    let mut part = || parts.next().unwrap_or_default();
    let files = [
        ("sfexport.toml", part()),
        ("jobs/a.toml", part()),
        ("jobs/b.toml", part()),
        ("jobs/q.soql", part()),
    ];
    let environment: Vec<_> = part().split(|byte| *byte == b'\n').filter_map(variable).collect();
    for (name, text) in files {
        std::fs::write(FOLDER.join(name), text).expect("a file");
    }
    let sources = Sources { environment, working_dir: FOLDER.clone(), ..Sources::default() };
    match config::load(&sources, &Selection::All) {
        Err(mistakes) => {
            assert!(!mistakes.as_slice().is_empty());
            mistakes.as_slice().iter().for_each(|mistake| well_worded(mistake, &files));
            is_plain(&mistakes.to_string());
        }
        Ok(config) => {
            config.warnings.iter().for_each(|mistake| well_worded(mistake, &files));
            let meaning = meaning(&config);
            assert_eq!(meaning, meaning_of(&sources), "read again");
            // A configuration of another name has no settings here to move.
            if sources.environment.iter().any(|(name, _)| name == "SFEXPORT_CONFIG") {
                return;
            }
            write_otherwise(&files);
            assert_eq!(meaning, meaning_of(&sources), "spelled otherwise");
            if let Some(sources) = moved_to_the_environment(&sources, files[0].1) {
                assert_eq!(meaning, meaning_of(&sources), "from the environment");
            }
        }
    }
});

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// `NAME=VALUE`; a secret's value gets the canary.
fn variable(line: &[u8]) -> Option<(OsString, OsString)> {
    let equals = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&line[..equals], &line[equals + 1..]);
    let ends_as = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end.as_bytes()));
    let value = match value {
        [] => Vec::new(),
        value if ends_as(&["__KEY", "__KEY_PASSWORD"]) => [CANARY.as_bytes(), value].concat(),
        value if ends_as(&["__WEBHOOK"]) => [value, CANARY.as_bytes()].concat(),
        value => value.to_vec(),
    };
    Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value)))
}

fn well_worded(mistake: &Mistake, files: &[(&str, &[u8])]) {
    assert!(!mistake.what.trim().is_empty(), "{mistake:?}");
    assert!(mistake.what.len() < 3_000, "{} bytes of words", mistake.what.len());
    is_plain(&mistake.to_string());
    match &mistake.origin {
        Origin::File { path, line, column } => {
            let text = files.iter().find(|(name, _)| path == Path::new(name));
            if let (Some(line), Some((_, text))) = (line, text) {
                let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
                assert!((1..=lines).contains(line), "{mistake:?} of {lines} lines");
            }
            assert!(column.is_none_or(|column| column >= 1));
        }
        // A name in small letters is near enough to be reported.
        Origin::Variable(name) | Origin::Flag(name) => {
            assert!(name.to_ascii_uppercase().starts_with("SFEXPORT_"), "{mistake:?}");
        }
        Origin::Anywhere => panic!("nobody knows where: {mistake:?}"),
    }
}

/// What a terminal shows as it stands, without a secret.
fn is_plain(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text:?}");
    assert!(!text.contains(CANARY), "{text}");
}

fn meaning_of(sources: &Sources) -> String {
    match config::load(sources, &Selection::All) {
        Ok(config) => meaning(&config),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

fn meaning(config: &Config) -> String {
    let mut text = format!("{:?}\n{:?}\n", config.settings, config.orgs);
    assert!(!text.contains(CANARY), "{text}");
    if let Some(webhook) = &config.settings.notify.webhook {
        text.push_str(webhook.expose_secret());
    }
    config.jobs.iter().for_each(|job| text.push_str(&meaning_of_job(job)));
    text
}

fn meaning_of_job(job: &Job) -> String {
    let Job { name, org, enabled, all_rows, output, format, shape, if_exists, file_mode, .. } = job;
    let schedule = job.schedule.as_ref().map(|schedule| (schedule.text(), schedule.fingerprint()));
    let exported = match &job.source {
        Source::Soql(_) => job.query().map(|query| query.text.clone()),
        Source::Object(object) => Some(format!("{object:?}")),
        Source::Objects(set) => Some(format!("{set:?}")),
    };
    let ping = job.ping_url.as_ref().map(|url| url.expose_secret());
    format!(
        "\n{name} {org} {enabled} {:?} {all_rows} {output:?} {format:?} {shape:?} {if_exists:?} {file_mode:?} \
         {schedule:?} {:?} {:?} {:?} {ping:?}",
        exported,
        job.timezone.iana_name(),
        job.timeout,
        job.policy
    )
}

fn tables(text: &[u8]) -> toml::Table {
    let text = std::str::from_utf8(text).expect("it was read");
    toml::from_str(text).unwrap_or_else(|error| panic!("read, but no TOML: {error}"))
}

/// The same tables as another writer puts them down.
fn write_otherwise(files: &[(&str, &[u8])]) {
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".toml")) {
        let text = toml::to_string(&tables(text)).expect("TOML");
        std::fs::write(FOLDER.join(name), text).expect("a file");
    }
}

/// The settings of the shared file as variables, and the file without them. `None` where some value has no such
/// spelling.
fn moved_to_the_environment(sources: &Sources, shared: &[u8]) -> Option<Sources> {
    let mut shared = tables(shared);
    let mut sources = sources.clone();
    for name in ["jobs_dir", "state_dir", "output_root", "http", "daemon", "status", "notify"] {
        if let Some(value) = shared.remove(name) {
            set(&format!("SFEXPORT_{}", name.to_ascii_uppercase()), value, &mut sources.environment)?;
        }
    }
    std::fs::write(FOLDER.join("sfexport.toml"), toml::to_string(&shared).expect("TOML")).expect("a file");
    Some(sources)
}

fn set(name: &str, value: toml::Value, environment: &mut Vec<(OsString, OsString)>) -> Option<()> {
    let text = match value {
        toml::Value::Table(table) => {
            return table.into_iter().try_for_each(|(key, value)| {
                set(&format!("{name}__{}", key.to_ascii_uppercase()), value, environment)
            });
        }
        toml::Value::String(text) => text,
        toml::Value::Array(words) => {
            words.iter().map(|word| word.as_str()).collect::<Option<Vec<_>>>()?.join(",")
        }
        other => other.to_string(),
    };
    if text.trim() != text || text.is_empty() {
        return None;
    }
    // A variable that is there already held before, too.
    let is_set = |(known, value): &(OsString, OsString)| {
        known == name && !value.as_encoded_bytes().trim_ascii().is_empty()
    };
    if !environment.iter().any(is_set) {
        environment.push((name.into(), text.into()));
    }
    Some(())
}
