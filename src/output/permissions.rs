//! The access rights of a file. An export that replaces a file gets that file's owner, group, permission bits and access
//! control list, as far as this user may set them. Other attributes are those of a new file.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::{XattrFlags, fgetxattr, fgetxattr_query, fsetxattr, getxattr, getxattr_query};

use super::local::failure;
use crate::error::{Failure, io_text};

/// The attribute that holds a POSIX access control list on Linux.
const ACL: &str = "system.posix_acl_access";

/// The access rights of a file.
#[derive(Debug, Clone)]
pub(super) struct Access {
    uid: u32,
    gid: u32,
    /// Without the set-user-id, set-group-id and sticky bits, which new contents must not inherit.
    mode: u32,
    acl: Option<Vec<u8>>,
}

impl Access {
    /// The access rights of the file at `path`; `None` if there is no file. For a link, those of its target, which is what its
    /// readers used.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self { uid: found.uid(), gid: found.gid(), mode: found.mode() & 0o777, acl: acl(path) })
    }

    /// Its permission bits.
    pub(super) fn mode(&self) -> u32 {
        self.mode
    }
}

/// Gives a finished stage the access rights of the file that it will replace at `output`, with the permission bits of
/// `file_mode` if they are set. Returns a warning for everything that could not be kept.
///
/// # Errors
/// [`Exit::Output`](crate::error::Exit::Output) if the permission bits cannot be set, since readers could lose access or
/// others could gain it.
pub(super) fn hand_on(
    stage: &File,
    old: Option<&Access>,
    file_mode: Option<u32>,
    output: &Path,
) -> Result<Vec<String>, Failure> {
    let cannot_look = |error| failure("cannot check the permissions of the export to", output, &error);
    let Some(mode) = file_mode.or(old.map(Access::mode)) else { return Ok(Vec::new()) };
    let mut lost = Vec::new();
    if let Some(old) = old {
        let new = stage.metadata().map_err(cannot_look)?;
        lost.extend(keep_owner(stage, old, (new.uid(), new.gid()), mode, output));
        lost.extend(keep_acl(stage, old, output));
    }
    // The bits are set last, because setting the owner and the list changes them.
    if stage.metadata().map_err(cannot_look)?.mode() & 0o7777 != mode {
        stage.set_permissions(fs::Permissions::from_mode(mode)).map_err(|error| {
            let doing = format!("cannot set the permissions {mode:04o} on the export to");
            let hint = match file_mode {
                Some(_) => {
                    "remove file_mode, or write to a file system on which this user may set permissions"
                }
                None => {
                    "set file_mode to the permissions that new files have there, or move the old file away"
                }
            };
            failure(&doing, output, &error).hint(hint)
        })?;
    }
    Ok(lost)
}

fn keep_owner(stage: &File, old: &Access, new: (u32, u32), mode: u32, output: &Path) -> Vec<String> {
    let (uid, gid) = new;
    if (old.uid, old.gid) == new || fchown(stage, Some(old.uid), Some(old.gid)).is_ok() {
        return Vec::new();
    }
    let group_is_kept = old.gid == gid || fchown(stage, None, Some(old.gid)).is_ok();
    // Users who only have the rights of others lose nothing.
    let can_all_read = mode & 0o004 != 0;
    let mut lost = Vec::new();
    if !group_is_kept && mode & 0o040 != 0 && !can_all_read {
        lost.push(format!(
            "the group of {} changed from {} to {gid}, so different users may be able to read it; to keep the group, make \
             sfexport's user a member of it",
            output.display(),
            old.gid
        ));
    }
    if old.uid != uid && mode & 0o400 != 0 && !can_all_read {
        lost.push(format!(
            "the owner of {} changed from user {} to user {uid}, so the previous owner may not be able to read it; only \
             root can keep the owner",
            output.display(),
            old.uid
        ));
    }
    lost
}

fn keep_acl(stage: &File, old: &Access, output: &Path) -> Option<String> {
    let acl = old.acl.as_ref()?;
    if acl_of(stage).as_ref() == Some(acl) {
        return None;
    }
    let error = fsetxattr(stage, ACL, acl, XattrFlags::empty()).err()?;
    Some(format!(
        "cannot keep the access control list of {}: {}; give the directory a default list (setfacl -d)",
        output.display(),
        io_text(&error.into())
    ))
}

fn acl(path: &Path) -> Option<Vec<u8>> {
    let mut acl = vec![0; getxattr_query(path, ACL).ok()?];
    let length = getxattr(path, ACL, &mut acl[..]).ok()?;
    acl.truncate(length);
    Some(acl)
}

fn acl_of(file: &File) -> Option<Vec<u8>> {
    let mut acl = vec![0; fgetxattr_query(file, ACL).ok()?];
    let length = fgetxattr(file, ACL, &mut acl[..]).ok()?;
    acl.truncate(length);
    Some(acl)
}
