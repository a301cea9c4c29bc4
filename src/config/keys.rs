//! The list of all keys with their tables, types, defaults and meanings. Both the readers and the documentation use it,
//! so they always know the same keys.

use std::fmt::Write as _;

/// The tables of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// The settings of `sfexport.toml`.
    Settings,
    /// One org: `[org]` or `[orgs.NAME]`.
    Org,
    /// One job file.
    Job,
    /// One object of a set: `[objects_with.NAME]` of a job file.
    Object,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The table it belongs to.
    pub table: Table,
    /// Its name there; dotted if it is in a table of that table (`http.attempts`).
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// What applies if it is not set.
    pub default: Unwritten,
    /// What it means, in a sentence.
    pub about: &'static str,
}

/// What applies if a key is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritten {
    /// The key is required.
    Required,
    /// The key is required, unless what these words describe.
    RequiredUnless(&'static str),
    /// This value, as in an environment variable.
    Is(&'static str),
    /// What these words describe.
    Otherwise(&'static str),
}

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text that is not blank.
    Text,
    /// Text without white space.
    Word,
    /// Any text, including empty text.
    Literal,
    /// Text that is allowed only in the environment.
    Secret,
    /// The path of a file or directory, relative to the file it is written in, or else to the working directory.
    Path,
    /// `10s`, `1h30m`, `90 days`; at least this many seconds.
    Duration(u64),
    /// `256 MB`, `1 GiB`; at least one byte.
    Size,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// `true` or `false`.
    Flag,
    /// `true`, `false`, or text that is not blank.
    FlagOrText,
    /// A table, or `false` for what applies without it.
    TableOrFalse,
    /// A file's permissions, in octal.
    Mode,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words.
    Choices(&'static [&'static str]),
    /// A list of words.
    Words,
    /// A command: a list of a program and its arguments, with the fields of [`crate::job::After`].
    Command,
    /// The id of an org.
    OrgId,
    /// A percentage or a number of API requests.
    Reserve,
    /// A table from columns to their types.
    ColumnTypes,
    /// A table from columns to their names.
    ColumnNames,
    /// An IP address and a port.
    Address,
    /// An http or https URL. It may contain a secret, so it is never shown.
    Webhook,
    /// The same with the fields `{job}` and `{org}`.
    PingUrl,
}

impl Key {
    /// The environment variable of a setting or of a key of `[org]`. The keys of jobs have none.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let nested = match self.table {
            Table::Settings => self.name.to_owned(),
            Table::Org => format!("org.{}", self.name),
            Table::Job | Table::Object => return None,
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
            Self::FlagOrText => "true, false or text".to_owned(),
            Self::TableOrFalse => "table, or false".to_owned(),
            Self::Mode => "permissions in octal, as text".to_owned(),
            Self::Choice(choices) => format!("one of {}", words(choices)),
            Self::Choices(choices) => format!("list of {}", words(choices)),
            Self::Words => "list of text".to_owned(),
            Self::Command => "list of a program and its arguments".to_owned(),
            Self::OrgId => "id of an org".to_owned(),
            Self::Reserve => "percentage as text, or whole number".to_owned(),
            Self::ColumnTypes => "table of types by column".to_owned(),
            Self::ColumnNames => "table of names by column".to_owned(),
            Self::Address => "IP address and port".to_owned(),
            Self::Webhook | Self::PingUrl => "http or https URL".to_owned(),
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

/// Whether a key of a job may be in `[defaults]`.
pub(crate) fn may_be_default(name: &str) -> bool {
    !["soql", "soql_file", "object", "objects", "orgs"].contains(&name)
}

pub(crate) fn find(table: Table, name: &str) -> Option<&'static Key> {
    keys().find(|key| key.table == table && key.name == name)
}

/// Whether other tools have a key of this name for a way to log in that we do not have.
pub(crate) fn is_other_login(name: &str) -> bool {
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
    is_login.contains(&name.as_str())
}

