//! Compressed files from outside: what is in them, what reports say of them, and that an export that is cut short never looks
//! whole. `tests/formats/run` has other programs read them.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::io::Read as _;
use std::process::{Command, Stdio};

use aws_lc_rs::digest;
use flate2::bufread::GzDecoder;
use sfexport::demo_org::{At, BulkOptions, Fault, Options, Rule};
use support::Deployment;

const SOQL: &str = "SELECT Id, Name, Description FROM Account";

/// The content of a file that is one gzip member.
fn gunzipped(mut file: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(&mut file).read_to_end(&mut text).unwrap();
    assert_eq!(file.len(), 0, "something follows the first gzip member");
    text
}

/// The content of a file that is one frame of Zstandard, with a checksum.
fn unzstd(mut file: &[u8]) -> Vec<u8> {
    // RFC 8878, 3.1.1.1.1: bit 2 of the descriptor behind the magic number.
    assert_eq!(file[..4], [0x28, 0xB5, 0x2F, 0xFD]);
    assert_eq!(file[4] & 0b100, 0b100, "the frame has no checksum");
    let mut text = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut file).unwrap().single_frame();
    decoder.read_to_end(&mut text).unwrap();
    drop(decoder);
    assert_eq!(file.len(), 0, "something follows the first frame");
    text
}

