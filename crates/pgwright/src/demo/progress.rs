//! How is loading shown? By one bar on stderr, and not at all off a terminal.
//!
//! Source: the `indicatif` documentation; a hidden draw target is what it uses off a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::LoadProgress;

/// A progress bar for [`super::load`]. Off a terminal it draws nothing.
pub fn terminal_progress() -> impl Fn(LoadProgress) + Sync {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{msg:28} {bar:30} {human_pos} of {human_len} rows, {elapsed}")
    {
        bar.set_style(style);
    }
    move |progress| match progress {
        LoadProgress::Copying { table, rows, total } => {
            bar.set_length(total);
            bar.set_message(format!("loading {table}"));
            bar.set_position(rows);
        }
        LoadProgress::AddingKeys => bar.set_message("adding keys"),
        LoadProgress::Analyzing => bar.set_message("vacuum and analyze"),
        LoadProgress::Finished => bar.finish_and_clear(),
    }
}
