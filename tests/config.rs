//! What a user wrote → what `config::load` makes of it, against real files in a directory of their own and an
//! environment that is handed in.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;
use sfexport::config::{self, Config, FlagValue, NotifyOn, Selection, Sources, Table, Unwritten};
use sfexport::error::Failure;
use sfexport::job::{
    ApiChoice, BulkSettings, CatchUp, Children, Compound, Compression, CountCheck, Deletes, EmptyRuns,
    Format, IfExists, Manifest, Numbers, ObjectName, Overlap, ParquetCodec,
};
use sfexport::org::{ApiReserve, KeySource, OrgName, PasswordSource};

/// A directory with a configuration in it.
struct Project {
    dir: tempfile::TempDir,
    sources: Sources,
}

/// An org that lacks nothing, in five lines.
const ORG: &str =
    "[org]\nclient_id = \"3MVG9\"\nusername = \"integration@example.com\"\nkey_file = \"server.key\"\n";
/// A further org that lacks nothing.
const EMEA: &str = "[orgs.emea]\nclient_id = 'a'\nusername = 'b@example.com'\nkey_file = 'c'\n";
/// A job that lacks nothing, in two lines.
const JOB: &str = "soql = \"SELECT Id FROM Account\"\noutput = \"{job}.csv\"\n";

/// A job that can be incremental with every value of `deletes`.
const INCREMENTAL_JOB: &str =
    "soql = \"SELECT Id, SystemModstamp, IsDeleted FROM Account\"\noutput = \"{job}/{kind}-{mark}.csv\"\n";

