//! Snapshots of the messages about files, outputs, the state directory, the network, notifications and signals, and of
//! the daemon's log, reviewed as prose. `INSTA_UPDATE=always cargo test --test messages_of_the_engine` rewrites them.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sfexport::demo_org::{At, Fault, Options, Rule};
use sfexport::error::{Exit, Failure};
use sfexport::job::Location;
use support::Deployment;
use support::daemon::{Process, due, key, wait_for};

/// Text without this run's paths, ports, process ids, times, run ids and durations.
fn filtered(at: &Deployment, text: &str) -> String {
    let directory = at.path(".").canonicalize().unwrap();
    let port = at.org().url().rsplit_once(':').unwrap().1;
    let text = text.replace(directory.to_str().unwrap(), "DIR").replace(at.org().url(), "http://ORG");
    let text = text.replace(&format!("127.0.0.1:{port}"), "ORG");
    let text = without_ports(&text);
    let text = text.replace(&format!("process {}", std::process::id()), "process PID");
    let lines = text.lines().map(|line| line.split(' ').map(filtered_word).collect::<Vec<_>>().join(" "));
    lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Text with `ADDRESS` for each loopback address whose port the system chose; those below 1024 were written down.
fn without_ports(text: &str) -> String {
    const HOST: &str = "127.0.0.1:";
    let mut parts = text.split(HOST);
    let mut filtered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        match part[..digits].parse::<u16>() {
            Ok(port) if port >= 1024 => filtered += "ADDRESS",
            _ => filtered += &format!("{HOST}{}", &part[..digits]),
        }
        filtered += &part[digits..];
    }
    filtered
}

fn filtered_word(word: &str) -> String {
    let is_time = |text: &str| text.len() > 10 && text.starts_with("20") && text.as_bytes()[4] == b'-';
    match word.split_once('=') {
        Some(("run_id", _)) => "run_id=ID".to_owned(),
        Some((name @ ("seconds" | "bytes"), _)) => format!("{name}=N"),
        Some((name, value)) if is_time(value) => format!("{name}=TIME"),
        _ if is_time(word) => "TIME".to_owned(),
        _ => word.to_owned(),
    }
}

fn deployment() -> Deployment {
    let at = Deployment::with(Options { page_size: 100, ..support::options(300) });
    at.configure("attempts = 1");
    at
}

fn account_job(at: &Deployment, output: &str, more: &str) {
    at.job("accounts", "SELECT Id, Name FROM Account", output, more);
}

/// What a command says on standard error, under the name of its row.
fn row(at: &Deployment, name: &str, command: &mut Command) -> String {
    let outcome = at.outcome(command.stderr(Stdio::piped()).output().unwrap());
    let status = outcome.status.map_or_else(|| "signal".to_owned(), |status| status.to_string());
    let errors = outcome.stderr.lines().filter(|line| !line.contains(" ERROR ")).collect::<Vec<_>>();
    format!("\n===== {name} ({status})\n{}\n", filtered(at, &errors.join("\n")))
}

fn run(at: &Deployment) -> Command {
    at.command(["run", "accounts", "--log-level", "error"])
}

/// A row of a fresh deployment, whose job is run after `prepare` has spoilt something.
fn spoilt(name: &str, output: &str, more: &str, prepare: impl FnOnce(&Deployment)) -> String {
    let at = deployment();
    account_job(&at, output, more);
    prepare(&at);
    row(&at, name, &mut run(&at))
}

fn make_pipe(at: &Deployment, path: &str) {
    fs::create_dir_all(at.path(path).parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(at.path(path)).status().unwrap().success());
}