fn sha256(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_compressed_file_holds_what_a_plain_one_does() {
    let at = Deployment::with(Options { page_size: 40, ..support::options(500) });
    for extension in ["csv", "jsonl"] {
        at.job("plain", SOQL, &format!("a.{extension}"), "");
        at.run(["run", "plain"]).ended(0);
        let plain = at.read(&format!("exports/a.{extension}"));
        for (compressed, more, content) in [
            ("gz", "", gunzipped as fn(&[u8]) -> Vec<u8>),
            ("zst", "", unzstd),
            ("gz", "compression = \"gzip\"\ncompression_level = 1", gunzipped),
            ("zst", "compression_level = 19", unzstd),
        ] {
            let name = format!("b.{extension}.{compressed}");
            at.job("packed", SOQL, &name, more);
            let report = at.run(["run", "packed", "--json"]).ended(0).reports().remove(0);
            let file = at.read(&format!("exports/{name}"));
            assert_eq!(content(&file), plain, "{name}, {more}");
            assert_eq!(report["bytes"], file.len(), "{report}");
            assert_eq!(report["raw_bytes"], plain.len(), "{report}");
            assert_eq!(report["sha256"], sha256(&file), "{report}");
        }
    }
    // Without an extension, the keys decide.
    at.job("keys", SOQL, "c.{job}", "format = \"csv\"\ncompression = \"gzip\"");
    at.run(["run", "keys"]).ended(0);
    at.job("plain", SOQL, "a.csv", "");
    let report = at.run(["run", "plain", "--json"]).ended(0).reports().remove(0);
    assert!(report["raw_bytes"].is_null(), "{report}");
    assert_eq!(gunzipped(&at.read("exports/c.keys")), at.read("exports/a.csv"));
    // The same content is the same file, whenever it is written.
    at.job("keys", SOQL, "d.csv.gz", "");
    at.run(["run", "keys"]).ended(0);
    assert_eq!(at.read("exports/d.csv.gz"), at.read("exports/c.keys"));
}

#[test]
fn every_file_of_an_export_is_compressed() {
    let at = Deployment::new(60);
    let soql = "SELECT Id, Name, (SELECT Id, Email FROM Contacts) FROM Account";
    at.job("children", soql, "a.csv.gz", "children = \"files\"\nmanifest = true");
    let report = at.run(["run", "children", "--json"]).ended(0).reports().remove(0);
    at.job("plain", soql, "b.csv", "children = \"files\"");
    at.run(["run", "plain"]).ended(0);
    assert_eq!(gunzipped(&at.read("exports/a.csv.gz")), at.read("exports/b.csv"));
    let contacts = at.read("exports/b.Contacts.csv");
    assert_eq!(gunzipped(&at.read("exports/a.Contacts.csv.gz")), contacts);
    assert_eq!(report["files"][0]["raw_bytes"], contacts.len(), "{report}");
    let manifest: serde_json::Value = serde_json::from_slice(&at.read("exports/a.manifest.json")).unwrap();
    assert_eq!(manifest["files"][0]["path"], "a.csv.gz");
    assert_eq!(manifest["files"][1]["raw_bytes"], contacts.len());

    at.write("jobs/set.toml", "objects = [\"Account\", \"Contact\"]\noutput = \"set/{object}.jsonl.zst\"\n");
    let reports = at.run(["run", "set", "--json"]).ended(0).reports();
    let raw: Vec<_> = ["Account", "Contact"]
        .iter()
        .map(|object| unzstd(&at.read(&format!("exports/set/{object}.jsonl.zst"))).len())
        .collect();
    let all = reports.iter().find(|report| report["set"].is_object()).unwrap();
    assert_eq!(all["raw_bytes"], raw[0] + raw[1], "{all}");
}

#[test]
fn deletes_are_compressed_like_the_export() {
    let at = Deployment::new(20);
    let job = "object = \"Account\"\nfields = [\"Id\", \"SystemModstamp\"]\noutput = \"{kind}-{run_id}.csv.gz\"\n\
               [incremental]\ndeletes = \"ids\"\n";
    at.write("jobs/accounts.toml", job);
    at.run(["run", "accounts"]).ended(0);
    let report = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
    let path = report["files"][0]["path"].as_str().unwrap();
    assert!(path.ends_with(".deleted.csv.gz"), "{path}");
    assert_eq!(gunzipped(&std::fs::read(path).unwrap()), b"Id,deletedDate\n");
}

#[test]
fn a_query_that_starts_over_leaves_one_member() {
    let at = Deployment::with(Options { page_size: 20, ..support::options(200) });
    for name in ["a.csv.gz", "a.csv.zst"] {
        at.script(Rule::once(At::Page(4), Fault::LostLocator));
        at.job("packed", SOQL, name, "");
        let report = at.run(["run", "packed", "--json"]).ended(0).reports().remove(0);
        assert_eq!((&report["restarts"], &report["records"]), (&1.into(), &197.into()), "{report}");
    }
    at.job("plain", SOQL, "a.csv", "");
    at.run(["run", "plain"]).ended(0);
    let plain = at.read("exports/a.csv");
    assert_eq!(gunzipped(&at.read("exports/a.csv.gz")), plain);
    assert_eq!(unzstd(&at.read("exports/a.csv.zst")), plain);
}

#[test]
fn rows_of_a_bulk_result_are_compressed_too() {
    let bulk = BulkOptions { page_rows: 30, ..BulkOptions::default() };
    let at = Deployment::with(Options { bulk, ..support::options(100) });
    at.job("plain", SOQL, "a.csv", "api = \"bulk\"");
    at.job("packed", SOQL, "a.csv.gz", "api = \"bulk\"");
    at.run(["run", "plain", "packed"]).ended(0);
    assert_eq!(gunzipped(&at.read("exports/a.csv.gz")), at.read("exports/a.csv"));
}

#[test]
fn a_compressed_stream_that_is_cut_short_does_not_look_whole() {
    let at = Deployment::with(Options { page_size: 199, ..support::options(20_000) });
    let query = |codec: &str| ["query", SOQL, "-o", "-", "--compression", codec].map(str::to_owned);
    let whole = at.run(["query", SOQL, "-o", "-"]).ended(0).stdout;
    for (codec, content) in [("gzip", gunzipped as fn(&[u8]) -> Vec<u8>), ("zstd", unzstd)] {
        assert_eq!(content(&at.run(query(codec)).ended(0).stdout), whole);
        at.script(Rule::always(At::Soql("from account".into()), Fault::Truncate { after: 40 }).after(90));
        let outcome = at.run(query(codec));
        assert_eq!(outcome.status, Some(74), "{}", outcome.stderr);
        assert!(!outcome.stdout.is_empty(), "nothing had left before the fault");
        at.org().clear_script();
        // A tool that nobody here wrote.
        let Ok(mut tool) = Command::new(codec)
            .arg("-dc")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
        else {
            continue;
        };
        std::io::Write::write_all(&mut tool.stdin.take().unwrap(), &outcome.stdout).unwrap();
        assert!(!tool.wait().unwrap().success(), "{codec} took the beginning of an export for a whole one");
    }
}

#[test]
fn a_damaged_configuration_of_compression_is_refused() {
    let at = Deployment::new(1);
    at.job("packed", SOQL, "a.csv.gz", "compression = \"zstd\"");
    at.run(["run", "packed"]).ended(78).says(&[
        "\"a.csv.gz\" ends in .gz, but the compression is zstd",
        "end it in .zst, or set the compression to gzip",
    ]);
    at.job("packed", SOQL, "a.csv.gz", "compression_level = 12");
    at.run(["run", "packed"]).ended(78).says(&["12 is not a level of gzip", "from 1 to 9"]);
    at.job("packed", SOQL, "a.csv", "compression_level = 2");
    at.run(["run", "packed"]).ended(78).says(&["the file is not compressed, so this key has no effect"]);
    for (output, reason, hint) in [
        ("a.csv.gz", "ends in .gz, but the compression is none", "remove .gz from its end"),
        ("a.csv.zst", "ends in .zst, but the compression is none", "or set the compression to zstd"),
    ] {
        at.job("packed", SOQL, output, "compression = \"none\"");
        at.run(["run", "packed"]).ended(78).says(&[reason, hint]);
        at.run(["query", SOQL, "-o", output, "--compression", "none"]).ended(2).says(&[reason, hint]);
    }
    for (output, level, what) in [
        ("a.csv.gz", "10", "--compression-level: 10 is not a level of gzip"),
        ("a.csv.zst", "20", "--compression-level: 20 is not a level of zstd"),
        ("a.csv.zst", "0", "--compression-level: 0 is not a level of zstd"),
        ("a.csv", "1", "--compression-level: the output is not compressed"),
        ("-", "1", "--compression-level: the output is not compressed"),
    ] {
        at.run(["query", SOQL, "-o", output, "--compression-level", level]).ended(2).says(&[what]);
    }
    at.run(["query", SOQL, "-o", "a.csv.bz2"]).ended(2).says(&[
        "has the extension of a compressed file other than .gz and .zst",
        "end it in .csv.gz, .jsonl.gz, .csv.zst or .jsonl.zst",
    ]);
}

#[test]
fn a_default_compression_applies_where_the_output_says_nothing_else() {
    let at = Deployment::new(30);
    at.configure("[defaults]\napi = \"rest\"\ncompression = \"zstd\"\ncompression_level = 12\n");
    at.job("plain", SOQL, "a.csv", "");
    at.job("gzip", SOQL, "a.csv.gz", "");
    at.job("named", SOQL, "a.data", "format = \"csv\"");
    at.run(["run", "--all"]).ended(0);
    let plain = at.read("exports/a.csv");
    assert!(plain.starts_with(b"Id,Name"));
    assert_eq!(gunzipped(&at.read("exports/a.csv.gz")), plain);
    assert_eq!(unzstd(&at.read("exports/a.data")), plain);
    // The level goes with the compression.
    at.job("named", SOQL, "b.data", "format = \"csv\"\ncompression = \"none\"");
    at.run(["run", "named"]).ended(0);
    assert_eq!(at.read("exports/b.data"), plain);
    // A default that compresses nothing leaves each job its own way.
    at.configure("[defaults]\napi = \"rest\"\ncompression = \"none\"\n");
    at.job("named", SOQL, "c.data", "format = \"csv\"");
    at.job("key", SOQL, "d.data", "format = \"csv\"\ncompression = \"gzip\"\ncompression_level = 9");
    at.run(["run", "--all"]).ended(0);
    assert_eq!(at.read("exports/c.data"), plain);
    assert_eq!(gunzipped(&at.read("exports/d.data")), plain);
    assert_eq!(gunzipped(&at.read("exports/a.csv.gz")), plain);
    // A default output that ends otherwise contradicts it.
    at.configure("[defaults]\napi = \"rest\"\ncompression = \"zstd\"\noutput = \"{job}.csv\"\n");
    at.run(["run", "plain"]).ended(78).says(&["sfexport.toml", "has no .zst at its end"]);
}

#[test]
fn a_query_takes_the_level_of_its_compression() {
    let at = Deployment::new(500);
    at.run(["query", SOQL, "-o", "plain.csv"]).ended(0);
    let plain = at.read("plain.csv");
    let size = |level: &str| {
        at.run(["query", SOQL, "-o", "a.csv.gz", "--compression-level", level]).ended(0);
        let packed = at.read("a.csv.gz");
        assert_eq!(gunzipped(&packed), plain);
        packed.len()
    };
    assert!(size("9") < size("1"));
    let stream = |arguments: &[&str]| {
        let arguments = ["query", SOQL, "-o", "-"].iter().chain(arguments);
        at.run(arguments).ended(0).stdout
    };
    let packed = stream(&["--compression", "zstd", "--compression-level", "19"]);
    assert_eq!(unzstd(&packed), plain);
    assert!(packed.len() < stream(&["--compression", "zstd", "--compression-level", "1"]).len());
    assert_eq!(stream(&["--compression", "none"]), plain);
}
