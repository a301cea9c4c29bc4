//! What `check --offline` says of mistakes in files, variables and keys, in snapshots that are reviewed as prose.
//! `INSTA_UPDATE=always cargo test --test messages_of_configuration` writes them again.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use support::steady::steady;
use support::{Deployment, key_pair};

const GOOD: &str = "soql = \"SELECT Id FROM Account\"\noutput = \"{job}.csv\"\n";

/// The output of `check --offline`, under a heading.
fn checked(name: &str, at: &Deployment, variables: &[(&str, &str)]) -> String {
    let output = at.command(["check", "--offline"]).envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    format!("\n===== {name} ({})\n{}\n", output.status.code().unwrap(), steady(at, &said))
}

#[test]
fn mistakes_in_files_read_well() {
    let settings = Deployment::new(1);
    settings.write(
        "sfexport.toml",
        "statedir = \"x\"\nstate_dir = 5\noutput_root = \"~/exports\"\njobs_dir = [1]\nsoql = \"x\"\n\
         [http]\nattempts = 0\nconnect_timeout = 30\nidle_timeout = \"soon\"\npage_cap = \"lots\"\n\
         batch_size = \"200\"\ngzip = 1\nwait_min = \"500000 days\"\nlisten = \"x\"\n\
         [daemon]\nmax_concurrent_runs = 1.5\nhistory_keep = \"0s\"\n\
         [status]\nlisten = \"9090\"\nhosts = 5\n\
         [notify]\nwebhook = \"hooks.example.com/canary\"\non = [\"failures\"]\n[colours]\nx = 1\n",
    );
    let orgs = Deployment::new(1);
    orgs.write(
        "sfexport.toml",
        "[org]\nlogin_url = \"http://login.salesforce.com/x\"\nclient_id = \"a@example.com\"\nusername = \"3MVG9\"\n\
         key = \"canary\"\npassword = \"canary\"\napi_version = \"30.0\"\ninstance_hosts = [\"https://x.example.com\"]\n\
         [orgs.client_id]\n[orgs.EMEA]\n[orgs.default]\n[orgs.no_key]\nclient_id = \"x\"\n\
         [orgs.two]\nlogin_url = \"https://acme.lightning.force.com\"\nclient_id = \"3MV\u{200b}G9\"\n\
         username = \"integration\"\nkey_file = \"s3://b/k\"\napi_version = \"62\"\nuser_name = \"x\"\n",
    );
    let jobs = Deployment::new(1);
    for (name, text) in [
        ("a", format!("{GOOD}timezone = \"Europe/Berln\"\nschedule = \"61 * * * *\"\norg = \"emea\"\n")),
        ("b", format!("{GOOD}timezone = \"PST\"\nretries = 101\nfile_mode = \"999\"\nattempts = 3\n")),
        (
            "c",
            format!("{GOOD}soql_file = \"x.soql\"\nattributes = true\nquery = \"x\"\n[csv]\nquote = \",\"\n"),
        ),
        ("d", "output = \"d.csv\"\nobject = \"1st\"\nfields = []\nwhere = \"WHERE Id != null\"\n".to_owned()),
        (
            "e",
            "soql = \"SELECT Id FROM Account\"\nfields = [\"Id\"]\noutput = \"e.jsonl\"\ncsv.bom = true\n"
                .to_owned(),
        ),
        (
            "set",
            "objects = [\"*\", \"Account\", \"!acc*\", \"Owner.Name\"]\nfields = [\"Id\"]\noutput = \"{job}.csv\"\n\
             manifest = \"list.csv\"\n[objects_with.Acount]\nwhere = \"WHERE Id != null\"\nschedule = \"@daily\"\n"
                .to_owned(),
        ),
        ("f", String::new()),
        ("g", "soql = \"SELECT Id FROM Account\"\noutput = \"h.csv\"\n".to_owned()),
        ("h", GOOD.to_owned()),
        (
            "i",
            format!(
                "{GOOD}csv.null = \",\"\ncsv.delimiter = \";;\"\nchildren = \"file\"\nenabled = \"no\"\n"
            ),
        ),
        ("no job", GOOD.to_owned()),
    ] {
        jobs.write(&format!("jobs/{name}.toml"), text);
    }
    let syntax = Deployment::new(1);
    for (number, line) in [
        "timezone = Europe/Berlin",
        "org =",
        "enabled = yes",
        "file_mode = 0640",
        "org: emea",
        "time zone = \"UTC\"",
        "timezone = “UTC”",
        "soql_file = \"a \"b\" c\"",
        "soql_file = \"C:\\queries\\a.soql\"",
        "soql_file = \"a",
        "output = \"b.csv\"",
        "[csv]\n[csv]",
        "passwort = canary",
    ]
    .into_iter()
    .enumerate()
    {
        syntax.write(&format!("jobs/j{number:02}.toml"), format!("{GOOD}{line}\n"));
    }
    let warnings = Deployment::new(1);
    warnings.write("jobs/a.toml", format!("{GOOD}retries = 3\n"));
    for ignored in ["b.TOML", "c.yaml", "d/e.toml"] {
        warnings.write(&format!("jobs/{ignored}"), GOOD);
    }
    let text = [
        checked("settings", &settings, &[]),
        checked("orgs", &orgs, &[]),
        checked("jobs", &jobs, &[]),
        checked("syntax", &syntax, &[]),
        checked("warnings", &warnings, &[("SFEXPORT_HTTP_ATTEMPTS", "3"), ("sfexport_state_dir", "x")]),
        checked("no jobs", &Deployment::new(1), &[]),
        checked(
            "variables",
            &Deployment::new(1),
            &[
                ("SFEXPORT_HTTP__ATTEMPTS", "many"),
                ("SFEXPORT_ORG__KEY", "x"),
                ("SFEXPORT_ORG__USERNAME", "\u{feff}a@example.com"),
                ("SFEXPORT_ORGS__EMEA", "x"),
                ("SFEXPORT_ORGS__DEFAULT__USERNAME", "x"),
                ("SFEXPORT_ORGS__APAC__USERNAME", "a@example.com"),
                ("SFEXPORT_ORGS__APAC__PASSWORD", "canary"),
            ],
        ),
    ]
    .concat();
    assert!(!text.contains("canary"), "{text}");
    insta::assert_snapshot!("mistakes", text);
}

