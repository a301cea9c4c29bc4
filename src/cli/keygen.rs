//! `sfexport keygen` creates a private key and the certificate to upload, and explains what to do with them.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::print;
use crate::error::{Exit, Failure};
use crate::key::{self, KeyBits, KeyRequest, Subject};

#[derive(Debug, Args)]
pub(super) struct KeygenArguments {
    /// The directory to write server.key and server.crt to
    #[arg(short, long, default_value = ".", value_name = "DIR", value_parser = super::local_path())]
    out: PathBuf,
    /// The key's file, instead of server.key in --out
    #[arg(long, value_name = "FILE", conflicts_with = "out", value_parser = super::local_path())]
    key: Option<PathBuf>,
    /// The certificate's file, instead of server.crt in --out
    #[arg(long, value_name = "FILE", conflicts_with = "out", value_parser = super::local_path())]
    cert: Option<PathBuf>,
    /// The key's length in bits: 2048, 3072 or 4096
    #[arg(long, default_value = "2048", value_parser = bits, value_name = "N")]
    bits: KeyBits,
    /// The subject of the certificate: a name, or CN=...,O=...,OU=...,L=...,ST=...,C=...
    #[arg(long, default_value = "CN=sfexport", value_name = "NAME")]
    subject: Subject,
    /// How many days the certificate is valid, 1 to 7300
    #[arg(long, default_value_t = 730, value_parser = super::whole::<u32>(1..=7300), value_name = "N")]
    days: u32,
}

fn bits(text: &str) -> Result<KeyBits, String> {
    text.parse().ok().and_then(KeyBits::of).ok_or_else(|| "choose 2048, 3072 or 4096 bits".to_owned())
}

/// Creates the key and the certificate, and prints the next steps.
pub(super) fn keygen(arguments: &KeygenArguments) -> Result<Exit, Failure> {
    let beside = |name: &str| match arguments.out.as_path() {
        here if here == Path::new(".") => PathBuf::from(name),
        directory => directory.join(name),
    };
    let key = arguments.key.clone().unwrap_or_else(|| beside("server.key"));
    let certificate = arguments.cert.clone().unwrap_or_else(|| match &arguments.key {
        Some(key) => key.with_extension("crt"),
        None => beside("server.crt"),
    });
    let request = KeyRequest {
        bits: arguments.bits,
        subject: arguments.subject.clone(),
        days: arguments.days,
        not_before: Timestamp::now(),
    };
    let made = key::generate(&request)?;
    for directory in [&key, &certificate].into_iter().filter_map(|path| path.parent()) {
        std::fs::create_dir_all(directory).map_err(|error| {
            Failure::of_file(Exit::Output, "cannot make the directory", directory, &error)
        })?;
    }
    key::write_new(&made, &key, &certificate)?;

    let length = match arguments.bits {
        KeyBits::Rsa2048 => 2048,
        KeyBits::Rsa3072 => 3072,
        KeyBits::Rsa4096 => 4096,
    };
    let end = made.not_after.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string();
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    let width = key.chars().count().max(certificate.chars().count());
    print::line(format!(
        "{key:width$}  the private key: RSA, {length} bits, readable only by you; keep it here"
    ));
    print::line(format!("{certificate:width$}  the certificate to upload, which expires on {end}"));
    print::line(format!("{:width$}  SHA-256 {}", "", made.sha256));
    print::line(format!("{:width$}  SHA-1   {}", "", made.sha1));
    print::line(format!(
        "
After that date logins fail until you upload a new certificate. `sfexport check` warns 30 days before.

Upload {certificate} to the org, in Setup:
  External client app (new orgs)
    External Client App Manager > New External Client App (or the app > Edit Settings) > OAuth Settings: enable OAuth,
    callback URL https://localhost/, scopes \"Manage user data via APIs (api)\" and \"Perform requests at any time
    (refresh_token, offline_access)\"; under Flow Enablement, Enable JWT Bearer Flow and upload the certificate
  Connected app (older orgs)
    App Manager > the app > Edit > Enable OAuth Settings: the same callback URL and scopes; Use digital signatures,
    and choose the certificate
Then, in the app's policies, set Permitted Users to \"Admin approved users are pre-authorized\" and assign the user's
profile or a permission set.

{configuration}

[org]
login_url = \"https://login.salesforce.com\"   # https://test.salesforce.com for a sandbox, or the My Domain URL
client_id = \"the Consumer Key\"
username  = \"the user's Salesforce username\"
key_file  = {key}
cert_file = {cert}

`sfexport check` then tests the login.",
        configuration = configuration(arguments),
        key = quoted(&key),
        cert = quoted(&certificate),
    ));
    Ok(Exit::Success)
}

/// How to write the app's Consumer Key and the user into the configuration. `init` expects the key in its own directory.
fn configuration(arguments: &KeygenArguments) -> &'static str {
    let is_beside = arguments.out == Path::new(".") && arguments.key.is_none() && arguments.cert.is_none();
    if is_beside {
        "Then write the configuration, with the app's Consumer Key, the user and the org's login URL:

  sfexport init --client-id KEY --username USERNAME --login-url URL

If there is a configuration already, copy them into it:"
    } else {
        "Copy the app's Consumer Key into sfexport.toml:"
    }
}

/// A text as a basic TOML string, which has the same escapes as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
