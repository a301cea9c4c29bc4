//! `sfexport init` writes a commented configuration and a first job, or a job with a set of objects.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::keygen::quoted;
use super::token::logged_in;
use super::{Context, complete, print};
use crate::check;
use crate::config::{self, FILE_NAME, Key, Kind, Table, Unwritten, keys};
use crate::error::{Exit, Failure, plain};
use crate::job::{JobName, ObjectSet, ObjectTerm};
use crate::org::{LoginUrl, Org};
use crate::salesforce::describe::ObjectSummary;
use crate::salesforce::fault::Fault;

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// The directory to write sfexport.toml and jobs/accounts.toml to
    #[arg(default_value = ".", value_name = "DIR", value_parser = super::local_path())]
    dir: PathBuf,
    /// Where to log in: https://test.salesforce.com for a sandbox, or the My Domain URL [default:
    /// https://login.salesforce.com]
    #[arg(long, value_name = "URL", value_parser = login_url)]
    login_url: Option<String>,
    /// The app's Consumer Key
    #[arg(long, value_name = "KEY")]
    client_id: Option<String>,
    /// The integration user's Salesforce username
    #[arg(long, value_name = "USERNAME")]
    username: Option<String>,
    /// Only write a job that exports these objects: names, patterns ('*__c') and exclusions ('!*Share'). The configuration
    /// must exist, because the org is asked for its objects
    #[arg(long, value_name = "PATTERN", num_args = 1.., conflicts_with_all = ["dir", "login_url", "client_id", "username"])]
    objects: Vec<String>,
    /// The org to ask and to export from, if the configuration has several
    #[arg(long, value_name = "NAME", requires = "objects", add = complete::orgs())]
    org: Option<String>,
    /// The name of the job with these objects
    #[arg(long, value_name = "NAME", requires = "objects", default_value = "backup")]
    job: String,
}

/// Where users of production orgs log in.
const DEFAULT_LOGIN_URL: &str = "https://login.salesforce.com";

/// Reads a login URL, and leaves it as it was written.
fn login_url(text: &str) -> Result<String, String> {
    LoginUrl::parse(text).map(|_| text.to_owned()).map_err(|error| format!("it {error}"))
}

/// The name of the first job.
const JOB: &str = "accounts";

/// Writes missing files, and prints their names and the next steps. Existing files are not overwritten.
pub(super) async fn init(arguments: &InitArguments, context: &Context) -> Result<Exit, Failure> {
    match arguments.objects.is_empty() {
        true => files(arguments, context),
        false => set(arguments, context).await,
    }
}

fn files(arguments: &InitArguments, context: &Context) -> Result<Exit, Failure> {
    let config = match &context.common.config {
        Some(file) => file.clone(),
        None if arguments.dir == Path::new(".") => PathBuf::from(FILE_NAME),
        None => arguments.dir.join(FILE_NAME),
    };
    let directory = config.parent().unwrap_or(Path::new(""));
    let job = directory.join("jobs").join(format!("{JOB}.toml"));
    let mut wrote = Vec::new();
    for (path, text) in [(&config, configuration(arguments)), (&job, job_file())] {
        match create(path, &text) {
            Ok(()) => {
                print::line(format!("wrote {}", path.display()));
                wrote.push(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                print::line(format!("{} already exists and was left as it is", path.display()));
            }
            Err(error) => return Err(Failure::of_file(Exit::Output, "cannot write", path, &error)),
        }
    }
    if wrote.is_empty() {
        print::line("nothing was written");
    }
    let is_fresh = wrote.contains(&&config);
    let given = [
        ("--login-url", &arguments.login_url),
        ("--client-id", &arguments.client_id),
        ("--username", &arguments.username),
    ];
    let unheeded: Vec<_> = given.iter().filter(|(_, value)| value.is_some()).map(|(flag, _)| *flag).collect();
    if !is_fresh && !unheeded.is_empty() {
        let what = format!("{} had no effect, because the configuration already exists", all_of(&unheeded));
        print::warning(context.common.log_format, None, &what);
    }
    let flag = match config.as_path() == Path::new(FILE_NAME) {
        true => String::new(),
        false => format!(" --config {}", config.display()),
    };
    let out = match directory.as_os_str().is_empty() {
        true => String::new(),
        false => format!(" --out {}", directory.display()),
    };
    print::line("\nNext:");
    // `check` tests the key and the org of an existing configuration.
    if is_fresh && !directory.join("server.key").exists() {
        print::line(format!("  sfexport keygen{out}"));
        print::line(
            "      creates the key and the certificate, and shows where in Setup to upload the certificate",
        );
    }
    if is_fresh && (arguments.client_id.is_none() || arguments.username.is_none()) {
        print::line(format!("  write client_id and username into {}", config.display()));
    }
    print::line(format!("  sfexport{flag} check"));
    print::line("      shows what is still missing, and whether the login works");
    print::line(format!("  sfexport{flag} run {JOB}"));
    print::line(format!("  sfexport{flag} daemon"));
    print::line("      runs it every night, on its schedule; cron can start `run` instead");
    Ok(Exit::Success)
}

/// `a`, `a and b`, `a, b and c`.
fn all_of(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        names => names.concat(),
    }
}

