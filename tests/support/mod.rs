//! What the tests of the binary share: an embedded org in the test's own process, a directory whose configuration
//! points at it, the binary run from outside, and what exports must hold, taken from the data set itself: never
//! from the org's answers, and never through the SOQL parser.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use sfexport::demo_org::{DataSet, DemoOrg, Options, Request, Row, Rule, Value};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) mod command;
pub(crate) mod daemon;
pub(crate) mod ear;
pub(crate) mod random;
mod skip;
pub(crate) mod steady;

#[allow(unused_imports, reason = "each test binary uses its own part of this")]
pub(crate) use skip::{repeated_without_roots_rights, skip};

/// The app and the user that the org knows.
pub(crate) const CLIENT_ID: &str = "3MVG9demo";
pub(crate) const USERNAME: &str = "integration@example.com";

/// What an address is made of, in the order of its columns.
pub(crate) const ADDRESS_PARTS: [&str; 10] = [
    "city",
    "country",
    "countryCode",
    "geocodeAccuracy",
    "latitude",
    "longitude",
    "postalCode",
    "state",
    "stateCode",
    "street",
];

/// Private key and certificate, both PEM.
pub(crate) struct KeyPair {
    pub(crate) key: String,
    pub(crate) certificate: String,
}

/// The key pair of every login, made once for each test binary.
pub(crate) fn key_pair() -> &'static KeyPair {
    static PAIR: OnceLock<KeyPair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["tests".to_owned()]).unwrap().self_signed(&key).unwrap();
        KeyPair {
            key: pem("PRIVATE KEY", &key.serialize_der()),
            certificate: pem("CERTIFICATE", certificate.der()),
        }
    })
}

/// DER in PEM's clothes: 64 characters a line.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// An org of so many accounts that takes the key of [`key_pair`].
pub(crate) fn options(records: usize) -> Options {
    Options {
        records,
        client_id: CLIENT_ID.to_owned(),
        username: USERNAME.to_owned(),
        public_key: key_pair().certificate.clone(),
        ..Options::default()
    }
}

/// An org, and a directory from which it is exported.
pub(crate) struct Deployment {
    runtime: Runtime,
    org: DemoOrg,
    directory: TempDir,
}

impl Deployment {
    /// An org of so many accounts, a key and a configuration; no job yet.
    pub(crate) fn new(records: usize) -> Self {
        Self::with(options(records))
    }

