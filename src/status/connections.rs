//! The connections of the status port: how many are open, from whom, and which one gives way to a new one, so that
//! no client can keep others out. What is answered on them is left to `status`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{AbortHandle, JoinSet};

/// How many connections are open at once.
const MAX_CONNECTIONS: usize = 64;

/// How many of them may come from one source.
const MAX_CONNECTIONS_PER_SOURCE: usize = 16;

/// Set once the head of a connection's request has arrived.
pub(super) type HeadArrived = Arc<AtomicBool>;

/// The open connections, each served by a task. Dropping this closes them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// The oldest first.
    open: Vec<Connection>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Connection {
    source: IpAddr,
    head_arrived: HeadArrived,
    task: AbortHandle,
}

impl Connections {
    /// Serves a new connection, and closes an older one if there are too many.
    pub(super) fn admit<F>(&mut self, peer: IpAddr, serve: impl FnOnce(HeadArrived) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.task.is_finished());
        let source = source(peer);
        let open =
            |connection: &Connection| (connection.source, connection.head_arrived.load(Ordering::Relaxed));
        if let Some(place) = stalest(&self.open.iter().map(open).collect::<Vec<_>>(), source) {
            self.open.remove(place).task.abort();
        }
        let head_arrived = HeadArrived::default();
        let task = self.tasks.spawn(serve(Arc::clone(&head_arrived)));
        self.open.push(Connection { source, head_arrived, task });
    }
}

/// Which connection gives way to a new one from `source`, if one must: the oldest that has not sent a whole head, or
/// else the oldest. `open` holds each connection's source and whether its head has arrived, the oldest first.
fn stalest(open: &[(IpAddr, bool)], source: IpAddr) -> Option<usize> {
    let of_source = open.iter().filter(|(from, _)| *from == source).count();
    let is_candidate = |from: IpAddr| of_source < MAX_CONNECTIONS_PER_SOURCE || from == source;
    if of_source < MAX_CONNECTIONS_PER_SOURCE && open.len() < MAX_CONNECTIONS {
        return None;
    }
    let waiting = open.iter().position(|(from, head_arrived)| is_candidate(*from) && !head_arrived);
    waiting.or_else(|| open.iter().position(|(from, _)| is_candidate(*from)))
}

/// The source that a connection counts against: an IPv4 address, or the /64 network of an IPv6 address, because clients
/// choose the lower half freely.
fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{MAX_CONNECTIONS, MAX_CONNECTIONS_PER_SOURCE, source, stalest};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// So many connections, each from another address of one network.
    fn from_many(count: usize) -> Vec<(IpAddr, bool)> {
        (0..count).map(|number| (address(&format!("10.0.0.{number}")), true)).collect()
    }

    #[test]
    fn the_oldest_connection_without_a_head_gives_way() {
        let new = address("192.0.2.1");
        let mut open = from_many(MAX_CONNECTIONS - 1);
        assert_eq!(stalest(&open, new), None);
        open.push((address("10.0.1.1"), true));
        assert_eq!(stalest(&open, new), Some(0), "all have sent a head");
        open[7].1 = false;
        open[9].1 = false;
        assert_eq!(stalest(&open, new), Some(7));
    }

    #[test]
    fn a_source_with_many_connections_closes_its_own() {
        let greedy = address("192.0.2.1");
        let mut open = vec![(address("10.0.0.1"), false)];
        open.extend(std::iter::repeat_n((greedy, false), MAX_CONNECTIONS_PER_SOURCE - 1));
        assert_eq!(stalest(&open, greedy), None);
        open.push((greedy, false));
        assert_eq!(stalest(&open, greedy), Some(1));
        assert_eq!(stalest(&open, address("10.0.0.1")), None);
    }

    #[test]
    fn one_ipv6_network_is_one_source() {
        let of = |text| source(address(text)).to_string();
        assert_eq!(of("2001:db8:1:2:aaaa::1"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2:bbbb::2"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:3::1"), "2001:db8:1:3::");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
    }
}
