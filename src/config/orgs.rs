//! Reads the orgs: `[org]`, `[orgs.NAME]` and their variables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::keys::Table;
use super::layer::{Layer, Section};
use super::mistake::{Mistake, Origin, Problem, quoted};
use super::settings::secret;
use crate::error::code_point;
use crate::org::{ApiReserve, KeySource, LoginUrl, Org, OrgId, OrgName, PasswordSource};

/// The valid orgs, and the names of all orgs.
#[derive(Default)]
pub(crate) struct Orgs {
    pub(crate) complete: BTreeMap<OrgName, Org>,
    /// Including orgs with mistakes, so a job that names one causes no further mistake.
    pub(crate) named: BTreeSet<OrgName>,
}

#[derive(Deserialize)]
struct RawOrg {
    login_url: String,
    client_id: Option<String>,
    username: Option<String>,
    key_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "secret")]
    key: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    key_password: Option<SecretString>,
    key_password_file: Option<PathBuf>,
    key_alias: Option<String>,
    cert_file: Option<PathBuf>,
    audience: Option<String>,
    api_version: String,
    max_concurrent_runs: Option<usize>,
    instance_hosts: Option<Vec<String>>,
    org_id: Option<String>,
    api_reserve: Option<String>,
}

/// Reads every org that a layer mentions, lowest layer first.
pub(crate) fn read(layers: &[&Layer], mistakes: &mut Vec<Mistake>) -> Orgs {
    let mut orgs = Orgs::default();
    let mut origins: BTreeMap<&OrgName, &Origin> = BTreeMap::new();
    for layer in layers {
        for (name, origin) in layer.orgs() {
            origins.entry(name).or_insert(origin);
        }
    }
    for (name, origin) in origins {
        orgs.named.insert(name.clone());
        if let Some(org) = org(name, origin, layers, mistakes) {
            orgs.complete.insert(name.clone(), org);
        }
    }
    orgs
}

