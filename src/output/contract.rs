//! What every kind of output promises, as one suite that runs over all of them.

use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::memory::Memory;
use super::{LocalFile, Output, Published, Reached, Sealed, Staged, intent, publish, recover};
use crate::error::Exit;
use crate::job::IfExists;
use crate::report::RunId;

/// An output under test, seen from outside.
trait Place {
    fn output(&self, name: &str, if_exists: IfExists) -> Output;

    /// What a reader finds under this name.
    fn contents(&self, name: &str) -> Option<Vec<u8>>;

    /// Puts something there as somebody else.
    fn put(&self, name: &str, contents: &[u8]);

    /// How many unpublished stages there are.
    fn stages(&self) -> usize;

    /// Makes publishing under this name impossible, past what `check` can see.
    fn refuse(&self, name: &str);

    /// Undoes [`Place::refuse`].
    fn permit(&self, name: &str);
}

struct Local(TempDir);

impl Place for Local {
    fn output(&self, name: &str, if_exists: IfExists) -> Output {
        LocalFile::new(&self.0.path().join(name), if_exists, None).unwrap().into()
    }

    fn contents(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.0.path().join(name)).ok()
    }

    fn put(&self, name: &str, contents: &[u8]) {
        fs::write(self.0.path().join(name), contents).unwrap();
    }

    fn stages(&self) -> usize {
        let names = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| {
                name.to_str().unwrap().starts_with(".") && name.to_str().unwrap().ends_with(".partial")
            })
            .count()
    }

    /// The stage loses its name, and a rename its source.
    fn refuse(&self, name: &str) {
        self.rename_stages(&format!(".{name}."), "away.");
    }

    fn permit(&self, name: &str) {
        self.rename_stages(&format!("away..{name}."), "");
    }
}

impl Local {
    fn rename_stages(&self, prefix: &str, new_prefix: &str) {
        for entry in fs::read_dir(self.0.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with(prefix) {
                let new = format!("{new_prefix}{}", name.trim_start_matches("away."));
                fs::rename(self.0.path().join(&name), self.0.path().join(new)).unwrap();
            }
        }
    }
}

impl Place for Memory {
    fn output(&self, name: &str, if_exists: IfExists) -> Output {
        Self::output(self, name, if_exists)
    }

    fn contents(&self, name: &str) -> Option<Vec<u8>> {
        Self::contents(self, name)
    }

    fn put(&self, name: &str, contents: &[u8]) {
        Self::put(self, name, contents);
    }

    fn stages(&self) -> usize {
        Self::stages(self)
    }

    fn refuse(&self, name: &str) {
        Self::refuse(self, name);
    }

    fn permit(&self, _name: &str) {}
}

/// What a stream's reader has got.
#[derive(Clone, Default)]
struct Reader(Arc<Mutex<Vec<u8>>>);

