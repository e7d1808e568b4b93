//! Who writes to the terminal? Only this: data to stdout, progress, status and hints to stderr.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::CommandError;

/// How output is written, decided once from the command line and the terminal.
#[derive(Clone, Debug)]
pub struct Printer {
    /// Whether data is written as JSON.
    pub json: bool,
    /// Whether escape sequences may be used on stdout.
    pub color: bool,
    /// The width of the terminal in columns.
    pub width: usize,
    /// Whether status lines are left out.
    pub quiet: bool,
}

impl Printer {
    /// Decides from `--json`, `--quiet`, `NO_COLOR` and whether stdout is a terminal.
    pub fn new(json: bool, quiet: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
        let width = columns.or_else(|| Table::new().width().map(usize::from)).unwrap_or(120);
        Self { json, color: terminal && !no_color, width, quiet }
    }

    /// Writes one JSON object with its schema and version.
    ///
    /// # Errors
    /// Fails when stdout is closed.
    pub fn json<T: Serialize>(&self, schema: &str, data: &T) -> Result<(), CommandError> {
        self.out(&format!("{}\n", envelope(schema, data)?))
    }

    /// Writes text to stdout as it is; the caller has made hostile parts [`plain`].
    ///
    /// # Errors
    /// Fails when stdout is closed.
    pub fn out(&self, text: &str) -> Result<(), CommandError> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|e| {
            // A reader such as `head` that went away is not worth a message.
            if e.kind() == std::io::ErrorKind::BrokenPipe {
                std::process::exit(0);
            }
            CommandError::new("could not write to standard output").detail(e.to_string())
        })
    }

    /// Writes a line to stderr.
    pub fn status(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{}", plain(text));
        }
    }

    /// A progress bar on stderr; invisible when stderr is not a terminal.
    pub fn bar(&self, length: u64, message: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(length), self.draw_target());
        if let Ok(style) = ProgressStyle::with_template("{msg:32} {wide_bar} {percent:>3}% {eta:>4}") {
            bar.set_style(style);
        }
        bar.set_message(message.to_owned());
        bar
    }

    /// A spinner on stderr; invisible when stderr is not a terminal.
    pub fn spinner(&self, message: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, self.draw_target());
        bar.set_message(message.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn draw_target(&self) -> ProgressDrawTarget {
        if !self.quiet && std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        }
    }

    /// A table without lines; columns whose header starts with `>` are aligned right.
    pub fn table(&self, headers: &[&str], rows: &[Vec<String>]) -> String {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headers.iter().map(|h| h.trim_start_matches('>')));
        for row in rows {
            table.add_row(row.iter().map(|cell| plain(cell)));
        }
        for (i, header) in headers.iter().enumerate() {
            if let Some(column) = table.column_mut(i) {
                column.set_padding((0, 2));
                if header.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        let text = table.to_string();
        text.lines().map(|l| format!("{}\n", l.trim_end())).collect()
    }
}

/// The JSON object of a command: `schema`, `schema_version` and the data's own fields.
///
/// # Errors
/// Fails when the data cannot be written as JSON.
pub fn envelope<T: Serialize>(schema: &str, data: &T) -> Result<serde_json::Value, CommandError> {
    let value = serde_json::to_value(data)
        .map_err(|e| CommandError::new("could not write the result as JSON").detail(e.to_string()))?;
    let mut object = serde_json::Map::new();
    object.insert("schema".into(), format!("pgwright.{schema}").into());
    object.insert("schema_version".into(), 1.into());
    match value {
        serde_json::Value::Object(fields) => object.extend(fields),
        other => {
            object.insert("data".into(), other);
        }
    }
    Ok(object.into())
}

/// Makes text from a server safe for a terminal: control characters, escape sequences among them,
/// become visible; line breaks and tabs stay.
pub fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hostile = (c.is_control() && c != '\n' && c != '\t')
                // Bidirectional overrides can make a text read as another.
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if hostile { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

/// A statement on one line, cut to a width in characters.
pub fn one_line(text: &str, width: usize) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let joined = plain(&joined);
    if joined.chars().count() <= width {
        return joined;
    }
    let cut: String = joined.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// `1 statement`, `2 statements`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_become_visible() {
        assert_eq!(plain("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(plain("line\nbreak"), "line\nbreak");
        assert_eq!(plain("x\u{202e}y"), "x\\u{202e}y");
    }

    #[test]
    fn statements_are_cut_on_characters() {
        assert_eq!(one_line("select\n  'größe'", 100), "select 'größe'");
        assert_eq!(one_line("ééééé", 3), "éé…");
    }
}