    pub(crate) fn with(options: Options) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let org = runtime.block_on(DemoOrg::start(options)).unwrap();
        let deployment = Self { runtime, org, directory: tempfile::tempdir().unwrap() };
        deployment.write("server.key", &key_pair().key);
        fs::set_permissions(deployment.path("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        deployment.configure("");
        deployment
    }

    /// Writes the shared file: the org, no waits between attempts, further text, and [`ON_REST`] unless that text has
    /// defaults itself.
    pub(crate) fn configure(&self, more: &str) {
        let defaults = if more.contains("[defaults") { "" } else { ON_REST };
        self.write("sfexport.toml", format!("{}\n{NO_WAITS}\n{more}\n{defaults}", self.org_table("org")));
    }

    /// The org's table under this name.
    pub(crate) fn org_table(&self, name: &str) -> String {
        format!(
            "[{name}]\nlogin_url = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nusername = \"{USERNAME}\"\n\
             key_file = \"server.key\"\n",
            self.org.url()
        )
    }

    pub(crate) fn org(&self) -> &DemoOrg {
        &self.org
    }

    pub(crate) fn data(&self) -> &DataSet {
        self.org.data()
    }

    pub(crate) fn script(&self, rule: Rule) {
        self.org.script(rule);
    }

    /// The token requests so far.
    pub(crate) fn logins(&self) -> Vec<Request> {
        self.requests_to("/services/oauth2/token")
    }

    /// The requests so far whose path begins with this.
    pub(crate) fn requests_to(&self, path: &str) -> Vec<Request> {
        self.org.requests().into_iter().filter(|request| request.path().starts_with(path)).collect()
    }

    /// What the org is told beside the login.
    pub(crate) fn queries(&self) -> Vec<Request> {
        self.requests_to("/services/data/")
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, text: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes `jobs/NAME.toml`: a query, an output, and further keys.
    pub(crate) fn job(&self, name: &str, soql: &str, output: &str, more: &str) {
        let text = format!("soql = \"\"\"{soql}\"\"\"\noutput = \"{output}\"\n{more}\n");
        self.write(&format!("jobs/{name}.toml"), text);
    }

    pub(crate) fn read(&self, below: &str) -> Vec<u8> {
        let path = self.path(below);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn text(&self, below: &str) -> String {
        String::from_utf8(self.read(below)).unwrap()
    }

    /// The binary with these arguments in the directory, and nothing of the test's own environment but the path. A
    /// `query` uses REST unless it says otherwise, as [`ON_REST`] has it for jobs.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sfexport"));
        let arguments: Vec<_> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        command.env_clear().current_dir(self.directory.path()).args(&arguments).stdin(Stdio::null());
        command.args(rest_query(&arguments));
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        // The machine's zone must not matter.
        command.env("TZ", "UTC");
        // A second pass of the checks makes every run as talkative as it gets.
        if let Some(level) = std::env::var_os("SFEXPORT_TESTS_LOG") {
            command.env("SFEXPORT_LOG", level);
        }
        command
    }

    /// Runs the binary to its end, and looks at what must hold after every run: no stage is left, and no secret
    /// is in what it said and wrote.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.outcome(self.command(arguments).output().unwrap())
    }

    /// Runs the binary on a pseudo-terminal of 100 columns, which stands as its standard output; its standard error
    /// is there too, unless `redirected`, a shell's words, sends it or the output elsewhere. `None`, said loudly,
    /// where there is no `script` of util-linux.
    pub(crate) fn on_terminal(
        &self,
        arguments: &[&str],
        redirected: &str,
        variables: &[(&str, &str)],
    ) -> Option<Outcome> {
        let arguments: Vec<_> = arguments.iter().map(|word| OsStr::new(word).to_owned()).collect();
        let binary = OsStr::new(env!("CARGO_BIN_EXE_sfexport")).to_owned();
        let words = std::iter::once(&binary).chain(&arguments).map(|word| word.to_str().unwrap());
        let words = words.chain(rest_query(&arguments));
        let words: Vec<_> = words.map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let line = format!("stty cols 100 rows 30; {} {redirected}", words.join(" "));
        let mut command = Command::new("script");
        command.env_clear().current_dir(self.directory.path()).stdin(Stdio::null());
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "xterm-256color")
            .env("TZ", "UTC");
        command.envs(variables.iter().copied()).args(["-qec", &line, "/dev/null"]);
        let is_util_linux = Command::new("script").arg("--version").output();
        match is_util_linux {
            Ok(output) if output.stdout.windows(10).any(|words| words == b"util-linux") => {}
            _ => {
                skip("no terminal can be had without `script` of util-linux");
                return None;
            }
        }
        Some(self.outcome(command.output().unwrap()))
    }

