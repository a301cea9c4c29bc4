//! The proxies of the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, upper case first. A value
//! that cannot be used is an error that names its variable. It is never ignored, because requests would then bypass the
//! proxy. No message contains a value, because it may contain a password.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::org::is_loopback;
use crate::salesforce::fault::{Fault, FaultKind};

/// The proxies of all requests.
pub(super) struct Proxies {
    https: Option<Result<Proxy, Unusable>>,
    http: Option<Result<Proxy, Unusable>>,
    direct: Vec<Direct>,
}

/// One proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    variable: &'static str,
    /// The URL with its credentials.
    url: Url,
}

/// A variable whose value does not name a proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {reason}")]
pub(super) struct Unusable {
    variable: &'static str,
    reason: &'static str,
    hint: &'static str,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Direct {
    Everything,
    /// A host and those below it, with its port if one is given.
    Domain(String, Option<u16>),
    /// An address, or a network with the length of its prefix.
    Network(IpAddr, u8),
}

impl Proxies {
    pub(super) fn of_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            let set = |name| Some((name, variable(name)?.trim().to_owned()));
            names.into_iter().filter_map(set).find(|(_, value)| !value.is_empty())
        };
        let proxy = |names| first(names).map(|(name, value)| Proxy::parse(name, &value));
        let all = proxy(["ALL_PROXY", "all_proxy"]);
        // In CGI programs, a `Proxy:` header of a request would set this variable (httpoxy).
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let http = if is_cgi { None } else { proxy(["HTTP_PROXY", "http_proxy"]) };
        let https = proxy(["HTTPS_PROXY", "https_proxy"]);
        let direct = first(["NO_PROXY", "no_proxy"]).map(|(_, value)| Direct::list(&value));
        Self { https: https.or_else(|| all.clone()), http: http.or(all), direct: direct.unwrap_or_default() }
    }

    /// The proxy for a request to this URL, if any.
    ///
    /// # Errors
    /// [`FaultKind::Configuration`] if the variable that names it cannot be used.
    pub(super) fn route(&self, target: &Url) -> Result<Option<&Proxy>, Fault> {
        if is_loopback(target) || self.direct.iter().any(|direct| direct.covers(target)) {
            return Ok(None);
        }
        let proxy = if target.scheme() == "http" { &self.http } else { &self.https };
        match proxy {
            None => Ok(None),
            Some(Ok(proxy)) => Ok(Some(proxy)),
            Some(Err(unusable)) => {
                Err(Fault::new(FaultKind::Configuration, unusable.to_string()).hint(unusable.hint))
            }
        }
    }
}

impl Proxy {
    /// Reads a value without quotes around it, which Docker's `--env-file` and systemd's `Environment=` keep.
    fn parse(variable: &'static str, value: &str) -> Result<Self, Unusable> {
        const FORM: &str = "write it as in http://proxy.example.com:3128";
        let unusable = |reason, hint| Err(Unusable { variable, reason, hint });
        let value = unquoted(value);
        let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let Ok(url) = Url::parse(&with_scheme) else {
            return match value.contains('@') {
                true => unusable("is not a URL", ENCODING),
                false => unusable("is not a URL", FORM),
            };
        };
        if !matches!(url.scheme(), "http" | "https") {
            return unusable("does not name an HTTP proxy", "use a proxy that speaks HTTP (CONNECT)");
        }
        // `#`, `/` and `?` end the host, so part of the password was read as the host or the port.
        if url.fragment().is_some() || url.query().is_some() || !matches!(url.path(), "" | "/") {
            return match value.contains('@') {
                true => unusable("has a \"#\", \"/\" or \"?\" before its host", ENCODING),
                false => unusable("has more text after the host and port", FORM),
            };
        }
        if url.host_str().is_none_or(str::is_empty) {
            return unusable("has no host", FORM);
        }
        Ok(Self { variable, url })
    }

    /// For messages: without the user and the password, and with the variable that names it.
    pub(super) fn shown(&self) -> String {
        format!("\"{}\" ({})", self.origin(), self.variable)
    }

    fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// For the HTTP client.
    ///
    /// # Errors
    /// If the client does not accept it.
    pub(super) fn for_client(&self) -> reqwest::Result<reqwest::Proxy> {
        let proxy = reqwest::Proxy::all(self.origin())?;
        Ok(match self.credentials() {
            Some((user, password)) => proxy.basic_auth(&user, password.expose_secret()),
            None => proxy,
        })
    }

