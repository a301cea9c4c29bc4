use super::*;

fn column(name: &str, field_type: FieldType) -> Column {
    let keys = vec![name.to_owned()];
    let (name, original) = (name.to_owned(), name.to_owned());
    Column {
        name,
        original,
        keys,
        field_type,
        type_is_set: false,
        required: false,
        optional: false,
        children: None,
    }
}

fn export(format: Format, columns: Vec<Column>) -> Export {
    let file = File { path: "exports/a.csv".to_owned(), child: None, columns };
    let form = Form { format, csv: CsvDialect::default(), rfc3339: false };
    Export { job: "a".to_owned(), soql: "SELECT Id FROM A".to_owned(), form, files: vec![file] }
}

fn texts(names: &[&str]) -> Export {
    export(Format::Csv, names.iter().map(|name| column(name, FieldType::Text)).collect())
}

const DATABASES: [Target; 4] = [Target::BigQuery, Target::Snowflake, Target::Postgres, Target::DuckDb];

/// Who refuses an export, and why.
fn refusals(export: &Export) -> Vec<(&'static str, String)> {
    let refused = |target: Target| {
        let what = write(export, target).err()?.what;
        let why =
            what.strip_prefix(&format!("{} cannot hold this export: ", target.name())).unwrap().to_owned();
        Some((target.name(), why))
    };
    DATABASES.into_iter().filter_map(refused).collect()
}