/// One org; `None` if it has a mistake.
fn org(name: &OrgName, origin: &Origin, layers: &[&Layer], mistakes: &mut Vec<Mistake>) -> Option<Org> {
    let prefix = match name.as_str() {
        OrgName::DEFAULT => "org.".to_owned(),
        name => format!("orgs.{name}."),
    };
    let before = mistakes.len();
    let defaults = Layer::of_defaults(Table::Org, &prefix, Path::new(""));
    let all: Vec<_> = std::iter::once(&defaults).chain(layers.iter().copied()).collect();
    let section = Section::<RawOrg>::merge(&all, &prefix, mistakes)?;
    let variable = |key: &str| variable(&prefix, key);
    // If only variables mention the org, the mistake names the missing variable.
    let lacks = |key: &str, file: String, environment: Option<String>| match origin {
        Origin::Variable(_) => {
            let problem = Problem::hinted("this variable is not set", environment);
            Mistake::new(Origin::Variable(variable(key)), format!("{prefix}{key}"), problem)
        }
        origin => section.mistake(key, origin, Problem::new("this key is not set", file)),
    };
    let missing = |key: &str, value: &Option<String>, mistakes: &mut Vec<Mistake>| {
        if value.is_none() && !section.is_written(key) {
            mistakes.push(lacks(key, format!("add it, or set {}", variable(key)), None));
        }
    };
    let typed = &section.typed;
    missing("client_id", &typed.client_id, mistakes);
    missing("username", &typed.username, mistakes);
    for (key, value, mistake) in [
        ("client_id", &typed.client_id, client_id_mistake as fn(&str) -> Option<Problem>),
        ("username", &typed.username, username_mistake),
    ] {
        let Some(value) = value else { continue };
        let what = reference_mistake(value, &variable(key)).or_else(|| mistake(value));
        mistakes.extend(what.map(|what| section.mistake(key, origin, what)));
    }

    let login = match LoginUrl::parse(&typed.login_url) {
        Ok(login) => Some(login),
        Err(error) => {
            // The message does not repeat a password in the URL.
            let shown = match typed.login_url.contains('@') {
                true => "the value".to_owned(),
                false => quoted(&typed.login_url),
            };
            let problem = Problem::new(format!("{shown} {}", error.reason), error.hint);
            mistakes.push(section.mistake("login_url", origin, problem));
            None
        }
    };
    if let Some(what) = version_mistake(&typed.api_version) {
        mistakes.push(section.mistake("api_version", origin, what));
    }
    let hosts = typed.instance_hosts.clone().unwrap_or_default();
    for host in &hosts {
        if let Some(what) = host_mistake(host) {
            mistakes.push(section.mistake("instance_hosts", origin, what));
        }
    }
    let key = either(&section, "key", "key_file", origin, mistakes);
    if key.is_none() && !section.is_written("key") && !section.is_written("key_file") {
        let inline = variable("key");
        let file = format!("set it to the path of the private key, or set {inline} to the key's PEM");
        mistakes.push(lacks("key_file", file.clone(), Some(file)));
    }
    let key_password = either(&section, "key_password", "key_password_file", origin, mistakes);

    if mistakes.len() > before {
        return None;
    }
    let login = login?;
    let typed = section.typed;
    Some(Org {
        name: name.clone(),
        audience: typed.audience.unwrap_or(login.audience),
        login_url: login.url,
        client_id: typed.client_id?,
        username: typed.username?,
        key: match key? {
            Side::Inline => KeySource::Inline(typed.key?),
            Side::File => KeySource::File(typed.key_file?),
        },
        key_password: match key_password {
            None => None,
            Some(Side::Inline) => typed.key_password.map(PasswordSource::Inline),
            Some(Side::File) => typed.key_password_file.map(PasswordSource::File),
        },
        key_alias: typed.key_alias,
        cert_file: typed.cert_file,
        api_version: typed.api_version,
        max_concurrent_runs: typed.max_concurrent_runs,
        instance_hosts: hosts,
        // The reader of values has refused other texts.
        org_id: typed.org_id.and_then(|id| OrgId::parse(&id).ok()),
        api_reserve: typed.api_reserve.and_then(|reserve| ApiReserve::parse(&reserve)),
    })
}

/// The variable of an org's key.
fn variable(prefix: &str, key: &str) -> String {
    format!("SFEXPORT_{}", format!("{prefix}{key}").replace('.', "__").to_ascii_uppercase())
}

#[derive(Clone, Copy)]
enum Side {
    Inline,
    File,
}

/// Which of two alternative keys is in effect. The environment overrides the file, so a container may set a key for a
/// configuration that names a file. Both in one source are a mistake.
fn either(
    section: &Section<RawOrg>,
    inline: &str,
    file: &str,
    origin: &Origin,
    mistakes: &mut Vec<Mistake>,
) -> Option<Side> {
    if section.is_mistaken(inline) || section.is_mistaken(file) {
        return None;
    }
    match (section.rank(inline), section.rank(file)) {
        (None, None) => None,
        (Some(_), None) => Some(Side::Inline),
        (None, Some(_)) => Some(Side::File),
        (Some(a), Some(b)) if a == b => {
            let problem = Problem::new(format!("`{inline}` and `{file}` are both set"), "remove one of them");
            mistakes.push(section.mistake(inline, origin, problem));
            None
        }
        (Some(a), Some(b)) => Some(if a > b { Side::Inline } else { Side::File }),
    }
}

/// A reference to an environment variable, which other tools replace with its value.
fn reference_mistake(text: &str, variable: &str) -> Option<Problem> {
    text.contains("${").then(|| {
        let what = format!("{} is taken literally, not as a reference to a variable", quoted(text));
        Problem::new(
            what,
            format!("write the value itself, or set the environment variable {variable} to it"),
        )
    })
}