/// Writes a job with a set of objects, if the org has them.
async fn set(arguments: &InitArguments, context: &Context) -> Result<Exit, Failure> {
    let usage = |what: String, hint: &str| Failure::new(Exit::Usage, what).hint(hint);
    let terms = arguments.objects.iter().map(|text| {
        ObjectTerm::parse(text)
            .map_err(|hint| usage(format!("{} does not select objects", quoted(text)), hint))
    });
    let objects = ObjectSet::new(terms.collect::<Result<_, _>>()?, Vec::new());
    let job = JobName::parse(&arguments.job).map_err(|error| {
        usage(format!("{} is not a job's name", quoted(&arguments.job)), &error.to_string())
    })?;
    let config = context.config(&config::Selection::NoJobs)?;
    let path = config.settings.jobs_dir.join(format!("{job}.toml"));
    let exists = |path: &Path| {
        Failure::new(Exit::Output, format!("{} already exists", path.display()))
            .hint("choose another name with --job")
    };
    if path.exists() {
        return Err(exists(&path));
    }
    let login = logged_in(context, arguments.org.as_deref(), None).await?;
    let known = context.unless_stopped(login.client.objects()).await?.map_err(Fault::into_failure)?;
    let selection = objects.select(known.iter().map(ObjectSummary::facts));
    let org = login.client.org();
    let names = || known.iter().map(|object| object.name.as_str());
    if let Some(name) = selection.missing.first() {
        return Err(check::set::missing(name, names(), &org.username));
    }
    if selection.chosen.is_empty() {
        return Err(check::set::nothing_selected(&org.username));
    }
    for pattern in &selection.unmatched {
        let what = format!("{} matches no object that {} may read", quoted(pattern), org.username);
        print::warning(context.common.log_format, None, &what);
    }
    create(&path, &set_job(arguments, &job, org)).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(&path),
        _ => Failure::of_file(Exit::Output, "cannot write", &path, &error),
    })?;
    print::line(format!("wrote {}: {}", path.display(), plain(&check::set::summary(&selection))));
    let flag = context.common.config.as_ref().map(|config| format!(" --config {}", config.display()));
    let flag = flag.unwrap_or_default();
    print::line("\nNext:");
    print::line(format!("  sfexport{flag} check {job}"));
    print::line(format!("  sfexport{flag} run {job}"));
    Ok(Exit::Success)
}

/// The file of a job with a set of objects.
fn set_job(arguments: &InitArguments, job: &JobName, org: &Org) -> String {
    let objects: Vec<_> = arguments.objects.iter().map(|text| quoted(text)).collect();
    let org = match &arguments.org {
        Some(_) => format!("org      = {}\n", quoted(org.name.as_str())),
        None => String::new(),
    };
    format!(
        "# The job {job}: `sfexport check {job}` shows its objects, `sfexport run {job}` exports them now, and `sfexport daemon`\n\
         # on their schedule. docs/configuration.md explains every key.\n\
         objects  = [{}]\n\
         output   = \"{{job}}/{{object}}.csv\"   # below output_root, as .csv, .jsonl or .parquet\n\
         {org}schedule = \"0 2 * * *\"   # minute, hour, day of month, month, day of week\n\
         timezone = \"UTC\"   # for the schedule, such as \"Europe/Berlin\"\n\n\
         #[objects_with.Account]   # keys of one of the objects\n\
         #fields = [\"*\"]\n\
         #where = \"IsDeleted = false\"\n\
         #count_check = \"explain\"\n",
        objects.join(", ")
    )
}

/// Writes a new file, completely or not at all.
fn create(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes()).inspect_err(|_| {
        // This file was created here, and is incomplete.
        let _ = fs::remove_file(path);
    })
}

