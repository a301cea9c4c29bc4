//! Parquet from outside: what is in the files, whatever happens on the way, and what is refused. `tests/formats/run` has other
//! people's programs read them.

#![cfg(all(feature = "demo-org", feature = "parquet"))]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use sfexport::demo_org::{At, BulkOptions, Fault, Options, Rule};
use support::Deployment;

const SOQL: &str = "SELECT Id, Name, AnnualRevenue, NumberOfEmployees, CreatedDate FROM Account";

fn reader(file: Vec<u8>) -> SerializedFileReader<Bytes> {
    SerializedFileReader::new(Bytes::from(file)).unwrap()
}

/// The rows of a file, each as one line of text.
fn rows(file: Vec<u8>) -> Vec<String> {
    reader(file).get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
}

/// The columns of a file with their types.
fn types(file: Vec<u8>) -> Vec<String> {
    let reader = reader(file);
    let schema = reader.metadata().file_metadata().schema_descr();
    schema
        .columns()
        .iter()
        .map(|column| match column.logical_type_ref() {
            Some(logical) => format!("{} {logical:?}", column.name()),
            None => format!("{} {}", column.name(), column.physical_type()),
        })
        .collect()
}

/// A value of the footer.
fn footer(file: Vec<u8>, key: &str) -> Option<String> {
    let reader = reader(file);
    let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
    pairs.iter().find(|pair| pair.key == format!("sfexport.{key}")).and_then(|pair| pair.value.clone())
}

#[test]
fn faults_on_the_way_leave_no_trace_in_the_file() {
    let at = Deployment::with(Options { page_size: 20, ..support::options(200) });
    at.write("sfexport.toml", at.text("sfexport.toml").replace("[http]\n", "[http]\ngzip = false\n"));
    at.job("parquet", SOQL, "a.parquet", "");
    let report = at.run(["run", "parquet", "--json"]).ended(0).reports().remove(0);
    let records = report["records"].as_u64().unwrap();
    let whole = rows(at.read("exports/a.parquet"));
    assert_eq!(whole.len() as u64, records);
    assert_eq!(report["bytes"], at.read("exports/a.parquet").len());
    assert!(report["raw_bytes"].is_null());
    for rule in [
        // A page that is cut within a record is asked for again; a locator that is lost means starting over.
        Rule::once(At::Containing("-40".into()), Fault::Truncate { after: 1500 }),
        Rule::once(At::Containing("-60".into()), Fault::LostLocator),
    ] {
        at.script(rule);
        let report = at.run(["run", "parquet", "--json"]).ended(0).reports().remove(0);
        assert_eq!(report["records"], records, "{report}");
        assert!(report["retries"].as_u64() > Some(0) || report["restarts"] == 1, "{report}");
        let file = at.read("exports/a.parquet");
        assert_eq!(rows(file.clone()), whole);
        assert_eq!(footer(file.clone(), "records"), Some(records.to_string()));
        assert_eq!(footer(file, "run_id").as_deref(), report["run_id"].as_str());
    }
}

#[test]
fn a_stream_is_a_whole_file_or_none() {
    let at = Deployment::with(Options { page_size: 199, ..support::options(2_000) });
    at.job("parquet", SOQL, "a.parquet", "");
    at.run(["run", "parquet"]).ended(0);
    let query = ["query", SOQL, "-o", "-", "--format", "parquet"];
    assert_eq!(rows(at.run(query).ended(0).stdout), rows(at.read("exports/a.parquet")));
    at.script(Rule::always(At::Soql("from account".into()), Fault::Truncate { after: 40 }).after(5));
    let cut = at.run(query).ended(74).stdout;
    assert!(
        SerializedFileReader::new(Bytes::from(cut)).is_err(),
        "the beginning of a file was taken for a whole one"
    );
    at.org().clear_script();
    at.run(["query", SOQL, "-o", "-", "--format", "parquet", "--compression", "zstd"])
        .ended(2)
        .says(&["--compression does not apply to Parquet"]);
    at.run(["query", SOQL, "-o", "a.parquet", "--compression-level", "3"])
        .ended(2)
        .says(&["--compression-level: the compression level of Parquet cannot be set"]);
}

