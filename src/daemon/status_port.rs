//! Opens the status port. `cli` serves it, and `check` only tries whether it can be opened.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::{Exit, Failure, io_text};

/// What the status port responds to a request for `/livez`.
pub const ALIVE: &str = "alive\n";

/// How long `check` waits for whatever has the port.
const PATIENCE: Duration = Duration::from_secs(2);

/// Listens on the address of `status.listen`.
///
/// # Errors
/// [`Exit::General`] if the address is in use, not one of this machine, or not permitted.
pub fn open_status_port(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        let what = format!("the status port cannot listen on \"{address}\": {}", io_text(&error));
        Failure::new(Exit::General, what)
            .hint("set listen in [status] to an address of this machine and a free port")
    })
}

/// Whether a daemon of sfexport listens there.
pub async fn is_status_port(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let asked = async {
        let mut stream = TcpStream::connect((ip, address.port())).await?;
        let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        stream.take(1_024).read_to_end(&mut response).await?;
        std::io::Result::Ok(response)
    };
    let response = timeout(PATIENCE, asked).await;
    response.is_ok_and(|read| read.is_ok_and(|response| response.ends_with(ALIVE.as_bytes())))
}