    fn credentials(&self) -> Option<(String, SecretString)> {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (self.url.username(), self.url.password());
        let has_any = !user.is_empty() || password.is_some();
        has_any.then(|| (decoded(user), decoded(password.unwrap_or_default()).into()))
    }

    /// The status of the proxy's response to a request for a tunnel to this host, which the HTTP client does not report.
    /// `None` if there is none.
    pub(super) async fn tunnel_status(&self, target: &Url, limit: Duration) -> Option<u16> {
        if self.url.scheme() != "http" {
            return None;
        }
        let asking = async {
            let mut stream =
                TcpStream::connect((unbracketed(self.host()), self.url.port_or_known_default()?))
                    .await
                    .ok()?;
            let to = format!("{}:{}", target.host_str()?, target.port_or_known_default()?);
            let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
            if let Some((user, password)) = self.credentials() {
                let pair = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                request.push_str(&format!("Proxy-Authorization: Basic {pair}\r\n"));
            }
            request.push_str("\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut head = Vec::with_capacity(64);
            // `HTTP/1.1 407`
            while head.len() < 12 {
                if stream.read_buf(&mut head).await.ok()? == 0 {
                    return None;
                }
            }
            let head = std::str::from_utf8(&head[..12]).ok()?;
            head.strip_prefix("HTTP/1.")?.split_once(' ')?.1.parse().ok()
        };
        tokio::time::timeout(limit, asking).await.ok().flatten()
    }
}

const ENCODING: &str = "percent-encode the user and the password: # is %23, @ is %40, / is %2F, ? is %3F, : is %3A, as \
                        in http://user:p%23ss@proxy.example.com:3128";

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(value).trim()
}

