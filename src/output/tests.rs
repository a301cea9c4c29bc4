use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, thread};

use tempfile::TempDir;

use super::recovery::{KnownFiles, known_files, recover_renames};
use super::sweep::{sweep, sweep_siblings};
use super::*;
use crate::job::IfExists;
use crate::job::stage_name::Owner;

fn run(n: u32) -> RunId {
    RunId::new(jiff::Timestamp::from_second(1_795_309_200).unwrap(), n.into())
}

fn output(path: impl AsRef<Path>) -> LocalFile {
    LocalFile::new(path.as_ref(), IfExists::Replace, None).unwrap()
}

fn new_only(path: impl AsRef<Path>) -> LocalFile {
    LocalFile::new(path.as_ref(), IfExists::Fail, None).unwrap()
}

fn staged(output: &LocalFile, n: u32, contents: &[u8]) -> Box<dyn Staged> {
    let mut staged = output.stage(&run(n)).unwrap();
    staged.write_all(contents).unwrap();
    staged
}

fn sealed(output: &LocalFile, n: u32, contents: &[u8]) -> Box<dyn Sealed> {
    staged(output, n, contents).seal().unwrap()
}

/// The names in a directory, hidden ones too, sorted.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// What a process leaves when it is killed: its files and no lock.
fn leave_stage(output: &LocalFile, n: u32, contents: &[u8]) -> PathBuf {
    let stage = output.stage_path(&run(n));
    fs::write(&stage, contents).unwrap();
    stage
}

#[test]
fn a_stage_is_next_to_its_output() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.csv");
    let _staged = staged(&output(&path), 1, b"half");
    assert_eq!(names(dir.path()), [".a.csv.20261122T010000Z-00000001.partial"]);
}

#[test]
fn missing_directories_are_made() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("2026/11/22/a.csv");
    let output = output(&path);
    output.check().unwrap();
    assert!(names(dir.path()).is_empty());
    publish(vec![sealed(&output, 1, b"new")]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn a_link_is_replaced_and_its_target_stands() {
    let dir = TempDir::new().unwrap();
    let (target, path) = (dir.path().join("target"), dir.path().join("a.csv"));
    fs::write(&target, "old").unwrap();
    symlink(&target, &path).unwrap();
    publish(vec![sealed(&output(&path), 1, b"new")]).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!((fs::read(&path).unwrap(), fs::read(&target).unwrap()), (b"new".to_vec(), b"old".to_vec()));
    // One that points nowhere too.
    let dangling = dir.path().join("b.csv");
    symlink("nowhere", &dangling).unwrap();
    publish(vec![sealed(&output(&dangling), 1, b"new")]).unwrap();
    assert_eq!(fs::read(&dangling).unwrap(), b"new");
}

#[test]
fn a_linked_directory_is_written_into() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    publish(vec![sealed(&output(dir.path().join("link/a.csv")), 1, b"new")]).unwrap();
    assert_eq!(fs::read(dir.path().join("real/a.csv")).unwrap(), b"new");
}

#[test]
fn what_is_no_file_is_refused_before_anything_is_written() {
    let dir = TempDir::new().unwrap();
    let directory = dir.path().join("directory");
    fs::create_dir(&directory).unwrap();
    symlink(&directory, dir.path().join("link")).unwrap();
    symlink("/dev/null", dir.path().join("null")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let refused = |path: &str, with: &str| {
        let path = dir.path().join(path);
        let failure = match LocalFile::new(&path, IfExists::Replace, None) {
            Ok(output) => output.stage(&run(1)).err().unwrap(),
            Err(failure) => failure,
        };
        assert_eq!(failure.exit, Exit::Output);
        assert!(failure.what.contains(with) && failure.hint.is_some(), "{failure:?}");
    };
    refused("directory", "directory: it is a directory");
    refused("link", "link: it is a directory");
    refused("new/", "new/: it is a directory");
    refused("null", "null: it is a device");
    refused("file/a.csv", "/file");
    refused(".a.csv.20261122T010000Z-1f2e3d4c.partial", "reserved for unfinished exports");
    refused(&"n".repeat(256), "File name too long");
    assert_eq!(names(dir.path()), ["directory", "file", "link", "null"]);
}

#[test]
fn the_longest_name_that_a_file_may_have_is_published() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("n".repeat(255));
    publish(vec![sealed(&output(&path), 1, b"new")]).unwrap();
    assert_eq!(names(dir.path()), ["n".repeat(255)]);
}

