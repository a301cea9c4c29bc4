//! `format`, `compression` and the keys that apply only to one of them.

use super::{RawJob, Reading, column_rules, flat_records};
use crate::config::layer::{Section, TextFile};
use crate::config::mistake::{Problem, quoted};
use crate::job::{
    Children, Codec, Compound, Compression, CompressionChoice, Format, NO_PARQUET, NO_PARQUET_LEVEL,
    ParquetSettings, path_text,
};

/// The format for a value of `format`, which has been validated.
pub(super) fn format_of(word: &str) -> Format {
    Format::ALL.into_iter().find(|format| format.as_str() == word).unwrap_or(Format::Csv)
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
        self.level(file, section, (format, codec));
        Some((format, codec.map(|codec| codec.at(typed.compression_level))))
    }

    fn level(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        (format, codec): (Format, Option<Codec>),
    ) {
        let Some(level) = section.typed.compression_level else { return };
        let problem = match codec.map(|codec| codec.refusal_of(level)) {
            None if format == Format::Parquet => Problem::new(NO_PARQUET_LEVEL, "remove it"),
            None => Problem::new(
                "the file is not compressed, so this key has no effect",
                "remove it, or end `output` in .gz or .zst",
            ),
            Some(Some((what, hint))) => Problem::new(what, hint),
            Some(None) => return,
        };
        self.mistake(file, section, "compression_level", problem);
    }

    /// Checks for keys that apply only to other formats, and for a format that this build does not have.
    pub(super) fn format_rules(&mut self, file: &TextFile, section: &Section<RawJob>, format: Format) {
        let typed = &section.typed;
        if !format.is_written() {
            let key = if section.is_written("format") { "format" } else { "output" };
            self.mistake(file, section, key, Problem::new(NO_PARQUET.0, NO_PARQUET.1));
        }
        if format == Format::Jsonl && typed.attributes && column_rules(section, format).rename() {
            self.mistake(file, section, "attributes", flat_records());
        }
        let has_effect = |key: &str| match key {
            "children" => typed.children != Children::Json,
            "compound" => typed.compound != Compound::Json,
            "attributes" => typed.attributes,
            "parquet.codec" => typed.parquet.codec != ParquetSettings::DEFAULT.codec,
            "parquet.decimals" => typed.parquet.decimals != ParquetSettings::DEFAULT.decimals,
            "parquet.temporal" => typed.parquet.temporal != ParquetSettings::DEFAULT.temporal,
            _ => true,
        };
        let others = section.written().filter(|key| has_effect(key)).filter_map(|key| {
            let formats = formats_of(key);
            (!formats.contains(&format)).then(|| (key.to_owned(), formats))
        });
        for (key, formats) in others.collect::<Vec<_>>() {
            let names: Vec<_> = formats.iter().map(|format| format.title()).collect();
            let what =
                format!("this key is only for {}, and the output is {}", names.join(" and "), format.title());
            let hint = match key.as_str() {
                "children" if format == Format::Parquet => {
                    "remove it: the records of a child query are a column of JSON"
                }
                "datetimes" => "remove it; `temporal` in [parquet] decides what datetimes become",
                _ => "remove it",
            };
            self.mistake(file, section, &key, Problem::new(what, hint));
        }
    }
}

/// The formats that a key applies to.
pub(super) fn formats_of(key: &str) -> &'static [Format] {
    match key.split('.').next().unwrap_or(key) {
        "csv" | "children" => &[Format::Csv],
        "compound" => &[Format::Csv, Format::Parquet],
        "attributes" => &[Format::Jsonl],
        "numbers" | "datetimes" => &[Format::Csv, Format::Jsonl],
        "parquet" => &[Format::Parquet],
        _ => &Format::ALL,
    }
}
