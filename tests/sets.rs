//! Sets of objects: one login, one export for each object, and a manifest at the end, through the binary against the
//! embedded org and compared with its data set.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sfexport::demo_org::{At, Catalog, Fault, Kind, Options, Rule};
use sfexport::report::{RunReport, RunStatus};
use support::daemon::{Process, ago, history, settled, wait_for};
use support::ear::Ear;
use support::{Deployment, assert_same, csv, live, options};

/// The objects that say they can be queried and refuse it, each with its code.
const REFUSING: &[(&str, &str)] = &[
    ("CategoryNode", "INSUFFICIENT_ACCESS"),
    ("ContentDocumentLink", "MALFORMED_QUERY"),
    ("ContentFolderItem", "MALFORMED_QUERY"),
    ("ContentFolderMember", "MALFORMED_QUERY"),
    ("ContentHubItem", "MALFORMED_QUERY"),
    ("DataStatistics", "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION"),
    ("DatacloudAddress", "EXTERNAL_OBJECT_EXCEPTION"),
    ("DatacloudCompany", "DATACLOUD_API_DISABLED_EXCEPTION"),
    ("EntityParticle", "MALFORMED_QUERY"),
    ("EntitySubscription", "API_ERROR"),
    ("FieldDefinition", "MALFORMED_QUERY"),
    ("FieldHistoryArchive", "INVALID_TYPE"),
    ("FlexQueueItem", "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION"),
    ("IdeaComment", "MALFORMED_QUERY"),
    ("ListViewChartInstance", "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION"),
    ("OutgoingEmail", "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION"),
    ("PicklistValueInfo", "MALFORMED_QUERY"),
    ("PlatformAction", "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION"),
    ("RecordActionHistory", "UNKNOWN_EXCEPTION"),
    ("UserRecordAccess", "INVALID_FIELD"),
    ("Vote", "MALFORMED_QUERY"),
];

/// What an org says of an object that takes no query without a filter.
const RESTRICTED: &str = "Implementation restriction: Contact requires a filter by a single Id";

trait Sets {
    /// Writes the job `backup`, which exports these objects to `OBJECT.csv`.
    fn set(&self, objects: &[&str], more: &str);
    /// The same with all objects that are like any other, and without those that `but` excludes.
    fn plain_set(&self, but: &[&str], more: &str);
    fn manifest(&self) -> Value;
    /// The objects whose records were asked for since the org has had so many requests.
    fn queried_since(&self, requests: usize) -> Vec<String>;
    fn assert_exported(&self, object: &str);
}

impl Sets for Deployment {
    fn set(&self, objects: &[&str], more: &str) {
        let text = format!("objects = {objects:?}\noutput = \"{{object}}.csv\"\n{more}\n");
        self.write("jobs/backup.toml", text);
    }

    fn plain_set(&self, but: &[&str], more: &str) {
        let odd: Vec<_> = self.data().odd_objects().iter().map(|odd| format!("!{}", odd.name)).collect();
        let terms = ["*"].into_iter().chain(odd.iter().map(String::as_str)).chain(but.iter().copied());
        self.set(&terms.collect::<Vec<_>>(), more);
    }

    fn manifest(&self) -> Value {
        serde_json::from_str(&self.text("exports/backup.manifest.json")).unwrap()
    }

    fn queried_since(&self, requests: usize) -> Vec<String> {
        let requests = self.org().requests().into_iter().skip(requests);
        let queries = requests.filter(|request| request.path().ends_with("/query"));
        queries
            .filter_map(|request| {
                let (_, query) = request.target.split_once("?q=")?;
                let object = query.split("%20FROM%20").nth(1)?;
                Some(object.split(['%', '&']).next()?.to_owned())
            })
            .collect()
    }

    #[track_caller]
    fn assert_exported(&self, object: &str) {
        let described = self.data().object(object).unwrap();
        let is_plain = |kind| !matches!(kind, Kind::Address | Kind::Location | Kind::Base64);
        let mut columns: Vec<_> =
            described.fields.iter().filter(|field| is_plain(field.kind)).map(|field| field.name).collect();
        columns.sort_by_key(|name| (*name != "Id", name.to_ascii_lowercase()));
        let expected = csv(&columns, &live(self.data(), object));
        assert_same(&self.read(&format!("exports/{object}.csv")), &expected);
    }
}

/// The names of a list of objects in a report or a manifest.
fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["object"].as_str().unwrap()).collect()
}

/// The report of the set itself, the last of `--json`.
fn of_set(reports: &[Value]) -> &Value {
    let report = reports.last().unwrap();
    assert_eq!(report["object"], Value::Null);
    report
}

fn query_of(object: &str) -> At {
    At::Soql(format!("from {object}"))
}

/// The first two runs of a daemon's set.
fn two_runs(at: &Deployment) -> Vec<RunReport> {
    let mut daemon = Process::start(at);
    let sets =
        || history(at).into_iter().filter(|run| run.object.is_none() && run.status.has_run()).collect();
    let runs = wait_for(|| Some(sets()).filter(|sets: &Vec<_>| sets.len() == 2)).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    runs
}

#[test]
fn every_object_is_exported_by_one_login() {
    let at = Deployment::new(300);
    at.plain_set(&[], "");
    let ended = at.run(["run", "backup", "--json"]).ended(0);
    let objects: Vec<_> = at.data().objects().iter().map(|object| object.name).collect();
    assert!(objects.len() > 5, "{} objects", objects.len());
    for object in &objects {
        at.assert_exported(object);
    }
    assert_eq!(at.logins().len(), 1);
    let reports = ended.reports();
    let of_objects: BTreeSet<_> =
        reports[..reports.len() - 1].iter().map(|report| report["object"].as_str().unwrap()).collect();
    assert_eq!(of_objects, objects.iter().copied().collect());
    let rows: usize = objects.iter().map(|object| live(at.data(), object).len()).sum();
    let set = of_set(&reports);
    assert_eq!((&set["status"], &set["records"]), (&json!("ok"), &json!(rows)));
    assert_eq!(set["api_calls"], json!(at.queries().len()));
    assert_eq!(
        set["set"],
        json!({"exported": objects.len(), "carried_over": 0, "skipped": [], "failed": [], "not_tried": 0,
            "manifest": at.path("exports/backup.manifest.json").to_str()})
    );
}

