//! Takes the response to a batch of several requests apart while it arrives, so only one inner response is in memory.

use std::ops::Range;

use memchr::memchr2;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::salesforce::fault::{Fault, FaultKind};

/// The inner responses of a batch, in the order of its requests.
#[derive(Debug, Default)]
pub struct Results {
    /// What has arrived and was not given out.
    bytes: Vec<u8>,
    /// How much of it was looked at.
    seen: usize,
    /// Where the current inner response begins.
    begin: usize,
    /// Where it ends, once that has arrived.
    end: Option<usize>,
    state: State,
    /// How many objects and arrays are open.
    depth: usize,
    /// The last string of the outermost object: its key, when a value begins.
    key: Range<usize>,
}

/// What the next byte belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The outermost object, outside of `results`; also what precedes and follows it.
    #[default]
    Outside,
    /// The list of inner responses.
    List,
    /// One of the inner responses.
    Result,
    /// A string in one of the other three.
    Text(Place),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    List,
    Result,
}

/// An inner response.
#[derive(Debug, Deserialize)]
pub struct InnerResponse<'b> {
    /// Its status.
    #[serde(rename = "statusCode")]
    pub status: u16,
    /// Its body.
    #[serde(borrow)]
    result: &'b RawValue,
}

impl InnerResponse<'_> {
    /// Its body, as it was sent.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.result.get().as_bytes()
    }
}

impl Results {
    /// Takes in the next bytes of the response.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes have arrived of an inner response that is not whole.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the next inner response has arrived to its end.
    pub fn is_ready(&mut self) -> bool {
        if self.end.is_none() {
            self.end = self.find_end();
        }
        self.end.is_some()
    }

    /// Passes the next inner response to `read`, if it has arrived to its end; `None` if it has not.
    ///
    /// # Errors
    /// [`FaultKind::Truncated`] if it is not an inner response.
    pub fn next<T>(&mut self, read: impl FnOnce(InnerResponse<'_>) -> T) -> Result<Option<T>, Fault> {
        if !self.is_ready() {
            return Ok(None);
        }
        let Some(end) = self.end.take() else { return Ok(None) };
        let response = serde_json::from_slice(&self.bytes[self.begin..end]).map_err(|_| not_results())?;
        let read = read(response);
        self.bytes.drain(..end);
        self.seen = 0;
        Ok(Some(read))
    }

    /// Whether the response is whole.
    ///
    /// # Errors
    /// [`FaultKind::Truncated`] if it is not.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.depth == 0 && self.state == State::Outside && self.seen == self.bytes.len() {
            return Ok(());
        }
        Err(not_results())
    }

    /// Looks at what has arrived up to the end of the next inner response.
    fn find_end(&mut self) -> Option<usize> {
        while let Some(byte) = self.bytes.get(self.seen).copied() {
            match self.state {
                State::Text(place) => {
                    let rest = &self.bytes[self.seen..];
                    let Some(found) = memchr2(b'"', b'\\', rest) else {
                        self.seen = self.bytes.len();
                        return None;
                    };
                    if rest[found] == b'\\' {
                        if rest.len() < found + 2 {
                            // What it escapes has not arrived.
                            self.seen += found;
                            return None;
                        }
                        self.seen += found + 2;
                        continue;
                    }
                    self.seen += found + 1;
                    if place == Place::Outside && self.depth == 1 {
                        self.key.end = self.seen - 1;
                    }
                    self.state = place.state();
                    continue;
                }
                State::Outside => self.outside(byte),
                State::List => self.in_list(byte),
                State::Result => match byte {
                    b'"' => self.state = State::Text(Place::Result),
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth -= 1;
                        if self.depth == LIST_DEPTH {
                            self.state = State::List;
                            self.seen += 1;
                            return Some(self.seen);
                        }
                    }
                    _ => {}
                },
            }
            self.seen += 1;
        }
        // White space and commas between inner responses are not worth keeping; a key may be.
        if self.state == State::List {
            self.bytes.clear();
            self.seen = 0;
        }
        None
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.state = State::Text(Place::Outside);
                if self.depth == 1 {
                    self.key = self.seen + 1..self.seen + 1;
                }
            }
            b'[' if self.depth == 1 && self.bytes.get(self.key.clone()) == Some(b"results") => {
                self.depth = LIST_DEPTH;
                self.state = State::List;
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    fn in_list(&mut self, byte: u8) {
        match byte {
            b'"' => self.state = State::Text(Place::List),
            b'{' => {
                self.depth += 1;
                self.begin = self.seen;
                self.state = State::Result;
            }
            b']' => {
                self.depth -= 1;
                self.key = 0..0;
                self.state = State::Outside;
            }
            _ => {}
        }
    }
}

