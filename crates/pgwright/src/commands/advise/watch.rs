//! Who watches a long search? A progress bar, and whoever presses Ctrl-C: the first time the search ends
//! with the best that it has, the second time the process ends.

use advice::Control;
use indicatif::ProgressBar;
use tokio::task::JoinHandle;

use crate::printer::Printer;

/// What a process exits with that an interrupt ended, by the shells' convention.
const INTERRUPTED: i32 = 130;

/// A watch over one search.
pub struct Watch {
    control: Control,
    bar: ProgressBar,
    interrupts: JoinHandle<()>,
}

impl Watch {
    /// Shows a bar and listens for interrupts.
    pub fn begin(printer: &Printer) -> Self {
        let bar = printer.bar(0, "trying candidates");
        let shown = bar.clone();
        let control = Control::new(move |progress| {
            shown.set_length(progress.total as u64);
            shown.set_position(progress.done as u64);
            shown.set_message(progress.phase);
        });
        let interrupts = tokio::spawn(listen(control.clone(), bar.clone(), printer.clone()));
        Self { control, bar, interrupts }
    }

    /// The hand on the search.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Ends the watch: the search has answered.
    pub fn end(self) {
        self.interrupts.abort();
        self.bar.finish_and_clear();
    }
}

async fn listen(control: Control, bar: ProgressBar, printer: Printer) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    control.stop();
    bar.suspend(|| printer.status("stopping with the best so far; interrupt again to end at once"));
    if tokio::signal::ctrl_c().await.is_ok() {
        bar.finish_and_clear();
        std::process::exit(INTERRUPTED);
    }
}
