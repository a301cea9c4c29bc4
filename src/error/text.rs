//! Makes text from outside (an org, a proxy, a file) safe to show.

use std::borrow::Cow;

/// A text on one line, in which nothing can hide or forge what is around it: control characters, line breaks and the
/// controls of writing direction are escaped, as in `\n` and `\u{202e}`; a tab becomes a space. Every text of others
/// goes through here before a terminal, a log, a table or a page shows it; a text of several lines through
/// [`plain_lines`].
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(hides) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => plain.push(' '),
            c if hides(c) => plain.extend(c.escape_default()),
            c => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// A text whose lines are shown as lines, each of them [`plain`]: the window into a query with the caret below it.
#[must_use]
pub fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// Whether a character is not seen as itself: it moves the cursor, ends the line, or turns what follows around.
pub(crate) fn hides(c: char) -> bool {
    c.is_control()
        // Line and paragraph separators; marks, embeddings, overrides and isolates of direction (UAX #9).
        || matches!(c, '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{plain, plain_lines};

    #[test]
    fn a_text_of_others_can_neither_hide_nor_forge_a_line() {
        assert_eq!(plain("Größe, שלום, 株式会社, 👩‍🔧"), "Größe, שלום, 株式会社, 👩‍🔧");
        assert_eq!(plain("\u{1b}[2Kall is well\r\0 \u{9b}1m"), "\\u{1b}[2Kall is well\\r\\u{0} \\u{9b}1m");
        assert_eq!(plain("a\nerror: b\tc"), "a\\nerror: b c");
        assert_eq!(plain("a\u{202e}b\u{2066}c\u{2029}d"), "a\\u{202e}b\\u{2066}c\\u{2029}d");
        // Shown twice, it stays as it is.
        assert_eq!(plain(&plain("\u{1b}\n")), "\\u{1b}\\n");
    }

    #[test]
    fn the_lines_of_a_text_stay_lines() {
        assert_eq!(plain_lines("SELECT\tId\r\n   ^\n\u{1b}x\n"), "SELECT Id\n   ^\n\\u{1b}x");
        assert_eq!(plain_lines(""), "");
    }
}