#[test]
fn mistakes_about_quotas_and_commands_read_well() {
    let orgs = Deployment::new(1);
    let mut text = String::new();
    for (number, line) in [
        "api_reserve = \"0%\"",
        "api_reserve = \"100%\"",
        "api_reserve = \"2.5%\"",
        "api_reserve = \"-5%\"",
        "api_reserve = \"20\"",
        "api_reserve = \"a lot\"",
        "api_reserve = 0",
        "api_reserve = -20",
        "api_reserve = 20.0",
        "api_reserve = true",
        "org_id = \"\"",
        "org_id = \"00Dxx0000001gP\"",
        "org_id = \"005xx0000001gPLEAY\"",
        "org_id = \"00Dxx0000001gplEAY\"",
        "org_id = 5",
        "orgid = \"00Dxx0000001gPL\"",
        "reserve = \"20%\"",
    ]
    .into_iter()
    .enumerate()
    {
        text += &format!("{}{line}\n", orgs.org_table(&format!("orgs.o{number:02}")));
    }
    orgs.write("sfexport.toml", text);
    let jobs = Deployment::new(1);
    for (number, line) in [
        "after = \"upload {path}\"",
        "after = \"gzip -9 '{path}' | upload\"",
        "after = []",
        "after = [\" \", \"x\"]",
        "after = [\"upload\", 5]",
        "after = 5",
        "after = [\"upload\", \"{pth}\"]",
        "after = [\"upload\", \"{date}\"]",
        "after = [\"awk\", \"{ print $1\"]",
        "after = [\"awk\", \"print $1 }\"]",
        "after = [\"upload\", \"a\\u0000b\"]",
        "after = [\"upload\"]\nafter_timeout = \"0s\"",
        "after = [\"upload\"]\nafter_timeout = 300",
        "after_timeout = \"5m\"",
        "hook = [\"upload\"]",
        "ping_url = \"https://hc-ping.example/canary/{object}\"",
        "ping_url = \"hc-ping.example/canary/{org}\"",
        "ping_url = 5",
    ]
    .into_iter()
    .enumerate()
    {
        jobs.write(&format!("jobs/j{number:02}.toml"), format!("{GOOD}{line}\n"));
    }
    let text = [
        checked("orgs", &orgs, &[]),
        checked("jobs", &jobs, &[]),
        checked("variables", &Deployment::new(1), &[("SFEXPORT_ORG__API_RESERVE", "101%")]),
    ]
    .concat();
    assert!(!text.contains("canary"), "{text}");
    insta::assert_snapshot!("quotas_and_commands", text);
}

/// Jobs of the same text but for this line, in the order of the lines.
fn jobs_with(at: &Deployment, lines: &[&str]) {
    for (number, line) in lines.iter().enumerate() {
        at.write(&format!("jobs/j{number:02}.toml"), line);
    }
}

