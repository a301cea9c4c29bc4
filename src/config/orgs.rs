//! The orgs: `[org]`, `[orgs.NAME]` and their variables, each made complete or told what it lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::keys::Table;
use super::layer::{Layer, Section};
use super::mistake::{Mistake, Origin, quoted};
use super::settings::secret;
use crate::error::code_point;
use crate::org::{KeySource, LoginUrl, Org, OrgName, PasswordSource};

/// The orgs that are right, and the names of all.
#[derive(Default)]
pub(crate) struct Orgs {
    pub(crate) complete: BTreeMap<OrgName, Org>,
    /// Also those with mistakes, so that a job that names one is not told that there is none.
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
}

/// Reads every org that a layer, lowest first, says something about.
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

/// One org; `None` where it has a mistake.
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
    // An org that only variables know lacks a variable: the one that is set is not blamed for it.
    let lacks = |key: &str, file: String, environment: String| match origin {
        Origin::Variable(_) => {
            Mistake::new(Origin::Variable(variable(key)), format!("{prefix}{key}"), environment)
        }
        origin => section.mistake(key, origin, file),
    };
    let missing = |key: &str, value: &Option<String>, mistakes: &mut Vec<Mistake>| {
        if value.is_none() && !section.is_written(key) {
            let file = format!("is missing; write it, or set {}", variable(key));
            mistakes.push(lacks(key, file, "is missing".to_owned()));
        }
    };
    let typed = &section.typed;
    missing("client_id", &typed.client_id, mistakes);
    missing("username", &typed.username, mistakes);
    for (key, what) in [
        ("client_id", typed.client_id.as_deref().and_then(client_id_mistake)),
        ("username", typed.username.as_deref().and_then(username_mistake)),
    ] {
        mistakes.extend(what.map(|what| section.mistake(key, origin, what)));
    }

    let login = match LoginUrl::parse(&typed.login_url) {
        Ok(login) => Some(login),
        // A password in the URL is not repeated.
        Err(error) if typed.login_url.contains('@') => {
            mistakes.push(section.mistake("login_url", origin, error.to_string()));
            None
        }
        Err(error) => {
            let what = format!("{} {error}", quoted(&typed.login_url));
            mistakes.push(section.mistake("login_url", origin, what));
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
        let file = format!("is missing; name the private key's file, or set {inline} to its PEM");
        let environment =
            format!("is missing; name the private key's file, or set {inline} to the PEM itself");
        mistakes.push(lacks("key_file", file, environment));
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

/// Which of two keys that exclude each other holds. The environment overrides the file here too: a container
/// may bring a key for a configuration that names a file. Both from one source are a mistake.
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
            let what = format!("`{inline}` and `{file}` are both set; keep one of them");
            mistakes.push(section.mistake(inline, origin, what));
            None
        }
        (Some(a), Some(b)) => Some(if a > b { Side::Inline } else { Side::File }),
    }
}

fn client_id_mistake(text: &str) -> Option<String> {
    if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic()) {
        let code = code_point(c);
        return Some(format!(
            "{} holds {c:?}, {code}, and a consumer key has only letters and digits of ASCII; copy it again",
            quoted(text)
        ));
    }
    text.contains('@').then(|| {
        format!("{} is a username; write it as `username`, and the app's consumer key here", quoted(text))
    })
}

fn username_mistake(text: &str) -> Option<String> {
    if text.contains('@') {
        return None;
    }
    Some(if text.starts_with("3MVG") {
        format!("{} is a consumer key; write it as `client_id`, and the user's name here", quoted(text))
    } else {
        format!("{} has no @; write the whole username, as in \"integration@example.com\"", quoted(text))
    })
}

fn version_mistake(text: &str) -> Option<String> {
    const MIN_API_VERSION: u32 = 31;
    let digits = |part: &str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    let number = text.trim_start_matches(['v', 'V']);
    let major = number.strip_suffix(".0").unwrap_or(number);
    match major.parse::<u32>() {
        Ok(major) if major >= MIN_API_VERSION && text == format!("{major}.0") => None,
        Ok(version) if digits(major) && version >= MIN_API_VERSION => {
            Some(format!("{} is not how it is written; write \"{version}.0\"", quoted(text)))
        }
        Ok(_) if digits(major) => {
            Some(format!("{} is no longer served; the oldest is \"{MIN_API_VERSION}.0\"", quoted(text)))
        }
        _ => Some(format!("{} is no API version; write it as in \"62.0\"", quoted(text))),
    }
}

fn host_mistake(text: &str) -> Option<String> {
    // An `https://` URL of exactly this host and nothing more: what the token's rule compares with.
    let url = url::Url::parse(&format!("https://{text}/")).ok();
    let is_host = url.is_some_and(|url| {
        let host = url.host_str().unwrap_or_default();
        let whole = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        // A URL may hold `*` in its host; a pattern it is not.
        text.eq_ignore_ascii_case(&whole) && !text.contains('*')
    });
    (!is_host).then(|| {
        format!(
            "{} is no host; write it as in \"proxy.example.com\" or \"proxy.example.com:8443\"",
            quoted(text)
        )
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
            ("62", "\"62\" is not how it is written; write \"62.0\""),
            ("v62.0", "\"v62.0\" is not how it is written; write \"62.0\""),
            ("30.0", "\"30.0\" is no longer served; the oldest is \"31.0\""),
            ("latest", "\"latest\" is no API version; write it as in \"62.0\""),
            ("62.1", "\"62.1\" is no API version; write it as in \"62.0\""),
            ("", "\"\" is no API version; write it as in \"62.0\""),
        ] {
            assert_eq!(version_mistake(bad).as_deref(), Some(expected));
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