/// What [`Failure::of_file`] says of the errors that file systems give. The numbers are those of Linux's errno.h.
#[test]
fn messages_about_file_systems() {
    let mut text = String::new();
    for (name, errno) in [
        ("EPERM", 1),
        ("ENOENT", 2),
        ("EIO", 5),
        ("EACCES", 13),
        ("EBUSY", 16),
        ("ENOTDIR", 20),
        ("EISDIR", 21),
        ("ENFILE", 23),
        ("EMFILE", 24),
        ("EFBIG", 27),
        ("ENOSPC", 28),
        ("EROFS", 30),
        ("ENAMETOOLONG", 36),
        ("ENOLCK", 37),
        ("ELOOP", 40),
        ("ESTALE", 116),
        ("EDQUOT", 122),
    ] {
        let error = io::Error::from_raw_os_error(errno);
        let Failure { exit, what, hint, .. } =
            Failure::of_file(Exit::Output, "cannot write", Path::new("/data/a.csv"), &error);
        let hint = hint.map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
        text += &format!("\n===== {name} ({})\nerror: {what}\n{hint}", exit.code());
    }
    insta::assert_snapshot!("file_systems", text);
}

#[test]
fn messages_about_outputs() {
    let mut text = String::new();
    text += &spoilt("a directory", "a.csv", "", |at| fs::create_dir_all(at.path("exports/a.csv")).unwrap());
    text += &spoilt("already there", "a.csv", "if_exists = \"fail\"", |at| at.write("exports/a.csv", ""));
    text += &spoilt("a file above it", "a/b.csv", "", |at| at.write("exports/a", ""));
    text += &spoilt("a pipe", "a.csv", "", |at| make_pipe(at, "exports/a.csv"));
    text += &spoilt("a name too long", &format!("{}.csv", "a".repeat(300)), "", |_| {});
    text += &spoilt("a circle of links", "a.csv", "follow_links = true", |at| {
        fs::create_dir_all(at.path("exports")).unwrap();
        symlink("b.csv", at.path("exports/a.csv")).unwrap();
        symlink("a.csv", at.path("exports/b.csv")).unwrap();
    });
    text += &spoilt("a link out of output_root", "a.csv", "follow_links = true", |at| {
        fs::create_dir_all(at.path("exports")).unwrap();
        symlink(at.path("elsewhere.csv"), at.path("exports/a.csv")).unwrap();
    });

    let at = deployment();
    account_job(&at, "a.csv", "");
    let mut shell = Command::new("sh");
    shell.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(at.path("."));
    shell.args(["-c", "ulimit -f 1; exec \"$0\" run accounts --log-level error"]).arg(run(&at).get_program());
    text += &row(&at, "larger than the limit of the process", &mut shell);

    let query_to = |output: &str| {
        let soql = "SELECT Id, Name FROM Account";
        at.command(["query", soql, "-o", output, "--format", "csv", "--log-level", "error"])
    };
    text += &row(&at, "a system directory", &mut query_to("/proc/version"));
    text += &row(&at, "a reserved name", &mut query_to(".a.csv.20261122T010000Z-1f2e3d4c.query.partial"));
    let query = || query_to("-");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    text += &row(&at, "standard output full", query().stdout(full));
    insta::assert_snapshot!("outputs", text);
}

