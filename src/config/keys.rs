//! Every key that a user may write: its table, type, default and meaning. The readers and the documentation
//! both go by it, so that neither can know a key that the other does not.

use std::fmt::Write as _;

/// The three tables of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// The settings of `sfexport.toml`.
    Settings,
    /// One org: `[org]` or `[orgs.NAME]`.
    Org,
    /// One job file.
    Job,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Which table it stands in.
    pub table: Table,
    /// Its name there, dotted where it stands in a table of that table (`http.attempts`).
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What holds where it is not written.
    pub default: Unwritten,
    /// What it means, in a sentence.
    pub about: &'static str,
}

/// What holds where a key is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritten {
    /// It must be written, by the rule that `about` gives.
    Required,
    /// This value, as it would be written in an environment variable.
    Is(&'static str),
    /// What these words say.
    Otherwise(&'static str),
}

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text that is not blank.
    Text,
    /// Text without white space.
    Word,
    /// Text as it stands, also empty.
    Literal,
    /// Text that stands in no file, only in the environment.
    Secret,
    /// A file's or a directory's path; relative to the file that holds it, else to the working directory.
    Path,
    /// `10s`, `1h30m`, `90 days`; at least this many seconds.
    Duration(u64),
    /// `256 MB`, `1 GiB`; at least one byte.
    Size,
    /// A whole number between these two.
    Whole(u64, u64),
    /// `true` or `false`.
    Flag,
    /// A file's permissions, in octal.
    Mode,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words.
    Choices(&'static [&'static str]),
    /// A list of words.
    Words,
    /// An IP address and a port.
    Address,
    /// An http or https URL, which may hold a secret and so is never shown.
    Webhook,
}

impl Key {
    /// The environment variable of a setting, or of this key of `[org]`; a job's keys have none.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let nested = match self.table {
            Table::Settings => self.name.to_owned(),
            Table::Org => format!("org.{}", self.name),
            Table::Job => return None,
        };
        Some(format!("SFEXPORT_{}", nested.replace('.', "__").to_ascii_uppercase()))
    }
}

impl Kind {
    /// The type in words.
    #[must_use]
    pub fn describe(self) -> String {
        let words = |words: &[&str]| words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Text | Self::Literal => "text".to_owned(),
            Self::Word => "text without white space".to_owned(),
            Self::Secret => "text, only in the environment".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Duration(0) => "duration".to_owned(),
            Self::Duration(least) => format!("duration, at least {least}s"),
            Self::Size => "size".to_owned(),
            Self::Whole(min, max) => format!("whole number, {}", range(min, max)),
            Self::Flag => "true or false".to_owned(),
            Self::Mode => "permissions in octal, as text".to_owned(),
            Self::Choice(choices) => format!("one of {}", words(choices)),
            Self::Choices(choices) => format!("list of {}", words(choices)),
            Self::Words => "list of text".to_owned(),
            Self::Address => "IP address and port".to_owned(),
            Self::Webhook => "http or https URL".to_owned(),
        }
    }
}

/// The numbers between these two, in words.
pub(crate) fn range(min: u64, max: u64) -> String {
    if max == u64::MAX { format!("{min} or more") } else { format!("{min} to {max}") }
}

/// Every key, in the order of the documentation.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter()
}

pub(crate) fn find(table: Table, name: &str) -> Option<&'static Key> {
    keys().find(|key| key.table == table && key.name == name)
}

/// What to do instead of what a key of this name would do elsewhere: other ways to log in.
pub(crate) fn instead_of(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    let is_login = [
        "password",
        "passwd",
        "pwd",
        "passwort",
        "securitytoken",
        "token",
        "accesstoken",
        "refreshtoken",
        "sessionid",
        "clientsecret",
        "consumersecret",
        "secret",
        "authcode",
    ];
    is_login.contains(&name.as_str()).then_some(
        "is not a key: sfexport logs in with a private key, not with a password or a token; see docs/setup.md",
    )
}

/// The key that another tool calls so.
pub(crate) fn synonym(table: Table, name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    Some(match (table, name.as_str()) {
        (Table::Org, "consumer_key" | "app_id" | "clientid" | "issuer" | "iss") => "client_id",
        (Table::Org, "user" | "login" | "subject" | "sub" | "email") => "username",
        (
            Table::Org,
            "private_key" | "private_key_file" | "server_key" | "jwt_key_file" | "pem" | "keyfile",
        ) => "key_file",
        (Table::Org, "url" | "instance_url" | "instance" | "host" | "domain" | "sandbox" | "auth_url") => {
            "login_url"
        }
        (Table::Org, "version") => "api_version",
        (Table::Org, "passphrase" | "key_passphrase") => "key_password_file",
        (Table::Job, "query" | "sql" | "statement" | "select") => "soql",
        (Table::Job, "query_file" | "sql_file") => "soql_file",
        (Table::Job, "path" | "file" | "destination" | "target" | "dest" | "filename" | "output_file") => {
            "output"
        }
        (Table::Job, "cron" | "interval" | "every") => "schedule",
        (Table::Job, "tz" | "zone") => "timezone",
        (Table::Job, "disabled" | "active") => "enabled",
        (Table::Job, "include_deleted" | "query_all" | "queryall" | "all") => "all_rows",
        (Table::Settings, "output_dir" | "out_dir" | "export_dir" | "exports" | "outputs") => "output_root",
        (Table::Settings, "job_dir" | "jobs") => "jobs_dir",
        _ => return None,
    })
}

