//! `check` and `run` agree: `check` finds whatever makes a run fail, for each bad input of [`rows`]. Their messages are in
//! a snapshot. To add a row: `Row::new("what is wrong", exit status of the run, |at| what to write into the deployment)`, with
//! `.variable(name, value)` for the environment, and `.needs_org()` if a status of 78 cannot be known offline.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sfexport::demo_org::{At, Fault, Rule};
use support::Deployment;
use support::steady::steady;

/// How long one command may take; those that hang are ended and named.
const DEADLINE: Duration = Duration::from_secs(60);

/// One bad input. The job is called `a`; before [`Row::write`] it is a good one.
struct Row {
    name: &'static str,
    /// The exit status of `sfexport run a`.
    status: i32,
    write: Box<dyn Fn(&Deployment) + Send + Sync>,
    variables: Vec<(&'static str, &'static str)>,
    needs_org: bool,
}

impl Row {
    fn new(name: &'static str, status: i32, write: impl Fn(&Deployment) + Send + Sync + 'static) -> Self {
        Self { name, status, write: Box::new(write), variables: Vec::new(), needs_org: false }
    }

    /// A row whose job has these two keys, and further lines.
    fn job(
        name: &'static str,
        status: i32,
        soql: &'static str,
        output: &'static str,
        more: &'static str,
    ) -> Self {
        Self::new(name, status, move |at| at.job("a", soql, output, more))
    }

    fn soql(name: &'static str, status: i32, soql: &'static str) -> Self {
        Self::job(name, status, soql, "a.csv", "")
    }