#[test]
fn the_mode_is_the_one_asked_for_else_the_former_files() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.csv");
    let asked = |mode| LocalFile::new(&path, IfExists::Replace, Some(mode)).unwrap();
    publish(vec![sealed(&asked(0o640), 1, b"1")]).unwrap();
    assert_eq!(mode(&path), 0o640);
    publish(vec![sealed(&output(&path), 2, b"2")]).unwrap();
    assert_eq!(mode(&path), 0o640);
    publish(vec![sealed(&asked(0o666), 3, b"3")]).unwrap();
    assert_eq!(mode(&path), 0o666);
    // A mode changed while the run lasts is the one that counts, and privileges are not passed on.
    let staged = staged(&output(&path), 4, b"4");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4711)).unwrap();
    publish(vec![staged.seal().unwrap()]).unwrap();
    assert_eq!(mode(&path), 0o711);
}

#[test]
fn a_stage_is_private_where_its_output_is_going_to_be() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let output = output(&path);
    let _staged = staged(&output, 1, b"half");
    assert_eq!(mode(&output.stage_path(&run(1))), 0o600);
}

#[test]
fn the_mode_of_a_new_file_obeys_the_umask() {
    let dir = TempDir::new().unwrap();
    for (umask, expected) in [("022", 0o644), ("027", 0o640), ("077", 0o600), ("000", 0o666)] {
        let path = dir.path().join(umask);
        let done = child("publish", &path, &format!("umask {umask}")).wait_with_output().unwrap();
        assert!(done.status.success(), "{done:?}");
        assert_eq!(mode(&path), expected, "umask {umask}");
    }
}

#[test]
fn if_exists_fail_is_seen_before_the_run_and_holds_at_the_rename() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.csv");
    let output = new_only(&path);
    let sealed = sealed(&output, 1, b"ours");
    // Past the look before the rename: only the rename itself can refuse.
    let mut late = staged(&new_only(&path), 2, b"late").seal().unwrap();
    fs::write(&path, "theirs").unwrap();
    let failure = output.check().unwrap_err();
    assert!(failure.what.contains("already exists") && failure.exit == Exit::Output, "{failure}");
    let refused = publish(vec![sealed]).unwrap_err();
    assert!(refused.failure.what.contains("already exists") && refused.reached == Reached::Nothing);
    assert!(late.publish().unwrap_err().what.contains("already exists"));
    drop(late);
    assert_eq!((names(dir.path()), fs::read(&path).unwrap()), (vec!["a.csv".to_owned()], b"theirs".to_vec()));
}

#[test]
fn a_file_system_that_cannot_refuse_in_its_rename_refuses_in_its_link() {
    let dir = TempDir::new().unwrap();
    let output = new_only(dir.path().join("a.csv"));
    let stage = leave_stage(&output, 1, b"ours");
    fs::write(output.path(), "theirs").unwrap();
    let refused = local::link_to_nothing(&stage, output.path()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(
        (fs::read(output.path()).unwrap(), fs::read(&stage).unwrap()),
        (b"theirs".to_vec(), b"ours".to_vec())
    );
    fs::remove_file(output.path()).unwrap();
    local::link_to_nothing(&stage, output.path()).unwrap();
    assert_eq!(
        (names(dir.path()), fs::read(output.path()).unwrap()),
        (vec!["a.csv".to_owned()], b"ours".to_vec())
    );
}

#[test]
fn of_many_that_race_for_a_new_name_one_wins() {
    const RACERS: u32 = 8;
    for round in 0..20 {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a.csv");
        let start = Barrier::new(RACERS as usize);
        let won: Vec<u32> = thread::scope(|scope| {
            let race = |n| {
                let (path, start) = (&path, &start);
                move || {
                    let mut sealed = sealed(&new_only(path), n, &n.to_be_bytes());
                    start.wait();
                    sealed.publish().is_ok().then_some(n)
                }
            };
            let racers: Vec<_> = (0..RACERS).map(|n| scope.spawn(race(n))).collect();
            racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(won.len(), 1, "round {round}");
        assert_eq!(fs::read(&path).unwrap(), won[0].to_be_bytes());
        assert_eq!(names(dir.path()), ["a.csv"]);
    }
}

#[test]
fn the_stages_of_dead_runs_are_swept_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let output = output(dir.path().join("a.csv"));
    let dead = leave_stage(&output, 1, b"half");
    leave_stage(&self::output(dir.path().join("b.csv")), 1, b"half");
    for other in ["a.csv", ".a.csv.old.partial", ".a.csv", "a.csv.20261122T010000Z-00000001.partial"] {
        fs::write(dir.path().join(other), "").unwrap();
    }
    let before = names(dir.path());
    let live = staged(&output, 2, b"half");
    assert_eq!(sweep_siblings(output.path(), Owner::Job).unwrap(), std::slice::from_ref(&dead));
    assert_eq!(sweep(&output.stage_path(&run(2))).unwrap(), Swept::Live);
    assert_eq!(sweep(&dead).unwrap(), Swept::Gone);
    publish(vec![live.seal().unwrap()]).unwrap();
    let after: Vec<_> = before.into_iter().filter(|name| dir.path().join(name) != dead).collect();
    assert_eq!(names(dir.path()), after);
    assert_eq!(sweep_siblings(&dir.path().join("no/directory"), Owner::Job).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn a_live_stage_of_another_process_is_left_until_the_process_is_killed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.csv");
    let mut other = child("hold", &path, "umask 022");
    let mut said = io::BufReader::new(other.stdout.as_mut().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().ends_with("the stage is open")));
    assert_eq!(sweep_siblings(&path, Owner::Job).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(names(dir.path()).len(), 1);
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(names(dir.path()).len(), 1, "SIGKILL leaves the stage");
    assert_eq!(sweep_siblings(&path, Owner::Job).unwrap().len(), 1);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn sweepers_never_take_a_stage_that_is_being_opened() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.csv");
    let output = output(&path);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    sweep_siblings(&path, Owner::Job).unwrap();
                }
            });
        }
        let _done = Done(&done);
        for n in 0..300_u32 {
            let staged = staged(&output, n, &n.to_be_bytes());
            publish(vec![staged.seal().unwrap()]).unwrap();
            assert_eq!(fs::read(&path).unwrap(), n.to_be_bytes());
        }
    });
    assert_eq!(names(dir.path()), ["a.csv"]);
}