#[test]
fn the_rows_of_a_bulk_result_are_those_of_rest() {
    let bulk = BulkOptions { page_rows: 30, ..BulkOptions::default() };
    let at = Deployment::with(Options { bulk, ..support::options(100) });
    for api in ["rest", "bulk"] {
        at.job(api, SOQL, &format!("{api}.parquet"), &format!("api = \"{api}\""));
        at.run(["run", api]).ended(0);
    }
    assert_eq!(rows(at.read("exports/bulk.parquet")), rows(at.read("exports/rest.parquet")));
}

#[test]
fn a_value_that_is_not_of_its_type_ends_the_run() {
    let at = Deployment::new(20);
    at.write("exports/a.parquet", "former");
    for (types, parts) in [
        (
            "Name = \"integer\"",
            [
                "column Name of record 001",
                "is not a value of type integer",
                "set \"Name\" = \"text\" in [types]",
            ],
        ),
        (
            "Name = \"date\"",
            [
                "column Name of record 001",
                "is not a value of type date",
                "set \"Name\" = \"text\" in [types]",
            ],
        ),
        (
            "AnnualRevenue = \"decimal(3,2)\"",
            [
                "column AnnualRevenue of record 001",
                "is not a value of type decimal(3,2)",
                "set \"AnnualRevenue\" = \"double\" in [types]",
            ],
        ),
    ] {
        at.job("parquet", SOQL, "a.parquet", &format!("[types]\n{types}"));
        let report = at.run(["run", "parquet", "--json"]).ended(74).says(&parts).reports().remove(0);
        // Status pages and webhooks do not get the value.
        assert_eq!(
            report["error_redacted"].as_str().unwrap().split(": ").last(),
            Some("a value is not of its column's type")
        );
        assert_eq!(at.text("exports/a.parquet"), "former");
    }
    assert_eq!(at.names_below("exports"), ["a.parquet"]);
}

#[test]
fn types_are_those_of_the_org_unless_the_job_says_otherwise() {
    let at = Deployment::new(20);
    let job = |more: &str| {
        at.write("jobs/a.toml", format!("object = \"Account\"\nfields = [\"Id\", \"AnnualRevenue\", \"FoundedOn__c\", \
            \"CreatedDate\", \"NumberOfEmployees\", \"IsDeleted\", \"Owner.Name\"]\noutput = \"a.parquet\"\n{more}"));
        at.run(["run", "a"]).ended(0);
        types(at.read("exports/a.parquet"))
    };
    const TIMESTAMP: &str =
        "CreatedDate Timestamp(TimestampType { is_adjusted_to_u_t_c: true, unit: MILLIS })";
    assert_eq!(
        job(""),
        [
            "Id String",
            "AnnualRevenue DOUBLE",
            "FoundedOn__c Date",
            TIMESTAMP,
            "NumberOfEmployees INT32",
            "IsDeleted BOOLEAN",
            "Owner.Name String"
        ]
    );
    assert_eq!(
        job(
            "[types]\nNumberOfEmployees = \"text\"\nAnnualRevenue = \"decimal(38,6)\"\n[parquet]\ntemporal = \"text\"\n"
        ),
        [
            "Id String",
            "AnnualRevenue Decimal(DecimalType { scale: 6, precision: 38 })",
            "FoundedOn__c String",
            "CreatedDate String",
            "NumberOfEmployees String",
            "IsDeleted BOOLEAN",
            "Owner.Name String"
        ]
    );
    // The org declares 18 digits, two of them after the point.
    let decimals = job("[parquet]\ndecimals = \"decimal\"\n");
    assert_eq!(decimals[1], "AnnualRevenue Decimal(DecimalType { scale: 2, precision: 18 })");
    // The same of a query, of which only the object's own numbers have digits.
    at.job("b", SOQL, "b.parquet", "[parquet]\ndecimals = \"decimal\"");
    at.run(["run", "b"]).ended(0);
    assert_eq!(types(at.read("exports/b.parquet"))[2], decimals[1]);
}

