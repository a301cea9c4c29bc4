//! A page: its records and their envelope, and what scripted faults change about both.

use crate::demo_org::fault::Fault;
use crate::demo_org::render::json;
use crate::demo_org::render::push;

/// A page, before its envelope.
#[derive(Debug)]
pub(in crate::demo_org) struct Page {
    pub(super) total: i64,
    /// The next page's path.
    pub(in crate::demo_org) next: Option<String>,
    /// The records, with commas between them.
    pub(super) records: Vec<u8>,
}

/// How a page is wrapped.
pub(in crate::demo_org) struct Envelope<'e> {
    pub(in crate::demo_org) pretty: bool,
    pub(in crate::demo_org) faults: &'e [Fault],
    /// The page's own path, where it is a further page.
    pub(in crate::demo_org) own: Option<&'e str>,
}

impl Page {
    /// The page's JSON.
    pub(in crate::demo_org) fn body(&self, envelope: &Envelope<'_>) -> Vec<u8> {
        let mut total = self.total;
        let mut done = self.next.is_none();
        let mut next = self.next.clone();
        let mut order = vec!["totalSize", "done", "nextRecordsUrl", "records"];
        let mut extras: &[(&str, &str)] = &[];
        let mut null_records = false;
        for fault in envelope.faults {
            match fault {
                Fault::TotalSize(wrong) => total = *wrong,
                Fault::NoNextUrl => (done, next) = (false, None),
                Fault::DoneEarly => (done, next) = (true, None),
                Fault::RepeatedLocator => {
                    if let Some(own) = envelope.own {
                        (done, next) = (false, Some(own.to_owned()));
                    }
                }
                Fault::NextUrl(url) => (done, next) = (false, Some(url.clone())),
                Fault::NullRecords => null_records = true,
                Fault::ExtraKeys(keys) => extras = keys,
                Fault::KeyOrder(keys) => order.clone_from(keys),
                _ => {}
            }
        }
        let named = |key: &str| extras.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let unnamed: Vec<&str> =
            extras.iter().map(|(name, _)| *name).filter(|name| !order.contains(name)).collect();
        let mut out = Vec::with_capacity(self.records.len() + 160);
        out.push(b'{');
        for key in order.into_iter().chain(unnamed) {
            let start = out.len();
            if start > 1 {
                out.push(b',');
            }
            match key {
                "totalSize" => push(&mut out, format_args!("\"totalSize\":{total}")),
                "done" => push(&mut out, format_args!("\"done\":{done}")),
                "records" if null_records => out.extend_from_slice(b"\"records\":null"),
                "records" => {
                    out.extend_from_slice(b"\"records\":[");
                    out.extend_from_slice(&self.records);
                    out.push(b']');
                }
                "nextRecordsUrl" if next.is_some() => {
                    out.extend_from_slice(b"\"nextRecordsUrl\":");
                    json::string(&mut out, next.as_deref().unwrap_or_default());
                }
                _ => match named(key) {
                    Some(value) => push(&mut out, format_args!("\"{key}\":{value}")),
                    None => out.truncate(start),
                },
            }
        }
        out.push(b'}');
        if envelope.pretty { json::pretty(&out) } else { out }
    }
}

/// What scripted faults change about the records of a page, and about which of them it holds.
#[derive(Debug)]
pub(in crate::demo_org) struct Distortion<'f> {
    pub(in crate::demo_org) stop_after: usize,
    pub(in crate::demo_org) empty_pages: bool,
    pub(super) repeated_pages: bool,
    pub(in crate::demo_org) locator: Option<&'f str>,
    pub(in crate::demo_org) reversed_keys: bool,
    pub(in crate::demo_org) null_addresses: bool,
    /// The least length of a text in bytes.
    pub(in crate::demo_org) long_texts: usize,
    pub(in crate::demo_org) extra_columns: usize,
    /// What is wrong with the envelopes of child results.
    pub(super) in_children: &'f [Fault],
}

impl<'f> Distortion<'f> {
    pub(in crate::demo_org) fn of(faults: &'f [Fault]) -> Self {
        let mut distortion = Self {
            stop_after: usize::MAX,
            empty_pages: false,
            repeated_pages: false,
            locator: None,
            reversed_keys: false,
            null_addresses: false,
            long_texts: 0,
            extra_columns: 0,
            in_children: &[],
        };
        for fault in faults {
            match fault {
                Fault::StopAfter(rows) => distortion.stop_after = *rows,
                Fault::EmptyPages => distortion.empty_pages = true,
                Fault::RepeatedPages => distortion.repeated_pages = true,
                Fault::Locator(text) => distortion.locator = Some(text),
                Fault::ReversedKeys => distortion.reversed_keys = true,
                Fault::NullAddresses => distortion.null_addresses = true,
                Fault::LongTexts(bytes) => distortion.long_texts = *bytes,
                Fault::ExtraColumns(columns) => distortion.extra_columns = *columns,
                Fault::InChildren(faults) => distortion.in_children = faults,
                _ => {}
            }
        }
        distortion
    }

    /// Whether its pages have no end.
    pub(in crate::demo_org) fn is_endless(&self) -> bool {
        self.empty_pages || self.repeated_pages
    }

    /// What it changes within child results: what is scripted for them, and how values are written.
    pub(super) fn of_children(&self) -> Self {
        Self {
            reversed_keys: self.reversed_keys,
            null_addresses: self.null_addresses,
            long_texts: self.long_texts,
            ..Self::of(self.in_children)
        }
    }
}