#[test]
fn a_group_appears_in_its_order_or_not_at_all() {
    let dir = TempDir::new().unwrap();
    let main = output(dir.path().join("a.csv"));
    let child = output(dir.path().join("a.Contacts.csv"));
    let published = publish(vec![sealed(&child, 1, b"child"), sealed(&main, 1, b"main")]).unwrap();
    assert_eq!(
        published.iter().map(|one| one.location.path().unwrap()).collect::<Vec<_>>(),
        [child.path(), main.path()]
    );
    // A directory where the main file has to be is seen before the child appears.
    let group = vec![sealed(&child, 2, b"child 2"), sealed(&main, 2, b"main 2")];
    fs::remove_file(main.path()).unwrap();
    fs::create_dir(main.path()).unwrap();
    assert_eq!(publish(group).unwrap_err().reached, Reached::Nothing);
    assert_eq!(fs::read(child.path()).unwrap(), b"child");
    assert_eq!(names(dir.path()), ["a.Contacts.csv", "a.csv"]);
}

/// A sealed export whose directory cannot be flushed after the rename.
struct Unconfirmed(Box<dyn Sealed>);

impl Sealed for Unconfirmed {
    fn renaming(&self) -> Option<Renaming> {
        self.0.renaming()
    }

    fn contents(&self) -> Published {
        self.0.contents()
    }

    fn check(&self) -> Result<(), Failure> {
        self.0.check()
    }

    fn publish(&mut self) -> Result<(), Failure> {
        self.0.publish()
    }

    fn confirm(&mut self) -> Result<Published, Failure> {
        Err(Failure::new(Exit::Output, "refused"))
    }

    fn leave(self: Box<Self>) {
        self.0.leave();
    }
}

#[test]
fn an_output_that_has_appeared_and_may_be_lost_is_told_from_one_that_has_not() {
    let dir = TempDir::new().unwrap();
    let output = output(dir.path().join("a.csv"));
    let refused = publish(vec![Box::new(Unconfirmed(sealed(&output, 1, b"new")))]).unwrap_err();
    assert_eq!(
        refused,
        Unpublished { failure: Failure::new(Exit::Output, "refused"), reached: Reached::All }
    );
    assert_eq!(
        (names(dir.path()), fs::read(output.path()).unwrap()),
        (vec!["a.csv".to_owned()], b"new".to_vec())
    );
}

#[test]
fn a_file_that_is_newer_than_the_stage_is_not_replaced_by_recovery() {
    let dir = TempDir::new().unwrap();
    let output = output(dir.path().join("a.csv"));
    let stage = leave_stage(&output, 1, b"of the night before");
    let intent = [(stage.clone(), output.path().to_owned())];
    // The stage as it was an hour ago.
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    File::options().write(true).open(&stage).unwrap().set_modified(hour_ago).unwrap();
    fs::write(output.path(), "newer").unwrap();
    let done = recover_renames(&intent, &[], IfExists::Replace).unwrap();
    assert_eq!((done.published, done.overtaken), (Vec::new(), vec![output.location()]));
    assert_eq!(
        (names(dir.path()), fs::read(output.path()).unwrap()),
        (vec!["a.csv".to_owned()], b"newer".to_vec())
    );
}

/// A group of two, the child's file first, over a former set; and what its note knows.
struct Group {
    dir: TempDir,
    intent: Vec<(PathBuf, PathBuf)>,
    known: Vec<KnownFiles>,
}

