//! `[defaults]` of `sfexport.toml`: checks the values once for all jobs, and selects those that fit a job.

use secrecy::ExposeSecret as _;

use super::format::{compression_of, format_of, formats_of};
use super::object::{condition, selection};
use super::{JobContext, NO_SCHEDULE, RawJob, Reading, column_rules, flat_records};
use crate::config::keys::Table;
use crate::config::layer::{DEFAULTS, Layer, OBJECTS_WITH, Section, TextFile};
use crate::config::mistake::{Mistake, Problem};
use crate::job::{CompressionChoice, Format, path_text};

/// Checks the values of `[defaults]` as far as they are wrong for every job. Each value with a mistake is marked, so jobs
/// cause no further mistakes.
pub(crate) fn check(
    file: &TextFile,
    defaults: &mut Layer,
    context: &JobContext<'_>,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Mistake>,
) {
    let mut reading = Reading::default();
    let built_in = Layer::of_defaults(Table::Job, "", &file.directory);
    let section = Section::<RawJob>::merge(&[&built_in, defaults], "", &mut reading.mistakes);
    if let Some(section) = section {
        reading.check_defaults(file, &section, context);
        reading.settings([&Layer::default(), defaults], None);
    }
    for key in reading.mistakes.iter().filter_map(|mistake| mistake.key.as_deref()) {
        defaults.mark_mistaken(key);
    }
    mistakes.extend(reading.mistakes.into_iter().map(|mistake| mistake.below(DEFAULTS)));
    warnings.extend(reading.warnings.into_iter().map(|warning| warning.below(DEFAULTS)));
}

impl Reading {
    fn check_defaults(&mut self, file: &TextFile, section: &Section<RawJob>, context: &JobContext<'_>) {
        let typed = &section.typed;
        let zone = self.timezone(file, section);
        if typed.schedule.as_deref() == Some(NO_SCHEDULE) {
            let what = "\"none\" removes a default schedule, and this is the default";
            self.mistake(file, section, "schedule", Problem::new(what, "remove this key"));
        } else if typed.schedule.is_some() {
            self.schedule(file, section, zone.as_ref());
        }
        self.csv(file, section);
        self.incremental_values(file, section, zone.as_ref());
        if typed.org.is_some() {
            self.org(file, section, context);
        }
        if let Some(output) = typed.output.as_deref()
            && self.output(file, section, context).is_some()
        {
            // A job may set the format that the output does not say, unless the output says another kind of file.
            let compression = typed.compression.as_deref().map(compression_of);
            let fits = |format| path_text::form_of(output, Some(format), compression).is_ok();
            if typed.format.is_some() || !Format::ALL.into_iter().any(fits) {
                self.form(file, section);
            }
        }
        if typed.attributes && column_rules(section, Format::Jsonl).rename() {
            self.mistake(file, section, "attributes", flat_records());
        }
        if let Some(Err(problem)) = typed.fields.as_deref().map(selection) {
            self.mistake(file, section, "fields", problem);
        }
        if let Some(Err(problem)) = typed.condition.as_deref().map(condition) {
            self.mistake(file, section, "where", problem);
        }
        self.manifest_path(file, section, context.output_root);
        if typed.ping_url.as_ref().is_some_and(|template| !template.expose_secret().contains("{job}")) {
            let what = "the value lacks the field {job}, so the success of one job would hide the failure of another";
            let hint = "give each job a separate check, as in \"https://hc-ping.com/KEY/{job}\"";
            self.mistake(file, section, "ping_url", Problem::new(what, hint));
        }
    }
}

/// The defaults that fit a job's source and format. The others have no effect on it.
pub(super) fn fitting(defaults: &Layer, job: &Layer) -> Layer {
    let of_output = |layer: &Layer| {
        let output = layer.text("output").filter(|output| path_text::not_local(output).is_none());
        output.map(path_text::form_by_name).unwrap_or_default()
    };
    let named = |layer: &Layer| layer.text("format").map(format_of);
    let compression_named = |layer: &Layer| layer.text("compression").map(compression_of);
    let (by_extension, codec_by_extension) = of_output(if job.has("output") { job } else { defaults });
    let format = named(job).or(by_extension).or_else(|| named(defaults));
    let compression_by_extension = match (by_extension, codec_by_extension) {
        (_, Some(codec)) => Some(CompressionChoice::By(codec)),
        // An extension that names a format and no compression says that there is none.
        (Some(_), None) => Some(CompressionChoice::None),
        (None, None) => None,
    };
    let compression =
        compression_named(job).or(compression_by_extension).or_else(|| compression_named(defaults));
    let is_parquet = format == Some(Format::Parquet);
    let is_set = job.has("objects");
    let renames = job.has("columns") || job.text("column_names").is_some_and(|names| names != "as_written");
    defaults.as_defaults_of(job, |path| match path.split('.').next().unwrap_or(path) {
        "format" => named(defaults) == format,
        "compression" | "compression_level" if is_parquet => false,
        "compression" => compression_named(defaults) == compression,
        "compression_level" => {
            compression.is_some_and(|choice| choice.codec().is_some())
                && compression_named(defaults).is_none_or(|named| Some(named) == compression)
        }
        key if format.is_some_and(|format| !formats_of(key).contains(&format)) => false,
        "children" => !is_set,
        "attributes" => !renames && job.text("api") != Some("bulk"),
        "column_names" | "columns" => !(format == Some(Format::Jsonl) && job.is_true("attributes")),
        "fields" | "where" => job.has("object"),
        "manifest" => is_set || defaults.text("manifest").is_none(),
        OBJECTS_WITH => is_set,
        "org" => !job.has("orgs"),
        _ => true,
    })
}