#[test]
fn messages_about_the_state_directory() {
    let journal = |entry: &str| format!("{{\"job\":\"accounts\",\"org\":\"default\",\"content\":[{entry}]}}");
    let mut text = String::new();
    text += &spoilt("a file", "a.csv", "", |at| at.write("state", ""));
    text += &spoilt("a history that is a directory", "a.csv", "", |at| {
        fs::create_dir_all(at.path("state/runs.jsonl")).unwrap();
    });
    for (name, journal) in [
        ("a damaged journal", "{".to_owned()),
        ("a journal of a later version", journal("{\"kind\":\"bulk_job\",\"id\":\"750\"}")),
        ("a journal of another job", journal("").replace("accounts", "contacts")),
        ("a journal that is too large", " ".repeat(1 << 21)),
    ] {
        let file = "state/journal/accounts@default.json";
        text += &spoilt(name, "a.csv", "", |at| at.write(file, &journal));
    }
    text += &spoilt("a journal that is a directory", "a.csv", "", |at| {
        fs::create_dir_all(at.path("state/journal/accounts@default.json")).unwrap();
    });
    text += &spoilt("a lock that is a directory", "a.csv", "", |at| {
        fs::create_dir_all(at.path("state/locks/accounts@default.lock")).unwrap();
    });

    let at = deployment();
    account_job(&at, "a.csv", "");
    let state = sfexport::state::State::open(&at.path("state")).unwrap();
    let held = state.lock_job(&key("accounts")).unwrap();
    text += &row(&at, "the job runs already", &mut run(&at));
    drop(held);
    let output = at.path("exports").join("a.csv");
    fs::create_dir_all(at.path("exports")).unwrap();
    let held = state.lock_output(&Location::File(output.canonicalize().unwrap_or(output))).unwrap();
    text += &row(&at, "the output is written already", &mut run(&at));
    drop(held);
    let held = state.lock_daemon().unwrap();
    text += &row(&at, "a daemon runs already", &mut at.command(["daemon", "--log-level", "error"]));
    drop(held);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let status = format!("attempts = 1\n[status]\nlisten = \"{}\"", listener.local_addr().unwrap());
    at.configure(&status);
    text += &row(&at, "the status port is taken", &mut at.command(["daemon", "--log-level", "error"]));
    insta::assert_snapshot!("state_directory", text);
}

/// A server of one connection after the other; its address.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
    address
}

/// Reads a request's head and body, and gives the body.
fn body_of(stream: &mut impl Read) -> String {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    // A client that gives up sends nothing more.
    let _ = reader.read_exact(&mut body);
    String::from_utf8_lossy(&body).into_owned()
}

/// A server that responds to everything with this, and closes the connection.
fn responds(response: &'static str) -> String {
    server(move |mut stream| {
        body_of(&mut stream);
        let _ = stream.write_all(response.as_bytes());
    })
}

/// A certificate for `name`, valid in these years, with the settings of a server that has it.
fn certified(name: &str, years: (i32, i32), is_ca: rcgen::IsCa) -> (String, Arc<ServerConfig>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.is_ca = is_ca;
    (parameters.not_before, parameters.not_after) =
        (rcgen::date_time_ymd(years.0, 1, 1), rcgen::date_time_ymd(years.1, 1, 1));
    let certificate = parameters.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let pem = pem("CERTIFICATE", certificate.der());
    let config = ServerConfig::builder().with_no_client_auth();
    (pem, Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap()))
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// Speaks TLS until the client has seen the certificate.
fn handshake(stream: TcpStream, config: &Arc<ServerConfig>) {
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream);
    body_of(&mut stream);
}

#[test]
fn messages_about_hosts() {
    let at = deployment();
    account_job(&at, "a.csv", "");
    let mut text = String::new();
    let mut reach = |name: &str, url: String| {
        let mut command = run(&at);
        text += &row(&at, name, command.env("SFEXPORT_ORG__LOGIN_URL", url));
    };
    // A label of 64 characters is refused without asking any server.
    reach("a label that is too long", format!("https://{}.my.salesforce.com", "x".repeat(64)));
    reach("plain HTTP on the port", format!("https://{}", responds("HTTP/1.1 400 Bad Request\r\n\r\n")));
    reach("another protocol", format!("http://{}", responds("SSH-2.0-OpenSSH_9.6\r\n")));
    reach("a connection that is closed", format!("http://{}", responds("")));

    let now = (2020, 2090);
    let untrusted = certified("127.0.0.1", now, rcgen::IsCa::NoCa).1;
    reach("an unknown authority", format!("https://{}", server(move |stream| handshake(stream, &untrusted))));
    let ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    for (name, host, years, is_ca) in [
        ("a certificate that has expired", "127.0.0.1", (2020, 2021), rcgen::IsCa::NoCa),
        ("a certificate of the future", "127.0.0.1", (2089, 2090), rcgen::IsCa::NoCa),
        ("a certificate for another host", "login.example.com", now, rcgen::IsCa::NoCa),
        ("a CA certificate, as self-signed ones are", "127.0.0.1", now, ca),
    ] {
        let (pem, config) = certified(host, years, is_ca);
        at.write("ca.pem", pem);
        at.configure("attempts = 1\nca_file = \"ca.pem\"");
        reach(name, format!("https://{}", server(move |stream| handshake(stream, &config))));
    }
    at.configure("attempts = 1\nconnect_timeout = \"1s\"");
    let silent = server(|stream| {
        // Held for longer than the client waits.
        std::thread::sleep(Duration::from_secs(10));
        drop(stream);
    });
    reach("a port that never speaks", format!("https://{silent}"));
    insta::assert_snapshot!("hosts", text);
}