    /// Runs the binary with a file system of this size, such as `1m`, mounted at `place`, in separate namespaces; `None` where that is
    /// not allowed.
    pub(crate) fn run_on_small_disk(&self, place: &str, size: &str, arguments: &[&str]) -> Option<Outcome> {
        let plain = self.command(arguments);
        let mut command = Command::new("unshare");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(plain.get_current_dir().unwrap()).stdin(Stdio::null());
        let mounted = format!("mount -t tmpfs -o size={size} tmpfs {place} || exit 99; exec \"$@\"");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mounted, "sh"]);
        let output = command.arg(plain.get_program()).args(arguments).output().unwrap();
        if output.status.code() == Some(99) || String::from_utf8_lossy(&output.stderr).contains("unshare: ") {
            skip("no file system can be mounted in a namespace here");
            return None;
        }
        Some(self.outcome(output))
    }

    /// What a process ended with that was run otherwise, looked at as [`Deployment::run`] does.
    pub(crate) fn outcome(&self, output: Output) -> Outcome {
        let outcome = Outcome {
            status: output.status.code(),
            signal: std::os::unix::process::ExitStatusExt::signal(&output.status),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        self.assert_no_stage();
        self.assert_no_secret(&[
            ("standard output", &outcome.stdout),
            ("standard error", outcome.stderr.as_bytes()),
        ]);
        outcome
    }

    pub(crate) fn assert_no_stage(&self) {
        let stages: Vec<_> = self
            .files()
            .into_keys()
            .filter(|path| path.extension().is_some_and(|ending| ending == "partial"))
            .collect();
        assert!(stages.is_empty(), "stages are left: {stages:?}");
    }

    /// Looks for keys, assertions and tokens in what was said and in every file.
    fn assert_no_secret(&self, said: &[(&str, &[u8])]) {
        let mut secrets = Vec::new();
        for request in self.org.requests() {
            let token = request.header("authorization").and_then(|value| value.split_once(' '));
            secrets.extend(token.map(|(_, token)| token.to_owned()));
            for (name, assertion) in url::form_urlencoded::parse(&request.body) {
                if name == "assertion" {
                    // Its signature alone would do harm enough.
                    secrets.extend(assertion.rsplit_once('.').map(|(_, signature)| signature.to_owned()));
                }
            }
        }
        secrets.extend(key_pair().key.lines().filter(|line| line.len() > 40).map(str::to_owned));
        let said = said.iter().map(|(name, text)| (PathBuf::from(name), text.to_vec()));
        let mut said: BTreeMap<_, _> = said.collect();
        said.extend(self.files().into_iter().filter(|(path, _)| path.extension() != Some(OsStr::new("key"))));
        for (place, bytes) in said {
            let text = String::from_utf8_lossy(&bytes);
            let found = secrets.iter().find(|secret| text.contains(secret.as_str()));
            assert!(found.is_none(), "{} holds a secret", place.display());
        }
    }

    /// Every file of the directory and what it holds.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.directory.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.is_file()
                    && let Ok(bytes) = fs::read(&path)
                {
                    // A pipe would be waited for.
                    files.insert(path, bytes);
                }
            }
        }
        files
    }

    /// The names of the files below a directory; empty where there is no such directory.
    pub(crate) fn names_below(&self, directory: &str) -> Vec<String> {
        let directory = self.path(directory);
        let below = |path: PathBuf| path.strip_prefix(&directory).ok().map(|rest| rest.display().to_string());
        self.files().into_keys().filter_map(below).collect()
    }

    /// Runs a future beside the org.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

impl Drop for Deployment {
    /// Whatever was run, and however: no secret is in a file that is left.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_no_secret(&[]);
        }
    }
}

/// The first thing in a text that looks like a secret of this test binary's: a token of the embedded org's, an
/// assertion, a line of the key.
pub(crate) fn secret_in(text: &str) -> Option<String> {
    let token = text.match_indices('!').find(|(at, _)| {
        let id = at.checked_sub(15).and_then(|start| text.get(start..*at));
        id.is_some_and(|id| id.starts_with("00D") && id.bytes().all(|b| b.is_ascii_alphanumeric()))
    });
    if token.is_some() {
        return Some("a token".to_owned());
    }
    let key = key_pair().key.lines().filter(|line| line.len() > 40);
    let mut known = key.chain(["eyJ", "Bearer "]);
    known.find(|known| text.contains(known)).map(str::to_owned)
}

/// What keeps exports on REST, so the requests of a test do not depend on the number of its records. A job's own `api`
/// overrides it.
pub(crate) const ON_REST: &str = "[defaults]\napi = \"rest\"\n";

/// The option that does the same for `query`, if it is one that does not say which API to use.
fn rest_query(arguments: &[std::ffi::OsString]) -> Option<&'static str> {
    let says = |argument: &std::ffi::OsString| argument.as_encoded_bytes().starts_with(b"--api");
    (arguments.first()? == "query" && !arguments.iter().any(says)).then_some("--api=rest")
}