/// The depth of the list of inner responses: it is in an object.
const LIST_DEPTH: usize = 2;

impl Place {
    fn state(self) -> State {
        match self {
            Self::Outside => State::Outside,
            Self::List => State::List,
            Self::Result => State::Result,
        }
    }
}

fn not_results() -> Fault {
    Fault::new(
        FaultKind::Truncated,
        "the org's response to composite/batch is not the results of its requests",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inner responses of a text that arrives in pieces of this size, and whether it was whole.
    fn taken(text: &str, size: usize) -> (Vec<(u16, String)>, bool) {
        let (mut results, mut found) = (Results::default(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            results.push(piece);
            while let Some(inner) = results
                .next(|inner| (inner.status, String::from_utf8(inner.body().to_vec()).unwrap()))
                .unwrap()
            {
                found.push(inner);
            }
        }
        (found, results.finish().is_ok())
    }

    #[test]
    fn inner_responses_are_found_however_they_arrive() {
        let text = r#" {"hasErrors" : true, "more":[{"results":["{"]}], "results":[
            {"statusCode":200,"result":{"a":"}]\\\"{","b":[1,{"c":{}}]}} ,
            {"result":[{"errorCode":"X"}],"statusCode":404},{"statusCode":200,"result":"text"}
            ] , "results2": ["]"] } "#;
        let expected = [
            (200, r#"{"a":"}]\\\"{","b":[1,{"c":{}}]}"#.to_owned()),
            (404, r#"[{"errorCode":"X"}]"#.to_owned()),
            (200, r#""text""#.to_owned()),
        ];
        for size in 1..=text.len() {
            assert_eq!(taken(text, size), (expected.to_vec(), true), "in pieces of {size}");
        }
    }

    #[test]
    fn what_ends_too_early_is_not_whole() {
        let text = r#"{"hasErrors":false,"results":[{"statusCode":200,"result":{"a":"\""}}]}"#;
        for end in 0..text.len() {
            let (found, is_whole) = taken(&text[..end], 7);
            // Nothing at all is a matter of the number of results.
            assert_eq!(is_whole, end == 0, "{end}");
            assert!(found.len() <= 1);
        }
        assert!(taken(text, 7).1);
    }

    #[test]
    fn what_is_not_an_inner_response_is_a_fault() {
        for text in [r#"{"results":[{}]}"#, r#"{"results":[{"statusCode":"x","result":1}]}"#] {
            let mut results = Results::default();
            results.push(text.as_bytes());
            let fault = results.next(|_| ()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Truncated);
        }
        assert_eq!(taken("<html>", 3), (Vec::new(), true));
        assert_eq!(taken(r#"{"results":null}"#, 3), (Vec::new(), true));
        assert_eq!(taken("[]", 3), (Vec::new(), true));
    }

    #[test]
    fn what_was_given_out_takes_no_memory() {
        let one = format!(r#"{{"statusCode":200,"result":"{}"}}"#, "x".repeat(1_000));
        let text = format!(r#"{{"results":[{}]}}"#, vec![one; 100].join(", "));
        let mut results = Results::default();
        let mut largest = 0;
        for piece in text.as_bytes().chunks(100) {
            results.push(piece);
            while results.next(|_| ()).unwrap().is_some() {}
            largest = largest.max(results.held());
        }
        assert!(largest < 1_200, "{largest}");
        assert!(results.finish().is_ok());
    }
}