/// Our key for something that other tools call by this name.
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
        (Table::Org, "organization_id" | "organisation_id" | "orgid" | "id") => "org_id",
        (Table::Org, "reserve" | "api_limit" | "quota" | "reserved_requests") => "api_reserve",
        (Table::Org, "passphrase" | "key_passphrase") => "key_password_file",
        (Table::Job, "query" | "sql" | "statement" | "select") => "soql",
        (Table::Job, "query_file" | "sql_file") => "soql_file",
        (Table::Job, "path" | "file" | "destination" | "target" | "dest" | "filename" | "output_file") => {
            "output"
        }
        (Table::Job, "cron" | "interval" | "every") => "schedule",
        (
            Table::Job,
            "cursor" | "cursor_field" | "replication_key" | "watermark" | "delta" | "since"
            | "incremental_field",
        ) => "incremental",
        (Table::Job, "tz" | "zone") => "timezone",
        (Table::Job, "rename" | "renames" | "aliases" | "mapping" | "column_mapping" | "headers") => {
            "columns"
        }
        (Table::Job, "column_types" | "dtypes") => "types",
        (Table::Job, "datetime_format" | "date_format" | "timestamp_format") => "datetimes",
        (Table::Job, "disabled" | "active") => "enabled",
        (Table::Job, "command" | "hook" | "on_success" | "post_run" | "exec" | "run_after") => "after",
        (Table::Job, "retry" | "max_retries") => "retries",
        (Table::Job, "retry_delay" | "retry_wait") => "retry_after",
        (Table::Job, "api_type" | "use_bulk" | "bulk_api" | "transport") => "api",
        (Table::Job, "include_deleted" | "query_all" | "queryall" | "all") => "all_rows",
        (Table::Settings, "output_dir" | "out_dir" | "export_dir" | "exports" | "outputs") => "output_root",
        (Table::Settings, "job_dir" | "jobs") => "jobs_dir",
        (Table::Settings, "default" | "job" | "job_defaults" | "common" | "shared") => "defaults",
        (Table::Job, "all_orgs" | "organizations" | "environments") => "orgs",
        _ => return None,
    })
}