#[test]
fn messages_about_proxies() {
    let at = deployment();
    account_job(&at, "a.csv", "");
    let mut text = String::new();
    let mut behind = |name: &str, proxy: String| {
        let mut command = run(&at);
        command.env("SFEXPORT_ORG__LOGIN_URL", "https://login.salesforce.com");
        text += &row(&at, name, command.env("HTTPS_PROXY", proxy));
    };
    behind("a name without an address", format!("http://{}:3128", "x".repeat(64)));
    for response in [
        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "",
    ] {
        behind(response.lines().next().unwrap_or("a connection that is closed"), responds(response));
    }
    let config = certified("login.salesforce.com", (2020, 2090), rcgen::IsCa::NoCa).1;
    let inspecting = server(move |mut stream| {
        body_of(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        handshake(stream, &config);
    });
    behind("a proxy that inspects TLS", inspecting);
    insta::assert_snapshot!("proxies", text);
}

#[test]
fn messages_about_certificate_files() {
    let at = deployment();
    account_job(&at, "a.csv", "");
    at.configure("attempts = 1\nca_file = \"ca.pem\"");
    let good = certified("127.0.0.1", (2020, 2090), rcgen::IsCa::NoCa).0;
    // A sequence that begins with PKCS#7's object identifier: 2 is for signed data, 1 for data.
    let oid = |last: u8| {
        let mut der = vec![0x30, 0x80, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, last];
        der.extend([0; 20]);
        der
    };
    let mut text = String::new();
    for (name, content) in [
        ("nothing", Vec::new()),
        ("another text", b"hello".to_vec()),
        ("PKCS#7", oid(2)),
        ("PKCS#12", oid(1)),
        ("a Java keystore", vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]),
        ("a private key", pem("PRIVATE KEY", b"x").into_bytes()),
        ("a certificate request", pem("CERTIFICATE REQUEST", b"x").into_bytes()),
        ("revoked certificates", pem("X509 CRL", b"x").into_bytes()),
        ("another label", pem("DH PARAMETERS", b"x").into_bytes()),
        ("another content", pem("CERTIFICATE", b"x").into_bytes()),
        ("bad base64", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_vec()),
        ("no end", good.lines().next().unwrap().as_bytes().to_vec()),
        ("too much", vec![b' '; 3 << 20]),
    ] {
        at.write("ca.pem", content);
        text += &row(&at, name, &mut run(&at));
    }
    fs::remove_file(at.path("ca.pem")).unwrap();
    text += &row(&at, "no file", &mut run(&at));
    make_pipe(&at, "ca.pem");
    text += &row(&at, "a pipe", &mut run(&at));
    fs::remove_file(at.path("ca.pem")).unwrap();
    at.write("ca.pem", format!("{good}{}", pem("CERTIFICATE", b"x")));
    let mut warned = at.command(["run", "accounts", "--log-level", "warn"]);
    text += &row(&at, "one bad certificate among good ones", &mut warned);
    insta::assert_snapshot!("certificate_files", text);
}