impl Group {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut intent = Vec::new();
        for name in ["a.Contacts.csv", "a.csv"] {
            let output = output(dir.path().join(name));
            fs::write(output.path(), "former").unwrap();
            intent.push((leave_stage(&output, 1, b"ours"), output.path().to_owned()));
        }
        let known = intent.iter().map(|(stage, output)| known_files(stage, output).unwrap()).collect();
        Self { dir, intent, known }
    }

    fn publish(&self, at: usize) {
        fs::rename(&self.intent[at].0, &self.intent[at].1).unwrap();
    }

    /// Another file at an output, which looks as if it had been written long before.
    fn replace(&self, at: usize) {
        let aside = self.dir.path().join("aside");
        fs::write(&aside, "theirs").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        File::options().write(true).open(&aside).unwrap().set_modified(long_ago).unwrap();
        fs::rename(aside, &self.intent[at].1).unwrap();
    }

    fn recover(&self) -> Result<Recovered, Failure> {
        recover_renames(&self.intent, &self.known, IfExists::Replace)
    }

    fn location(&self, at: usize) -> Location {
        Location::File(self.intent[at].1.clone())
    }

    fn stages(&self) -> Vec<bool> {
        self.intent.iter().map(|(stage, _)| stage.exists()).collect()
    }

    fn contents(&self) -> Vec<String> {
        self.intent.iter().map(|(_, output)| fs::read_to_string(output).unwrap()).collect()
    }
}

#[test]
fn what_was_there_when_the_intent_was_noted_is_replaced_whatever_its_time() {
    let group = Group::new();
    group.publish(0);
    // The main file was from a clock that was ahead: it is noted so.
    let ahead = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    File::options().write(true).open(&group.intent[1].1).unwrap().set_modified(ahead).unwrap();
    let mut known = group.known.clone();
    known[1] = known_files(&group.intent[1].0, &group.intent[1].1).unwrap();
    let done = recover_renames(&group.intent, &known, IfExists::Replace).unwrap();
    assert_eq!(done.published, [group.location(1)]);
    assert_eq!(group.contents(), ["ours", "ours"]);
}

#[test]
fn a_group_of_which_nothing_has_appeared_is_given_up_whole_where_one_is_overtaken() {
    for overtaken in 0..2 {
        let group = Group::new();
        group.replace(overtaken);
        let done = group.recover().unwrap();
        assert_eq!(done.overtaken, [group.location(overtaken)]);
        assert_eq!(done.given_up, [group.location(1 - overtaken)]);
        assert_eq!((done.published, done.missing), (Vec::new(), Vec::new()));
        assert_eq!(group.stages(), [false, false]);
        assert_eq!(group.contents()[1 - overtaken], "former");
    }
}

#[test]
fn a_group_of_which_some_has_appeared_and_another_is_overtaken_waits_for_a_person() {
    let group = Group::new();
    group.publish(0);
    group.replace(1);
    let failure = group.recover().unwrap_err();
    assert_eq!(failure.exit, Exit::Output);
    assert!(failure.what.contains("a.csv is from another run"), "{failure}");
    let (stage, output) = &group.intent[1];
    let hint = failure.hint.unwrap();
    assert!(hint.contains(&format!("move {} away", output.display())), "{hint}");
    assert!(hint.contains(&format!("remove {}", stage.display())), "{hint}");
    assert_eq!(group.contents(), ["ours", "theirs"]);
    assert_eq!(group.stages(), [false, true]);
    // Either of the two that the hint names ends it.
    fs::remove_file(output).unwrap();
    assert_eq!(group.recover().unwrap().published, [group.location(1)]);
    assert_eq!(group.contents(), ["ours", "ours"]);
}

#[test]
fn a_stage_that_is_gone_without_having_appeared_is_told() {
    let group = Group::new();
    group.publish(0);
    fs::remove_file(&group.intent[1].0).unwrap();
    let done = group.recover().unwrap();
    assert_eq!(done, Recovered { missing: vec![group.location(1)], ..Recovered::default() });
    // The main file waits, and the child's stage is gone: what has not begun to appear does not.
    let group = Group::new();
    fs::remove_file(&group.intent[0].0).unwrap();
    let done = group.recover().unwrap();
    assert_eq!(done.given_up, [group.location(1)]);
    assert_eq!(group.contents(), ["former", "former"]);
    // The whole set is another run's: nothing waits any more.
    let group = Group::new();
    group.publish(0);
    group.replace(0);
    group.replace(1);
    assert_eq!(group.recover().unwrap().overtaken, [group.location(1)]);
    assert_eq!(group.contents(), ["theirs", "theirs"]);
}

#[test]
fn files_that_have_other_numbers_since_a_remount_are_known_by_size_and_time() {
    let mut group = Group::new();
    for known in &mut group.known {
        known.stage.inode += 1_000_000;
        known.former.as_mut().unwrap().inode += 1_000_000;
    }
    group.publish(0);
    assert_eq!(group.recover().unwrap().published, [group.location(1)]);
    assert_eq!(group.contents(), ["ours", "ours"]);
}

