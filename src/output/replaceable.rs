//! Whether a rename can replace a file. Write access to its directory is not enough for a mount point, an immutable file
//! or another user's file in a sticky directory, and a rename would fail only after the whole download.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Exit, Failure};

/// Refuses what is at `path` if it cannot be replaced.
///
/// # Errors
/// [`Exit::Output`], with the reason.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    match attributes(path).or_else(|| sticky(path)) {
        None => Ok(()),
        Some((why, hint)) => {
            let what = format!("cannot replace {}: {why}", path.display());
            Err(Failure::new(Exit::Output, what).hint(hint))
        }
    }
}

/// The reason, and what to do.
type Refusal = (&'static str, String);

#[cfg(target_os = "linux")]
fn attributes(path: &Path) -> Option<Refusal> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let of = |path: &Path| {
        let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).ok();
        found.map_or(StatxAttributes::empty(), |found| found.stx_attributes)
    };
    let file = of(path);
    if file.contains(StatxAttributes::MOUNT_ROOT) {
        let why = "it is mounted as a single file, and a mount point cannot be replaced";
        return Some((why, "mount the directory that holds it instead of the file".to_owned()));
    }
    if file.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
        let why = "it has the immutable or append-only attribute";
        return Some((why, format!("remove the attribute with chattr -i -a {}", path.display())));
    }
    let directory = path.parent().filter(|directory| of(directory).contains(StatxAttributes::APPEND))?;
    let why = "its directory has the append-only attribute";
    Some((why, format!("remove the attribute with chattr -a {}", directory.display())))
}

#[cfg(not(target_os = "linux"))]
fn attributes(_path: &Path) -> Option<Refusal> {
    None
}

/// In a directory with the sticky bit, such as /tmp, only the owner of a file or of the directory replaces the file.
fn sticky(path: &Path) -> Option<Refusal> {
    const STICKY: u32 = 0o1000;
    let user = rustix::process::geteuid().as_raw();
    let directory = fs::metadata(path.parent()?).ok()?;
    let file = fs::symlink_metadata(path).ok()?;
    let may = directory.mode() & STICKY == 0 || [0, file.uid(), directory.uid()].contains(&user);
    let why = "it belongs to another user, and its directory has the sticky bit";
    (!may).then(|| (why, format!("remove it, or run sfexport as its owner, user {}", file.uid())))
}
