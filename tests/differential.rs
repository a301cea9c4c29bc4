//! Generated queries: what is exported of each against rows computed straight from the data set, byte by byte.
//! Each query is made together with what it means, so that neither the org's answer nor the SOQL parser has a
//! say in what is expected.

#![cfg(feature = "demo-org")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::explicit_auto_deref,
    reason = "a helper that fails is a test that fails; one skipped says so"
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sfexport::clock::{Clock, Sleep, System};
use sfexport::config;
use sfexport::demo_org::{At, BulkOptions, DataSet, DemoOrg, Fault, Kind, Object, Options, Row, Rule, Value};
use sfexport::encode::Encoder;
use sfexport::export::{Edges, Extent, Run, Slots, export};
use sfexport::http::Http;
use sfexport::job::{
    Api, ApiChoice, BulkSettings, Children, Compound, CountCheck, CsvDialect, Datetimes, Format, IfExists,
    Job, JobName, Manifest, Numbers, OutputTemplate, ParquetSettings, Policy, Shape, SoqlSource, Source,
};
use sfexport::monitor::Silent;
use sfexport::org::{KeySource, Org, OrgName};
use sfexport::output::LocalFile;
use sfexport::record::Record;
use sfexport::report::{RunId, RunReport};
use sfexport::retry::RetryPolicy;
use sfexport::salesforce::bulk::results::ResultsReader;
use sfexport::soql::{BulkObstacle, BulkQuery, ColumnRules, Columns, Described, Query, ValueKind};
use sfexport::stop::Stop;
use sfexport::value::FieldType;
use support::random::Random;
use support::{ADDRESS_PARTS, CLIENT_ID, USERNAME, assert_same, cell, csv_of, json, key_pair, options};

/// The queries of one seed, for each of the sizes of page.
const QUERIES: usize = 130;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_export_is_what_the_data_set_says() {
    let mut compared = BTreeMap::<&str, usize>::new();
    let (mut with_utc, mut by_bulk) = (0, 0);
    for (seed, page_size) in [(1, 1), (2, 3), (3, 2000)] {
        // More or fewer rows on a page than in a chunk.
        let bulk = BulkOptions {
            polls: 0,
            chunk_rows: Some(13),
            page_rows: 7 * page_size,
            ..BulkOptions::default()
        };
        let world = World::new(Options { page_size, bulk, ..options(60) }).await;
        let mut random = Random(seed);
        for number in 0..QUERIES {
            let case = Case::generate(&mut random, world.org.data());
            let mut files = case.expected(world.org.data());
            if case.datetimes() == Datetimes::Rfc3339 {
                files.values_mut().for_each(|file| *file = with_z(file));
                with_utc += 1;
            }
            let directory = world.directory.path().join(number.to_string());
            let report = world.export(&case, ApiChoice::Rest, &directory).await;
            assert_eq!(report.exit_status, 0, "{}\n{:?} {:?}", case.soql, report.error, report.hint);
            assert_eq!(report.records as usize, case.records(world.org.data()), "{}", case.soql);
            if case.bulk_query(world.org.data()).is_ok() {
                let directory = world.directory.path().join(format!("{number} by Bulk"));
                let report = world.export(&case, ApiChoice::Bulk, &directory).await;
                assert_eq!(report.exit_status, 0, "{}\n{:?} {:?}", case.soql, report.error, report.hint);
                assert_eq!(report.api, Some(Api::Bulk));
                for (name, expected) in &files {
                    let found = std::fs::read(directory.join(name)).unwrap();
                    let expected = without_empty_strings(expected);
                    eprintln_on_panic(&case, name, || assert_rows(&case, &found, &expected));
                }
                by_bulk += 1;
            }
            let mut found: Vec<_> = std::fs::read_dir(&directory)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            assert_eq!(found, files.keys().cloned().collect::<Vec<_>>(), "{}", case.soql);
            for (name, expected) in files {
                eprintln_on_panic(&case, &name, || {
                    let found = std::fs::read(directory.join(&name)).unwrap();
                    if case.unordered {
                        assert_same(&sorted(&found), &sorted(&expected));
                    } else {
                        assert_same(&found, &expected);
                    }
                });
            }
            *compared.entry(case.kind).or_default() += 1;
        }
    }
    let all: usize = compared.values().sum();
    println!("{all} queries: {compared:?}; {by_bulk} of them by Bulk as well");
    assert!(by_bulk >= 40, "{by_bulk} by Bulk");
    assert!(all >= 200 && compared.len() >= 6, "{compared:?}");
    assert!(with_utc >= 100, "{with_utc} with datetimes in UTC");
    assert!(compared.values().all(|count| *count >= 10), "{compared:?}");
}

/// How many queries that Bulk may take are made of each seed.
const BULK_QUERIES: usize = 400;

/// Queries without child queries and groups, as Bulk gets them, and its results as both formats.
#[tokio::test]
async fn a_bulk_result_becomes_what_the_data_set_says() {
    let (mut compared, mut refused) = (BTreeMap::<&str, usize>::new(), BTreeMap::<String, usize>::new());
    for (seed, chunk_rows) in [(21, None), (22, Some(7))] {
        let bulk = BulkOptions { chunk_rows, ..BulkOptions::default() };
        let org = DemoOrg::start(Options { bulk, ..options(150) }).await.unwrap();
        let mut random = Random(seed);
        for _ in 0..BULK_QUERIES {
            let case = Case::for_bulk(&mut random, org.data());
            let (bulk, columns) = match case.bulk_query(org.data()) {
                Ok(bulk) => bulk,
                Err(obstacle) => {
                    if let BulkObstacle::Compound(_) | BulkObstacle::Base64(_) = obstacle {
                        assert!(org.bulk_results(&case.soql).is_err(), "{obstacle}\n{}", case.soql);
                    }
                    let kind = format!("{obstacle:?}").split('(').next().unwrap().to_owned();
                    *refused.entry(kind).or_default() += 1;
                    continue;
                }
            };
            let result =
                org.bulk_results(&bulk.soql).unwrap_or_else(|error| panic!("{}: {error}", bulk.soql));
            let found = encoded(&result, &bulk, &case, &columns);
            for (name, expected) in case.expected(org.data()) {
                let expected = match case.datetimes() {
                    Datetimes::Rfc3339 => with_z(&expected),
                    Datetimes::AsSent => expected,
                };
                let expected = without_empty_strings(&expected);
                eprintln_on_panic(&case, &name, || assert_rows(&case, &found, &expected));
            }
            *compared.entry(if case.has_order() { "in order" } else { "in any order" }).or_default() += 1;
        }
    }
    println!("compared {compared:?}, left to REST {refused:?}");
    assert!(compared.len() == 2 && compared.values().all(|count| *count >= 100), "{compared:?}");
    assert!(refused.len() >= 4, "{refused:?}");
}

