//! What did other advisors reach on the same workload?
//!
//! Measured on TPC-H scale 1 with the settings of `tpch_server.rs`; `docs/reference/benchmarks.md` tells how
//! and names the programs. Costs and sizes repeat exactly, times are of one machine.

/// The major version of PostgreSQL that the peers were measured on.
pub const PEERS_MAJOR: u32 = 15;

/// A peer's set of indexes.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The program and how it was set.
    pub name: &'static str,
    /// How many indexes it wants.
    pub indexes: u32,
    /// What they weigh when built, in MB, where they were built.
    pub real_mb: Option<f64>,
    /// Sum of the planner's costs, in millions.
    pub cost_millions: f64,
    /// Whether the cost is with the indexes really built; HypoPG promises 1 to 12 % less.
    pub cost_is_real: bool,
    /// How often it called the planner.
    pub planner_calls: Option<u32>,
    /// How long it took.
    pub seconds: Option<f64>,
    /// Processor time of the 22 queries with its indexes.
    pub cpu_s: Option<f64>,
}

const fn hypothetical(name: &'static str, indexes: u32, cost_millions: f64) -> Peer {
    Peer {
        name,
        indexes,
        real_mb: None,
        cost_millions,
        cost_is_real: false,
        planner_calls: None,
        seconds: None,
        cpu_s: None,
    }
}

/// The peers, by what their sets weigh; those with one at a budget stand at it.
pub const PEERS: &[Peer] = &[
    Peer { real_mb: Some(142.0), cpu_s: Some(28.5), ..hypothetical("Dexter, 50 % rule", 5, 2.803_370) },
    Peer {
        real_mb: Some(232.0),
        planner_calls: Some(1_383),
        seconds: Some(3.5),
        cpu_s: Some(25.6),
        cost_is_real: true,
        ..hypothetical("Extend, width 2, 500 MB of HypoPG", 7, 3.23)
    },
    Peer {
        planner_calls: Some(43_387),
        seconds: Some(104.0),
        ..hypothetical("Anytime (DTA), width 2, 500 MB of HypoPG", 7, 2.930_795)
    },
    Peer {
        planner_calls: Some(3_066),
        seconds: Some(10.0),
        ..hypothetical("DB2Advis, width 2, 500 MB of HypoPG", 4, 2.968_953)
    },
    Peer {
        real_mb: Some(301.0),
        cpu_s: Some(22.5),
        cost_is_real: true,
        ..hypothetical("Supabase index_advisor", 19, 2.58)
    },
    Peer {
        planner_calls: Some(8_469),
        seconds: Some(20.0),
        ..hypothetical("Extend, width 3, 2 GB of HypoPG", 13, 2.006_618)
    },
    Peer {
        real_mb: Some(1_025.0),
        planner_calls: Some(133_187),
        seconds: Some(300.0),
        cpu_s: Some(17.4),
        cost_is_real: true,
        ..hypothetical("Anytime (DTA), width 2, 2 GB of HypoPG", 23, 2.17)
    },
    Peer {
        real_mb: Some(1_082.0),
        planner_calls: Some(2_396),
        seconds: Some(11.0),
        cpu_s: Some(16.5),
        ..hypothetical("DB2Advis, width 2, 2 GB of HypoPG", 27, 1.963_054)
    },
];

/// The best set known at a budget of real bytes.
#[derive(Clone, Copy, Debug)]
pub struct BestKnown {
    /// The budget in MB.
    pub budget_mb: u64,
    /// Its set.
    pub set: Peer,
}

/// Found by long local searches, at the three budgets of the benchmark.
pub const BEST_KNOWN: &[BestKnown] = &[
    BestKnown {
        budget_mb: 250,
        set: Peer {
            real_mb: Some(250.0),
            cpu_s: Some(26.0),
            cost_is_real: true,
            ..hypothetical("best known at 250 MB", 16, 2.622_928)
        },
    },
    BestKnown {
        budget_mb: 500,
        set: Peer {
            real_mb: Some(496.0),
            cpu_s: Some(22.5),
            cost_is_real: true,
            ..hypothetical("best known at 500 MB", 21, 2.318_009)
        },
    },
    BestKnown {
        budget_mb: 940,
        set: Peer {
            real_mb: Some(940.0),
            cpu_s: Some(15.4),
            cost_is_real: true,
            ..hypothetical("best known at 940 MB", 28, 2.11)
        },
    },
];
