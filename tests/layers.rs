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
        modules: &["human", "job", "org", "record", "report", "schedule", "soql", "value"],
        inside: true,
    },
    Layer { name: "file systems", modules: &["fs"], inside: false },
    Layer { name: "configuration", modules: &["config"], inside: false },
    Layer { name: "protocol and formats", modules: &["salesforce", "encode", "ddl"], inside: false },
    Layer {
        name: "edges",
        modules: &["clock", "http", "key", "memory", "monitor", "output", "state", "threads"],
        inside: false,
    },
    Layer {
        name: "engine",
        modules: &["agenda", "batch", "check", "client", "daemon", "export", "retry", "stop"],
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

/// A source file: its path below `src`, its top module, and its text without comments and string literals.
struct Source {
    path: PathBuf,
    module: String,
    code: String,
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
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).unwrap().to_owned();
                let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
                let module = first.trim_end_matches(".rs").to_owned();
                sources.push(Source { path: below, module, code: code(&fs::read_to_string(&path).unwrap()) });
            }
        }
    }
    assert!(sources.len() > 50, "the sources are not where they were");
    sources
}

/// A text without its comments and its string literals, line by line as it was.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let raw = || rest.strip_prefix('r').map(|rest| rest.len() - rest.trim_start_matches('#').len());
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if next == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw().filter(|hashes| rest[1 + hashes..].starts_with('"')) {
            let end = format!("\"{}", "#".repeat(hashes));
            let from = hashes + 2;
            rest[from..].find(&end).map_or(rest.len(), |at| from + at + end.len())
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            rest.find('"').unwrap_or_default() + 2
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        code.extend(rest[..length].matches('\n'));
        rest = &rest[length..];
    }
    code
}

/// The modules that a text names behind `crate::`, one or a list in braces, however many lines it takes; each with its
/// line's number.
fn imported(code: &str) -> Vec<(usize, String)> {
    let word =
        |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + path.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push((line, word(rest)));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                _ if c.is_whitespace() => {}
                _ if begins => {
                    found.push((line, word(&list[at..])));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found.retain(|(_, module)| !module.is_empty());
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
        for (line, imported) in imported(&source.code) {
            seen += 1;
            if let Err(why) = may_import(&source.module, &imported) {
                let place = format!("src/{}:{line}", source.path.display());
                breaches.push(format!("{place}: {} imports {imported}: {why}", source.module));
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
        for (number, line) in source.code.lines().enumerate() {
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
        for (number, line) in source.code.lines().enumerate() {
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
}

#[test]
fn imports_are_found_on_every_line_and_not_in_text() {
    let text = r##"use crate::{
    job::{Job, output_path},
    soql, // crate::cli
};
//! crate::daemon
let x = crate::http::Http::new("crate::state", '"', r#"crate::"key"#, "\"crate::org\\");
use crate::clock;
"##;
    let found = imported(&code(text));
    let found: Vec<_> = found.iter().map(|(line, module)| (*line, module.as_str())).collect();
    assert_eq!(found, [(1, "job"), (1, "soql"), (6, "http"), (7, "clock")]);
}