/// A result as the file of an export.
fn encoded(result: &[u8], bulk: &BulkQuery, case: &Case, columns: &Columns) -> Vec<u8> {
    let mut encoder = Encoder::of_cells(case.format, &case.shape(), columns, bulk.json.clone());
    let mut reader = ResultsReader::open(result, &bulk.columns, encoder.watch()).unwrap();
    let (mut record, mut file) = (Record::default(), Vec::new());
    encoder.begin(&mut file).unwrap();
    while reader.copy(encoder.row_form(), &mut record, &mut file).unwrap() {
        encoder.record(&record, &mut file).unwrap();
    }
    encoder.finish(&mut file).unwrap();
    file
}

/// Files in Parquet are compared with those in CSV by other people's readers (tests/parquet).
const NO_PARQUET: &str = "only text is compared here";

/// Whether a file has the expected rows: with ORDER BY byte for byte, otherwise in any order.
#[track_caller]
fn assert_rows(case: &Case, found: &[u8], expected: &[u8]) {
    if case.has_order() {
        assert_same(found, expected);
        return;
    }
    let rows = |file: &[u8]| {
        let mut rows: Vec<Vec<String>> = match case.format {
            Format::Csv => {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
                reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
            }
            Format::Parquet => unreachable!("{NO_PARQUET}"),
            Format::Jsonl => {
                std::str::from_utf8(file).unwrap().lines().map(|line| vec![line.to_owned()]).collect()
            }
        };
        let header = usize::from(case.format == Format::Csv);
        rows[header..].sort_unstable();
        rows
    };
    assert_eq!((rows(found), found.len()), (rows(expected), expected.len()));
}

#[track_caller]
fn eprintln_on_panic(case: &Case, name: &str, compare: impl FnOnce() + std::panic::UnwindSafe) {
    if let Err(panic) = std::panic::catch_unwind(compare) {
        eprintln!("{name} of\n{}\n{:?} {:?} {:?}", case.soql, case.format, case.children, case.compound);
        std::panic::resume_unwind(panic);
    }
}