#[test]
fn the_manifest_lists_what_the_files_hold() {
    let at = Deployment::new(100);
    at.set(&["Account", "Task"], "");
    let set = at.run(["run", "backup", "--json"]).ended(0).reports().pop().unwrap();
    let manifest = at.manifest();
    assert_eq!(names(&manifest["files"]), ["Account", "Task"]);
    assert_eq!(manifest["run_id"], set["run_id"]);
    assert_eq!(manifest["org_id"], json!(at.org().organization_id()));
    for file in manifest["files"].as_array().unwrap() {
        let path = file["path"].as_str().unwrap();
        assert_eq!(path, format!("{}.csv", file["object"].as_str().unwrap()));
        let bytes = at.read(&format!("exports/{path}"));
        assert_eq!(file["bytes"], json!(bytes.len()));
        let digest = Command::new("sha256sum").arg(at.path(&format!("exports/{path}"))).output().unwrap();
        let digest = String::from_utf8(digest.stdout).unwrap();
        assert_eq!(file["sha256"].as_str(), digest.split(' ').next());
        let header = String::from_utf8(bytes).unwrap().lines().next().unwrap().to_owned();
        let columns = file["columns"].as_array().unwrap();
        let joined: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
        assert_eq!(joined.join(","), header);
    }
    let type_of = |name: &str| {
        let columns = manifest["files"][0]["columns"].as_array().unwrap();
        columns.iter().find(|column| column["name"] == name).unwrap()["type"].clone()
    };
    assert_eq!([type_of("Id"), type_of("CreatedDate")], [json!("text"), json!("datetime")]);
}

#[test]
fn one_object_that_fails_and_one_skipped_stop_no_other() {
    let at = Deployment::new(50);
    at.configure("attempts = 1");
    at.plain_set(&[], "");
    at.org().refuse_queries("Contact", 400, "MALFORMED_QUERY", RESTRICTED);
    at.script(Rule::always(query_of("task"), Fault::error(503, "SERVER_UNAVAILABLE", "maintenance")));
    let ended = at.run(["run", "backup", "--json"]).ended(69).says(&[
        "backup: Contact skipped: MALFORMED_QUERY: Implementation restriction: Contact requires a filter",
        "error: backup: Task: the org cannot respond now: SERVER_UNAVAILABLE: maintenance",
        "error: backup: 1 object failed: Task",
    ]);
    let reports = ended.reports();
    let set = of_set(&reports);
    assert_eq!(names(&set["set"]["skipped"]), ["Contact"]);
    assert_eq!(names(&set["set"]["failed"]), ["Task"]);
    assert_eq!(set["set"]["manifest"], Value::Null);
    assert!(!at.path("exports/backup.manifest.json").exists());
    for object in at.data().objects() {
        match object.name {
            "Contact" | "Task" => assert!(!at.path(&format!("exports/{}.csv", object.name)).exists()),
            name => at.assert_exported(name),
        }
    }
    // What failed is in the history, and what was skipped only in the set's own report.
    let failed: Vec<_> = history(&at).into_iter().filter(|run| run.status == RunStatus::Failed).collect();
    let failed: Vec<_> = failed.iter().map(|run| run.object.as_deref()).collect();
    assert_eq!(failed, [Some("Task"), None]);
    assert!(history(&at).iter().all(|run| run.object.as_deref() != Some("Contact")));

    at.org().clear_script();
    at.run(["run", "backup"]).ended(0);
    let manifest = at.manifest();
    assert_eq!(names(&manifest["skipped"]), ["Contact"]);
    assert_eq!(names(&manifest["files"]).len(), at.data().objects().len() - 1);
}

#[test]
fn a_whole_org_is_exported_but_for_what_it_refuses() {
    let at = Deployment::new(20);
    at.set(&["*"], "[objects_with.FieldPermissions]\ncount_check = \"warn\"");
    let ended = at.run(["run", "backup", "--json"]).ended(0);
    let reports = ended.reports();
    let set = of_set(&reports);
    let skipped: Vec<_> = set["set"]["skipped"].as_array().unwrap().iter().collect();
    assert_eq!(names(&set["set"]["skipped"]), REFUSING.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (skipped, (name, code)) in skipped.iter().zip(REFUSING) {
        let reason = skipped["reason"].as_str().unwrap();
        assert!(reason.starts_with(code), "{name}: {reason}");
    }
    for object in at.data().objects() {
        at.assert_exported(object.name);
    }
    let odd = ["AccountFeed", "AccountHistory", "AccountShare", "AppDefinition", "Reading__b", "Wide__c"];
    let manifest = at.manifest();
    let files = names(&manifest["files"]);
    assert!(odd.iter().all(|name| files.contains(name)), "{files:?}");
    for object in ["AccountChangeEvent", "Supplier__x", "Retired__c", "AggregateResult"] {
        assert!(!files.contains(&object), "{object} is left out by default");
    }
    for object in ["AccountShare", "AppDefinition"] {
        at.assert_exported(object);
    }
    assert_eq!(at.logins().len(), 1);
    // An object that counts wrongly is a failure, unless the job says otherwise.
    at.set(&["*"], "");
    at.run(["run", "backup"]).ended(74).says(&["error: backup: FieldPermissions: "]);
}

#[test]
fn one_notification_is_sent_for_a_set() {
    let ear = Ear::listen();
    let at = Deployment::new(20);
    at.configure(&format!("[notify]\nwebhook = \"{}/hook\"\non = [\"every\"]", ear.url));
    at.plain_set(&[], &format!("ping_url = \"{}/ping\"", ear.url));
    at.run(["run", "backup"]).ended(0);
    let heard = |path: &str| ear.heard().into_iter().filter(|(to, _)| to == path).count();
    assert_eq!((heard("/hook"), heard("/ping/start"), heard("/ping")), (1, 1, 1));
    let (_, body) = ear.heard().into_iter().find(|(to, _)| to == "/hook").unwrap();
    let message: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(message["report"]["set"]["exported"], json!(at.data().objects().len()));
    at.run(["run", "backup", "--object", "Account"]).ended(0);
    assert_eq!(ear.heard().len(), 3, "a single object is nobody's business");
}

#[test]
fn an_object_of_a_set_is_described_by_name() {
    let at = Deployment::new(20);
    at.plain_set(&[], "");
    at.run(["describe", "backup"]).ended(2).says(&["sfexport describe backup --object Account"]);
    let described = at.run(["describe", "backup", "--object", "account", "--json"]).ended(0);
    let described: Value = serde_json::from_str(described.stdout()).unwrap();
    assert_eq!(described["files"][0]["path"], "exports/Account.csv");
    let columns = described["files"][0]["columns"].as_array().unwrap();
    at.run(["run", "backup"]).ended(0);
    let header = at.text("exports/Account.csv").lines().next().unwrap().to_owned();
    let names: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names.join(","), header);
    at.run(["describe", "backup", "--object", "Acount"]).ended(65).says(&["no object \"Acount\""]);
}

