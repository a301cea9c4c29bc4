//! The usual record: its keys in the query's order, no white space between its tokens. It is read in one go or not at
//! all; any other record is left to the general reader in `page`, which can tell what is wrong with it.

use std::ops::Range;

use super::is_datetime;
use crate::record::{CellKind, Record};
use crate::salesforce::swar::{BLOCK, below, control, equal, first, repeated};
use crate::soql::{Level, Node};
use crate::value::FieldType;
use crate::value::datetime::write_rfc3339;
use crate::value::number::{end_of_number, write_plain};

/// How deep a compound value may be.
const MAX_DEPTH: usize = 4;

/// The longest number; no double has a tenth of it.
const MAX_NUMBER_BYTES: usize = 1_000;

/// Reads the record at `at` into its cells, which are empty, watching text for a byte. Returns the place after it, or
/// `None`: then the cells hold nothing to rely on.
pub(super) fn cells(
    bytes: &[u8],
    at: usize,
    level: &Level,
    record: &mut Record,
    watch: Option<u8>,
) -> Option<usize> {
    let watched = repeated(watch.unwrap_or_default());
    object(bytes, at, level, &mut Cells { record, watched, watches: watch.is_some() })
}

/// What is copied of a record, and how.
pub(super) struct Line<'o> {
    /// Where it is copied to.
    pub(super) out: &'o mut Vec<u8>,
    /// How far it has been copied, or left out.
    pub(super) copied: usize,
    /// Whether its `attributes` are.
    pub(super) attributes: bool,
    /// Whether the exponents of its numbers are written out.
    pub(super) plain: bool,
    /// The types of its columns if datetimes are converted, otherwise empty.
    pub(super) types: &'o [Option<FieldType>],
}

/// Copies the record at `at`, from [`Line::copied`] on. Gives the place behind it, or `None`: then what was copied
/// of it is nothing to rely on.
pub(super) fn line(bytes: &[u8], at: usize, level: &Level, mut line: Line<'_>) -> Option<usize> {
    let end = object(bytes, at, level, &mut line)?;
    line.up_to(bytes, end);
    Some(end)
}

/// What becomes of a record's values: the two ways of reading a record differ in nothing else.
trait Visitor {
    /// Takes the value at `at`; gives the place behind it.
    fn value(&mut self, bytes: &[u8], at: usize, column: usize) -> Option<usize>;

    /// Takes a column that is null because its parent is, or that has no children.
    fn null(&mut self, column: usize) -> Option<()>;

    /// Takes the place of an object's `attributes`, with the comma behind them.
    fn attributes(&mut self, bytes: &[u8], place: Range<usize>);
}

/// A record's object, or a parent's, whose keys must be those of the level, each once and in its order.
fn object<T: Visitor>(bytes: &[u8], at: usize, level: &Level, visitor: &mut T) -> Option<usize> {
    let mut at = literal(bytes, at, b"{")?;
    if let Some(behind) = attributes(bytes, at) {
        visitor.attributes(bytes, at..behind);
        at = behind;
    }
    // Then the comma behind the attributes would stand before nothing.
    if level.entries().is_empty() {
        return None;
    }
    for (number, entry) in level.entries().iter().enumerate() {
        if number > 0 {
            at = literal(bytes, at, b",")?;
        }
        at = key(bytes, at, entry.key.as_bytes())?;
        at = match &entry.node {
            Node::Value(column) => visitor.value(bytes, at, *column)?,
            Node::Parent(parent) if bytes.get(at) == Some(&b'n') => {
                parent.columns().iter().try_for_each(|column| visitor.null(*column))?;
                literal(bytes, at, b"null")?
            }
            Node::Parent(parent) => object(bytes, at, parent, visitor)?,
            Node::Children { column, .. } => {
                visitor.null(*column)?;
                literal(bytes, at, b"null")?
            }
        };
    }
    literal(bytes, at, b"}")
}

/// `"attributes":{"type":"Account","url":"..."},` without escapes, the URL as it is there or not.
fn attributes(bytes: &[u8], at: usize) -> Option<usize> {
    let at = literal(bytes, at, b"\"attributes\":{\"type\":\"")?;
    let mut at = plain(bytes, at)?;
    if let Some(url) = literal(bytes, at, b"\",\"url\":\"") {
        at = plain(bytes, url)?;
    }
    literal(bytes, at, b"\"},")
}

