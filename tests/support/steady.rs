//! Makes output comparable from run to run, for snapshots.

use super::Deployment;

/// A text without its directories, ports, times, ids and figures of this machine.
pub(crate) fn steady(at: &Deployment, text: &str) -> String {
    let directory = at.path(".").canonicalize().unwrap();
    let text = text.replace(directory.to_str().unwrap(), "DIR").replace(at.org().url(), "http://ORG");
    text.lines().map(|line| steady_line(line.trim_end())).collect::<Vec<_>>().join("\n")
}

fn steady_line(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let bytes = word.as_bytes();
        let is_date = bytes.len() >= 10 && bytes[4] == b'-' && bytes[..4].iter().all(u8::is_ascii_digit);
        match word.split_once('=') {
            Some((name @ ("run_id" | "seconds"), _)) => format!("{name}=..."),
            // A fingerprint.
            _ if bytes.len() > 50 && word.chars().all(|c| c == ':' || c.is_ascii_hexdigit()) => {
                "AB:CD:...".to_owned()
            }
            _ if is_date => "DATE".to_owned(),
            _ if bytes.len() == 5 && bytes[2] == b':' => "HH:MM".to_owned(),
            _ => word.to_owned(),
        }
    });
    let mut line = words.collect::<Vec<_>>().join(" ");
    // How long a run took.
    if let Some(figures) = line.strip_suffix(" s")
        && let Some((before, seconds)) = figures.rsplit_once(' ')
        && seconds.parse::<f64>().is_ok()
    {
        line = format!("{before} N s");
    }
    // How long the login host took.
    if let Some((before, after)) = line.split_once("after ")
        && let Some((_, after)) = after.split_once(" ms")
    {
        line = format!("{before}after N ms{after}");
    }
    line
}