#[test]
fn mistakes_in_fleets_read_well() {
    const QUERY: &str = "soql = \"SELECT Id FROM Account\"\n";
    let defaults = Deployment::new(1);
    defaults.configure(
        "[defaults]\nsoql = \"SELECT Id FROM Account\"\norgs = [\"*\"]\nschedul = \"@daily\"\nstate_dir = \"x\"\n\
         delimiter = \";\"\nschedule = \"none\"\ntimezone = \"EST\"\noutput = \"{jb}.csv\"\norg = \"emae\"\nretries = -1\n\
         fields = []\nwhere = \"WHERE Id != null\"\nmanifest = \"x.csv\"\nping_url = \"https://p.example/canary\"\n\
         after = \"up {path}\"\nattributes = true\ncolumn_names = \"snake\"\nenabled = \"yes\"\n[defaults.csv]\nquote = \",\"\nschedule = \"@daily\"\n\
         [defaults.objects_with.Account]\nwhere = \"SELECT\"\nfields = [\"*\"]\noutput = \"x\"\n[orgs.emea]\nkey_file = \"x\"\n\
         client_id = \"x\"\nusername = \"a@example.com\"\n",
    );
    jobs_with(&defaults, &[QUERY; 3]);
    let flat = Deployment::new(1);
    flat.write(
        "sfexport.toml",
        "schedule = \"@daily\"\nobjects = [\"*\"]\nbom = true\n[default]\nretries = 3\n",
    );
    let unfit = Deployment::new(1);
    unfit.configure(&format!(
        "[defaults]\noutput = \"{{job}}.csv\"\norg = \"emea\"\nping_url = \"https://p.example/{{job}}/canary\"\n\
         [defaults.columns]\nName = \"ID\"\n[defaults.csv]\nnull = \";\"\n{}",
        unfit.org_table("orgs.emea")
    ));
    jobs_with(
        &unfit,
        &[
            &format!("{QUERY}orgs = [\"*\"]\n"),
            &format!("{QUERY}format = \"jsonl\"\n"),
            "objects = [\"*\"]\n",
            "soql = \"SELECT Id, Name FROM Account\"\n",
            &format!("{QUERY}csv.delimiter = \";\"\n"),
            QUERY,
        ],
    );
    let orgs = Deployment::new(1);
    let tables: Vec<_> = ["emea_1", "emea_2", "uat"].map(|org| orgs.org_table(&format!("orgs.{org}"))).into();
    orgs.configure(&tables.join("\n"));
    let job = |line: &str| format!("{QUERY}output = \"{{org}}/{{job}}.csv\"\n{line}\n");
    let lines = [
        job("orgs = []"),
        job("orgs = [\"uta\"]"),
        job("orgs = [\"production\"]"),
        job("orgs = [\"apac_*\", \"UAT\", \"\"]"),
        job("orgs = [\"*\", \"!uta\"]"),
        job("orgs = [\"uat\", \"!u*\"]"),
        job("orgs = [\"!uat\"]"),
        job("orgs = [\"*\"]\norg = \"uat\""),
        job("orgs = 5"),
        format!("{QUERY}output = \"{{job}}.csv\"\norgs = [\"*\"]\n"),
        "objects = [\"*\"]\noutput = \"x/{object}.csv\"\nmanifest = \"x/m.json\"\norgs = [\"uat\"]\n"
            .to_owned(),
        job("orgs = [\"uat\"]\nping_url = \"https://p.example/canary\""),
    ];
    jobs_with(&orgs, &lines.each_ref().map(String::as_str));
    let clashes = Deployment::new(1);
    clashes.configure(&tables.join("\n"));
    jobs_with(
        &clashes,
        &[
            "objects = [\"*\"]\noutput = \"{object}/{org}.csv\"\norgs = [\"*\"]\n",
            &format!("{QUERY}output = \"x/{{org}}.csv\"\norgs = [\"*\"]\n"),
            &format!("{QUERY}output = \"x/uat.csv\"\n"),
            &format!(
                "{QUERY}output = \"{{job}}.{{org}}\"\nformat = \"csv\"\nmanifest = true\norgs = [\"emea_*\"]\n"
            ),
        ],
    );
    let text = [
        checked("defaults", &defaults, &[]),
        checked("other tables", &flat, &[]),
        checked("defaults that do not fit", &unfit, &[]),
        checked("orgs", &orgs, &[]),
        checked("clashes", &clashes, &[]),
    ]
    .concat();
    assert!(!text.contains("canary"), "{text}");
    insta::assert_snapshot!("fleets", text);
}

