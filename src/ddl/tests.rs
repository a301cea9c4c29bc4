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
    let form = Form { format, codec: None, csv: CsvDialect::default(), rfc3339: false };
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
    for name in ["_CHANGE_SEQUENCE_NUMBER", "_CHANGE_TYPE", "_Change_Timestamp__c"] {
        let why = format!("the name \"{name}\" is reserved");
        assert_eq!(refusals(&texts(&[name])), all(["BigQuery"], &why));
    }
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

/// The script for an export that `target` can hold.
fn script(export: &Export, target: Target) -> String {
    write(export, target).expect("an export that it can hold")
}

fn has(script: &str, expected: &str) {
    assert!(script.contains(expected), "{expected} is not in {script}");
}

#[test]
fn duckdb_is_told_which_line_breaks_end_rows() {
    let mut export = texts(&["Id", "Name"]);
    has(&script(&export, Target::DuckDb), r"new_line = '\n'");
    export.form.csv.crlf = true;
    has(&script(&export, Target::DuckDb), r"new_line = '\r\n'");
}

#[test]
fn duckdb_reads_long_lines_with_a_bounded_buffer() {
    has(&script(&texts(&["Id"]), Target::DuckDb), "max_line_size = 67108864, buffer_size = 67108864");
}

#[test]
fn control_characters_are_written_as_each_database_reads_them() {
    let mut export = texts(&["Id", "Name"]);
    export.form.csv =
        CsvDialect { delimiter: 1, quote: 2, null: "\t\\'".to_owned(), ..CsvDialect::default() };
    let postgres = r"DELIMITER E'\x01', QUOTE E'\x02', NULL E'\t\\'''";
    has(&script(&export, Target::Postgres), postgres);
    let duckdb = r"delim = E'\x01', quote = E'\x02', escape = E'\x02', nullstr = E'\t\\'''";
    has(&script(&export, Target::DuckDb), duckdb);
    let bigquery = r#"--field_delimiter="$(printf '\001')" --quote="$(printf '\002')" --null_marker="$(printf '\011\134\047')""#;
    has(&script(&export, Target::BigQuery), bigquery);
    export.form.csv.quote = b'"';
    has(&script(&export, Target::Snowflake), r"FIELD_DELIMITER = '\x01'");
    has(&script(&export, Target::Snowflake), r"NULL_IF = ('\t\\''')");
}

#[test]
fn a_shell_makes_the_characters_that_a_script_cannot_show() {
    let text = "\u{1}%d\\'\t\u{202e}";
    let word = sql::shell_word(text);
    assert_eq!(word, "\"$(printf '\\001\\045d\\134\\047\\011\\342\\200\\256')\"");
    let output = std::process::Command::new("sh").args(["-c", &format!("printf %s {word}")]).output();
    assert_eq!(String::from_utf8(output.expect("a shell").stdout).as_deref(), Ok(text));
}

#[test]
fn names_with_invisible_characters_are_refused() {
    let why = |name| format!("the name \"{name}\" has invisible characters");
    let everyone = ["Snowflake", "Postgres", "DuckDB"];
    assert_eq!(refusals(&texts(&["a\u{202e}b"])), all(everyone, &why("a\\u{202e}b")));
    assert_eq!(refusals(&texts(&["a\tb"])), all(everyone, &why("a\\tb")));
}

#[test]
fn a_null_or_a_path_that_no_command_can_show_is_refused() {
    let everyone = ["BigQuery", "Snowflake", "Postgres", "DuckDB"];
    let mut export = texts(&["Id"]);
    export.form.csv.null = "\u{200f}".to_owned();
    assert_eq!(refusals(&export), all(everyone, "the null \"\\u{200f}\" has invisible characters"));
    let mut export = texts(&["Id"]);
    export.files[0].path = "a\u{202e}.csv".to_owned();
    assert_eq!(refusals(&export), all(everyone, "its commands cannot name the file \"a\\u{202e}.csv\""));
}