#[test]
fn an_object_that_is_named_must_not_refuse() {
    let at = Deployment::new(20);
    at.org().refuse_queries(
        "Contact",
        400,
        "INVALID_TYPE_FOR_OPERATION",
        "entity type Contact does not support query",
    );
    at.set(&["Account", "contact"], "");
    at.run(["run", "backup"]).ended(65).says(&["backup: Contact: the org refused the query"]);
    at.assert_exported("Account");
    // Neither must one with a condition, which may be what the org refuses.
    at.plain_set(&[], "[objects_with.Contact]\nwhere = \"Id != null\"");
    at.run(["run", "backup"]).ended(65).says(&["backup: Contact: the org refused the query"]);
    at.plain_set(&[], "");
    at.run(["run", "backup"]).ended(0).says(&["backup: Contact skipped: INVALID_TYPE_FOR_OPERATION"]);
}

#[test]
fn an_object_that_was_exported_before_must_not_vanish() {
    let at = Deployment::new(20);
    at.plain_set(&[], "");
    at.run(["run", "backup"]).ended(0);
    let before = at.read("exports/backup.manifest.json");
    at.org().hide_object("Contact");
    at.run(["run", "backup"]).ended(65).says(&[
        "backup: Contact: the org no longer has an object \"Contact\"",
        "add \"!Contact\" to `objects`",
    ]);
    assert_eq!(at.read("exports/backup.manifest.json"), before);
    at.org().restore_object("Contact");
    at.org().refuse_queries("Contact", 400, "MALFORMED_QUERY", RESTRICTED);
    at.run(["run", "backup"]).ended(65).says(&[
        "backup: Contact: the org refused the query",
        "the object was exported before",
        "add \"!Contact\" to `objects`",
    ]);
    assert_eq!(at.read("exports/backup.manifest.json"), before);
    at.plain_set(&["!Contact"], "");
    at.run(["run", "backup"]).ended(0);
    assert_eq!(names(&at.manifest()["skipped"]), [""; 0]);
    assert!(!names(&at.manifest()["files"]).contains(&"Contact"));
}

#[test]
fn fields_that_come_and_go_keep_the_order_of_the_others() {
    let at = Deployment::new(20);
    at.set(&["Account", "Task"], "[objects_with.Account]\nfields = [\"Name\", \"Site\", \"A*\"]");
    let run = || at.run(["run", "backup"]).ended(0);
    let header = || at.text("exports/Account.csv").lines().next().unwrap().to_owned();
    run();
    assert_eq!(header(), "Name,Site,AccountNumber,Active__c,AnnualRevenue");
    at.org().add_field("Account", "Added__c");
    run().says(&["backup: Account: the columns have changed since the last successful run: new: Added__c"]);
    assert_eq!(header(), "Name,Site,AccountNumber,Active__c,AnnualRevenue,Added__c");
    at.org().remove_field("Account", "Active__c");
    run().says(&["gone: Active__c"]);
    assert_eq!(header(), "Name,Site,AccountNumber,AnnualRevenue,Added__c");
    at.org().restore_object("Account");
    run();
    assert_eq!(header(), "Name,Site,AccountNumber,Active__c,AnnualRevenue");
    at.assert_exported("Task");
}

#[test]
fn a_field_that_vanishes_after_its_describe_is_left_out() {
    let at = Deployment::new(20);
    at.plain_set(&[], "");
    // The field is gone when the query arrives, and the second describe does not list it.
    at.script(Rule::once(query_of("account"), Fault::error(400, "INVALID_FIELD", "No such column 'Site'")));
    let hidden = Fault::HiddenFields(vec!["Site"]);
    at.script(Rule::always(At::Containing("/sobjects/Account/describe".to_owned()), hidden).after(1));
    at.run(["run", "backup"]).ended(0);
    let header = at.text("exports/Account.csv").lines().next().unwrap().to_owned();
    assert!(!header.contains("Site") && header.contains("Name"), "{header}");
}

#[test]
fn a_retry_of_the_daemon_exports_only_what_failed() {
    let at = Deployment::new(20);
    at.configure("attempts = 1");
    at.plain_set(&[], "schedule = \"@hourly\"\nretry_after = \"1s\"");
    settled(&at, "backup", "@hourly", ago(3));
    at.org().refuse_queries("Contact", 400, "MALFORMED_QUERY", RESTRICTED);
    at.script(Rule::once(query_of("task"), Fault::error(503, "SERVER_UNAVAILABLE", "maintenance")));
    let runs = two_runs(&at);
    let objects = at.data().objects().len() as u64;
    let (first, second) = (runs[0].set.as_ref().unwrap(), runs[1].set.as_ref().unwrap());
    assert_eq!((runs[0].exit_status, first.exported, first.failed.len()), (69, objects - 2, 1));
    assert_eq!((runs[1].exit_status, second.exported, second.carried_over), (0, 1, objects - 2));
    assert_eq!(second.skipped, first.skipped);
    // The list, one batch of describes and two queries: what was skipped is asked for again, because it may have been a
    // passing fault.
    assert_eq!(runs[1].api_calls, 4);
    let manifest = at.manifest();
    assert_eq!(names(&manifest["files"]).len() as u64, objects - 1);
    assert_eq!(names(&manifest["skipped"]), ["Contact"]);
    let run_of = |object: &str| {
        let files = manifest["files"].as_array().unwrap();
        files.iter().find(|file| file["object"] == object).unwrap()["run_id"].clone()
    };
    assert_ne!(run_of("Account"), manifest["run_id"]);
    for object in names(&manifest["files"]) {
        at.assert_exported(object);
    }
    // What each object's columns and query were is in its file.
    assert!(history(&at).iter().all(|run| run.columns.is_empty() && run.soql.is_none()));
}