/// A key, whatever its case, with its colon.
#[inline]
fn key(bytes: &[u8], at: usize, key: &[u8]) -> Option<usize> {
    let at = literal(bytes, at, b"\"")?;
    let end = at + key.len();
    let sent = bytes.get(at..end)?;
    // A column of that name would be taken for what describes the record.
    let known = (sent == key || sent.eq_ignore_ascii_case(key)) && sent != b"attributes";
    if known { literal(bytes, end, b"\":") } else { None }
}

/// The place behind these bytes, if they stand at `at`.
#[inline]
fn literal(bytes: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(literal).then_some(at + literal.len())
}

struct Cells<'r> {
    record: &'r mut Record,
    /// The byte that text is watched for, repeated, and whether it is watched for any.
    watched: u64,
    watches: bool,
}

impl Visitor for Cells<'_> {
    #[inline]
    fn value(&mut self, bytes: &[u8], at: usize, column: usize) -> Option<usize> {
        let Self { record, watched, watches } = self;
        let mut behind = None;
        let empty = match bytes.get(at)? {
            b'"' => record.fill_text(column, |out| {
                let (end, clean) = text(bytes, at + 1, out, *watched)?;
                behind = Some(end);
                Some(clean && *watches)
            }),
            b'n' => {
                behind = literal(bytes, at, b"null");
                record.fill(column, CellKind::Null, |_| {})
            }
            b't' | b'f' => {
                behind = literal(bytes, at, b"true").or_else(|| literal(bytes, at, b"false"));
                let end = behind?;
                record.fill(column, CellKind::Boolean, |out| out.extend_from_slice(&bytes[at..end]))
            }
            b'{' | b'[' => {
                behind = skipped(bytes, at, MAX_DEPTH);
                let end = behind?;
                record.fill(column, CellKind::Json, |out| out.extend_from_slice(&bytes[at..end]))
            }
            _ => {
                behind = number(bytes, at);
                let end = behind?;
                record.fill(column, CellKind::Number, |out| out.extend_from_slice(&bytes[at..end]))
            }
        };
        if empty { behind } else { None }
    }

    fn null(&mut self, column: usize) -> Option<()> {
        self.record.fill(column, CellKind::Null, |_| {}).then_some(())
    }

    #[inline]
    fn attributes(&mut self, _: &[u8], _: Range<usize>) {}
}

impl Line<'_> {
    fn up_to(&mut self, bytes: &[u8], end: usize) {
        self.out.extend_from_slice(&bytes[self.copied..end]);
        self.copied = end;
    }
}

impl Visitor for Line<'_> {
    #[inline]
    fn value(&mut self, bytes: &[u8], at: usize, column: usize) -> Option<usize> {
        let end = skipped(bytes, at, MAX_DEPTH)?;
        if is_datetime(self.types, column) {
            if bytes[at] != b'n' {
                let text = bytes.get(at..end)?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
                self.up_to(bytes, at + 1);
                write_rfc3339(text, self.out).ok()?;
                self.copied = end - 1;
            }
        } else if self.plain && matches!(bytes[at], b'-' | b'0'..=b'9') {
            self.up_to(bytes, at);
            write_plain(&bytes[at..end], self.out).ok()?;
            self.copied = end;
        }
        Some(end)
    }

    #[inline]
    fn null(&mut self, _: usize) -> Option<()> {
        Some(())
    }

    #[inline]
    fn attributes(&mut self, bytes: &[u8], place: Range<usize>) {
        if !self.attributes {
            self.up_to(bytes, place.start);
            self.copied = place.end;
        }
    }
}

/// The place behind the value at `at`.
#[inline]
fn skipped(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string(bytes, at + 1),
        b'n' => literal(bytes, at, b"null"),
        b't' => literal(bytes, at, b"true"),
        b'f' => literal(bytes, at, b"false"),
        b'{' | b'[' => nested(bytes, at, depth.checked_sub(1)?),
        _ => number(bytes, at),
    }
}

