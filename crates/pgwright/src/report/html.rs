//! A report as one HTML page that loads nothing from elsewhere. maud escapes every text.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::document::{Block, Report};
use crate::printer::plain;

const STYLE: &str = "
:root { color-scheme: light dark; --line: light-dark(#d5d9df, #3a4048); --dim: light-dark(#59626e, #9aa4b2); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line); } h3 { margin-bottom: .3rem; }
.lead { color: var(--dim); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.right { text-align: right; font-variant-numeric: tabular-nums; }
.chart { width: 100%; max-width: 44rem; height: auto; display: block; margin: .6rem 0 1.2rem; }
.chart text { font: 12px system-ui, sans-serif; fill: var(--dim); }
.chart .axis { stroke: var(--line); } .chart .curve { fill: none; stroke: light-dark(#1f6feb, #6cb0ff); stroke-width: 2; }
.chart .point { fill: light-dark(#1f6feb, #6cb0ff); }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--line); border-radius: 4px; font-size: .85rem; }
";

pub(super) fn render(report: &Report) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (plain(&report.title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (plain(&report.title)) }
                    p.lead { (plain(&report.lead)) " Written " (report.generated_at.format("%Y-%m-%d %H:%M")) " UTC." }
                    @for section in &report.sections {
                        section {
                            h2 { (plain(&section.heading)) }
                            @for block in &section.blocks { (render_block(block)) }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

fn render_block(block: &Block) -> Markup {
    match block {
        Block::Paragraph(text) => html! { p { (plain(text)) } },
        Block::Subheading(text) => html! { h3 { (plain(text)) } },
        Block::Code { text, .. } => html! { pre tabindex="0" { code { (plain(text)) } } },
        Block::Chart(chart) => super::chart::svg(chart),
        Block::List(items) => html! { ul { @for item in items { li { (plain(item)) } } } },
        Block::Table { headers, rows } => {
            let right: Vec<bool> = headers.iter().map(|h| h.starts_with('>')).collect();
            html! {
                div.scroll tabindex="0" {
                    table {
                        thead { tr {
                            @for (header, right) in headers.iter().zip(&right) {
                                th scope="col" class=[right.then_some("right")] { (plain(header.trim_start_matches('>'))) }
                            }
                        } }
                        tbody {
                            @for row in rows { tr {
                                @for (i, cell) in row.iter().enumerate() {
                                    td class=[right.get(i).copied().unwrap_or(false).then_some("right")] { (plain(cell)) }
                                }
                            } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Section;
    use super::*;

    #[test]
    fn hostile_text_is_escaped() {
        let report = Report {
            title: "<script>alert(1)</script>".into(),
            schema: "report",
            generated_at: chrono::DateTime::UNIX_EPOCH,
            lead: String::new(),
            sections: vec![Section::new("S").code("sql", "a < b & c")],
            data: serde_json::Value::Null,
        };
        let page = render(&report);
        assert!(!page.contains("<script>"));
        assert!(page.contains("a &lt; b &amp; c"));
    }
}
