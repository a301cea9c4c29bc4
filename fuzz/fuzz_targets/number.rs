//! Any JSON number written out: no exponent is left, and it is the same double; numbers without one are untouched.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sfexport::value::number::write_plain;

fuzz_target!(|text: &str| {
    let Ok(number) = serde_json::from_str::<&serde_json::value::RawValue>(text) else { return };
    let number = number.get();
    if !number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return;
    }
    let mut out = Vec::new();
    if write_plain(number.as_bytes(), &mut out).is_err() {
        assert!(out.is_empty() && number.contains(['e', 'E']), "{number}");
        return;
    }
    let written = std::str::from_utf8(&out).expect("ASCII");
    if !number.contains(['e', 'E']) {
        assert_eq!(written, number);
        return;
    }
    assert!(!written.contains(['e', 'E']), "{number} became {written}");
    assert!(serde_json::from_str::<serde_json::Value>(written).is_ok() || written.len() > 300, "{written}");
    // The standard library rounds both texts rightly, so that equal decimals are the same double.
    let double = |text: &str| text.parse::<f64>().expect("a number").to_bits();
    assert_eq!(double(written), double(number), "{number} became {written}");
});
