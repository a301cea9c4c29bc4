//! The program of a command: where it is found, and whether the kernel would start it. Nothing is started.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::super::object::Warning;
use crate::error::{Exit, Failure, io_text, plain};

/// Where programs are without a `PATH`, as in execvp(3).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// How much of a file the kernel looks at to find out what it is, in bytes.
const MAX_LOOKED_AT: u64 = 256;

/// How many scripts may be each other's interpreters, as in execve(2).
const MAX_INTERPRETERS: usize = 4;

/// The formats that the kernel leaves to other programs, each with a file: binfmt_misc.
const OTHER_FORMATS: &str = "/proc/sys/fs/binfmt_misc";

/// A program that can be started, as far as that can be known.
pub(crate) struct Program {
    /// Where it was found.
    pub(crate) path: PathBuf,
    /// Why it may not start.
    pub(crate) warning: Option<Warning>,
}

/// Finds a program, and looks at its beginning as the kernel does.
///
/// # Errors
/// [`Exit::Configuration`] if it could not be started.
pub(super) fn startable(program: &OsStr) -> Result<Program, Failure> {
    let name = program.to_string_lossy().into_owned();
    let refused = |why: &str| {
        let what = format!("\"{}\" cannot be started: {why}", plain(&name));
        Failure::new(Exit::Configuration, what)
    };
    let path =
        find(program).map_err(|error| refused(&io_text(&error)).hint("correct the program in `after`"))?;
    match obstacle(&path, MAX_INTERPRETERS) {
        Some(Obstacle { what, hint, is_certain: true }) => Err(refused(&what).hint(hint)),
        obstacle => {
            let warning = obstacle.map(|Obstacle { what, hint, .. }| Warning {
                what: format!("\"{}\" may not start: {what}", plain(&name)),
                hint,
            });
            Ok(Program { path, warning })
        }
    }
}

/// Finds a program as starting it would: in `PATH`, unless its name has a slash.
///
/// # Errors
/// If there is none that this user may execute.
fn find(program: &OsStr) -> io::Result<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return is_program(Path::new(program)).map(|()| program.into());
    }
    let directories = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let mut refused = None;
    for directory in std::env::split_paths(&directories) {
        let path = directory.join(program);
        match is_program(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused = Some(error),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error())))
}

/// # Errors
/// If this user may not execute the file, or there is none.
fn is_program(path: &Path) -> io::Result<()> {
    rustix::fs::access(path, Access::EXEC_OK)?;
    if path.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
}

/// Why an executable file would not start.
#[derive(Debug, PartialEq, Eq)]
struct Obstacle {
    what: String,
    hint: String,
    /// Whether the kernel refuses it; otherwise it may.
    is_certain: bool,
}