#[test]
fn a_type_that_has_changed_is_drift() {
    let at = Deployment::new(20);
    at.job("a", SOQL, "a.parquet", "[types]\nNumberOfEmployees = \"text\"");
    at.run(["run", "a"]).ended(0);
    const CHANGED: &str = "of another type: NumberOfEmployees (integer, was text)";
    at.job("a", SOQL, "a.parquet", "columns_pinned = true");
    assert!(at.run(["check", "a"]).ended(65).stdout().contains(CHANGED));
    at.run(["run", "a"]).ended(65).says(&[CHANGED, "columns_pinned = true forbids it"]);
    at.job("a", SOQL, "a.parquet", "");
    assert!(at.run(["check", "a"]).ended(0).stdout().contains(CHANGED));
    let report = at.run(["run", "a", "--json"]).ended(0).reports().remove(0);
    assert!(report["warnings"].to_string().contains(CHANGED), "{report}");
    // The next run does not warn again.
    let report = at.run(["run", "a", "--json"]).ended(0).reports().remove(0);
    assert_eq!(report["warnings"].to_string(), "[]");
}

#[test]
fn the_deletes_of_an_incremental_export_are_parquet_too() {
    let at = Deployment::new(20);
    at.write(
        "jobs/accounts.toml",
        "object = \"Account\"\nfields = [\"Id\", \"SystemModstamp\"]\noutput = \"{kind}-{run_id}.parquet\"\n\
         [incremental]\ndeletes = \"ids\"\n",
    );
    at.run(["run", "accounts"]).ended(0);
    let report = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
    let path = report["files"][0]["path"].as_str().unwrap();
    assert!(path.ends_with(".deleted.parquet"), "{path}");
    let types = types(std::fs::read(path).unwrap());
    assert_eq!(types[0], "Id String");
    assert!(types[1].starts_with("deletedDate Timestamp"), "{types:?}");
}

#[test]
fn an_export_without_records_has_its_columns_and_no_row_group() {
    let at = Deployment::new(20);
    at.job("none", "SELECT Id, NumberOfEmployees FROM Account WHERE Name = 'secret'", "a.parquet", "");
    at.run(["run", "none"]).ended(0);
    let file = at.read("exports/a.parquet");
    assert_eq!(types(file.clone()), ["Id String", "NumberOfEmployees INT32"]);
    assert_eq!(reader(file.clone()).metadata().num_row_groups(), 0);
    assert!(!footer(file, "soql").unwrap().contains("secret"));
}

#[test]
fn a_full_disk_is_named_and_the_former_file_stays() {
    let at = Deployment::with(Options { page_size: 2000, ..support::options(30_000) });
    at.write("sfexport.toml", format!("scratch_dir = \"scratch\"\n{}", at.text("sfexport.toml")));
    for directory in ["scratch", "exports/small"] {
        std::fs::create_dir_all(at.path(directory)).unwrap();
    }
    // More values than memory may hold.
    let soql = "SELECT Id, Name, Description, Remarks__c, CreatedDate FROM Account";
    at.job("spilled", soql, "a.parquet", "");
    at.write("exports/a.parquet", "former");
    let Some(outcome) = at.run_on_small_disk("scratch", "1m", &["run", "spilled"]) else { return };
    outcome.ended(73).says(&[
        &format!(
            "cannot hold the values of a row group in scratch_dir, {}: No space left",
            at.path("scratch").display()
        ),
        "SFEXPORT_SCRATCH_DIR",
    ]);
    assert_eq!(at.text("exports/a.parquet"), "former");
    assert_eq!(at.names_below("exports"), ["a.parquet"]);

    at.job("small", soql, "small/a.parquet", "");
    let outcome = at.run_on_small_disk("exports/small", "128k", &["run", "small"]).unwrap();
    outcome.ended(73).says(&["exports/small", "No space left"]);
    at.run(["run", "small"]).ended(0);
    assert_eq!(at.names_below("scratch"), Vec::<String>::new());
}