/// A matter of the tests' time alone.
pub(crate) const NO_WAITS: &str = "[http]\nwait_min = \"0s\"\nwait_max = \"0s\"";

/// What a process said and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn ended(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "signal {:?}, standard error:\n{}", self.signal, self.stderr);
        self
    }

    /// Whether each of these is in what was said to a person.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in standard error:\n{}", self.stderr);
        }
        self
    }

    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The run reports of `--json`.
    pub(crate) fn reports(&self) -> Vec<serde_json::Value> {
        self.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The records of an object that are not in the recycle bin.
pub(crate) fn live<'d>(data: &'d DataSet, object: &str) -> Vec<Row<'d>> {
    data.rows(object).filter(|row| !row.is_deleted()).collect()
}

/// A field's value, or that of a parent's field: null where a parent is.
pub(crate) fn value(row: Row<'_>, path: &str) -> Value {
    match path.split_once('.') {
        None => row.value(path).unwrap_or_else(|| panic!("{} has no {path}", row.object().name)),
        Some((parent, rest)) => row.parent(parent).map_or(Value::Null, |parent| value(parent, rest)),
    }
}

/// A value as a CSV cell shows it.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => written_out(*number),
        Value::Text(text) => text.to_string(),
        Value::Id(id) => id.to_string(),
        Value::Date(day) => day.to_string(),
        Value::Datetime(timestamp) => timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string(),
        other => panic!("{other:?} has parts"),
    }
}

/// A double without an exponent, at least one digit behind the point.
fn written_out(number: f64) -> String {
    if number == f64::from_bits(1) {
        return format!("0.{}49", "0".repeat(323));
    }
    let text = number.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

/// A CSV file of these columns of these rows, written by the letter of RFC 4180.
pub(crate) fn csv(columns: &[&str], rows: &[Row<'_>]) -> Vec<u8> {
    let cells = rows.iter().map(|row| columns.iter().map(|path| cell(&value(*row, path))).collect());
    csv_of(columns, cells)
}

/// The same, of cells.
pub(crate) fn csv_of(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let header = columns.iter().map(|column| (*column).to_owned()).collect();
    let mut out = String::new();
    for row in std::iter::once::<Vec<String>>(header).chain(rows) {
        if let [only] = row.as_slice()
            && only.is_empty()
        {
            out.push_str("\"\"\n");
            continue;
        }
        for (at, cell) in row.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            if cell.contains(['"', ',', '\n', '\r']) {
                out.push_str(&format!("\"{}\"", cell.replace('"', "\"\"")));
            } else {
                out.push_str(cell);
            }
        }
        out.push('\n');
    }
    out.into_bytes()
}

/// A value as Salesforce sends it.
pub(crate) fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Int(_) => cell(value),
        Value::Double(number) => java_double(*number),
        Value::Text(text) => json_string(text),
        _ => format!("\"{}\"", cell(value)),
    }
}

/// `Double.toString`: plain from 10⁻³ to below 10⁷, else `d.dEn`, with two digits at least: the smallest double is
/// 4.9E-324.
fn java_double(number: f64) -> String {
    if number == f64::from_bits(1) {
        return "4.9E-324".to_owned();
    }
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        return written_out(number);
    }
    let text = format!("{number:E}");
    let (digits, exponent) = text.split_once('E').unwrap();
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

/// Raw UTF-8; escapes only where JSON demands them.
fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Whether two files hold the same, and where they differ first if not.
#[track_caller]
pub(crate) fn assert_same(found: &[u8], expected: &[u8]) {
    if found == expected {
        return;
    }
    let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        String::from_utf8_lossy(&bytes[at.saturating_sub(60).min(bytes.len())..(at + 60).min(bytes.len())])
            .into_owned()
    };
    panic!(
        "{} bytes where {} were expected; the first difference is at byte {at}:\nfound    {:?}\nexpected {:?}",
        found.len(),
        expected.len(),
        around(found),
        around(expected)
    );
}

/// The inode of a file: another one after it was replaced.
pub(crate) fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}
