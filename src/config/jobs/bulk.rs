//! `api` and `[bulk]`: whether a job can use the API that it asks for, as far as its file shows.

use super::{Exported, JobContext, RawJob, Reading};
use crate::config::layer::{Section, TextFile};
use crate::config::mistake::{Problem, quoted};
use crate::job::{ApiChoice, Format};
use crate::org::OrgName;
use crate::soql::BulkObstacle;

impl Reading {
    /// The API that the job asks for. A default of `bulk` does not apply to a job whose records Bulk cannot send.
    pub(super) fn api(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        exported: Option<&Exported>,
        format: Option<Format>,
    ) -> ApiChoice {
        let typed = &section.typed;
        self.bulk_without_effect(file, section);
        if typed.api != ApiChoice::Bulk {
            return typed.api;
        }
        let of_query = match exported {
            Some(Exported::Query(query)) => query.bulk_obstacle().filter(BulkObstacle::is_refused),
            _ => None,
        };
        let keeps_attributes = typed.attributes && format == Some(Format::Jsonl);
        match of_query.or(keeps_attributes.then_some(BulkObstacle::Attributes)) {
            None => ApiChoice::Bulk,
            Some(_) if section.is_default("api") => ApiChoice::Auto,
            Some(obstacle) => {
                let what = format!("Bulk API 2.0 cannot export this job, because {obstacle}");
                let hint = match obstacle {
                    BulkObstacle::Attributes => "remove `attributes`, or write \"auto\" or \"rest\"",
                    _ => "write \"auto\" or \"rest\"",
                };
                self.mistake(file, section, "api", Problem::new(what, hint));
                ApiChoice::Bulk
            }
        }
    }

    /// The API that the job asks for in one of its orgs, whose API version may be too old for Bulk.
    pub(super) fn api_in(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        context: &JobContext<'_>,
        (api, name): (ApiChoice, &OrgName),
    ) -> ApiChoice {
        let org = context.orgs.and_then(|orgs| orgs.complete.get(name));
        let Some(org) = org.filter(|org| api == ApiChoice::Bulk && !org.has_bulk()) else { return api };
        if section.is_default("api") {
            return ApiChoice::Auto;
        }
        let what = format!(
            "Bulk API 2.0 is not part of API version {}, the `api_version` of {}",
            quoted(&org.api_version),
            name.table()
        );
        let hint = "set `api_version` to \"47.0\" or later, or write \"auto\" or \"rest\"";
        self.mistake(file, section, "api", Problem::new(what, hint));
        api
    }

    /// Warns about keys of `[bulk]` that the job's own file sets and that its `api` leaves without effect.
    fn bulk_without_effect(&mut self, file: &TextFile, section: &Section<RawJob>) {
        let (choice, hint) = match section.typed.api {
            ApiChoice::Auto => return,
            ApiChoice::Rest => ("rest", "remove this key, or set api = \"auto\" or \"bulk\""),
            ApiChoice::Bulk => ("bulk", "remove this key, or set api = \"auto\""),
        };
        let is_for_auto = |key: &str| matches!(key, "bulk.from_calls" | "bulk.rest_max_calls");
        let keys: Vec<_> = section
            .written()
            .filter(|key| key.starts_with("bulk.") && section.is_own(key))
            .filter(|key| choice == "rest" || is_for_auto(key))
            .map(str::to_owned)
            .collect();
        for key in keys {
            let problem = Problem::new(format!("this key has no effect with api = \"{choice}\""), hint);
            self.warnings.push(section.mistake(&key, &file.whole(), problem));
        }
    }
}
