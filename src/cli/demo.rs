//! `sfexport demo` creates a key, starts an embedded org, and runs the example jobs against it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::run::shown_failure;
use super::{Context, human, print, working_dir};
use crate::batch::{self, Batch};
use crate::config::{self, Selection, Sources};
use crate::demo_org::{BulkOptions, Catalog, DemoOrg, Options};
use crate::error::{Exit, Failure, io_text};
use crate::export::Extent;
use crate::key::{self, KeyBits, KeyRequest, Subject};
use crate::report::RunReport;
use crate::state::State;

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// How many accounts the org has; contacts, opportunities and tasks grow with them
    #[arg(long, default_value_t = 5000, value_name = "N", value_parser = super::whole::<usize>(0..=u64::MAX))]
    records: usize,
    /// The directory of the demo's key, configuration, jobs and exports
    #[arg(long, default_value = "demo", value_name = "DIR", value_parser = super::local_path())]
    dir: PathBuf,
    /// Keep the org running, and print a configuration for it
    #[arg(long)]
    serve: bool,
    /// The port of the org; 0 for any free one
    #[arg(long, default_value_t = 0, requires = "serve", value_name = "PORT", value_parser = super::whole::<u16>(0..=65_535))]
    port: u16,
    /// Have the org's records change about once a second, for incremental exports
    #[arg(long, requires = "serve", conflicts_with_all = ["objects", "prerender"])]
    living: bool,
    /// Which changes the records go through; the same number gives the same changes
    #[arg(long, default_value_t = 1, requires = "living", value_name = "N", value_parser = super::whole::<u64>(0..=u64::MAX))]
    seed: u64,
    /// A certificate from keygen: the org also accepts logins with its key, as after an upload in Setup
    #[arg(long, requires = "serve", value_name = "FILE")]
    certificate: Option<PathBuf>,
    // A page or a chunk without records would never end.
    /// The most records on a page of a Bulk API 2.0 result
    #[arg(long, requires = "serve", value_name = "N", value_parser = super::whole::<u64>(1..=u64::MAX))]
    bulk_page: Option<u64>,
    /// Split query jobs into chunks of this many records, which come in a different order than over REST
    #[arg(long, requires = "serve", value_name = "N", value_parser = super::whole::<u64>(1..=u64::MAX))]
    bulk_chunk: Option<u64>,
    /// How long each request takes, in milliseconds: for benchmarks
    #[arg(long, default_value_t = 0, hide = true, value_parser = super::whole::<u64>(0..=u64::MAX))]
    latency: u64,
    /// How much longer the org thinks before each page, in milliseconds: for benchmarks
    #[arg(long, default_value_t = 0, hide = true, value_parser = super::whole::<u64>(0..=u64::MAX))]
    think: u64,
    /// How many bytes a second the org sends: for benchmarks
    #[arg(long, hide = true, value_parser = super::whole::<u64>(0..=u64::MAX))]
    bytes_per_second: Option<u64>,
    /// Serve this many small objects instead of the usual ones, with --records rows each: for benchmarks
    #[arg(long, hide = true, value_parser = super::whole::<usize>(0..=u64::MAX))]
    objects: Option<usize>,
    /// Make a query's pages before the first is sent, keep them, and complete query jobs at once: for benchmarks
    #[arg(long, hide = true)]
    prerender: bool,
}

impl DemoArguments {
    fn bulk(&self) -> BulkOptions {
        let usual = BulkOptions::default();
        let records = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        BulkOptions {
            // A benchmark does not wait for query jobs.
            polls: usize::from(!self.prerender),
            page_rows: self.bulk_page.map_or(usual.page_rows, records),
            chunk_rows: self.bulk_chunk.map(records),
            ..usual
        }
    }
}

/// The first line of a configuration that this command writes.
const MARK: &str = "# Written by `sfexport demo`, which overwrites it each time.";

const CLIENT_ID: &str = "3MVG9demo";
const USERNAME: &str = "integration@example.com";

/// The example jobs, embedded in the binary.
const JOBS: [(&str, &str); 5] = [
    ("accounts.toml", include_str!("../../jobs/accounts.toml")),
    ("contacts.toml", include_str!("../../jobs/contacts.toml")),
    ("deleted_accounts.toml", include_str!("../../jobs/deleted_accounts.toml")),
    ("opportunities.toml", include_str!("../../jobs/opportunities.toml")),
    ("pipeline.toml", include_str!("../../jobs/pipeline.toml")),
];

