//! `sfexport query` exports one query to a file or to standard output, without a job file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;

use super::run::shown_failure;
use super::{Context, complete, print, working_dir};
use crate::config::Selection;
use crate::error::{Exit, Failure};
use crate::export::{Extent, Outcome, Run, RunError, export};
use crate::job::{
    ApiChoice, BulkSettings, Children, Codec, Compound, Compression, CompressionChoice, CountCheck,
    CsvDialect, Datetimes, Format, IfExists, Job, JobName, Manifest, NO_PARQUET, NO_PARQUET_LEVEL, Numbers,
    OutputTemplate, ParquetSettings, Policy, Shape, SoqlSource, Source, output_path, path_text,
};
use crate::output::{LocalFile, Output};
use crate::report::RunId;
use crate::soql::{BulkObstacle, ColumnRules, Query, SyntaxError};

#[derive(Debug, Args)]
pub(super) struct QueryArguments {
    /// The query
    soql: String,
    /// The file to write, relative to the working directory; - streams to standard output
    #[arg(short, long, value_name = "PATH")]
    output: String,
    /// The org to ask, if the configuration has several
    #[arg(long, value_name = "NAME", add = complete::orgs())]
    org: Option<String>,
    /// The format [default: by the file's ending; csv for -]
    #[arg(long, value_enum)]
    format: Option<FormatArgument>,
    /// How to compress the file [default: by the file's ending; none for -]
    #[arg(long, value_enum)]
    compression: Option<CompressionArgument>,
    /// How hard the compressor works: 1 to 9 for gzip, 1 to 19 for zstd [default: 6 for gzip, 3 for zstd]
    #[arg(long, value_name = "LEVEL", value_parser = super::whole::<u8>(0..=u64::MAX))]
    compression_level: Option<u8>,
    /// Ask for deleted and archived rows too (queryAll)
    #[arg(long)]
    all_rows: bool,
    /// What to do if the number of records is not what the org counted
    #[arg(long, value_enum, value_name = "CHECK", default_value = "explain")]
    count_check: CountCheckArgument,
    /// Which API sends the records
    #[arg(long, value_enum, value_name = "API", default_value = "auto")]
    api: ApiArgument,
    /// Replaces the option of all commands, which does not apply to -o
    #[arg(long, hide = true)]
    output_root: Option<String>,
    /// Print a run report as one line of JSON, to standard error if the records go to standard output
    #[arg(long)]
    json: bool,
}

