use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, thread};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::error::{Exit, Failure};
use crate::report::{ApiLimit, RunId, RunStatus};
use crate::schedule::{Begun, Schedule, Started};

/// 2026-11-22T01:00:00Z
const START: i64 = 1_795_309_200;
const DAY: i64 = 86_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(job: &str) -> ExportKey {
    ExportKey::new(JobName(job.to_owned()), OrgName::default_org())
}

/// As a person reads it.
fn failure(error: impl Into<Failure>) -> Failure {
    error.into()
}

fn stage(path: &str) -> RecoveryData {
    RecoveryData::new(json!({ "path": path }))
}

fn bare_intent(data: &RecoveryData) -> Intent<'_> {
    Intent { data, after: None, watermark: None }
}

fn open(dir: &TempDir) -> State {
    State::open(&dir.path().join("state")).unwrap()
}

fn report(n: u32) -> RunReport {
    let started = at(START + i64::from(n) * DAY);
    let mut report = RunReport::begun("accounts", "default", RunId::new(started, n.into()), started);
    report.records = u64::from(n);
    // Characters of several bytes, so that a cut goes through one.
    report.error = Some("Übergröße \u{1F600}\n".to_owned());
    report.api_limit = Some(ApiLimit::new(18, 15_000));
    report
}

fn records(state: &State) -> Vec<u64> {
    state.history().unwrap().map(|report| report.unwrap().records).collect()
}

#[test]
fn a_new_state_directory_is_private_and_one_that_exists_keeps_its_mode() {
    let dir = TempDir::new().unwrap();
    let directory = dir.path().join("data/state");
    State::open(&directory).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_ne!(mode(&dir.path().join("data")), 0o700, "exports may lie beside it");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o750)).unwrap();
    State::open(&directory).unwrap();
    assert_eq!(mode(&directory), 0o750);
}

#[test]
fn a_state_directory_that_cannot_be_made_is_said_with_its_setting() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for directory in [file.clone(), file.join("state")] {
        let failure = failure(State::open(&directory).unwrap_err());
        assert_eq!(failure.exit, Exit::Output);
        assert!(failure.what.contains("state directory") && failure.what.contains("file"), "{failure}");
        assert!(failure.hint.unwrap().contains("SFEXPORT_STATE_DIR"));
    }
}

#[test]
fn reading_a_state_that_is_not_there_makes_nothing() {
    let dir = TempDir::new().unwrap();
    let state = State::at(&dir.path().join("state")).unwrap();
    assert_eq!(state.history().unwrap().count(), 0);
    assert_eq!(state.mark(&key("a")).unwrap(), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn one_run_of_a_job_at_a_time_in_one_process_too() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let lock = state.lock_job(&key("accounts")).unwrap();
    let failure = failure(open(&dir).lock_job(&key("accounts")).unwrap_err());
    assert_eq!(failure.exit, Exit::TryLater);
    let by = format!("job accounts is already running (process {})", std::process::id());
    assert_eq!(failure.what, by);
    state.lock_job(&key("contacts")).unwrap();
    drop(lock);
    state.lock_job(&key("accounts")).unwrap();
}

#[test]
fn a_lock_dies_with_its_process_however_that_ends() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let mut other = child("lock", dir.path());
    let failure = failure(state.lock_job(&key("accounts")).unwrap_err());
    assert_eq!(failure.exit, Exit::TryLater);
    assert!(failure.what.ends_with(&format!("(process {})", other.id())), "{failure}");
    other.kill().unwrap();
    other.wait().unwrap();
    state.lock_job(&key("accounts")).unwrap();
}

