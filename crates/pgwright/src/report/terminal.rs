//! A report as text for a terminal.

use super::document::{Block, Report};
use crate::printer::{Printer, plain};

/// Longest cell of a table, in characters; what is longer is cut, and whole in the other formats.
const MAX_CELL: usize = 100;

pub(super) fn render(report: &Report, printer: &Printer) -> String {
    let mut out = format!("{}\n{}\n", plain(&report.title), plain(&report.lead));
    for section in &report.sections {
        out.push_str(&format!("\n{}\n", plain(&section.heading)));
        for block in &section.blocks {
            match block {
                Block::Paragraph(text) => out.push_str(&format!("  {}\n", plain(text))),
                Block::Subheading(text) => out.push_str(&format!("\n  {}\n", plain(text))),
                Block::Table { headers, rows } => {
                    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
                    let rows: Vec<Vec<String>> = rows
                        .iter()
                        .map(|row| row.iter().map(|cell| crate::printer::one_line(cell, MAX_CELL)).collect())
                        .collect();
                    for line in printer.table(&headers, &rows).lines() {
                        out.push_str(&format!("  {line}\n"));
                    }
                }
                Block::Code { text, .. } => {
                    for line in plain(text).lines() {
                        out.push_str(&format!("    {line}\n"));
                    }
                }
                Block::Chart(_) => {}
                Block::List(items) => {
                    for item in items {
                        out.push_str(&format!("  - {}\n", plain(item)));
                    }
                }
            }
        }
    }
    out
}