#[test]
fn a_set_killed_halfway_goes_on_with_what_is_missing() {
    let at = Deployment::new(20);
    let org = format!("{}max_concurrent_runs = 1\n", at.org_table("org"));
    at.write("sfexport.toml", format!("{org}{}\n", support::NO_WAITS));
    at.plain_set(&[], "schedule = \"@hourly\"\nretry_after = \"0s\"");
    settled(&at, "backup", "@hourly", ago(3));
    // Objects are exported in alphabetical order; this one never gets its response.
    at.script(Rule::once(query_of("task"), Fault::HalfOpen { after: None }));
    let mut daemon = Process::start(&at);
    wait_for(|| at.queried_since(0).contains(&"Task".to_owned()).then_some(())).unwrap();
    let exported: BTreeSet<_> = history(&at).into_iter().filter_map(|run| run.object).collect();
    daemon.signal("KILL");
    assert_eq!(daemon.ended(), 128 + 9);
    assert!(!exported.is_empty() && exported.len() < at.data().objects().len() - 1, "{exported:?}");
    assert!(!at.path("exports/backup.manifest.json").exists());

    let requests = at.org().requests().len();
    let mut daemon = Process::start(&at);
    let set = wait_for(|| history(&at).into_iter().find(|run| run.set.is_some())).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    assert_eq!((set.exit_status, set.set.as_ref().unwrap().carried_over), (0, exported.len() as u64));
    let queried: BTreeSet<_> = at.queried_since(requests).into_iter().collect();
    assert!(queried.is_disjoint(&exported), "{queried:?} and {exported:?}");
    let objects: Vec<_> = at.data().objects().iter().map(|object| object.name).collect();
    assert_eq!(queried.len() + exported.len(), objects.len());
    assert_eq!(names(&at.manifest()["files"]).len(), objects.len());
    for object in objects {
        at.assert_exported(object);
    }
    at.assert_no_stage();
}

#[test]
fn two_sets_of_one_daemon_share_the_orgs_room() {
    let at = Deployment::with(Options { think: Duration::from_millis(40), ..options(20) });
    let org = format!("{}max_concurrent_runs = 1\n", at.org_table("org"));
    at.write("sfexport.toml", format!("{org}{}\n", support::NO_WAITS));
    for job in ["a", "b"] {
        let objects: Vec<_> = at.data().objects().iter().map(|object| object.name).collect();
        let text =
            format!("objects = {objects:?}\noutput = \"{job}/{{object}}.csv\"\nschedule = \"@hourly\"\n");
        at.write(&format!("jobs/{job}.toml"), text);
        settled(&at, job, "@hourly", ago(3));
    }
    let begun = Instant::now();
    let mut daemon = Process::start(&at);
    let sets = || Some(history(&at).into_iter().filter(|run| run.set.is_some()).collect::<Vec<_>>());
    let sets = wait_for(|| sets().filter(|sets| sets.len() == 2)).unwrap();
    let took = begun.elapsed();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    assert!(sets.iter().all(|set| set.exit_status == 0), "{}", daemon.said());
    // Both ran at once, one export at a time.
    let latest_start = sets.iter().map(|set| set.started).max().unwrap();
    assert!(sets.iter().all(|set| latest_start < set.ended));
    let exports = 2 * at.data().objects().len() as u32;
    assert!(took >= exports * Duration::from_millis(40), "{took:?}");
    assert_eq!(at.logins().len(), 2);
    for job in ["a", "b"] {
        assert!(at.path(&format!("exports/{job}/{job}.manifest.json")).exists());
    }
}

#[test]
fn a_set_takes_no_slot_of_its_org() {
    let at = Deployment::new(20);
    let org = format!("{}max_concurrent_runs = 1\n", at.org_table("org"));
    at.write("sfexport.toml", format!("{org}{}\n", support::NO_WAITS));
    at.set(&["Account", "Task"], "");
    at.job("single", "SELECT Id FROM Contact", "single.csv", "");
    at.run(["run", "--all"]).ended(0);
    assert!(at.path("exports/single.csv").exists() && at.path("exports/backup.manifest.json").exists());
}

#[test]
fn a_lost_session_is_renewed_once_for_all_objects() {
    let at = Deployment::new(50);
    at.plain_set(&[], "");
    at.script(Rule::once(query_of("contact"), Fault::ExpiredSession));
    at.run(["run", "backup"]).ended(0);
    assert_eq!(at.logins().len(), 2);
    for object in at.data().objects() {
        at.assert_exported(object.name);
    }
}

#[test]
fn a_used_up_quota_ends_the_set_at_once() {
    let at = Deployment::new(20);
    let org = format!("{}max_concurrent_runs = 1\n", at.org_table("org"));
    at.write("sfexport.toml", format!("{org}{}\n", support::NO_WAITS));
    at.plain_set(&[], "");
    let limit = Fault::error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
    at.script(Rule::always(query_of("contact"), limit));
    let objects = at.data().objects().len();
    let ended = at.run(["run", "backup", "--json"]).ended(75).says(&[
        "error: backup: the org's daily API requests are used up",
        &format!("of {objects} objects are not exported"),
    ]);
    let exported = of_set(&ended.reports())["set"]["exported"].as_u64().unwrap();
    assert!(exported > 0 && exported < objects as u64 - 1, "{exported} of {objects}");
    assert_eq!(at.queried_since(0).len() as u64, exported + 1);
}

/// A set of one export at a time, two attempts for each request, and the number of its objects.
fn one_by_one(more: &str) -> (Deployment, usize) {
    let at = Deployment::new(20);
    let org = format!("{}max_concurrent_runs = 1\n", at.org_table("org"));
    at.write("sfexport.toml", format!("{org}{}\nattempts = 2\n", support::NO_WAITS));
    at.plain_set(&[], more);
    let objects = at.data().objects().len();
    (at, objects)
}

/// A fault of every request after the list, the batch of descriptions, each request in it, and two objects' records.
fn behind_two_objects(times: usize, fault: Fault, objects: usize) -> Rule {
    Rule::times(At::Containing("/services/data".to_owned()), times, fault).after(1 + 1 + objects + 2)
}