#[test]
fn a_lock_files_contents_and_existence_mean_nothing() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let path = dir.path().join("state/locks/accounts@default.lock");
    fs::write(&path, "1\nand much that is no number\n").unwrap();
    let lock = state.lock_job(&key("accounts")).unwrap();
    let by = format!("(process {})", std::process::id());
    assert!(state.lock_job(&key("accounts")).unwrap_err().to_string().ends_with(&by));
    fs::write(&path, [0xFF; 100]).unwrap();
    let error = state.lock_job(&key("accounts")).unwrap_err();
    assert_eq!(error.to_string(), "job accounts is already running");
    drop(lock);
    fs::remove_file(&path).unwrap();
    state.lock_job(&key("accounts")).unwrap();
}

#[test]
fn an_outputs_lock_is_one_per_location_and_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let output = |name: &str| Location::File(dir.path().join(name));
    let lock = state.lock_output(&output("a.csv")).unwrap();
    let error = state.lock_output(&output("a.csv")).unwrap_err();
    assert!(error.to_string().contains("a.csv is already being written (process"), "{error}");
    assert_eq!(failure(error).exit, Exit::TryLater);
    drop(state.lock_output(&output("b.csv")).unwrap());
    drop(lock);
    assert_eq!(fs::read_dir(dir.path().join("state/locks/outputs")).unwrap().count(), 0);
}

#[test]
fn a_job_is_locked_per_org_and_per_object() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let emea = ExportKey::new(JobName("backup".to_owned()), OrgName::parse("emea").unwrap());
    let account = emea.clone().of_object(ObjectName::parse("Account").unwrap());
    let _locks = [key("backup"), emea.clone(), account.clone()].map(|key| state.lock_job(&key).unwrap());
    for (key, shown) in [
        (key("backup"), "job backup is already running (process"),
        (emea, "job backup for org emea is already running (process"),
        (account, "job backup for org emea, object Account is already running (process"),
    ] {
        let error = state.lock_job(&key).unwrap_err();
        assert!(matches!(error, LockError::Held { .. }) && error.to_string().starts_with(shown), "{error}");
    }
}

#[test]
fn a_lock_that_cannot_be_opened_is_not_one_that_is_held() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    fs::create_dir(dir.path().join("state/locks/accounts@default.lock")).unwrap();
    let error = state.lock_job(&key("accounts")).unwrap_err();
    assert!(matches!(error, LockError::NotLockable { .. }), "{error:?}");
    assert_eq!(failure(error).exit, Exit::Output);
    // Linux: EMFILE 24, ENOLCK 37, EOPNOTSUPP 95.
    let refused = |errno| {
        let (path, source) = (dir.path().join("a.lock"), io::Error::from_raw_os_error(errno));
        failure(LockError::NotLockable { doing: "cannot lock", path, source })
    };
    assert_eq!(refused(24).exit, Exit::TryLater);
    for errno in [37, 95] {
        let failure = refused(errno);
        assert_eq!(failure.exit, Exit::Output);
        assert!(failure.hint.unwrap().contains("does not support file locks"));
    }
}

