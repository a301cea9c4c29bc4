//! Which texts a spreadsheet would run as a formula, for `formula_guard`.

use crate::error::is_invisible;

/// Whether Excel, Sheets or LibreOffice could read a cell of this text as a formula: it begins with one of the characters
/// that OWASP's page on CSV injection lists, whatever white space and invisible characters come first.
///
/// Readers trim and normalise before they look, so the characters that Unicode's compatibility forms turn into `=`, `+`, `-`
/// and `@` count as these. `|` and `%` do not: they only mean something inside a formula, which begins otherwise.
pub(super) fn runs_in_a_spreadsheet(text: &[u8]) -> bool {
    match text.first() {
        None | Some(b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z') => false,
        // If a reader ends the cell here, the next one starts with what follows.
        Some(b'\t' | b'\r' | b'\n' | 0) => true,
        _ => characters(text).find(|c| !c.is_whitespace() && !is_invisible(*c)).is_some_and(begins_a_formula),
    }
}

fn begins_a_formula(c: char) -> bool {
    matches!(
        c,
        '=' | '\u{207c}' | '\u{208c}' | '\u{fe66}' | '\u{ff1d}'
            | '+' | '\u{207a}' | '\u{208a}' | '\u{fe62}' | '\u{ff0b}'
            // The true minus sign too, which LibreOffice reads as `-`.
            | '-' | '\u{207b}' | '\u{208b}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}'
            | '@' | '\u{fe6b}' | '\u{ff20}'
    )
}

/// The characters of a cell's text, which is UTF-8.
fn characters(text: &[u8]) -> impl Iterator<Item = char> {
    text.utf8_chunks().flat_map(|chunk| chunk.valid().chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIGGERS: [&str; 19] = [
        "=", "+", "-", "@", "＝", "＋", "－", "＠", "﹦", "﹢", "﹣", "﹫", "⁺", "⁻", "⁼", "₊", "₋", "₌", "−",
    ];

    /// White space, characters without width, marks of direction, and controls.
    const PASSED_OVER: [&str; 24] = [
        " ", "\t", "\n", "\r", "\0", "\u{b}", "\u{c}", "\u{1b}", "\u{7f}", "\u{85}", "\u{a0}", "\u{ad}",
        "\u{1680}", "\u{2003}", "\u{200b}", "\u{200e}", "\u{202e}", "\u{2028}", "\u{202f}", "\u{2060}",
        "\u{2066}", "\u{3000}", "\u{fe0f}", "\u{feff}",
    ];

    #[test]
    fn a_formula_is_known_behind_all_that_is_not_seen() {
        for trigger in TRIGGERS {
            let formula = format!("{trigger}1+1");
            assert!(runs_in_a_spreadsheet(formula.as_bytes()), "{formula:?}");
            for first in PASSED_OVER {
                for before in [first.to_owned(), first.repeat(3), format!("\u{a0}{first}\u{feff}")] {
                    let hidden = format!("{before}{formula}");
                    assert!(runs_in_a_spreadsheet(hidden.as_bytes()), "{hidden:?}");
                }
            }
        }
    }

    #[test]
    fn a_break_tab_or_nul_at_the_start_is_enough() {
        for text in ["\tx", "\rx", "\nx", "\0x", "\n"] {
            assert!(runs_in_a_spreadsheet(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn other_text_is_no_formula() {
        for text in [
            "",
            " ",
            "\u{feff}",
            "a=b",
            "1-2",
            "x@y.z",
            " Smith",
            "\u{a0}Smith",
            "'=1",
            "\"=1\"",
            "(=1)",
            "|cmd",
            "%x",
            "/x",
            "–dash",
            "—dash",
            "±5",
            "≠",
            "é=1",
            "東=1",
        ] {
            assert!(!runs_in_a_spreadsheet(text.as_bytes()), "{text:?}");
        }
    }
}
