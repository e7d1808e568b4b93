//! Are the data and the queries those of TPC-H? The answers of scale factor 1 that the specification's
//! tools come with, as the crate `tpchgen` carries them, say so.

use tpchgen::q_and_a::answers_sf1;

use crate::measurement::Rows;

/// What differs from the published answer; `None` when nothing does or there is no answer.
pub fn difference(number: u32, rows: &Rows) -> Option<String> {
    let answer = answers_sf1::answer(i32::try_from(number).ok()?)?;
    let expected: Vec<Vec<&str>> = answer
        .lines()
        .filter(|line| !line.trim().is_empty())
        .skip(1) // The names of the columns.
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    if expected.len() != rows.len() {
        return Some(format!("Q{number} has {} rows instead of {}", rows.len(), expected.len()));
    }
    for (n, (expected, found)) in expected.iter().zip(rows).enumerate() {
        let found: Vec<&str> = found.iter().map(|cell| cell.as_deref().unwrap_or("").trim()).collect();
        let same = expected.len() == found.len()
            && expected.iter().zip(&found).enumerate().all(|(column, (e, f))| {
                // The crate's answer to Q11 has its keys cut short: 1297 for 129760.
                if (number, column) == (11, 0) { f.starts_with(e) } else { same(e, f) }
            });
        if !same {
            let row = n + 1;
            return Some(format!(
                "Q{number}, row {row}: {} instead of {}",
                found.join("|"),
                expected.join("|")
            ));
        }
    }
    None
}

/// Published numbers are rounded to two digits, and sums of many of them a little more.
fn same(expected: &str, found: &str) -> bool {
    match (expected.parse::<f64>(), found.parse::<f64>()) {
        (Ok(e), Ok(f)) => (e - f).abs() <= f64::max(0.0051, 1e-6 * e.abs()),
        _ => expected == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_compared_cell_by_cell() {
        let row = |cell: &str| vec![vec![Some(cell.to_owned())]];
        assert_eq!(difference(6, &row("123141078.2283")), None);
        assert!(difference(6, &row("123151078.2283")).unwrap().contains("instead of 123141078.23"));
        assert!(difference(6, &Vec::new()).unwrap().contains("0 rows instead of 1"));
    }
}
