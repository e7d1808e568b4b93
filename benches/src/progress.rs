//! How far is a search that takes longer than a few seconds?

use std::sync::Mutex;
use std::time::{Duration, Instant};

use advice::Control;

/// After how long progress is told.
const TELL: Duration = Duration::from_secs(5);

/// A hand on a search that tells on standard error how far it is, when it is asked to.
pub fn control(tells: bool) -> Control {
    if !tells {
        return Control::default();
    }
    let start = Instant::now();
    let last = Mutex::new(start);
    Control::new(move |progress| {
        let Ok(mut last) = last.lock() else { return };
        if last.elapsed() >= TELL {
            *last = Instant::now();
            eprintln!(
                "{:6.1} s  {}, {} of {}, {} planner calls",
                start.elapsed().as_secs_f64(),
                progress.phase,
                progress.done,
                progress.total,
                progress.planner_calls
            );
        }
    })
}