#[test]
fn locks_whose_files_come_and_go_are_never_held_twice() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let held = AtomicBool::new(false);
    let taken: usize = thread::scope(|scope| {
        let contend = || {
            let mut taken = 0;
            for _ in 0..2_000 {
                if let Ok(lock) = state.lock_output(&Location::File("/nowhere/a.csv".into())) {
                    assert!(!held.swap(true, Ordering::SeqCst), "held twice");
                    taken += 1;
                    // Time for the others to open the file that is about to go.
                    thread::yield_now();
                    held.store(false, Ordering::SeqCst);
                    drop(lock);
                }
            }
            taken
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(contend)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(taken > 0);
}

#[test]
fn a_state_directory_has_one_daemon() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let _lock = state.lock_daemon().unwrap();
    let failure = failure(state.lock_daemon().unwrap_err());
    assert_eq!(failure.exit, Exit::TryLater);
    assert!(failure.hint.unwrap().contains("state_dir"));
}

#[test]
fn what_0_1_left_of_a_run_is_carried_over_once() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let unfinished = dir.path().join("state/unfinished");
    fs::create_dir(&unfinished).unwrap();
    let intent =
        json!({"renamings": [[{"path": "/x/.s.partial"}, {"path": "/x/s"}]], "if_exists": "replace"});
    let left = json!({"stages": [{"path": "/x/.s.partial"}], "intent": intent});
    fs::write(unfinished.join("accounts.json"), left.to_string()).unwrap();
    let intent = RecoveryData::new(intent);
    {
        let other = state.lock_job(&key("contacts")).unwrap();
        assert_eq!(state.intents_of_others(&other).unwrap(), [(key("accounts"), intent.clone())]);
    }
    for _ in 0..2 {
        let lock = state.lock_job(&key("accounts")).unwrap();
        let journal = state.journal(&lock).unwrap();
        assert_eq!(journal.stages().collect::<Vec<_>>(), [&stage("/x/.s.partial")]);
        assert_eq!(journal.intents().collect::<Vec<_>>(), [bare_intent(&intent)]);
        assert_eq!(state.intents_of_others(&lock).unwrap(), []);
        // As after a crash between the two steps of carrying it over.
        fs::write(unfinished.join("accounts.json"), left.to_string()).unwrap();
    }
}

#[test]
fn what_a_dead_run_noted_is_found_by_the_next_one_until_it_is_cleared() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let intent = RecoveryData::new(json!({"any": ["thing"]}));
    let stages = [stage("/x/.s.partial"), RecoveryData::new(json!({"bytes": [47, 255]}))];
    {
        let lock = state.lock_job(&key("accounts")).unwrap();
        assert!(state.journal(&lock).unwrap().is_empty());
        for stage in &stages {
            state.note(&lock, &JournalEntry::Stages { stages: vec![stage.clone()] }).unwrap();
        }
        state
            .note(&lock, &JournalEntry::Publish { intent: intent.clone(), after: None, watermark: None })
            .unwrap();
    }
    let state = open(&dir);
    let lock = state.lock_job(&key("accounts")).unwrap();
    let found = state.journal(&lock).unwrap();
    assert!(found.stages().eq(&stages));
    assert!(found.intents().eq([bare_intent(&intent)]));
    let other = state.lock_job(&key("contacts")).unwrap();
    assert!(state.journal(&other).unwrap().is_empty());
    assert_eq!(state.intents_of_others(&other).unwrap(), [(key("accounts"), intent)]);
    state.clear(&lock, |stage| *stage == stages[1]).unwrap();
    let left = state.journal(&lock).unwrap();
    assert!(left.stages().eq([&stages[1]]) && left.intents().next().is_none());
    for _ in 0..2 {
        state.clear(&lock, |_| false).unwrap();
        assert!(state.journal(&lock).unwrap().is_empty());
    }
    assert_eq!(fs::read_dir(dir.path().join("state/journal")).unwrap().count(), 0);
}

#[test]
fn a_journal_is_not_written_over_one_that_another_process_changed() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let lock = state.lock_job(&key("accounts")).unwrap();
    let entry = |path: &str| JournalEntry::Stages { stages: vec![stage(path)] };
    state.note(&lock, &entry("/x/a")).unwrap();
    let (entries, version) = state.entries(lock.key()).unwrap();
    state.note(&lock, &entry("/x/b")).unwrap();
    for stale in [version.as_ref(), None] {
        let error = state.write_entries(&lock, &entries, stale).unwrap_err();
        assert!(matches!(error, StateError::Changed { .. }), "{error:?}");
    }
    assert_eq!(state.journal(&lock).unwrap().stages().count(), 2);
    assert_eq!(fs::read_dir(dir.path().join("state/journal")).unwrap().count(), 1, "nothing is left aside");
}