#[test]
fn messages_about_notifications() {
    let at = deployment();
    account_job(&at, "a.csv", "");
    let hook_at = |address: &str| {
        let hook = format!("webhook = \"http://{address}/hook\"\non = [\"every\"]");
        at.configure(&format!("attempts = 1\n[notify]\n{hook}"));
    };
    let mut text = String::new();
    for (name, address) in [
        ("nobody listens", "127.0.0.1:1".to_owned()),
        ("500", responds("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")),
        ("302", responds("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")),
        ("another protocol", responds("SSH-2.0-OpenSSH_9.6\r\n")),
    ] {
        hook_at(&address);
        text += &row(&at, name, &mut at.command(["run", "accounts", "--log-level", "warn"]));
    }

    let told = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&told);
    hook_at(&server(move |mut stream| {
        let body: serde_json::Value = serde_json::from_str(&body_of(&mut stream)).unwrap();
        let (event, said) = (body["event"].as_str().unwrap(), body["text"].as_str().unwrap());
        all.lock().unwrap().push(format!("{event}: {said}"));
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    }));
    at.script(Rule::once(At::Page(1), Fault::error(400, "INVALID_FIELD", "No such column 'Nme'")));
    for status in [65, 0, 0] {
        at.run(["run", "accounts"]).ended(status);
    }
    let told = told.lock().unwrap().join("\n");
    text += &format!("\n===== what the webhook is told\n{}\n", filtered(&at, &told));
    insta::assert_snapshot!("notifications", text);
}

#[test]
fn messages_about_networks_and_signals() {
    let at = deployment();
    let mut text = String::new();
    account_job(&at, "a.csv", "");
    let elsewhere = |command: &mut Command, url: &str| {
        command.env("SFEXPORT_ORG__LOGIN_URL", url);
    };
    let mut refused = run(&at);
    elsewhere(&mut refused, "http://127.0.0.1:1");
    text += &row(&at, "nobody listens", &mut refused);
    for proxy in [
        "http://me:1#ss@p:3128",
        "socks5://p:1080",
        "http://p:port",
        "http://p:3128/path",
        "http://",
        "http://127.0.0.1:1",
    ] {
        let mut command = run(&at);
        elsewhere(&mut command, "https://login.salesforce.com");
        command.env("HTTPS_PROXY", proxy);
        text += &row(&at, &format!("HTTPS_PROXY={proxy}"), &mut command);
    }
    for signal in ["INT", "TERM"] {
        at.org().clear_script();
        let seen = at.queries().len();
        at.script(Rule::always(At::Page(2), Fault::HalfOpen { after: None }));
        let child = run(&at).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        wait_for(|| (at.queries().len() > seen).then_some(())).unwrap();
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let outcome = at.outcome(child.wait_with_output().unwrap());
        let status = outcome.status.unwrap();
        let errors = outcome.stderr.lines().filter(|line| !line.contains(" ERROR ")).collect::<Vec<_>>();
        text += &format!("\n===== SIG{signal} ({status})\n{}\n", filtered(&at, &errors.join("\n")));
    }
    at.job("accounts", "SELECT Id FROM Account", "a.csv", "timeout = \"1s\"");
    text += &row(&at, "the job's timeout", &mut run(&at));
    insta::assert_snapshot!("networks_and_signals", text);
}

