//! HTTP/1.1 by hand, because the faults worth testing are the ones that a server library never makes: bodies
//! cut in a chunk, lengths that lie, responses that stall. `routes` decides what is sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::fault::Framing;
use super::{Org, Request};

/// Salesforce's limit on a request's URI, and on its URI and headers together, in bytes.
const HEAD_LIMIT: usize = 16_384;
/// What is read of a head or a body before the connection is given up.
const READ_LIMIT: usize = 4 << 20;

/// A response and how it is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Without those that frame the body.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) delivery: Delivery,
}

/// How a response is sent; by default whole and at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Delivery {
    /// Nothing is sent; the connection is closed.
    pub(super) close: bool,
    /// The time before the first byte.
    pub(super) late: Duration,
    pub(super) framing: Framing,
    /// The connection is closed after so many bytes of the body.
    pub(super) cut: Option<usize>,
    /// Nothing is sent; the connection stays open until the client closes it.
    pub(super) silent: bool,
    /// The same after so many bytes of the body.
    pub(super) half_open: Option<usize>,
    /// After so many bytes of the body comes a pause.
    pub(super) stall: Option<(usize, Duration)>,
    /// Pieces of so many bytes, a pause after each.
    pub(super) drip: Option<(usize, Duration)>,
    pub(super) bytes_per_second: Option<u64>,
}

/// Serves a connection until the client leaves or a response ends it.
pub(super) async fn serve(org: Arc<Org>, mut stream: TcpStream) -> io::Result<()> {
    // Heads and bodies are written whole; waiting to fill a packet only adds 40 ms to small responses.
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    loop {
        let Some((request, keep_alive)) = read(&mut stream, &mut input).await? else { return Ok(()) };
        let head_only = request.method == "HEAD";
        let response = match too_long(&request) {
            Some(response) => {
                org.note(request);
                response
            }
            None => {
                let org = Arc::clone(&org);
                // Evaluating a query takes as long as it takes; the connections' threads stay free.
                tokio::task::spawn_blocking(move || super::routes::respond(&org, request))
                    .await
                    .map_err(io::Error::other)?
            }
        };
        let refused = response.status == 414 || response.status == 431;
        if !write(&mut stream, response, head_only).await? || !keep_alive || refused {
            return stream.shutdown().await;
        }
    }
}

/// What the servlet container says before the application sees the request.
fn too_long(request: &Request) -> Option<Response> {
    let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let (status, reason) = if request.target.len() > HEAD_LIMIT {
        (414, "URI Too Long")
    } else if request.target.len() + headers > HEAD_LIMIT {
        (431, "Request Header Fields Too Large")
    } else {
        return None;
    };
    Some(Response {
        status,
        headers: vec![("Content-Type".to_owned(), "text/html;charset=iso-8859-1".to_owned())],
        body: Bytes::from(format!("<h1>Bad Message {status}</h1><pre>reason: {reason}</pre>")),
        delivery: Delivery { framing: Framing::Length, ..Delivery::default() },
    })
}

/// The next request, and whether the connection may live on after it; `None` at the connection's end.
async fn read(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Option<(Request, bool)>> {
    let head_end = loop {
        if let Some(at) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if !more(stream, input).await? {
            return if input.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    };
    let head = String::from_utf8_lossy(&input[..head_end]).into_owned();
    input.drain(..head_end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (first.next(), first.next(), first.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request =
        Request { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        request.body = chunked_body(stream, input).await?;
    } else if let Some(length) =
        request.header("content-length").and_then(|value| value.parse::<usize>().ok())
    {
        fill(stream, input, length).await?;
        request.body = input.drain(..length).collect();
    }
    let keep_alive = version == "HTTP/1.1"
        && !request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Some((request, keep_alive)))
}

async fn chunked_body(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            if let Some(at) = input.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            fill(stream, input, input.len() + 1).await?;
        };
        let line = String::from_utf8_lossy(&input[..line_end]).into_owned();
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if size + body.len() > READ_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        fill(stream, input, line_end + 2 + size + 2).await?;
        body.extend_from_slice(&input[line_end + 2..line_end + 2 + size]);
        input.drain(..line_end + 2 + size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn fill(stream: &mut TcpStream, input: &mut Vec<u8>, length: usize) -> io::Result<()> {
    while input.len() < length {
        if !more(stream, input).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

async fn more(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<bool> {
    if input.len() > READ_LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(stream.read_buf(input).await? > 0)
}

/// Sends a response; `false` if the connection is to end with it.
async fn write(stream: &mut TcpStream, response: Response, head_only: bool) -> io::Result<bool> {
    let Response { status, headers, body, delivery } = response;
    if !delivery.late.is_zero() {
        sleep(delivery.late).await;
    }
    if delivery.close {
        return Ok(false);
    }
    if delivery.silent {
        return until_closed(stream).await;
    }
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in &headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if is_bodiless(status) {
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        return Ok(true);
    }
    match delivery.framing {
        Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
        Framing::Length => head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len())),
        Framing::UntilClose => head.push_str("Connection: close\r\n\r\n"),
    }
    stream.write_all(head.as_bytes()).await?;
    if head_only {
        return Ok(delivery.framing != Framing::UntilClose);
    }
    let end = delivery.cut.or(delivery.half_open).unwrap_or(body.len()).min(body.len());
    let mut pace = Pace { start: Instant::now(), sent: 0, rate: delivery.bytes_per_second };
    let mut at = 0;
    while at < end {
        let mut next = (at + piece(&delivery)).min(end);
        if let Some((after, pause)) = delivery.stall {
            if at == after {
                stream.flush().await?;
                sleep(pause).await;
            } else if at < after {
                next = next.min(after);
            }
        }
        send(stream, &body[at..next], delivery.framing).await?;
        if let Some((_, pause)) = delivery.drip {
            stream.flush().await?;
            sleep(pause).await;
        }
        pace.keep(next - at).await;
        at = next;
    }
    if let Some((after, pause)) = delivery.stall
        && after >= end
    {
        sleep(pause).await;
    }
    if delivery.half_open.is_some() {
        return until_closed(stream).await;
    }
    if delivery.cut.is_some() {
        return Ok(false);
    }
    if delivery.framing == Framing::Chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(delivery.framing != Framing::UntilClose)
}

/// Whether a response has no body, not even an empty one.
pub(super) fn is_bodiless(status: u16) -> bool {
    matches!(status, 204 | 304)
}

/// Waits for the client to give up; the connection ends with it.
async fn until_closed(stream: &mut TcpStream) -> io::Result<bool> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(false)
}

/// How much is written at once.
fn piece(delivery: &Delivery) -> usize {
    match (delivery.drip, delivery.bytes_per_second) {
        (Some((bytes, _)), _) => bytes.max(1),
        // A hundred pieces a second are smooth enough.
        (None, Some(rate)) => (rate / 100).clamp(1, 64 << 10) as usize,
        (None, None) => 64 << 10,
    }
}

async fn send(stream: &mut TcpStream, bytes: &[u8], framing: Framing) -> io::Result<()> {
    if framing == Framing::Chunked {
        stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
        stream.write_all(bytes).await?;
        stream.write_all(b"\r\n").await
    } else {
        stream.write_all(bytes).await
    }
}

/// Holds a body to a number of bytes a second.
struct Pace {
    start: Instant,
    sent: u64,
    rate: Option<u64>,
}

impl Pace {
    async fn keep(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        if let Some(rate) = self.rate {
            sleep_until(self.start + Duration::from_secs_f64(self.sent as f64 / rate.max(1) as f64)).await;
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        414 => "URI Too Long",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