#[test]
fn null_in_the_only_column_is_read_although_it_is_quoted() {
    let one = texts(&["a\"b"]);
    has(&script(&one, Target::Postgres), r#"FORCE_NULL ("a""b")"#);
    has(&script(&one, Target::DuckDb), "allow_quoted_nulls = true");
    has(&script(&one, Target::Snowflake), "NULL_IF = ('')");
}

#[test]
fn quoted_text_is_not_null_in_any_other_file() {
    let mut of_token = texts(&["Id"]);
    of_token.form.csv.null = "NULL".to_owned();
    let mut of_ids = texts(&["Id"]);
    of_ids.files[0].columns[0].required = true;
    for export in [texts(&["Id", "Name"]), of_token, of_ids] {
        assert!(!script(&export, Target::Postgres).contains("FORCE_NULL"));
        has(&script(&export, Target::DuckDb), "allow_quoted_nulls = false");
        assert!(!script(&export, Target::Snowflake).contains("NULL_IF = ('')"));
    }
}

#[test]
fn duckdb_does_not_read_a_path_as_a_pattern() {
    for (format, before) in
        [(Format::Csv, "read_csv("), (Format::Jsonl, "FROM "), (Format::Parquet, "read_parquet(")]
    {
        let mut export = export(format, vec![column("Id", FieldType::Text)]);
        export.files[0].path = "a b[1].csv".to_owned();
        has(&script(&export, Target::DuckDb), &format!("{before}'a b[[]1].csv'"));
        export.files[0].path = "a*b?c.csv".to_owned();
        has(&script(&export, Target::DuckDb), &format!("{before}'a[*]b[?]c.csv'"));
    }
}

#[test]
fn paths_that_are_always_patterns_are_refused() {
    let refused = |path: &str| {
        let mut export = texts(&["Id"]);
        export.files[0].path = path.to_owned();
        refusals(&export).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(refused("a?.csv"), ["Snowflake"]);
    assert_eq!(refused("a\\b.csv"), ["Snowflake"]);
    assert_eq!(refused("a\\?.csv"), ["Snowflake", "DuckDB"]);
    assert_eq!(refused("a[1].csv"), [""; 0]);
}

#[test]
fn a_directory_of_a_partition_is_not_a_column_to_duckdb() {
    for format in [Format::Csv, Format::Parquet] {
        let export = export(format, vec![column("Id", FieldType::Text)]);
        has(&script(&export, Target::DuckDb), "hive_partitioning = false");
    }
}

/// An export to Parquet of a column of each type that a file can have.
fn parquet() -> Export {
    let all = [
        ("Id", FieldType::Text),
        ("Flag", FieldType::Boolean),
        ("Count", FieldType::Integer),
        ("Total", FieldType::Long),
        ("Rate", FieldType::Double),
        ("Price", FieldType::Decimal { precision: 18, scale: 2 }),
        ("Day", FieldType::Date),
        ("Made", FieldType::DateTime),
        ("Opens", FieldType::Time),
    ];
    let mut export = export(Format::Parquet, all.map(|(name, kind)| column(name, kind)).to_vec());
    export.files[0].path = "exports/a.parquet".to_owned();
    export.files[0].columns[0].required = true;
    export
}

#[test]
fn duckdb_reads_parquet_by_name() {
    let script = script(&parquet(), Target::DuckDb);
    has(&script, "    \"Id\" VARCHAR NOT NULL,\n");
    has(&script, "    \"Made\" TIMESTAMPTZ,\n    \"Opens\" TIME\n");
    let load = "--   INSERT INTO \"a\" BY NAME SELECT * FROM read_parquet('exports/a.parquet', hive_partitioning = false);";
    has(&script, load);
}

#[test]
fn bigquery_has_the_types_of_a_parquet_file() {
    let mut export = parquet();
    let script = script(&export, Target::BigQuery);
    // The file's columns are optional.
    has(&script, "    `Id` STRING,\n");
    has(&script, "    `Price` NUMERIC(18, 2),\n");
    has(&script, "    `Made` TIMESTAMP,\n    `Opens` TIME\n");
    has(&script, "set temporal = \"text\" in [parquet]");
    let decimals = " --decimal_target_types=NUMERIC --decimal_target_types=BIGNUMERIC";
    let load = |flags| format!("--   bq load --source_format=PARQUET{flags} DATASET.a exports/a.parquet\n");
    has(&script, &load(decimals));
    export.files[0].columns.remove(5);
    has(&self::script(&export, Target::BigQuery), &load(""));
}

#[test]
fn a_column_of_parquet_cannot_be_renamed_for_bigquery() {
    let export = export(Format::Parquet, vec![column("Owner.Name", FieldType::Text)]);
    let failure = write(&export, Target::BigQuery).expect_err("a name with a dot");
    assert!(failure.what.ends_with("\"Owner.Name\" has characters other than letters, digits and \"_\""));
    let hint = "set column_names = \"snake\" in the job, or rename these columns in [columns]";
    assert_eq!(failure.hint.as_deref(), Some(hint));
    has(&script(&export, Target::Snowflake), "--           $1['Owner.Name']::VARCHAR\n");
}

#[test]
fn snowflake_reads_parquet_as_it_is() {
    let script = script(&parquet(), Target::Snowflake);
    has(&script, "SESSION SET TIMEZONE = 'UTC';\n");
    has(&script, "exports/a.parquet' @sfexport_stage AUTO_COMPRESS = FALSE OVERWRITE = TRUE;\n");
    has(&script, "$1['Price']::NUMBER(18, 2),\n");
    has(&script, "$1['Day']::DATE,\n");
    has(&script, "$1['Made']::TIMESTAMP_TZ,\n");
    has(&script, "$1['Opens']::TIME\n");
    has(&script, "'@sfexport_stage/a.parquet'\n");
    has(&script, "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE NULL_IF = ())");
    let text = export(Format::Parquet, vec![column("Made", FieldType::Text)]);
    assert!(!self::script(&text, Target::Snowflake).contains("TIMEZONE"));
}

#[test]
fn the_dialect_of_csv_does_not_change_the_load_of_parquet() {
    let plain = parquet();
    let mut export = plain.clone();
    export.form.csv =
        CsvDialect { delimiter: b'\\', quote: b' ', null: "\u{200f}".to_owned(), ..CsvDialect::default() };
    for target in [Target::BigQuery, Target::Snowflake, Target::DuckDb] {
        assert_eq!(script(&export, target), script(&plain, target));
    }
}

#[test]
fn targets_that_do_not_read_parquet_say_so() {
    let refused = |target| {
        let Failure { exit, what, hint, .. } = write(&parquet(), target).expect_err("a refusal");
        (exit, what, hint.unwrap_or_default())
    };
    let hint = "end `output` in .csv or .jsonl, or load the file with DuckDB's postgres extension";
    let what = "the job \"a\" writes Parquet, which Postgres does not read";
    assert_eq!(refused(Target::Postgres), (Exit::Usage, what.to_owned(), hint.to_owned()));
    let hint = "end `output` in .jsonl, or choose a database with --as";
    let what = "the job \"a\" writes Parquet, and a JSON Schema describes JSON Lines";
    assert_eq!(refused(Target::JsonSchema), (Exit::Usage, what.to_owned(), hint.to_owned()));
}

#[test]
fn the_table_of_lines_hides_no_table_of_the_export() {
    let mut export = export(Format::Jsonl, vec![column("Id", FieldType::Text)]);
    has(&script(&export, Target::Postgres), "CREATE TEMP TABLE sfexport_lines (line json)");
    export.job = "sfexport_lines".to_owned();
    let postgres = script(&export, Target::Postgres);
    has(&postgres, "CREATE TEMP TABLE sfexport_lines_ (line json)");
    has(&postgres, "INSERT INTO \"sfexport_lines\" SELECT\n--       line->>'Id'\n--   FROM sfexport_lines_;");
    has(&postgres, "DROP TABLE sfexport_lines_;");
}

#[test]
fn a_path_that_begins_with_a_hyphen_is_not_an_option() {
    let mut export = texts(&["Id"]);
    export.files[0].path = "-d.csv".to_owned();
    has(&script(&export, Target::BigQuery), "DATASET.a ./-d.csv\n");
    export.form.csv.bom = true;
    has(&script(&export, Target::Postgres), "PROGRAM 'tail -c +4 < -d.csv | tr ");
}

#[test]
fn a_backslash_is_not_an_escape_to_snowflake() {
    let export = export(Format::Jsonl, vec![column("a\\n", FieldType::Text)]);
    has(&script(&export, Target::Snowflake), r"$1['a\\n']::VARCHAR");
    let mut export = texts(&["Id"]);
    export.form.csv.delimiter = b'\\';
    assert_eq!(refusals(&export), all(["Snowflake"], "'\\\\' cannot be the delimiter"));
}

#[test]
fn duckdb_does_not_take_a_space_as_the_quote() {
    let mut export = texts(&["Id"]);
    export.form.csv.quote = b' ';
    assert_eq!(refusals(&export), all(["Snowflake", "DuckDB"], "' ' cannot be the quote character"));
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
