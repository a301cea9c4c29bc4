//! The output's path: a template, expanded for one run.

use std::path::{Path, PathBuf};

/// An output path with its template fields, checked when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputTemplate {
    text: String,
    root: PathBuf,
}

impl OutputTemplate {
    /// The template as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The folder that no expansion leaves.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}