#[test]
fn a_query_sweeps_the_stages_of_queries_and_a_job_all() {
    let dir = TempDir::new().unwrap();
    let output = output(dir.path().join("a.csv"));
    let jobs = leave_stage(&output, 1, b"half");
    let queries = leave_stage(&output.clone().of_query(), 1, b"half");
    assert_eq!(sweep_siblings(output.path(), Owner::Query).unwrap(), std::slice::from_ref(&queries));
    fs::write(&queries, "half").unwrap();
    let mut swept = sweep_siblings(output.path(), Owner::Job).unwrap();
    swept.sort();
    assert_eq!(swept, [jobs, queries]);
}

#[test]
fn what_waits_with_its_group_has_a_name_that_nobody_sweeps() {
    let dir = TempDir::new().unwrap();
    let main = Output::from(output(dir.path().join("a.csv")));
    let child = main.group(&["Contacts".to_owned()]).unwrap().remove(1);
    let mut whole = child.stage(&run(1)).unwrap();
    whole.write_all(b"whole").unwrap();
    assert_eq!(names(dir.path()), [".a.Contacts.csv.20261122T010000Z-00000001.partial"]);
    whole.seal().unwrap().leave();
    assert_eq!(names(dir.path()), [".a.Contacts.csv.20261122T010000Z-00000001.group.partial"]);
    for by in [Owner::Job, Owner::Query] {
        let swept = sweep_siblings(&dir.path().join("a.Contacts.csv"), by).unwrap();
        assert_eq!(swept, Vec::<PathBuf>::new());
    }
    let journaled = child.stages(&run(1));
    assert!(!may_remain(&journaled[0]) && may_remain(&journaled[1]));
    assert_eq!(discard(&journaled[0]).unwrap(), Swept::Gone);
    assert_eq!(discard(&journaled[1]).unwrap(), Swept::Removed, "a run that holds the journal may");
    // A query has no journal.
    let query = Output::from(output(dir.path().join("a.csv")).of_query());
    let [main, child] = &query.group(&["Contacts".to_owned()]).unwrap()[..] else { panic!() };
    assert_eq!([main.stages(&run(1)).len(), child.stages(&run(1)).len()], [1, 1]);
}

#[test]
fn a_crash_at_any_rename_is_recovered() {
    for renamed in 0..=3 {
        for if_exists in [IfExists::Replace, IfExists::Fail] {
            let dir = TempDir::new().unwrap();
            let outputs: Vec<_> =
                ["a.x.csv", "a.y.csv", "a.csv"].map(|name| output(dir.path().join(name))).into();
            let intent: Vec<(PathBuf, PathBuf)> = outputs
                .iter()
                .map(|output| {
                    (
                        leave_stage(output, 1, output.path().as_os_str().as_encoded_bytes()),
                        output.path().into(),
                    )
                })
                .collect();
            let looked: Vec<_> =
                intent.iter().map(|(stage, output)| known_files(stage, output).unwrap()).collect();
            // Old notes know of nothing.
            let known = if renamed % 2 == 0 { looked.as_slice() } else { &[] };
            for (stage, output) in &intent[..renamed] {
                fs::rename(stage, output).unwrap();
            }
            assert_eq!(recover_renames(&intent, known, if_exists).unwrap().published.len(), 3 - renamed);
            assert_eq!(names(dir.path()), ["a.csv", "a.x.csv", "a.y.csv"]);
            for output in &outputs {
                assert_eq!(fs::read(output.path()).unwrap(), output.path().as_os_str().as_encoded_bytes());
            }
            let again = recover_renames(&intent, known, if_exists).unwrap();
            assert_eq!(again, Recovered::default(), "a second time there is nothing to do");
        }
    }
}

#[test]
fn a_crash_between_link_and_unlink_leaves_one_name_after_recovery() {
    for if_exists in [IfExists::Replace, IfExists::Fail] {
        let dir = TempDir::new().unwrap();
        let output = output(dir.path().join("a.csv"));
        let stage = leave_stage(&output, 1, b"new");
        fs::hard_link(&stage, output.path()).unwrap();
        recover_renames(&[(stage, output.path().into())], &[], if_exists).unwrap();
        assert_eq!(names(dir.path()), ["a.csv"]);
    }
}

#[test]
fn recovery_replaces_nothing_where_that_is_forbidden_and_says_how_to_go_on() {
    let dir = TempDir::new().unwrap();
    let output = new_only(dir.path().join("a.csv"));
    let stage = leave_stage(&output, 1, b"new");
    fs::write(output.path(), "theirs").unwrap();
    let failure = recover_renames(&[(stage.clone(), output.path().into())], &[], IfExists::Fail).unwrap_err();
    assert_eq!(failure.exit, Exit::Output);
    assert!(failure.hint.unwrap().contains(&format!("remove {}", stage.display())));
    assert_eq!(fs::read(output.path()).unwrap(), b"theirs");
}