/// The keys and tables directly under a prefix (`""`, `"http."`).
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
            Unwritten::RequiredUnless(words) => format!("required, unless {words}"),
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
        "jobs_dir" Path, Is("jobs"), "The directory of the job files. Each `*.toml` in it is a job.";
        "state_dir" Path, Is("state"), "The directory of the run history, locks and schedule marks.";
        "output_root" Path, Is("exports"), "The directory for relative outputs. No job can write outside it.";
        "scratch_dir" Path, Otherwise("`state_dir`"), "The directory for the rows of a large page until the page is complete, beyond 8 MiB. The files there are removed when the run ends, however it ends.";
        "http.connect_timeout" Duration(1), Is("10s"), "How long a connection may take, including TLS.";
        "http.idle_timeout" Duration(1), Is("150s"), "How long a response may pause. Salesforce ends a query after 120 s; a longer limit lets its error arrive.";
        "http.request_timeout" Duration(1), Is("10m"), "How long one request and its response may take.";
        "http.attempts" Whole(1, 100), Is("5"), "How many times a request is sent if its failure may be temporary.";
        "http.wait_min" Duration(0), Is("1s"), "The upper bound of the random wait before the second attempt. It doubles with each further attempt.";
        "http.wait_max" Duration(0), Is("60s"), "The largest upper bound of the random wait between two attempts. It must not be below `wait_min`.";
        "http.page_cap" Size, Is("256 MB"), "The largest page that is accepted, after decompression. The default is lower if the memory is limited, as in a container.";
        "http.batch_size" Whole(200, 2000), Is("2000"), "How many records the org is asked to put on a page.";
        "http.gzip" Flag, Is("true"), "Whether the org may compress responses.";
        "http.ca_file" Path, Otherwise("the system's"), "A file of further certificate authorities to trust, for a proxy that intercepts TLS.";
        "daemon.max_concurrent_runs" Whole(1, 1000), Is("4"), "How many runs the daemon, or `run` with several jobs, may have in progress at the same time.";
        "daemon.shutdown_grace" Duration(0), Is("25s"), "How long runs may continue after SIGTERM or SIGINT before they are cancelled.";
        "daemon.history_keep" Duration(1), Is("90 days"), "How long past runs are kept in the history.";
        "status.listen" Address, Otherwise("off"), "The address for `/livez`, `/readyz`, `/metrics` and the status page, such as `127.0.0.1:9090`.";
        "status.hosts" Words, Otherwise("none"), "Further host names for the status page and the metrics, such as `status.example.com`. Always allowed are IP addresses, names without a dot, this computer's name, and names below `localhost`, `local`, `internal`, `svc` and `cluster.local`.";
        "notify.webhook" Webhook, Otherwise("off"), "The URL to post run reports to.";
        "notify.on" Choices(NOTIFY_ON), Is("failure, recovery"), "Which runs are reported: `failure`, `recovery` (the first success after a failure), or `every` run.";
    }
    Org {
        "login_url" Word, Is("https://login.salesforce.com"), "The URL to log in to: `https://login.salesforce.com`, `https://test.salesforce.com` for a sandbox, a My Domain URL, or an Experience Cloud site with its path. It must be https, except on loopback.";
        "client_id" Word, Required, "The consumer key of the external client app or connected app.";
        "username" Word, Required, "The Salesforce username of the integration user.";
        "key_file" Path, RequiredUnless("`key` is set"), "The private key that signs the login.";
        "key" Secret, RequiredUnless("`key_file` is set"), "The private key itself, as PEM. Line breaks may be written as `\\n`.";
        "key_password" Secret, Otherwise("none"), "The passphrase of an encrypted key or bundle.";
        "key_password_file" Path, Otherwise("none"), "A file whose first line is the passphrase.";
        "key_alias" Text, Otherwise("the only entry"), "The alias of the key in a PKCS#12 or JKS bundle.";
        "cert_file" Path, Otherwise("none"), "The certificate that was uploaded to the app. `check` warns before it expires.";
        "audience" Word, Otherwise("derived from `login_url`"), "The `aud` of the assertion: test.salesforce.com for sandboxes and scratch orgs, login.salesforce.com for other My Domain URLs, the login URL itself for Experience Cloud sites.";
        "api_version" Word, Is("62.0"), "The API version, 31.0 or later.";
        "max_concurrent_runs" Whole(1, 1000), Otherwise("the limit of the process"), "How many runs may use the org at once.";
        "instance_hosts" Words, Otherwise("none"), "Hosts outside Salesforce's domains that the org's instance may have, as `host` or `host:port`.";
        "org_id" OrgId, Otherwise("any"), "The id of the org that a login must reach, such as `00Dxx0000001gPLEAY`. A login that reaches another org fails.";
        "api_reserve" Reserve, Otherwise("off"), "How many of the org's daily API requests are left for others: a part of the limit (`\"20%\"`) or a number.";
    }
    Job {
        "soql" Text, RequiredUnless("`soql_file`, `object` or `objects` is set"), "The query.";
        "soql_file" Path, RequiredUnless("`soql`, `object` or `objects` is set"), "A file with the query.";
        "object" Word, RequiredUnless("`soql`, `soql_file` or `objects` is set"), "An object, by its API name. Its query is generated at each run from the fields that the object has.";
        "fields" Words, Otherwise("[\"*\"]"), "The fields of `object`: names, parents' fields (`Owner.Name`), patterns (`*__c`) and exclusions (`!*__pc`).";
        "where" Text, Otherwise("all records"), "A condition for the records of `object`, as in SOQL after WHERE.";
        "objects" Words, RequiredUnless("`soql`, `soql_file` or `object` is set"), "Several objects, each with a separate output: names, patterns (`*__c`) and exclusions (`!*Share`). `output` must contain `{object}`.";
        "output" Text, Required, "The path of the export, relative to `output_root`. It may contain `{job}`, `{org}`, `{object}`, `{run_id}`, `{date}`, `{time}` and `{datetime}`, and in incremental exports `{kind}` (`full` or `changes`) and `{mark}`. `{date:%Y/%m}` formats a date as strftime does.";
        "manifest" FlagOrText, Otherwise("`true` for `objects`, `false` otherwise"), "Whether a JSON file lists what was exported. With `objects`, it may be a path instead.";
        "format" Choice(&["csv", "jsonl", "parquet"]), Otherwise("from the extension of `output`, .csv, .jsonl or .parquet"), "The format of the file: `csv`, `jsonl` or `parquet`.";
        "compression" Choice(&["gzip", "zstd", "none"]), Otherwise("from the extension of `output`, .gz or .zst, or none"), "How the file is compressed: `gzip` or `zstd` (Zstandard). `none` overrides a default for an `output` without an extension.";
        "compression_level" Whole(1, 19), Otherwise("6 for `gzip`, 3 for `zstd`"), "How hard the compressor works: 1 to 9 for `gzip`, 1 to 19 for `zstd`. A high level makes a smaller file and takes more time.";
        "org" Word, Otherwise("`[org]`"), "The org to export from, a NAME of `[orgs.NAME]`.";
        "orgs" Words, Otherwise("only `org`"), "Several orgs, each with a separate run: names, patterns (`*`, `emea_*`) and exclusions (`!uat`). `output` must contain `{org}`.";
        "enabled" Flag, Is("true"), "Whether the daemon and `run --all` run the job. `run JOB` always does.";
        "schedule" Text, Otherwise("none: the job runs on request"), "Five cron fields, or `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`. `none` removes a default schedule.";
        "timezone" Text, Is("UTC"), "The IANA time zone of the schedule and of dates in `output`.";
        "timeout" Duration(1), Otherwise("none"), "How long a run may take in all.";
        "all_rows" Flag, Is("false"), "Whether deleted and archived rows are exported too (queryAll).";
        "count_check" Choice(&["explain", "strict", "warn"]), Is("explain"), "What happens if the number of records is not what the org counted: `explain` finds out why and fails if it cannot, `strict` fails at once, `warn` publishes what arrived, with a warning.";
        "api" Choice(&["auto", "rest", "bulk"]), Is("auto"), "The API that sends the records: `rest`, `bulk` (Bulk API 2.0), or `auto`, which decides by the size of the result.";
        "numbers" Choice(&["plain", "as_sent"]), Otherwise("`plain` for CSV, `as_sent` for JSON Lines"), "How numbers are written: `plain` without exponents, `as_sent` exactly as the org sends them.";
        "datetimes" Choice(&["as_sent", "rfc3339"]), Is("as_sent"), "How datetimes are written: `as_sent` as the REST API sends them (`2026-05-01T07:25:37.000+0000`), `rfc3339` in UTC (`2026-05-01T07:25:37.000Z`).";
        "column_names" Choice(&["as_written", "snake"]), Is("as_written"), "How columns are named: `as_written` as in the query (`Account.Name`), `snake` in lower case with `_` between words (`account_name`).";
        "children" Choice(&["json", "files", "reject"]), Is("json"), "What happens to child queries in CSV: `json` writes one column of JSON, `files` writes a separate file, `reject` fails.";
        "compound" Choice(&["json", "columns"]), Is("json"), "What happens to addresses and locations in CSV and Parquet: `json` writes one column of JSON, `columns` writes a column for each part.";
        "attributes" Flag, Is("false"), "Whether JSON Lines keep each record's `attributes`.";
        "columns_pinned" Flag, Is("false"), "Whether a run fails when its columns differ from the last successful run's.";
        "if_exists" Choice(&["replace", "fail"]), Is("replace"), "What happens if the output already exists: `replace` replaces it, `fail` fails.";
        "file_mode" Mode, Otherwise("those of the old file, or 0666 less the umask"), "The permissions of the output, such as `0640`.";
        "follow_links" Flag, Is("false"), "Whether an output that is a symbolic link is written through, to a target below `output_root`, instead of being replaced.";
        "catch_up" Choice(&["latest", "none", "all"]), Is("latest"), "Which missed occurrences the daemon runs late: the `latest`, `none`, or `all`.";
        "start_deadline" Duration(1), Otherwise("none"), "How late an occurrence may still start.";
        "overlap" Choice(&["skip", "queue", "replace"]), Is("skip"), "What happens if an occurrence falls due while the job runs: `skip` skips it, `queue` lets it wait (one at most), `replace` cancels the run for it.";
        "jitter" Duration(0), Is("0s"), "The window over which starts are spread. A job's place in it never changes.";
        "retries" Whole(0, 100), Is("3"), "How many times a run that ended with status 69, 70, 74 or 75 is tried again.";
        "retry_after" Duration(0), Is("10m"), "How long to wait after the end of a failed run before it is tried again.";
        "ping_url" PingUrl, Otherwise("none"), "A healthchecks.io-style check: `/start` is requested at the start of each run, the URL itself after a success and `/fail` after a failure, both with the run report. It may contain `{job}` and `{org}`.";
        "after" Command, Otherwise("none"), "A command that runs after each export, as in `[\"upload\", \"{path}\"]`. No shell reads it. Its fields are `{path}`, `{job}`, `{org}` and `{run_id}`.";
        "after_timeout" Duration(1), Is("5m"), "How long the command of `after` may take before it is killed.";
        "columns" ColumnNames, Otherwise("none"), "New names of single columns, such as `\"Account.Name\" = \"company\"`.";
        "types" ColumnTypes, Otherwise("those that the org reports"), "The types of single columns, such as `\"History__c\" = \"text\"`.";
        "csv.delimiter" Literal, Is(","), "The character between cells: one ASCII character, or `tab`.";
        "csv.quote" Literal, Is("\""), "The character around cells that need quotes: one ASCII character.";
        "csv.line_ending" Choice(&["lf", "crlf"]), Is("lf"), "What ends a row: `lf` or `crlf`.";
        "csv.null" Literal, Otherwise("empty"), "The text that represents null.";
        "csv.header" Flag, Is("true"), "Whether the first row names the columns.";
        "csv.bom" Flag, Is("false"), "Whether the file begins with a byte order mark.";
        "csv.formula_guard" Flag, Is("false"), "Whether text that a spreadsheet would run as a formula gets a leading `'`.";
        "parquet.codec" Choice(&["zstd", "snappy"]), Is("zstd"), "How the pages of a Parquet file are compressed: `zstd`, or `snappy` for old readers.";
        "parquet.decimals" Choice(&["double", "decimal"]), Is("double"), "What numbers with a fraction become in Parquet: `double`, which is what the org keeps, or `decimal` with the digits that the org declares for the field.";
        "parquet.temporal" Choice(&["typed", "text"]), Is("typed"), "What dates, datetimes and times become in Parquet: `typed` columns (DATE, TIMESTAMP in UTC, TIME), or `text` as the REST API sends them.";
        "incremental" TableOrFalse, Otherwise("`false`: each run exports everything"), "`[incremental]` makes each run export what has changed since the last one. `false` removes a default.";
        "incremental.field" Word, Otherwise("SystemModstamp or LastModifiedDate; for history objects, CreatedDate or LoginTime"), "The datetime field that says when a record last changed.";
        "incremental.lag" Duration(0), Is("15m"), "How far the mark stays behind the org's clock, for changes that are committed late. A transaction may take 10 minutes.";
        "incremental.deletes" Choice(&["rows", "ids", "none"]), Is("rows"), "How deleted records are reported: as `rows` whose IsDeleted is true, as `ids` in a separate file, or `none`.";
        "incremental.full" Text, Otherwise("none: only the first run, and when needed"), "When the next run exports everything again: a schedule, in the job's `timezone`. `none` removes a default.";
        "incremental.empty" Choice(&["publish", "skip"]), Is("publish"), "What happens if nothing has changed: `publish` writes a file without records, `skip` writes no file.";
        "bulk.from_calls" Whole(2, u64::MAX), Is("25"), "`auto` uses Bulk API 2.0 for results that would take at least this many calls by REST.";
        "bulk.max_records" Whole(2_000, 1_000_000), Otherwise("the org decides"), "How many records the org is asked to put on a page of a Bulk result. It does not limit the export.";
        "bulk.parallel" Whole(1, 5), Is("4"), "How many pages of a Bulk result are downloaded at the same time.";
        "bulk.job_timeout" Duration(1), Is("6h"), "How long the org may take to complete a query job.";
        "bulk.rest_max_calls" Whole(0, u64::MAX), Is("2000"), "The most calls that `auto` makes by REST for a large result that Bulk cannot send.";
    }
    Object {
        "fields" Words, Otherwise("[\"*\"]"), "The fields of the object, as with `object`.";
        "where" Text, Otherwise("all records"), "A condition for the records of the object, as with `object`.";
        "count_check" Choice(&["explain", "strict", "warn"]), Otherwise("that of the job"), "The `count_check` of the object.";
    }
};
