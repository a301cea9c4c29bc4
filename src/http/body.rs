//! Decompresses a response body straight into the buffer that the page is read from. `http` receives the bytes and
//! decides what a damaged body means.

use std::ops::Range;

use flate2::{Decompress, FlushDecompress, Status};

/// How much to allocate when the size is unknown.
const ROOM: usize = 64 << 10;
/// The largest window that gzip allows.
const WINDOW_BITS: u8 = 15;

/// A body being received.
pub(super) struct Body {
    bytes: Vec<u8>,
    /// `None` if it is not compressed.
    gzip: Option<Gzip>,
}

/// Gzip is a series of members, and may only end after a complete one.
enum Gzip {
    Between,
    Within(Box<Decompress>),
}

/// What is wrong with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is larger than allowed after decompression.
    TooLarge,
    /// It ends within a member.
    Unfinished,
    /// It is not gzip, or its checksum is wrong.
    Damaged,
}

impl Body {
    pub(super) fn new(gzip: bool) -> Self {
        Self { bytes: Vec::new(), gzip: gzip.then_some(Gzip::Between) }
    }

    /// Continues in this buffer, which is emptied first.
    pub(super) fn fill(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.bytes = buffer;
    }

    pub(super) fn is_gzip(&self) -> bool {
        self.gzip.is_some()
    }

    /// The decompressed bytes that have arrived.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the decompressed bytes that have arrived.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Keeps only this part.
    pub(super) fn keep(&mut self, part: Range<usize>) {
        self.bytes.truncate(part.end);
        self.bytes.drain(..part.start);
    }

    /// Adds received bytes. At most `most` decompressed bytes are accepted in all.
    pub(super) fn take_in(&mut self, arrived: &[u8], most: u64) -> Result<(), Wrong> {
        match &mut self.gzip {
            Some(gzip) => unpack(gzip, arrived, &mut self.bytes, most),
            None if self.bytes.len() as u64 + arrived.len() as u64 > most => Err(Wrong::TooLarge),
            None => {
                self.bytes.extend_from_slice(arrived);
                Ok(())
            }
        }
    }

    /// The body has ended.
    pub(super) fn end(&self) -> Result<(), Wrong> {
        match self.gzip {
            Some(Gzip::Within(_)) => Err(Wrong::Unfinished),
            Some(Gzip::Between) | None => Ok(()),
        }
    }
}

/// Decompresses as much of `packed` as possible. Nothing is held back, because the first bytes of a page name the next
/// page.
fn unpack(gzip: &mut Gzip, mut packed: &[u8], bytes: &mut Vec<u8>, most: u64) -> Result<(), Wrong> {
    loop {
        let inflate = match gzip {
            Gzip::Between if packed.is_empty() => return Ok(()),
            Gzip::Between => {
                *gzip = Gzip::Within(Box::new(Decompress::new_gzip(WINDOW_BITS)));
                continue;
            }
            Gzip::Within(inflate) => inflate,
        };
        if bytes.len() == bytes.capacity() {
            bytes.reserve(ROOM);
        }
        let before = inflate.total_in();
        let status =
            inflate.decompress_vec(packed, bytes, FlushDecompress::None).map_err(|_| Wrong::Damaged)?;
        let taken = (inflate.total_in() - before) as usize;
        packed = &packed[taken..];
        if bytes.len() as u64 > most {
            return Err(Wrong::TooLarge);
        }
        match status {
            Status::StreamEnd => *gzip = Gzip::Between,
            // The buffer is full, and more output may be pending.
            _ if bytes.len() == bytes.capacity() => {}
            _ if packed.is_empty() => return Ok(()),
            // There is room and input, but no progress.
            _ if taken == 0 => return Err(Wrong::Damaged),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    /// The letters a to z, four thousand times, and the same packed by Python: `gzip.compress(letters, 9, mtime=0)`.
    fn letters() -> (Vec<u8>, Vec<u8>) {
        let packed = [
            "1f8b0800000000000203edc9b70180200000b05bb17711ecd77b88c99a509455ddb45d3f8cd3bcac714b793fceeb7ede608c",
            &"31c618638c".repeat(49),
            "31c61863ccefe70354b1b37e40960100",
        ]
        .concat();
        let byte = |at| u8::from_str_radix(&packed[at..at + 2], 16).unwrap();
        (b"abcdefghijklmnopqrstuvwxyz".repeat(4_000), (0..packed.len()).step_by(2).map(byte).collect())
    }

    fn unpacked(packed: &[u8], piece: usize, most: u64) -> Result<Vec<u8>, Wrong> {
        let mut body = Body::new(true);
        for piece in packed.chunks(piece) {
            body.take_in(piece, most)?;
        }
        body.end()?;
        Ok(body.take())
    }

    #[test]
    fn what_is_packed_is_unpacked_however_it_is_cut_into_pieces() {
        let (letters, packed) = letters();
        for piece in [1, 2, 3, 17, 200, 311] {
            assert!(unpacked(&packed, piece, ALL) == Ok(letters.clone()), "in pieces of {piece}");
        }
        let twice = [packed.clone(), packed].concat();
        assert!(unpacked(&twice, 100, ALL) == Ok(letters.repeat(2)));
        assert_eq!(unpacked(&[], 1, ALL), Ok(Vec::new()));
    }

    #[test]
    fn a_buffer_that_was_used_before_leaves_nothing_behind() {
        let (letters, packed) = letters();
        for (gzip, arrived) in [(true, &packed), (false, &letters)] {
            let mut body = Body::new(gzip);
            body.fill(b"an earlier page".to_vec());
            body.take_in(arrived, ALL).unwrap();
            assert!(body.take() == letters);
        }
    }

    #[test]
    fn nothing_that_can_be_unpacked_is_held_back() {
        let (letters, packed) = letters();
        let mut body = Body::new(true);
        // The last eight bytes are a checksum and a length.
        body.take_in(&packed[..packed.len() - 8], ALL).unwrap();
        assert!(body.bytes() == letters);
        assert_eq!(body.end(), Err(Wrong::Unfinished));
    }

    #[test]
    fn a_cut_or_damaged_packing_is_no_body() {
        let (_, packed) = letters();
        for end in 1..packed.len() {
            assert_eq!(unpacked(&packed[..end], 64, ALL), Err(Wrong::Unfinished), "cut at {end}");
        }
        let mut other_sum = packed.clone();
        other_sum[packed.len() - 8] ^= 1;
        let trailed = [packed.as_slice(), b"<html>"].concat();
        for damaged in [&other_sum[..], &trailed, b"{\"totalSize\":0}"] {
            assert_eq!(unpacked(damaged, 1_000, ALL), Err(Wrong::Damaged));
        }
    }

    #[test]
    fn the_bound_is_on_what_was_unpacked() {
        let (letters, packed) = letters();
        let size = letters.len() as u64;
        assert!(unpacked(&packed, 311, size) == Ok(letters));
        assert_eq!(unpacked(&packed, 311, size - 1), Err(Wrong::TooLarge));
        let mut plain = Body::new(false);
        assert_eq!((plain.take_in(b"abc", 4), plain.take_in(b"de", 4)), (Ok(()), Err(Wrong::TooLarge)));
    }
}