#[test]
fn a_write_error_keeps_its_kind_and_names_the_path() {
    // Every write to it fails as on a full disk.
    let full = Output::stream(File::options().write(true).open("/dev/full").unwrap());
    let mut full = full.stage(&run(1)).unwrap();
    let error = full.write_all(b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let failure = write_failure(error);
    assert!(failure.what.contains("standard output: No space left"), "{failure}");
    assert_eq!(failure.exit, Exit::Output);
}

#[test]
fn a_file_that_outgrows_its_limit_fails_with_its_name_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, "old").unwrap();
    // At most 512 bytes a file; a signal that is ignored becomes an error of the write.
    let done = child("outgrow", &path, "ulimit -f 1; trap '' XFSZ").wait_with_output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!((names(dir.path()), fs::read(&path).unwrap()), (vec!["a.csv".to_owned()], b"old".to_vec()));
}

#[test]
fn a_reader_that_went_away_is_told_from_other_errors() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut staged = Output::stream(writer).stage(&run(1)).unwrap();
    assert_eq!(staged.write_all(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

/// Says at its end, that of a panic too, that the threads beside may stop.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Starts this test program again, as another process that does `what` to `path`.
///
/// `before` is what the shell does first, to set limits and masks.
fn child(what: &str, path: &Path, before: &str) -> std::process::Child {
    Command::new("sh")
        .args(["-c", &format!("{before}; exec \"$0\" --exact output::tests::as_a_child --nocapture")])
        .arg(env::current_exe().unwrap())
        .env("SFEXPORT_TEST_CHILD", what)
        .env("SFEXPORT_TEST_PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test: what [`child`] does. The tests' own process passes through.
#[test]
fn as_a_child() {
    let (Ok(what), Some(path)) = (env::var("SFEXPORT_TEST_CHILD"), env::var_os("SFEXPORT_TEST_PATH")) else {
        return;
    };
    let output = output(PathBuf::from(path));
    match what.as_str() {
        "publish" => {
            publish(vec![sealed(&output, 1, b"new")]).unwrap();
        }
        "hold" => {
            let _staged = staged(&output, 1, b"half");
            io::stdout().write_all(b"the stage is open\n").unwrap();
            thread::sleep(std::time::Duration::from_secs(60));
        }
        "outgrow" => {
            let mut staged = output.stage(&run(1)).unwrap();
            let error = staged.write_all(&[b'x'; 4096]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            let failure = write_failure(error);
            assert!(
                failure.what.contains("a.csv") && failure.hint.unwrap().contains("ulimit"),
                "{}",
                failure.what
            );
        }
        _ => panic!("{what}"),
    }
}

#[test]
fn two_ways_to_one_file_are_one_location_to_lock() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    symlink("a.csv", dir.path().join("real/b.csv")).unwrap();
    let lock = |path: &str| output(dir.path().join(path)).lock_location().unwrap();
    let real = Location::File(dir.path().canonicalize().unwrap().join("real/2026/a.csv"));
    assert_eq!([lock("real/2026/a.csv"), lock("link/2026/a.csv")], [real.clone(), real]);
    // A link in the file's own place is replaced, so it is another output than its target.
    assert_ne!(lock("real/a.csv"), lock("real/b.csv"));
}

#[test]
fn recovery_data_of_version_0_1_is_read() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let data = |json: String| -> RecoveryData { serde_json::from_str(&json).unwrap() };
    let stages = [at(".a.Contacts.csv.20261122T010000Z-1f2e3d4c.partial"), at(".a.csv.partial")];
    for stage in &stages {
        fs::write(stage, "ours").unwrap();
    }
    let intent = data(format!(
        r#"{{"renamings":[[{{"path":"{}"}},{{"path":"{}"}}],[{{"bytes":{:?}}},{{"path":"{}"}}]],"if_exists":"replace"}}"#,
        stages[0],
        at("a.Contacts.csv"),
        stages[1].as_bytes(),
        at("a.csv"),
    ));
    let resolved = dir.path().canonicalize().unwrap();
    let outputs = ["a.Contacts.csv", "a.csv"].map(|name| Location::File(resolved.join(name)));
    assert_eq!(outputs_of(&intent).unwrap(), outputs);
    assert_eq!(recover(&intent).unwrap().published.len(), 2);
    assert_eq!(names(dir.path()), ["a.Contacts.csv", "a.csv"]);

    fs::write(&stages[0], "half").unwrap();
    let stage = data(format!(r#"{{"path":"{}"}}"#, stages[0]));
    assert!(may_remain(&stage));
    assert_eq!(discard(&stage).unwrap(), Swept::Removed);
    assert!(!may_remain(&stage));
    // With what was known of each file, written out by hand.
    fs::write(&stages[0], "ours").unwrap();
    let found = fs::metadata(&stages[0]).unwrap();
    let known = format!(
        r#"{{"stage":{{"device":{},"inode":{},"bytes":4,"modified":[{},{}]}},"former":null}}"#,
        found.dev(),
        found.ino(),
        found.mtime(),
        found.mtime_nsec()
    );
    let intent = data(format!(
        r#"{{"renamings":[[{{"path":"{}"}},{{"path":"{}"}}]],"known":[{known}],"if_exists":"fail"}}"#,
        stages[0],
        at("new.csv")
    ));
    assert_eq!(recover(&intent).unwrap().published.len(), 1);
    assert_eq!(names(dir.path()), ["a.Contacts.csv", "a.csv", "new.csv"]);
}

#[test]
fn recovery_data_of_an_unknown_form_fails_and_says_so() {
    let data = RecoveryData::new(serde_json::json!({"upload": "2~abc"}));
    for failure in [recover(&data).unwrap_err(), outputs_of(&data).unwrap_err(), discard(&data).unwrap_err()]
    {
        assert_eq!(failure.exit, Exit::Output);
        assert!(failure.hint.unwrap().contains("the version of sfexport that wrote it"));
    }
    assert!(may_remain(&data));
}

fn following(path: impl AsRef<Path>, root: &Path) -> Result<LocalFile, Failure> {
    output(path).within(root).following_links()
}

#[test]
fn a_followed_link_stays_and_its_target_is_replaced_atomically() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir(root.join("real")).unwrap();
    let (target, link) = (root.join("real/target.csv"), root.join("a.csv"));
    fs::write(&target, "old").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o604)).unwrap();
    // By way of a second one, relative and with `..`.
    symlink("../real/target.csv", root.join("real/second")).unwrap();
    symlink("real/second", &link).unwrap();
    let output = following(&link, &root).unwrap();
    let staged = staged(&output, 1, b"new");
    assert_eq!(names(&root.join("real"))[0], ".target.csv.20261122T010000Z-00000001.partial");
    let sealed = staged.seal().unwrap();
    assert_eq!(fs::read(&link).unwrap(), b"old");
    let published = publish(vec![sealed]).unwrap();
    assert_eq!(published[0].location, Location::File(link.clone()));
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("real/second"));
    assert_eq!((fs::read(&target).unwrap(), mode(&target)), (b"new".to_vec(), 0o604));
    assert_eq!(names(&root.join("real")), ["second", "target.csv"]);
    // Whoever writes the target itself writes the same file.
    assert_eq!(output.lock_location(), self::output(&target).lock_location());
    let dead = leave_stage(&output, 2, b"half");
    assert_eq!(dead.parent(), target.parent());
    Output::from(output).sweep().unwrap();
    assert!(!dead.exists());
}

#[test]
fn a_followed_link_that_points_nowhere_gets_its_target() {
    let dir = TempDir::new().unwrap();
    symlink("new.csv", dir.path().join("a.csv")).unwrap();
    let new = LocalFile::new(&dir.path().join("a.csv"), IfExists::Fail, None).unwrap();
    publish(vec![sealed(&new.following_links().unwrap(), 1, b"new")]).unwrap();
    assert_eq!(fs::read(dir.path().join("new.csv")).unwrap(), b"new");
    assert!(dir.path().join("a.csv").is_symlink());
    // Where there is no link, nothing is different.
    publish(vec![sealed(&following(dir.path().join("b.csv"), dir.path()).unwrap(), 1, b"new")]).unwrap();
    assert_eq!(names(dir.path()), ["a.csv", "b.csv", "new.csv"]);
}

#[test]
fn a_followed_link_must_lead_to_a_file_below_the_root() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(dir.path().join("outside.csv"), "old").unwrap();
    symlink("../outside.csv", root.join("out.csv")).unwrap();
    symlink("loop.csv", root.join("loop.csv")).unwrap();
    symlink("no/directory.csv", root.join("lost.csv")).unwrap();
    symlink(".", root.join("directory.csv")).unwrap();
    symlink(".b.csv.20261122T010000Z-1f2e3d4c.partial", root.join("stage.csv")).unwrap();
    for (name, with) in [
        ("out.csv", "out.csv is outside output_root: a link in its path leads to "),
        ("loop.csv", "cannot follow the link"),
        ("lost.csv", "cannot follow the link"),
        ("directory.csv", "it is a directory, not a file"),
        ("stage.csv", "reserved for unfinished exports"),
    ] {
        let failure = following(root.join(name), &root).and_then(|output| output.check()).unwrap_err();
        assert_eq!(failure.exit, Exit::Output);
        assert!(failure.what.contains(with), "{name}: {failure}");
    }
    assert_eq!(fs::read(dir.path().join("outside.csv")).unwrap(), b"old");
    // The root itself may be a link.
    symlink("root", dir.path().join("link")).unwrap();
    symlink("real.csv", root.join("in.csv")).unwrap();
    let linked = dir.path().join("link");
    publish(vec![sealed(&following(linked.join("in.csv"), &linked).unwrap(), 1, b"new")]).unwrap();
    assert_eq!(fs::read(root.join("real.csv")).unwrap(), b"new");
}