/// How often the org was asked for something that is free, to find out whether it responds.
fn probes(at: &Deployment) -> usize {
    at.org().requests().iter().filter(|request| request.target == "/services/data").count()
}

#[test]
fn a_network_that_dies_ends_the_set_after_one_object() {
    let (at, objects) = one_by_one("");
    at.script(behind_two_objects(usize::MAX, Fault::Close, objects));
    let ended = at.run(["run", "backup", "--json"]).ended(69).says(&[
        "error: backup: cannot reach \"127.0.0.1:",
        &format!("; {} of {objects} objects are not exported", objects - 2),
    ]);
    let reports = ended.reports();
    let set = of_set(&reports);
    assert_eq!((&set["set"]["exported"], names(&set["set"]["failed"]).len()), (&json!(2), 1));
    assert_eq!(set["set"]["not_tried"], json!(objects - 3));
    // Two attempts for the object, two for the question whether the org responds, and none for the other objects.
    assert_eq!(at.queried_since(0).len(), 2 + 2);
    assert_eq!(probes(&at), 2);
}

#[test]
fn an_org_in_maintenance_ends_the_set_too() {
    let (at, objects) = one_by_one("");
    at.script(behind_two_objects(usize::MAX, Fault::html(503, "<h1>Maintenance</h1>"), objects));
    at.run(["run", "backup"])
        .ended(69)
        .says(&["the org cannot respond now", &format!("; {} of {objects} objects", objects - 2)]);
    assert_eq!((at.queried_since(0).len(), probes(&at)), (2 + 2, 2));
}

#[test]
fn a_network_that_dies_before_a_description_ends_the_set() {
    let (at, objects) = one_by_one("");
    at.script(Rule::always(At::Containing("/services/data".to_owned()), Fault::Close).after(1));
    at.run(["run", "backup"]).ended(69).says(&[&format!("of {objects} objects")]);
    assert_eq!(at.queried_since(0), Vec::<String>::new());
}

#[test]
fn a_set_whose_network_died_is_completed_by_a_retry() {
    let (at, objects) = one_by_one("schedule = \"@hourly\"\nretry_after = \"1s\"");
    settled(&at, "backup", "@hourly", ago(3));
    at.script(behind_two_objects(4, Fault::Close, objects));
    let runs = two_runs(&at);
    let (first, second) = (runs[0].set.as_ref().unwrap(), runs[1].set.as_ref().unwrap());
    assert_eq!((runs[0].exit_status, first.exported, first.failed.len()), (69, 2, 1));
    assert_eq!((runs[1].exit_status, second.carried_over, second.exported), (0, 2, objects as u64 - 2));
    for object in at.data().objects() {
        at.assert_exported(object.name);
    }
}

#[test]
fn an_object_that_breaks_its_connection_stops_no_other() {
    let (at, objects) = one_by_one("");
    at.script(Rule::always(query_of("contact"), Fault::Close));
    let ended =
        at.run(["run", "backup", "--json"]).ended(69).says(&["error: backup: 1 object failed: Contact"]);
    let reports = ended.reports();
    let set = of_set(&reports);
    assert_eq!(names(&set["set"]["failed"]), ["Contact"]);
    assert_eq!(set["set"]["exported"], json!(objects - 1));
    assert_eq!(probes(&at), 1);
}