#[test]
fn the_log_of_a_daemon() {
    let at = deployment();
    at.configure("attempts = 1\n[daemon]\nmax_concurrent_runs = 1\n[status]\nlisten = \"127.0.0.1:0\"");
    due(&at, "accounts", "");
    let mut daemon = Process::start(&at);
    daemon.says("status=ok");
    let reload = |expected: &str| {
        daemon.signal("HUP");
        daemon.says(expected);
    };
    at.write("jobs/broken.toml", "soql = \"SELECT Id FROM Account\"\n");
    reload("the previous one");
    fs::remove_file(at.path("jobs/broken.toml")).unwrap();
    at.configure("attempts = 1\n[daemon]\nmax_concurrent_runs = 1\n[status]\nlisten = \"127.0.0.1:1\"");
    reload("reloaded");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    let first = filtered(&at, &daemon.said());

    fs::remove_dir_all(at.path("state")).unwrap();
    at.configure("attempts = 1\n[daemon]\nmax_concurrent_runs = 1");
    due(&at, "accounts", "retries = 1\nretry_after = \"1s\"");
    at.script(Rule::once(At::Page(1), Fault::error(503, "SERVER_UNAVAILABLE", "Try again.")));
    let mut daemon = Process::start(&at);
    daemon.says("status=ok");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    let second = filtered(&at, &daemon.said());

    fs::remove_file(at.path("jobs/accounts.toml")).unwrap();
    let mut daemon = Process::start(&at);
    daemon.says("jobs=0");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    let third = filtered(&at, &daemon.said());
    insta::assert_snapshot!(
        "daemon_log",
        format!(
            "===== a run and two reloads\n{first}\n\n===== a retry\n{second}\n\n===== no jobs\n{third}\n"
        )
    );
}

#[test]
fn the_log_of_a_daemon_in_trouble() {
    let at = deployment();
    let hook = "[notify]\nwebhook = \"http://127.0.0.1:1/hook\"";
    let status = "[status]\nlisten = \"127.0.0.1:0\"";
    let settings = format!("attempts = 1\n{hook}\n{status}\n[daemon]\nmax_concurrent_runs = 1");
    at.configure(&settings);
    due(&at, "accounts", "");
    at.script(Rule::once(At::Page(1), Fault::error(400, "INVALID_FIELD", "No such column 'Nme'")));
    let mut daemon = Process::start(&at);
    daemon.says("notification not sent");
    let reload = |expected: &str| {
        daemon.signal("HUP");
        daemon.says(expected);
    };
    at.write("sfexport.toml", format!("state_dir = \"elsewhere\"\n{}", at.text("sfexport.toml")));
    reload("state_dir cannot change");
    at.configure(&settings);
    fs::rename(at.path("jobs"), at.path("away")).unwrap();
    reload("cannot read jobs_dir");
    fs::rename(at.path("away"), at.path("jobs")).unwrap();
    account_job(&at, "a.csv", "");
    // What a daemon writes about its configuration is flushed a moment later, which nothing shows.
    let flushed = |is_written: &dyn Fn() -> bool| {
        wait_for(|| is_written().then_some(())).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    };
    let loaded = || fs::metadata(at.path("state/loaded.json")).and_then(|file| file.modified()).ok();
    let before = loaded();
    reload("nothing to do");
    daemon.says("configuration reloaded");
    // The job has no schedule any more, so its mark is removed: before its directory is.
    let marks = || fs::read_dir(at.path("state/marks")).unwrap().count();
    flushed(&|| marks() == 0 && loaded() > before);
    // The daemon looks for its directory at an event, once a second at most; a look at its status is one.
    let port = daemon.status_port();
    let look = || {
        std::thread::sleep(Duration::from_millis(1_100));
        let mut stream = TcpStream::connect(port).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: {port}\r\n\r\n").unwrap();
        // A daemon that stops may not respond any more.
        let _ = stream.read_to_end(&mut Vec::new());
    };
    fs::remove_dir_all(at.path("state")).unwrap();
    look();
    daemon.says("has been recreated");
    flushed(&|| loaded().is_some());
    fs::rename(at.path("state"), at.path("old")).unwrap();
    let held = sfexport::state::State::open(&at.path("state")).unwrap().lock_daemon().unwrap();
    look();
    assert_eq!(daemon.ended(), 75);
    drop(held);
    // A notification is sent beside everything else, so its place in the log varies: it goes to the end.
    let log = filtered(&at, &daemon.said());
    let (notification, rest): (Vec<_>, Vec<_>) =
        log.lines().partition(|line| line.contains("notification not sent"));
    insta::assert_snapshot!("daemon_log_in_trouble", [rest, notification].concat().join("\n"));
}