fn client_id_mistake(text: &str) -> Option<Problem> {
    if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic()) {
        let code = code_point(c);
        let what = format!("{} contains {c:?} ({code}), which consumer keys never do", quoted(text));
        return Some(Problem::new(what, "copy the consumer key again"));
    }
    text.contains('@').then(|| {
        let what = format!("{} is a username, not a consumer key", quoted(text));
        Problem::new(what, "set `username` to it, and `client_id` to the app's consumer key")
    })
}

fn username_mistake(text: &str) -> Option<Problem> {
    if text.contains('@') {
        return None;
    }
    Some(if text.starts_with("3MVG") {
        let what = format!("{} is a consumer key, not a username", quoted(text));
        Problem::new(what, "set `client_id` to it, and `username` to the user's name")
    } else {
        let hint = "write the whole username, as in \"integration@example.com\"";
        Problem::new(format!("{} has no @", quoted(text)), hint)
    })
}

fn version_mistake(text: &str) -> Option<Problem> {
    const MIN_API_VERSION: u32 = 31;
    let digits = |part: &str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    let number = text.trim_start_matches(['v', 'V']);
    let major = number.strip_suffix(".0").unwrap_or(number);
    match major.parse::<u32>() {
        Ok(major) if major >= MIN_API_VERSION && text == format!("{major}.0") => None,
        Ok(version) if digits(major) && version >= MIN_API_VERSION => Some(Problem::new(
            format!("{} is not an API version", quoted(text)),
            format!("write \"{version}.0\""),
        )),
        Ok(_) if digits(major) => Some(Problem::new(
            format!("API version {} is retired", quoted(text)),
            format!("write \"{MIN_API_VERSION}.0\" or later"),
        )),
        _ => {
            let what = format!("{} is not an API version", quoted(text));
            Some(Problem::new(what, "write it as in \"62.0\""))
        }
    }
}

fn host_mistake(text: &str) -> Option<Problem> {
    // The host is compared with the host of an `https://` URL.
    let url = url::Url::parse(&format!("https://{text}/")).ok();
    let is_host = url.is_some_and(|url| {
        let host = url.host_str().unwrap_or_default();
        let whole = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        // `*` is valid in a URL's host, but patterns are not supported.
        text.eq_ignore_ascii_case(&whole) && !text.contains('*')
    });
    (!is_host).then(|| {
        let hint = "write it as in \"proxy.example.com\" or \"proxy.example.com:8443\"";
        Problem::new(format!("{} is not a host", quoted(text)), hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_version_is_written_as_salesforce_writes_it() {
        for good in ["62.0", "31.0", "100.0"] {
            assert_eq!(version_mistake(good), None);
        }
        for (bad, expected) in [
            ("62", "\"62\" is not an API version; write \"62.0\""),
            ("v62.0", "\"v62.0\" is not an API version; write \"62.0\""),
            ("30.0", "API version \"30.0\" is retired; write \"31.0\" or later"),
            ("latest", "\"latest\" is not an API version; write it as in \"62.0\""),
            ("62.1", "\"62.1\" is not an API version; write it as in \"62.0\""),
            ("", "\"\" is not an API version; write it as in \"62.0\""),
        ] {
            let Problem { what, hint } = version_mistake(bad).unwrap();
            assert_eq!(format!("{what}; {}", hint.unwrap()), expected);
        }
    }

    #[test]
    fn an_instance_host_is_a_host_and_nothing_more() {
        for good in ["proxy.example.com", "Proxy.Example.com:8443", "10.0.0.7", "[::1]:8443"] {
            assert_eq!(host_mistake(good), None, "{good}");
        }
        for bad in [
            "https://proxy.example.com",
            "proxy.example.com/path",
            "*.example.com",
            "a b",
            "",
            "user@host",
            "host:443",
        ] {
            assert!(host_mistake(bad).is_some(), "{bad}");
        }
    }
}
