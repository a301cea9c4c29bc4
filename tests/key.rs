//! Every form of key that people have, made by the tools that make them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sfexport::key;
use tempfile::TempDir;

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
