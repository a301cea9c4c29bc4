//! The names of stages: `.NAME.RUNID.partial` next to the output NAME, `.NAME.RUNID.query.partial` for a query, and
//! `.NAME.RUNID.group.partial` for a finished stage that waits for the others of its group.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use aws_lc_rs::digest;

use crate::report::RunId;

/// Whose a stage is, as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A job's: in the journal of its state directory.
    Job,
    /// A query's without a job: nobody knows of it but by its name.
    Query,
    /// A job's, whole, and waiting for the others of its group: only a run that holds its journal may touch it.
    Group,
}

/// Each owner's ending. None ends with another's, since a run's id holds no dot.
const SUFFIXES: [(Owner, &[u8]); 3] =
    [(Owner::Job, b".partial"), (Owner::Query, b".query.partial"), (Owner::Group, b".group.partial")];

/// The longest file name that Linux's and macOS's own file systems take.
const NAME_MAX: usize = 255;

/// The name of the stage of the output called `output`, for `run`.
pub(crate) fn of(output: &OsStr, run: &RunId, owner: Owner) -> OsString {
    let mut name = prefix(output);
    name.extend_from_slice(run.as_str().as_bytes());
    for (_, suffix) in SUFFIXES.iter().filter(|(whose, _)| *whose == owner) {
        name.extend_from_slice(suffix);
    }
    OsString::from_vec(name)
}

/// Whose stage of the output called `output` has this name, of whatever run; `None` where it is no stage of it.
pub(crate) fn owner(output: &OsStr, name: &OsStr) -> Option<Owner> {
    let rest = name.as_bytes().strip_prefix(prefix(output).as_slice())?;
    let is_stage = |suffix: &[u8]| {
        let run = rest.strip_suffix(suffix).and_then(|run| str::from_utf8(run).ok());
        run.is_some_and(|run| RunId::parse(run).is_some())
    };
    SUFFIXES.into_iter().find(|(_, suffix)| is_stage(suffix)).map(|(owner, _)| owner)
}

/// Whether a file of this name would be a stage of some output. No output may be: a sweep would remove it.
pub(crate) fn is_stage(name: &OsStr) -> bool {
    let Some(rest) = name.as_bytes().strip_prefix(b".") else { return false };
    SUFFIXES.iter().any(|(_, suffix)| {
        let named = rest
            .strip_suffix(*suffix)
            .and_then(|named| named.split_at_checked(named.len() - RunId::LEN.min(named.len())));
        named.is_some_and(|(output, run)| {
            output.len() > 1
                && output.ends_with(b".")
                && str::from_utf8(run).is_ok_and(|run| RunId::parse(run).is_some())
        })
    })
}

/// `.NAME.`; a name too long for it is cut and ends with a hash of the whole.
fn prefix(output: &OsStr) -> Vec<u8> {
    const ROOM: usize = NAME_MAX - 2 - RunId::LEN - SUFFIXES[1].1.len();
    const HASH: usize = 8;
    let name = output.as_bytes();
    let mut prefix = vec![b'.'];
    if name.len() <= ROOM {
        prefix.extend_from_slice(name);
    } else {
        prefix.extend_from_slice(cut(name, ROOM - 1 - 2 * HASH));
        prefix.push(b'~');
        for byte in &digest::digest(&digest::SHA256, name).as_ref()[..HASH] {
            prefix.extend_from_slice(format!("{byte:02x}").as_bytes());
        }
    }
    prefix.push(b'.');
    prefix
}

/// The first `len` bytes, less those of a character cut in two: some file systems take only whole ones.
fn cut(name: &[u8], len: usize) -> &[u8] {
    let is_inside = |byte: u8| byte & 0xC0 == 0x80;
    let end = (0..=len).rev().find(|end| !is_inside(name[*end])).unwrap_or(len);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::{Owner, is_stage, of, owner};
    use crate::report::RunId;

    fn run() -> RunId {
        RunId::parse("20261122T010000Z-1f2e3d4c").unwrap()
    }

    #[test]
    fn a_stage_is_a_hidden_sibling_named_after_its_output_and_run() {
        let name = |owner| of(OsStr::new("a.csv"), &run(), owner);
        assert_eq!(name(Owner::Job), ".a.csv.20261122T010000Z-1f2e3d4c.partial");
        assert_eq!(name(Owner::Query), ".a.csv.20261122T010000Z-1f2e3d4c.query.partial");
        assert_eq!(name(Owner::Group), ".a.csv.20261122T010000Z-1f2e3d4c.group.partial");
    }

    #[test]
    fn a_stage_belongs_to_one_output_only() {
        for whose in [Owner::Job, Owner::Query, Owner::Group] {
            let stage = of(OsStr::new("a.csv"), &run(), whose);
            assert_eq!(owner(OsStr::new("a.csv"), &stage), Some(whose));
            assert_eq!(owner(OsStr::new("a"), &stage), None);
            assert_eq!(owner(OsStr::new("b.csv"), &stage), None);
            // The output called `a.csv.RUNID.partial` has stages that look like the stages of `a.csv`, one longer.
            let longer = of(OsStr::new("a.csv.20261122T010000Z-1f2e3d4c.partial"), &run(), whose);
            assert_eq!(owner(OsStr::new("a.csv"), &longer), None);
        }
        assert_eq!(owner(OsStr::new("a.csv"), OsStr::new(".a.csv.old.partial")), None);
    }

    #[test]
    fn whatever_is_a_stage_of_some_output_is_told_by_its_name() {
        for output in ["a.csv", "a", &"n".repeat(255), ".hidden.csv"] {
            for whose in [Owner::Job, Owner::Query, Owner::Group] {
                assert!(is_stage(&of(OsStr::new(output), &run(), whose)), "{output}");
            }
        }
        for name in [
            "",
            ".",
            ".partial",
            "a.csv",
            ".a.csv.partial",
            ".20261122T010000Z-1f2e3d4c.partial",
            "..20261122T010000Z-1f2e3d4c.partial",
            "a.csv.20261122T010000Z-1f2e3d4c.partial",
            ".a.csv.20261122T010000Z-1f2e3d4c.partial.csv",
            ".a.csv20261122T010000Z-1f2e3d4c.partial",
            ".a.csv.20261122T010000Z-1F2E3D4C.partial",
        ] {
            assert!(!is_stage(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_name_too_long_for_a_stage_is_cut_between_characters_and_told_apart_by_its_hash() {
        for len in 205..=255 {
            for whose in [Owner::Job, Owner::Query, Owner::Group] {
                let stage = of(OsStr::new(&"n".repeat(len)), &run(), whose);
                assert!(stage.len() <= 255, "{len}: {}", stage.len());
                assert_eq!(owner(OsStr::new(&"n".repeat(len)), &stage), Some(whose));
                assert_eq!(owner(OsStr::new(&"n".repeat(len - 1)), &stage), None);
            }
        }
        for shift in 0..4 {
            let name = format!("{}{}", "n".repeat(shift), "\u{1F600}".repeat(62));
            let stage = of(OsStr::new(&name), &run(), Owner::Query);
            assert!(stage.len() <= 255 && str::from_utf8(stage.as_bytes()).is_ok(), "{stage:?}");
        }
        // No character at all: cut anywhere.
        assert!(of(OsStr::from_bytes(&[0x80; 255]), &run(), Owner::Query).len() <= 255);
    }
}