impl QueryArguments {
    /// Whether the records go to standard output.
    pub(super) fn is_streamed(&self) -> bool {
        self.output == "-"
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CountCheckArgument {
    /// Find out why, and fail if that is not possible
    Explain,
    /// Fail
    Strict,
    /// Publish what arrived, with a warning
    Warn,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum ApiArgument {
    /// REST for small results and for queries that Bulk refuses, Bulk for everything else
    Auto,
    /// The REST API
    Rest,
    /// Bulk API 2.0
    Bulk,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArgument {
    Csv,
    Jsonl,
    Parquet,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressionArgument {
    Gzip,
    Zstd,
    None,
}

/// Exports the result of one query. A file is staged and published like a job's. A stream is written directly.
pub(super) async fn query(arguments: QueryArguments, context: &Context) -> Result<Exit, Failure> {
    if arguments.output_root.is_some() {
        let what = "--output-root does not apply to queries";
        return Err(
            Failure::new(Exit::Usage, what).hint("write the path in -o, relative to the working directory")
        );
    }
    let streamed = arguments.is_streamed();
    let (format, codec) = form(&arguments, streamed)?;
    if !format.is_written() {
        return Err(Failure::new(Exit::Usage, NO_PARQUET.0).hint(NO_PARQUET.1));
    }
    let compression = compression(format, codec, arguments.compression_level)?;
    let query = Query::parse(&arguments.soql).map_err(|error| invalid("the query is not SOQL", error))?;
    let shape = Shape {
        numbers: if format == Format::Csv { Numbers::Plain } else { Numbers::AsSent },
        datetimes: Datetimes::AsSent,
        columns: ColumnRules::default(),
        children: Children::Json,
        compound: Compound::Json,
        columns_pinned: false,
        attributes: false,
        csv: CsvDialect::default(),
        parquet: ParquetSettings::DEFAULT,
    };
    let obstacle = query.bulk_obstacle().filter(BulkObstacle::is_refused);
    if let (ApiArgument::Bulk, Some(obstacle)) = (arguments.api, obstacle) {
        let what = format!("Bulk API 2.0 cannot export this query, because {obstacle}");
        return Err(Failure::new(Exit::Query, what).hint("use --api auto or --api rest"));
    }
    let source = SoqlSource::new(query, shape.layout(format), &shape.columns).map_err(|error| {
        let failure = Failure::new(Exit::Query, error.to_string());
        Failure { hint: error.hint(), ..failure }
    })?;
    let mut config = context.config(&Selection::NoJobs)?;
    let org = Arc::new(config.org(arguments.org.as_deref())?.clone());
    if arguments.api == ApiArgument::Bulk && !org.has_bulk() {
        let table = org.name.table();
        let what = format!(
            "Bulk API 2.0 is not part of API version \"{}\", the `api_version` of {table}",
            org.api_version
        );
        return Err(Failure::new(Exit::Configuration, what).hint("use --api auto or --api rest"));
    }
    let (output, path) = if streamed {
        if print::is_stdout_closed() {
            let what = "standard output is closed, so the records would go nowhere";
            return Err(Failure::new(Exit::Output, what).hint("redirect it to a file or to another program"));
        }
        (Output::stream(std::io::stdout()), working_dir()?.join("-"))
    } else {
        let output = LocalFile::new(Path::new(&arguments.output), IfExists::Replace, None)?.of_query();
        let path = output.path().to_owned();
        (output.into(), path)
    };
    let output = output.compressed(compression);
    let job = Job {
        name: JobName::parse("query").map_err(|error| Failure::new(Exit::General, error.to_string()))?,
        org: org.name.clone(),
        enabled: true,
        source: Source::Soql(source),
        object: None,
        manifest: Manifest::None,
        query_origin: None,
        all_rows: arguments.all_rows,
        count_check: match arguments.count_check {
            CountCheckArgument::Explain => CountCheck::Explain,
            CountCheckArgument::Strict => CountCheck::Strict,
            CountCheckArgument::Warn => CountCheck::Warn,
        },
        api: match arguments.api {
            ApiArgument::Auto => ApiChoice::Auto,
            ApiArgument::Rest => ApiChoice::Rest,
            ApiArgument::Bulk => ApiChoice::Bulk,
        },
        bulk: BulkSettings::default(),
        output: OutputTemplate::fixed(&path),
        format,
        compression,
        shape,
        if_exists: IfExists::Replace,
        file_mode: None,
        follow_links: false,
        schedule: None,
        timezone: TimeZone::UTC,
        timeout: None,
        policy: Policy::default(),
        ping_url: None,
        after: None,
        incremental: None,
    };
    // A query has no state directory for rows.
    config.settings.scratch_dir.get_or_insert_with(|| scratch_dir(&path, streamed));
    let edges = context.edges(&config.settings, None);
    let id = RunId::new(edges.clock.now(), edges.clock.random());
    let run = Run {
        job: Arc::new(job),
        org,
        id,
        scheduled: None,
        output,
        extent: Extent::Whole,
        resumes: false,
        wants_full: false,
        timestamp: edges.clock.now(),
        part: None,
    };
    let Outcome { report, error, .. } = export(run, &edges, &context.stop).await;
    if error == Some(RunError::ReaderGone) {
        // In `sfexport query ... -o - | head`, this is expected, so it is not an error to print.
        if arguments.json {
            print::report_aside(&report);
        }
        return Ok(Exit::General);
    }
    let exit = shown_failure(&report, None, context.common.log_format);
    match (arguments.json, streamed) {
        (true, false) => print::report(&report),
        (true, true) => print::report_aside(&report),
        (false, false) if exit == Exit::Success && !print::is_quiet() => {
            print::line(format!("query\t{}\t{}", report.records, report.path.as_deref().unwrap_or_default()));
        }
        (false, _) => {}
    }
    Ok(exit)
}

fn invalid(what: &str, error: SyntaxError) -> Failure {
    let failure = Failure::new(Exit::Query, format!("{what}: {error}"));
    Failure { hint: error.hint, ..failure }
}

/// The default directory for rows that do not fit into memory: next to the output, or for a stream, the system's directory
/// for temporary files on disk.
fn scratch_dir(path: &Path, streamed: bool) -> PathBuf {
    const ON_DISK: &str = "/var/tmp";
    match path.parent() {
        Some(directory) if !streamed => directory.to_owned(),
        _ if std::env::var_os("TMPDIR").is_none() && Path::new(ON_DISK).is_dir() => PathBuf::from(ON_DISK),
        _ => std::env::temp_dir(),
    }
}

/// The compression at the level that the command line names, if it names one.
fn compression(
    format: Format,
    codec: Option<Codec>,
    level: Option<u8>,
) -> Result<Option<Compression>, Failure> {
    let refused = match (codec, level) {
        (_, None) => None,
        (Some(codec), Some(level)) => codec.refusal_of(level),
        (None, Some(_)) if format == Format::Parquet => {
            Some((NO_PARQUET_LEVEL.to_owned(), "remove it".to_owned()))
        }
        (None, Some(_)) => {
            let hint = "remove it, end -o in .gz or .zst, or use --compression";
            Some(("the output is not compressed".to_owned(), hint.to_owned()))
        }
    };
    match refused {
        None => Ok(codec.map(|codec| codec.at(level))),
        Some((what, hint)) => {
            Err(Failure::new(Exit::Usage, format!("--compression-level: {what}")).hint(hint))
        }
    }
}

/// The format and the compression of the output. Paths of other systems, extensions of other formats and fields are refused.
fn form(arguments: &QueryArguments, streamed: bool) -> Result<(Format, Option<Codec>), Failure> {
    let output = arguments.output.as_str();
    let written = arguments.format.map(|format| match format {
        FormatArgument::Csv => Format::Csv,
        FormatArgument::Jsonl => Format::Jsonl,
        FormatArgument::Parquet => Format::Parquet,
    });
    let compression = arguments.compression.map(|compression| match compression {
        CompressionArgument::Gzip => CompressionChoice::By(Codec::Gzip),
        CompressionArgument::Zstd => CompressionChoice::By(Codec::Zstd),
        CompressionArgument::None => CompressionChoice::None,
    });
    if streamed {
        let format = written.unwrap_or(Format::Csv);
        let codec = compression.and_then(CompressionChoice::codec);
        if format == Format::Parquet && codec.is_some() {
            let what = "--compression does not apply to Parquet, whose pages are compressed already";
            return Err(Failure::new(Exit::Usage, what).hint("remove it"));
        }
        return Ok((format, codec));
    }
    let usage = |what: String, hint: String| Failure::new(Exit::Usage, what).hint(hint);
    if let Some(not_local) = path_text::not_local(output) {
        return Err(usage(format!("-o {output:?} {}", not_local.reason()), not_local.hint()));
    }
    if let Some(field) = output_path::field_in(output) {
        let what = format!("-o {output:?} contains {field}, which is replaced only in a job's output");
        let hint = "use the shell to write the date, as in -o \"accounts-$(date +%F).csv\"";
        return Err(usage(what, hint.to_owned()));
    }
    path_text::form_of(output, written, compression)
        .map_err(|(reason, hint)| usage(format!("-o {output:?} {reason}"), hint))
}
