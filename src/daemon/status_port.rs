//! Opens the status port. `cli` serves it, and `check` only tries whether it can be opened.

use std::net::{SocketAddr, TcpListener};

use crate::error::{Exit, Failure, io_text};

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