/// Sets up the demo, then runs its jobs or serves its org until interrupted.
pub(super) async fn demo(arguments: DemoArguments, context: &Context) -> Result<Exit, Failure> {
    let directory = Directory::prepare(&arguments.dir)?;
    let mut certificates = directory.certificate()?;
    if let Some(path) = &arguments.certificate {
        let yours = std::fs::read_to_string(path)
            .map_err(|error| Failure::of_file(Exit::Configuration, "cannot read", path, &error))?;
        certificates.push('\n');
        certificates.push_str(&yours);
    }
    let options = Options {
        port: arguments.port,
        catalog: arguments.objects.map_or(Catalog::Standard, Catalog::Numbered),
        records: arguments.records,
        client_id: CLIENT_ID.to_owned(),
        username: USERNAME.to_owned(),
        public_key: certificates,
        latency: Duration::from_millis(arguments.latency),
        think: Duration::from_millis(arguments.think),
        bytes_per_second: arguments.bytes_per_second,
        prerender: arguments.prerender,
        bulk: arguments.bulk(),
        ..Options::default()
    };
    let mut org = DemoOrg::start(options).await.map_err(|error| {
        Failure::new(
            Exit::General,
            format!("the embedded org cannot start on port {}: {}", arguments.port, io_text(&error)),
        )
        .hint("choose another --port, or omit it to use any free one")
    })?;
    directory.configure(&org)?;
    print::line(format!(
        "Key pair:       {} and {}",
        directory.show("server.key"),
        directory.show("server.crt")
    ));
    print::line(format!(
        "Embedded org:   {}, with {}, some of them deleted",
        org.url(),
        human::counted(arguments.records as u64, "account")
    ));
    print::line(format!(
        "Configuration:  {}, and five jobs in {}",
        directory.show("sfexport.toml"),
        directory.show("jobs")
    ));
    if arguments.living {
        org.live(arguments.seed);
        print::line("Changes:        about one a second");
    }
    if arguments.serve {
        return serve(&directory, org, arguments.certificate.as_deref(), context).await;
    }
    let exit = run_jobs(&directory, context).await?;
    org.stop().await;
    if exit == Exit::Success {
        print::line("");
        print::line(
            "Each run logged in with a signed JWT, followed every page, compared the records with the org's own",
        );
        print::line(
            "count, and only then gave the file its name. To run these jobs against your own org, see",
        );
        print::line("docs/setup.md. The org has stopped. To try more queries: sfexport demo --serve");
    }
    Ok(exit)
}

async fn run_jobs(directory: &Directory, context: &Context) -> Result<Exit, Failure> {
    // Without the user's environment, so the demo is always the same.
    let sources = Sources {
        config_flag: Some(directory.path.join("sfexport.toml")),
        environment: Vec::new(),
        working_dir: working_dir()?,
        flags: Vec::new(),
        memory_limit: crate::memory::limit(),
    };
    let config = config::load(&sources, &Selection::All)?;
    let state = State::open(&config.settings.state_dir)?;
    let jobs = config.jobs.iter().cloned().map(Arc::new).collect();
    print::line("");
    let (mut statuses, mut reports) = (Vec::new(), Vec::new());
    let batch = Batch { jobs, at: None, extent: Extent::Whole, wants_full: false, object: None, once: None };
    let edges = context.edges(&config.settings, Some(state));
    batch::run(batch, &config, &edges, &context.stop, |report| {
        statuses.push(shown_failure(&report, Some(&report), context.common.log_format));
        reports.push(report);
    })
    .await?;
    reports.sort_by(|a, b| a.job.cmp(&b.job));
    for report in reports.iter().filter(|report| report.error.is_none()) {
        print::line(row(report, directory));
    }
    Ok(Exit::of_all(statuses))
}

/// `accounts   5,000 records in 3 pages   512,345 bytes   demo/exports/accounts.csv`
fn row(report: &RunReport, directory: &Directory) -> String {
    let path = report.path.as_deref().unwrap_or_default();
    let shown = Path::new(path)
        .strip_prefix(&directory.path)
        .map_or_else(|_| path.to_owned(), |rest| directory.show(rest));
    let pages = if report.pages == 1 { "page" } else { "pages" };
    let records = if report.records == 1 { "record" } else { "records" };
    format!(
        "{:<18}{:>9} {records:<7} in {:>3} {pages:<5} {:>11} bytes  {shown}",
        report.job,
        human::number(report.records),
        report.pages,
        human::number(report.bytes),
    )
}

