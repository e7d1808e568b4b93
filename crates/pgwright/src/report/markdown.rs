//! A report as Markdown (CommonMark with GitHub's tables).

use std::fmt::Write as _;

use super::document::{Block, Report};
use crate::printer::plain;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# {}\n", inline(&report.title));
    let _ = writeln!(
        out,
        "{} Written {} UTC.\n",
        inline(&report.lead),
        report.generated_at.format("%Y-%m-%d %H:%M")
    );
    for section in &report.sections {
        let _ = writeln!(out, "## {}\n", inline(&section.heading));
        for block in &section.blocks {
            render_block(block, &mut out);
        }
    }
    out
}

fn render_block(block: &Block, out: &mut String) {
    match block {
        Block::Paragraph(text) => {
            let _ = writeln!(out, "{}\n", inline(text));
        }
        Block::Subheading(text) => {
            let _ = writeln!(out, "### {}\n", inline(text));
        }
        Block::Table { headers, rows } => {
            let names: Vec<_> = headers.iter().map(|h| inline(h.trim_start_matches('>'))).collect();
            let rules: Vec<_> =
                headers.iter().map(|h| if h.starts_with('>') { "---:" } else { "---" }).collect();
            let _ = writeln!(out, "| {} |\n| {} |", names.join(" | "), rules.join(" | "));
            for row in rows {
                let cells: Vec<_> = row.iter().map(|c| inline(c)).collect();
                let _ = writeln!(out, "| {} |", cells.join(" | "));
            }
            out.push('\n');
        }
        Block::Code { language, text } => {
            let text = plain(text);
            // A fence longer than any run of backticks inside cannot be closed by the text.
            let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            let _ = writeln!(out, "{fence}{language}\n{}\n{fence}\n", text.trim_end());
        }
        // Pages that show Markdown leave inline pictures out; the table beside it tells the same.
        Block::Chart(_) => {}
        Block::List(items) => {
            for item in items {
                let _ = writeln!(out, "- {}", inline(item));
            }
            out.push('\n');
        }
    }
}

/// Text on one line with everything escaped that Markdown or HTML would act on.
fn inline(text: &str) -> String {
    let text = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next_is_word = chars.peek().is_some_and(|n| n.is_alphanumeric());
        match c {
            '<' => out.push_str("&lt;"),
            // Within a word an underscore means nothing, and names are full of them.
            '_' if before.is_alphanumeric() && next_is_word => out.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::document::Section;
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let report = Report {
            title: "R".into(),
            schema: "report",
            generated_at: chrono::DateTime::UNIX_EPOCH,
            lead: "L.".into(),
            sections: vec![
                Section::new("S")
                    .table(&["name", ">n"], vec![vec!["a|b <script> run_id _x_".into(), "1".into()]])
                    .code("sql", "select '```'"),
            ],
            data: serde_json::Value::Null,
        };
        expect_test::expect![[r#"
            # R

            L. Written 1970-01-01 00:00 UTC.

            ## S

            | name | n |
            | --- | ---: |
            | a\|b &lt;script> run_id \_x\_ | 1 |

            ````sql
            select '```'
            ````

        "#]]
        .assert_eq(&render(&report));
    }
}