#[test]
fn the_timeout_is_that_of_the_whole_set() {
    let at = Deployment::new(20);
    at.plain_set(&[], "timeout = \"2s\"");
    at.script(Rule::always(query_of("task"), Fault::Late(Duration::from_secs(60))));
    let begun = Instant::now();
    let ended = at.run(["run", "backup", "--json"]).ended(69).says(&["took longer than its timeout of 2s"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let reports = ended.reports();
    let set = of_set(&reports);
    assert_eq!(set["set"]["exported"].as_u64(), Some(at.data().objects().len() as u64 - 1));
    assert!(!at.path("exports/Task.csv").exists() && !at.path("exports/backup.manifest.json").exists());
}

#[test]
fn a_signal_ends_all_exports_of_a_set() {
    let at = Deployment::new(20);
    at.plain_set(&[], "");
    at.script(Rule::always(query_of("task"), Fault::HalfOpen { after: None }));
    let child = at.command(["run", "backup", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    wait_for(|| at.queried_since(0).contains(&"Task".to_owned()).then_some(())).unwrap();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ended = at.outcome(child.wait_with_output().unwrap()).ended(130);
    assert_eq!(of_set(&ended.reports())["status"], "cancelled");
}

#[test]
fn a_full_disk_fails_the_object_that_does_not_fit() {
    let at = Deployment::new(5_000);
    at.set(&["Account", "Profile", "User"], "");
    let run = at.command(["run", "backup", "--json"]);
    let mut limited = Command::new("sh");
    limited.env_clear().current_dir(run.get_current_dir().unwrap());
    // 32 or 64 KiB, as the shell counts.
    limited.args(["-c", "ulimit -f 64; exec \"$0\" run backup --json"]).arg(run.get_program());
    let ended = at.outcome(limited.output().unwrap()).ended(73);
    let reports = ended.reports();
    let set = of_set(&reports);
    assert_eq!(names(&set["set"]["failed"]), ["Account"]);
    assert_eq!(set["set"]["exported"], json!(2));
    assert!(!at.path("exports/Account.csv").exists());
    at.assert_exported("User");
}

#[test]
fn one_object_of_a_set_is_exported_alone() {
    let at = Deployment::new(20);
    at.plain_set(&["!Lead"], "");
    at.run(["run", "backup"]).ended(0);
    let before = at.read("exports/backup.manifest.json");
    std::fs::remove_file(at.path("exports/Account.csv")).unwrap();
    let requests = at.org().requests().len();
    let ended = at.run(["run", "backup", "--object", "account", "--json"]).ended(0);
    assert_eq!(ended.reports().len(), 1);
    assert_eq!(ended.reports()[0]["object"], "Account");
    assert_eq!(at.queried_since(requests), ["Account"]);
    at.assert_exported("Account");
    assert_eq!(at.read("exports/backup.manifest.json"), before);
    assert_eq!(history(&at).pop().unwrap().object.as_deref(), Some("Account"));
    at.run(["run", "backup", "--object", "Lead"]).ended(2).says(&["remove \"!Lead\" from `objects`"]);
    at.run(["run", "backup", "--object", "Acount"])
        .ended(65)
        .says(&["no object \"Acount\"", "write \"Account\""]);
    at.job("single", "SELECT Id FROM Account", "single/a.csv", "");
    at.run(["run", "single", "--object", "Account"]).ended(2).says(&["is not a set of objects"]);
}

#[test]
fn a_dry_run_of_a_set_asks_for_no_records() {
    let at = Deployment::new(20);
    at.plain_set(&[], "");
    at.run(["run", "backup", "--dry-run"]).ended(0);
    let paths: Vec<_> = at.queries().iter().map(|request| request.path().to_owned()).collect();
    assert_eq!(paths, ["/services/data/v62.0/sobjects"]);
    assert_eq!((at.names_below("exports").len(), history(&at).len()), (0, 0));
}

#[test]
fn a_list_that_selects_nothing_fails() {
    let at = Deployment::new(20);
    at.set(&["*__nothing"], "");
    at.run(["run", "backup"])
        .ended(65)
        .says(&["the org has no object that objects = \"*__nothing\" selects"]);
    at.set(&["Account", "*__nothing", "Acount"], "");
    at.run(["run", "backup"]).ended(65).says(&[
        "no object of the org matches \"*__nothing\"",
        "backup: Acount: the org has no object \"Acount\"",
    ]);
    at.assert_exported("Account");
}

#[test]
fn four_hundred_objects_take_few_requests() {
    let at = Deployment::with(Options { catalog: Catalog::Numbered(400), ..options(3) });
    at.set(&["Obj*"], "");
    let set = at.run(["run", "backup", "--json"]).ended(0).reports().pop().unwrap();
    assert_eq!((&set["records"], &set["set"]["exported"]), (&json!(1_200), &json!(400)));
    assert_eq!(at.logins().len(), 1);
    let describes = at.requests_to("/services/data/v62.0/composite/batch").len();
    assert_eq!(describes, 16);
    // The list, and a query for each object.
    assert_eq!(at.queries().len(), describes + 1 + 400);
    assert_eq!(names(&at.manifest()["files"]).len(), 400);
    at.assert_exported("Obj399__c");
}

#[test]
fn a_single_job_writes_a_manifest_if_it_is_told_to() {
    let at = Deployment::new(20);
    at.job("accounts", "SELECT Id, Name FROM Account", "accounts.csv", "manifest = true");
    at.run(["run", "accounts"]).ended(0);
    let manifest: Value = serde_json::from_str(&at.text("exports/accounts.manifest.json")).unwrap();
    assert_eq!(manifest["files"][0]["path"], "accounts.csv");
    assert_eq!(manifest["files"][0]["object"], Value::Null);
    let columns = json!([{"name": "Id", "type": null}, {"name": "Name", "type": null}]);
    assert_eq!(manifest["files"][0]["columns"], columns);
    at.write("jobs/accounts.toml", "object = \"Account\"\noutput = \"{object}.csv\"\nmanifest = true\n");
    at.run(["run", "accounts"]).ended(0);
    let manifest: Value = serde_json::from_str(&at.text("exports/Account.manifest.json")).unwrap();
    assert_eq!(manifest["files"][0]["object"], "Account");
    at.assert_exported("Account");
}

#[test]
fn an_object_that_has_sent_records_is_not_skipped() {
    let at = Deployment::new(500);
    at.configure("attempts = 1\nbatch_size = 200");
    at.set(&["*ccount"], "");
    at.script(Rule::always(
        At::Page(2),
        Fault::error(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred"),
    ));
    at.run(["run", "backup"]).ended(69).says(&["backup: Account: ", "UNKNOWN_EXCEPTION"]);
    assert!(!at.path("exports/backup.manifest.json").exists());
}

#[test]
fn a_set_of_refusals_alone_fails() {
    let at = Deployment::new(20);
    at.set(&["*ontact"], "");
    at.org().refuse_queries("Contact", 400, "MALFORMED_QUERY", RESTRICTED);
    at.run(["run", "backup"])
        .ended(65)
        .says(&["backup: Contact skipped: ", "the org refuses to export any of the objects"]);
    assert!(!at.path("exports/backup.manifest.json").exists());
}

#[test]
fn descriptions_in_another_order_are_asked_for_again() {
    let at = Deployment::new(20);
    at.set(&["Account", "Contact"], "");
    let described = |name: &str| json!({"statusCode": 200, "result": {"name": name, "fields": [{"name": "Id", "type": "id"}]}});
    let swapped = json!({"hasErrors": false, "results": [described("Contact"), described("Account")]});
    let batch = At::Containing("/composite/batch".to_owned());
    at.script(Rule::once(batch, Fault::body(swapped.to_string())));
    at.run(["run", "backup"]).ended(0);
    at.assert_exported("Account");
    at.assert_exported("Contact");
}

#[test]
fn a_set_exports_only_what_it_selects_by_object_too() {
    let at = Deployment::new(20);
    let deprecated = at.data().odd_objects().into_iter().find(|odd| odd.is_deprecated()).unwrap().name;
    at.set(&["*"], "");
    at.run(["run", "backup", "--object", deprecated])
        .ended(65)
        .says(&["leave out", &format!("add \"{deprecated}\" to `objects`")]);
    at.set(&["*ccount", deprecated], "");
    at.run(["run", "backup", "--object", deprecated]).ended(0);
}

#[test]
fn a_dry_run_finds_what_the_org_no_longer_has() {
    let at = Deployment::new(20);
    at.set(&["Account", "Contact"], "");
    at.run(["run", "backup"]).ended(0);
    at.org().hide_object("Contact");
    at.run(["run", "backup", "--dry-run"]).ended(65).says(&["no object \"Contact\""]);
    at.set(&["Account", "*ontact"], "");
    at.run(["run", "backup", "--dry-run"])
        .ended(65)
        .says(&["the org no longer has an object \"Contact\"", "add \"!Contact\" to `objects`"]);
    at.org().restore_object("Contact");
    at.org().refuse_queries("Contact", 400, "MALFORMED_QUERY", RESTRICTED);
    at.set(&["Account", "Contact"], "");
    // With an exclusion beside it, the name would be a mistake.
    at.run(["run", "backup"]).ended(65).says(&["remove \"Contact\" from `objects`"]);
}

/// The first set of the daemon after a run by hand for the same occurrence, whose reports are changed by `edit`.
fn carried_over(edit: impl Fn(&mut Value), change: impl Fn(&Deployment)) -> (u64, u64) {
    let at = Deployment::new(20);
    at.plain_set(&[], "schedule = \"@hourly\"");
    settled(&at, "backup", "@hourly", ago(3));
    let hour = 3_600;
    let occurrence = jiff::Timestamp::from_second(ago(0).as_second() / hour * hour).unwrap();
    at.run(["run", "backup", "--at", &occurrence.to_string()]).ended(0);
    let mut runs: Vec<Value> =
        at.text("state/runs.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    runs.iter_mut().for_each(edit);
    let lines: String = runs.iter().map(|run| format!("{run}\n")).collect();
    at.write("state/runs.jsonl", lines);
    change(&at);
    let known = runs.len();
    let mut daemon = Process::start(&at);
    let of_set = || history(&at).into_iter().skip(known).find_map(|run| run.set);
    let set = wait_for(of_set).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    for object in at.data().objects() {
        at.assert_exported(object.name);
    }
    (set.exported, set.carried_over)
}

#[test]
fn only_exports_of_the_occurrence_are_carried_over() {
    let all = Deployment::new(1).data().objects().len() as u64;
    let same = |_: &mut Value| ();
    assert_eq!(carried_over(same, |_| ()), (0, all));
    // A run before the occurrence has not seen what happened until then.
    let early = |run: &mut Value| run["started"] = json!("2001-01-01T00:00:00Z");
    assert_eq!(carried_over(early, |_| ()), (all, 0));
    // Other settings for one object.
    let settings = "schedule = \"@hourly\"\n[objects_with.Account]\nwhere = \"Id != null\"";
    assert_eq!(carried_over(same, |at| at.plain_set(&[], settings)), (1, all - 1));
    // A file that was changed since, but not its size.
    let spoil = |at: &Deployment| {
        let mut bytes = at.read("exports/Account.csv");
        *bytes.last_mut().unwrap() ^= 1;
        at.write("exports/Account.csv", bytes);
    };
    assert_eq!(carried_over(same, spoil), (1, all - 1));
}

#[test]
fn a_manifest_has_the_columns_names_in_the_file() {
    let at = Deployment::new(20);
    let settings = "column_names = \"snake\"\n[objects_with.Account]\nfields = [\"Id\", \"IsDeleted\"]";
    at.set(&["Account"], settings);
    at.run(["run", "backup"]).ended(0);
    let columns = json!([{"name": "id", "type": "text"}, {"name": "is_deleted", "type": "boolean"}]);
    assert_eq!(at.manifest()["files"][0]["columns"], columns);
    assert_eq!(at.text("exports/Account.csv").lines().next(), Some("id,is_deleted"));
}

#[test]
fn a_retrys_manifest_has_the_types_of_earlier_files() {
    let at = Deployment::new(20);
    at.configure("attempts = 1");
    at.set(&["Account", "Contact"], "column_names = \"snake\"\nschedule = \"@hourly\"\nretry_after = \"1s\"");
    settled(&at, "backup", "@hourly", ago(3));
    at.script(Rule::once(query_of("contact"), Fault::error(503, "SERVER_UNAVAILABLE", "maintenance")));
    let mut daemon = Process::start(&at);
    let set =
        wait_for(|| history(&at).into_iter().rev().find(|run| run.set.is_some() && run.exit_status == 0));
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    assert_eq!(set.unwrap().set.unwrap().carried_over, 1);
    let columns = |manifest: &Value| manifest["files"][0]["columns"].clone();
    let retried = columns(&at.manifest());
    at.run(["run", "backup"]).ended(0);
    assert_eq!(retried, columns(&at.manifest()));
    assert_eq!(retried[0], json!({"name": "id", "type": "text"}));
}

#[test]
fn a_misspelt_column_of_a_set_is_a_warning() {
    let at = Deployment::new(20);
    let rules =
        "[columns]\nNmae = \"title\"\nLastName = \"surname\"\nZorblax = \"z\"\n[types]\nphnoe = \"text\"";
    at.set(&["Account", "Contact"], rules);
    let warned = |report: &Value| {
        let warnings = report["warnings"].as_array().unwrap().iter();
        warnings.map(|warning| warning.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let set = at.run(["run", "backup", "--json"]).ended(0).reports().pop().unwrap();
    assert_eq!(
        warned(&set),
        [
            "no exported object has a column \"Nmae\"; correct or remove it in [columns]",
            "no exported object has a column \"Zorblax\"; correct or remove it in [columns]",
            "no exported object has a column \"phnoe\"; correct or remove it in [types]",
        ]
    );
    let checked = at.run(["check", "backup"]).ended(0).stdout().to_owned();
    for (what, hint) in [
        ("no object has a column \"Nmae\", which is in [columns]", "did you mean \"Name\"?"),
        ("no object has a column \"Zorblax\", which is in [columns]", "correct or remove it in [columns]"),
        ("no object has a column \"phnoe\", which is in [types]", "did you mean \"Phone\"?"),
    ] {
        assert!(checked.contains(what) && checked.contains(hint), "{what} is not in\n{checked}");
    }
    assert!(!checked.contains("surname"), "{checked}");
}

#[test]
fn a_check_of_a_set_finds_what_would_fail() {
    let at = Deployment::new(20);
    at.set(&["Account", "*ontact"], "");
    at.run(["run", "backup"]).ended(0);
    at.run(["check", "backup"]).ended(0);
    let fails = |status: i32, words: &[&str]| {
        let ended = at.run(["check", "backup"]).ended(status);
        for word in words {
            assert!(ended.stdout().contains(word), "{word} is not in {}", ended.stdout());
        }
    };
    at.org().hide_object("Contact");
    fails(65, &["the org no longer has an object \"Contact\""]);
    at.org().restore_object("Contact");
    at.set(&["*ccount"], "[objects_with.Account]\nwhere = \"Nme = 'x'\"");
    fails(65, &["Account: ", "Nme"]);
    at.set(&["*ccount"], "[objects_with.Account]\nfields = [\"Nme\"]");
    fails(65, &["Account: ", "Nme"]);
    let odd = at.data().odd_objects();
    let unqueryable = odd.iter().find(|odd| !odd.is_queryable()).unwrap().name;
    at.set(&["Account", unqueryable], "");
    fails(65, &[unqueryable, "cannot be queried"]);
    at.set(&["Account"], "manifest = \"taken/m.json\"");
    at.write("exports/taken", "a file");
    fails(73, &["the manifest could not be written"]);
}

/// The failed and warned steps of a check, each with its hint.
#[track_caller]
fn problems(at: &Deployment, status: i32) -> Vec<(String, Option<String>)> {
    let steps = at.run(["check", "backup", "--json"]).ended(status).reports();
    let problems = steps.iter().filter(|step| step["outcome"] == "failed" || step["outcome"] == "warned");
    problems
        .map(|step| (step["what"].as_str().unwrap().to_owned(), step["hint"].as_str().map(str::to_owned)))
        .collect()
}

#[test]
fn check_names_the_objects_whose_columns_do_not_fit() {
    let at = Deployment::new(20);
    at.set(&["User", "Profile"], "[columns]\nId = \"name\"");
    let alone = "the columns \"Id\" and \"Name\" are both named \"Name\"";
    at.run(["run", "backup"]).ended(65).says(&[alone]);
    let found = problems(&at, 65);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, format!("Profile: {alone}; likewise User"));
    // A pattern that finds hundreds makes one step of them too.
    at.plain_set(&[], "[columns]\nId = \"name\"");
    let found = problems(&at, 65);
    assert!(found.len() < 20, "{found:?}");
    // A table of its own has all steps of a single job.
    at.set(
        &["User", "Profile"],
        "[columns]\nId = \"name\"\n[objects_with.User]\nfields = [\"Id\", \"Alias\"]",
    );
    assert_eq!(problems(&at, 65).len(), 1);
}

#[test]
fn check_tries_the_query_of_each_object_that_is_named() {
    let at = Deployment::new(20);
    at.set(&["Account", "ContentDocumentLink"], "");
    at.run(["run", "backup"]).ended(65);
    let before = at.queries().len();
    let found = problems(&at, 65);
    assert_eq!(found.len(), 1, "{found:?}");
    let (what, hint) = &found[0];
    assert!(what.starts_with("ContentDocumentLink: the org refused the query: MALFORMED_QUERY"), "{what}");
    let expected = "remove \"ContentDocumentLink\" from `objects`, or set a `where` in \
                    [objects_with.ContentDocumentLink] that the org accepts";
    assert_eq!(hint.as_deref(), Some(expected));
    // The limits, the objects, their descriptions, and one plan for each.
    assert_eq!(at.queries().len() - before, 5, "{:?}", &at.queries()[before..]);
    // A pattern does without it, and nothing is tried.
    at.set(&["Account", "ContentDocumentL*"], "");
    let found = problems(&at, 0);
    assert_eq!(found, []);
}

#[test]
fn check_compares_the_pinned_columns_of_each_object() {
    let at = Deployment::new(20);
    let pinned = |more: &str| {
        let text = format!(
            "objects = [\"*rofile\", \"User\"]\noutput = \"{{object}}/{{kind}}-{{mark}}-{{run_id}}.csv\"\ncolumns_pinned = true\n\
             [columns]\nUsername = \"login\"\n[incremental]\n{more}"
        );
        at.write("jobs/backup.toml", text);
    };
    pinned("[objects_with.Profile]\nfields = [\"Id\"]");
    at.run(["run", "backup"]).ended(0);
    assert_eq!(problems(&at, 0), []);
    pinned("");
    let before = at.org().requests().len();
    let found = problems(&at, 65);
    let failed: Vec<_> = found.iter().filter(|(what, _)| what.contains("columns_pinned")).collect();
    let start = "Profile: the columns have changed since the last successful run: new: ";
    assert_eq!(failed.len(), 1, "{found:?}");
    assert!(failed[0].0.starts_with(start), "{found:?}");
    // The columns, the rules and the changes are found out by the same descriptions.
    let requests = at.org().requests().split_off(before);
    let described = requests.iter().filter(|request| {
        request.path().ends_with("/composite/batch") || request.path().ends_with("/describe")
    });
    assert_eq!(described.count(), 1);
    at.run(["run", "backup"]).ended(65);
}

#[test]
fn check_tries_the_output_of_each_object() {
    let at = Deployment::new(20);
    at.set(&["Profile", "User"], "");
    std::fs::create_dir_all(at.path("exports/User.csv")).unwrap();
    at.run(["run", "backup"]).ended(73);
    let found = problems(&at, 73);
    assert_eq!(found.len(), 1, "{found:?}");
    let path = at.path("exports/User.csv").display().to_string();
    assert_eq!(found[0].0, format!("User: cannot write {path}: it is a directory, not a file"));
    std::fs::remove_dir(at.path("exports/User.csv")).unwrap();
    at.write("exports/User.csv", "Id\n");
    assert_eq!(problems(&at, 0), []);
    at.set(&["Profile", "User"], "if_exists = \"fail\"");
    std::fs::remove_file(at.path("exports/Profile.csv")).unwrap();
    assert!(problems(&at, 73)[0].0.starts_with("User: "));
    // It is no different offline, and many objects share a step.
    let offline = at.run(["check", "backup", "--offline"]).ended(73);
    assert!(offline.stdout().contains("User: "), "{}", offline.stdout());
    at.run(["run", "backup"]).ended(73);
    let objects = ["Account", "Contact", "Profile", "Task", "User"];
    objects.iter().for_each(|object| at.write(&format!("exports/{object}.csv"), "Id\n"));
    at.set(&objects, "if_exists = \"fail\"");
    let found = problems(&at, 73);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0.starts_with("Account: "), "{found:?}");
    assert!(found[0].0.ends_with("; likewise Contact, Profile, Task, User"), "{found:?}");
}

#[test]
fn check_finds_the_objects_that_bulk_has_refused() {
    let at = Deployment::new(20);
    at.set(&["Account", "*ontact"], "api = \"bulk\"");
    at.org().refuse_in_bulk("Contact");
    assert_eq!(problems(&at, 0), []);
    at.run(["run", "backup"]).ended(65);
    let found = problems(&at, 65);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0.starts_with("Contact: Bulk refused it within the last week: "), "{found:?}");
}
