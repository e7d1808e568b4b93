//! Does pgwright do what it says, as a user calls it? The real program against real servers: every
//! command, every bad input, and the whole loop on databases of other shapes than the demo's.

#![allow(clippy::unwrap_used)]

mod alerts;
mod browser;
mod explained;
mod explained_causes;
mod explained_remedies;
mod interruptions;
mod latency;
mod left_out;
mod lint;
mod logged_values;
mod logs;
mod main_loop;
mod other_shapes;
mod outputs;
mod partition_advice;
mod partition_check;
mod partition_convert;
mod partition_sets;
mod partitioned_tables;
mod poolers_and_standbys;
mod program;
mod proof;
mod redaction;
mod regressions;
mod remedies;
mod rewrite;
mod rewrite_check;
mod serve;
mod serve_browser;
mod serve_compat;
mod serve_fixes;
mod serve_fleet;
mod serve_history;
mod serve_pages;
mod serve_plans;
mod serve_prometheus;
mod slower;
mod statistics;
mod unreachable;
mod unusable_input;
mod versions;
mod what_if;
mod world;
