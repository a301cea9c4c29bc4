//! Invisible characters, which come with text copied from a web page, an e-mail or a word processor and make texts
//! differ that look the same.

/// Whether a character takes no room, or only directs how its neighbours are shown: Unicode's format characters
/// (category Cf), variation selectors and fillers, and control characters other than white space.
pub(crate) fn is_invisible(c: char) -> bool {
    (c.is_control() && !c.is_whitespace())
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{600}'..='\u{605}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A character's number as Unicode writes it, `U+200B`, for a message that could not show the character itself.
pub(crate) fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_told_from_what_is_seen() {
        for c in
            ['\u{200b}', '\u{feff}', '\u{ad}', '\u{2060}', '\u{202e}', '\u{200d}', '\u{fe0f}', '\0', '\u{1b}']
        {
            assert!(is_invisible(c), "{}", code_point(c));
        }
        for c in ['a', ' ', '\u{a0}', '\t', '\n', 'é', '東', '＝', '\u{301}'] {
            assert!(!is_invisible(c), "{}", code_point(c));
        }
        assert_eq!(['\u{ad}', '\u{200b}', '\u{e0001}'].map(code_point), ["U+00AD", "U+200B", "U+E0001"]);
    }
}
