//! Any text as SOQL: no panic, and what is printed of a statement parses to the same statement.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sfexport::soql::{Columns, Query};

fuzz_target!(|text: &str| match Query::parse(text) {
    Ok(query) => {
        let again = Query::parse(&query.statement.to_string()).expect("its own print");
        assert_eq!(again.statement, query.statement);
        if let Ok(columns) = Columns::of(&query) {
            let mut names: Vec<_> = columns.names().iter().map(|name| name.to_ascii_lowercase()).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), columns.names().len(), "two columns of one name");
        }
    }
    Err(error) => {
        assert!(error.line >= 1 && error.column >= 1);
        let _ = error.to_string();
    }
});