fn obstacle(path: &Path, interpreters: usize) -> Option<Obstacle> {
    // What is not a file may wait for a writer.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_LOOKED_AT).read_to_end(&mut beginning));
    // The kernel may read what this user may not.
    read.ok()?;
    if beginning.starts_with(b"\x7fELF") {
        return None;
    }
    let shown = plain(&path.to_string_lossy()).into_owned();
    let certain = |what: String, hint: String| Some(Obstacle { what, hint, is_certain: true });
    let Some(line) = beginning.strip_prefix(b"#!") else {
        let hint = format!(
            "begin {shown} with the line of its interpreter, such as #!/bin/sh, or name the interpreter first in `after`"
        );
        let what = match beginning.as_slice() {
            [] => "the file is empty",
            [0xef, 0xbb, 0xbf, ..] => "it begins with a byte order mark",
            text if is_text(text) => "it is a text that does not begin with #!",
            _ => "it is in a format that only some systems start",
        };
        let is_certain = beginning.is_empty() || is_text(&beginning);
        let is_taken = || is_certain && !beginning.is_empty() && has_format_of(path);
        return (!is_taken()).then(|| Obstacle { what: what.to_owned(), hint, is_certain });
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let mut words = line.split(is_space).filter(|word| !word.is_empty());
    let Some(interpreter) = words.next() else {
        let hint = format!("write the interpreter in the first line of {shown}, as in #!/bin/sh");
        return certain("its first line names no interpreter".to_owned(), hint);
    };
    let has_return = line.ends_with(b"\r");
    let lines = || format!("give {shown} the line ends of Unix (LF, not CRLF)");
    let interpreter = PathBuf::from(OsString::from_vec(interpreter.to_vec()));
    let name = plain(&interpreter.to_string_lossy()).into_owned();
    if let Err(error) = is_program(&interpreter) {
        let what = format!("the interpreter \"{name}\" in its first line: {}", io_text(&error));
        let hint = match has_return && words.next().is_none() {
            true => lines(),
            false => format!("correct the interpreter in the first line of {shown}"),
        };
        return certain(what, hint);
    }
    if has_return {
        let what = format!("its first line gives \"{name}\" an argument that ends with a carriage return");
        return Some(Obstacle { what, hint: lines(), is_certain: false });
    }
    let of_interpreter = obstacle(&interpreter, interpreters.checked_sub(1)?)?;
    let what = format!("the interpreter \"{name}\" in its first line: {}", of_interpreter.what);
    Some(Obstacle { what, ..of_interpreter })
}

/// Whether a file that begins like this is a text.
fn is_text(beginning: &[u8]) -> bool {
    !beginning.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

/// Whether a format that another program starts is known by the ending of the file's name.
fn has_format_of(path: &Path) -> bool {
    let Some(ending) = path.extension().and_then(OsStr::to_str) else { return false };
    let formats = fs::read_dir(OTHER_FORMATS).into_iter().flatten().flatten();
    let mut texts = formats.filter_map(|format| fs::read_to_string(format.path()).ok());
    texts.any(|text| {
        let mut lines = text.lines();
        lines.next() == Some("enabled")
            && lines.any(|line| line.strip_prefix("extension .").is_some_and(|known| known == ending))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(contents: &[u8]) -> Option<(String, bool)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("script");
        fs::write(&path, contents).unwrap();
        obstacle(&path, MAX_INTERPRETERS).map(|obstacle| (obstacle.what, obstacle.is_certain))
    }

    #[test]
    fn what_the_kernel_starts_has_no_obstacle() {
        for contents in [
            &b"#!/bin/sh\ntrue\n"[..],
            b"#!/bin/sh",
            b"#! \t/usr/bin/env no-such-program\n",
            b"#!/bin/sh -e\ntrue\r\n",
            b"\x7fELF",
        ] {
            assert_eq!(found(contents), None, "{}", String::from_utf8_lossy(contents));
        }
    }

    #[test]
    fn what_it_may_not_start_is_uncertain() {
        let (_, is_certain) = found(b"\xca\xfe\xba\xbe\0\0").unwrap();
        assert!(!is_certain);
        let (what, is_certain) = found(b"#!/usr/bin/env sh\r\ntrue\r\n").unwrap();
        assert_eq!(
            what,
            "its first line gives \"/usr/bin/env\" an argument that ends with a carriage return"
        );
        assert!(!is_certain);
    }

    #[test]
    fn what_it_refuses_is_told_with_the_reason() {
        for (contents, expected) in [
            (&b""[..], "the file is empty"),
            (b"echo done\n", "it is a text that does not begin with #!"),
            ("\u{feff}#!/bin/sh\n".as_bytes(), "it begins with a byte order mark"),
            (b"#! \n", "its first line names no interpreter"),
            (
                b"#!/nonexistent -x\n",
                "the interpreter \"/nonexistent\" in its first line: No such file or directory",
            ),
            (b"#!/etc/passwd\n", "the interpreter \"/etc/passwd\" in its first line: Permission denied"),
            (b"#!/etc\n", "the interpreter \"/etc\" in its first line: is a directory"),
        ] {
            assert_eq!(found(contents), Some((expected.to_owned(), true)));
        }
    }
}