/// The place behind an object or an array.
fn nested(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    let (object, close) = if bytes[at] == b'{' { (true, b'}') } else { (false, b']') };
    let mut at = at + 1;
    if bytes.get(at) == Some(&close) {
        return Some(at + 1);
    }
    loop {
        if object {
            at = literal(bytes, string(bytes, literal(bytes, at, b"\"")?)?, b":")?;
        }
        at = skipped(bytes, at, depth)?;
        match bytes.get(at)? {
            b',' => at += 1,
            byte if *byte == close => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The place behind a number.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    end_of_number(bytes, at, MAX_NUMBER_BYTES)
}

/// Copies the rest of a string, unescaped; gives the place behind its quote, and whether nothing in it was escaped
/// or is the byte that `watched` repeats.
#[inline]
fn text(bytes: &[u8], mut at: usize, out: &mut Vec<u8>, watched: u64) -> Option<(usize, bool)> {
    let mut clean = true;
    loop {
        let block = bytes.get(at..)?.first_chunk::<BLOCK>()?;
        // A whole block is moved faster than some of its bytes.
        out.extend_from_slice(block);
        let word = u64::from_le_bytes(*block);
        let (marks, watched) = (marks(word), equal(word, watched));
        if marks == 0 {
            clean &= watched == 0;
            at += BLOCK;
            continue;
        }
        clean &= watched & below(marks) == 0;
        let ordinary = first(marks);
        out.truncate(out.len() - (BLOCK - ordinary));
        at += ordinary;
        match bytes[at] {
            b'"' => return Some((at + 1, clean)),
            b'\\' => {
                let (character, behind) = escape(bytes, at)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at = behind;
                clean = false;
            }
            _ => return None,
        }
    }
}

/// The place behind the rest of a string.
#[inline]
fn string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = to_mark(bytes, at)?;
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' => (_, at) = escape(bytes, at)?,
            _ => return None,
        }
    }
}

/// The place of the quote that ends a string without escapes.
#[inline]
fn plain(bytes: &[u8], at: usize) -> Option<usize> {
    let at = to_mark(bytes, at)?;
    (bytes[at] == b'"').then_some(at)
}

/// The place of the next byte that a string does not simply contain.
#[inline]
fn to_mark(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let marks = marks(u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<BLOCK>()?));
        if marks != 0 {
            return Some(at + first(marks));
        }
        at += BLOCK;
    }
}

/// Marks what a string does not simply contain: its quote, the backslash of an escape, and control characters.
#[inline]
fn marks(word: u64) -> u64 {
    control(word) | equal(word, repeated(b'"')) | equal(word, repeated(b'\\'))
}

