//! A query's text without its literals, for readers who need not know them: a status page, a webhook, a report.

use super::lexer::{Token, TokenKind, tokens};

/// The text as written, but with `'…'` for each string and `…` for each number, date and amount. What says nothing
/// about records stays: relative dates (`LAST_N_DAYS:30`) and the numbers of LIMIT and OFFSET.
pub(crate) fn without_literals(text: &str) -> String {
    // Only what cannot be read at all, so it is not the text of a query.
    let Ok(tokens) = tokens(text) else { return "…".to_owned() };
    let mut shown = String::with_capacity(text.len());
    let (mut at, mut before) = (0, None);
    for token in &tokens {
        let placeholder = match token.kind {
            TokenKind::String => Some("'…'"),
            TokenKind::Literal if !is_harmless(token, before) => Some("…"),
            _ => None,
        };
        if let Some(placeholder) = placeholder {
            shown.push_str(&text[at..token.span.start]);
            shown.push_str(placeholder);
            at = token.span.end;
        }
        before = Some(token);
    }
    shown.push_str(&text[at..]);
    shown
}

fn is_harmless(token: &Token, before: Option<&Token>) -> bool {
    let is_relative_date =
        token.text.starts_with(|c: char| c.is_ascii_alphabetic()) && token.text.contains(':');
    is_relative_date || before.is_some_and(|before| before.is_word("LIMIT") || before.is_word("OFFSET"))
}

#[cfg(test)]
mod tests {
    use super::without_literals;

    #[test]
    fn a_query_is_shown_without_its_values() {
        for (text, shown) in [
            ("SELECT Id FROM Account", "SELECT Id FROM Account"),
            (
                "SELECT Id\n  FROM Account\n WHERE Name = 'O\\'Brien' AND Active__c = true",
                "SELECT Id\n  FROM Account\n WHERE Name = '…' AND Active__c = true",
            ),
            (
                "SELECT Id FROM Lead WHERE Amount > - 5.5 AND Fee__c < USD5000.00 LIMIT 200 OFFSET 10",
                "SELECT Id FROM Lead WHERE Amount > … AND Fee__c < … LIMIT 200 OFFSET 10",
            ),
            (
                "SELECT Id FROM Lead WHERE CreatedDate > 2026-05-01T00:00:00Z AND CreatedDate = LAST_N_DAYS : 30",
                "SELECT Id FROM Lead WHERE CreatedDate > … AND CreatedDate = LAST_N_DAYS : 30",
            ),
            (
                "SELECT Id, (SELECT Id FROM Contacts WHERE Email IN ('a@b.c', 'd') LIMIT 5) FROM Account",
                "SELECT Id, (SELECT Id FROM Contacts WHERE Email IN ('…', '…') LIMIT 5) FROM Account",
            ),
            (
                "SELECT DISTANCE(P__c, GEOLOCATION(37.7,-122.4), 'mi') FROM A",
                "SELECT DISTANCE(P__c, GEOLOCATION(…,…), '…') FROM A",
            ),
            ("WHERE Name = 'no end", "…"),
        ] {
            assert_eq!(without_literals(text), shown);
        }
    }
}