#[test]
fn a_document_under_another_key_or_of_no_file_is_refused() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let marks = dir.path().join("state/marks");
    state.set_mark(&key("a"), &mark("1")).unwrap();
    fs::copy(marks.join("a@default.json"), marks.join("b@default.json")).unwrap();
    let error = state.mark(&key("b")).unwrap_err();
    assert!(error.to_string().ends_with("b@default.json: it belongs to job a, not to b"), "{error}");
    let fifo = Command::new("mkfifo").arg(marks.join("c@default.json")).status().unwrap();
    assert!(fifo.success());
    symlink("/dev/zero", marks.join("d@default.json")).unwrap();
    for name in ["c", "d"] {
        let error = state.mark(&key(name)).unwrap_err();
        assert!(matches!(error, StateError::NotAFile { .. }), "{error:?}");
    }
    fs::write(marks.join("e@default.json"), vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(matches!(state.mark(&key("e")), Err(StateError::TooLarge { .. })));
}

#[test]
fn marks_and_columns_are_kept_apart_by_job_for_the_longest_name_too() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let emea = ExportKey::new(JobName("a".to_owned()), OrgName::parse("emea").unwrap());
    let names = [key("a"), emea, key("a.json"), key(&"n".repeat(250)), key(&"n".repeat(249))];
    for (n, name) in names.iter().enumerate() {
        state.set_mark(name, &mark(&format!("{n}"))).unwrap();
        state.set_columns(&state.lock_job(name).unwrap(), &[format!("Column{n}")]).unwrap();
    }
    for (n, name) in names.iter().enumerate() {
        assert_eq!(state.mark(name).unwrap().unwrap(), mark(&format!("{n}")));
        let columns = state.columns(&state.lock_job(name).unwrap()).unwrap();
        assert_eq!(columns.unwrap(), [format!("Column{n}")]);
    }
    let left = fs::read_dir(dir.path().join("state/marks")).unwrap().count();
    assert_eq!(left, names.len(), "nothing is left aside");
}

/// A mark with everything in it.
fn mark(fingerprint: &str) -> Mark {
    let schedule = Schedule::parse("@hourly", jiff::tz::TimeZone::UTC).unwrap();
    let mut started = Started::default();
    started.insert(&schedule, at(START));
    let begun = Some(Begun { scheduled: at(START), attempt: 2, ended: true });
    Mark { fingerprint: fingerprint.to_owned(), settled: at(START + 5), begun, started, died: 3 }
}

#[test]
fn marks_are_given_by_key_and_those_of_no_key_are_removed() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let keys = [key("accounts"), key("a.b"), key("damaged"), key("new")];
    let nowhere = State::at(&dir.path().join("nowhere")).unwrap();
    assert!(nowhere.marks(&keys).0.is_empty());
    for key in &keys[..2] {
        state.set_mark(key, &mark(key.job().as_str())).unwrap();
    }
    state.set_mark(&key("gone"), &mark("gone")).unwrap();
    let directory = dir.path().join("state/marks");
    fs::write(directory.join("notes.txt"), "").unwrap();
    for name in ["damaged@default.json", "gone.json", "a.b.json"] {
        fs::write(directory.join(name), "{").unwrap();
    }
    let (marks, unread) = state.marks(&keys);
    assert_eq!(marks.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a.b", "accounts"]);
    assert_eq!(marks[&key("a.b")], mark("a.b"));
    assert!(unread.len() == 1 && unread[0].to_string().contains("damaged@default.json"), "{unread:?}");
    state.retain_marks(&keys).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let expected =
        ["a.b.json", "a.b@default.json", "accounts@default.json", "damaged@default.json", "notes.txt"];
    assert_eq!(left, expected);
    for _ in 0..2 {
        state.remove_mark(&key("a.b")).unwrap();
        assert_eq!(state.mark(&key("a.b")).unwrap(), None);
    }
    assert_eq!(state.marks(&keys).0.len(), 1);
}