/// A file with `Z` for the offset of each datetime. No text of the data set looks like one.
fn with_z(file: &[u8]) -> Vec<u8> {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000+0000";
    let fits = |window: &[u8]| {
        window.iter().zip(FORM).all(|(byte, form)| byte == form || (*form == b'0' && byte.is_ascii_digit()))
    };
    let (mut out, mut rest) = (Vec::new(), file);
    while let Some(at) = rest.windows(FORM.len()).position(fits) {
        out.extend_from_slice(&rest[..at + FORM.len() - "+0000".len()]);
        out.push(b'Z');
        rest = &rest[at + FORM.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// JSON Lines with null for each empty string, which Bulk does not tell from null. Within a string, a quote is escaped.
fn without_empty_strings(file: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(file.to_vec()).unwrap();
    if text.starts_with('{') { text.replace(":\"\"", ":null").into_bytes() } else { text.into_bytes() }
}

/// The lines of a file that has no line break inside a cell, those of the header first.
fn sorted(file: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(file.to_vec()).unwrap();
    let mut lines: Vec<_> = text.split_inclusive('\n').collect();
    let head = usize::from(!text.starts_with('{')).min(lines.len());
    lines[head..].sort_unstable();
    lines.concat().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_are_the_same_in_whatever_pieces_the_pages_come() {
    let world = World::new(Options { page_size: 2, ..options(12) }).await;
    let mut random = Random(11);
    let soql = "SELECT Name, Owner.Name, (SELECT Name FROM Contacts) FROM Account ORDER BY Id DESC LIMIT 4";
    let mut bytes: Option<Vec<u8>> = None;
    for (number, piece) in [1, 2, 3, 5, 7, 11, 16, 33, 64, 100, 500].into_iter().enumerate() {
        let rule = Rule::always(At::Page(1), Fault::Drip { bytes: piece, pause: Duration::ZERO });
        let world = World::new(Options { page_size: 2, ..options(12) }).await;
        world.org.script(rule);
        let case = Case { format: Format::Jsonl, ..Case::of("pieces", soql.to_owned(), &mut random) };
        let directory = world.directory.path().join(number.to_string());
        let report = world.export(&case, ApiChoice::Rest, &directory).await;
        assert_eq!(report.exit_status, 0, "{piece}: {:?}", report.error);
        let found = std::fs::read(directory.join("export.jsonl")).unwrap();
        assert_same(&found, bytes.get_or_insert_with(|| found.clone()));
    }
    let case = Case { format: Format::Jsonl, ..Case::of("whole", soql.to_owned(), &mut random) };
    let directory = world.directory.path().join("whole");
    assert_eq!(world.export(&case, ApiChoice::Rest, &directory).await.exit_status, 0);
    assert_same(&std::fs::read(directory.join("export.jsonl")).unwrap(), &bytes.unwrap());
}

/// The computer's clocks, but for waits, which are a hundredth as long: a query job is first looked at after a second.
struct Hurried(System);

impl Clock for Hurried {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, wait: Duration) -> Sleep<'_> {
        Box::pin(async move { self.0.sleep(wait / 100).await })
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

/// An org, and what exports from it.
struct World {
    org: DemoOrg,
    edges: Arc<Edges>,
    directory: tempfile::TempDir,
}

impl World {
    async fn new(options: Options) -> Self {
        let http = config::Http {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            attempts: 3,
            wait_min: Duration::ZERO,
            wait_max: Duration::ZERO,
            page_cap: 64 << 20,
            batch_size: 2000,
            gzip: false,
            ca_file: None,
        };
        let retry = RetryPolicy { attempts: 3, wait_min: Duration::ZERO, wait_max: Duration::ZERO };
        let edges = Edges {
            http: Http::new(http),
            clock: Arc::new(Hurried(System::new())),
            monitor: Arc::new(Silent),
            retry,
            batch_size: 2000,
            scratch_dir: std::env::temp_dir(),
            state: None,
            slots: Slots::default(),
        };
        Self {
            org: DemoOrg::start(options).await.unwrap(),
            edges: Arc::new(edges),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    async fn export(&self, case: &Case, api: ApiChoice, directory: &Path) -> RunReport {
        let ending = if case.format == Format::Csv { "csv" } else { "jsonl" };
        let path: PathBuf = directory.join(format!("export.{ending}"));
        let org = Org {
            name: OrgName::default_org(),
            login_url: self.org.url().to_owned(),
            client_id: CLIENT_ID.to_owned(),
            username: USERNAME.to_owned(),
            audience: self.org.url().to_owned(),
            key: KeySource::Inline(key_pair().key.clone().into()),
            key_password: None,
            key_alias: None,
            cert_file: None,
            api_version: "62.0".to_owned(),
            max_concurrent_runs: None,
            instance_hosts: Vec::new(),
            org_id: None,
            api_reserve: None,
        };
        let shape = case.shape();
        let query = Query::parse(&case.soql).unwrap_or_else(|error| panic!("{}: {error}", case.soql));
        let source = SoqlSource::new(query, shape.layout(case.format), &shape.columns).unwrap();
        let job = Job {
            name: JobName::parse("generated").unwrap(),
            org: org.name.clone(),
            enabled: true,
            source: Source::Soql(source),
            object: None,
            manifest: Manifest::None,
            query_origin: None,
            all_rows: false,
            output: OutputTemplate::fixed(&path),
            format: case.format,
            compression: None,
            shape,
            if_exists: IfExists::Replace,
            file_mode: None,
            count_check: CountCheck::Explain,
            api,
            bulk: BulkSettings::default(),
            follow_links: false,
            schedule: None,
            timezone: jiff::tz::TimeZone::UTC,
            timeout: None,
            policy: Policy::default(),
            ping_url: None,
            after: None,
            incremental: None,
        };
        let output = LocalFile::new(&path, IfExists::Replace, None).unwrap();
        let run = Run {
            job: Arc::new(job),
            org: Arc::new(org),
            id: RunId::new(jiff::Timestamp::now(), 1),
            scheduled: None,
            output: output.into(),
            extent: Extent::Whole,
            resumes: false,
            wants_full: false,
            timestamp: jiff::Timestamp::now(),
            part: None,
        };
        let (_sender, stop) = Stop::new();
        export(run, &self.edges, &stop).await.report
    }
}

impl Random {
    /// A name in any case, as SOQL takes it.
    fn cased(&mut self, name: &str) -> String {
        match self.below(4) {
            0 => name.to_lowercase(),
            1 => name.to_uppercase(),
            2 => name
                .chars()
                .map(|c| if self.one_in(2) { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
                .collect(),
            _ => name.to_owned(),
        }
    }

    /// White space where some must stand.
    fn space(&mut self) -> &'static str {
        *self.pick(&[" ", "  ", "\n", "\t", " \r\n "])
    }
}

/// A query, how it is exported, and what it means.
struct Case {
    kind: &'static str,
    soql: String,
    format: Format,
    children: Children,
    compound: Compound,
    meaning: Meaning,
    /// Whether the rows may come in any order.
    unordered: bool,
}

enum Meaning {
    Records(Select),
    /// Columns, and rows of JSON values.
    Rows(Vec<String>, Vec<Vec<Shown>>),
}

/// A value as a cell shows it and as JSON does.
#[derive(Clone)]
struct Shown {
    cell: String,
    json: String,
}

impl Shown {
    fn of(value: &Value) -> Self {
        Self { cell: shown_cell(value), json: shown_json(value) }
    }
}

/// A select with its object: which rows, and what of each.
struct Select {
    /// The name before `.Id` in the first column of a child query's file, as the query spells it.
    name: String,
    object: &'static Object,
    items: Vec<Item>,
    order: Order,
    limit: usize,
    offset: usize,
    /// `WHERE <reference> != null`, or a boolean that is true.
    filter: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Order {
    Id,
    IdDescending,
    CreatedDescending,
}

struct Item {
    /// The column's name: the query's spelling.
    spelled: String,
    what: What,
}

enum What {
    /// Relationships, then a field, in the schema's spelling.
    Field(Vec<&'static str>),
    /// A function's value under an alias.
    Aliased(Vec<&'static str>),
    /// The relationship; per branch the type and its fields; the fields of the others. Each field with its
    /// spelling, the first of which names the column.
    TypeOf(&'static str, Vec<(&'static str, Vec<Spelled>)>, Option<Vec<Spelled>>),
    /// The relationship, and what is selected of the children.
    Children(&'static str, Select),
}

struct Spelled {
    name: &'static str,
    spelled: String,
}

impl Case {
    fn of(kind: &'static str, soql: String, random: &mut Random) -> Self {
        Self {
            kind,
            soql,
            format: if random.one_in(3) { Format::Jsonl } else { Format::Csv },
            children: if random.one_in(2) { Children::Files } else { Children::Json },
            compound: if random.one_in(2) { Compound::Columns } else { Compound::Json },
            meaning: Meaning::Rows(Vec::new(), Vec::new()),
            unordered: false,
        }
    }

    /// A query of one object, or of all its standard fields.
    fn for_bulk(random: &mut Random, data: &DataSet) -> Self {
        if random.one_in(12) {
            return Self::fields(random, data);
        }
        let object = *random.pick(&[
            "Account",
            "Contact",
            "Opportunity",
            "User",
            "Warehouse__c",
            "Task",
            "Attachment",
        ]);
        let (text, select) = select(random, data, object, None, 0);
        Self { meaning: Meaning::Records(select), ..Self::of("fields", text, random) }
    }

    /// How the org describes the query's columns, from the data set's schema.
    fn described(&self, data: &DataSet) -> Vec<Described> {
        let Meaning::Records(select) = &self.meaning else { return Vec::new() };
        let mut described = Vec::new();
        for item in &select.items {
            if let What::Field(path) | What::Aliased(path) = &item.what {
                describe(&mut described, path, value_kind(data, select.object, path));
            }
        }
        described
    }

    /// The query as Bulk gets it, and the columns of its file.
    fn bulk_query(&self, data: &DataSet) -> Result<(BulkQuery, Columns), BulkObstacle> {
        let query = Query::parse(&self.soql).unwrap();
        if let Some(obstacle) = query.bulk_obstacle().filter(BulkObstacle::is_refused) {
            return Err(obstacle);
        }
        let described = self.described(data);
        let columns = Columns::laid_out(&query, self.shape().layout(self.format), Some(&described)).unwrap();
        let is_nested = self.format == Format::Jsonl;
        Ok((BulkQuery::of(&query, &columns, Some(&described), is_nested)?, columns))
    }

    /// Whether the query gives its rows an order.
    fn has_order(&self) -> bool {
        matches!(
            &self.meaning,
            Meaning::Records(Select { order: Order::IdDescending | Order::CreatedDescending, .. })
        )
    }

    fn shape(&self) -> Shape {
        Shape {
            numbers: if self.format == Format::Csv { Numbers::Plain } else { Numbers::AsSent },
            datetimes: self.datetimes(),
            columns: ColumnRules::default(),
            children: self.children,
            compound: self.compound,
            columns_pinned: false,
            attributes: false,
            csv: CsvDialect::default(),
            parquet: ParquetSettings::DEFAULT,
        }
    }

    /// How its datetimes are written. The org does not tell the types of all branches of a TYPEOF.
    fn datetimes(&self) -> Datetimes {
        match self.soql.len() % 2 == 1 && self.kind != "TYPEOF" {
            true => Datetimes::Rfc3339,
            false => Datetimes::AsSent,
        }
    }

    fn generate(random: &mut Random, data: &DataSet) -> Self {
        match random.below(12) {
            0 => Self::count(random, data),
            1 | 2 => Self::groups(random, data),
            3 => Self::fields(random, data),
            4 => {
                let (text, select) = tasks(random, data);
                Self { meaning: Meaning::Records(select), ..Self::of("TYPEOF", text, random) }
            }
            5..=7 => {
                let levels = 1 + random.below(2);
                let (text, select) = select(random, data, "Account", None, levels);
                Self { meaning: Meaning::Records(select), ..Self::of("children", text, random) }
            }
            _ => {
                let object = *random.pick(&[
                    "Account",
                    "Contact",
                    "Opportunity",
                    "User",
                    "Warehouse__c",
                    "Attachment",
                ]);
                let (text, select) = select(random, data, object, None, 0);
                let compound = select.items.iter().any(|item| match &item.what {
                    What::Field(path) => is_compound(data, select.object, path),
                    _ => false,
                });
                let kind = if compound { "compound" } else { "fields" };
                Self { meaning: Meaning::Records(select), ..Self::of(kind, text, random) }
            }
        }
    }

    fn count(random: &mut Random, data: &DataSet) -> Self {
        let object = *random.pick(&["Account", "Contact", "Task", "Profile__x", "User"]);
        let object = if object == "Profile__x" { "Organization" } else { object };
        let text = format!(
            "{}{}{}(){}{} {}",
            random.cased("SELECT"),
            random.space(),
            random.cased("COUNT"),
            random.space(),
            random.cased("FROM"),
            random.cased(object)
        );
        let count = Value::Int(support::live(data, object).len() as i64);
        let meaning = Meaning::Rows(vec!["count".to_owned()], vec![vec![Shown::of(&count)]]);
        Self { meaning, ..Self::of("COUNT()", text, random) }
    }

    /// `SELECT FIELDS(..) FROM x`, with a parent's field behind it.
    fn fields(random: &mut Random, data: &DataSet) -> Self {
        let object = *random.pick(&["Account", "Contact", "Opportunity", "Warehouse__c"]);
        let object = data.object(object).unwrap();
        let which = *random.pick(&["ALL", "STANDARD", "CUSTOM"]);
        let which = if object.fields.iter().any(|field| field.is_custom()) { which } else { "STANDARD" };
        let limit = if which == "STANDARD" { 1000 } else { 1 + random.below(200) };
        let mut items: Vec<Item> = object
            .fields
            .iter()
            .filter(|field| which == "ALL" || field.is_custom() == (which == "CUSTOM"))
            .map(|field| Item { spelled: field.name.to_owned(), what: What::Field(vec![field.name]) })
            .collect();
        items.push(Item { spelled: "owner.NAME".to_owned(), what: What::Field(vec!["Owner", "Name"]) });
        let call = format!("{}({})", random.cased("FIELDS"), random.cased(which));
        let text = format!("SELECT {call}, owner.NAME FROM {} LIMIT {limit}", object.name);
        let select = Select {
            name: object.name.to_owned(),
            object,
            items,
            order: Order::Id,
            limit,
            offset: 0,
            filter: None,
        };
        Self { meaning: Meaning::Records(select), ..Self::of("FIELDS()", text, random) }
    }

    /// GROUP BY one or two fields, with counts, sums and extremes of whole numbers; ROLLUP and CUBE.
    fn groups(random: &mut Random, data: &DataSet) -> Self {
        let (object, keys, number): (&str, &[&str], &str) = match random.below(3) {
            0 => ("Account", &["Industry", "Type", "Rating", "Owner.Alias"], "NumberOfEmployees"),
            1 => ("Contact", &["LeadSource", "Salutation", "Level__c"], ""),
            _ => ("Task", &["Status", "Priority", "Owner.Title"], "CallDurationInSeconds"),
        };
        let mut chosen: Vec<&str> = Vec::new();
        for _ in 0..random.below(3) {
            let key = *random.pick(keys);
            if !chosen.contains(&key) {
                chosen.push(key);
            }
        }
        let subtotals = if chosen.is_empty() { "" } else { *random.pick(&["", "", "ROLLUP", "CUBE"]) };
        let sets: Vec<Vec<bool>> = match (subtotals, chosen.len()) {
            ("ROLLUP", n) => (0..=n).map(|used| (0..n).map(|key| key < used).collect()).collect(),
            ("CUBE", n) => {
                (0..1_usize << n).map(|bits| (0..n).map(|key| bits >> key & 1 == 1).collect()).collect()
            }
            (_, n) => vec![vec![true; n]],
        };

        let (mut texts, mut columns, mut measures) = (Vec::new(), Vec::new(), Vec::new());
        for (at, key) in chosen.iter().enumerate() {
            let text = random.cased(key);
            let last = text.rsplit('.').next().unwrap().to_owned();
            let alias = random.one_in(3).then(|| format!("k{at}"));
            texts.push(format!("{text} {}", alias.as_deref().unwrap_or_default()));
            columns.push((
                alias.clone().unwrap_or(last),
                alias.unwrap_or_else(|| key.rsplit('.').next().unwrap().to_owned()),
            ));
            measures.push(Measure::Key(at));
        }
        let mut expressions = 0;
        for _ in 0..1 + random.below(4) {
            let (text, measure) = match random.below(6) {
                1 if !number.is_empty() => (format!("SUM({number})"), Measure::Sum),
                2 if !number.is_empty() => (format!("max( {number} )"), Measure::Greatest),
                3 if !number.is_empty() => (format!("COUNT_DISTINCT({number})"), Measure::Distinct),
                4 if !subtotals.is_empty() => {
                    let at = random.below(chosen.len());
                    (format!("GROUPING({})", chosen[at]), Measure::Grouping(at))
                }
                _ => ("COUNT(Id)".to_owned(), Measure::Count),
            };
            let alias = random.one_in(2).then(|| format!("Total_{}", texts.len()));
            let name = alias.clone().unwrap_or_else(|| {
                expressions += 1;
                format!("expr{}", expressions - 1)
            });
            texts.push(format!("{text} {}", alias.unwrap_or_default()));
            columns.push((name.clone(), name));
            measures.push(measure);
        }
        let mut text = format!("SELECT {} FROM {object}", texts.join(", "));
        if !chosen.is_empty() {
            let keys = chosen.join(", ");
            text.push_str(&match subtotals {
                "" => format!(" {} {keys}", random.cased("group by")),
                subtotals => format!(" GROUP BY {}({keys})", random.cased(subtotals)),
            });
        }

        // Groups by the set they belong to and the texts of their keys.
        let mut groups: BTreeMap<(usize, Vec<String>), Vec<Row<'_>>> = BTreeMap::new();
        if chosen.is_empty() {
            groups.insert((0, Vec::new()), Vec::new());
        }
        for row in support::live(data, object) {
            for (number, set) in sets.iter().enumerate() {
                let keys = chosen.iter().zip(set).map(|(key, used)| {
                    if *used { json(&support::value(row, key)) } else { "null".to_owned() }
                });
                groups.entry((number, keys.collect())).or_default().push(row);
            }
        }
        let mut rows: Vec<Vec<Shown>> = Vec::new();
        for ((set, _), members) in &groups {
            let values = measures.iter().map(|measure| {
                let numbers = || {
                    members.iter().filter_map(|row| match row.value(number) {
                        Some(Value::Int(number)) => Some(number),
                        _ => None,
                    })
                };
                match measure {
                    Measure::Key(at) if sets[*set][*at] => support::value(members[0], chosen[*at]),
                    Measure::Key(_) => Value::Null,
                    Measure::Count => Value::Int(members.len() as i64),
                    Measure::Sum if numbers().next().is_none() => Value::Null,
                    Measure::Sum => Value::Double(numbers().sum::<i64>() as f64),
                    Measure::Greatest => numbers().max().map_or(Value::Null, Value::Int),
                    Measure::Distinct => {
                        Value::Int(numbers().collect::<std::collections::BTreeSet<_>>().len() as i64)
                    }
                    Measure::Grouping(at) => Value::Int(i64::from(!sets[*set][*at])),
                }
            });
            rows.push(values.map(|value| Shown::of(&value)).collect());
        }
        let case = Self::of("groups", text, random);
        let jsonl = case.format == Format::Jsonl;
        let names =
            columns.into_iter().map(|(spelled, canonical)| if jsonl { canonical } else { spelled }).collect();
        Self { meaning: Meaning::Rows(names, rows), unordered: true, ..case }
    }

    fn records(&self, data: &DataSet) -> usize {
        match &self.meaning {
            Meaning::Records(select) => select.rows(data, None).len(),
            Meaning::Rows(_, rows) => rows.len(),
        }
    }

    /// The files that the export makes, by name.
    fn expected(&self, data: &DataSet) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        match (&self.meaning, self.format) {
            (_, Format::Parquet) => unreachable!("{NO_PARQUET}"),
            (Meaning::Rows(names, rows), Format::Csv) => {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                let rows = rows.iter().map(|row| row.iter().map(|shown| shown.cell.clone()).collect());
                files.insert("export.csv".to_owned(), csv_of(&names, rows));
            }
            (Meaning::Rows(names, rows), Format::Jsonl) => {
                let line = |row: &Vec<Shown>| {
                    let pairs =
                        names.iter().zip(row).map(|(name, shown)| format!("\"{name}\":{}", shown.json));
                    format!("{{{}}}\n", pairs.collect::<Vec<_>>().join(","))
                };
                let lines: String = rows.iter().map(line).collect();
                files.insert("export.jsonl".to_owned(), lines.into_bytes());
            }
            (Meaning::Records(select), Format::Jsonl) => {
                let lines: String = select
                    .rows(data, None)
                    .into_iter()
                    .map(|row| record(row, &select.items) + "\n")
                    .collect();
                files.insert("export.jsonl".to_owned(), lines.into_bytes());
            }
            (Meaning::Records(select), Format::Csv) => {
                let rows = select.rows(data, None).into_iter().map(|row| (None, row)).collect();
                self.tables(data, select, rows, "export".to_owned(), None, &mut files);
            }
        }
        files
    }

    /// The CSV file of these rows, each behind its parent's id where it has one, and the files of their children.
    fn tables(
        &self,
        data: &DataSet,
        select: &Select,
        rows: Vec<(Option<String>, Row<'_>)>,
        name: String,
        parent: Option<&str>,
        files: &mut BTreeMap<String, Vec<u8>>,
    ) {
        let parts = self.compound == Compound::Columns;
        let apart = self.children == Children::Files;
        let mut names: Vec<String> = parent.map(|parent| format!("{parent}.Id")).into_iter().collect();
        for item in &select.items {
            names.extend(item.columns(data, select.object, parts, apart));
        }
        let cells = rows.iter().map(|(parent, row)| {
            let mut cells: Vec<String> = parent.clone().into_iter().collect();
            for item in &select.items {
                item.cells(data, *row, parts, apart, &mut cells);
            }
            cells
        });
        let header: Vec<_> = names.iter().map(String::as_str).collect();
        files.insert(format!("{name}.csv"), csv_of(&header, cells));
        if !apart {
            return;
        }
        for item in &select.items {
            if let What::Children(relationship, inner) = &item.what {
                let children = rows.iter().flat_map(|(_, row)| {
                    let id = row.id().to_string();
                    inner.children(*row, relationship).into_iter().map(move |child| (Some(id.clone()), child))
                });
                let part = format!("{name}.{}", item.spelled);
                self.tables(data, inner, children.collect(), part, Some(&select.name), files);
            }
        }
    }
}

enum Measure {
    Key(usize),
    Count,
    Sum,
    Greatest,
    Distinct,
    Grouping(usize),
}

fn main_words(random: &mut Random) -> (String, String) {
    (random.cased("SELECT"), random.cased("FROM"))
}

/// A select of records: its text, and what it means. `relationship` makes it a child query.
fn select(
    random: &mut Random,
    data: &DataSet,
    object: &'static str,
    relationship: Option<&'static str>,
    levels: usize,
) -> (String, Select) {
    let object = data.object(object).unwrap();
    let from = random.cased(relationship.unwrap_or(object.name));
    let alias = (relationship.is_none() && random.one_in(3)).then(|| "rt".to_owned());
    let root = match &alias {
        Some(alias) => Some(alias.clone()),
        None if relationship.is_none() && random.one_in(3) => Some(random.cased(object.name)),
        None => None,
    };
    let (mut items, mut texts): (Vec<Item>, Vec<String>) = (Vec::new(), Vec::new());
    let mut taken: Vec<String> = Vec::new();
    // A child query's parents need their Id, so that it is everywhere.
    let id = random.cased("Id");
    texts.push(id.clone());
    taken.push("id".to_owned());
    items.push(Item { spelled: id, what: What::Field(vec!["Id"]) });
    for _ in 0..1 + random.below(7) {
        let path = path(random, data, object);
        let key = path.join(".").to_lowercase();
        // What is selected twice, and a field under its parent relationship's own name.
        // In its own file a child query cannot select its parent's Id, which is the first column.
        let parents_id = relationship.is_some() && matches!(path.as_slice(), [_, "Id"]);
        if parents_id || taken.contains(&key) {
            continue;
        }
        taken.push(key);
        let spelled = path.iter().map(|name| random.cased(name)).collect::<Vec<_>>().join(".");
        let prefix = match &root {
            Some(root) if random.one_in(2) => format!("{root}."),
            _ => String::new(),
        };
        let kind = kind_of(data, object, &path);
        if kind == Some(Kind::Picklist) && random.one_in(3) {
            let alias = format!("label_{}", items.len());
            texts.push(format!("{}({prefix}{spelled}) {alias}", random.cased("toLabel")));
            let parents =
                spelled.rsplit_once('.').map_or_else(String::new, |(parents, _)| format!("{parents}."));
            items.push(Item { spelled: format!("{parents}{alias}"), what: What::Aliased(path) });
        } else if kind == Some(Kind::Currency) && random.one_in(2) {
            texts.push(format!("convertCurrency({prefix}{spelled})"));
            items.push(Item { spelled, what: What::Field(path) });
        } else {
            texts.push(format!("{prefix}{spelled}"));
            items.push(Item { spelled, what: What::Field(path) });
        }
    }
    if levels > 0 {
        for child in object.children {
            if random.one_in(2) || child.name == "Contacts" {
                let (text, inner) = select(random, data, child.object, Some(child.name), levels - 1);
                texts.push(format!("({text})"));
                items.push(Item { spelled: inner.name.clone(), what: What::Children(child.name, inner) });
            }
        }
    }
    let filter = match random.below(4) {
        0 => object.fields.iter().find(|field| field.kind == Kind::Reference).map(|field| field.name),
        1 => object.fields.iter().rfind(|field| field.kind == Kind::Boolean).map(|field| field.name),
        _ => None,
    };
    let order = *random.pick(&[Order::Id, Order::IdDescending, Order::CreatedDescending]);
    let limit = if random.one_in(3) { 1 + random.below(20) } else { usize::MAX };
    let offset = if relationship.is_none() && random.one_in(4) { random.below(8) } else { 0 };
    let (select_word, from_word) = main_words(random);
    let mut text = format!(
        "{select_word}{}{}{}{from_word} {from}",
        random.space(),
        texts.join(*random.pick(&[",", ", ", " ,\n"])),
        random.space()
    );
    if let Some(alias) = alias {
        text.push_str(&format!(" {alias}"));
    }
    if let Some(filter) = filter {
        let kind = object.field(filter).unwrap().kind;
        text.push_str(&format!(
            "{}{} {}",
            random.space(),
            random.cased("WHERE"),
            if kind == Kind::Boolean { format!("{filter} = TRUE") } else { format!("{filter} != null") }
        ));
    }
    match order {
        Order::Id => {}
        Order::IdDescending => text.push_str(" ORDER BY Id DESC"),
        Order::CreatedDescending => text.push_str(" order by CreatedDate desc, Id asc"),
    }
    if limit != usize::MAX {
        text.push_str(&format!(" LIMIT {limit}"));
    }
    if offset > 0 {
        text.push_str(&format!(" OFFSET {offset}"));
    }
    (text, Select { name: from, object, items, order, limit, offset, filter })
}

/// Tasks with TYPEOF, whose names are those of the test: the pseudo-object behind ELSE knows few fields.
fn tasks(random: &mut Random, data: &DataSet) -> (String, Select) {
    let object = data.object("Task").unwrap();
    let mut spell = |name: &'static str| Spelled { name, spelled: random.cased(name) };
    let branches = vec![
        ("Account", vec![spell("Phone"), spell("AnnualRevenue"), spell("Name")]),
        ("Opportunity", vec![spell("Amount"), spell("Name"), spell("StageName")]),
    ];
    let otherwise = vec![spell("Name"), spell("Email")];
    let branches: Vec<_> = branches.into_iter().take(1 + random.below(2)).collect();
    let otherwise = random.one_in(2).then_some(otherwise);
    let list =
        |fields: &[Spelled]| fields.iter().map(|field| field.spelled.clone()).collect::<Vec<_>>().join(", ");
    let mut text = format!("TYPEOF {}", random.cased("What"));
    for (object, fields) in &branches {
        text.push_str(&format!(" {} {} THEN {}", random.cased("WHEN"), random.cased(object), list(fields)));
    }
    if let Some(fields) = &otherwise {
        text.push_str(&format!(" ELSE {}", list(fields)));
    }
    let relationship = text.split(' ').nth(1).unwrap().to_owned();
    let text = format!("SELECT Id, {text} {}, Who.Name, subject FROM Task", random.cased("END"));
    let plain = |spelled: &str, path: Vec<&'static str>| Item {
        spelled: spelled.to_owned(),
        what: What::Field(path),
    };
    let items = vec![
        plain("Id", vec!["Id"]),
        Item { spelled: relationship, what: What::TypeOf("What", branches, otherwise) },
        plain("Who.Name", vec!["Who", "Name"]),
        plain("subject", vec!["Subject"]),
    ];
    let select = Select {
        name: "Task".to_owned(),
        object,
        items,
        order: Order::Id,
        limit: usize::MAX,
        offset: 0,
        filter: None,
    };
    (text, select)
}

/// A path of up to three relationships from an object.
fn path(random: &mut Random, data: &DataSet, object: &'static Object) -> Vec<&'static str> {
    let (mut object, mut path) = (object, Vec::new());
    for _ in 0..random.below(4) {
        let references: Vec<_> = object
            .fields
            .iter()
            .filter_map(|field| field.reference.as_ref())
            .filter(|reference| reference.to.len() == 1 && reference.to[0] != "Profile")
            .collect();
        if references.is_empty() {
            break;
        }
        let reference = random.pick(&references);
        path.push(reference.relationship);
        object = data.object(reference.to[0]).unwrap();
    }
    let compound = object.fields.iter().filter(|field| matches!(field.kind, Kind::Address | Kind::Location));
    let fields: Vec<_> = if random.one_in(5) { compound.collect() } else { Vec::new() };
    path.push(if fields.is_empty() { random.pick(object.fields).name } else { random.pick(&fields).name });
    path
}

fn kind_of(data: &DataSet, object: &'static Object, path: &[&'static str]) -> Option<Kind> {
    let [parents @ .., field] = path else { return None };
    let mut object = object;
    for parent in parents {
        let reference = object.reference(parent)?.reference.as_ref()?;
        let [only] = reference.to else { return None };
        object = data.object(only)?;
    }
    Some(object.field(field)?.kind)
}

/// What the org says about the value at the end of a path.
fn value_kind(data: &DataSet, object: &'static Object, path: &[&'static str]) -> ValueKind {
    match kind_of(data, object, path) {
        Some(Kind::Address) => ValueKind::Address,
        Some(Kind::Location) => ValueKind::Location,
        Some(Kind::Base64) => ValueKind::Plain(FieldType::Base64),
        Some(Kind::Boolean) => ValueKind::Plain(FieldType::Boolean),
        Some(Kind::Int) => ValueKind::Plain(FieldType::Integer),
        Some(Kind::Double | Kind::Currency | Kind::Percent) => ValueKind::Plain(FieldType::Double),
        Some(Kind::Date) => ValueKind::Plain(FieldType::Date),
        Some(Kind::Datetime) => ValueKind::Plain(FieldType::DateTime),
        Some(_) => ValueKind::Plain(FieldType::Text),
        None => ValueKind::Unknown,
    }
}

/// Adds a field to a description, in the parents that its path names.
fn describe(level: &mut Vec<Described>, path: &[&'static str], kind: ValueKind) {
    let [name, rest @ ..] = path else { return };
    let at = level.iter().position(|known| known.name == *name).unwrap_or_else(|| {
        let kind = if rest.is_empty() { kind } else { ValueKind::Unknown };
        level.push(Described { name: (*name).to_owned(), computed: false, kind, inner: Vec::new() });
        level.len() - 1
    });
    describe(&mut level[at].inner, rest, kind);
}

fn is_compound(data: &DataSet, object: &'static Object, path: &[&'static str]) -> bool {
    matches!(kind_of(data, object, path), Some(Kind::Address | Kind::Location))
}

impl Item {
    /// The columns that it has in a CSV file.
    fn columns(&self, data: &DataSet, object: &'static Object, parts: bool, apart: bool) -> Vec<String> {
        let spelled = &self.spelled;
        match &self.what {
            What::Field(path) if parts => match kind_of(data, object, path) {
                Some(Kind::Address) => ADDRESS_PARTS.map(|part| format!("{spelled}.{part}")).to_vec(),
                Some(Kind::Location) => vec![format!("{spelled}.latitude"), format!("{spelled}.longitude")],
                _ => vec![spelled.clone()],
            },
            What::Field(_) | What::Aliased(_) => vec![spelled.clone()],
            What::Children(..) if apart => Vec::new(),
            What::Children(..) => vec![spelled.clone()],
            What::TypeOf(_, branches, otherwise) => union(branches, otherwise)
                .iter()
                .map(|field| format!("{spelled}.{}", field.spelled))
                .collect(),
        }
    }

    fn cells(&self, data: &DataSet, row: Row<'_>, parts: bool, apart: bool, cells: &mut Vec<String>) {
        match &self.what {
            What::Field(path) | What::Aliased(path) => {
                let value = reach(row, path);
                let number = |number: Option<f64>| number.map_or(Value::Null, Value::Double);
                let text = |text: Option<&'static str>| text.map_or(Value::Null, Value::from);
                match (kind_of(data, row.object(), path), value) {
                    (Some(Kind::Address), Value::Address(at)) if parts => {
                        let street = at.street.clone().map_or(Value::Null, Value::from);
                        let all = [
                            text(at.city),
                            text(at.country),
                            Value::Null,
                            text(at.geocode_accuracy),
                            number(at.latitude),
                            number(at.longitude),
                            text(at.postal_code),
                            text(at.state),
                            Value::Null,
                            street,
                        ];
                        cells.extend(all.iter().map(cell));
                    }
                    (Some(Kind::Address), _) if parts => cells.extend(vec![String::new(); 10]),
                    (Some(Kind::Location), Value::Location { latitude, longitude }) if parts => {
                        cells.extend([latitude, longitude].map(|degrees| cell(&Value::Double(degrees))));
                    }
                    (Some(Kind::Location), _) if parts => cells.extend(vec![String::new(); 2]),
                    (_, value) => cells.push(shown_cell(&value)),
                }
            }
            What::Children(..) if apart => {}
            What::Children(relationship, select) => {
                let records: Vec<_> = select
                    .children(row, relationship)
                    .into_iter()
                    .map(|child| record(child, &select.items))
                    .collect();
                cells.push(if records.is_empty() {
                    String::new()
                } else {
                    format!("[{}]", records.join(","))
                });
            }
            What::TypeOf(relationship, branches, otherwise) => {
                let parent = row.parent(relationship);
                let chosen = parent.map(|parent| branch(parent, branches, otherwise));
                for field in union(branches, otherwise) {
                    let is_there =
                        chosen.is_some_and(|chosen| chosen.iter().any(|known| known.name == field.name));
                    cells.push(match parent {
                        Some(parent) if is_there => {
                            shown_cell(&parent.value(field.name).unwrap_or(Value::Null))
                        }
                        _ => String::new(),
                    });
                }
            }
        }
    }
}

/// The fields of all branches, each where it is first named.
fn union<'i>(
    branches: &'i [(&'static str, Vec<Spelled>)],
    otherwise: &'i Option<Vec<Spelled>>,
) -> Vec<&'i Spelled> {
    let mut all: Vec<&Spelled> = Vec::new();
    for field in branches.iter().map(|(_, fields)| fields).chain(otherwise).flatten() {
        if !all.iter().any(|known| known.name == field.name) {
            all.push(field);
        }
    }
    all
}

/// The fields that are answered for a record of this type.
fn branch<'i>(
    parent: Row<'_>,
    branches: &'i [(&'static str, Vec<Spelled>)],
    otherwise: &'i Option<Vec<Spelled>>,
) -> &'i [Spelled] {
    let found = branches.iter().find(|(object, _)| *object == parent.object().name).map(|(_, fields)| fields);
    found.or(otherwise.as_ref()).map_or(&[], Vec::as_slice)
}

