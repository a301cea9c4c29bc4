//! Answers of several columns, aligned for people. What a program reads is printed as JSON.

/// Rows as lines, the columns two spaces apart; nothing is cut, and the last column is not filled up.
pub(super) fn lines(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let table =
            lines(&[row(["JOB", "RESULT", "WHY"]), row(["größer", "ok", ""]), row(["a", "failed", "x"])]);
        assert_eq!(table, ["JOB     RESULT  WHY", "größer  ok", "a       failed  x"]);
    }
}
