//! The order of the layers (DESIGN, section 1), read from the sources' own imports: each module imports only what
//! stands above it. And what is reserved for one module is done by no other: printing, reading what a user wrote.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::fs;
use std::path::{Path, PathBuf};

/// A layer: its modules may import those of the layers before it and, where `inside` says so, each other.
struct Layer {
    name: &'static str,
    modules: &'static [&'static str],
    inside: bool,
}

/// First to last. A new module is entered here, in the layer that it belongs to.
const LAYERS: &[Layer] = &[
    Layer { name: "errors", modules: &["error"], inside: false },
    Layer {
        name: "domain",
        modules: &["job", "org", "record", "report", "schedule", "soql", "value"],
        inside: true,
    },
    Layer { name: "configuration", modules: &["config"], inside: false },
    Layer { name: "protocol and formats", modules: &["salesforce", "encode"], inside: false },
    Layer { name: "edges", modules: &["clock", "http", "key", "monitor", "output", "state"], inside: false },
    Layer {
        name: "engine",
        modules: &["agenda", "batch", "check", "daemon", "export", "login", "retry", "stop"],
        inside: true,
    },
    Layer { name: "faces", modules: &["cli", "notify", "status"], inside: true },
];

/// Beside the layers: what it may import.
const DEMO_ORG: (&str, &[&str]) =
    ("demo_org", &["error", "job", "org", "record", "report", "schedule", "soql", "value"]);

/// Where a module stands: the number of its layer.
fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.modules.contains(&module))
}

fn may_import(module: &str, imported: &str) -> Result<(), String> {
    if module == imported {
        return Ok(());
    }
    if module == DEMO_ORG.0 {
        return match DEMO_ORG.1.contains(&imported) {
            true => Ok(()),
            false => Err("demo_org imports the domain alone".to_owned()),
        };
    }
    let own = rank(module).ok_or("it stands in no layer: enter it into tests/layers.rs")?;
    if imported == DEMO_ORG.0 {
        return match module {
            "cli" => Ok(()),
            _ => Err("only cli's demo starts the embedded org".to_owned()),
        };
    }
    let other = rank(imported).ok_or("what it imports stands in no layer: enter it into tests/layers.rs")?;
    let (own_name, other_name) = (LAYERS[own].name, LAYERS[other].name);
    match own.cmp(&other) {
        std::cmp::Ordering::Greater => Ok(()),
        std::cmp::Ordering::Equal if LAYERS[own].inside => Ok(()),
        std::cmp::Ordering::Equal => Err(format!("{own_name} do not import each other")),
        std::cmp::Ordering::Less => Err(format!("{other_name} come after {own_name}")),
    }
}

/// A source file: its path below `src`, its top module, and its lines without comments and string literals.
struct Source {
    path: PathBuf,
    module: String,
    lines: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let below = path.strip_prefix(&root).unwrap().to_owned();
                let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
                let module = first.trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path: below, module, lines: text.lines().map(code).collect() });
            }
        }
    }
    assert!(sources.len() > 50, "the sources are not where they were");
    sources
}

/// A line without its comment; good enough for lines that import or print.
fn code(line: &str) -> String {
    let line = line.split(" //").next().unwrap_or_default();
    if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() }
}

/// The modules that a line names behind `crate::`, one or a list in braces.
fn imported(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let word =
            |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            Some(list) => {
                found.extend(list.split(',').map(|item| word(item.trim())).filter(|w| !w.is_empty()))
            }
            None => found.push(word(rest)),
        }
    }
    found
}

#[test]
fn every_module_imports_only_what_stands_above_it() {
    let mut breaches = Vec::new();
    let mut seen = 0;
    for source in sources() {
        if ["lib", "main"].contains(&source.module.as_str()) {
            continue;
        }
        for (number, line) in source.lines.iter().enumerate() {
            for imported in imported(line) {
                seen += 1;
                if let Err(why) = may_import(&source.module, &imported) {
                    let place = format!("src/{}:{}", source.path.display(), number + 1);
                    breaches.push(format!("{place}: {} imports {imported}: {why}", source.module));
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were found: this test no longer reads them");
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn only_cli_prints() {
    const PRINTING: [&str; 7] =
        ["println!", "print!", "eprintln!", "eprint!", "dbg!", "io::stdout()", "io::stderr()"];
    let mut breaches = Vec::new();
    // A module's own tests, which start themselves anew and talk to their child, are no part of the tool.
    let of_the_tool = |source: &&Source| source.module != "cli" && !source.path.ends_with("tests.rs");
    for source in sources().iter().filter(of_the_tool) {
        for (number, line) in source.lines.iter().enumerate() {
            if let Some(what) = PRINTING.iter().find(|what| line.contains(**what)) {
                breaches.push(format!("src/{}:{}: {what}", source.path.display(), number + 1));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn only_config_reads_what_a_user_wrote() {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| source.module != "config") {
        for (number, line) in source.lines.iter().enumerate() {
            if ["toml::", "figment::"].iter().any(|library| line.contains(library)) {
                breaches.push(format!("src/{}:{}: {}", source.path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn a_breach_of_the_order_is_seen() {
    for (module, imported) in [
        ("error", "job"),
        ("soql", "config"),
        ("encode", "salesforce"),
        ("salesforce", "http"),
        ("http", "key"),
        ("output", "state"),
        ("state", "export"),
        ("export", "cli"),
        ("agenda", "cli"),
        ("demo_org", "http"),
        ("export", "demo_org"),
        ("job", "a_module_without_a_layer"),
    ] {
        assert!(may_import(module, imported).is_err(), "{module} may import {imported}");
    }
    for (module, imported) in
        [("job", "soql"), ("http", "salesforce"), ("export", "retry"), ("cli", "demo_org"), ("cli", "config")]
    {
        assert_eq!(may_import(module, imported), Ok(()));
    }
    assert_eq!(imported("use crate::{job::Job, soql};  let x = crate::http::Http;"), ["job", "soql", "http"]);
}
