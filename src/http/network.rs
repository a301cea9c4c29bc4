//! Explains in plain words why a host was not reached, from the error types of the layers below instead of their texts.
//! Names are resolved here, so a failed look-up names the host.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::CertificateError;
use rustls::pki_types::InvalidDnsNameError;
use url::Url;

use crate::org::{is_loopback, is_loopback_name};
use crate::salesforce::fault::{Fault, FaultKind, refused_by_proxy};

use super::proxy::Proxy;

/// The system's name resolution. Names below `localhost` are this machine and are never sent to a server.
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            // Port 0 stands for the one of the URL.
            let addresses: Vec<SocketAddr> = if is_loopback_name(&name) {
                let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                own.map(|address| SocketAddr::new(address, 0)).to_vec()
            } else {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                found.map_err(|_| UnknownName(name.clone()))?.collect()
            };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A name that could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("the name \"{0}\" cannot be resolved")]
struct UnknownName(String);

/// The fault of a request that got no response from `host`, a host and its port.
pub(super) fn fault(host: &str, error: &reqwest::Error) -> Fault {
    let cause = Cause::of(error);
    let what = match &cause {
        Cause::TimedOut => format!("\"{host}\" did not respond in time"),
        other => format!("cannot reach \"{host}\": {}", other.text()),
    };
    let fault = Fault::new(FaultKind::Unreachable, what);
    let hint = match cause {
        Cause::TimedOut if !error.is_connect() => return fault,
        Cause::TimedOut => {
            "check login_url, and that the firewall allows port 443; set HTTPS_PROXY if a proxy is needed"
        }
        Cause::InvalidName => "check the spelling of login_url",
        Cause::UnknownName(_) => {
            "check the spelling of login_url and this machine's DNS (a container has its own); set HTTPS_PROXY if a \
             proxy is needed"
        }
        Cause::Io(ErrorKind::ConnectionRefused, _) if is_this_machine(host) => {
            "check the port in login_url, and that its server is running; `sfexport demo --serve` keeps the demo's org running"
        }
        Cause::Io(ErrorKind::ConnectionRefused, _) => {
            "check login_url and the firewall; set HTTPS_PROXY if a proxy is needed"
        }
        Cause::Certificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })
        | Cause::Certificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "check this machine's clock; if it is right, have the host or the TLS-inspecting proxy renew the certificate"
        }
        Cause::Certificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "check the host in login_url, and this machine's DNS",
        // An authority in `ca_file` does not help.
        Cause::Certificate(error) if is_ca(error) => {
            "check login_url; if the host is right, have it present a certificate that its authority issued for it"
        }
        Cause::Certificate(_) => {
            "set ca_file in [http] to the certificate of the authority if a proxy inspects TLS; otherwise check login_url"
        }
        Cause::NotHttp => "check the port in login_url",
        Cause::NotTls => "check the port in login_url; https uses 443 by default",
        _ if error.is_connect() => {
            "check login_url, the network, and HTTPS_PROXY and NO_PROXY if a proxy is needed"
        }
        _ => return fault,
    };
    fault.hint(hint)
}

/// Whether a host and its port are those of this machine.
fn is_this_machine(host: &str) -> bool {
    Url::parse(&format!("http://{host}")).is_ok_and(|url| is_loopback(&url))
}

/// Whether a request through a proxy may have failed because the proxy refused the tunnel, which the HTTP client does not
/// say in a type.
pub(super) fn may_be_the_tunnel(error: &reqwest::Error) -> bool {
    error.is_connect() && matches!(Cause::of(error), Cause::Other(_) | Cause::Closed)
}

/// The fault of a request that got no response through a proxy. `status` is the proxy's response to the request for a
/// tunnel.
pub(super) fn proxy_fault(host: &str, proxy: &Proxy, status: Option<u16>, error: &reqwest::Error) -> Fault {
    let shown = proxy.shown();
    let unreachable = |what: String, hint: &str| Fault::new(FaultKind::Unreachable, what).hint(hint);
    match (status, Cause::of(error)) {
        (Some(407), _) => refused_by_proxy(Some(&shown)),
        (Some(status), _) if status >= 300 => unreachable(
            format!("the proxy {shown} refused to connect to \"{host}\" (status {status})"),
            "have the proxy allow the host, or list the host in NO_PROXY if it can be reached directly",
        ),
        (_, Cause::UnknownName(UnknownName(name))) if name.eq_ignore_ascii_case(proxy.host()) => unreachable(
            format!("cannot reach the proxy {shown}: the name \"{name}\" cannot be resolved"),
            "check the proxy's name, and this machine's DNS (a container has its own)",
        ),
        (_, cause @ Cause::Io(ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable, _)) => unreachable(
            format!("cannot reach the proxy {shown}: {}", cause.text()),
            "check the proxy's host and port",
        ),
        (_, Cause::Other(_)) if error.is_connect() => unreachable(
            format!("the proxy {shown} did not open a connection to \"{host}\""),
            "check that HTTPS_PROXY or ALL_PROXY names an HTTP proxy, and that it allows the host",
        ),
        (_, cause) => {
            let what = format!("cannot reach \"{host}\" through the proxy {shown}: {}", cause.text());
            match &cause {
                Cause::Certificate(_) => unreachable(
                    what,
                    "set ca_file in [http] to the authority's certificate if the proxy inspects TLS, and check the clock",
                ),
                _ => unreachable(what, "check the proxy, login_url and the network"),
            }
        }
    }
}