#[test]
fn mistakes_about_apis_read_well() {
    let job = |soql: &str, lines: &str| format!("soql = \"{soql}\"\noutput = \"{{job}}.csv\"\n{lines}\n");
    let of = |lines: &str| job("SELECT Id FROM Account", lines);
    let bulk = |soql: &str| job(soql, "api = \"bulk\"");
    let at = Deployment::new(1);
    let old = at.org_table("orgs.old").replace("key_file", "api_version = \"46.0\"\nkey_file");
    at.configure(&old);
    let lines = [
        of("api = \"bulk2\""),
        of("api = \"soap\""),
        of("api = 2"),
        of("use_bulk = true"),
        of(
            "[bulk]\nfrom_calls = 1\nmax_records = 200\nparallel = 8\njob_timeout = 3600\nrest_max_calls = \"many\"",
        ),
        of(
            "[bulk]\nfrom_call = 20\nmax_records = 2000000\nparallel = 0\njob_timeout = \"0s\"\nrest_max_calls = -1",
        ),
        of("bulk = true"),
        of("parallel = 2"),
        bulk("SELECT Id, (SELECT Id FROM Contacts) FROM Account"),
        bulk("SELECT COUNT() FROM Account"),
        bulk("SELECT Name FROM Account GROUP BY Name"),
        bulk("SELECT Id FROM Account LIMIT 5 OFFSET 10"),
        bulk("SELECT TYPEOF What WHEN Account THEN Name END FROM Event"),
        bulk("SELECT toLabel(Type) FROM Account"),
        bulk("SELECT FIELDS(ALL) FROM Account LIMIT 200"),
        of("format = \"jsonl\"\napi = \"bulk\"\nattributes = true").replace("{job}.csv", "{job}.jsonl"),
        of("api = \"bulk\"\norg = \"old\""),
    ];
    jobs_with(&at, &lines.each_ref().map(String::as_str));
    let set = Deployment::new(1);
    jobs_with(
        &set,
        &[
            "objects = [\"Account\"]\noutput = \"{object}.csv\"\n[objects_with.Account]\napi = \"bulk\"\n",
            "objects = [\"Account\"]\noutput = \"x/{object}.csv\"\n[objects_with.Account.bulk]\nparallel = 2\n",
        ],
    );
    let warnings = Deployment::new(1);
    jobs_with(
        &warnings,
        &[
            &of("api = \"rest\"\n[bulk]\nfrom_calls = 30\nparallel = 2"),
            &of("api = \"bulk\"\n[bulk]\nfrom_calls = 30\nparallel = 2\nrest_max_calls = 10"),
            &of("api = \"auto\"\n[bulk]\nfrom_calls = 30\nparallel = 2\nrest_max_calls = 10"),
        ],
    );
    let text =
        [checked("jobs", &at, &[]), checked("sets", &set, &[]), checked("warnings", &warnings, &[])].concat();
    insta::assert_snapshot!("apis", text);
}

/// A block of PEM with this label.
fn block(label: &str, content: &str) -> String {
    format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
}

#[test]
fn refused_keys_and_certificates_read_well() {
    let (key, certificate) = (&key_pair().key, &key_pair().certificate);
    let at = Deployment::new(1);
    at.write("jobs/a.toml", format!("{GOOD}org = \"empty\"\n"));
    let mut orgs = String::new();
    for (name, content) in [
        ("altered", key.replacen("MII", "MIX", 1)),
        ("cut", key[..400].to_owned()),
        ("empty", String::new()),
        ("noise", "\u{1}\u{2}".to_owned()),
        ("text", "hunter2".to_owned()),
        ("certificate", certificate.clone()),
        ("request", block("CERTIFICATE REQUEST", "MAA=")),
        ("pkcs7", block("PKCS7", "MAA=")),
        ("public", block("PUBLIC KEY", "MAA=")),
        ("crl", block("X509 CRL", "MAA=")),
        ("ec", block("EC PRIVATE KEY", "MAA=")),
        ("openssh", block("OPENSSH PRIVATE KEY", "c3NoLXJzYQ==")),
        ("openssh_ed25519", block("OPENSSH PRIVATE KEY", "MAA=")),
        ("putty", "PuTTY-User-Key-File-3: ssh-rsa\n".to_owned()),
        ("several", format!("{key}{key}")),
        (
            "locked",
            block(
                "RSA PRIVATE KEY",
                "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nMAA=",
            ),
        ),
        (
            "des",
            block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,0011223344556677\n\nMAA="),
        ),
        ("open", key.clone()),
        ("large", "x".repeat(2_000_000)),
        ("good", key.clone()),
    ] {
        let file = format!("{name}.key");
        at.write(&file, content);
        let mode = if name == "open" { 0o644 } else { 0o600 };
        fs::set_permissions(at.path(&file), fs::Permissions::from_mode(mode)).unwrap();
        let table = at.org_table(&format!("orgs.{name}"));
        orgs += &table.replace("server.key", &file);
    }
    fs::create_dir(at.path("directory")).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    let other = rcgen::CertificateParams::new(vec!["other".to_owned()]).unwrap().self_signed(&other).unwrap();
    at.write("other.crt", other.der());
    for (name, keys) in [
        ("missing", "key_file = \"missing.key\"\ncert_file = \"missing.crt\"\n"),
        ("directory", "key_file = \"directory\"\ncert_file = \"text.key\"\n"),
        ("no_password", "key_file = \"locked.key\"\nkey_password_file = \"empty.key\"\n"),
        ("open_password", "key_file = \"locked.key\"\nkey_password_file = \"open.key\"\n"),
        ("wrong_password", "key_file = \"locked.key\"\nkey_password_file = \"text.key\"\n"),
        ("other_certificate", "key_file = \"server.key\"\ncert_file = \"other.crt\"\n"),
    ] {
        let table = at.org_table(&format!("orgs.{name}"));
        orgs += &table.replace("key_file = \"server.key\"\n", keys);
    }
    at.write("sfexport.toml", orgs);
    let variables = [("SFEXPORT_ORGS__GOOD__KEY", "server.key")];
    insta::assert_snapshot!("keys", checked("keys", &at, &variables));
}

