//! Eight bytes looked at together, in one word (SWAR, "SIMD within a register"): each function marks bytes by their
//! highest bit. Above the lowest mark of a word there may be wrong ones, caused by a borrow, so only the lowest counts.

/// How many bytes are looked at together.
pub(super) const BLOCK: usize = 8;

/// Marks control characters.
#[inline]
pub(super) fn control(word: u64) -> u64 {
    word.wrapping_sub(repeated(0x20)) & !word & repeated(0x80)
}

/// Marks the bytes that are equal to those of `wanted`.
#[inline]
pub(super) fn equal(word: u64, wanted: u64) -> u64 {
    let other = word ^ wanted;
    other.wrapping_sub(repeated(0x01)) & !other & repeated(0x80)
}

/// A byte, eight times.
pub(super) const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; BLOCK])
}

/// The number of bytes before the lowest mark.
#[inline]
pub(super) fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// All bits of the bytes before the lowest mark.
#[inline]
pub(super) fn below(marks: u64) -> u64 {
    (marks & marks.wrapping_neg()) - 1
}