/// The character of the escape at `at`, and the place behind it. Halves of surrogate pairs are left to the other road.
fn escape(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let character = match bytes.get(at + 1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let digits = bytes.get(at + 2..at + 6)?;
            let unit = digits
                .iter()
                .try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))?;
            return Some((char::from_u32(unit)?, at + 6));
        }
        _ => return None,
    };
    Some((character, at + 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soql::{Columns, Query};

    const SOQL: &str = "SELECT Id, Amount, Flag, Owner.Name, Owner.Boss.Name, Place__c FROM A";

    /// The cells of a record by this road; `None` where it is left to the other.
    fn read(record: &str, soql: &str) -> Option<Vec<(CellKind, String)>> {
        let columns = Columns::of(&Query::parse(soql).unwrap()).unwrap();
        let mut cells = Record::default();
        cells.clear(columns.cells());
        // What is close to a page's end is left to the other road.
        let page = format!("{record}{}", " ".repeat(BLOCK));
        let end = super::cells(page.as_bytes(), 0, columns.shape(), &mut cells, Some(b';'))?;
        assert_eq!(&page[..end], record);
        assert_eq!(cells.first_empty(), None);
        Some(cells.cells().map(|(kind, text)| (kind, String::from_utf8(text.to_vec()).unwrap())).collect())
    }

    /// The one cell of a value.
    fn value(json: &str) -> Option<(CellKind, String)> {
        read(&format!("{{\"V\":{json}}}"), "SELECT V FROM A").map(|mut cells| cells.remove(0))
    }

    fn copied(record: &str, soql: &str, attributes: bool, plain: bool) -> Option<String> {
        let columns = Columns::of(&Query::parse(soql).unwrap()).unwrap();
        let page = format!("{record}{}", " ".repeat(BLOCK));
        let mut out = Vec::new();
        let line = Line { out: &mut out, copied: 0, attributes, plain, types: &[] };
        let end = super::line(page.as_bytes(), 0, columns.shape(), line)?;
        assert_eq!(&page[..end], record);
        Some(String::from_utf8(out).unwrap())
    }

    const RECORD: &str = concat!(
        r#"{"attributes":{"type":"A","url":"/services/data/v62.0/sobjects/A/001"},"Id":"001","AMOUNT":-1.50E+3,"#,
        r#""Flag":true,"Owner":{"attributes":{"type":"U"},"Name":"Jo \"Ö\"\r\n","Boss":null},"#,
        r#""Place__c":{"x":[1,{}],"y":"\u00e9"}}"#
    );

    #[test]
    fn a_record_in_the_query_s_order_is_read_and_copied_whole() {
        let cells = [
            (CellKind::Text, "001"),
            (CellKind::Number, "-1.50E+3"),
            (CellKind::Boolean, "true"),
            (CellKind::Text, "Jo \"Ö\"\r\n"),
            (CellKind::Null, ""),
            (CellKind::Json, r#"{"x":[1,{}],"y":"\u00e9"}"#),
        ];
        let cells = cells.map(|(kind, text)| (kind, text.to_owned())).to_vec();
        assert_eq!(read(RECORD, SOQL), Some(cells));
        let without = concat!(
            r#"{"Id":"001","AMOUNT":-1.50E+3,"Flag":true,"Owner":{"Name":"Jo \"Ö\"\r\n","Boss":null},"#,
            r#""Place__c":{"x":[1,{}],"y":"\u00e9"}}"#
        );
        assert_eq!(copied(RECORD, SOQL, false, false).as_deref(), Some(without));
        assert_eq!(copied(RECORD, SOQL, true, false).as_deref(), Some(RECORD));
        assert_eq!(copied(RECORD, SOQL, false, true), Some(without.replace("-1.50E+3", "-1500.0")));
    }

    #[test]
    fn a_record_that_is_cut_or_followed_by_its_page_s_end_is_left_to_the_other_road() {
        let columns = Columns::of(&Query::parse(SOQL).unwrap()).unwrap();
        let mut cells = Record::default();
        for end in 0..RECORD.len() {
            cells.clear(columns.cells());
            let cut = &RECORD.as_bytes()[..end];
            assert_eq!(super::cells(cut, 0, columns.shape(), &mut cells, Some(b';')), None, "cut at {end}");
            let mut out = Vec::new();
            let line = Line { out: &mut out, copied: 0, attributes: true, plain: true, types: &[] };
            assert_eq!(super::line(cut, 0, columns.shape(), line), None, "cut at {end}");
        }
    }

    #[test]
    fn a_record_of_another_shape_is_left_to_the_other_road() {
        let soql = "SELECT Id, Owner.Name FROM A";
        let usual = r#"{"attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x"}}"#;
        assert!(read(usual, soql).is_some() && copied(usual, soql, false, false).is_some());
        for other in [
            // Keys: missing, unknown, twice, in another order.
            r#"{"attributes":{"type":"A"},"Id":"1"}"#,
            r#"{"attributes":{"type":"A"},"Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":{}}"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x"},"More":1}"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x","More":1}}"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Id":"1","Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x","Name":"x"}}"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x"},"Owner":null}"#,
            r#"{"attributes":{"type":"A"},"attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x"}}"#,
            r#"{"Owner":{"Name":"x"},"Id":"1"}"#,
            r#"{"Id":"1","attributes":{"type":"A"},"Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"}}"#,
            r#"{"attributes":{"type":"A"},}"#,
            r#"{}"#,
            // Attributes that hold anything else.
            r#"{"attributes":null,"Id":"1","Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A","url":"/a","more":1},"Id":"1","Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"\u0041"},"Id":"1","Owner":{"Name":"x"}}"#,
            // A parent that is none.
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":nul}"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":"x"}"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":[]}"#,
            // White space, and commas too many or too few.
            r#"{ "attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"},"Id": "1","Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"},"Id" :"1","Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"},"Id":"1" ,"Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x"} }"#,
            r#"{"attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x"},}"#,
            r#"{,"attributes":{"type":"A"},"Id":"1","Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"},,"Id":"1","Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"}"Id":"1","Owner":{"Name":"x"}}"#,
            r#"{"attributes":{"type":"A"},"Id":"1""Owner":{"Name":"x"}}"#,
        ] {
            assert_eq!((read(other, soql), copied(other, soql, false, false)), (None, None), "{other}");
        }
        let children = "SELECT Id, (SELECT Id FROM Contacts) FROM A";
        assert!(read(r#"{"Id":"1","Contacts":null}"#, children).is_some());
        let with = r#"{"Id":"1","Contacts":{"totalSize":1,"done":true,"records":[{"Id":"2"}]}}"#;
        assert_eq!((read(with, children), copied(with, children, false, false)), (None, None));
        // A column of this name cannot be told from what describes the record.
        assert_eq!(read(r#"{"attributes":"x"}"#, "SELECT attributes FROM A"), None);
        assert!(read(r#"{"Attributes":"x"}"#, "SELECT Attributes FROM A").is_some());
    }

    #[test]
    fn values_are_read_by_the_grammar_of_json_and_no_other() {
        for (json, kind, text) in [
            ("null", CellKind::Null, ""),
            ("true", CellKind::Boolean, "true"),
            ("false", CellKind::Boolean, "false"),
            ("0", CellKind::Number, "0"),
            ("-0", CellKind::Number, "-0"),
            ("-12.034e-5", CellKind::Number, "-12.034e-5"),
            ("0.1E9", CellKind::Number, "0.1E9"),
            (r#""""#, CellKind::Text, ""),
            (r#""12345678""#, CellKind::Text, "12345678"),
            (r#""1234567890123456\n""#, CellKind::Text, "1234567890123456\n"),
            (r#""\"\\\/\b\f\n\r\t\u20AC\u0000""#, CellKind::Text, "\"\\/\u{8}\u{C}\n\r\t€\0"),
            ("\"\u{7f}\u{80}東京\u{10FFFF}\"", CellKind::Text, "\u{7f}\u{80}東京\u{10FFFF}"),
            ("[]", CellKind::Json, "[]"),
            (r#"[[[1],"a\n"],{"":{}}]"#, CellKind::Json, r#"[[[1],"a\n"],{"":{}}]"#),
        ] {
            assert_eq!(value(json), Some((kind, text.to_owned())), "{json}");
            let record = format!("{{\"V\":{json}}}");
            assert_eq!(copied(&record, "SELECT V FROM A", false, false), Some(record));
        }
        for json in [
            "",
            "nul",
            "nulll",
            "True",
            "truee",
            "fals",
            "NaN",
            "Infinity",
            "-",
            "-a",
            "+1",
            "01",
            "-01",
            "00",
            ".5",
            "1.",
            "1.e1",
            "1e",
            "1e+",
            "1e1.5",
            "1E-",
            "1a",
            "0x1",
            "1 ",
            " 1",
            "\"",
            "\"a",
            r#""\""#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\u+123""#,
            r#""\U0041""#,
            r#""\ud83d\ude00""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            "\"\t\"",
            "\"123456789\n\"",
            "\"\0\"",
            "\"1234567\u{1f}\"",
            "[",
            "[1",
            "[1,]",
            "[,1]",
            "[1 ,2]",
            "[1}",
            "{",
            "{a:1}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1]"#,
            r#"{"a" :1}"#,
            "[\"\n\"]",
            r#"["\ud83d"]"#,
            "[01]",
            "[[[[[1]]]]]",
        ] {
            let record = format!("{{\"V\":{json}}}");
            assert_eq!(
                (value(json), copied(&record, "SELECT V FROM A", false, false)),
                (None, None),
                "{json}"
            );
        }
        assert_eq!(value(&"1".repeat(MAX_NUMBER_BYTES)), None);
    }

    #[test]
    fn a_mark_is_found_at_any_place_beside_any_byte() {
        for place in 0..2 * BLOCK {
            for beside in 0x20..=0xFF_u8 {
                for mark in (0..0x20).chain([b'"', b'\\']) {
                    let mut bytes = [beside; 3 * BLOCK];
                    bytes[place] = mark;
                    if !matches!(beside, b'"' | b'\\') {
                        assert_eq!(to_mark(&bytes, 0), Some(place), "{mark:#x} beside {beside:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_is_clean_where_it_holds_no_delimiter_and_no_escape() {
        let clean_of = |text: &str, watch| {
            let columns = Columns::of(&Query::parse("SELECT V FROM A").unwrap()).unwrap();
            let mut record = Record::default();
            record.clear(1);
            let page = format!("{{\"V\":\"{text}\"}};;;;;;;;;;");
            cells(page.as_bytes(), 0, columns.shape(), &mut record, watch).unwrap();
            record.cell_texts().next().unwrap().clean
        };
        let clean = |text: &str| clean_of(text, Some(b';'));
        assert!(!clean_of("a", None), "nothing was watched for");
        for before in 0..20 {
            for after in 0..20 {
                let text = |middle: &str| format!("{}{middle}{}", "a:".repeat(before), "<,".repeat(after));
                assert!(clean(&text("")) && clean(&text("ö")), "{before} {after}");
                for middle in [";", "\\n", "\\u003b", "\\\""] {
                    assert!(!clean(&text(middle)), "{before} {middle} {after}");
                }
            }
        }
    }
}
