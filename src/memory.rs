//! How much memory this process may use: the limit of its control group or of one above it, as containers, systemd
//! and batch systems set it. What follows from it is decided by `config`.

use std::fs;
use std::path::Path;

/// The lowest limit that applies, in bytes; `None` if there is none, or no control groups.
#[must_use]
pub fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(&groups, Path::new("/sys/fs/cgroup"))
}

/// The same, given what `/proc/self/cgroup` says and where control groups are mounted.
fn limit_of(groups: &str, mount: &Path) -> Option<u64> {
    groups.lines().filter_map(|line| limit_of_group(line, mount)).min()
}

/// `0::/system.slice/x.service` of version 2, `4:memory:/docker/1a2b` of version 1.
fn limit_of_group(line: &str, mount: &Path) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (root, file) = if controllers.is_empty() {
        (mount.to_owned(), "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        (mount.join("memory"), "memory.limit_in_bytes")
    } else {
        return None;
    };
    // In a container the path may be one of the host, which is not there: the root is then the container's own.
    let path = if path.contains("..") { "" } else { path.trim_start_matches('/') };
    let group = root.join(path);
    let groups = group.ancestors().take_while(|group| group.starts_with(&root));
    groups.filter_map(|group| read(&group.join(file))).min()
}

/// A limit; `max`, or about the largest number, is none.
fn read(file: &Path) -> Option<u64> {
    const NONE: u64 = 1 << 62;
    let text = fs::read_to_string(file).ok()?;
    text.trim().parse().ok().filter(|limit| *limit < NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_on_the_way_up_applies() {
        let mount = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory.max", "max\n");
        write("system.slice/memory.max", "2147483648\n");
        write("system.slice/sfexport.service/memory.max", "1073741824\n");
        write("pods.slice/memory.max", "536870912\n");
        write("pods.slice/pod.slice/memory.max", "max\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/docker/1a2b/memory.limit_in_bytes", "268435456\n");
        write("damaged.slice/memory.max", "lots\n");
        for (groups, expected) in [
            ("0::/system.slice/sfexport.service\n", Some(1 << 30)),
            ("0::/system.slice\n", Some(2 << 30)),
            ("0::/pods.slice/pod.slice\n", Some(1 << 29)),
            ("0::/\n", None),
            ("0::/damaged.slice\n", None),
            ("0::/not/there\n", None),
            ("9:name=systemd:/docker/1a2b\n4:cpu,memory:/docker/1a2b\n0::/\n", Some(1 << 28)),
            ("4:memory:/\n", None),
            ("4:cpu:/docker/1a2b\n", None),
            ("nonsense\n\n", None),
        ] {
            assert_eq!(limit_of(groups, mount.path()), expected, "{groups:?}");
        }
    }

    #[test]
    fn a_container_sees_its_own_limit_at_the_root() {
        let mount = tempfile::tempdir().unwrap();
        fs::write(mount.path().join("memory.max"), "268435456\n").unwrap();
        for groups in ["0::/\n", "0::/../../kubepods/pod1/abc\n", "0::/kubepods/pod1/abc\n"] {
            assert_eq!(limit_of(groups, mount.path()), Some(1 << 28), "{groups:?}");
        }
    }
}
