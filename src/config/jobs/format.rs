//! `format`, `compression` and the keys that apply only to one of them.

use super::{RawJob, Reading, column_rules, flat_records};
use crate::config::layer::{Section, TextFile};
use crate::config::mistake::{Problem, quoted};
use crate::job::{Children, Codec, Compound, Compression, CompressionChoice, Format, path_text};

/// The format for a value of `format`, which has been validated.
pub(super) fn format_of(word: &str) -> Format {
    if word == "csv" { Format::Csv } else { Format::Jsonl }
}

/// The choice for a value of `compression`, which has been validated.
pub(super) fn compression_of(word: &str) -> CompressionChoice {
    match word {
        "gzip" => CompressionChoice::By(Codec::Gzip),
        "zstd" => CompressionChoice::By(Codec::Zstd),
        _ => CompressionChoice::None,
    }
}

impl Reading {
    /// The format and the compression, from their keys or the output's extensions, which must agree.
    pub(super) fn form(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
    ) -> Option<(Format, Option<Compression>)> {
        let typed = &section.typed;
        if ["format", "compression", "compression_level"].into_iter().any(|key| section.is_mistaken(key)) {
            return None;
        }
        let format = typed.format.as_deref().map(format_of);
        let compression = typed.compression.as_deref().map(compression_of);
        // Anything else than a path has no extension. The check of `output` reports it.
        let output = typed.output.as_deref().filter(|output| path_text::not_local(output).is_none());
        let form = output.map(|output| (output, path_text::form_of(output, format, compression)));
        let (format, codec) = match form {
            None => (format?, compression.and_then(CompressionChoice::codec)),
            Some((_, Ok(form))) => form,
            Some((output, Err((reason, hint)))) => {
                let problem = Problem::new(format!("{} {reason}", quoted(output)), hint);
                self.mistake(file, section, "output", problem);
                return None;
            }
        };
        self.level(file, section, codec);
        Some((format, codec.map(|codec| codec.at(typed.compression_level))))
    }

    fn level(&mut self, file: &TextFile, section: &Section<RawJob>, codec: Option<Codec>) {
        let Some(level) = section.typed.compression_level else { return };
        let problem = match codec.map(|codec| codec.refusal_of(level)) {
            None => Problem::new(
                "the file is not compressed, so this key has no effect",
                "remove it, or end `output` in .gz or .zst",
            ),
            Some(Some((what, hint))) => Problem::new(what, hint),
            Some(None) => return,
        };
        self.mistake(file, section, "compression_level", problem);
    }

    /// Checks for keys that apply only to the other format.
    pub(super) fn format_rules(&mut self, file: &TextFile, section: &Section<RawJob>, format: Format) {
        let typed = &section.typed;
        match format {
            Format::Csv => {
                if typed.attributes {
                    let what = "this key is only for JSON Lines, and the output is CSV";
                    self.mistake(file, section, "attributes", Problem::new(what, "remove it"));
                }
            }
            Format::Jsonl => {
                if typed.attributes && column_rules(section, format).rename() {
                    self.mistake(file, section, "attributes", flat_records());
                }
                let keys: Vec<_> = section
                    .written()
                    .filter(|key| match *key {
                        "children" => typed.children != Children::Json,
                        "compound" => typed.compound != Compound::Json,
                        key => key.starts_with("csv."),
                    })
                    .map(str::to_owned)
                    .collect();
                for key in keys {
                    let what = "this key is only for CSV, and the output is JSON Lines";
                    self.mistake(file, section, &key, Problem::new(what, "remove it"));
                }
            }
        }
    }
}