impl Write for Reader {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a test over every kind of output that has stages.
fn over_all(test: fn(&dyn Place)) {
    test(&Local(TempDir::new().unwrap()));
    test(&Memory::default());
}

fn run(n: u32) -> RunId {
    RunId::new(jiff::Timestamp::from_second(1_795_309_200).unwrap(), n.into())
}

fn staged(output: &Output, contents: &[u8]) -> Box<dyn Staged> {
    let mut staged = output.stage(&run(1)).unwrap();
    staged.write_all(contents).unwrap();
    staged
}

fn sealed(output: &Output, contents: &[u8]) -> Box<dyn Sealed> {
    staged(output, contents).seal().unwrap()
}

/// printf new | sha256sum
const NEW: &str = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437";

fn expected(output: &Output) -> Published {
    let (sha256, warnings) = (NEW.to_owned(), Vec::new());
    Published { location: output.location(), bytes: 3, raw_bytes: None, sha256, warnings }
}

#[test]
fn an_output_is_the_old_one_until_it_is_the_new_one() {
    over_all(|place| {
        place.put("a.csv", b"old");
        let output = place.output("a.csv", IfExists::Replace);
        assert!(output.exists());
        output.check().unwrap();
        let mut staged = output.stage(&run(1)).unwrap();
        for piece in [b"n", b"e", b"w"] {
            staged.write_all(piece).unwrap();
            assert_eq!(place.contents("a.csv").unwrap(), b"old");
        }
        let sealed = staged.seal().unwrap();
        assert_eq!((place.contents("a.csv").unwrap(), place.stages()), (b"old".to_vec(), 1));
        assert_eq!(publish(vec![sealed]).unwrap(), [expected(&output)]);
        assert_eq!((place.contents("a.csv").unwrap(), place.stages()), (b"new".to_vec(), 0));
    });
}

#[test]
fn an_output_begins_where_nothing_was() {
    over_all(|place| {
        let output = place.output("a.csv", IfExists::Fail);
        assert!(!output.exists());
        publish(vec![sealed(&output, b"new")]).unwrap();
        assert_eq!(place.contents("a.csv").unwrap(), b"new");
        assert!(output.exists());
    });
}

#[test]
fn what_is_dropped_leaves_the_old_output_and_no_stage() {
    over_all(|place| {
        place.put("a.csv", b"old");
        let output = place.output("a.csv", IfExists::Replace);
        drop(staged(&output, b"half"));
        assert_eq!(place.stages(), 0);
        drop(sealed(&output, b"whole"));
        assert_eq!((place.contents("a.csv").unwrap(), place.stages()), (b"old".to_vec(), 0));
    });
}

#[test]
fn a_restart_begins_from_nothing() {
    over_all(|place| {
        let output = place.output("a.csv", IfExists::Replace);
        let mut staged = staged(&output, b"a long first attempt");
        staged.restart().unwrap();
        staged.write_all(b"new").unwrap();
        assert_eq!(publish(vec![staged.seal().unwrap()]).unwrap(), [expected(&output)]);
        assert_eq!(place.contents("a.csv").unwrap(), b"new");
    });
}

#[test]
fn if_exists_fail_holds_before_the_run_and_at_its_end() {
    over_all(|place| {
        let output = place.output("a.csv", IfExists::Fail);
        let early = sealed(&output, b"ours");
        // Past the look before publishing: only publishing itself can refuse.
        let mut late = output.stage(&run(2)).unwrap().seal().unwrap();
        place.put("a.csv", b"theirs");
        for failure in [output.check().unwrap_err(), output.stage(&run(3)).err().unwrap()] {
            assert_eq!(failure.exit, Exit::Output);
            assert!(failure.what.contains("a.csv already exists"), "{failure}");
        }
        assert_eq!(publish(vec![early]).unwrap_err().reached, Reached::Nothing);
        assert!(late.publish().unwrap_err().what.contains("a.csv already exists"));
        drop(late);
        assert_eq!((place.contents("a.csv").unwrap(), place.stages()), (b"theirs".to_vec(), 0));
    });
}

#[test]
fn a_group_has_its_files_next_to_the_main_one() {
    over_all(|place| {
        let group = place.output("a.csv", IfExists::Replace).group(&["Contacts".to_owned()]).unwrap();
        let names = ["a.csv", "a.Contacts.csv"];
        for (output, name) in group.iter().zip(names) {
            assert_eq!(output.location(), place.output(name, IfExists::Replace).location());
        }
        let sealed: Vec<_> = group.iter().rev().map(|output| sealed(output, b"new")).collect();
        let published = publish(sealed).unwrap();
        assert_eq!(published, [expected(&group[1]), expected(&group[0])]);
        assert_eq!(names.map(|name| place.contents(name).unwrap()), [b"new", b"new"]);
        assert_eq!(place.stages(), 0);
    });
}

#[test]
fn a_group_whose_first_file_fails_changes_nothing() {
    over_all(|place| {
        place.put("a.csv", b"old");
        let group = place.output("a.csv", IfExists::Replace).group(&["Contacts".to_owned()]).unwrap();
        let sealed: Vec<_> = group.iter().rev().map(|output| sealed(output, b"new")).collect();
        place.refuse("a.Contacts.csv");
        let refused = publish(sealed).unwrap_err();
        assert_eq!((refused.failure.exit, refused.reached), (Exit::Output, Reached::Nothing));
        assert_eq!(place.contents("a.csv").unwrap(), b"old");
        assert_eq!((place.contents("a.Contacts.csv"), place.stages()), (None, 0));
    });
}

#[test]
fn a_group_that_fails_in_its_middle_keeps_what_finishes_it() {
    over_all(|place| {
        place.put("a.csv", b"old");
        let group = place.output("a.csv", IfExists::Replace).group(&["Contacts".to_owned()]).unwrap();
        let sealed: Vec<_> = group.iter().rev().map(|output| sealed(output, b"new")).collect();
        let intent = intent(&sealed).unwrap();
        place.refuse("a.csv");
        assert_eq!(publish(sealed).unwrap_err().reached, Reached::Some);
        place.permit("a.csv");
        assert_eq!(place.contents("a.Contacts.csv").unwrap(), b"new");
        assert_eq!((place.contents("a.csv").unwrap(), place.stages()), (b"old".to_vec(), 1));
        // A memory dies with its process, so it has nothing to recover.
        if let Some(intent) = intent {
            assert_eq!(recover(&intent).unwrap().published, [group[0].location()]);
            assert_eq!((place.contents("a.csv").unwrap(), place.stages()), (b"new".to_vec(), 0));
        }
    });
}

#[test]
fn a_stream_leaves_as_it_is_written_and_cannot_begin_again() {
    let reader = Reader::default();
    let read = || reader.0.lock().unwrap().clone();
    let output = Output::stream(reader.clone());
    assert_eq!((output.location().to_string(), output.lock_location()), ("-".to_owned(), None));
    assert!(!output.exists() && output.stages(&run(1)).is_empty());
    output.check().unwrap();
    output.sweep().unwrap();
    let mut staged = output.stage(&run(1)).unwrap();
    // Nothing has left yet.
    staged.restart().unwrap();
    staged.write_all(b"new").unwrap();
    assert_eq!(read(), b"new");
    assert!(!staged.can_restart());
    assert_eq!(staged.restart().unwrap_err().exit, Exit::Incomplete);
    let sealed = vec![staged.seal().unwrap()];
    assert_eq!(intent(&sealed).unwrap(), None);
    assert_eq!(publish(sealed).unwrap(), [expected(&output)]);
    assert_eq!(read(), b"new");
    assert_eq!(output.stage(&run(2)).err().unwrap().exit, Exit::General);
}

#[test]
fn a_stream_has_no_place_for_further_files() {
    let output = Output::stream(io::sink());
    assert_eq!(output.group(&[]).unwrap().len(), 1);
    assert_eq!(output.group(&["Contacts".to_owned()]).err().unwrap().exit, Exit::Usage);
}