    fn output(output: &'static str) -> Self {
        // Between ''' and ''' a backslash is a backslash.
        Self::new(output, 78, move |at| {
            at.write("jobs/a.toml", format!("soql = '{ACCOUNTS}'\noutput = '''{output}'''\n"));
        })
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn needs_org(mut self) -> Self {
        self.needs_org = true;
        self
    }
}

const ACCOUNTS: &str = "SELECT Id, Name FROM Account";

fn rows() -> Vec<Row> {
    [queries(), incremental(), outputs(), files(), orgs(), fleets()].into_iter().flatten().collect()
}

/// Jobs whose changes the org cannot tell.
fn incremental() -> Vec<Row> {
    let object = |name, status, object: &'static str, table: &'static str| {
        Row::new(name, status, move |at: &Deployment| {
            let output = "{kind}-{mark}.csv";
            let text = format!("object = \"{object}\"\noutput = \"{output}\"\n[incremental]\n{table}\n");
            at.write("jobs/a.toml", text);
        })
    };
    let query = |name, status, soql: &'static str, table: &'static str| {
        Row::job(name, status, soql, "{kind}-{mark}.csv", table)
    };
    vec![
        object("changes by a field that is not there", 65, "Account", "field = \"SystemModStmp\""),
        object("changes by a field that is text", 65, "Account", "field = \"Name\""),
        object("changes of an object that is not there", 65, "Acount", ""),
        query(
            "changes of a query with LIMIT",
            78,
            "SELECT Id, IsDeleted FROM Account LIMIT 5",
            "[incremental]",
        ),
        query(
            "changes by a field that the object lacks",
            65,
            "SELECT Id, IsDeleted FROM Account",
            "[incremental]\nfield = \"LoginTime\"",
        ),
        query(
            "deletes by Id without the stamp",
            65,
            "SELECT Id, CreatedDate FROM Account",
            "[incremental]\ndeletes = \"ids\"",
        ),
        Row::job(
            "a file of several runs",
            78,
            "SELECT Id, IsDeleted FROM Account",
            "{kind}.csv",
            "[incremental]",
        ),
    ]
}

fn queries() -> Vec<Row> {
    vec![
        Row::soql("no query at all", 78, " "),
        Row::soql("a field misspelt", 65, "SELECT Id, Nmae FROM Account"),
        Row::soql("an object misspelt", 65, "SELECT Id FROM Acount"),
        Row::soql("a parent misspelt", 65, "SELECT Id, Ownr.Name FROM Account"),
        Row::soql("a child relationship misspelt", 65, "SELECT Id, (SELECT Id FROM Contcts) FROM Account"),
        Row::soql("FROM misspelt", 78, "SELECT Id FORM Account"),
        Row::soql("a condition that the org refuses", 65, "SELECT Id FROM Account WHERE Name ~ 'x'"),
        Row::soql("an operator without a value", 65, "SELECT Id FROM Account WHERE Name ="),
        Row::soql("a string without its end", 78, "SELECT Id FROM Account WHERE Name = 'x"),
        Row::soql("two columns of one name", 78, "SELECT Id, Name, id FROM Account"),
        Row::soql("an alias on a plain field", 78, "SELECT Name n FROM Account"),
        Row::soql("SQL's star", 78, "SELECT * FROM Account"),
        Row::soql("SQL's DISTINCT", 78, "SELECT DISTINCT Name FROM Account"),
        Row::soql("a join", 78, "SELECT Id FROM Account JOIN Contact ON AccountId = Id"),
        Row::soql("ALL ROWS", 78, "SELECT Id FROM Account ALL ROWS"),
        Row::soql("a bind variable", 78, "SELECT Id FROM Account WHERE Id = :id"),
        Row::soql("SOSL", 78, "FIND {x} RETURNING Account"),
        Row::soql("two queries", 78, "SELECT Id FROM Account; SELECT Id FROM Contact"),
        Row::soql("an invisible character", 78, "SELECT Id,\u{200b}Name FROM Account"),
        Row::new("a comment in a soql_file", 78, |at| {
            at.write("jobs/a.soql", "-- all of them\nSELECT Id FROM Account");
            at.write("jobs/a.toml", "soql_file = \"a.soql\"\noutput = \"a.csv\"\n");
        }),
        Row::new("a soql_file that is not there", 78, |at| {
            at.write("jobs/a.toml", "soql_file = \"gone.soql\"\noutput = \"a.csv\"\n");
        }),
        Row::job(
            "a child query that is rejected",
            65,
            "SELECT Id, (SELECT Id FROM Contacts) FROM Account",
            "a.csv",
            "children = \"reject\"",
        ),
        Row::job(
            "files of children without the parent's Id",
            78,
            "SELECT Name, (SELECT Id FROM Contacts) FROM Account",
            "a.csv",
            "children = \"files\"",
        ),
        Row::new("pinned columns that have changed", 65, |at| {
            at.run(["run", "a"]).ended(0);
            at.job("a", "SELECT Id, Name, Site FROM Account", "a.csv", "columns_pinned = true");
        }),
        Row::job(
            "parts of a field that the org does not describe",
            65,
            "SELECT Id, (SELECT Id FROM Contacts), Owner.Nope FROM Account",
            "a.csv",
            "compound = \"columns\"",
        ),
        Row::job("a new name for no column", 78, ACCOUNTS, "a.csv", "[columns]\nNmae = \"x\""),
        Row::job("a type for no column", 78, ACCOUNTS, "a.csv", "[types]\n\"Owner.Name\" = \"text\""),
        Row::job("a type that does not exist", 78, ACCOUNTS, "a.csv", "[types]\nName = \"varchar\""),
        Row::job("a column's name without quotes", 78, ACCOUNTS, "a.csv", "[types]\nOwner.Name = \"text\""),
        Row::job("a column with two lines", 78, ACCOUNTS, "a.csv", "[columns]\nId = \"a\"\nID = \"b\""),
        Row::job("two columns with one new name", 78, ACCOUNTS, "a.csv", "[columns]\nName = \"ID\""),
        Row::job(
            "two columns with one name in snake case",
            78,
            "SELECT OwnerId, Owner.Id FROM Account",
            "a.csv",
            "column_names = \"snake\"",
        ),
        Row::job(
            "a new name for a field of a child query in a column",
            78,
            "SELECT Id, (SELECT LastName FROM Contacts) FROM Account",
            "a.csv",
            "[columns]\n\"Contacts.LastName\" = \"x\"",
        ),
        Row::job(
            "a new name for a child query in JSON Lines",
            78,
            "SELECT Id, (SELECT LastName FROM Contacts) FROM Account",
            "a.jsonl",
            "[columns]\nContacts = \"x\"",
        ),
        Row::job(
            "attributes with new names",
            78,
            ACCOUNTS,
            "a.jsonl",
            "attributes = true\ncolumn_names = \"snake\"",
        ),
        Row::new("a new name for no field of the object", 65, |at| {
            at.write("jobs/a.toml", "object = \"Account\"\noutput = \"a.csv\"\n[columns]\nNmae = \"x\"");
        }),
        Row::job(
            "a type that the org does not report",
            65,
            "SELECT Id, TYPEOF What WHEN Account THEN Type WHEN Opportunity THEN Type END FROM Task",
            "a.csv",
            "datetimes = \"rfc3339\"",
        ),
        Row::new("types that the org does not describe", 65, |at| {
            at.job("a", ACCOUNTS, "a.csv", "datetimes = \"rfc3339\"");
            let records = Fault::body(r#"{"totalSize":0,"done":true,"records":[]}"#);
            at.script(Rule::always(At::Containing("columns=true".to_owned()), records));
        }),
        Row::new("columns that the org does not describe", 65, |at| {
            at.job("a", "SELECT FIELDS(STANDARD) FROM Account", "a.csv", "");
            let records = Fault::body(r#"{"totalSize":0,"done":true,"records":[]}"#);
            at.script(Rule::always(At::Containing("columns=true".to_owned()), records));
        }),
        Row::new("a query that is too long", 65, |at| {
            let names = vec!["Name = 'a name that is neither short nor here'"; 2_500].join(" OR ");
            at.job("a", &format!("SELECT Id FROM Account WHERE {names}"), "a.csv", "");
        }),
    ]
}

fn outputs() -> Vec<Row> {
    vec![
        Row::output("../a.csv"),
        Row::output("/etc/a.csv"),
        Row::output("~/a.csv"),
        Row::output("a/"),
        Row::output("{jobb}.csv"),
        Row::output("{date.csv"),
        Row::output("a.txt"),
        Row::output("a-{date:YYYY-MM-DD}.csv"),
        Row::output("a-{YYYY-MM-DD}.csv"),
        Row::output("a-%Y-%m-%d.csv"),
        Row::output("a-{{ ds }}.csv"),
        Row::output("a-{{date}}.csv"),
        Row::output("a-$(date +%F).csv"),
        Row::output("s3://bucket/a.csv"),
        Row::output("gs://bucket/a.csv"),
        Row::output("abfss://container@account.dfs.core.windows.net/a.csv"),
        Row::output("https://account.blob.core.windows.net/container/a.csv"),
        Row::output("sftp://host/a.csv"),
        Row::output("me@host:a.csv"),
        Row::output("file:///x/a.csv"),
        Row::output(r"C:\x\a.csv"),
        Row::output(r"\\srv\share\a.csv"),
        Row::output(r"x\a.csv"),
        Row::output("a.csv.bz2"),
        Row::output("a.csv.gz.zst"),
        Row::output("a.gz"),
        Row::output("a.zip"),
        Row::output("a.xlsx"),
        Row::output("a.parquet.gz"),
        Row::output("a.xlsx"),
        Row::job("an extension of another format", 78, ACCOUNTS, "a.csv", "format = \"jsonl\""),
        Row::job("another compression's extension", 78, ACCOUNTS, "a.csv.gz", "compression = \"zstd\""),
        Row::job("a compression without its extension", 78, ACCOUNTS, "a.csv", "compression = \"gzip\""),
        Row::job("a level without a compression", 78, ACCOUNTS, "a.csv", "compression_level = 6"),
        Row::job("a level that gzip lacks", 78, ACCOUNTS, "a.csv.gz", "compression_level = 10"),
        Row::new("a store as output_root", 78, |_| {})
            .variable("SFEXPORT_OUTPUT_ROOT", "s3://bucket/exports"),
        Row::new("a URL as the configuration", 78, |_| {})
            .variable("SFEXPORT_CONFIG", "file:///etc/sfexport.toml"),
        Row::new("a field in output_root", 78, |_| {}).variable("SFEXPORT_OUTPUT_ROOT", "exports/{date}"),
        Row::new("a URL as state_dir", 78, |_| {}).variable("SFEXPORT_STATE_DIR", "file:///var/lib/sfexport"),
        Row::new("a store as a key's file", 78, |_| {})
            .variable("SFEXPORT_ORG__KEY_FILE", "s3://bucket/server.key"),
        Row::new("a file where the output's directory has to be", 73, |at| {
            at.job("a", ACCOUNTS, "sub/a.csv", "");
            at.write("exports/sub", "");
        }),
        Row::new("a directory in the output's place", 73, |at| {
            fs::create_dir_all(at.path("exports/a.csv")).unwrap();
        }),
        Row::new("a directory in the place of a child query's file", 73, |at| {
            at.job("a", "SELECT Id, (SELECT Id FROM Contacts) FROM Account", "a.csv", "children = \"files\"");
            fs::create_dir_all(at.path("exports/a.Contacts.csv")).unwrap();
        }),
        Row::new("a job whose child query writes the same file", 78, |at| {
            at.job("b", "SELECT Id, (SELECT Id FROM Contacts) FROM Account", "b.csv", "children = \"files\"");
            at.job("a", ACCOUNTS, "b.Contacts.csv", "");
        }),
        Row::new("an output that exists and must not", 73, |at| {
            at.job("a", ACCOUNTS, "a.csv", "if_exists = \"fail\"");
            at.write("exports/a.csv", "Id\n");
        }),
        Row::new("a job of the same output", 78, |at| at.job("b", ACCOUNTS, "a.csv", "")),
        Row::new("a file where the state has to be", 73, |at| at.write("state", "")),
    ]
}

fn files() -> Vec<Row> {
    vec![
        Row::new("no job of that name", 78, |at| fs::remove_file(at.path("jobs/a.toml")).unwrap()),
        Row::new("no configuration", 78, |at| fs::remove_file(at.path("sfexport.toml")).unwrap()),
        Row::new("text that is not TOML", 78, |at| at.write("jobs/a.toml", "soql = SELECT Id\n")),
        Row::new("bytes that are not text", 78, |at| at.write("jobs/a.toml", [0xff, 0xfe, b'a', 0])),
        Row::job("an unknown key", 78, ACCOUNTS, "a.csv", "shedule = \"@daily\""),
        Row::job("a schedule that is none", 78, ACCOUNTS, "a.csv", "schedule = \"61 * * * *\""),
        Row::job("a zone that is none", 78, ACCOUNTS, "a.csv", "timezone = \"Europe/Berln\""),
        Row::job("an org that is not there", 78, ACCOUNTS, "a.csv", "org = \"emea\""),
        Row::new("a job file in capitals", 78, |at| {
            fs::rename(at.path("jobs/a.toml"), at.path("jobs/a.TOML")).unwrap();
        }),
        Row::new("a job file with another extension", 78, |at| {
            fs::rename(at.path("jobs/a.toml"), at.path("jobs/a.toml.txt")).unwrap();
        }),
        Row::new("a job file in a directory below", 78, |at| {
            fs::create_dir(at.path("jobs/nightly")).unwrap();
            fs::rename(at.path("jobs/a.toml"), at.path("jobs/nightly/a.toml")).unwrap();
        }),
        Row::new("a pipe as a job's file", 78, |at| pipe(at, "jobs/a.toml")),
        Row::new("a pipe as the configuration", 78, |at| pipe(at, "sfexport.toml")),
        Row::new("a device as a job's file", 78, |at| device(at, "jobs/a.toml")),
        Row::new("a device as the configuration", 78, |at| device(at, "sfexport.toml")),
        Row::new("a pipe as a soql_file", 78, |at| {
            pipe(at, "jobs/a.soql");
            at.write("jobs/a.toml", "soql_file = \"a.soql\"\noutput = \"a.csv\"\n");
        }),
        Row::new("a device as a soql_file", 78, |at| {
            at.write("jobs/a.toml", "soql_file = \"/dev/zero\"\noutput = \"a.csv\"\n");
        }),
        Row::new("an export as a soql_file", 78, |at| {
            at.write("jobs/a.soql", format!("SELECT Id FROM Account{}", " ".repeat(2_000_000)));
            at.write("jobs/a.toml", "soql_file = \"a.soql\"\noutput = \"a.csv\"\n");
        }),
        Row::new("a pipe as the key", 78, |at| pipe(at, "server.key")),
        Row::new("a device as the key", 78, |at| device(at, "server.key")),
        Row::new("a pipe as the key's password", 78, |at| pipe(at, "password"))
            .variable("SFEXPORT_ORG__KEY_PASSWORD_FILE", "password"),
        Row::new("a pipe as ca_file", 78, |at| pipe(at, "ca.pem"))
            .variable("SFEXPORT_HTTP__CA_FILE", "ca.pem"),
        Row::new("a device as ca_file", 78, |_| {}).variable("SFEXPORT_HTTP__CA_FILE", "/dev/zero"),
        Row::new("a ca_file that is not there", 78, |_| {}).variable("SFEXPORT_HTTP__CA_FILE", "gone.pem"),
        Row::new("a key as ca_file", 78, |_| {}).variable("SFEXPORT_HTTP__CA_FILE", "server.key"),
        Row::new("a secret as a soql_file", 78, |at| {
            at.write("key-password", "hunter2\n");
            at.write("jobs/a.toml", "soql_file = \"../key-password\"\noutput = \"a.csv\"\n");
        }),
        Row::new("a password", 78, |_| {}).variable("SFEXPORT_ORG__PASSWORD", "hunter2"),
        Row::new("quotes in the client_id", 78, |_| {}).variable("SFEXPORT_ORG__CLIENT_ID", "\"3MVG9\""),
        Row::new("an invisible character in the client_id", 78, |_| {})
            .variable("SFEXPORT_ORG__CLIENT_ID", "3MVG9\u{200b}"),
        Row::new("an invisible character in the username", 78, |_| {})
            .variable("SFEXPORT_ORG__USERNAME", "\u{feff}integration@example.com"),
        Row::new("a username without its domain", 78, |_| {})
            .variable("SFEXPORT_ORG__USERNAME", "integration"),
        Row::new("a variable with one underscore, and no key", 78, |at| {
            let table = at.org_table("org").replace("key_file", "#");
            at.write("sfexport.toml", table);
        })
        .variable("SFEXPORT_ORG_KEY_FILE", "server.key"),
        Row::new("an unknown variable of an org", 78, |_| {}).variable("SFEXPORT_ORG__USER_NAME", "x"),
    ]
}

fn orgs() -> Vec<Row> {
    vec![
        Row::new("a key that is not there", 78, |at| fs::remove_file(at.path("server.key")).unwrap()),
        Row::new("a key that is not one", 78, |at| at.write("server.key", "-----BEGIN nothing")),
        Row::new("a host that does not answer", 69, |_| {})
            .variable("SFEXPORT_ORG__LOGIN_URL", "http://127.0.0.1:9"),
        Row::new("another user", 77, |_| {}).variable("SFEXPORT_ORG__USERNAME", "nobody@example.com"),
        Row::new("another app", 77, |_| {}).variable("SFEXPORT_ORG__CLIENT_ID", "3MVG9other"),
        Row::new("a login without http", 78, |_| {}).variable("SFEXPORT_ORG__LOGIN_URL", "example.com"),
        Row::new("an API version that is not served", 78, |_| {})
            .variable("SFEXPORT_ORG__API_VERSION", "99.0")
            .needs_org(),
        Row::new("a session on another host", 77, |at| {
            let body =
                r#"{"access_token":"00Dxx!x","instance_url":"https://example.com","token_type":"Bearer"}"#;
            at.script(Rule::always(At::Login(1), Fault::body(body)));
        }),
        Row::new("a page of HTML instead of a token", 74, |at| {
            at.script(Rule::always(At::Login(1), Fault::html(200, "<html>Sign in</html>")));
        }),
        Row::new("no API requests left", 75, |at| {
            let refusal = Fault::error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
            at.script(Rule::always(At::Containing("/services/data/".to_owned()), refusal));
        }),
    ]
}

fn fleets() -> Vec<Row> {
    let job = |name, more| Row::job(name, 78, ACCOUNTS, "{org}/a.csv", more);
    let defaults = |name, text: &'static str| {
        Row::new(name, 78, move |at| {
            at.configure(text);
            at.job("a", ACCOUNTS, "a.csv", "");
        })
    };
    vec![
        job("an org that does not exist, of several", "orgs = [\"default\", \"emea\"]"),
        job("a pattern that matches no org", "orgs = [\"emea_*\"]"),
        job("an org and several orgs", "orgs = [\"*\"]\norg = \"default\""),
        job("one ping for several orgs", "orgs = [\"*\"]\nping_url = \"https://hc-ping.example/a\""),
        Row::job("one output for several orgs", 78, ACCOUNTS, "a.csv", "orgs = [\"*\"]"),
        job("a command without its arguments", "after = \"upload {path}\""),
        job("a field that a command does not have", "after = [\"upload\", \"{file}\"]"),
        defaults("a default that says what to export", "[defaults]\nsoql = \"SELECT Id FROM Account\""),
        defaults("a default with a mistake", "[defaults]\ntimezone = \"Europe/Berln\""),
        Row::new("a default that does not fit a set", 78, |at| {
            at.configure("[defaults]\noutput = \"{job}.csv\"");
            at.write("jobs/a.toml", "objects = [\"Account\"]\n");
        }),
        Row::new("a directory in the place of a manifest", 73, |at| {
            at.job("a", "SELECT Id FROM Account", "a.csv", "manifest = true");
            fs::create_dir_all(at.path("exports/a.manifest.json")).unwrap();
        }),
        Row::new("a command with the path of no manifest", 78, |at| {
            let text = "objects = [\"Account\"]\noutput = \"{object}.csv\"\nmanifest = false\nafter = [\"cp\", \"{path}\", \"/x\"]\n";
            at.write("jobs/a.toml", text);
        }),
        Row::new("a reserve of nothing", 78, |_| {}).variable("SFEXPORT_ORG__API_RESERVE", "0"),
        Row::new("an id that is not an org's", 78, |_| {})
            .variable("SFEXPORT_ORG__ORG_ID", "005xx0000001gPL"),
    ]
}

/// Puts a pipe that nobody writes into in a file's place.
fn pipe(at: &Deployment, name: &str) {
    let _ = fs::remove_file(at.path(name));
    assert!(Command::new("mkfifo").arg(at.path(name)).status().unwrap().success());
}

/// Puts a link to a device that never ends in a file's place.
fn device(at: &Deployment, name: &str) {
    let _ = fs::remove_file(at.path(name));
    symlink("/dev/zero", at.path(name)).unwrap();
}

/// What a status asks of whoever runs the command.
#[derive(Debug, PartialEq, Eq)]
enum Class {
    Passed,
    Query,
    Later,
    Output,
    Login,
    Configuration,
    Other(Option<i32>),
}

impl Class {
    fn of(status: Option<i32>) -> Self {
        match status {
            Some(0) => Self::Passed,
            Some(65) => Self::Query,
            Some(69 | 74 | 75) => Self::Later,
            Some(73) => Self::Output,
            Some(77) => Self::Login,
            Some(2 | 78) => Self::Configuration,
            other => Self::Other(other),
        }
    }
}

/// The status of a command, and all that it said; no status if it was ended at the deadline.
fn ended(at: &Deployment, row: &Row, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = at.command(arguments);
    command.envs(row.variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let said = std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.read_to_end(&mut text).unwrap();
        stderr.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if start.elapsed() > DEADLINE => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    (status, said.join().unwrap())
}

/// How a row's commands ended.
struct Played {
    /// What is wrong with that, if anything is.
    wrong: Option<String>,
    /// The messages of `run` and, if they differ, of `check`.
    messages: String,
}

fn play(row: &Row) -> Played {
    let at = Deployment::new(5);
    at.job("a", ACCOUNTS, "a.csv", "");
    (row.write)(&at);
    let exports = at.names_below("exports");
    let (checked, check) = ended(&at, row, &["check", "a"]);
    let (run, said) = ended(&at, row, &["run", "a"]);
    let mut wrong = Vec::new();
    if run != Some(row.status) {
        wrong.push(format!("`run` ended with {run:?} instead of {}:\n{said}", row.status));
    }
    if Class::of(checked) != Class::of(run) {
        wrong.push(format!("`check` ended with {checked:?}, `run` with {run:?}:\n{check}"));
    }
    if row.status == 78 && !row.needs_org {
        let (offline, said) = ended(&at, row, &["check", "a", "--offline"]);
        if offline != Some(78) {
            wrong.push(format!("`check --offline` ended with {offline:?}:\n{said}"));
        }
    }
    if at.names_below("exports") != exports {
        wrong.push(format!("files were written: {:?}", at.names_below("exports")));
    }
    let (run, check) = (steady(&at, &without_reports(&said)), steady(&at, &without_passed_steps(&check)));
    let check = if check == run { String::new() } else { format!("\n-- check\n{check}") };
    Played {
        wrong: (!wrong.is_empty()).then(|| format!("{}: {}", row.name, wrong.join("\n"))),
        messages: format!("\n===== {} ({})\n{run}{check}\n", row.name, row.status),
    }
}

/// What `run` says, without its log lines.
fn without_reports(said: &str) -> String {
    said.lines().filter(|line| !line.contains(" INFO ")).collect::<Vec<_>>().join("\n")
}

/// What `check` says, without the steps that passed and those that were skipped.
fn without_passed_steps(said: &str) -> String {
    let passed = |line: &&str| ["  ✓", "  -"].iter().any(|mark| line.starts_with(mark));
    let is_heading = |line: &&str| line.is_empty() || line.starts_with("org ") || line.starts_with("job ");
    said.lines().filter(|line| !passed(line) && !is_heading(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn check_finds_whatever_makes_a_run_fail() {
    let rows = rows();
    let played = in_parallel(&rows, play);
    let wrong: Vec<_> = played.iter().filter_map(|played| played.wrong.as_deref()).collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    // A talkative log would be part of the messages.
    if std::env::var_os("SFEXPORT_TESTS_LOG").is_some() {
        return;
    }
    insta::assert_snapshot!(
        "bad_input",
        played.into_iter().map(|played| played.messages).collect::<String>()
    );
}

/// The results of all items in their order, four at a time.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Vec<_> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((item, result)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|at| Some((items.get(at)?, results.get(at)?)))
                {
                    *result.lock().unwrap() = Some(work(item));
                }
            });
        }
    });
    results.into_iter().map(|result| result.into_inner().unwrap().unwrap()).collect()
}