#[test]
fn a_mark_of_an_earlier_version_is_read_and_a_damaged_one_is_named() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let path = dir.path().join("state/marks/a.json");
    fs::write(&path, r#"{"fingerprint":"67f6","settled":"2026-11-22T01:00:00Z"}"#).unwrap();
    let read = state.mark(&key("a")).unwrap().unwrap();
    assert_eq!((read.settled, read.begun, read.started), (at(START), None, Started::default()));
    fs::write(&path, "").unwrap();
    let failure = failure(state.mark(&key("a")).unwrap_err());
    assert!(failure.what.contains("marks/a.json") && failure.hint.unwrap().contains("remove it"));
    state.set_mark(&key("a"), &mark("1")).unwrap();
    assert!(!path.exists(), "carried over");
}

#[test]
fn a_mark_being_written_by_many_is_always_whole() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let mark = |n: usize| mark(&"x".repeat(n * 1_000));
    state.set_mark(&key("a"), &mark(0)).unwrap();
    for n in 0..3 {
        // What a crash in the middle of writing leaves aside is not in the way.
        fs::write(store::aside(&dir.path().join("state/marks/a@default.json")), "x".repeat(5_000)).unwrap();
        let (state, mark) = (&state, &mark);
        thread::scope(|scope| {
            for writer in 0..3 {
                scope.spawn(move || (0..20).for_each(|_| state.set_mark(&key("a"), &mark(writer)).unwrap()));
            }
            scope.spawn(move || {
                for _ in 0..500 {
                    let read = state.mark(&key("a")).unwrap().unwrap().fingerprint;
                    assert!(read.len().is_multiple_of(1_000) && read.len() <= 2_000, "round {n}");
                }
            });
        });
    }
}

#[test]
fn the_history_gives_the_newest_first_and_every_field_back() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let mut last = report(3);
    last.status = RunStatus::Ok;
    last.scheduled = Some(at(START));
    last.columns = vec!["Id".to_owned(), "Name".to_owned()];
    for report in [&report(1), &report(2), &last] {
        state.append(report).unwrap();
    }
    assert_eq!(records(&state), [3, 2, 1]);
    assert_eq!(state.history().unwrap().next().unwrap().unwrap(), last);
    assert_eq!(fs::read_to_string(dir.path().join("state/runs.jsonl")).unwrap().lines().count(), 3);
}

#[test]
fn a_history_torn_at_any_byte_gives_its_whole_lines_and_can_be_appended_to() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let path = dir.path().join("state/runs.jsonl");
    for n in 1..=3 {
        state.append(&report(n)).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in last..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        // Without its line break alone, the last report is whole.
        let mut expected = if cut >= whole.len() - 1 { vec![3, 2, 1] } else { vec![2, 1] };
        assert_eq!(records(&state), expected, "cut at {cut}");
        state.append(&report(4)).unwrap();
        expected.insert(0, 4);
        assert_eq!(records(&state), expected, "cut at {cut}, then appended to");
    }
    // Blocks of zeros, as some file systems leave them after a power cut.
    fs::write(&path, [&whole[..last], &[0; 5_000]].concat()).unwrap();
    state.append(&report(4)).unwrap();
    assert_eq!(records(&state), [4, 2, 1]);
}

#[test]
fn a_history_of_many_blocks_and_lines_longer_than_a_block_is_read_backwards_whole() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let mut lines = Vec::new();
    for n in 0..300_u32 {
        let mut report = report(n);
        // From a few bytes to more than two blocks.
        let long = if n % 50 == 7 { 150_000 } else { (n as usize * 37) % 3_000 };
        report.hint = Some("h".repeat(long));
        serde_json::to_writer(&mut lines, &report).unwrap();
        lines.push(b'\n');
    }
    fs::write(dir.path().join("state/runs.jsonl"), &lines).unwrap();
    assert_eq!(records(&state), (0..300).rev().collect::<Vec<_>>());
}

