//! Prints tables for people. Output for programs is JSON.

use std::borrow::Cow;
use std::io::IsTerminal as _;

use super::print;
use crate::error::plain;

/// The width of the terminal; `None` if standard output is not a terminal, or for `wide` output.
pub(super) fn width(wide: bool) -> Option<usize> {
    let stdout = std::io::stdout();
    if wide || !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Prints rows as a table, each with its error on a line below, cut to the width.
pub(super) fn print<'e>(
    rows: &[Vec<String>],
    errors: impl Iterator<Item = Option<&'e str>>,
    width: Option<usize>,
) {
    for (line, error) in lines(rows).iter().zip(errors) {
        print::line(cut(line, width));
        if let Some(error) = error {
            print::line(cut(&format!("    {}", plain(&on_one_line(error))), width));
        }
    }
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
    use super::{cut, lines};

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