impl Select {
    fn rows<'d>(&self, data: &'d DataSet, _parent: Option<Row<'d>>) -> Vec<Row<'d>> {
        self.chosen(support::live(data, self.object.name))
    }

    fn children<'d>(&self, parent: Row<'d>, relationship: &str) -> Vec<Row<'d>> {
        self.chosen(parent.children(relationship).into_iter().filter(|row| !row.is_deleted()).collect())
    }

    fn chosen<'d>(&self, mut rows: Vec<Row<'d>>) -> Vec<Row<'d>> {
        if let Some(filter) = self.filter {
            rows.retain(|row| !matches!(row.value(filter), Some(Value::Null | Value::Bool(false))));
        }
        let id = |row: &Row<'_>| row.id().to_string();
        let created = |row: &Row<'_>| match row.value("CreatedDate") {
            Some(Value::Datetime(created)) => created,
            other => panic!("{other:?}"),
        };
        match self.order {
            Order::Id => rows.sort_by_key(id),
            Order::IdDescending => rows.sort_by_key(|row| std::cmp::Reverse(id(row))),
            Order::CreatedDescending => rows.sort_by_key(|row| (std::cmp::Reverse(created(row)), id(row))),
        }
        rows.into_iter().skip(self.offset).take(self.limit).collect()
    }
}