/// The same reason from each of these.
fn all<const N: usize>(names: [&'static str; N], why: &str) -> Vec<(&'static str, String)> {
    names.map(|name| (name, why.to_owned())).to_vec()
}

#[test]
fn postgres_takes_names_of_63_bytes_and_no_more() {
    assert_eq!(refusals(&texts(&[&"x".repeat(63)])), []);
    let long = format!("{}é", "x".repeat(62));
    let why = format!("the name \"{long}\" is longer than 63 bytes");
    assert_eq!(refusals(&texts(&[&long])), all(["Postgres"], &why));
}

#[test]
fn each_database_has_its_own_longest_name() {
    let refused = |length| {
        refusals(&texts(&[&"x".repeat(length)])).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(refused(255), ["Postgres"]);
    assert_eq!(refused(256), ["Snowflake", "Postgres"]);
    assert_eq!(refused(300), ["Snowflake", "Postgres"]);
    assert_eq!(refused(301), ["BigQuery", "Snowflake", "Postgres"]);
}

#[test]
fn names_that_differ_by_case_are_two_to_postgres_alone() {
    let why = "\"Name\" and \"NAME\" would both be named \"NAME\"";
    assert_eq!(refusals(&texts(&["Name", "NAME"])), all(["BigQuery", "Snowflake", "DuckDB"], why));
}

#[test]
fn a_dot_and_an_underscore_are_one_to_bigquery() {
    let why = "\"Owner.Name\" and \"Owner_Name\" would both be named \"Owner_Name\"";
    assert_eq!(refusals(&texts(&["Owner.Name", "Owner_Name"])), all(["BigQuery"], why));
}

#[test]
fn names_that_a_database_keeps_for_itself_are_refused() {
    let expected = [
        ("BigQuery", "the name \"_table_x\" is reserved".to_owned()),
        ("Postgres", "the name \"ctid\" is reserved".to_owned()),
    ];
    assert_eq!(refusals(&texts(&["ctid", "_table_x"])), expected);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let long = "x".repeat(64);
    let why = format!("the name \"xmin\" is reserved; the name \"{long}\" is longer than 63 bytes");
    assert_eq!(refusals(&texts(&["xmin", &long])), all(["Postgres"], &why));
}

#[test]
fn postgres_takes_1600_columns_and_bigquery_10000() {
    let wide = |columns| {
        let columns = (0..columns).map(|number| column(&format!("c{number}"), FieldType::Text)).collect();
        refusals(&export(Format::Csv, columns))
    };
    assert_eq!(wide(1_600), []);
    assert_eq!(wide(1_601), all(["Postgres"], "1601 columns are more than 1600"));
    let databases = |columns| wide(columns).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(databases(10_000), ["Postgres"]);
    assert_eq!(databases(10_001), ["BigQuery", "Postgres"]);
}

#[test]
fn a_key_of_json_lines_cannot_be_renamed_for_bigquery() {
    let export = export(Format::Jsonl, vec![column("größe", FieldType::Text)]);
    let why = "the name \"größe\" has characters other than letters, digits and \"_\"";
    assert_eq!(refusals(&export), all(["BigQuery"], why));
}

#[test]
fn snowflake_takes_two_quote_characters() {
    let mut export = texts(&["Id"]);
    export.form.csv.quote = b'\'';
    assert_eq!(refusals(&export), []);
    export.form.csv.quote = b'|';
    assert_eq!(refusals(&export), all(["Snowflake"], "'|' cannot be the quote character"));
}

#[test]
fn a_table_is_named_after_the_job_and_the_child_query() {
    let mut file = texts(&[]).files.remove(0);
    assert_eq!(file.table("2026-all.accounts"), "2026_all_accounts");
    file.child = Some("Contacts.Tasks".to_owned());
    assert_eq!(file.table("accounts"), "accounts_Contacts_Tasks");
}

#[test]
fn tables_that_would_be_one_are_refused() {
    let mut export = texts(&["Id"]);
    let child = |name: &str| File { child: Some(name.to_owned()), ..export.files[0].clone() };
    let children = [child("A.B"), child("A_B")];
    export.files.extend(children);
    let why = "\"A.B\" and \"A_B\" would both be named \"a_A_B\"";
    assert_eq!(refusals(&export), all(["BigQuery", "Snowflake", "Postgres", "DuckDB"], why));
}

#[test]
fn a_name_or_a_path_with_quotes_ends_no_literal() {
    let mut export = texts(&["a\"b`c"]);
    export.files[0].path = "it's \"1\".csv".to_owned();
    let written = |target| write(&export, target).expect("valid names");
    let postgres = written(Target::Postgres);
    assert!(postgres.contains("    \"a\"\"b`c\" text\n"), "{postgres}");
    assert!(postgres.contains(r#"PROGRAM 'tr -d "\\000" < ''it''\''''s "1".csv''' WITH"#), "{postgres}");
    assert!(written(Target::DuckDb).contains("FROM read_csv('it''s \"1\".csv', "));
    let bigquery = written(Target::BigQuery);
    assert!(bigquery.contains("    `a_b_c` STRING\n"), "{bigquery}");
    assert!(bigquery.ends_with("DATASET.a 'it'\\''s \"1\".csv'\n"), "{bigquery}");
}

#[test]
fn no_text_of_a_query_leaves_its_comment() {
    let mut export = texts(&["Id"]);
    export.soql = "SELECT Id\nFROM A\rDROP TABLE b;\u{2028}x".to_owned();
    for target in DATABASES {
        let script = write(&export, target).expect("valid names");
        let (before, _) = script.split_once("CREATE").expect("a table");
        assert!(before.lines().all(|line| line.is_empty() || line.starts_with("--")), "{before}");
        assert!(!before.contains(['\r', '\u{2028}']), "{before}");
    }
}

#[test]
fn columns_of_a_parent_are_nested_at_every_depth() {
    let at = |keys: &str| Column {
        keys: keys.split('.').map(str::to_owned).collect(),
        ..column(keys, FieldType::Text)
    };
    let columns = ["Id", "Owner.Id", "Owner.Manager.Name", "Owner.Name", "Name"].map(at);
    assert_eq!(show(&nested(&columns)), "Id Owner(Id Manager(Name) Name) Name");
}

fn show(nodes: &[Node<'_>]) -> String {
    let one = |node: &Node<'_>| match node {
        Node::Value(key, _) => (*key).to_owned(),
        Node::Parent(key, inner) => format!("{key}({})", show(inner)),
    };
    nodes.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_query_is_wrapped_at_spaces_outside_its_literals() {
    assert_eq!(wrap("SELECT Id, Name FROM A", 12), ["SELECT Id,", "Name FROM A"]);
    let text = r"SELECT Id FROM A WHERE B = 'a b c d e \' f g' AND C = 1";
    assert_eq!(wrap(text, 12), ["SELECT Id", "FROM A WHERE", r"B =", r"'a b c d e \' f g'", "AND C = 1"]);
    assert_eq!(wrap("SELECT Id\n  FROM A", 80), ["SELECT Id", "  FROM A"]);
    assert_eq!(wrap("abcdefghijkl mn", 5), ["abcdefghijkl", "mn"]);
}

#[test]
fn the_documented_types_are_those_of_the_tables() {
    let page = include_str!("../../docs/types.md");
    let table =
        page.split_once("| type | Postgres | DuckDB | BigQuery | Snowflake |\n|---|---|---|---|---|\n");
    let rows: Vec<Vec<_>> = table
        .expect("the table")
        .1
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('`').skip(1).step_by(2).collect())
        .collect();
    let all = [
        FieldType::Text,
        FieldType::Boolean,
        FieldType::Integer,
        FieldType::Long,
        FieldType::Double,
        FieldType::Decimal { precision: 18, scale: 2 },
        FieldType::Date,
        FieldType::DateTime,
        FieldType::Time,
        FieldType::Json,
        FieldType::Base64,
        FieldType::Any,
    ];
    let documented = |field_type: FieldType| {
        let export = export(Format::Csv, vec![column("x", field_type)]);
        let of = |target, name: &str| {
            let script = write(&export, target).expect("a valid name");
            let definition =
                script.split_once(name).expect("the column").1.split_once('\n').expect("a line").0;
            definition.trim().to_owned()
        };
        [
            field_type.to_string(),
            of(Target::Postgres, "\"x\""),
            of(Target::DuckDb, "\"x\""),
            of(Target::BigQuery, "`x`"),
            of(Target::Snowflake, "\"X\""),
        ]
    };
    assert_eq!(rows, all.map(documented));
}