impl Project {
    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let working_dir = dir.path().canonicalize().unwrap();
        Self { dir, sources: Sources { working_dir, ..Sources::default() } }
    }

    /// With an `sfexport.toml` of this text.
    fn with(shared: &str) -> Self {
        Self::empty().file("sfexport.toml", shared)
    }

    fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn job(self, name: &str, text: &str) -> Self {
        self.file(&format!("jobs/{name}.toml"), text)
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((OsString::from(name), OsString::from(value)));
        self
    }

    fn path(&self, below: &str) -> PathBuf {
        self.sources.working_dir.join(below)
    }

    fn load(&self, selection: &Selection) -> Result<Config, config::Mistakes> {
        config::load(&self.sources, selection)
    }

    fn all(&self) -> Config {
        self.load(&Selection::All).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    fn named(&self, names: &[&str]) -> Result<Config, config::Mistakes> {
        self.load(&Selection::Jobs(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    /// Each mistake with its hint after a semicolon, and with the project's directory as `DIR`.
    fn mistakes(&self) -> Vec<String> {
        self.shown(self.load(&Selection::All).expect_err("there is a mistake").as_slice())
    }

    fn shown(&self, mistakes: &[config::Mistake]) -> Vec<String> {
        let dir = self.sources.working_dir.to_str().unwrap();
        let shown = |mistake: &config::Mistake| {
            let (what, hint) = mistake.clone().split();
            let (first, window) = what.split_at(what.find('\n').unwrap_or(what.len()));
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{first}{hint}{window}").replace(dir, "DIR")
        };
        mistakes.iter().map(shown).collect()
    }
}

/// What one job's text, with a good org, is told.
fn job_mistakes(text: &str) -> Vec<String> {
    Project::with(ORG).job("a", text).mistakes()
}

/// What `sfexport.toml` of this text is told.
fn shared_mistakes(text: &str) -> Vec<String> {
    Project::with(text).mistakes()
}

// -- what is right

#[test]
fn orgs_have_absolute_paths_and_their_audiences() {
    let project = Project::with(
        "[org]
login_url   = \"https://login.salesforce.com\"
client_id   = \"3MVG9...\"
username    = \"integration@example.com\"
key_file    = \"server.key\"
[orgs.emea]
login_url   = \"https://acme--uat.sandbox.my.salesforce.com/\"
client_id   = \"3MVG9emea\"
username    = \"emea@example.com\"
key_file    = \"/etc/keys/emea.p12\"
key_password_file = \"emea.password\"
key_alias   = \"emea one\"
cert_file   = \"emea.crt\"
api_version = \"64.0\"
max_concurrent_runs = 2
instance_hosts = [\"proxy.example.com\"]
[orgs.custom]
client_id   = \"c\"
username    = \"c@example.com\"
key_file    = \"c.key\"
audience    = \"https://acme.my.salesforce.com\"
",
    );
    let config = project.all();
    let org = config.org(None).unwrap();
    assert_eq!(org.name.as_str(), "default");
    assert_eq!(org.login_url, "https://login.salesforce.com");
    assert_eq!(org.audience, "https://login.salesforce.com");
    assert_eq!(org.client_id, "3MVG9...");
    assert_eq!(org.username, "integration@example.com");
    assert_eq!(org.api_version, "62.0");
    assert!(matches!(&org.key, KeySource::File(path) if *path == project.path("server.key")));
    assert!(org.key_password.is_none() && org.key_alias.is_none() && org.cert_file.is_none());
    assert_eq!((org.max_concurrent_runs, org.instance_hosts.len()), (None, 0));

    let emea = config.org(Some("emea")).unwrap();
    assert_eq!(emea.login_url, "https://acme--uat.sandbox.my.salesforce.com");
    assert_eq!(emea.audience, "https://test.salesforce.com");
    assert!(matches!(&emea.key, KeySource::File(path) if path == Path::new("/etc/keys/emea.p12")));
    let password = project.path("emea.password");
    assert!(matches!(&emea.key_password, Some(PasswordSource::File(path)) if *path == password));
    assert_eq!(emea.key_alias.as_deref(), Some("emea one"));
    assert_eq!(emea.cert_file, Some(project.path("emea.crt")));
    assert_eq!((emea.api_version.as_str(), emea.max_concurrent_runs), ("64.0", Some(2)));
    assert_eq!(emea.instance_hosts, ["proxy.example.com"]);

    assert_eq!(config.org(Some("custom")).unwrap().audience, "https://acme.my.salesforce.com");
}

#[test]
fn a_nightly_job_is_read() {
    let project = Project::with(&format!(
        "jobs_dir = \"jobs\"\nstate_dir = \"var/state\"\noutput_root = \"exports\"\n{ORG}"
    ))
    .job(
        "accounts",
        "soql     = \"\"\"
SELECT Id, Name, Owner.Name, AnnualRevenue
FROM Account
\"\"\"
output   = \"accounts/{date}.csv\"
schedule = \"0 2 * * *\"
timezone = \"Europe/Berlin\"
",
    );
    let config = project.all();
    assert_eq!(config.file, Some(project.path("sfexport.toml")));
    assert_eq!(config.settings.jobs_dir, project.path("jobs"));
    assert_eq!(config.settings.state_dir, project.path("var/state"));
    assert_eq!(config.settings.output_root, project.path("exports"));
    assert_eq!(config.warnings, []);
    let [job] = config.jobs.as_slice() else { panic!("one job") };
    assert_eq!((job.name.as_str(), job.org.as_str()), ("accounts", "default"));
    assert_eq!(&job.query().unwrap().text, "SELECT Id, Name, Owner.Name, AnnualRevenue\nFROM Account");
    assert_eq!(
        (job.output.text(), job.output.root()),
        ("accounts/{date}.csv", project.path("exports").as_path())
    );
    assert_eq!(job.schedule.as_ref().unwrap().text(), "0 2 * * *");
    assert_eq!(job.timezone.iana_name(), Some("Europe/Berlin"));
}

#[test]
fn a_job_of_two_lines_has_the_documented_defaults() {
    let config = Project::with(ORG).job("a", JOB).all();
    let job = &config.jobs[0];
    assert!(job.enabled && !job.all_rows && job.schedule.is_none() && job.timeout.is_none());
    assert_eq!(job.format, Format::Csv);
    assert_eq!(job.timezone.iana_name(), Some("UTC"));
    assert_eq!((job.if_exists, job.file_mode), (IfExists::Replace, None));
    assert_eq!(job.shape.numbers, Numbers::Plain);
    assert_eq!((job.shape.children, job.shape.compound), (Children::Json, Compound::Json));
    assert!(!job.shape.columns_pinned && !job.shape.attributes);
    let csv = &job.shape.csv;
    assert_eq!((csv.delimiter, csv.quote, csv.null.as_str()), (b',', b'"', ""));
    assert!(!csv.crlf && csv.header && !csv.bom && !csv.formula_guard);
    let policy = &job.policy;
    assert_eq!((policy.catch_up, policy.overlap), (CatchUp::Latest, Overlap::Skip));
    assert_eq!((policy.start_deadline, policy.jitter), (None, Duration::ZERO));
    assert_eq!((policy.retries, policy.retry_after), (3, Duration::from_secs(600)));
}

#[test]
fn settings_have_the_documented_defaults() {
    let settings = Project::with(ORG).all().settings;
    let seconds = Duration::from_secs;
    let http = &settings.http;
    assert_eq!((http.connect_timeout, http.idle_timeout), (seconds(10), seconds(150)));
    assert_eq!(http.request_timeout, seconds(600));
    assert_eq!((http.attempts, http.wait_min, http.wait_max), (5, seconds(1), seconds(60)));
    assert_eq!((http.page_cap, http.batch_size, http.gzip), (256_000_000, 2000, true));
    assert_eq!(http.ca_file, None);
    let daemon = &settings.daemon;
    assert_eq!((daemon.max_concurrent_runs, daemon.shutdown_grace), (4, seconds(25)));
    assert_eq!(daemon.history_keep, seconds(90 * 24 * 3600));
    assert!(settings.status.listen.is_none() && settings.notify.webhook.is_none());
    assert_eq!(settings.notify.on, [NotifyOn::Failure, NotifyOn::Recovery]);
}

#[test]
fn every_key_of_a_job_can_be_written() {
    let config = Project::with(&format!("{ORG}{EMEA}"))
        .job(
            "all",
            "soql_file = \"all.soql\"
output = \"all.txt\"
format = \"csv\"
org = \"emea\"
enabled = false
schedule = \"@daily\"
timezone = \"Asia/Kolkata\"
timeout = \"2h\"
all_rows = true
numbers = \"as_sent\"
children = \"files\"
compound = \"columns\"
columns_pinned = true
if_exists = \"fail\"
file_mode = \"0640\"
catch_up = \"all\"
start_deadline = \"1h30m\"
overlap = \"queue\"
jitter = \"5m\"
retries = 0
retry_after = \"1 hour\"
[csv]
delimiter = \"tab\"
quote = \"'\"
line_ending = \"crlf\"
null = \"\\\\N\"
header = false
bom = true
formula_guard = true
",
        )
        .file("jobs/all.soql", "\u{feff}\n  SELECT Id\n  FROM Contact\n")
        .all();
    let job = &config.jobs[0];
    assert_eq!(&job.query().unwrap().text, "SELECT Id\n  FROM Contact");
    assert_eq!((job.format, job.org.as_str(), job.enabled, job.all_rows), (Format::Csv, "emea", false, true));
    assert_eq!(job.timezone.iana_name(), Some("Asia/Kolkata"));
    assert_eq!(job.timeout, Some(Duration::from_secs(7200)));
    assert_eq!(job.shape.numbers, Numbers::AsSent);
    assert_eq!((job.shape.children, job.shape.compound), (Children::Files, Compound::Columns));
    assert!(job.shape.columns_pinned);
    assert_eq!((job.if_exists, job.file_mode), (IfExists::Fail, Some(0o640)));
    assert_eq!((job.policy.catch_up, job.policy.overlap), (CatchUp::All, Overlap::Queue));
    assert_eq!(job.policy.start_deadline, Some(Duration::from_secs(5400)));
    assert_eq!((job.policy.jitter, job.policy.retries), (Duration::from_secs(300), 0));
    assert_eq!(job.policy.retry_after, Duration::from_secs(3600));
    let csv = &job.shape.csv;
    assert_eq!((csv.delimiter, csv.quote, csv.null.as_str()), (b'\t', b'\'', "\\N"));
    assert!(csv.crlf && !csv.header && csv.bom && csv.formula_guard);
}

#[test]
fn every_choice_of_a_key_is_accepted() {
    for key in config::keys().filter(|key| key.table == Table::Job) {
        let config::Kind::Choice(words) = key.kind else { continue };
        for word in words {
            let (table, name) =
                key.name.rsplit_once('.').map_or(("", key.name), |(table, name)| (table, name));
            let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
            // The extension says the same.
            let extension = match *word {
                "jsonl" => ".jsonl",
                "parquet" => ".parquet",
                _ if table == "parquet" => ".parquet",
                "gzip" => ".csv.gz",
                "zstd" => ".csv.zst",
                _ => ".csv",
            };
            let job = JOB.replace(".csv", extension);
            let job = if table == "incremental" { INCREMENTAL_JOB.to_owned() } else { job };
            Project::with(ORG).job("a", &format!("{job}{head}{name} = \"{word}\"\n")).all();
        }
    }
}

#[test]
fn json_lines_keep_numbers_as_sent_by_default() {
    let config = Project::with(ORG)
        .job("a", "soql = \"SELECT Id FROM Account\"\noutput = \"a.jsonl\"\nattributes = true\n")
        .job("b", "soql = \"SELECT Id FROM Account\"\noutput = \"b.JSONL\"\nnumbers = \"plain\"\n")
        .all();
    let numbers: Vec<_> = config.jobs.iter().map(|job| (job.format, job.shape.numbers)).collect();
    assert_eq!(numbers, [(Format::Jsonl, Numbers::AsSent), (Format::Jsonl, Numbers::Plain)]);
    assert!(config.jobs[0].shape.attributes);
}

#[test]
fn jobs_are_sorted_by_name_and_only_toml_files_are_jobs() {
    let project = Project::with(ORG)
        .job("b", JOB)
        .job("a", JOB)
        .job("C", JOB)
        .file("jobs/notes.txt", "?")
        .file("jobs/query.soql", "?")
        .file("jobs/.hidden.toml", "?")
        .file("jobs/nested/d.toml", "?")
        .file("jobs/directory.toml/e", "?")
        .file("elsewhere.toml", JOB);
    std::os::unix::fs::symlink(project.path("elsewhere.toml"), project.path("jobs/linked.toml")).unwrap();
    let names: Vec<_> = project.all().jobs.iter().map(|job| job.name.to_string()).collect();
    assert_eq!(names, ["C", "a", "b", "linked"]);
}

// -- sources

#[test]
fn flags_override_variables_which_override_files() {
    let mut project = Project::with("state_dir = \"from-file\"\n[http]\nattempts = 6\nbatch_size = 500\n");
    assert_eq!(project.all().settings.state_dir, project.path("from-file"));
    project =
        project.variable("SFEXPORT_STATE_DIR", "from-variable").variable("SFEXPORT_HTTP__ATTEMPTS", "7");
    let settings = project.all().settings;
    assert_eq!(settings.state_dir, project.path("from-variable"));
    assert_eq!((settings.http.attempts, settings.http.batch_size), (7, 500));
    project.sources.flags =
        vec![FlagValue { flag: "--state-dir", key: "state_dir", value: "from-flag".to_owned() }];
    assert_eq!(project.all().settings.state_dir, project.path("from-flag"));
}

#[test]
fn the_environment_alone_is_a_configuration() {
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\\n";
    let project = Project::empty()
        .variable("SFEXPORT_ORG__CLIENT_ID", "3141592653589793238")
        .variable("SFEXPORT_ORG__USERNAME", "[a]@example.com\n")
        .variable("SFEXPORT_ORG__KEY", PEM)
        .variable("SFEXPORT_ORG__KEY_PASSWORD", " spaces are kept \n")
        .variable("SFEXPORT_ORG__INSTANCE_HOSTS", "a.example.com, b.example.com:8443")
        .variable("SFEXPORT_ORG__API_VERSION", "63.0")
        .variable("SFEXPORT_ORGS__EMEA_2__CLIENT_ID", "true")
        .variable("SFEXPORT_ORGS__EMEA_2__USERNAME", "e@example.com")
        .variable("SFEXPORT_ORGS__EMEA_2__KEY_ALIAS", "1e3")
        .variable("SFEXPORT_ORGS__EMEA_2__KEY_FILE", "keys/emea.key")
        .variable("SFEXPORT_HTTP__GZIP", "false")
        .variable("SFEXPORT_HTTP__WAIT_MAX", "2m")
        .variable("SFEXPORT_HTTP__PAGE_CAP", "1 GiB")
        .variable("SFEXPORT_STATUS__LISTEN", "127.0.0.1:9090")
        .variable("SFEXPORT_NOTIFY__WEBHOOK", "https://hooks.example.com/T0/B0/secret")
        .variable("SFEXPORT_NOTIFY__ON", "failure,every");
    let config = project.load(&Selection::NoJobs).unwrap();
    assert_eq!(config.file, None);
    let org = config.org(None).unwrap();
    assert_eq!(org.client_id, "3141592653589793238");
    assert_eq!(org.username, "[a]@example.com");
    assert_eq!(org.api_version, "63.0");
    assert_eq!(org.instance_hosts, ["a.example.com", "b.example.com:8443"]);
    let KeySource::Inline(pem) = &org.key else { panic!("the key itself") };
    assert_eq!(pem.expose_secret(), PEM);
    let Some(PasswordSource::Inline(password)) = &org.key_password else { panic!("the password itself") };
    assert_eq!(password.expose_secret(), " spaces are kept ");
    let emea = config.org(Some("emea_2")).unwrap();
    assert_eq!((emea.client_id.as_str(), emea.key_alias.as_deref()), ("true", Some("1e3")));
    assert!(matches!(&emea.key, KeySource::File(path) if *path == project.path("keys/emea.key")));
    let settings = &config.settings;
    assert_eq!((settings.http.gzip, settings.http.wait_max), (false, Duration::from_secs(120)));
    assert_eq!(settings.http.page_cap, 1_073_741_824);
    assert_eq!(settings.status.listen, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!(settings.notify.on, [NotifyOn::Failure, NotifyOn::Every]);
    let webhook = settings.notify.webhook.as_ref().unwrap();
    assert_eq!(webhook.expose_secret(), "https://hooks.example.com/T0/B0/secret");
}

#[test]
fn empty_and_unrelated_variables_are_ignored() {
    let project = Project::with(ORG)
        .variable("SFEXPORT_ORG__CLIENT_ID", "")
        .variable("SFEXPORT_ORG__NONSENSE", "")
        .variable("SFEXPORT_CONFIG", "")
        .variable("SFEXPORT_STATE_DIR", "")
        .variable("SFEXPORT_LOG", "debug")
        .variable("SFEXPORT_PORT", "tcp://10.0.0.1:80")
        .variable("SFEXPORT_SERVICE_HOST", "10.0.0.1")
        .variable("SFEXPORT_STATUS_SERVICE_PORT", "9090")
        .variable("OTHER_ORG__NONSENSE", "x");
    let config = project.all();
    assert_eq!(config.org(None).unwrap().client_id, "3MVG9");
    assert_eq!(config.settings.state_dir, project.path("state"));
    assert_eq!(config.warnings, []);
}

#[test]
fn a_key_in_the_environment_overrides_the_file() {
    let config = Project::with(ORG).variable("SFEXPORT_ORG__KEY", "PEM").all();
    assert!(matches!(&config.org(None).unwrap().key, KeySource::Inline(_)));
}

#[test]
fn a_named_file_is_read_and_its_paths_are_relative_to_it() {
    let mut project = Project::empty()
        .file("etc/other.toml", format!("output_root = \"../out\"\n{ORG}"))
        .file("etc/jobs/a.toml", JOB)
        .variable("SFEXPORT_CONFIG", "etc/other.toml");
    let check = |project: &Project| {
        let config = project.all();
        assert_eq!(config.file, Some(project.path("etc/other.toml")));
        assert_eq!(config.settings.state_dir, project.path("etc/state"));
        assert_eq!(config.jobs[0].output.root(), project.path("out"));
        let key = &config.org(None).unwrap().key;
        assert!(matches!(key, KeySource::File(path) if *path == project.path("etc/server.key")));
    };
    check(&project);
    project.sources.environment.clear();
    project.sources.config_flag = Some("etc/other.toml".into());
    check(&project);
    // The flag is stronger than the variable.
    project = project.variable("SFEXPORT_CONFIG", "nowhere.toml");
    check(&project);
}

// -- what is wrong with the sources

#[test]
fn a_named_file_must_exist() {
    let mut project = Project::empty().variable("SFEXPORT_CONFIG", "nowhere.toml");
    assert_eq!(
        project.mistakes(),
        [
            "SFEXPORT_CONFIG: \"nowhere.toml\" cannot be read: No such file or directory; correct the path; `sfexport init` writes a \
          new configuration"
        ]
    );
    project.sources.config_flag = Some("/nowhere/at/all.toml".into());
    assert_eq!(
        project.mistakes(),
        [
            "--config: \"/nowhere/at/all.toml\" cannot be read: No such file or directory; correct the path; `sfexport init` writes a \
          new configuration"
        ]
    );
}

#[test]
fn a_missing_configuration_has_a_hint() {
    let project = Project::empty();
    let told = "there is no sfexport.toml in DIR; create it with `sfexport init`, name another file with --config or \
                SFEXPORT_CONFIG, or set SFEXPORT_ORG__CLIENT_ID, SFEXPORT_ORG__USERNAME and \
                SFEXPORT_ORG__KEY_FILE";
    assert_eq!(project.mistakes(), [told]);
    // A job that is asked for is no second mistake.
    let unknown = project.named(&["accounts", "contacts"]).unwrap_err();
    assert_eq!(project.shown(unknown.as_slice()), [told]);
    let failure = project.load(&Selection::NoJobs).unwrap().org(None).unwrap_err();
    let dir = project.sources.working_dir.display();
    assert_eq!((failure.exit.code(), failure.what), (78, format!("there is no sfexport.toml in {dir}")));
    assert!(failure.hint.unwrap().contains("SFEXPORT_ORG__CLIENT_ID"));
}

#[test]
fn a_misplaced_or_misnamed_configuration_is_reported() {
    for near in ["sfexport.toml.txt", "sfexport.TOML", "Sfexport.toml", "sfexport.yaml"] {
        let told = Project::empty().file(near, ORG).mistakes();
        assert_eq!(told.len(), 1);
        let start =
            format!("there is no sfexport.toml in DIR, and {near} is ignored because of its name; create it");
        assert!(told[0].starts_with(&start), "{told:?}");
    }
    let mut project = Project::with(ORG).job("a", JOB).file("jobs/old/x.toml", JOB);
    let above = project.sources.working_dir.clone();
    project.sources.working_dir.push("jobs");
    let told = project.named(&["a"]).unwrap_err().to_string();
    let start = format!("there is no sfexport.toml in {0}/jobs, but there is one in {0}\n", above.display());
    assert!(told.starts_with(&start), "{told}");
    assert!(!told.contains("there is no job"), "{told}");
}

#[test]
fn broken_toml_is_shown_with_line_and_column_in_every_file() {
    let project =
        Project::with("[org\nclient_id = \"x\"\n").job("a", "soql = \"SELECT").job("b", "x = 1\nx = 2\n");
    let mistakes = project.mistakes();
    assert!(mistakes[0].starts_with("jobs/a.toml:1:15: invalid TOML: "), "{mistakes:#?}");
    assert!(mistakes[1].starts_with("jobs/b.toml:2:1: invalid TOML: "), "{mistakes:#?}");
    assert!(mistakes[2].starts_with("sfexport.toml:1:5: invalid TOML: "), "{mistakes:#?}");
    assert_eq!(mistakes.len(), 3, "{mistakes:#?}");
}

#[test]
fn invalid_toml_is_explained() {
    for (line, expected) in [
        ("timezone = Europe/Berlin", "text needs quotes; write timezone = \"...\""),
        ("timeout = 10m", "text needs quotes; write timeout = \"...\""),
        ("org = emea", "text needs quotes; write org = \"...\""),
        ("org = inf4", "text needs quotes; write org = \"...\""),
        ("org =", "`org` has no value; write org = \"...\""),
        ("enabled = yes", "`enabled` has an invalid value; write true or false"),
        ("retries = three", "`retries` has an invalid value; write a whole number, 0 to 100"),
        ("file_mode = 0640", "file modes need quotes; write file_mode = \"0640\""),
        ("org: emea", "there is no `=` after the key; write org = \"...\""),
        ("timezone = “Europe/Berlin”", "these are not straight quotes; write timezone = \"...\""),
        ("soql_file = \"a \"b\" c\"", "the text ends at the second \"; write soql_file = \"\"\"...\"\"\""),
        ("soql_file = 'Name = 'x''", "the text ends at the second '; write soql_file = \"\"\"...\"\"\""),
        (
            "soql_file = \"C:\\queries\\a.soql\"",
            "a backslash between double quotes begins an escape sequence; write soql_file = '...'",
        ),
        (
            "soql_file = \"\\\\host\\\"",
            "a backslash between double quotes begins an escape sequence; write soql_file = '...'",
        ),
    ] {
        let mistakes = job_mistakes(&format!("{JOB}{line}\n"));
        let lines: Vec<_> = mistakes[0].lines().collect();
        let (place, what) = lines[0].split_once(": invalid TOML: ").unwrap();
        assert!(place.starts_with("jobs/a.toml:3:"), "{mistakes:#?}");
        assert_eq!((what, lines[1]), (expected, format!("  {line}").as_str()), "{mistakes:#?}");
        assert_eq!(lines[2].trim(), "^");
        assert_eq!((mistakes.len(), lines.len()), (1, 3), "{mistakes:#?}");
    }
    // A mistake in a value is where the value begins, wherever the parser stopped in it.
    for (line, column, expected) in [
        ("soql_file = 3MVG9demo", 13, "text needs quotes; write soql_file = \"...\""),
        ("soql_file =   1.2.3", 15, "text needs quotes; write soql_file = \"...\""),
        ("enabled = yes", 11, "`enabled` has an invalid value; write true or false"),
        ("fields = Id, Name", 10, "a list needs brackets and quotes; write fields = [\"...\", \"...\"]"),
        ("fields = \"Id\", \"Name\"", 14, "a list needs brackets; write fields = [\"...\", \"...\"]"),
        ("fields = [ Id, Name]", 12, "text needs quotes; write fields = [\"...\", \"...\"]"),
        ("fields = [\"Id\" \"Name\"]", 16, "a comma is missing in the list"),
        ("fields = [\"Id\", \"Name\"", 10, "the closing ] is missing"),
        ("[csv", 5, "the closing ] is missing"),
    ] {
        let caret = " ".repeat(column - 1);
        assert_eq!(
            job_mistakes(&format!("{JOB}{line}")),
            [format!("jobs/a.toml:3:{column}: invalid TOML: {expected}\n  {line}\n  {caret}^")]
        );
    }
    // What has no end is reported where it begins, and none of the lines that it takes in.
    for (text, line, column, closing) in [
        ("objects = [\"A\", \"B\"\noutput = \"{object}.csv\"\nschedule = \"@daily\"\n", 1, 11, "]"),
        ("object = \"A\"\nfields = [\"Id\",\nretries = 3\noutput = \"a.csv\"\n", 2, 10, "]"),
        ("object = \"A\"\noutput = \"a.csv\"\nfields = [\"Id\", # all ]\nretries = 3\n", 3, 10, "]"),
        ("object = \"A\"\nfields = [\n  \"Id\",\n  '],'\nenabled = true\noutput = \"a.csv\"", 2, 10, "]"),
        ("fields = [\"Id\"\n\n[columns]\nId = \"x\"\n", 1, 10, "]"),
        ("output = \"a.csv\"\nsoql = \"\"\"SELECT Id\n  FROM Account\n", 2, 8, "\"\"\""),
        ("output = \"a.csv\"\nsoql = '''\nSELECT Id\nschedule = \"@daily\"\n", 2, 8, "'''"),
    ] {
        let mistakes = job_mistakes(text);
        let lines: Vec<_> = mistakes[0].lines().collect();
        let expected = format!("jobs/a.toml:{line}:{column}: invalid TOML: the closing {closing} is missing");
        assert_eq!((mistakes.len(), lines[0]), (1, expected.as_str()), "{mistakes:#?}");
        assert_eq!(lines[2].len(), 2 + column, "{mistakes:#?}");
    }
    let two = "object = \"A\"\noutput = \"a.csv\"\nfields = [\"Id\" \"X\"]\nobjects = [\"x\" \"y\"]\n";
    assert_eq!(job_mistakes(two).len(), 2);
    // A byte order mark is not a part of the first line.
    assert_eq!(job_mistakes("\u{feff}output = a.csv\n"), job_mistakes("output = a.csv\n"));
    assert_eq!(
        job_mistakes(&format!("{JOB}output = \"b.csv\"\n")),
        ["jobs/a.toml:3:1: invalid TOML: duplicate key \"output\"; remove one of them\n  \
             output = \"b.csv\"\n  ^"]
    );
    assert_eq!(
        job_mistakes("output = \"a.csv\"\nsoql = \"SELECT Id\n"),
        [
            "jobs/a.toml:2:18: invalid TOML: the closing \" is missing; add it, or put text of several lines between \"\"\" and \
             \"\"\"\n  soql = \"SELECT Id\n                   ^"
        ]
    );
    assert_eq!(
        job_mistakes("output = a.csv\nsoql = \"SELECT Id\n  FROM Account\n  WHERE Id = 'x'\"\n"),
        [
            "jobs/a.toml:1:10: invalid TOML: text needs quotes; write output = \"...\"\n  output = a.csv\n           ^",
            "jobs/a.toml:2:18: invalid TOML: the closing \" is missing; add it, or put text of several lines between \"\"\" and \
             \"\"\"\n  soql = \"SELECT Id\n                   ^",
        ]
    );
    assert_eq!(
        job_mistakes("soql = \"\"\"SELECT Id\nFROM Account\n"),
        [
            "jobs/a.toml:1:8: invalid TOML: the closing \"\"\" is missing\n  soql = \"\"\"SELECT Id\n         ^"
        ]
    );
    assert_eq!(
        job_mistakes("soql = \"\"\"\nSELECT Id FROM A WHERE B LIKE 'a\\_b'\n\"\"\"\n"),
        [
            "jobs/a.toml:2:34: invalid TOML: a backslash begins an escape sequence here; write it twice, or put the text between \
             ''' and '''"
        ]
    );
    assert_eq!(
        shared_mistakes("[org]\nclient_id \"x\"\n"),
        ["sfexport.toml:2:11: invalid TOML: there is no `=` after the key; write client_id = \"...\""]
    );
    assert_eq!(
        shared_mistakes("[org]\nclient id = \"x\"\n"),
        ["sfexport.toml:2:8: invalid TOML: there is a space in the key; write `client_id`"]
    );
    assert_eq!(
        shared_mistakes(&format!("{ORG}[http]\n[org]\n")),
        ["sfexport.toml:6:2: invalid TOML: duplicate table \"org\"; merge the tables\n  [org]\n   ^"]
    );
}

#[test]
fn the_content_of_a_file_is_no_path_and_is_never_shown() {
    const CONTENT: &str = "this is the content of a file, not a path; write the path of the file; the variable \
                           SFEXPORT_ORG__KEY takes a private key itself";
    let base64 = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA/abc".repeat(6);
    for value in ["-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\\n", "hunter2\\n", &base64]
    {
        for key in ["key_file", "cert_file", "key_password_file"] {
            let org = ORG.replace("key_file", "# key_file");
            let other = if key == "key_file" { "" } else { "key_file = \"server.key\"\n" };
            let mistakes = shared_mistakes(&format!("{org}{other}{key} = \"{value}\"\n"));
            let expected = format!(": org.{key}: {CONTENT}");
            assert!(mistakes.len() == 1 && mistakes[0].ends_with(&expected), "{mistakes:#?}");
        }
    }
    let mistakes = shared_mistakes(&format!("{ORG}[status]\nlisten = \"http://u:hunter2@x\"\n"));
    assert!(mistakes.len() == 1 && !mistakes[0].contains("hunter2"), "{mistakes:#?}");
}

#[test]
fn no_job_overwrites_what_sfexport_needs() {
    let shared = format!(
        "output_root = \".\"\njobs_dir = \"./jobs\"\nstate_dir = \"state\"\n{ORG}cert_file = \"etc/server.crt\"\n"
    );
    let with = |output: &str| {
        let format = if output.ends_with(".jsonl") { "jsonl" } else { "csv" };
        let job = format!("object = \"User\"\nformat = \"{format}\"\noutput = \"{output}\"\n");
        Project::with(&shared).file("jobs/a.toml", job).mistakes()
    };
    for (output, what) in [
        ("sfexport.toml", "the configuration file"),
        ("jobs/a.toml", "a job file"),
        ("server.key", "the private key in key_file"),
        ("etc/server.crt", "the certificate in cert_file"),
        ("state/runs.jsonl", "what sfexport keeps in state_dir"),
        ("state/marks/{job}.json", "what sfexport keeps in state_dir"),
    ] {
        let mistakes = with(output);
        let expected =
            format!("jobs/a.toml:3: output: \"{output}\" would overwrite {what}; choose another path");
        assert_eq!(mistakes, [expected]);
    }
    // Exports may be beside the state and beside jobs.
    for output in ["state/exports/a.csv", "jobs/a.csv"] {
        let mistakes = Project::with(&shared)
            .file("jobs/a.toml", format!("object = \"User\"\noutput = \"{output}\"\n"))
            .all();
        assert_eq!(mistakes.jobs.len(), 1, "{output}");
    }
}

#[test]
fn invalid_toml_is_not_shown_if_it_may_contain_a_secret() {
    for line in [
        "key = hunter2",
        "key_password = \"hunter2",
        "key_password_file = hunter2",
        "login_url = https://me:hunter2@example.com",
        "passwort = hunter2",
        "hunter2",
    ] {
        let mistakes = shared_mistakes(&format!("{ORG}{line}\n"));
        assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
        assert!(mistakes[0].starts_with("sfexport.toml:5:"), "{mistakes:#?}");
        assert!(!mistakes[0].contains("hunter2") && !mistakes[0].contains('\n'), "{mistakes:#?}");
    }
}

#[test]
fn jobs_are_checked_even_if_the_shared_file_is_invalid() {
    let project = Project::with("jobs_dir = \"tasks\"\n[org]\nclient_id =\n")
        .file("tasks/good.toml", format!("{JOB}org = \"emea\"\n"))
        .file("tasks/bad.toml", format!("{JOB}retries = -1\n"));
    let mistakes = project.mistakes();
    assert!(mistakes[0].starts_with("sfexport.toml:3:"), "{mistakes:#?}");
    assert_eq!(
        mistakes[1..],
        ["tasks/bad.toml:3: retries: -1 is out of range; write a number in the range 0 to 100"]
    );
}

#[test]
fn a_file_that_is_not_utf_8_is_reported_with_the_line() {
    let project = Project::with(ORG).file("jobs/a.toml", b"soql = \"x\"\noutput = \"\xff.csv\"\n");
    assert_eq!(project.mistakes(), ["jobs/a.toml:2: the text is not UTF-8; save the file as UTF-8"]);
}

#[test]
fn unreadable_job_files_and_directories_are_mistakes() {
    let project = Project::with(ORG);
    std::fs::create_dir(project.path("jobs")).unwrap();
    std::os::unix::fs::symlink("nowhere", project.path("jobs/a.toml")).unwrap();
    assert_eq!(project.mistakes(), ["jobs/a.toml: cannot be read: No such file or directory"]);
    assert_eq!(
        shared_mistakes(&format!("jobs_dir = \"tasks\"\n{ORG}")),
        [
            "sfexport.toml:1: jobs_dir: cannot read tasks: No such file or directory; create the directory, or correct jobs_dir"
        ]
    );
    assert_eq!(
        shared_mistakes(&format!("jobs_dir = \"sfexport.toml\"\n{ORG}")),
        ["sfexport.toml:1: jobs_dir: cannot read sfexport.toml: Not a directory"]
    );
    assert!(Project::with(ORG).all().jobs.is_empty());
}

#[test]
fn unknown_variables_of_an_org_are_mistakes() {
    let project = Project::with(ORG)
        .variable("SFEXPORT_ORG__CLIENTID", "x")
        .variable("SFEXPORT_ORGS__EMEA__USERNAM", "x")
        .variable("SFEXPORT_ORGS__EMEA", "x")
        .variable("SFEXPORT_ORGS__E-U__USERNAME", "x")
        .variable("SFEXPORT_ORGS__DEFAULT__USERNAME", "x")
        .variable("SFEXPORT_HTTP__ATTEMPTS", "many")
        .variable("SFEXPORT_HTTP__BATCH_SIZE", "0");
    assert_eq!(
        project.mistakes(),
        [
            "SFEXPORT_HTTP__ATTEMPTS: \"many\" is not a whole number; write a number in the range 1 to 100",
            "SFEXPORT_HTTP__BATCH_SIZE: \"0\" is out of range; write a number in the range 200 to 2000",
            "SFEXPORT_ORGS__DEFAULT__USERNAME: \"default\" is the name of the `[org]` table; write SFEXPORT_ORG__USERNAME",
            "SFEXPORT_ORGS__E-U__USERNAME: \"E-U\" is not an org's name; use lowercase letters, digits and single underscores",
            "SFEXPORT_ORGS__EMEA: the name lacks an org or a key; write it as in SFEXPORT_ORGS__NAME__CLIENT_ID, for the org NAME",
            "SFEXPORT_ORGS__EMEA__USERNAM: orgs have no key `usernam`; did you mean \
             SFEXPORT_ORGS__EMEA__USERNAME?",
            "SFEXPORT_ORG__CLIENTID: orgs have no key `clientid`; did you mean SFEXPORT_ORG__CLIENT_ID?",
        ]
    );
}

#[test]
fn a_misspelled_variable_is_a_warning() {
    let project = Project::with(ORG)
        .variable("SFEXPORT_HTTP_ATTEMPTS", "3")
        .variable("SFEXPORT_STATEDIR", "x")
        .variable("SFEXPORT_ORG_KEY", "x");
    assert_eq!(
        project.shown(&project.all().warnings),
        [
            "SFEXPORT_HTTP_ATTEMPTS: this variable is ignored; did you mean SFEXPORT_HTTP__ATTEMPTS?",
            "SFEXPORT_ORG_KEY: this variable is ignored; did you mean SFEXPORT_ORG__KEY?",
            "SFEXPORT_STATEDIR: this variable is ignored; did you mean SFEXPORT_STATE_DIR?",
        ]
    );
}

#[test]
fn a_misspelled_variable_is_shown_with_the_missing_key() {
    let project = Project::with("[org]\nclient_id = \"x\"\nusername = \"a@example.com\"\n")
        .variable("SFEXPORT_ORG_KEY_FILE", "server.key");
    assert_eq!(
        project.mistakes(),
        [
            "SFEXPORT_ORG_KEY_FILE: this variable is ignored; did you mean SFEXPORT_ORG__KEY_FILE?",
            "sfexport.toml:1: org.key_file: this key is not set; set it to the path of the private key, or set \
             SFEXPORT_ORG__KEY to the key's PEM",
        ]
    );
    let project = Project::empty()
        .variable("SFEXPORT_ORG_CLIENT_ID", "x")
        .variable("sfexport_org__username", "x")
        .variable("SFEXPORT_ORGS_EMEA_KEY_FILE", "x")
        .variable("SFEXPORT_ORGS_EMEA__USERNAME", "x")
        .variable("SFEXPORT_PORT", "tcp://10.0.0.1:80")
        .variable("SFEXPORT_ORGS_SERVICE_HOST", "10.0.0.1");
    let told = project.mistakes();
    assert!(told[0].starts_with("there is no sfexport.toml in DIR; "), "{told:?}");
    assert_eq!(
        told[1..],
        [
            "SFEXPORT_ORGS_EMEA_KEY_FILE: this variable is ignored; did you mean SFEXPORT_ORGS__EMEA__KEY_FILE?",
            "SFEXPORT_ORGS_EMEA__USERNAME: this variable is ignored; did you mean SFEXPORT_ORGS__EMEA__USERNAME?",
            "SFEXPORT_ORG_CLIENT_ID: this variable is ignored; did you mean SFEXPORT_ORG__CLIENT_ID?",
            "sfexport_org__username: this variable is ignored; rename it to SFEXPORT_ORG__USERNAME",
        ]
    );
}

// -- several orgs

/// Tables of orgs with these names.
fn orgs(names: &[&str]) -> String {
    names.iter().map(|name| EMEA.replace("emea", name)).collect()
}

/// The exports of a configuration, as `JOB@ORG`.
fn exports(config: &Config) -> Vec<String> {
    config.jobs.iter().map(|job| format!("{}@{}", job.name, job.org)).collect()
}

#[test]
fn a_job_is_read_once_for_each_of_its_orgs() {
    let job = |orgs: &str| {
        format!("soql = 'SELECT Id FROM Account'\noutput = '{{org}}/{{job}}.csv'\norgs = {orgs}\n")
    };
    for (list, expected) in [
        ("[\"uat\", \"emea_1\"]", "a@emea_1 a@uat"),
        ("\"uat\"", "a@uat"),
        ("[\"*\"]", "a@default a@emea_1 a@emea_2 a@uat"),
        ("[\"emea_*\", \"default\"]", "a@default a@emea_1 a@emea_2"),
        ("[\"*\", \"!emea_*\", \"!uat\"]", "a@default"),
        ("[\"!uat\", \"*\", \"!apac_*\"]", "a@default a@emea_1 a@emea_2"),
        ("[\"uat\", \"uat\"]", "a@uat"),
    ] {
        let shared = format!("{ORG}{}", orgs(&["uat", "emea_1", "emea_2"]));
        let config = Project::with(&shared).job("a", &job(list)).all();
        assert_eq!(exports(&config).join(" "), expected, "{list}");
    }
}

#[test]
fn each_org_has_its_own_output_and_ping() {
    let project = Project::with(&orgs(&["uat", "emea"])).job(
        "a",
        "objects = ['*']\noutput = '{org}/{object}.csv'\norgs = ['*']\nping_url = 'https://p.example/{job}-{org}'\n",
    );
    let jobs = project.all().jobs;
    let pings: Vec<_> = jobs.iter().map(|job| job.ping_url.as_ref().unwrap().expose_secret()).collect();
    assert_eq!(pings, ["https://p.example/a-emea", "https://p.example/a-uat"]);
    let keys: Vec<_> = jobs.iter().map(|job| job.key().to_string()).collect();
    assert_eq!(keys, ["a for org emea", "a for org uat"]);
}

// -- [defaults]

#[test]
fn a_default_holds_where_a_job_sets_nothing() {
    let shared = format!(
        "{ORG}[defaults]\noutput = \"{{org}}/{{job}}.csv\"\nschedule = \"0 2 * * *\"\ntimezone = \"Europe/Berlin\"\n\
         retries = 7\nenabled = false\ntimeout = \"1h\"\nall_rows = true\ncount_check = \"strict\"\n\
         file_mode = \"0640\"\nif_exists = \"fail\"\nafter = [\"up\"]\n\
         [defaults.csv]\nnull = \"NULL\"\nbom = true\n\
         [defaults.types]\nId = \"text\"\nName = \"text\"\nGone__c = \"text\"\n{}",
        orgs(&["emea"])
    );
    let soql = "soql = \"SELECT Id, Name FROM Account\"\n";
    let own = "output = \"own.csv\"\nschedule = \"@hourly\"\ntimezone = \"UTC\"\nretries = 0\nenabled = true\n\
               timeout = \"2h\"\nall_rows = false\ncount_check = \"warn\"\nfile_mode = \"0600\"\n\
               if_exists = \"replace\"\nafter = [\"down\"]\norg = \"emea\"\n[csv]\nnull = \"\"\n[types]\nname = \"date\"\n";
    let project = Project::with(&shared).job("a", soql).job("b", &format!("{soql}{own}"));
    let jobs = project.all().jobs;
    let seen = |number: usize| {
        let job = &jobs[number];
        let types: Vec<_> =
            job.shape.columns.types.iter().map(|(column, kind)| format!("{column} {kind}")).collect();
        (
            (job.output.text().to_owned(), job.timezone.iana_name().unwrap().to_owned(), job.org.to_string()),
            (
                job.schedule.as_ref().unwrap().text().to_owned(),
                job.policy.retries,
                job.enabled,
                job.timeout.unwrap().as_secs(),
            ),
            (
                job.all_rows,
                job.count_check,
                job.file_mode,
                job.if_exists,
                job.after.clone().unwrap().command.concat(),
            ),
            (job.shape.csv.null.clone(), job.shape.csv.bom, job.shape.csv.delimiter, types.join(", ")),
        )
    };
    assert_eq!(
        seen(0),
        (
            ("{org}/{job}.csv".to_owned(), "Europe/Berlin".to_owned(), "default".to_owned()),
            ("0 2 * * *".to_owned(), 7, false, 3600),
            (true, CountCheck::Strict, Some(0o640), IfExists::Fail, "up".to_owned()),
            ("NULL".to_owned(), true, b',', "Gone__c text, Id text, Name text".to_owned()),
        )
    );
    assert_eq!(
        seen(1),
        (
            ("own.csv".to_owned(), "UTC".to_owned(), "emea".to_owned()),
            ("@hourly".to_owned(), 0, true, 7200),
            (false, CountCheck::Warn, Some(0o600), IfExists::Replace, "down".to_owned()),
            (String::new(), true, b',', "Gone__c text, Id text, name date".to_owned()),
        )
    );
}

#[test]
fn a_default_that_does_not_fit_a_job_is_ignored() {
    let shared = format!(
        "{ORG}[defaults]\nformat = \"csv\"\nchildren = \"files\"\ncompound = \"columns\"\n\
         fields = [\"Id\"]\nwhere = \"Id != null\"\nmanifest = \"{{org}}/{{job}}.json\"\norg = \"emea\"\nretries = 1\n\
         after_timeout = \"1m\"\n[defaults.csv]\nbom = true\n[defaults.columns]\n\"Owner.Name\" = \"owner\"\nContacts = \"people\"\n\
         [defaults.objects_with.Account]\nwhere = \"Name != null\"\n[defaults.objects_with.Gone]\nfields = [\"Id\"]\n{}",
        orgs(&["emea"])
    );
    let project = Project::with(&shared)
        .job("csv", "soql = \"SELECT Id, (SELECT Id FROM Contacts) FROM Account\"\noutput = \"a.csv\"\n")
        .job("lines", "soql = \"SELECT Id, (SELECT Id FROM Contacts) FROM Account\"\noutput = \"b.jsonl\"\n")
        .job("one", "object = \"Account\"\noutput = \"c.csv\"\n")
        .job("set", "objects = [\"account\", \"Case\"]\noutput = \"{org}/{object}\"\norgs = [\"default\"]\n[objects_with.account]\nfields = [\"Id\", \"Name\"]\n");
    let config = project.all();
    assert_eq!(project.shown(&config.warnings), [""; 0]);
    assert_eq!(exports(&config).join(" "), "csv@emea lines@emea one@emea set@default");
    let [csv, lines, one, set] = config.jobs.as_slice() else { panic!("{:?}", config.jobs) };
    let shape =
        |job: &sfexport::job::Job| (job.format, job.shape.children, job.shape.compound, job.shape.csv.bom);
    assert_eq!(shape(csv), (Format::Csv, Children::Files, Compound::Columns, true));
    assert_eq!(shape(lines), (Format::Jsonl, Children::Json, Compound::Json, false));
    assert_eq!(shape(one), (Format::Csv, Children::Files, Compound::Columns, true));
    assert_eq!(shape(set), (Format::Csv, Children::Json, Compound::Columns, true));
    assert_eq!([csv, lines, one].map(|job| job.manifest == Manifest::None), [true; 3]);
    assert!(matches!(&set.manifest, Manifest::At(path) if path.text() == "{org}/{job}.json"));
    // Keys of one object are merged too.
    let account = set.of_object(&ObjectName::parse("account").unwrap()).unwrap();
    let sfexport::job::Source::Object(account) = account.source else { panic!("an object") };
    assert_eq!(account.condition.as_deref(), Some("Name != null"));
    assert_eq!(account.fields.written().unwrap(), ["Id", "Name"]);
    let sfexport::job::Source::Object(one) = &one.source else { panic!("an object") };
    assert_eq!(
        (one.condition.as_deref(), one.fields.written().unwrap()),
        (Some("Id != null"), vec!["Id".to_owned()])
    );
}

#[test]
fn attributes_and_new_names_give_way_to_a_job() {
    let soql = "soql = \"SELECT Id, Name FROM Account\"\n";
    let attributes = |defaults: &str, own: &str| {
        let project =
            Project::with(&format!("{ORG}[defaults]\n{defaults}\n")).job("a", &format!("{soql}{own}\n"));
        let job = project.all().jobs.remove(0);
        (job.shape.attributes, job.shape.columns.rename())
    };
    assert_eq!(attributes("attributes = true", "output = \"a.csv\""), (false, false));
    assert_eq!(attributes("attributes = true", "output = \"a.jsonl\""), (true, false));
    assert_eq!(
        attributes("attributes = true", "output = \"a.jsonl\"\ncolumn_names = \"snake\""),
        (false, true)
    );
    assert_eq!(attributes("columns.Name = \"n\"", "output = \"a.jsonl\"\nattributes = true"), (true, false));
    assert_eq!(attributes("column_names = \"snake\"", "output = \"a.csv\""), (false, true));
}

#[test]
fn a_default_of_bulk_gives_way_where_bulk_is_impossible() {
    let old = EMEA.replace("orgs.emea", "orgs.old") + "api_version = '46.0'\n";
    let project = Project::with(&format!(
        "{ORG}{EMEA}{old}[defaults]\napi = \"bulk\"\nattributes = true\n[defaults.bulk]\nparallel = 2\n"
    ));
    let soql =
        |soql: &str, more: &str| format!("soql = \"{soql}\"\noutput = \"{{org}}/{{job}}.csv\"\n{more}");
    let plain = "SELECT Id FROM Account";
    let lines = "soql = \"SELECT Id FROM Account\"\noutput = \"{job}.jsonl\"\n";
    let project = project
        .job("children", &soql("SELECT Id, (SELECT Id FROM Contacts) FROM Account", ""))
        .job("grouped", &soql("SELECT Name FROM Account GROUP BY Name", "api = \"auto\"\n"))
        .job("lines", lines)
        .job("lines_by_bulk", &format!("{lines}api = \"bulk\"\n"))
        .job("ordered", &soql("SELECT Id FROM Account ORDER BY Id", ""))
        .job("plain", &soql(plain, "orgs = [\"*\"]\n"))
        .job("rest", &soql(plain, "api = \"rest\"\n"));
    let jobs = project.all().jobs;
    let found: Vec<_> = jobs
        .iter()
        .map(|job| (job.name.as_str(), job.org.as_str(), job.api.as_str(), job.shape.attributes))
        .collect();
    assert_eq!(
        found,
        [
            ("children", "default", "auto", false),
            ("grouped", "default", "auto", false),
            ("lines", "default", "auto", true),
            ("lines_by_bulk", "default", "bulk", false),
            ("ordered", "default", "bulk", false),
            ("plain", "default", "bulk", false),
            ("plain", "emea", "bulk", false),
            ("plain", "old", "auto", false),
            ("rest", "default", "rest", false),
        ]
    );
    assert!(jobs.iter().all(|job| job.bulk.parallel == 2));
    assert_eq!(project.shown(&project.all().warnings), [] as [String; 0]);
}

#[test]
fn a_job_decides_how_it_uses_bulk() {
    let project = Project::with(ORG)
        .job("a", JOB)
        .job(
            "b",
            &format!(
                "{JOB}api = \"bulk\"\n[bulk]\nmax_records = 100_000\nparallel = 1\njob_timeout = \"30m\"\n"
            ),
        )
        .job("c", &format!("{JOB}[bulk]\nfrom_calls = 2\nrest_max_calls = 0\n"));
    let jobs = project.all().jobs;
    let seen: Vec<_> = jobs
        .iter()
        .map(|job| {
            let BulkSettings { from_calls, max_records, parallel, job_timeout, rest_max_calls } = job.bulk;
            (job.api, from_calls, max_records, parallel, job_timeout.as_secs(), rest_max_calls)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (ApiChoice::Auto, 25, None, 4, 21_600, 2_000),
            (ApiChoice::Bulk, 25, Some(100_000), 1, 1_800, 2_000),
            (ApiChoice::Auto, 2, None, 4, 21_600, 0),
        ]
    );
    assert_eq!(jobs[0].bulk, BulkSettings::default());
    // The order of the rows, and a few values, differ by API; how Bulk is used changes nothing in the file.
    let same =
        |more: &str| format!("soql = \"SELECT Id FROM Account\"\noutput = \"{{run_id}}.csv\"\n{more}\n");
    let project = Project::with(ORG)
        .job("a", &same(""))
        .job("b", &same("bulk.parallel = 1\nbulk.from_calls = 100"))
        .job("c", &same("api = \"rest\""));
    let digests: Vec<_> = project.all().jobs.iter().map(|job| job.digest()).collect();
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], digests[2]);
}

#[test]
fn a_job_decides_how_it_is_incremental() {
    let written = "[incremental]\nfield = \"CreatedDate\"\nlag = \"1h\"\ndeletes = \"none\"\nfull = \"0 3 * * 0\"\nempty = \"skip\"\n";
    let config = Project::with(ORG)
        .job("a", JOB)
        .job("b", &format!("{INCREMENTAL_JOB}[incremental]\n"))
        .job("c", &format!("{INCREMENTAL_JOB}timezone = \"Europe/Berlin\"\n{written}"))
        .job("d", &format!("{INCREMENTAL_JOB}incremental.full = \"none\"\n"))
        .job("e", &format!("{JOB}incremental = false\n"))
        .job("f", "objects = [\"*\"]\noutput = \"{object}/{kind}-{run_id}.csv\"\n[incremental]\n")
        .job("g", "object = \"Account\"\noutput = \"{kind}/{mark:%Y}/{mark:%H%M%S}.csv\"\n[incremental]\n")
        .all();
    assert_eq!(config.warnings.len(), 0, "{:?}", config.warnings);
    let found: Vec<_> = config.jobs.iter().map(|job| job.incremental.as_ref()).collect();
    assert!(found[0].is_none() && found[4].is_none());
    let defaults = found[1].unwrap();
    assert_eq!((defaults.field.as_deref(), defaults.lag), (None, Duration::from_secs(900)));
    assert_eq!((defaults.deletes, defaults.empty), (Deletes::Rows, EmptyRuns::Publish));
    assert!(defaults.full.is_none() && found[3].unwrap().full.is_none());
    let own = found[2].unwrap();
    assert_eq!((own.field.as_deref(), own.lag), (Some("CreatedDate"), Duration::from_secs(3600)));
    assert_eq!((own.deletes, own.empty), (Deletes::None, EmptyRuns::Skip));
    let full = own.full.as_ref().unwrap();
    assert_eq!((full.text(), full.timezone().iana_name()), ("0 3 * * 0", Some("Europe/Berlin")));
    assert!(found[5].is_some() && found[6].is_some());
}

#[test]
fn a_default_makes_jobs_incremental_unless_they_say_no() {
    let project = Project::with(&format!(
        "{ORG}[defaults]\noutput = \"{{job}}/{{kind}}-{{mark}}.csv\"\n[defaults.incremental]\nlag = \"20m\"\nfull = \"@weekly\"\n"
    ))
    .job("a", "object = \"Account\"\n[incremental]\nlag = \"30m\"\n")
    .job("b", "object = \"Account\"\n")
    .job("c", "soql = \"SELECT COUNT() FROM Account\"\noutput = \"c.csv\"\nincremental = false\n");
    let jobs = project.all().jobs;
    let found = jobs
        .iter()
        .map(|job| job.incremental.as_ref().map(|found| (found.lag.as_secs(), found.full.is_some())));
    assert_eq!(found.collect::<Vec<_>>(), [Some((1800, true)), Some((1200, true)), None]);
    // A job that a default does not fit is a mistake: its next export would otherwise be of another kind than expected.
    let project = project
        .job("d", "soql = \"SELECT Id FROM Account LIMIT 5\"\n")
        .job("e", "object = \"Account\"\noutput = \"e.csv\"\n")
        .job("f", "soql = \"SELECT Id FROM Account\"\n");
    assert_eq!(
        project.mistakes(),
        [
            "jobs/d.toml: incremental: this job cannot be exported incrementally, because the query has LIMIT (set at \
             sfexport.toml:7); remove LIMIT, or set incremental = false",
            "jobs/e.toml:2: output: \"e.csv\" lacks the field {kind}, and the job is incremental; tell full exports from \
             changes, as in \"{job}/{kind}-{mark}.csv\", or set incremental = false",
            "jobs/f.toml: incremental: the query does not select IsDeleted, so deleted records would look like others (set at \
             sfexport.toml:7); add IsDeleted to the query, or set deletes = \"ids\" or \"none\" in `[incremental]`",
        ]
    );
}

#[test]
fn what_a_query_lacks_depends_on_how_deletes_are_reported() {
    for (columns, table, lacks) in [
        ("Id, IsDeleted", "", None),
        ("IsDeleted, Name", "", Some("Id")),
        ("Id, Name", "", Some("IsDeleted")),
        ("FIELDS(STANDARD)", "", None),
        ("FIELDS(STANDARD)", "deletes = \"ids\"", None),
        ("Id, Name", "deletes = \"none\"", None),
        ("Id, Name", "deletes = \"ids\"", Some("SystemModstamp")),
        ("Id, LastModifiedDate", "deletes = \"ids\"", None),
        ("Id, LastModifiedDate", "deletes = \"ids\"\nfield = \"SystemModstamp\"", Some("SystemModstamp")),
        ("Id, systemModStamp", "deletes = \"ids\"\nfield = \"SystemModstamp\"", None),
        // Records that never change are never merged.
        ("UserId", "deletes = \"none\"\nfield = \"LoginTime\"", None),
        ("UserId", "deletes = \"none\"\nfield = \"LastModifiedDate\"", Some("Id")),
    ] {
        let text = format!(
            "soql = \"SELECT {columns} FROM X\"\noutput = \"{{kind}}-{{mark}}.csv\"\n[incremental]\n{table}\n"
        );
        let found = Project::with(ORG).job("a", &text).load(&Selection::All);
        let found = found.err().map(|mistakes| mistakes.as_slice()[0].what.clone());
        let expected = lacks.map(|column| format!("the query does not select {column}, "));
        match (found, expected) {
            (Some(found), Some(expected)) => assert!(found.starts_with(&expected), "{found}"),
            (found, expected) => assert_eq!(found, expected, "{text}"),
        }
    }
}

#[test]
fn an_incremental_output_differs_between_scheduled_runs() {
    for (schedule, output, is_good) in [
        ("0 * * * *", "{kind}-{mark:%Y-%m-%d}.csv", false),
        ("0 * * * *", "{kind}-{mark:%Y-%m-%dT%H}.csv", true),
        ("0 * * * *", "{kind}-{mark:%Y-%m-%d}-{run_id}.csv", true),
        ("0 * * * *", "{kind}-{mark:%Y-%m-%d}-{time}.csv", true),
        ("0 2 * * *", "{kind}-{mark:%Y-%m-%d}.csv", true),
        ("0 2 * * *", "{kind}-{mark:%H}.csv", false),
        ("0 0,12 * * *", "{kind}-{mark:%Y-%m-%d}.csv", false),
        ("0 9-17 * * 1", "{kind}-{mark:%Y-%m-%d}.csv", false),
    ] {
        let text =
            format!("object = \"A\"\noutput = \"{output}\"\nschedule = \"{schedule}\"\n[incremental]\n");
        let found = Project::with(ORG).job("a", &text).load(&Selection::All);
        assert_eq!(found.is_ok(), is_good, "{schedule} {output}");
    }
}

#[test]
fn a_job_may_have_no_schedule_in_spite_of_a_default() {
    let shared = format!("{ORG}[defaults]\nschedule = \"@daily\"\nretries = 5\njitter = \"1m\"\n");
    let project = Project::with(&shared)
        .job("a", &format!("{JOB}schedule = \"none\"\n"))
        .job("b", &format!("{JOB}schedule = \"none\"\nretries = 2\n"));
    let config = project.all();
    assert!(config.jobs.iter().all(|job| job.schedule.is_none()));
    assert_eq!(
        project.shown(&config.warnings),
        [
            "jobs/b.toml:4: retries: this key has no effect without a `schedule`; add a `schedule`, or remove this key"
        ]
    );
}

#[test]
fn a_mistake_in_a_default_is_reported_once() {
    let shared = format!(
        "{ORG}[defaults]\ntimezone = \"Europe/Berln\"\noutput = \"{{job}}.xlsx\"\nschedule = \"61 * * * *\"\n"
    );
    let mut project = Project::with(&shared);
    for name in ["a", "b", "c"] {
        project = project.job(name, "soql = \"SELECT Id FROM Account\"\nformat = \"csv\"\n");
    }
    let mistakes = project.mistakes();
    let places: Vec<_> =
        mistakes.iter().map(|mistake| mistake.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "sfexport.toml:6 defaults.timezone",
            "sfexport.toml:7 defaults.output",
            "sfexport.toml:8 defaults.schedule"
        ]
    );
}

#[test]
fn defaults_in_a_broken_file_cause_no_mistakes_in_jobs() {
    let project = Project::with(&format!("{ORG}[defaults]\noutput = {{job}}.csv\n"))
        .job("a", "soql = \"SELECT Id FROM Account\"\n");
    let mistakes = project.mistakes();
    assert!(mistakes.iter().all(|mistake| mistake.starts_with("sfexport.toml:6:")), "{mistakes:?}");
}

// -- quotas, and the command after a run

#[test]
fn an_org_may_have_an_id_and_a_reserve() {
    let project = Project::with(&format!(
        "{ORG}org_id = \"00Dxx0000001gPLEAY\"\napi_reserve = \"20%\"\n{}api_reserve = 5_000\n",
        ORG.replace("[org]", "[orgs.emea]")
    ));
    let orgs = project.all().orgs;
    let of = |name: &str| &orgs[&OrgName::parse(name).unwrap()];
    assert!(of("default").org_id.as_ref().unwrap().matches("00Dxx0000001gPL"));
    assert_eq!(of("default").api_reserve, Some(ApiReserve::Percent(20)));
    assert_eq!(of("emea").org_id, None);
    assert_eq!(of("emea").api_reserve, Some(ApiReserve::Requests(5000)));
    // A variable is text, whatever its value.
    for (text, expected) in [("300", ApiReserve::Requests(300)), ("7%", ApiReserve::Percent(7))] {
        let orgs = Project::with(ORG).variable("SFEXPORT_ORG__API_RESERVE", text).all().orgs;
        assert_eq!(orgs[&OrgName::default_org()].api_reserve, Some(expected));
    }
}

#[test]
fn a_job_may_have_a_command_and_a_ping_per_org() {
    let project = Project::with(ORG)
        .job("a", &format!("{JOB}after = [\"up\", \"{{path}}\", \"\"]\nafter_timeout = \"90s\"\n"))
        .job("b", "soql = \"SELECT Id FROM Account\"\noutput = \"b.csv\"\nafter = [\"up\"]\nping_url = \"https://p.example/{job}/{org}\"\n")
        .job("c", "soql = \"SELECT Id FROM Account\"\noutput = \"c.csv\"\n");
    let jobs = project.all().jobs;
    let after =
        |number: usize| jobs[number].after.as_ref().map(|after| (after.command.clone(), after.timeout));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(after(0), Some((words(&["up", "{path}", ""]), Duration::from_secs(90))));
    assert_eq!(after(1), Some((words(&["up"]), Duration::from_secs(300))));
    assert_eq!(after(2), None);
    assert_eq!(jobs[1].ping_url.as_ref().unwrap().expose_secret(), "https://p.example/b/default");
}

#[test]
fn a_command_leaves_the_digest_of_a_job_as_it_is() {
    let project = Project::with(ORG)
        .job("a", JOB)
        .job("b", &format!("{JOB}after = [\"up\"]\n"))
        .job("c", &format!("{JOB}all_rows = true\n"));
    let digests: Vec<_> = project.all().jobs.iter().map(|job| job.digest()).collect();
    assert_eq!(digests[1], digests[0]);
    assert_ne!(digests[2], digests[0]);
}

// -- what is wrong with the shared file

#[test]
fn logins_with_a_password_are_refused() {
    const TOLD: &str = "sfexport does not log in with a password, a token or a client secret; use a private key (see docs/setup.md)";
    for key in ["password", "Password", "security_token", "client_secret", "access-token"] {
        let told = shared_mistakes(&format!("{ORG}{key} = \"hunter2\"\n"));
        assert_eq!(told, [format!("sfexport.toml:5: org.{key}: {TOLD}")]);
    }
    let project = Project::with(ORG).variable("SFEXPORT_ORG__PASSWORD", "hunter2");
    assert_eq!(project.mistakes(), [format!("SFEXPORT_ORG__PASSWORD: {TOLD}")]);
}

#[test]
fn keys_of_other_tools_have_a_hint() {
    for (line, expected) in [
        ("consumer_key = \"x\"", "consumer_key: unknown key; did you mean `client_id`?"),
        ("private_key_file = \"x\"", "private_key_file: unknown key; did you mean `key_file`?"),
        ("instance_url = \"x\"", "instance_url: unknown key; did you mean `login_url`?"),
    ] {
        assert_eq!(shared_mistakes(&format!("{ORG}{line}\n")), [format!("sfexport.toml:5: org.{expected}")]);
    }
    for (line, expected) in [
        ("query = \"x\"", "query: unknown key; did you mean `soql`?"),
        ("cron = \"x\"", "cron: unknown key; did you mean `schedule`?"),
        ("destination = \"x\"", "destination: unknown key; did you mean `output`?"),
    ] {
        assert_eq!(job_mistakes(&format!("{JOB}{line}\n")), [format!("jobs/a.toml:3: {expected}")]);
    }
}

#[test]
fn stray_characters_in_copied_words_are_named() {
    for (line, expected) in [
        ("client_id = \"\\\"3MVG9\\\"\"", r#"client_id: "\"3MVG9\"" contains a quotation mark; remove it"#),
        ("client_id = \"'3MVG9'\"", r#"client_id: "'3MVG9'" contains a quotation mark; remove it"#),
        ("client_id = \"“3MVG9”\"", r#"client_id: "“3MVG9”" contains a quotation mark; remove it"#),
        (
            "client_id = \"3MV\u{200b}G9\"",
            r#"client_id: "3MV\u{200b}G9" contains an invisible character, U+200B; remove it"#,
        ),
        (
            "client_id = \"\u{feff}3MVG9\"",
            r#"client_id: "\u{feff}3MVG9" contains an invisible character, U+FEFF; remove it"#,
        ),
        (
            "client_id = \"3M\u{ad}VG9\"",
            r#"client_id: "3M\u{ad}VG9" contains an invisible character, U+00AD; remove it"#,
        ),
        (
            "client_id = \"3MVG9\u{a0}\"",
            r#"client_id: "3MVG9\u{a0}" contains white space, U+00A0; remove it"#,
        ),
        ("client_id = \"3MVG9\\n\"", r#"client_id: "3MVG9\n" contains a line break; remove it"#),
        (
            "client_id = \"3МVG9\"",
            r#"client_id: "3МVG9" contains 'М' (U+041C), which consumer keys never do; copy the consumer key again"#,
        ),
        (
            "client_id = \"a@example.com\"",
            r#"client_id: "a@example.com" is a username, not a consumer key; set `username` to it, and `client_id` to the app's consumer key"#,
        ),
        (
            "username = \"\u{2060}a@example.com\"",
            r#"username: "\u{2060}a@example.com" contains an invisible character, U+2060; remove it"#,
        ),
        (
            "username = \"a@example.com\u{202e}\"",
            r#"username: "a@example.com\u{202e}" contains an invisible character, U+202E; remove it"#,
        ),
        (
            "username = \"integration\"",
            r#"username: "integration" has no @; write the whole username, as in "integration@example.com""#,
        ),
        (
            "username = \"3MVG9x\"",
            r#"username: "3MVG9x" is a consumer key, not a username; set `client_id` to it, and `username` to the user's name"#,
        ),
        (
            "login_url = \"https://login.salesforce.com\u{200b}\"",
            r#"login_url: "https://login.salesforce.com\u{200b}" contains an invisible character, U+200B; remove it"#,
        ),
        (
            "login_url = \"https://u:hunter2@x.example.com \"",
            "login_url: the value contains white space; remove it",
        ),
        ("audience = \"«x»\"", r#"audience: "«x»" contains a quotation mark; remove it"#),
        (
            "api_version = \"62.0\u{200d}\"",
            r#"api_version: "62.0\u{200d}" contains an invisible character, U+200D; remove it"#,
        ),
    ] {
        let key = line.split(' ').next().unwrap();
        let kept: String =
            ORG.lines().filter(|line| !line.starts_with(key)).flat_map(|line| [line, "\n"]).collect();
        let mistakes = shared_mistakes(&format!("{kept}{line}\n"));
        let number = kept.lines().count() + 1;
        assert_eq!(mistakes, [format!("sfexport.toml:{number}: org.{expected}")], "{line}");
    }
    // An apostrophe may be part of a name.
    Project::with(&ORG.replace("integration@", "o'neil@")).all();
    let job = |line: &str| job_mistakes(&format!("{JOB}{line}\n"));
    assert_eq!(
        job("org = \"emea\u{200b}\""),
        [r#"jobs/a.toml:3: org: "emea\u{200b}" contains an invisible character, U+200B; remove it"#]
    );
    assert_eq!(
        job("timezone = \"Europe/Berlin\u{a0}\""),
        [
            r#"jobs/a.toml:3: timezone: "Europe/Berlin\u{a0}" is not a time zone; did you mean "Europe/Berlin"?"#
        ]
    );
    assert_eq!(
        job("ping_url = \"https://hc-ping.com/hunter2\u{200b}\""),
        ["jobs/a.toml:3: ping_url: the value contains an invisible character, U+200B; remove it"]
    );
    let output =
        |output: &str| job_mistakes(&format!("soql = \"SELECT Id FROM Account\"\noutput = \"{output}\"\n"));
    assert_eq!(
        output("a\u{feff}.csv"),
        [r#"jobs/a.toml:2: output: "a\u{feff}.csv" contains an invisible character, U+FEFF; delete it"#]
    );
    // Persian words and emoji are written with joiners.
    let text = "soql = \"SELECT Id FROM Account\"\noutput = \"می\u{200c}خواهم/👩\u{200d}🚀.csv\"\n";
    Project::with(ORG).job("a", text).all();
}

#[test]
fn files_that_look_like_jobs_are_reported() {
    let project = Project::with(ORG)
        .job("a", JOB)
        .file("jobs/contacts.TOML", JOB)
        .file("jobs/leads.toml.txt", JOB)
        .file("jobs/cases.yaml", "soql: x")
        .file("jobs/nightly/tasks.toml", JOB)
        .file("jobs/team/emea/users.toml", JOB)
        // Put aside on purpose, or none of ours.
        .file("jobs/a.toml.bak", JOB)
        .file("jobs/a.toml~", JOB)
        .file("jobs/a.soql", "SELECT Id FROM Account")
        .file("jobs/README.md", "")
        .file("jobs/.hidden.TOML", JOB)
        .file("jobs/..data/a.toml", JOB)
        .file("jobs/archive/old.toml", JOB)
        .file("jobs/queries/x.soql", "SELECT Id FROM Account");
    assert_eq!(
        project.shown(&project.all().warnings),
        [
            "jobs/cases.yaml: this file is ignored, because jobs are written in TOML; write it as cases.toml",
            "jobs/contacts.TOML: this file is ignored, because the names of job files end in .toml; rename it to contacts.toml",
            "jobs/leads.toml.txt: this file is ignored, because the names of job files end in .toml; rename it to leads.toml",
            "jobs/nightly: job files in this directory are ignored, such as tasks.toml; move them to jobs itself",
            "jobs/team: job files in this directory are ignored, such as emea/users.toml; move them to jobs itself",
        ]
    );
    // Whoever names a job hears of that one alone.
    assert_eq!(project.named(&["a"]).unwrap().warnings, []);
    let told = project.shown(project.named(&["leads"]).unwrap_err().as_slice());
    assert_eq!(
        told,
        [
            "there is no job \"leads\" in jobs; rename it to leads.toml\njobs/leads.toml.txt: this file is ignored, \
             because the names of job files end in .toml"
        ]
    );
}

#[test]
fn all_mistakes_in_all_files_are_reported_together() {
    let project = Project::with("statedir = \"x\"\n[org]\nclient_id = 5\n[http]\nattempts = 0\n")
        .job("a", "soql = \"SELECT Id FROM Account\"\noutput = \"../a.csv\"\ntimezone = \"Europe/Berln\"\n")
        .job("b", "soql = \"\"\nshedule = \"@daily\"\n");
    let failure = Failure::from(project.load(&Selection::All).unwrap_err());
    assert_eq!(failure.exit.code(), 78);
    assert_eq!(
        failure.what.replace(project.sources.working_dir.to_str().unwrap(), "DIR"),
        "the configuration has 10 mistakes:
  jobs/a.toml:2: output: \"../a.csv\" contains `..`
    hint: write a path below output_root, DIR/exports
  jobs/a.toml:3: timezone: \"Europe/Berln\" is not a time zone
    hint: did you mean \"Europe/Berlin\"?
  jobs/b.toml: output: this key is not set
    hint: write it as in output = \"{job}/{date}.csv\"
  jobs/b.toml:1: soql: the value is empty
  jobs/b.toml:2: shedule: unknown key
    hint: did you mean `schedule`?
  sfexport.toml:1: statedir: unknown key
    hint: did you mean `state_dir`?
  sfexport.toml:2: org.key_file: this key is not set
    hint: set it to the path of the private key, or set SFEXPORT_ORG__KEY to the key's PEM
  sfexport.toml:2: org.username: this key is not set
    hint: add it, or set SFEXPORT_ORG__USERNAME
  sfexport.toml:3: org.client_id: 5 is not text
    hint: write \"5\"
  sfexport.toml:5: http.attempts: 0 is out of range
    hint: write a number in the range 1 to 100"
    );
}

#[test]
fn the_type_of_each_setting_is_checked() {
    const UNIT: &str = "has no unit; write a duration as in \"30s\", \"10m\", \"1h30m\" or \"90 days\"";
    const DURATION: &str =
        "is not a duration; write a duration as in \"30s\", \"10m\", \"1h30m\" or \"90 days\"";
    for (line, expected) in [
        ("http.connect_timeout = 30", format!("http.connect_timeout: 30 {UNIT}")),
        ("http.connect_timeout = \"30\"", format!("http.connect_timeout: \"30\" {UNIT}")),
        ("http.connect_timeout = \"soon\"", format!("http.connect_timeout: \"soon\" {DURATION}")),
        ("http.connect_timeout = 10.5", format!("http.connect_timeout: 10.5 {DURATION}")),
        ("daemon.history_keep = \"3 months\"", format!("daemon.history_keep: \"3 months\" {DURATION}")),
    ] {
        assert_eq!(shared_mistakes(line), [format!("sfexport.toml:1: {expected}")]);
    }
    for (line, expected) in [
        ("http.connect_timeout = \"0s\"", "http.connect_timeout: \"0s\" is too short; write 1s or more"),
        ("daemon.history_keep = \"500000 days\"", "daemon.history_keep: \"500000 days\" is too long"),
        ("http.page_cap = 256", "http.page_cap: 256 has no unit; write a size as in \"256 MB\" or \"1 GiB\""),
        ("http.page_cap = \"0 MB\"", "http.page_cap: \"0 MB\" is too small"),
        (
            "http.page_cap = \"lots\"",
            "http.page_cap: \"lots\" is not a size; write a size as in \"256 MB\" or \"1 GiB\"",
        ),
        ("http.attempts = \"5\"", "http.attempts: \"5\" is text; write the number without quotes"),
        ("http.attempts = -1", "http.attempts: -1 is out of range; write a number in the range 1 to 100"),
        (
            "http.attempts = 2026-11-22",
            "http.attempts: 2026-11-22 is not a whole number; write a number in the range 1 to 100",
        ),
        (
            "http.batch_size = 100",
            "http.batch_size: 100 is out of range; write a number in the range 200 to 2000",
        ),
        (
            "http.attempts = 99999999999999999999",
            "http.attempts: 99999999999999999999 is out of range; write a number in the range 1 to 100",
        ),
        (
            "http.attempts = 5.5",
            "http.attempts: 5.5 is not a whole number; write a number in the range 1 to 100",
        ),
        ("http.gzip = \"true\"", "http.gzip: \"true\" is text; write it without quotes"),
        ("http.gzip = 1", "http.gzip: 1 is neither true nor false"),
        ("http.wait_max = \"500ms\"", "http.wait_max: wait_min (1s) is longer than wait_max (500ms)"),
        (
            "http = \"x\"",
            "http: this is the name of a table, not a key; write `[http]` on a separate line, with its keys below",
        ),
        ("http.atempts = 5", "http.atempts: unknown key; did you mean `attempts`?"),
        (
            "http.jobs_dir = \"x\"",
            "http.jobs_dir: unknown key here; write `jobs_dir` at the top, above `[http]`",
        ),
        ("[htpt]", "htpt: unknown table; did you mean `http`?"),
        ("state_dir = 5", "state_dir: 5 is not text; write \"5\""),
        ("state_dir = \"\"", "state_dir: the value is empty"),
        (
            "state_dir = \"~/state\"",
            "state_dir: \"~/state\" begins with `~`, which only a shell expands; write the whole path",
        ),
        (
            "state_dir = \"$HOME/state\"",
            "state_dir: \"$HOME/state\" contains $HOME, which only a shell replaces; write its value instead",
        ),
        ("state_dir = [1]", "state_dir: [1] is not text"),
        (
            "status.listen = \"9090\"",
            "status.listen: \"9090\" is not an IP address and a port; write it as in \"127.0.0.1:9090\"",
        ),
        (
            "notify.webhook = \"hooks.example.com/secret\"",
            "notify.webhook: the value is not an http or https URL",
        ),
        (
            "notify.on = [\"failure\", \"success\"]",
            "notify.on: \"success\" is not one of \"failure\", \"recovery\", \"every\"",
        ),
        (
            "notify.on = \"failures\"",
            "notify.on: \"failures\" is not one of \"failure\", \"recovery\", \"every\"; did you mean \"failure\"?",
        ),
        (
            "notify.on = []",
            "notify.on: the value is empty; write a list of \"failure\", \"recovery\", \"every\"",
        ),
        ("soql = \"x\"", "soql: unknown key; write `soql` in a job's file"),
        ("client_id = \"x\"", "client_id: unknown key; write `client_id` in `[org]` of sfexport.toml"),
        (
            "colour = \"x\"",
            "colour: unknown key; choose one of jobs_dir, state_dir, output_root, scratch_dir, http, daemon, status, notify, \
             org, orgs, defaults",
        ),
    ] {
        assert_eq!(shared_mistakes(line), [format!("sfexport.toml:1: {expected}")]);
    }
}

#[test]
fn mistakes_in_an_org_are_reported() {
    for (lines, expected) in [
        (
            "login_url = \"http://login.salesforce.com\"",
            "login_url: \"http://login.salesforce.com\" is not https; write \"https://login.salesforce.com\"",
        ),
        (
            "login_url = \"https://acme--uat.sandbox.lightning.force.com\"",
            "login_url: \"https://acme--uat.sandbox.lightning.force.com\" is the address of the user interface; \
             write the My Domain: \"https://acme--uat.sandbox.my.salesforce.com\"",
        ),
        (
            "login_url = \"http://127.0.0.1:8088/services/oauth2/token\"",
            "login_url: \"http://127.0.0.1:8088/services/oauth2/token\" has a path, which only Experience Cloud sites \
             have; write \"http://127.0.0.1:8088\"",
        ),
        (
            "login_url = \"https://u:hunter2@login.salesforce.com\"",
            "login_url: the value contains a user or a password; set `username` to the user instead",
        ),
        ("api_version = 62.0", "api_version: 62.0 is not text; write \"62.0\""),
        ("api_version = \"62\"", "api_version: \"62\" is not an API version; write \"62.0\""),
        ("api_version = \"30.0\"", "api_version: API version \"30.0\" is retired; write \"31.0\" or later"),
        (
            "instance_hosts = [\"https://x.example.com\"]",
            "instance_hosts: \"https://x.example.com\" is not a host; write it as in \"proxy.example.com\" or \
             \"proxy.example.com:8443\"",
        ),
        (
            "instance_hosts = [5]",
            "instance_hosts: [5] has an entry that is not text; write it as in [\"a\", \"b\"]",
        ),
        (
            "max_concurrent_runs = 0",
            "max_concurrent_runs: 0 is out of range; write a number in the range 1 to 1000",
        ),
        (
            "key = \"-----BEGIN PRIVATE KEY-----\"",
            "key: secrets are not allowed in this file; set SFEXPORT_ORG__KEY, or name a file with \
             `key_file`",
        ),
        (
            "key_password = \"hunter2\"",
            "key_password: secrets are not allowed in this file; set SFEXPORT_ORG__KEY_PASSWORD, or \
             name a file with `key_password_file`",
        ),
        ("user_name = \"x\"", "user_name: unknown key; did you mean `username`?"),
        (
            "login_url = \"mycompany.my.salesforce.com\"",
            "login_url: \"mycompany.my.salesforce.com\" is not a URL; write \"https://mycompany.my.salesforce.com\"",
        ),
        (
            "login_url = \"localhost:8080\"",
            "login_url: \"localhost:8080\" is a URL without a host; write \"https://localhost:8080\"",
        ),
    ] {
        let mistakes = shared_mistakes(&format!("{ORG}{lines}\n"));
        assert_eq!(mistakes, [format!("sfexport.toml:5: org.{expected}")], "{lines}");
    }
    for (lines, expected) in [
        (
            "[orgs.EMEA]",
            "5: orgs.EMEA: \"EMEA\" is not an org's name; use lowercase letters, digits and single underscores",
        ),
        ("[orgs.default]", "5: orgs.default: \"default\" is the name of the `[org]` table; write `[org]`"),
        (
            "[orgs]\nclient_id = \"x\"",
            "6: orgs.client_id: the org has no name; write `[orgs.NAME]` above its keys, or `[org]` if it is the \
             only org",
        ),
        (
            "[[orgs]]",
            "5: orgs: this is the name of a table, not a key; write `[orgs.NAME]` on a separate line, with its keys below",
        ),
    ] {
        let mistakes = shared_mistakes(&format!("{ORG}{lines}\n"));
        assert_eq!(mistakes, [format!("sfexport.toml:{expected}")], "{lines}");
    }
    assert_eq!(
        shared_mistakes(&format!("{ORG}[orgs.emea]\nclient_id = \"has space\"")),
        [
            "sfexport.toml:5: orgs.emea.key_file: this key is not set; set it to the path of the private key, or set \
             SFEXPORT_ORGS__EMEA__KEY to the key's PEM",
            "sfexport.toml:5: orgs.emea.username: this key is not set; add it, or set SFEXPORT_ORGS__EMEA__USERNAME",
            "sfexport.toml:6: orgs.emea.client_id: \"has space\" contains white space; remove it",
        ]
    );
    let both =
        Project::with(ORG).variable("SFEXPORT_ORG__KEY", "PEM").variable("SFEXPORT_ORG__KEY_FILE", "x");
    assert_eq!(both.mistakes(), ["SFEXPORT_ORG__KEY: `key` and `key_file` are both set; remove one of them"]);
    let client_id = "\"${SF_CLIENT_ID}\" is taken literally, not as a reference to a variable; write the value itself, or \
                     set the environment variable SFEXPORT_ORG__CLIENT_ID to it";
    assert_eq!(
        shared_mistakes(&ORG.replace("3MVG9", "${SF_CLIENT_ID}")),
        [format!("sfexport.toml:2: org.client_id: {client_id}")]
    );
}

#[test]
fn missing_variables_of_an_org_are_named() {
    let project = Project::empty()
        .variable("SFEXPORT_ORG__CLIENT_ID", "x")
        .variable("SFEXPORT_ORGS__EMEA__USERNAME", "y@example.com");
    assert_eq!(
        project.mistakes(),
        [
            "SFEXPORT_ORGS__EMEA__CLIENT_ID: this variable is not set",
            "SFEXPORT_ORGS__EMEA__KEY_FILE: this variable is not set; set it to the path of the private key, or set \
             SFEXPORT_ORGS__EMEA__KEY to the key's PEM",
            "SFEXPORT_ORG__KEY_FILE: this variable is not set; set it to the path of the private key, or set \
             SFEXPORT_ORG__KEY to the key's PEM",
            "SFEXPORT_ORG__USERNAME: this variable is not set",
        ]
    );
    // Where the file has the table, it is the file that lacks the key.
    let project =
        Project::with("[org]\nkey_file = \"server.key\"\n").variable("SFEXPORT_ORG__CLIENT_ID", "x");
    assert_eq!(
        project.mistakes(),
        ["sfexport.toml:1: org.username: this key is not set; add it, or set SFEXPORT_ORG__USERNAME"]
    );
}

#[test]
fn a_key_in_the_wrong_table_is_reported_with_its_table() {
    for (text, expected) in [
        (
            format!("{ORG}listen = \"127.0.0.1:9090\"\n"),
            "5: org.listen: unknown key; write `listen` in `[status]`",
        ),
        (format!("{ORG}attempts = 3\n"), "5: org.attempts: unknown key; write `attempts` in `[http]`"),
        (
            format!("{ORG}[http]\nlisten = \"127.0.0.1:9090\"\n"),
            "6: http.listen: unknown key here; write `listen` in `[status]`",
        ),
        (format!("attempts = 3\n{ORG}"), "1: attempts: unknown key here; write `attempts` in `[http]`"),
        (
            format!("max_concurrent_runs = 3\n{ORG}"),
            "1: max_concurrent_runs: unknown key here; write `max_concurrent_runs` in `[daemon]` or in `[org]` of \
             sfexport.toml",
        ),
        (
            format!("output = \"x\"\n{ORG}"),
            "1: output: unknown key; write `output` in `[defaults]` or in a job's file",
        ),
        (
            format!("{ORG}delimiter = \";\"\n"),
            "5: org.delimiter: unknown key; write `delimiter` in `[csv]` of a job's file",
        ),
    ] {
        assert_eq!(shared_mistakes(&text), [format!("sfexport.toml:{expected}")], "{text}");
    }
    for (line, expected) in [
        ("delimiter = \";\"", "delimiter: unknown key here; write `delimiter` in `[csv]`"),
        ("attempts = 3", "attempts: unknown key; write `attempts` in `[http]` of sfexport.toml"),
    ] {
        assert_eq!(job_mistakes(&format!("{JOB}{line}\n")), [format!("jobs/a.toml:3: {expected}")], "{line}");
    }
}

#[test]
fn no_message_repeats_a_secret() {
    let project = Project::with(
        "[org]\nclient_id='x'\nusername='y'\nkey='TOPSECRET'\nkey_password='TOPSECRET'\n\
         login_url='https://a:TOPSECRET@b.c'\n[notify]\nwebhook='TOPSECRET'\n",
    );
    let failure = Failure::from(project.load(&Selection::All).unwrap_err());
    assert!(!failure.what.contains("TOPSECRET"), "{}", failure.what);
    let project = Project::with(ORG).variable("SFEXPORT_ORG__KEY", "TOPSECRET");
    assert!(!format!("{:?} {:?}", project.sources, project.all()).contains("TOPSECRET"));
}

// -- what is wrong with a job

#[test]
fn mistakes_in_a_job_are_reported_with_line_and_key() {
    for (line, expected) in [
        ("timezone = \"berlin\"", "timezone: \"berlin\" is not a time zone; did you mean \"Europe/Berlin\"?"),
        (
            "timezone = \"local\"",
            "timezone: \"local\" is not a time zone; name the zone by a city, as in \"Europe/Berlin\"",
        ),
        (
            "children = \"file\"",
            "children: \"file\" is not one of \"json\", \"files\", \"reject\"; did you mean \"files\"?",
        ),
        ("catch_up = true", "catch_up: true is not text; write \"true\""),
        ("retries = 3.0", "retries: 3.0 is not a whole number; write a number in the range 0 to 100"),
        (
            "file_mode = \"0o640\"",
            "file_mode: \"0o640\" is not a file mode; write it in octal and in quotes, as in \"0640\"",
        ),
        (
            "file_mode = \"0888\"",
            "file_mode: \"0888\" is not a file mode; write it in octal and in quotes, as in \"0640\"",
        ),
        (
            "file_mode = \"4755\"",
            "file_mode: \"4755\" is not a file mode; write it in octal and in quotes, as in \"0640\"",
        ),
        ("enabled = \"no\"", "enabled: \"no\" is neither true nor false"),
        (
            "attributes = true",
            "attributes: this key is only for JSON Lines, and the output is CSV; remove it",
        ),
        ("org = \"emea\"", "org: there is no org \"emea\"; write \"default\""),
        ("org = \"defualt\"", "org: there is no org \"defualt\"; did you mean \"default\"?"),
        (
            "csv.delimiter = \",,\"",
            "csv.delimiter: \",,\" is not a single ASCII character; write \",\", \";\", \"|\" or \"tab\"",
        ),
        (
            "csv.delimiter = \"§\"",
            "csv.delimiter: \"§\" is not a single ASCII character; write \",\", \";\", \"|\" or \"tab\"",
        ),
        (
            "csv.delimiter = \"\"",
            "csv.delimiter: \"\" is not a single ASCII character; write \",\", \";\", \"|\" or \"tab\"",
        ),
        (
            "csv.delimiter = \"\\n\"",
            "csv.delimiter: \"\\n\" is not a single ASCII character; write \",\", \";\", \"|\" or \"tab\"",
        ),
        ("csv.delimiter = '\"'", "csv.delimiter: the delimiter and the quote are the same character"),
        ("csv.quote = \",\"", "csv.quote: the delimiter and the quote are the same character"),
        ("csv.null = \"a,b\"", "csv.null: \"a,b\" contains the delimiter, the quote or a line break"),
        (
            "csv.line_ending = \"LF\"",
            "csv.line_ending: \"LF\" is not one of \"lf\", \"crlf\"; did you mean \"lf\"?",
        ),
        ("csv.header = 1", "csv.header: 1 is neither true nor false"),
        (
            "csv.schedule = \"@daily\"",
            "csv.schedule: unknown key here; write `schedule` at the top, above `[csv]`",
        ),
        ("csv.delimeter = \";\"", "csv.delimeter: unknown key; did you mean `delimiter`?"),
        (
            "csv = true",
            "csv: this is the name of a table, not a key; write `[csv]` on a separate line, with its keys below",
        ),
        ("client_id = \"x\"", "client_id: unknown key; write `client_id` in `[org]` of sfexport.toml"),
        (
            "output_root = \"x\"",
            "output_root: unknown key; write `output_root` in sfexport.toml, above every table",
        ),
        ("soql_file = \"x.soql\"", "soql_file: `soql` and `soql_file` are both set; remove one of them"),
    ] {
        assert_eq!(job_mistakes(&format!("{JOB}{line}\n")), [format!("jobs/a.toml:3: {expected}")], "{line}");
    }
}

#[test]
fn no_zone_with_another_offset_is_suggested() {
    const CITY: &str = "name the zone by a city, as in \"Europe/Berlin\"";
    const BY_CITY: &str = "name the zone by a city";
    for (zone, expected) in [
        ("PST", format!("{BY_CITY}: \"America/Los_Angeles\"")),
        ("pdt", format!("{BY_CITY}: \"America/Los_Angeles\"")),
        ("CST", format!("{BY_CITY}: \"America/Chicago\" or \"Asia/Shanghai\"")),
        ("Pacific Standard Time", format!("{BY_CITY}: \"America/Los_Angeles\"")),
        ("W. Europe Standard Time", format!("{BY_CITY}: \"Europe/Berlin\" or \"Europe/Budapest\"")),
        ("MEZ", format!("{BY_CITY}: \"Europe/Berlin\"")),
        ("BST", format!("{BY_CITY}: \"Europe/London\"")),
        ("IST", format!("{BY_CITY}: \"Asia/Kolkata\" or \"Asia/Jerusalem\" or \"Europe/Dublin\"")),
        ("GMT+1", CITY.to_owned()),
        ("CET-1", CITY.to_owned()),
        ("+01:00", CITY.to_owned()),
        ("XST", CITY.to_owned()),
        ("Rome", "did you mean \"Europe/Rome\"?".to_owned()),
        ("Europe/Berln", "did you mean \"Europe/Berlin\"?".to_owned()),
        ("Germany/Berlin", "did you mean \"Europe/Berlin\"?".to_owned()),
    ] {
        assert_eq!(
            job_mistakes(&format!("{JOB}timezone = \"{zone}\"\n")),
            [format!("jobs/a.toml:3: timezone: \"{zone}\" is not a time zone; {expected}")]
        );
    }
}

#[test]
fn a_zone_that_ignores_summer_time_is_a_warning() {
    for (zone, warning) in [
        (
            "EST",
            Some(
                "jobs/a.toml:3: timezone: \"EST\" has no daylight saving time; write \"America/New_York\" if clocks there \
                 change",
            ),
        ),
        ("CET", None),
        ("America/New_York", None),
        ("UTC", None),
    ] {
        let config = Project::with(ORG).job("a", &format!("{JOB}timezone = \"{zone}\"\n")).all();
        let warnings: Vec<_> =
            config.warnings.iter().map(|warning| warning.to_string().replace("\n  hint:", ";")).collect();
        assert_eq!(warnings, warning.into_iter().collect::<Vec<_>>(), "{zone}");
    }
}

#[test]
fn mistakes_in_a_schedule_and_its_zone_are_both_reported() {
    let mistakes = job_mistakes(&format!("{JOB}schedule = \"60 2 * * *\"\ntimezone = \"Europe/Berln\"\n"));
    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
    let told = "jobs/a.toml:3: schedule: minute field: \"60\" is out of range; ";
    assert!(mistakes[0].starts_with(told), "{mistakes:#?}");
    assert!(mistakes[1].starts_with("jobs/a.toml:4: timezone: "), "{mistakes:#?}");
}

#[test]
fn a_file_mode_that_is_a_number_is_refused() {
    for line in ["file_mode = 0o640", "file_mode = 640"] {
        assert_eq!(
            job_mistakes(&format!("{JOB}{line}\n")),
            [format!(
                "jobs/a.toml:3: file_mode: {} is not a file mode; write it in octal and in quotes, as in \"0640\"",
                &line[12..]
            )]
        );
    }
}

/// A job with these lines after its output.
fn set_mistakes(lines: &str) -> Vec<String> {
    job_mistakes(&format!("output = \"{{object}}.csv\"\n{lines}\n"))
}

#[test]
fn a_set_has_objects_with_settings_of_their_own() {
    let config = Project::with(ORG)
        .job(
            "backup",
            "objects = [\"*\", \"!*Share\"]\noutput = \"{date:%Y}/{object}.csv\"\ncount_check = \"strict\"\n\
             [objects_with.account]\nfields = [\"Id\", \"Name\"]\nwhere = \"Name != null\"\n\
             [objects_with.FieldPermissions]\ncount_check = \"warn\"\n",
        )
        .all();
    let job = &config.jobs[0];
    assert_eq!(job.set().unwrap().to_string(), "*, !*Share");
    assert_eq!(job.manifest, Manifest::Beside);
    let of = |name: &str| job.of_object(&ObjectName::parse(name).unwrap()).unwrap();
    let exported = |name: &str| match of(name).source {
        sfexport::job::Source::Object(object) => (object.fields.to_string(), object.condition),
        other => panic!("{other:?}"),
    };
    assert_eq!(exported("Account"), ("Id, Name".to_owned(), Some("Name != null".to_owned())));
    assert_eq!(exported("Contact"), ("*".to_owned(), None));
    let checks = ["Account", "FieldPermissions"].map(|name| of(name).count_check);
    assert_eq!(checks, [CountCheck::Strict, CountCheck::Warn]);
    assert_eq!(of("Account").key().to_string(), "backup, object Account");
    assert_eq!(of("Account").manifest, Manifest::None);
    assert!(of("Account").of_object(&ObjectName::parse("Contact").unwrap()).is_none());
}

#[test]
fn the_manifest_of_a_set_has_its_place() {
    for (manifest, expected) in [
        ("", Some("2003/a.manifest.json")),
        ("manifest = true", Some("2003/a.manifest.json")),
        ("manifest = false", None),
        ("manifest = \"lists/{job}.json\"", Some("lists/a.json")),
    ] {
        let text = format!("objects = \"*\"\noutput = \"{{date:%Y}}/{{object}}.csv\"\n{manifest}\n");
        let project = Project::with(ORG).job("a", &text);
        let job = project.all().jobs.remove(0);
        let fields = sfexport::job::output_path::Fields {
            job: &job.name,
            org: &job.org,
            run_id: "r",
            timestamp: "2003-02-01T00:00:00Z".parse().unwrap(),
            timezone: &job.timezone,
            window: None,
        };
        let found = job.manifest_path(&fields).unwrap();
        assert_eq!(found, expected.map(|path| project.path("exports").join(path)), "{manifest}");
    }
}

#[test]
fn each_mistake_in_a_set_is_shown_at_its_place() {
    for (lines, expected) in [
        ("objects = []", "2: objects: the list is empty; write [\"*\"] to export all objects"),
        (
            "objects = [\"Account\", \"Owner.Name\"]",
            "2: objects: \"Owner.Name\" does not select objects; write an object (Account), a pattern (*__c) or !pattern",
        ),
        ("objects = [\"*\", \"!*\"]", "2: objects: \"!*\" excludes every object; remove it"),
        (
            "objects = [\"Account\", \"!acc*\"]",
            "2: objects: \"Account\" is also excluded, by \"!acc*\"; remove one of them",
        ),
        (
            "objects = \"*\"\nobject = \"Account\"",
            "2: objects: `object` and `objects` are both set; remove one of them",
        ),
        (
            "objects = \"*\"\nfields = [\"Id\"]",
            "3: fields: this key is about one object, and the job has several; write it in `[objects_with.NAME]`, for the \
             object NAME",
        ),
        (
            "objects = \"*\"\nchildren = \"files\"",
            "3: children: this key is about child queries, and `objects` has none; remove it",
        ),
        (
            "objects = \"*\"\nmanifest = \"{object}.json\"",
            "3: manifest: \"{object}.json\" has the field {object}, and there is one manifest for all; write a path \
             without {object}",
        ),
        (
            "objects = \"*\"\nmanifest = \"a.csv\"",
            "3: manifest: \"a.csv\" does not end in .json; end it in .json",
        ),
        (
            "objects = \"*\"\nmanifest = \"{jbo}.json\"",
            "3: manifest: \"{jbo}.json\" has the unknown field {jbo}; did you mean {job}?",
        ),
        ("objects = \"*\"\nmanifest = 5", "3: manifest: 5 is not a path; write true, false or a path"),
        ("objects = \"*\"\nmanifest = \"true\"", "3: manifest: \"true\" is text; write it without quotes"),
        (
            "object = \"Account\"\nmanifest = \"a.json\"",
            "3: manifest: only a job with `objects` has a path for its manifest; write true; the manifest is then next to \
             the output",
        ),
    ] {
        assert_eq!(set_mistakes(lines), [format!("jobs/a.toml:{expected}")], "{lines}");
    }
    assert_eq!(
        job_mistakes("objects = \"*\"\noutput = \"{job}.csv\"\n"),
        [
            "jobs/a.toml:2: output: \"{job}.csv\" lacks the field {object}; give each object a separate output, as in \
             \"{job}/{object}.csv\""
        ]
    );
}

#[test]
fn each_mistake_about_one_object_is_shown_at_its_place() {
    for (lines, expected) in [
        (
            "objects = \"*\"\n[objects_with.Account]\nfields = []\nwhere = \"WHERE Id != null\"",
            &[
                "4: objects_with.Account.fields: the list is empty; remove this key to export all fields",
                "5: objects_with.Account.where: the condition begins with WHERE; remove WHERE",
            ][..],
        ),
        (
            "objects = \"*\"\n[objects_with.Account]\nschedule = \"@daily\"\nfeilds = []",
            &[
                "4: objects_with.Account.schedule: unknown key here; write `schedule` at the top, above \
                 `[objects_with.NAME]`",
                "5: objects_with.Account.feilds: unknown key; did you mean `fields`?",
            ],
        ),
        (
            "objects = \"*\"\n[objects_with]\nfields = []",
            &[
                "4: objects_with.fields: the object has no name; write `[objects_with.NAME]` above its keys, with the \
                 object's name",
            ],
        ),
        (
            "objects = [\"Account\"]\n[objects_with.Acount]",
            &["3: objects_with.Acount: \"Acount\" is not in `objects`; did you mean \"Account\"?"],
        ),
        (
            "objects = [\"*\", \"!*Share\"]\n[objects_with.AccountShare]",
            &[
                "3: objects_with.AccountShare: \"AccountShare\" is excluded by \"!*Share\"; remove this table, or the \
                 exclusion",
            ],
        ),
        (
            "objects = [\"*\"]\n[objects_with.Order__x]",
            &[
                "3: objects_with.Order__x: patterns do not select \"Order__x\", because they leave out external objects; \
                 add \"Order__x\" to `objects`, or remove this table",
            ],
        ),
        (
            "objects = [\"*\"]\n[objects_with.Account]\n[objects_with.ACCOUNT]",
            &[
                "3: objects_with.Account: \"ACCOUNT\" and \"Account\" are the same object; write one table for it",
            ],
        ),
        (
            "objects = [\"*\"]\n[objects_with.\"a b\"]",
            &[
                "3: objects_with.a b: \"a b\" is not an object's API name; write a table for each object, with its name",
            ],
        ),
        (
            "object = \"Account\"\n[objects_with.Account]",
            &[
                "3: objects_with.Account: this table has no effect without `objects`; remove it, or add `objects`",
            ],
        ),
    ] {
        let expected: Vec<_> = expected.iter().map(|line| format!("jobs/a.toml:{line}")).collect();
        assert_eq!(set_mistakes(lines), expected, "{lines}");
    }
}

#[test]
fn no_job_writes_a_file_of_a_set() {
    const ALL: &str = "objects = [\"*\", \"!Event\"]\noutput = \"x/{object}.csv\"\n";
    let clash = |job: &str| Project::with(ORG).job("a", ALL).job("b", job).load(&Selection::All).is_err();
    for (job, expected) in [
        ("objects = [\"*__c\"]\noutput = \"x/{object}.csv\"\n", true),
        ("objects = [\"Event\"]\noutput = \"x/{object}.csv\"\n", false),
        ("objects = [\"*__c\"]\noutput = \"y/{object}.csv\"\n", false),
        ("object = \"Account\"\noutput = \"x/{object}.csv\"\n", true),
        ("soql = \"SELECT Id FROM Odd__c\"\noutput = \"x/Odd__c.csv\"\n", true),
        ("soql = \"SELECT Id FROM Event\"\noutput = \"x/Event.csv\"\n", false),
        ("soql = \"SELECT Id FROM Odd__c\"\noutput = \"x/odd.2.csv\"\n", false),
        ("soql = \"SELECT Id FROM Odd__c\"\noutput = \"x/a.manifest.json\"\nformat = \"csv\"\n", true),
    ] {
        assert_eq!(clash(job), expected, "{job}");
    }
    let mistakes =
        Project::with(ORG).job("a", ALL).job("b", "object = \"Case\"\noutput = \"x/Case.csv\"\n").mistakes();
    assert_eq!(
        mistakes,
        [
            "jobs/a.toml:2: output: \"x/{object}.csv\" is also the output of b (jobs/b.toml:2): both would write Case.csv; \
             give each job a separate directory, as in \"{job}/{object}.csv\", or exclude the object from the set"
        ]
    );
}

#[test]
fn the_path_and_the_fields_of_an_output_are_checked() {
    for (output, expected) in [
        (
            "/etc/a.csv",
            "\"/etc/a.csv\" is outside output_root; write a path below DIR/exports, or set output_root",
        ),
        ("../a.csv", "\"../a.csv\" contains `..`; write a path below output_root, DIR/exports"),
        ("{jbo}.csv", "\"{jbo}.csv\" has the unknown field {jbo}; did you mean {job}?"),
        (
            "{record}.csv",
            "\"{record}.csv\" has the unknown field {record}; choose one of {job} {org} {object} {run_id} \
             {date} {time} {datetime} {kind} {mark}",
        ),
        (
            "{object}.csv",
            "\"{object}.csv\" has the field {object}, and the job has no object; write {job}, or set `object` or \
             `objects` instead of the query",
        ),
        ("{date.csv", "\"{date.csv\" has a `{` without its `}`; write `{{` for the brace itself"),
        (
            "a.json",
            "\"a.json\" does not end in .csv, .jsonl or .parquet; end it in .csv, .jsonl (.csv.gz, .csv.zst to compress it) or .parquet, or set the format",
        ),
        (
            "a-{date:YYYY-MM-DD}.csv",
            "\"a-{date:YYYY-MM-DD}.csv\" has the date format \"YYYY-MM-DD\", which has no %; write {date:%Y-%m-%d}",
        ),
        (
            "a-%Y-%m-%d.csv",
            "\"a-%Y-%m-%d.csv\" contains a date format outside a field; write it as in \"a-{date:%Y-%m-%d}.csv\"",
        ),
        ("{YYYY}/a.csv", "\"{YYYY}/a.csv\" has the unknown field {YYYY}; write {date:%Y}"),
        (
            "s3://b/a.parquet",
            "\"s3://b/a.parquet\" is the address of an object store, and object stores are not supported yet; write a \
             local path, and copy the files in another step of your schedule",
        ),
        (
            "a.jsonl.xz",
            "\"a.jsonl.xz\" has the extension of a compressed file other than .gz and .zst; end it in .csv.gz, .jsonl.gz, \
             .csv.zst or .jsonl.zst",
        ),
        (
            "a.d/b",
            "\"a.d/b\" does not end in .csv, .jsonl or .parquet; end it in .csv, .jsonl (.csv.gz, .csv.zst to compress it) or .parquet, or set the format",
        ),
        ("  ", "the value is empty"),
    ] {
        let text = format!("soql = \"SELECT Id FROM Account\"\noutput = \"{output}\"\n");
        assert_eq!(job_mistakes(&text), [format!("jobs/a.toml:2: output: {expected}")], "{output}");
    }
}

#[test]
fn a_mistake_in_a_query_is_shown_at_its_place() {
    let inline =
        job_mistakes("output = \"a.csv\"\n\nsoql = \"\"\"\n\nSELECT Id,\n       FROM Account\n\"\"\"\n");
    assert_eq!(inline.len(), 1, "{inline:#?}");
    let lines: Vec<_> = inline[0].lines().collect();
    assert!(lines[0].starts_with("jobs/a.toml:6: soql: "), "{inline:#?}");
    assert_eq!(lines[1], "         FROM Account");
    assert_eq!(lines[2], "         ^");

    let one_line = job_mistakes("output = \"a.csv\"\nsoql = \"SELCT Id FROM Account\"\n");
    assert!(one_line[0].starts_with("jobs/a.toml:2: soql: "), "{one_line:#?}");

    let project = Project::with(ORG)
        .job("a", "output = \"a.csv\"\nsoql_file = \"a.soql\"\n")
        .file("jobs/a.soql", "\n\nSELECT Id,\nFROM Account\n");
    let mistakes = project.mistakes();
    assert!(mistakes[0].starts_with("jobs/a.soql:4:1: "), "{mistakes:#?}");
}

#[test]
fn a_query_must_not_be_missing_or_empty() {
    for (lines, expected) in [
        (
            "",
            "jobs/a.toml: soql: this key is not set; add a query, or set `soql_file`, `object` or `objects`",
        ),
        ("soql = \" \\n \"", "jobs/a.toml:2: soql: the value is empty"),
        ("soql_file = \"empty.soql\"", "jobs/a.toml:2: soql_file: jobs/empty.soql is empty"),
        (
            "soql_file = \"nowhere.soql\"",
            "jobs/a.toml:2: soql_file: jobs/nowhere.soql cannot be read: No such file or directory",
        ),
    ] {
        let project = Project::with(ORG)
            .job("a", &format!("output = \"a.csv\"\n{lines}\n"))
            .file("jobs/empty.soql", " \n");
        assert_eq!(project.mistakes(), [expected], "{lines}");
    }
}

#[test]
fn the_text_of_a_private_soql_file_is_not_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    const HIDDEN: &str = "is not SOQL that can be exported; check that this is the right file; its text is hidden, because \
                          the file is private to its owner or outside the configuration's directory";
    let job = |path: &str| format!("soql_file = \"{path}\"\noutput = \"a.csv\"\n");
    let project = Project::with(ORG).file("key-password", "hunter2\n").job("a", &job("../key-password"));
    // Whoever may read the configuration may read this file.
    assert_eq!(
        project.mistakes(),
        [
            "jobs/../key-password:1:1: expected SELECT, found \"hunter2\"; write a query that begins with SELECT\n  hunter2\n  ^"
        ]
    );
    let own = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(project.path("key-password"), own.clone()).unwrap();
    assert_eq!(
        project.mistakes(),
        [format!("jobs/a.toml:1: soql_file: jobs/../key-password: line 1, column 1 {HIDDEN}")]
    );
    // Columns that cannot be laid out would be quoted as well.
    std::fs::write(project.path("key-password"), "SELECT hunter2, hunter2 FROM A").unwrap();
    assert_eq!(project.mistakes(), [format!("jobs/a.toml:1: soql_file: line 1, column 17 {HIDDEN}")]);

    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("secret");
    std::fs::write(&secret, "hunter2").unwrap();
    let project = Project::with(ORG).job("a", &job(secret.to_str().unwrap()));
    std::os::unix::fs::symlink(&secret, project.path("jobs/a.soql")).unwrap();
    for told in [project.mistakes(), project.job("a", &job("a.soql")).mistakes()] {
        assert!(told[0].contains(HIDDEN) && !told[0].contains("hunter2"), "{told:?}");
    }
}

#[test]
fn keys_for_csv_are_refused_for_json_lines() {
    let mistakes = job_mistakes(
        "soql = \"SELECT Id FROM Account\"\noutput = \"a.jsonl\"\nchildren = \"files\"\ncompound = \"columns\"\n\
         [csv]\nheader = false\n",
    );
    assert_eq!(
        mistakes,
        [
            "jobs/a.toml:3: children: this key is only for CSV, and the output is JSON Lines; remove it",
            "jobs/a.toml:4: compound: this key is only for CSV and Parquet, and the output is JSON Lines; remove it",
            "jobs/a.toml:6: csv.header: this key is only for CSV, and the output is JSON Lines; remove it",
        ]
    );
}

#[test]
fn keys_for_text_are_refused_for_parquet_and_the_other_way_round() {
    let job = "soql = \"SELECT Id FROM Account\"\noutput = \"a.parquet\"\n";
    let keys = "children = \"files\"\nnumbers = \"plain\"\ndatetimes = \"rfc3339\"\nattributes = true\n\
                compound = \"columns\"\ncompression_level = 3\n[csv]\nbom = true\n[parquet]\ncodec = \"snappy\"\n";
    assert_eq!(
        job_mistakes(&format!("{job}{keys}")),
        [
            "jobs/a.toml:3: children: this key is only for CSV, and the output is Parquet; remove it: the records of a \
             child query are a column of JSON",
            "jobs/a.toml:4: numbers: this key is only for CSV and JSON Lines, and the output is Parquet; remove it",
            "jobs/a.toml:5: datetimes: this key is only for CSV and JSON Lines, and the output is Parquet; remove it; \
             `temporal` in [parquet] decides what datetimes become",
            "jobs/a.toml:6: attributes: this key is only for JSON Lines, and the output is Parquet; remove it",
            "jobs/a.toml:8: compression_level: the compression level of Parquet cannot be set; remove it",
            "jobs/a.toml:10: csv.bom: this key is only for CSV, and the output is Parquet; remove it",
        ]
    );
    assert_eq!(
        job_mistakes(&format!("{job}compression = \"zstd\"\n")),
        ["jobs/a.toml:2: output: \"a.parquet\" is a Parquet file, and its pages are compressed already; \
             remove the compression"]
    );
    for extension in ["csv", "jsonl"] {
        let job = job.replace("parquet", extension);
        let title = if extension == "csv" { "CSV" } else { "JSON Lines" };
        assert_eq!(
            job_mistakes(&format!("{job}[parquet]\ntemporal = \"text\"\n")),
            [format!(
                "jobs/a.toml:4: parquet.temporal: this key is only for Parquet, and the output is {title}; remove it"
            )]
        );
    }
}

#[test]
fn defaults_for_text_do_not_apply_to_parquet() {
    let shared = format!(
        "{ORG}[defaults]\ncompression = \"gzip\"\ncompression_level = 9\nchildren = \"files\"\ndatetimes = \"rfc3339\"\n\
         [defaults.csv]\nbom = true\n[defaults.parquet]\ncodec = \"snappy\"\n"
    );
    let config = Project::with(&shared)
        .job("a", "soql = \"SELECT Id FROM Account\"\noutput = \"a.parquet\"\n")
        .job("b", "soql = \"SELECT Id FROM Account\"\noutput = \"b.csv.gz\"\n")
        .all();
    let [parquet, csv] = &config.jobs[..] else { panic!("two jobs") };
    assert_eq!((parquet.format, parquet.compression), (Format::Parquet, None));
    assert_eq!(parquet.shape.parquet.codec, ParquetCodec::Snappy);
    assert_eq!(parquet.shape.children, Children::Json);
    assert_eq!((csv.format, csv.shape.children), (Format::Csv, Children::Files));
    assert_eq!(csv.compression, Some(Compression::Gzip(9)));
}

#[test]
fn a_job_without_an_org_has_a_hint() {
    assert_eq!(
        Project::with(EMEA).job("a", JOB).mistakes(),
        ["jobs/a.toml: org: this key is not set, and there is no `[org]` table; write org = \"emea\""]
    );
    assert_eq!(
        Project::with("").job("a", JOB).mistakes(),
        ["jobs/a.toml: org: there is no org; add an `[org]` table to sfexport.toml"]
    );
}

#[test]
fn mistakes_in_an_org_are_reported_once() {
    let project =
        Project::with("[org]\nusername='b@example.com'\nkey_file='c'\n").job("a", JOB).job("b", JOB);
    assert_eq!(
        project.mistakes(),
        ["sfexport.toml:1: org.client_id: this key is not set; add it, or set SFEXPORT_ORG__CLIENT_ID"]
    );
}

#[test]
fn a_file_name_must_be_a_valid_job_name() {
    const RULE: &str =
        "a job's name contains only letters, digits, `.`, `_` and `-`, and does not begin with a dot";
    let project = Project::with(ORG).file("jobs/my accounts.toml", JOB).file("jobs/übersicht.toml", JOB);
    assert_eq!(
        project.mistakes(),
        [
            format!("jobs/my accounts.toml: \"my accounts\" is not a job's name: {RULE}; rename the file"),
            format!("jobs/übersicht.toml: \"übersicht\" is not a job's name: {RULE}; rename the file"),
        ]
    );
}

#[test]
fn policies_without_a_schedule_are_warnings() {
    let project = Project::with(ORG).job("a", &format!("{JOB}retries = 5\n"));
    assert_eq!(
        project.shown(&project.all().warnings),
        [
            "jobs/a.toml:3: retries: this key has no effect without a `schedule`; add a `schedule`, or remove this key"
        ]
    );
}

// -- jobs beside each other

#[test]
fn jobs_with_the_same_output_are_refused() {
    let with = |output: &str| format!("soql = \"SELECT Id FROM Account\"\noutput = \"{output}\"\n");
    let project = Project::with(ORG)
        .job("a", &with("x/{date}.csv"))
        .job("b", &with("./x/{date:%Y-%m-%d}.csv"))
        .job("c", &with("x/{job}.csv"))
        .job("d", &with("x/{job}.csv"))
        .job("e", &with("{run_id}.csv"))
        .job("f", &with("{run_id}.csv"));
    assert_eq!(
        project.mistakes(),
        [
            "jobs/a.toml:2: output: \"x/{date}.csv\" is also the output of b (jobs/b.toml:2); give each job a separate output, as \
             in \"{job}.csv\"",
        ]
    );
    // A named job fails on a clash of its own, and not on one of others.
    assert_eq!(project.named(&["a"]).unwrap_err().as_slice().len(), 1);
    assert_eq!(project.named(&["b"]).unwrap_err().as_slice().len(), 1);
    assert_eq!(project.named(&["c"]).unwrap().warnings.len(), 1);
}

#[test]
fn jobs_with_the_same_output_at_other_times_are_refused() {
    let with = |output: &str, zone: &str| {
        format!("soql = \"SELECT Id FROM Account\"\noutput = \"{output}\"\ntimezone = \"{zone}\"\n")
    };
    // Kiritimati is 25 hours ahead of Pago Pago: it is never the same day in both.
    let project = Project::with(ORG)
        .job("a", &with("x/{date}.csv", "Pacific/Pago_Pago"))
        .job("b", &with("x/{date}.csv", "Pacific/Kiritimati"))
        .job("c", &with("y/{datetime}.csv", "Pacific/Pago_Pago"))
        .job("d", &with("y/{datetime}.csv", "Pacific/Kiritimati"))
        .job("e", &with("z/{datetime:%s}.csv", "Pacific/Pago_Pago"))
        .job("f", &with("z/{datetime:%s}.csv", "UTC"));
    let when = "at another time in another time zone; give each job a separate output, as in \"{job}.csv\"";
    assert_eq!(
        project.mistakes(),
        [
            format!(
                "jobs/a.toml:2: output: \"x/{{date}}.csv\" is also the output of b (jobs/b.toml:2), {when}"
            ),
            format!(
                "jobs/e.toml:2: output: \"z/{{datetime:%s}}.csv\" is also the output of f (jobs/f.toml:2), {when}"
            ),
        ]
    );
}

#[test]
fn an_output_with_the_name_of_a_stage_is_a_mistake() {
    let with = |output: &str| {
        format!("soql = \"SELECT Id FROM Account\"\noutput = \"{output}\"\nformat = \"csv\"\n")
    };
    let project =
        Project::with(ORG).job("b", &with(".a.csv.{run_id}.partial")).job("c", &with(".a.csv.partial"));
    assert_eq!(
        project.mistakes(),
        [
            "jobs/b.toml:2: output: \".a.csv.{run_id}.partial\" looks like the name of an unfinished export, which the \
             next run would remove; choose a name that does not end in .partial",
        ]
    );
}

#[test]
fn a_named_job_runs_despite_broken_ones() {
    let project = Project::with(ORG).job("good", JOB).job("bad", "soql = 1\n").job("worse", "soql");
    let config = project.named(&["good", "good"]).unwrap();
    assert_eq!(config.jobs.len(), 1);
    assert_eq!(config.jobs[0].name.as_str(), "good");
    let warnings = project.shown(&config.warnings);
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    assert_eq!(warnings[1], "jobs/bad.toml:1: soql: 1 is not text; write \"1\"");

    let mistakes = project.named(&["good", "bad"]).unwrap_err();
    assert_eq!(
        project.shown(mistakes.as_slice()),
        [
            "jobs/bad.toml: output: this key is not set; write it as in output = \"{job}/{date}.csv\"",
            "jobs/bad.toml:1: soql: 1 is not text; write \"1\"",
        ]
    );
    // The shared configuration counts, whatever is named.
    let project = Project::with(&format!("{ORG}[http]\nattempts = 0\n")).job("good", JOB);
    assert!(project.named(&["good"]).is_err());
    assert!(project.load(&Selection::NoJobs).is_err());
}

#[test]
fn an_unknown_job_is_reported_with_a_hint() {
    let project = Project::with(ORG).job("accounts", JOB).job("contacts", JOB);
    let told = |name: &str| project.shown(project.named(&[name]).unwrap_err().as_slice()).join("\n");
    assert_eq!(told("acounts"), "there is no job \"acounts\" in jobs; did you mean \"accounts\"?");
    assert_eq!(told("zebra"), "there is no job \"zebra\" in jobs; choose one of accounts, contacts");
    assert_eq!(
        told("jobs/contacts.toml"),
        "there is no job \"jobs/contacts.toml\" in jobs; name the job by its file without the extension: \"contacts\""
    );
}

#[test]
fn unknown_jobs_are_not_mistakes_of_the_configuration() {
    let project = Project::with(ORG).job("accounts", JOB);
    assert_eq!(
        project.named(&["nix", "nax"]).unwrap_err().to_string(),
        "there are 2 mistakes:\n  there is no job \"nax\" in jobs\n    hint: the only one is accounts\n  \
         there is no job \"nix\" in jobs\n    hint: the only one is accounts"
    );
}

#[test]
fn job_files_are_not_read_if_no_job_is_selected() {
    let config = Project::with(ORG).job("bad", "?").load(&Selection::NoJobs).unwrap();
    assert!(config.jobs.is_empty() && config.warnings.is_empty());
}

#[test]
fn an_unknown_org_is_reported_with_a_hint() {
    let config = Project::with(&format!("{ORG}{EMEA}")).all();
    let failure = config.org(Some("emae")).unwrap_err();
    assert_eq!(failure.what, "there is no org \"emae\"");
    assert_eq!(failure.hint.as_deref(), Some("did you mean \"emea\"?"));
}

// -- the documentation

#[test]
fn a_memory_limit_lowers_only_the_default_page_cap() {
    let cap = |text: &str, selection: Selection, limit: Option<u64>| {
        let mut project = Project::with(&format!("{text}\n{ORG}")).job("a", JOB).job("b", JOB);
        project.sources.memory_limit = limit;
        config::load(&project.sources, &selection).unwrap().settings.http.page_cap
    };
    let jobs = |names: &[&str]| Selection::Jobs(names.iter().map(|name| (*name).to_owned()).collect());
    let limit = Some(1 << 30);
    assert_eq!(cap("", Selection::All, None), 256_000_000);
    // (1024 - 48) MiB / 4 for each page in memory, / 4 runs at once.
    assert_eq!(cap("", Selection::All, limit), 61 << 20);
    assert_eq!(cap("", jobs(&["a", "b"]), limit), 122 << 20);
    assert_eq!(cap("", jobs(&["a"]), limit), 244 << 20);
    assert_eq!(cap("", Selection::NoJobs, limit), 244 << 20);
    assert_eq!(cap("daemon.max_concurrent_runs = 2", Selection::All, limit), 122 << 20);
    // What a user wrote stands.
    assert_eq!(cap("http.page_cap = \"200 MB\"", Selection::All, limit), 200_000_000);
}

/// `docs/configuration.md` holds each table between markers; `UPDATE_DOCS=1` writes them anew.
#[test]
fn the_documentation_has_every_key_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (name, table) in
        [("settings", Table::Settings), ("org", Table::Org), ("job", Table::Job), ("object", Table::Object)]
    {
        let start = format!("<!-- keys: {name} -->\n");
        let from = text.find(&start).expect("the marker is there") + start.len();
        let to = from + text[from..].find("<!-- end -->").expect("the end is there");
        let expected = config::markdown(table);
        if update {
            text.replace_range(from..to, &expected);
        } else {
            assert_eq!(&text[from..to], expected, "run this with UPDATE_DOCS=1 and look at the difference");
        }
    }
    if update {
        std::fs::write(&path, text).unwrap();
    }
}

#[test]
fn each_default_of_a_setting_can_be_written_and_changes_nothing() {
    // A directory of jobs that somebody names must be there.
    let plain = Project::with(ORG).job("a", JOB);
    let mut written = Project::with(ORG).job("a", JOB);
    for key in config::keys() {
        if let (Some(variable), Unwritten::Is(value)) = (key.variable(), key.default) {
            written = written.variable(&variable, value);
        }
    }
    let shown = |project: &Project| {
        let config = project.all();
        let dir = project.sources.working_dir.to_str().unwrap();
        format!("{:?} {:?}", config.settings, config.orgs).replace(dir, "DIR")
    };
    assert_eq!(shown(&written), shown(&plain));
}

// -- robustness

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_in_a_file_make_it_panic(
        shared in prop::collection::vec(any::<u8>(), 0..200),
        job in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let project = Project::empty().file("sfexport.toml", &shared).file("jobs/a.toml", &job);
        let _ = project.load(&Selection::All);
    }

    #[test]
    fn no_toml_makes_it_panic(job in toml_like(), shared in toml_like(), value in "[^\\x00]{0,40}") {
        let project = Project::with(&shared)
            .job("a", &job)
            .variable("SFEXPORT_HTTP__WAIT_MIN", &value)
            .variable("SFEXPORT_ORG__LOGIN_URL", &value)
            .variable("SFEXPORT_ORG__INSTANCE_HOSTS", &value);
        if let Err(mistakes) = project.load(&Selection::All) {
            prop_assert!(!mistakes.as_slice().is_empty());
        }
    }
}

/// Lines of known and unknown keys with values of every type, in known and unknown tables.
fn toml_like() -> impl Strategy<Value = String> {
    let keys: Vec<&'static str> = config::keys().map(|key| key.name).collect();
    let key = prop_oneof![8 => prop::sample::select(keys), 1 => Just("unknown"), 1 => Just("\"\"")];
    let value = prop_oneof![
        "\"[^\"\\\\\\x00-\\x1f]{0,30}\"",
        "'[ -&(-~]{0,30}'",
        "\"\"\"\n(SELECT|FROM|Id|,|\\(|\\)|'|\n| ){0,12}\"\"\"",
        "-?[1-9][0-9]{0,25}(\\.[0-9]{1,3})?",
        "\"(\\{[a-z:%A-Z]{0,6}\\}?|/|\\.|[a-z]){0,10}\"",
        Just("true".to_owned()),
        Just("[[1], \"x\", {a = 1}]".to_owned()),
        Just("{a = {b = 1}}".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
    ];
    let head = prop_oneof![
        6 => Just(""),
        1 => prop::sample::select(vec!["[org]\n", "[orgs.emea]\n", "[http]\n", "[csv]\n", "[[org]]\n", "[x]\n"]),
    ];
    prop::collection::vec((head, key, value), 0..8).prop_map(|lines| {
        lines.into_iter().map(|(head, key, value)| format!("{head}{key} = {value}\n")).collect()
    })
}

#[test]
fn a_query_with_invalid_columns_is_a_mistake() {
    assert_eq!(
        job_mistakes("soql = \"SELECT Id, Owner.Name, id FROM Account\"\noutput = \"a.csv\"\n"),
        [
            "jobs/a.toml:1: soql: the query cannot be exported: line 1, column 24: two columns would be named id; remove one \
          of them\n  SELECT Id, Owner.Name, id FROM Account\n                         ^"
        ]
    );
}
