//! The jobs of `jobs/` are worth copying: all of them are read, and their columns known.

use std::ffi::OsString;
use std::path::Path;

use sfexport::config::{self, Selection, Sources};
use sfexport::soql::Columns;

#[test]
fn every_example_job_is_a_job_that_can_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let variable = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
    let sources = Sources {
        environment: vec![
            variable("SFEXPORT_ORG__CLIENT_ID", "3MVG9example"),
            variable("SFEXPORT_ORG__USERNAME", "integration@example.com"),
            variable("SFEXPORT_ORG__KEY_FILE", "server.key"),
        ],
        working_dir: root.to_owned(),
        ..Sources::default()
    };
    let config = config::load(&sources, &Selection::All).expect("the example jobs are read");
    assert_eq!(config.warnings, []);
    let files = std::fs::read_dir(root.join("jobs")).expect("jobs/ is there").count();
    assert_eq!(config.jobs.len(), files);
    assert!(files >= 5, "five or so");
    for job in &config.jobs {
        assert!(job.schedule.is_some(), "{} has a schedule", job.name);
        assert!(!Columns::of(job.query().unwrap()).expect("its columns are known").names().is_empty());
    }
}