#[test]
fn the_history_is_read_and_pruned_while_many_append() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u32)
            .map(|writer| {
                let state = &state;
                scope.spawn(move || {
                    for n in 0..40 {
                        // Every other run is long past.
                        let mut report = report(1_000 * (1 + writer) + n);
                        report.ended = if n % 2 == 1 { at(START) } else { at(START - 100 * DAY) };
                        state.append(&report).unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                state.prune(Duration::ZERO, at(START)).unwrap();
                records(&state);
            }
        });
        let _done = Done(&done);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
    state.prune(Duration::ZERO, at(START)).unwrap();
    let mut left = records(&state);
    left.sort_unstable();
    let expected: Vec<u64> =
        (1..=3).flat_map(|writer| (1..40).step_by(2).map(move |n| writer * 1_000 + n)).collect();
    assert_eq!(left, expected);
}

#[test]
fn pruning_keeps_the_very_bytes_of_what_is_young_enough_and_of_later_versions() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let path = dir.path().join("state/runs.jsonl");
    let line = |ended: &str| format!("{{\"new\": 1.50,  \"ended\":\"{ended}\"}}\n");
    let (old, edge, young) =
        (line("2026-11-20T23:59:59Z"), line("2026-11-21T00:00:00Z"), line("2026-11-22T00:00:00Z"));
    let later = "{\"kind\":\"unheard of\"}\n";
    fs::write(&path, format!("{old}{{\"torn\":\n{later}\n{edge}{young}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let now = "2026-11-23T00:00:00Z".parse().unwrap();
    let keep = Duration::from_secs(2 * 86_400);
    assert_eq!(state.prune(keep, now).unwrap(), 3, "an old run, a torn line and an empty one");
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{later}{edge}{young}"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(state.prune(keep, now).unwrap(), 0);
    fs::remove_file(&path).unwrap();
    assert_eq!(state.prune(keep, now).unwrap(), 0);
}

#[test]
fn a_reader_goes_on_undisturbed_while_the_history_is_pruned() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    for n in 1..=3 {
        state.append(&report(n)).unwrap();
    }
    let mut history = state.history().unwrap();
    assert_eq!(history.next().unwrap().unwrap().records, 3);
    state.prune(Duration::ZERO, at(START + 10 * DAY)).unwrap();
    assert_eq!(history.map(|report| report.unwrap().records).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(records(&state), [3], "the job's last run");
}

#[test]
fn a_reader_can_begin_where_an_earlier_one_ended() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let mut end = HistoryEnd::default();
    let mut added = || {
        let (history, now) = state.history_since(end).unwrap();
        end = now;
        history.map(|report| report.unwrap().records).collect::<Vec<_>>()
    };
    assert_eq!(added(), [0; 0]);
    state.append(&report(1)).unwrap();
    state.append(&report(2)).unwrap();
    assert_eq!(added(), [2, 1]);
    assert_eq!(added(), [0; 0]);
    state.append(&report(3)).unwrap();
    assert_eq!(added(), [3]);
    // A line that is being written is read once it is whole.
    let path = dir.path().join("state/runs.jsonl");
    let line = serde_json::to_string(&report(4)).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&line.as_bytes()[..20]).unwrap();
    assert_eq!(added(), [0; 0]);
    file.write_all(&line.as_bytes()[20..]).unwrap();
    file.write_all(b"\n").unwrap();
    assert_eq!(added(), [4]);
    // Pruning moves every line.
    assert_eq!(state.prune(Duration::ZERO, at(START + 10 * DAY)).unwrap(), 3);
    state.append(&report(5)).unwrap();
    assert_eq!(added(), [5, 4]);
    fs::remove_file(&path).unwrap();
    assert_eq!(added(), [0; 0]);
    state.append(&report(6)).unwrap();
    assert_eq!(added(), [6]);
}