#[test]
fn files_next_to_a_followed_link_are_next_to_the_link() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real/main.csv", dir.path().join("a.csv")).unwrap();
    symlink("real/child.csv", dir.path().join("a.Contacts.csv")).unwrap();
    let main = Output::from(following(dir.path().join("a.csv"), dir.path()).unwrap());
    let group = main.group(&["Contacts".to_owned(), "Tasks".to_owned()]).unwrap();
    let seal = |output: &Output| output.stage(&run(1)).unwrap().seal().unwrap();
    publish(group.iter().map(seal).collect()).unwrap();
    assert_eq!(names(dir.path()), ["a.Contacts.csv", "a.Tasks.csv", "a.csv", "real"]);
    assert_eq!(names(&dir.path().join("real")), ["child.csv", "main.csv"]);
}

#[test]
fn a_link_and_a_hard_link_are_cautioned_of_where_they_are_replaced() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("target.csv"), "old").unwrap();
    symlink("target.csv", at("link.csv")).unwrap();
    let caution = |output: LocalFile| Output::from(output).caution().map(|caution| caution.what);
    assert_eq!(caution(output(at("target.csv"))), None);
    assert_eq!(caution(output(at("new.csv"))), None);
    let what = caution(output(at("link.csv"))).unwrap();
    assert!(what.contains("link.csv is a link to target.csv: a run replaces the link"), "{what}");
    assert_eq!(caution(following(at("link.csv"), dir.path()).unwrap()), None);
    fs::hard_link(at("target.csv"), at("second.csv")).unwrap();
    let what = caution(output(at("target.csv"))).unwrap();
    assert!(what.contains("target.csv is one of 2 hard links"), "{what}");
}