fn unbracketed(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

impl Direct {
    /// Entries are separated by commas or spaces.
    fn list(value: &str) -> Vec<Self> {
        let entries = unquoted(value).split([',', ' ', '\t', ';']).map(str::trim);
        entries.filter(|entry| !entry.is_empty()).map(Self::parse).collect()
    }

    fn parse(entry: &str) -> Self {
        if entry == "*" {
            return Self::Everything;
        }
        if let Ok(address) = unbracketed(entry).parse::<IpAddr>() {
            return Self::Network(address, if address.is_ipv4() { 32 } else { 128 });
        }
        if let Some((address, length)) = entry.split_once('/')
            && let (Ok(address), Ok(length)) = (address.parse::<IpAddr>(), length.parse())
        {
            return Self::Network(address, length);
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
            _ => (entry, None),
        };
        // `*.example.com`, `.example.com` and `example.com` are the same: the domain and all below it.
        let name = name.strip_prefix('*').unwrap_or(name);
        let name = name.strip_prefix('.').unwrap_or(name);
        Self::Domain(name.trim_end_matches('.').to_ascii_lowercase(), port)
    }

    fn covers(&self, target: &Url) -> bool {
        match (self, target.host()) {
            (Self::Everything, _) => true,
            (Self::Domain(domain, port), Some(Host::Domain(host))) => {
                let host = host.trim_end_matches('.');
                let is_within = host
                    .strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                is_within && port.is_none_or(|port| Some(port) == target.port_or_known_default())
            }
            (Self::Network(network, length), Some(Host::Ipv4(address))) => {
                is_in(*network, *length, IpAddr::V4(address))
            }
            (Self::Network(network, length), Some(Host::Ipv6(address))) => {
                is_in(*network, *length, IpAddr::V6(address))
            }
            _ => false,
        }
    }
}

/// Whether the first `length` bits of both are the same.
fn is_in(network: IpAddr, length: u8, address: IpAddr) -> bool {
    let shift = |bits: u8| u32::from(bits.saturating_sub(length));
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::read(|name| {
            variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        })
    }

    /// The proxy of a request, its credentials too; `-` for none.
    fn route(variables: &[(&str, &str)], target: &str) -> Result<String, Fault> {
        let proxies = proxies(variables);
        let proxy = proxies.route(&Url::parse(target).unwrap())?;
        Ok(proxy.map_or_else(
            || "-".to_owned(),
            |proxy| {
                let credentials = proxy.credentials();
                let credentials =
                    credentials.map(|(user, password)| format!("{user}|{}@", password.expose_secret()));
                format!("{}{}", credentials.unwrap_or_default(), proxy.shown())
            },
        ))
    }

    const ORG: &str = "https://acme.my.salesforce.com/services";

    #[test]
    fn a_value_is_read_without_quotes_and_spaces() {
        for (value, expected) in [
            ("http://p:3128", "\"http://p:3128\" (HTTPS_PROXY)"),
            (" \"http://p:3128\" ", "\"http://p:3128\" (HTTPS_PROXY)"),
            ("'http://p:3128/'", "\"http://p:3128\" (HTTPS_PROXY)"),
            ("p:3128", "\"http://p:3128\" (HTTPS_PROXY)"),
            ("https://p", "\"https://p\" (HTTPS_PROXY)"),
            ("http://me:p%23s%40s@p:3128", "me|p#s@s@\"http://p:3128\" (HTTPS_PROXY)"),
            ("http://me@p:3128", "me|@\"http://p:3128\" (HTTPS_PROXY)"),
            ("http://[::1]:3128", "\"http://[::1]:3128\" (HTTPS_PROXY)"),
        ] {
            assert_eq!(route(&[("HTTPS_PROXY", value)], ORG).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_names_its_variable_and_no_password() {
        for (value, what, hint) in [
            ("http://me:p#ss@p:3128", "HTTPS_PROXY is not a URL", "p%23ss"),
            ("http://me:1#ss@p:3128", "HTTPS_PROXY has a \"#\", \"/\" or \"?\" before its host", "p%23ss"),
            ("http://me:1/ss@p:3128", "HTTPS_PROXY has a \"#\", \"/\" or \"?\" before its host", "p%23ss"),
            ("socks5://p:1080", "HTTPS_PROXY does not name an HTTP proxy", "CONNECT"),
            ("http://p:port", "HTTPS_PROXY is not a URL", "proxy.example.com:3128"),
            (
                "http://p:3128/path",
                "HTTPS_PROXY has more text after the host and port",
                "proxy.example.com:3128",
            ),
        ] {
            let fault = route(&[("HTTPS_PROXY", value)], ORG).unwrap_err();
            assert_eq!((fault.kind, fault.what.as_str()), (FaultKind::Configuration, what), "{value}");
            assert!(fault.hint.unwrap().contains(hint), "{value}");
            // A proxy does not affect requests that do not use it.
            assert_eq!(route(&[("HTTPS_PROXY", value)], "http://127.0.0.1:80/").unwrap(), "-");
        }
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_proxy_the_rest() {
        let both = [("HTTPS_PROXY", "s:1"), ("HTTP_PROXY", "h:1"), ("ALL_PROXY", "a:1")];
        assert_eq!(route(&both, ORG).unwrap(), "\"http://s:1\" (HTTPS_PROXY)");
        assert_eq!(route(&both, "http://example.com").unwrap(), "\"http://h:1\" (HTTP_PROXY)");
        assert_eq!(route(&both[2..], ORG).unwrap(), "\"http://a:1\" (ALL_PROXY)");
        assert_eq!(route(&[("https_proxy", "s:1")], ORG).unwrap(), "\"http://s:1\" (https_proxy)");
        assert_eq!(
            route(&[("HTTPS_PROXY", " "), ("https_proxy", "s:1")], ORG).unwrap(),
            "\"http://s:1\" (https_proxy)"
        );
        let cgi = [("HTTP_PROXY", "h:1"), ("REQUEST_METHOD", "GET")];
        assert_eq!(route(&cgi, "http://example.com").unwrap(), "-");
        assert_eq!(route(&both, "http://localhost:1").unwrap(), "-");
    }

    #[test]
    fn no_proxy_takes_domains_stars_ports_addresses_and_networks() {
        let is_direct = |no: &str, target: &str| {
            route(&[("HTTPS_PROXY", "p:1"), ("HTTP_PROXY", "p:1"), ("NO_PROXY", no)], target).unwrap() == "-"
        };
        for no in [
            "*",
            "*.salesforce.com",
            ".salesforce.com",
            "salesforce.com",
            "a.example, *.Salesforce.COM",
            "\"*.salesforce.com\"",
            "acme.my.salesforce.com:443",
        ] {
            assert!(is_direct(no, ORG), "{no}");
        }
        for no in
            ["", "*.force.com", "alesforce.com", "acme.my.salesforce.com:8443", "10.0.0.0/8", "*salesforce"]
        {
            assert!(!is_direct(no, ORG), "{no}");
        }
        assert!(is_direct("10.0.0.0/8", "https://10.9.9.9/"));
        assert!(!is_direct("10.0.0.0/8", "https://11.0.0.1/"));
        assert!(is_direct("0.0.0.0/0", "https://11.0.0.1/"));
        assert!(
            is_direct("192.0.2.7", "https://192.0.2.7/") && !is_direct("192.0.2.7", "https://192.0.2.8/")
        );
        assert!(is_direct("2001:db8::/32", "https://[2001:db8:1::1]/"));
    }
}