#[test]
fn the_last_run_of_each_job_outlives_pruning_and_an_occurrence_that_was_not_run_is_none() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    for (n, name, status) in [
        (1, "yearly", RunStatus::Ok),
        (2, "accounts", RunStatus::Ok),
        (3, "yearly", RunStatus::Failed),
        (4, "yearly", RunStatus::Missed),
        (5, "accounts", RunStatus::Cancelled),
    ] {
        let mut report = report(n);
        (report.job, report.status) = (name.to_owned(), status);
        state.append(&report).unwrap();
    }
    assert_eq!(state.prune(Duration::ZERO, at(START + 10 * DAY)).unwrap(), 3);
    assert_eq!(records(&state), [5, 3]);
}

#[test]
fn a_clock_that_was_years_ahead_prunes_nothing_that_is_young() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let keep = Duration::from_secs(90 * 86_400);
    for n in 0..60 {
        state.append(&report(n)).unwrap();
    }
    let two_years_ahead = START + 790 * DAY;
    assert_eq!(state.prune(keep, at(two_years_ahead)).unwrap(), 0);
    state.append(&report(790)).unwrap();
    assert_eq!(state.prune(keep, at(two_years_ahead)).unwrap(), 0);
    // The clock is right again, and time goes on.
    for n in 60..120 {
        state.append(&report(n)).unwrap();
    }
    assert_eq!(state.prune(keep, at(START + 119 * DAY)).unwrap(), 29, "those of the first 29 days");
    assert_eq!(records(&state).last(), Some(&29));
}

#[test]
fn pruning_keeps_the_last_run_of_each_org_and_object() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let path = dir.path().join("state/runs.jsonl");
    let line = |n: u32, org: &str, object: &str| {
        let mut line = serde_json::to_value(report(n)).unwrap();
        (line["org"], line["object"]) = (json!(org), json!(object));
        format!("{line}\n")
    };
    let lines = [line(1, "emea", "Account"), line(2, "emea", "Contact"), line(3, "apac", "Account")];
    fs::write(&path, format!("{}{}", lines.concat(), line(4, "emea", "Account"))).unwrap();
    assert_eq!(state.prune(Duration::ZERO, at(START + 10 * DAY)).unwrap(), 1);
    assert_eq!(records(&state), [4, 3, 2]);
}

#[test]
fn a_set_with_thousands_of_failures_stays_in_the_history() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let started = Timestamp::from_second(1_795_309_200).unwrap();
    let mut report = RunReport::begun("backup", "default", RunId::new(started, 1), started);
    let failed = |number: usize| crate::report::FailedObject {
        object: format!("Object{number}__c"),
        exit_status: 69,
        error: Some("ä".repeat(500)),
    };
    let failed: Vec<_> = (0..5_000).map(failed).collect();
    report.set = Some(crate::report::SetSummary { failed, ..Default::default() });
    state.append(&report).unwrap();
    let read = state.history().unwrap().next().unwrap().unwrap();
    let set = read.set.unwrap();
    assert_eq!(set.failed.len(), 5_000);
    assert_eq!(set.failed[4_999].object, "Object4999__c");
    assert_eq!(set.failed[0].error.as_deref(), Some(format!("{}…", "ä".repeat(40)).as_str()));
}

#[test]
fn a_line_too_long_for_a_report_is_passed_over_and_pruned() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let path = dir.path().join("state/runs.jsonl");
    let line = |n: u32, bytes: usize| {
        let mut report = report(n);
        let shorter = serde_json::to_vec(&report).unwrap().len() + "\"\"".len() - "null".len();
        report.hint = Some("h".repeat(bytes - shorter - 1));
        serde_json::to_string(&report).unwrap() + "\n"
    };
    const MAX: usize = 1 << 20;
    let (longest, too_long) = (line(2, MAX), line(3, MAX + 1));
    assert_eq!((longest.len(), too_long.len()), (MAX, MAX + 1));
    let lines = [line(1, 2_000), longest, too_long, "x".repeat(8 << 20) + "\n", line(4, 2_000)];
    for cut in [0, 1] {
        // At the end too, and without a line break.
        fs::write(&path, format!("{}{}", lines.concat(), "y".repeat(cut * (3 << 20)))).unwrap();
        assert_eq!(records(&state), [4, 2, 1]);
    }
    assert_eq!(state.prune(Duration::from_secs(90 * 86_400), at(START)).unwrap(), 3);
    assert_eq!(records(&state), [4, 2, 1]);
    assert_eq!(fs::metadata(&path).unwrap().len(), (MAX + 4_000) as u64);
}