/// Says loudly that a test was left out; where nothing may be left out, it fails.
fn skip(why: &str) {
    assert!(env::var_os("CI").is_none(), "skipped under CI: {why}");
    io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}

#[test]
fn owner_and_group_of_the_replaced_file_are_kept() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root may give files away");
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::chown(&path, Some(12_345), Some(54_321)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let published = publish(vec![sealed(&output(&path), 1, b"new")]).unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), mode(&path)), (12_345, 54_321, 0o640));
    assert_eq!(published[0].warnings, [""; 0]);
}

#[test]
fn the_access_control_list_of_the_replaced_file_is_kept() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    const ACL: &str = "system.posix_acl_access";
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, "old").unwrap();
    // Version 2, then tag, permissions and id: user::rw-, user:12345:r--, group::---, mask::r--, other::---.
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 4, 12_345), (4, 0, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        acl.extend(id.to_le_bytes());
    }
    if setxattr(&path, ACL, &acl, XattrFlags::empty()).is_err() {
        return skip("the file system of temporary files has no access control lists");
    }
    let list = || {
        let mut found = vec![0; 100];
        let length = getxattr(&path, ACL, &mut found[..]).unwrap();
        found.truncate(length);
        found
    };
    let published = publish(vec![sealed(&output(&path), 1, b"new")]).unwrap();
    assert_eq!((fs::read(&path).unwrap(), list()), (b"new".to_vec(), acl.clone()));
    assert_eq!((mode(&path), published[0].warnings.len()), (0o640, 0));
    // Permissions that the job sets are the mask, as chmod's are.
    let asked = LocalFile::new(&path, IfExists::Replace, Some(0o600)).unwrap();
    publish(vec![sealed(&asked, 2, b"new")]).unwrap();
    acl[4 + 3 * 8 + 2] = 0;
    assert_eq!((list(), mode(&path)), (acl, 0o600));
}

#[test]
fn a_root_that_is_not_there_yet_has_no_links_to_follow() {
    let missing = |directory: &str, existing: &str| {
        local::is_missing(Path::new("/srv/exports"), Path::new(directory), Path::new(existing))
    };
    assert!(missing("/srv/exports", "/srv") && missing("/srv/exports/a/b", "/"));
    assert!(!missing("/srv/exports/a", "/srv/exports") && !missing("/srv/exports/a/b", "/srv/exports/a"));
    // A link below the root led out of it.
    assert!(!missing("/srv", "/srv"));
}
