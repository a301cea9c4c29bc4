//! Prints tables for people. Output for programs is JSON.

use std::borrow::Cow;
use std::io::IsTerminal as _;

use super::print;
use crate::error::plain;
use crate::report::RunReport;

/// The width of the terminal; `None` if standard output is not a terminal, or for `wide` output.
pub(super) fn width(wide: bool) -> Option<usize> {
    let stdout = std::io::stdout();
    if wide || !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Prints rows as a table, each with its notes on the lines below. Lines are cut to the width.
pub(super) fn print(rows: &[Vec<String>], notes: impl Iterator<Item = Vec<String>>, width: Option<usize>) {
    for (line, notes) in lines(rows).iter().zip(notes) {
        print::line(cut(line, width));
        for note in notes {
            print::line(cut(&format!("    {}", plain(&note)), width));
        }
    }
}

/// The notes of a failed run: its error without the excerpt of the query, and its hint.
pub(super) fn notes(report: &RunReport) -> Vec<String> {
    let hint = report.hint.as_deref().map(|hint| format!("hint: {}", on_one_line(hint)));
    let error = report.error.as_deref();
    error.map(|error| on_one_line(&without_excerpt(error))).into_iter().chain(hint).collect()
}

/// An error text without the excerpt of a query, which is above a line that only has a caret.
fn without_excerpt(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if line.trim() == "^" {
            lines.pop();
        } else {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// An error text on one line, without the line that only has a caret.
pub(super) fn on_one_line(text: &str) -> String {
    let lines = text.lines().filter(|line| line.trim() != "^");
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// A line, cut to this width.
fn cut(line: &str, width: Option<usize>) -> String {
    let Some(width) = width.filter(|width| line.chars().count() > *width) else { return line.to_owned() };
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Rows as lines, with two spaces between columns. Nothing is cut, and the last column is not padded.
fn lines(rows: &[Vec<String>]) -> Vec<String> {
    // Cells may come from files that others can write, such as the history.
    let rows: Vec<Vec<Cow<'_, str>>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &Vec<Cow<'_, str>>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{cut, lines, without_excerpt};

    #[test]
    fn an_error_loses_the_excerpt_above_its_caret() {
        let refused = "refused: MALFORMED_QUERY:\n    SELECT Id\n           ^\n    unexpected token";
        assert_eq!(without_excerpt(refused), "refused: MALFORMED_QUERY:\n    unexpected token");
        assert_eq!(without_excerpt("two\nlines"), "two\nlines");
    }

    #[test]
    fn a_line_is_cut_where_its_room_ends() {
        assert_eq!(cut("größer", None), "größer");
        assert_eq!(cut("größer", Some(6)), "größer");
        assert_eq!(cut("größer", Some(5)), "größ…");
    }

    #[test]
    fn a_cell_forges_no_row() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(lines(&[row(["a\nb\u{1b}[2K", "ok"])]), ["a\\nb\\u{1b}[2K  ok"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let table =
            lines(&[row(["JOB", "RESULT", "WHY"]), row(["größer", "ok", ""]), row(["a", "failed", "x"])]);
        assert_eq!(table, ["JOB     RESULT  WHY", "größer  ok", "a       failed  x"]);
    }
}