/// The names that may stand directly under a prefix (`""`, `"http."`): keys, and tables of keys.
pub(crate) fn children(table: Table, prefix: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = keys()
        .filter(|key| key.table == table)
        .filter_map(|key| key.name.strip_prefix(prefix))
        .map(|rest| rest.split_once('.').map_or(rest, |(table, _)| table))
        .collect();
    names.dedup();
    names
}

/// A table of the documentation, in Markdown.
#[must_use]
pub fn markdown(table: Table) -> String {
    let mut text = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    for key in keys().filter(|key| key.table == table) {
        let default = match key.default {
            Unwritten::Required => "required".to_owned(),
            Unwritten::Is(value) => format!("`{value}`"),
            Unwritten::Otherwise(words) => words.to_owned(),
        };
        let _ = writeln!(text, "| `{}` | {} | {default} | {} |", key.name, key.kind.describe(), key.about);
    }
    text
}

/// The values of `notify.on`.
const NOTIFY_ON: &[&str] = &["failure", "recovery", "every"];

macro_rules! keys {
    ($($table:ident { $($name:literal $kind:expr, $default:expr, $about:literal;)* })*) => {
        {
            use Kind::*;
            use Unwritten::*;
            &[$($(Key { table: Table::$table, name: $name, kind: $kind, default: $default, about: $about },)*)*]
        }
    };
}