fn configuration(arguments: &InitArguments) -> String {
    let given = |name: &str, value: &Option<String>, example: &str, about: &str| match value {
        Some(value) => format!("{name:<9} = {}   # {about}\n", quoted(value)),
        None => format!("#{name:<9} = {}   # {about}\n", quoted(example)),
    };
    let mut text = String::from(
        "# The configuration of sfexport. Keys that are commented out have the value shown; replace ... with a value. Each\n\
         # file in jobs/ is a job. `sfexport check` finds mistakes, and docs/configuration.md explains every key.\n\n",
    );
    let of = |table| keys().filter(move |key: &&Key| key.table == table);
    for key in of(Table::Settings).filter(|key| !key.name.contains('.')) {
        commented(&mut text, key, key.name);
    }
    text.push_str("\n[org]\n");
    let login_url = arguments.login_url.clone().unwrap_or_else(|| DEFAULT_LOGIN_URL.to_owned());
    text.push_str(&given(
        "login_url",
        &Some(login_url),
        "",
        "https://test.salesforce.com for a sandbox, or the My Domain URL",
    ));
    text.push_str(&given("client_id", &arguments.client_id, "3MVG9...", "the app's Consumer Key"));
    let about = "the integration user's Salesforce username";
    text.push_str(&given("username", &arguments.username, "integration@example.com", about));
    text.push_str(
        "key_file  = \"server.key\"   # the private key; `sfexport keygen` makes it and its certificate\n\
         cert_file = \"server.crt\"   # the uploaded certificate: `sfexport check` warns before it expires\n",
    );
    let written = ["login_url", "client_id", "username", "key_file", "cert_file"];
    // Passwords are not allowed in the file.
    for key in of(Table::Org).filter(|key| !written.contains(&key.name) && key.kind != Kind::Secret) {
        commented(&mut text, key, key.name);
    }
    text.push_str(
        "\n#[defaults]   # Keys of jobs, for the jobs that do not set them.\n\
         #output = \"{org}/{job}.csv\"\n#schedule = \"0 2 * * *\"\n#timezone = \"UTC\"\n",
    );
    let mut table = "";
    for key in of(Table::Settings) {
        let Some((in_table, name)) = key.name.split_once('.') else { continue };
        if in_table != table {
            let _ = writeln!(text, "\n#[{in_table}]");
            table = in_table;
        }
        commented(&mut text, key, name);
    }
    text
}

/// A key with its default, commented out.
fn commented(text: &mut String, key: &Key, name: &str) {
    let about = key.about;
    let _ = match (key.default, key.kind) {
        (Unwritten::Is(value), Kind::Whole(..) | Kind::Flag) => {
            writeln!(text, "#{name} = {value}   # {about}")
        }
        (Unwritten::Is(value), Kind::Choices(_)) => {
            let words: Vec<_> = value.split(',').map(|word| quoted(word.trim())).collect();
            writeln!(text, "#{name} = [{}]   # {about}", words.join(", "))
        }
        (Unwritten::Is(value), _) => writeln!(text, "#{name} = {}   # {about}", quoted(value)),
        (Unwritten::Otherwise(words), _) => writeln!(text, "#{name} = ...   # {about} Default: {words}."),
        (Unwritten::RequiredUnless(words), _) => {
            writeln!(text, "#{name} = ...   # {about} Required, unless {words}.")
        }
        (Unwritten::Required, _) => writeln!(text, "#{name} = ...   # {about}"),
    };
}

fn job_file() -> String {
    let mut text = format!(
        "# The job {JOB}: `sfexport run {JOB}` exports it now, `sfexport daemon` on its schedule.\n\
         soql = \"\"\"\nSELECT Id, Name, Type, CreatedDate, LastModifiedDate\nFROM Account\n\"\"\"\n\
         output   = \"{JOB}/{{date}}.csv\"   # below output_root, as .csv, .jsonl or .parquet\n\
         schedule = \"0 2 * * *\"   # minute, hour, day of month, month, day of week\n\
         timezone = \"UTC\"   # for the schedule and the date, such as \"Europe/Berlin\"\n\n\
         # Every other key, with its default. To set one, remove the # and replace ... with a value.\n"
    );
    let written = ["soql", "output", "schedule", "timezone"];
    let (mut table, mut switched) = ("", "");
    for key in keys().filter(|key| key.table == Table::Job && !written.contains(&key.name)) {
        match key.name.split_once('.') {
            // The keys of these tables are the names of columns.
            None if matches!(key.kind, Kind::ColumnTypes | Kind::ColumnNames) => {
                let _ = writeln!(text, "\n#[{}]   # {}\n#Name = ...", key.name, key.about);
            }
            None if key.kind == Kind::TableOrFalse => {
                // With a space, because this line alone makes a difference.
                let _ = writeln!(text, "\n# [{}]   # {}", key.name, key.about);
                switched = key.name;
                table = key.name;
            }
            None => commented(&mut text, key, key.name),
            Some((in_table, name)) => {
                if in_table != table {
                    let _ = writeln!(text, "\n#[{in_table}]");
                    table = in_table;
                }
                if in_table == switched {
                    text.push_str("# ");
                    let start = text.len();
                    commented(&mut text, key, name);
                    text.remove(start);
                } else {
                    commented(&mut text, key, name);
                }
            }
        }
    }
    let of_object = keys().filter(|key| key.table == Table::Object).map(|key| format!("`{}`", key.name));
    let of_object = of_object.collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "\n# A table [objects_with.NAME] has keys for one of `objects`: {of_object}.");
    text
}
