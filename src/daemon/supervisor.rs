//! Notifies systemd, or whatever else set NOTIFY_SOCKET, that the process is ready, reloading, stopping and alive, by
//! the protocol of sd_notify(3).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::error::io_text;

/// The supervisor of this process, if it has one.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The supervisor that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID name. If it cannot be reached, that is logged,
    /// and there is none.
    #[must_use]
    pub fn of_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let Some(address) = variable("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Self::default();
        };
        let socket = match connect(&address) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(error = io_text(&error), "cannot reach the supervisor at NOTIFY_SOCKET");
                return Self::default();
            }
        };
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        // The variables are inherited; they are for one process.
        let is_meant = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|limit| is_meant && *limit > 0);
        Self { socket: Some(socket), watchdog: watchdog.map(Duration::from_micros) }
    }

    /// How often it must be notified that the process is alive: twice in the watchdog's time.
    #[must_use]
    pub fn alive_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    pub(super) fn ready(&self, status: &str) {
        self.notify(&format!("READY=1\nSTATUS={status}"));
    }

    pub(super) fn reloading(&self) {
        // `Type=notify-reload` accepts the message only with its time.
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    pub(super) fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    pub(super) fn alive(&self) {
        if self.watchdog.is_some() {
            self.notify("WATCHDOG=1");
        }
    }

    fn notify(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::debug!(error = io_text(&error), "cannot notify the supervisor");
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A supervisor that reads nothing must not hold up the runs.
    socket.set_nonblocking(true)?;
    match address.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(io::ErrorKind::Unsupported.into()),
        None => socket.connect(address)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::Supervisor;

    fn supervised(address: &str, watchdog: &[(&str, String)]) -> Supervisor {
        Supervisor::of_environment(|name| match name {
            "NOTIFY_SOCKET" => Some(OsString::from(address)),
            _ => watchdog.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()),
        })
    }

    #[test]
    fn a_supervisor_hears_the_words_of_sd_notify() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let heard = || {
            let mut buffer = [0; 200];
            let length = socket.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        let supervisor = supervised(path.to_str().unwrap(), &[]);
        supervisor.ready("2 jobs");
        assert_eq!(heard(), "READY=1\nSTATUS=2 jobs");
        supervisor.reloading();
        let reloading = heard();
        let microseconds = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        // The kernel's own count of the same clock, in seconds.
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let sent = microseconds.parse::<f64>().unwrap() / 1e6;
        assert!(sent > 0.0 && sent <= uptime + 1.0, "{sent} of {uptime}");
        supervisor.alive();
        supervisor.stopping();
        assert_eq!(heard(), "STOPPING=1", "no watchdog was asked for");
    }

    #[test]
    fn a_watchdog_of_this_process_hears_twice_in_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let every = |process: u32| {
            let variables = [("WATCHDOG_USEC", "20000000".to_owned()), ("WATCHDOG_PID", process.to_string())];
            let supervisor = supervised(path.to_str().unwrap(), &variables);
            supervisor.alive();
            supervisor.alive_interval()
        };
        assert_eq!(every(std::process::id() + 1), None);
        assert_eq!(every(std::process::id()), Some(Duration::from_secs(10)));
        let mut buffer = [0; 200];
        assert_eq!(socket.recv(&mut buffer).unwrap(), "WATCHDOG=1".len());
    }

    #[test]
    fn a_supervisor_that_is_not_there_harms_nothing() {
        supervised("/nowhere/at/all", &[]).ready("");
        supervised("@sfexport/nobody/listens/here", &[]).stopping();
        supervised("", &[]).stopping();
    }
}