/// The value at the end of a path; null where a parent is.
fn reach(row: Row<'_>, path: &[&str]) -> Value {
    support::value(row, &path.join("."))
}

/// What stands under a key of a record.
enum Node<'i> {
    Field(&'static str),
    Parent(Vec<(String, Self)>),
    TypeOf(&'i [(&'static str, Vec<Spelled>)], &'i Option<Vec<Spelled>>),
    Children(&'i Select),
}

/// A record as a line of JSON: keys in the schema's spelling, parents where they are first mentioned.
fn record(row: Row<'_>, items: &[Item]) -> String {
    let mut root = Vec::new();
    for item in items {
        match &item.what {
            What::Field(path) => insert(&mut root, path, path.last().unwrap()),
            // An alias stands where the field would: inside its parents.
            What::Aliased(path) => insert(&mut root, path, item.spelled.rsplit('.').next().unwrap()),
            What::TypeOf(relationship, branches, otherwise) => {
                root.push(((*relationship).to_owned(), Node::TypeOf(branches, otherwise)));
            }
            What::Children(relationship, select) => {
                root.push(((*relationship).to_owned(), Node::Children(select)));
            }
        }
    }
    object(row, &root)
}

/// Puts a field under this key, within the parents that its path names.
fn insert(level: &mut Vec<(String, Node<'_>)>, path: &[&'static str], field_key: &str) {
    let [parent, rest @ ..] = path else { return };
    if rest.is_empty() {
        level.push((field_key.to_owned(), Node::Field(parent)));
        return;
    }
    let known = level.iter().position(|(key, node)| key == parent && matches!(node, Node::Parent(_)));
    let at = known.unwrap_or_else(|| {
        level.push(((*parent).to_owned(), Node::Parent(Vec::new())));
        level.len() - 1
    });
    if let (_, Node::Parent(inner)) = &mut level[at] {
        insert(inner, rest, field_key);
    }
}