async fn serve(
    directory: &Directory,
    org: DemoOrg,
    certificate: Option<&Path>,
    context: &Context,
) -> Result<Exit, Failure> {
    let config = directory.show("sfexport.toml");
    print::line("");
    print::line(directory.configuration(&org).trim_end());
    print::line("");
    print::line("In another terminal, from the same directory:");
    print::line(format!("  sfexport --config {config} check"));
    print::line(format!("  sfexport --config {config} run --all"));
    print::line(format!("  sfexport --config {config} query 'SELECT Id, Name FROM Account LIMIT 5' -o -"));
    print::line("");
    match certificate {
        None => {
            print::line(
                "To rehearse the setup with your own key, run `sfexport keygen`, then start this again with",
            );
            print::line("--certificate server.crt, which replaces the upload in Setup.");
        }
        Some(path) => {
            print::line(format!(
                "The org now also accepts logins signed with the key of {}. For your own files:",
                path.display()
            ));
            print::line(format!(
                "  sfexport init --login-url {} --client-id {CLIENT_ID} --username {USERNAME}",
                org.url()
            ));
            print::line("or write these three and your key_file into [org] of an existing sfexport.toml.");
        }
    }
    print::line("The org runs until you press Ctrl-C.");
    context.stop.requested().await;
    org.stop().await;
    Ok(Exit::Success)
}

/// The demo's directory.
struct Directory {
    /// As the user wrote it, for messages.
    shown: PathBuf,
    path: PathBuf,
}

impl Directory {
    /// Creates the directory. Refuses one with a configuration that is not a demo's.
    fn prepare(dir: &Path) -> Result<Self, Failure> {
        let directory = Self { shown: dir.to_owned(), path: working_dir()?.join(dir) };
        let config = directory.path.join("sfexport.toml");
        match std::fs::read_to_string(&config) {
            Ok(text) if !text.starts_with("# Written by `sfexport demo`") => {
                let what = format!("{} is not a configuration of the demo", config.display());
                return Err(Failure::new(Exit::Output, what).hint("choose another directory with --dir"));
            }
            _ => {}
        }
        let jobs = directory.path.join("jobs");
        std::fs::create_dir_all(&jobs)
            .map_err(|error| Failure::of_file(Exit::Output, "cannot make", &jobs, &error))?;
        for (name, text) in JOBS {
            let path = jobs.join(name);
            // Jobs that the user has changed are kept.
            if !path.exists() {
                write(&path, text)?;
            }
        }
        Ok(directory)
    }

    /// The certificate of the demo's key. Both are created if they are missing.
    fn certificate(&self) -> Result<String, Failure> {
        let (key, certificate) = (self.path.join("server.key"), self.path.join("server.crt"));
        if !(key.exists() && certificate.exists()) {
            let subject = "CN=sfexport demo".parse::<Subject>();
            let subject = subject.map_err(|error| Failure::new(Exit::General, error))?;
            let request =
                KeyRequest { bits: KeyBits::Rsa2048, subject, days: 365, not_before: Timestamp::now() };
            key::write_new(&key::generate(&request)?, &key, &certificate)?;
        }
        std::fs::read_to_string(&certificate)
            .map_err(|error| Failure::of_file(Exit::Output, "cannot read", &certificate, &error))
    }

    fn configure(&self, org: &DemoOrg) -> Result<(), Failure> {
        write(&self.path.join("sfexport.toml"), &format!("{MARK}\n\n{}", self.configuration(org)))
    }

    fn configuration(&self, org: &DemoOrg) -> String {
        format!(
            "[org]\nlogin_url = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nusername  = \"{USERNAME}\"\nkey_file  = \"server.key\"\n\
             cert_file = \"server.crt\"\n",
            org.url()
        )
    }

    /// A path in the directory as the user would write it.
    fn show(&self, name: impl AsRef<Path>) -> String {
        self.shown.join(name).display().to_string()
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::of_file(Exit::Output, "cannot write", path, &error))
}