#[test]
fn a_report_of_too_many_columns_is_kept_without_them() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let mut report = report(1);
    report.columns = (0..100_000).map(|n| format!("Column_{n}__c")).collect();
    state.append(&report).unwrap();
    report.columns.clear();
    assert_eq!(state.history().unwrap().next().unwrap().unwrap(), report);
}

#[test]
fn a_link_planted_where_the_pruned_history_is_written_leads_nowhere() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, dir.path().join("state/.runs.jsonl.aside")).unwrap();
    symlink(&victim, store::aside(&dir.path().join("state/marks/a@default.json"))).unwrap();
    for n in 1..=3 {
        state.append(&report(n)).unwrap();
    }
    assert_eq!(state.prune(Duration::ZERO, at(START + 10 * DAY)).unwrap(), 2);
    assert!(state.set_mark(&key("a"), &mark("1")).is_err(), "its name leads elsewhere");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(records(&state), [3]);
}

#[test]
fn a_document_that_nobody_could_read_back_is_not_written() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let lock = state.lock_job(&key("a")).unwrap();
    state.set_columns(&lock, &["Id".to_owned()]).unwrap();
    let many: Vec<_> = (0..100_000).map(|n| format!("Column_{n}__c")).collect();
    let error = state.set_columns(&lock, &many).unwrap_err();
    assert!(matches!(error, StateError::TooLarge { .. }), "{error:?}");
    assert_eq!(state.columns(&lock).unwrap().unwrap(), ["Id"]);
}

#[test]
fn an_objects_lock_stands_beside_that_of_its_job() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    // While 0.1's columns are left, the job as a whole is locked for one run alone.
    fs::write(dir.path().join("state/columns/backup.json"), r#"["Id"]"#).unwrap();
    let whole = state.lock_job(&key("backup")).unwrap();
    let account = key("backup").of_object(ObjectName::parse("Account").unwrap());
    let object = state.lock_job(&account).unwrap();
    assert!(state.journal(&object).unwrap().is_empty());
    assert_eq!(state.columns(&object).unwrap(), None, "they are not the object's");
    assert!(state.journal(&whole).unwrap().is_empty());
    assert_eq!(state.columns(&whole).unwrap().unwrap(), ["Id"]);
}

/// Says at its end, that of a panic too, that the threads beside may stop.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Starts this test program again, as another process; returns when it has done `what` in `dir` and waits.
fn child(what: &str, dir: &Path) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "state::tests::as_a_child", "--nocapture"])
        .env("SFEXPORT_TEST_CHILD", what)
        .env("SFEXPORT_TEST_PATH", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = io::BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().ends_with("done, waiting")));
    child
}

/// Not a test: what [`child`] does. The tests' own process passes through.
#[test]
fn as_a_child() {
    let (Ok(what), Some(dir)) = (env::var("SFEXPORT_TEST_CHILD"), env::var_os("SFEXPORT_TEST_PATH")) else {
        return;
    };
    assert_eq!(what, "lock");
    let state = State::open(&Path::new(&dir).join("state")).unwrap();
    let _lock = state.lock_job(&key("accounts")).unwrap();
    io::stdout().write_all(b"done, waiting\n").unwrap();
    thread::sleep(Duration::from_secs(60));
}
