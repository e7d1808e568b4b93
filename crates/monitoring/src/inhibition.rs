//! Which alert makes which other superfluous? Who is told that a server is down need not be told what follows from it, and
//! who is told that it is too late need not be told that it soon will be.
//!
//! Source: Alertmanager documentation, "Inhibition".

/// An alert that keeps others quiet while it fires.
#[derive(Clone, Copy, Debug)]
pub struct Inhibition {
    /// The alert that fires.
    pub source: &'static str,
    /// The alerts that are kept quiet; empty for all others.
    pub targets: &'static [&'static str],
    /// The labels in which both agree. One that the other alert has not is not asked for.
    pub equal: &'static [&'static str],
}

/// All of them.
pub fn inhibitions() -> &'static [Inhibition] {
    INHIBITIONS
}

const INHIBITIONS: &[Inhibition] = &[
    Inhibition { source: "PostgresDown", targets: &[], equal: &["instance", "datname"] },
    Inhibition {
        source: "PostgresConnectionsExhausted",
        targets: &["PostgresConnectionsHigh"],
        equal: &["instance"],
    },
    Inhibition {
        source: "PostgresWraparoundNear",
        targets: &["PostgresWraparound"],
        equal: &["instance", "datname"],
    },
    Inhibition {
        source: "PostgresStandbyNotReceiving",
        targets: &["PostgresStandbyLag"],
        equal: &["instance"],
    },
    Inhibition {
        source: "PostgresSlotLost",
        targets: &["PostgresSlotRetainsWal", "PostgresSlotInactive"],
        equal: &["instance", "slot"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::alerts;

    #[test]
    fn every_inhibition_is_of_alerts_that_are_there_and_of_no_milder_one() {
        let severity = |name: &str| alerts().iter().find(|a| a.name == name).map(|a| a.severity);
        for inhibition in inhibitions() {
            let source = severity(inhibition.source);
            assert!(source.is_some() && !inhibition.targets.contains(&inhibition.source));
            for target in inhibition.targets {
                assert!(severity(target).is_some_and(|s| Some(s) <= source), "{target}");
            }
        }
    }
}
