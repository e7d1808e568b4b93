//! How do results become a page? A report is a small document (headings, paragraphs, tables, code)
//! and the data it was made from; each renderer knows every block and nothing of databases.

mod chart;
pub mod document;
mod html;
mod markdown;
mod terminal;

use std::path::Path;

use crate::error::CommandError;
use document::Report;

/// The formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Markdown, for a repository or a ticket.
    Md,
    /// One self-contained HTML page.
    Html,
    /// The data, with a versioned schema.
    Json,
}

impl Format {
    /// Guesses the format from a file's ending.
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "md" | "markdown" => Some(Self::Md),
            "html" | "htm" => Some(Self::Html),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Renders a report for a terminal.
pub fn render_text(report: &Report, printer: &crate::printer::Printer) -> String {
    terminal::render(report, printer)
}

/// Renders a report.
///
/// # Errors
/// Fails when the data cannot be written as JSON.
pub fn render(report: &Report, format: Format) -> Result<String, CommandError> {
    Ok(match format {
        Format::Md => markdown::render(report),
        Format::Html => html::render(report),
        Format::Json => {
            let envelope = crate::printer::envelope(report.schema, &report.data)?;
            let mut text = serde_json::to_string_pretty(&envelope)
                .map_err(|e| CommandError::new("could not write the report as JSON").detail(e.to_string()))?;
            text.push('\n');
            text
        }
    })
}