#[test]
fn mistakes_about_incremental_exports_read_well() {
    const OUTPUT: &str = "{job}/{kind}-{mark}.csv";
    let job = |soql: &str, table: &str| {
        format!("soql = \"{soql}\"\noutput = \"{OUTPUT}\"\n[incremental]\n{table}\n")
    };
    let object =
        |output: &str, lines: &str| format!("object = \"Account\"\noutput = \"{output}\"\n{lines}\n");
    let at = Deployment::new(1);
    let lines = [
        object(OUTPUT, "incremental = true"),
        object(OUTPUT, "incremental = \"SystemModstamp\""),
        object(OUTPUT, "cursor_field = \"SystemModstamp\""),
        object(OUTPUT, "lag = \"15m\""),
        object(OUTPUT, "[incremental]\nfeild = \"X\"\nlag = 15\ndeletes = \"hard\"\nfull = \"61 * * * *\"\nempty = true"),
        object(OUTPUT, "[incremental]\nfield = \"Owner.SystemModstamp\""),
        object(OUTPUT, ""),
        object("{job}-{mark}.csv", ""),
        object("{job}.csv", "[incremental]"),
        object("{job}-{kind}-{date}.csv", "[incremental]"),
        object("{kind}-{mark:%Y-%m}.csv", "schedule = \"@daily\"\n[incremental]"),
        object(OUTPUT, "all_rows = true\n[incremental]\ndeletes = \"ids\""),
        "objects = [\"*\"]\noutput = \"{object}.csv\"\n[incremental]\n".to_owned(),
        "objects = [\"*\"]\noutput = \"{object}/{kind}-{mark}.csv\"\nmanifest = \"{mark}.json\"\n[incremental]\n"
            .to_owned(),
        job("SELECT Id, IsDeleted, (SELECT Id FROM Contacts) FROM Account", ""),
        job("SELECT COUNT() FROM Account", ""),
        job("SELECT Name, MAX(SystemModstamp) FROM Account GROUP BY Name", ""),
        job("SELECT Id, IsDeleted FROM Account LIMIT 5", ""),
        job("SELECT Id, IsDeleted FROM Account OFFSET 5", ""),
        job("SELECT Name FROM Account", ""),
        job("SELECT Id, Name FROM Account", "deletes = \"ids\""),
        job("SELECT Id, SystemModstamp FROM Account", "deletes = \"ids\"\nfield = \"LastModifiedDate\""),
    ];
    jobs_with(&at, &lines.each_ref().map(String::as_str));
    let warnings = Deployment::new(1);
    jobs_with(
        &warnings,
        &[
            &object(
                "a/{kind}-{mark:%C}.csv",
                "all_rows = true\nif_exists = \"replace\"\n[incremental]\nlag = \"30s\"",
            ),
            &object(
                "b/{kind}-{mark:%C}.csv",
                "if_exists = \"fail\"\n[incremental]\nlag = \"0s\"\ndeletes = \"none\"",
            ),
        ],
    );
    let text = [checked("jobs", &at, &[]), checked("warnings", &warnings, &[])].concat();
    insta::assert_snapshot!("incremental", text);
}