static KEYS: &[Key] = keys! {
    Settings {
        "jobs_dir" Path, Is("jobs"), "The directory of the job files: each `*.toml` in it is a job.";
        "state_dir" Path, Is("state"), "Run history, locks and schedule marks.";
        "output_root" Path, Is("exports"), "Relative outputs go here, and no job's output may leave it.";
        "http.connect_timeout" Duration(1), Is("10s"), "How long connecting may take, TLS included.";
        "http.idle_timeout" Duration(1), Is("150s"), "How long an answer may stand still. Salesforce gives up a query after 120 s; this is longer, so that its own refusal arrives.";
        "http.request_timeout" Duration(1), Is("10m"), "How long one request and its whole answer may take.";
        "http.attempts" Whole(1, 100), Is("5"), "How many times a request is sent that fails in a way worth another try.";
        "http.wait_min" Duration(0), Is("1s"), "The wait before the second attempt; it doubles with each further one.";
        "http.wait_max" Duration(0), Is("60s"), "The longest wait between two attempts; not below `wait_min`.";
        "http.page_cap" Size, Is("256 MB"), "The largest page that is accepted, unpacked.";
        "http.batch_size" Whole(200, 2000), Is("2000"), "The records a page that the org is asked for.";
        "http.gzip" Flag, Is("true"), "Whether answers may come packed.";
        "http.ca_file" Path, Otherwise("the system's"), "PEM certificates of further authorities to trust, for a proxy that opens TLS.";
        "daemon.max_concurrent_runs" Whole(1, 1000), Is("4"), "How many runs go on at once, of the daemon and of `run` with several jobs.";
        "daemon.shutdown_grace" Duration(0), Is("25s"), "How long runs may go on after SIGTERM or SIGINT before they are cancelled.";
        "daemon.history_keep" Duration(1), Is("90 days"), "How long past runs are kept in the history.";
        "status.listen" Address, Otherwise("off"), "Where the daemon answers `/livez`, `/readyz`, `/metrics` and its status page, as in `127.0.0.1:9090`.";
        "status.hosts" Words, Otherwise("none"), "Further host names under which the status page and the metrics may be asked for, as in `status.example.com`. Without them: IP addresses, names without a dot, this computer's own name, and names below `localhost`, `local`, `internal`, `svc` and `cluster.local`.";
        "notify.webhook" Webhook, Otherwise("off"), "The URL that run reports are posted to.";
        "notify.on" Choices(NOTIFY_ON), Is("failure, recovery"), "Which runs are told: failed ones, the first success after a failure, or every run.";
    }
    Org {
        "login_url" Word, Is("https://login.salesforce.com"), "Where the login goes: login.salesforce.com, test.salesforce.com for a sandbox, a My Domain, or an Experience Cloud site with its path. Https, except on loopback.";
        "client_id" Word, Required, "The consumer key of the external client app or connected app.";
        "username" Word, Required, "The Salesforce username of the integration user.";
        "key_file" Path, Otherwise("required, unless `key` is set"), "The private key that signs the login.";
        "key" Secret, Otherwise("required, unless `key_file` is set"), "The private key itself as PEM; line ends may be the two characters `\\n`.";
        "key_password" Secret, Otherwise("none"), "The passphrase of an encrypted key or bundle.";
        "key_password_file" Path, Otherwise("none"), "A file whose first line is that passphrase.";
        "key_alias" Text, Otherwise("the only entry"), "Which entry of a PKCS#12 or JKS bundle is the key.";
        "cert_file" Path, Otherwise("none"), "The certificate that was uploaded to the app; `check` warns before it ends.";
        "audience" Word, Otherwise("by `login_url`"), "The assertion's `aud`: test.salesforce.com for sandboxes and scratch orgs, login.salesforce.com for every other My Domain, the login URL itself for Experience Cloud sites.";
        "api_version" Word, Is("62.0"), "The REST API version, from 31.0.";
        "max_concurrent_runs" Whole(1, 1000), Otherwise("the process's own limit"), "How many runs may use this org at once.";
        "instance_hosts" Words, Otherwise("none"), "Further hosts, `host` or `host:port`, that the org's instance may have beside Salesforce's own domains.";
    }
    Job {
        "soql" Text, Otherwise("required, unless `soql_file` is set"), "The query.";
        "soql_file" Path, Otherwise("required, unless `soql` is set"), "A file that holds the query.";
        "output" Text, Required, "The path of the export, with template fields; relative to `output_root`.";
        "format" Choice(&["csv", "jsonl"]), Otherwise("by the extension of `output`, .csv or .jsonl"), "What the file holds.";
        "org" Word, Otherwise("`[org]`"), "The org to export from: a name from `[orgs.NAME]`.";
        "enabled" Flag, Is("true"), "Whether the daemon and `run --all` take the job; `run JOB` always does.";
        "schedule" Text, Otherwise("runs only when asked"), "Five cron fields, or `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.";
        "timezone" Word, Is("UTC"), "The IANA time zone of the schedule and of dates in `output`.";
        "timeout" Duration(1), Otherwise("none"), "How long a run may take altogether.";
        "all_rows" Flag, Is("false"), "Whether deleted and archived rows are exported too (queryAll).";
        "numbers" Choice(&["plain", "as_sent"]), Otherwise("`plain` for CSV, `as_sent` for JSON Lines"), "Whether exponents are written out, or numbers are kept byte for byte.";
        "children" Choice(&["json", "files", "reject"]), Is("json"), "Child queries in CSV: JSON in one column, a file of their own, or refused.";
        "compound" Choice(&["json", "columns"]), Is("json"), "Addresses and locations in CSV: JSON in one column, or their parts as columns.";
        "attributes" Flag, Is("false"), "Whether JSON Lines keep each record's `attributes`.";
        "columns_pinned" Flag, Is("false"), "Whether a run fails when its columns differ from the last successful run's.";
        "if_exists" Choice(&["replace", "fail"]), Is("replace"), "What happens where the output exists already.";
        "file_mode" Mode, Otherwise("the old file's, else 0666 less the umask"), "The output's permissions, as in `0640`.";
        "catch_up" Choice(&["latest", "none", "all"]), Is("latest"), "Which missed occurrences the daemon runs late.";
        "start_deadline" Duration(1), Otherwise("none"), "How late an occurrence may still start.";
        "overlap" Choice(&["skip", "queue", "replace"]), Is("skip"), "What happens to an occurrence that falls due while the job runs: it is skipped, waits (one), or takes the run's place.";
        "jitter" Duration(0), Is("0s"), "The window that starts are spread over; a job's place in it never changes.";
        "retries" Whole(0, 100), Is("3"), "How many times a run that ended 69, 74 or 75 is tried again.";
        "retry_after" Duration(0), Is("10m"), "How long after its end.";
        "ping_url" Webhook, Otherwise("none"), "Where each run is told, as healthchecks.io and its kin want it: `/start` at its start, the URL itself after a success, `/fail` after a failure, both with the run report.";
        "csv.delimiter" Literal, Is(","), "Between cells: one ASCII character, or `tab`.";
        "csv.quote" Literal, Is("\""), "Around cells that need it: one ASCII character.";
        "csv.line_ending" Choice(&["lf", "crlf"]), Is("lf"), "At a row's end.";
        "csv.null" Literal, Otherwise("empty"), "What stands for null.";
        "csv.header" Flag, Is("true"), "Whether the first row names the columns.";
        "csv.bom" Flag, Is("false"), "Whether the file begins with a byte order mark.";
        "csv.formula_guard" Flag, Is("false"), "Whether `'` is put before text that a spreadsheet would run as a formula.";
    }
};
