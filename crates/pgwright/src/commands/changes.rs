//! How a run of changes is shown while it goes on, shared by `apply` and `undo`.

use std::time::Instant;

use apply::{Cancellation, Event, ExecuteOptions, Recovered};
use indicatif::ProgressBar;

use super::Context;
use crate::error::Exit;
use crate::printer::{Printer, one_line, plain};

/// Patience options of commands that change a database.
#[derive(clap::Args, Clone, Debug)]
pub struct Patience {
    /// How long a statement may wait for its lock before it steps back and tries again.
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    pub lock_timeout: Option<std::time::Duration>,
    /// How often a statement is tried when its lock is not to be had.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub tries: u32,
    /// `maintenance_work_mem` for index builds, for instance 512MB.
    #[arg(long, value_name = "SIZE")]
    pub maintenance_work_mem: Option<String>,
}

impl Patience {
    /// The options of a run; Ctrl-C, a closed terminal and `kill` stop it and clean up.
    pub fn options(&self, context: &Context) -> ExecuteOptions {
        let cancellation = Cancellation::default();
        stop_when_told(
            context,
            &cancellation,
            "stopping and cleaning up; interrupt again to leave the rest to the next run",
        );
        ExecuteOptions {
            lock_timeout: self.lock_timeout.unwrap_or(context.settings.lock_timeout),
            tries: self.tries,
            maintenance_work_mem: self.maintenance_work_mem.clone(),
            cancellation,
            ..ExecuteOptions::default()
        }
    }
}

/// Hands the wish to stop to a run at the first signal, and ends the process at the second.
pub fn stop_when_told(context: &Context, cancellation: &Cancellation, text: &'static str) {
    let on_interrupt = cancellation.clone();
    let printer = context.printer.clone();
    tokio::spawn(async move {
        if told_to_stop().await.is_err() {
            return;
        }
        on_interrupt.cancel();
        printer.status(text);
        if told_to_stop().await.is_ok() {
            printer
                .status("stopped at once; \"pgwright journal\" tells what is open, the next run cleans up");
            std::process::exit(i32::from(Exit::Refused.code()));
        }
    });
}

/// Waits for a signal that asks this process to end.
async fn told_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
            _ = hang_up.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Shows the events of a run: a bar for progress, lines for what matters.
pub struct Narrator {
    printer: Printer,
    bar: ProgressBar,
    began: Instant,
}

impl Narrator {
    /// Begins to narrate.
    pub fn new(printer: &Printer) -> Self {
        let bar = printer.bar(1000, "");
        Self { printer: printer.clone(), bar, began: Instant::now() }
    }

    /// Shows one event.
    pub fn tell(&mut self, event: &Event) {
        match event {
            Event::Started { sql, .. } => {
                self.began = Instant::now();
                self.bar.set_position(0);
                self.bar.set_message(one_line(sql, 60));
            }
            Event::Progress { activity, .. } => {
                if let Some(fraction) = activity.fraction() {
                    self.bar.set_position((fraction.clamp(0.0, 1.0) * 1000.0) as u64);
                }
            }
            other => lines_of(other).iter().for_each(|line| self.line(line)),
        }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| self.printer.status(text));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// What is told of an event, in lines.
pub fn lines_of(event: &Event) -> Vec<String> {
    match event {
        Event::Recovered(recovered) => vec![recovered_line(recovered)],
        Event::Notice { text } => vec![format!("note: {}", plain(text))],
        Event::Orphan { pid, .. } => {
            vec![format!("a session of an earlier run (pid {pid}) still works; waiting for it")]
        }
        // What has not been shown with the plan is shown before it runs.
        Event::Replanned { statements } => {
            statements.iter().map(|sql| format!("will run: {};", plain(sql))).collect()
        }
        Event::Retrying { attempt, of, sqlstate, pause, blockers, .. } => {
            let who: Vec<String> = blockers.iter().map(|b| plain(&b.to_string())).collect();
            let who =
                if who.is_empty() { String::new() } else { format!("; in the way: {}", who.join(", ")) };
            vec![format!("try {attempt} of {of} gave way (SQLSTATE {sqlstate}), again in {pause}{who}")]
        }
        Event::Mending { sql, .. } => vec![format!("cleaning up: {}", plain(sql))],
        // What needs no statement is told in a notice.
        Event::Finished { sql, .. } if sql.is_empty() => Vec::new(),
        Event::Finished { sql, elapsed, .. } => vec![format!("done in {elapsed}: {}", plain(sql))],
        _ => Vec::new(),
    }
}

/// What an earlier, dead run left, in a line.
pub fn recovered_line(recovered: &Recovered) -> String {
    format!("found after an interrupted run: {}", recovered.sentence)
}
