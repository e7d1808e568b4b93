//! When should somebody be woken, and what do they look at then? Alerts and dashboards over the metrics of
//! `pgwright serve`, as files for Prometheus and Grafana.
//!
//! - [`alerts`]: the conditions, and what to do.
//! - [`rules`]: the conditions as a rule file of Prometheus.
//! - [`dashboards`]: what is drawn.
//! - [`grafana`]: what is drawn as a dashboard of Grafana.
//! - [`inhibition`]: which alert makes which other superfluous.
//! - [`files`]: all of it as files that a stack of Prometheus and Grafana starts with.

pub mod alerts;
pub mod dashboards;
pub mod files;
pub mod grafana;
pub mod inhibition;
pub mod rules;