/// Why a request or a body failed, in a few words; never with the URL.
pub(super) fn reason(error: &reqwest::Error) -> String {
    Cause::of(error).text()
}

enum Cause<'e> {
    TimedOut,
    UnknownName(&'e UnknownName),
    InvalidName,
    Certificate(&'e CertificateError),
    NotTls,
    Tls(&'e rustls::Error),
    Io(ErrorKind, &'e io::Error),
    Closed,
    NotHttp,
    Other(String),
}

impl<'e> Cause<'e> {
    /// The innermost cause whose type says something.
    fn of(error: &'e reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        let (mut found, mut last) = (None, None);
        let mut next: Option<&(dyn Error + 'static)> = error.source();
        while let Some(cause) = next {
            last = Some(cause);
            found = Self::typed(cause).or(found);
            next = cause.source();
        }
        found.unwrap_or_else(|| {
            // The error's own text holds the URL, and so the query.
            Self::Other(last.map_or_else(|| "no reason given".to_owned(), ToString::to_string))
        })
    }

    fn typed(cause: &'e (dyn Error + 'static)) -> Option<Self> {
        if let Some(name) = cause.downcast_ref() {
            return Some(Self::UnknownName(name));
        }
        if cause.is::<InvalidDnsNameError>() {
            return Some(Self::InvalidName);
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Some(Self::tls(error));
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            return match () {
                () if error.is_incomplete_message() || error.is_closed() => Some(Self::Closed),
                () if error.is_parse() => Some(Self::NotHttp),
                () => None,
            };
        }
        let mut error = cause.downcast_ref::<io::Error>()?;
        // The error inside an I/O error is not among its sources, and TLS errors are wrapped twice.
        loop {
            let Some(inner) = error.get_ref() else { return Some(Self::Io(error.kind(), error)) };
            if let Some(inner) = inner.downcast_ref::<rustls::Error>() {
                return Some(Self::tls(inner));
            }
            match inner.downcast_ref::<io::Error>() {
                Some(inner) => error = inner,
                None => return Some(Self::Io(error.kind(), error)),
            }
        }
    }

    fn tls(error: &'e rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(error),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Tls(other),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::TimedOut => "no response in time".to_owned(),
            Self::UnknownName(name) => name.to_string(),
            Self::InvalidName => "this is not a valid host name".to_owned(),
            Self::Certificate(error) => certificate_text(error),
            Self::NotTls => "it does not speak TLS".to_owned(),
            Self::Tls(error) => format!("TLS failed: {error}"),
            Self::Io(kind, error) => io_text(*kind, error),
            Self::Closed => "it closed the connection".to_owned(),
            Self::NotHttp => "it does not speak HTTP".to_owned(),
            Self::Other(text) => text.clone(),
        }
    }
}

fn certificate_text(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "its certificate is from an untrusted authority".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another host".to_owned()
        }
        CertificateError::Revoked => "its certificate has been revoked".to_owned(),
        CertificateError::BadEncoding => "its certificate cannot be read".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for servers".to_owned()
        }
        error if is_ca(error) => "its certificate is that of an authority, not of a host".to_owned(),
        CertificateError::Other(other) => format!("its certificate cannot be accepted ({:?})", other.0),
        other => format!("its certificate cannot be accepted ({other:?})"),
    }
}

/// Whether the host presents a CA certificate as its own, which most self-signed certificates are.
fn is_ca(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// An I/O error without its number.
fn io_text(kind: ErrorKind, error: &io::Error) -> String {
    match kind {
        ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            "the connection was reset".to_owned()
        }
        ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        ErrorKind::HostUnreachable => "there is no route to it".to_owned(),
        ErrorKind::NetworkUnreachable => "the network is unreachable".to_owned(),
        _ => crate::error::io_text(error),
    }
}
