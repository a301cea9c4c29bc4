//! A server that tests have notified.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// A server that hears what is posted: path and body. `/redirect` leads to `/elsewhere`.
pub(crate) struct Ear {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<(String, String)>>>,
}

impl Ear {
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let (mut line, mut length) = (String::new(), 0);
                stream.read_line(&mut line).unwrap();
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                while line.trim() != "" {
                    line.clear();
                    stream.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let answer = match path.starts_with("/redirect") {
                    true => "HTTP/1.1 307 See There\r\nLocation: /elsewhere\r\n",
                    false => "HTTP/1.1 200 OK\r\n",
                };
                notes.lock().unwrap().push((path, String::from_utf8(body).unwrap()));
                write!(stream.get_mut(), "{answer}Content-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            }
        });
        Self { url, heard }
    }

    pub(crate) fn heard(&self) -> Vec<(String, String)> {
        self.heard.lock().unwrap().clone()
    }
}
