//! What happens while a run is under way? Told to a callback, so that the library prints nothing.
//! There is an event on each side of every write to the journal and of every statement, which is
//! also how the tests kill a run at each of its steps.

use model::Millis;
use serde::Serialize;

use crate::catalog::{Activity, Blocker};
use crate::recovery::Recovered;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// pgwright's lock is held: no other run is at work in this database.
    Locked,
    /// A session of an earlier, dead run still works; it is waited for or stopped.
    Orphan {
        /// Its process ID.
        pid: i32,
        /// What it does.
        activity: Activity,
    },
    /// Remains of an earlier run were dealt with.
    Recovered(Recovered),
    /// Something to know, in a sentence.
    Notice {
        /// The sentence.
        text: String,
    },
    /// A recommendation stands in the journal as planned.
    Journaled {
        /// Its entry.
        entry_id: i64,
        /// Its id.
        recommendation_id: String,
        /// Its title.
        title: String,
    },
    /// The statements are not, or not only, those of the plan that was given: the database has
    /// changed since, or told more about itself.
    Replanned {
        /// What will be run, in order.
        statements: Vec<String>,
    },
    /// The journal says that a step runs; its statement was not sent yet.
    Started {
        /// The step.
        step_id: i64,
        /// The statement.
        sql: String,
    },
    /// A statement is about to be sent.
    Sending {
        /// The step.
        step_id: i64,
        /// The statement.
        sql: String,
        /// Which try, from 1.
        attempt: u32,
    },
    /// A look at the working session.
    Progress {
        /// The step.
        step_id: i64,
        /// Time since the statement was sent.
        elapsed: Millis,
        /// What it does.
        activity: Activity,
    },
    /// A lock was not to be had; the statement will be tried again.
    Retrying {
        /// The step.
        step_id: i64,
        /// The try that failed, from 1.
        attempt: u32,
        /// How many tries there are.
        of: u32,
        /// The SQLSTATE.
        sqlstate: String,
        /// How long is waited before the next try.
        pause: Millis,
        /// Who was in the way.
        blockers: Vec<Blocker>,
    },
    /// The server has answered; the journal does not know yet.
    Answered {
        /// The step.
        step_id: i64,
    },
    /// The remains of a failed statement are being removed.
    Mending {
        /// The step.
        step_id: i64,
        /// The statement that removes them.
        sql: String,
    },
    /// The journal says that a step is done, or undone.
    Finished {
        /// The step.
        step_id: i64,
        /// The statement.
        sql: String,
        /// Time since the step began.
        elapsed: Millis,
    },
    /// The journal says that a step failed.
    Failed {
        /// The step.
        step_id: i64,
    },
    /// The journal says that a step was not begun.
    Skipped {
        /// The step.
        step_id: i64,
    },
}

/// Who is told.
pub type OnEvent<'a> = &'a mut (dyn FnMut(Event) + Send);