fn object(row: Row<'_>, level: &[(String, Node<'_>)]) -> String {
    let pairs = level.iter().map(|(key, node)| {
        let value = match node {
            Node::Field(name) => shown_json(&row.value(name).unwrap()),
            Node::Parent(inner) => row.parent(key).map_or("null".to_owned(), |parent| object(parent, inner)),
            Node::TypeOf(branches, otherwise) => row.parent(key).map_or("null".to_owned(), |parent| {
                let fields = branch(parent, branches, otherwise).iter();
                let pairs = fields.map(|field| {
                    let value = parent.value(field.name).unwrap_or(Value::Null);
                    format!("\"{}\":{}", field.name, shown_json(&value))
                });
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }),
            Node::Children(select) => {
                let records: Vec<_> =
                    select.children(row, key).into_iter().map(|child| record(child, &select.items)).collect();
                if records.is_empty() { "null".to_owned() } else { format!("[{}]", records.join(",")) }
            }
        };
        format!("\"{key}\":{value}")
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// A value as a cell shows it, compound ones too.
fn shown_cell(value: &Value) -> String {
    match value {
        Value::Address(_) | Value::Location { .. } => shown_json(value),
        Value::Blob(id, field) => format!("/services/data/v62.0/sobjects/Attachment/{id}/{field}"),
        simple => cell(simple),
    }
}

/// A value as JSON shows it, compound ones too.
fn shown_json(value: &Value) -> String {
    match value {
        Value::Address(at) => {
            let text =
                |text: Option<&str>| text.map_or("null".to_owned(), |text| json(&text.to_owned().into()));
            let number =
                |number: Option<f64>| number.map_or("null".to_owned(), |number| json(&Value::Double(number)));
            format!(
                r#"{{"city":{},"country":{},"geocodeAccuracy":{},"latitude":{},"longitude":{},"postalCode":{},"state":{},"street":{}}}"#,
                text(at.city),
                text(at.country),
                text(at.geocode_accuracy),
                number(at.latitude),
                number(at.longitude),
                text(at.postal_code),
                text(at.state),
                text(at.street.as_deref()),
            )
        }
        Value::Location { latitude, longitude } => {
            let [latitude, longitude] = [*latitude, *longitude].map(|degrees| json(&Value::Double(degrees)));
            format!(r#"{{"latitude":{latitude},"longitude":{longitude}}}"#)
        }
        Value::Blob(..) => format!("\"{}\"", shown_cell(value)),
        simple => json(simple),
    }
}
