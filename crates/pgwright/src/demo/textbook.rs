//! Which indexes does the textbook create? The 18 of step 2.5 of the exercise for the registry, and its
//! rules applied to the meters, for which no source has a list.
//!
//! Source: the exercise's `sql/50_indexes.sql`, statement by statement. The report applies them to
//! the same data and measures them in the same run as pgwright's own choice.

use super::Scenario;

/// The 18 statements in their order, each to be run on its own: `CREATE INDEX CONCURRENTLY` is not
/// allowed in a transaction.
pub(super) const TEXTBOOK_INDEXES: [&str; 18] = [
    // Foreign keys
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_model_versions_model_id ON model_versions (model_id)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_training_runs_version_id ON training_runs (version_id)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_deployments_version_id ON deployments (version_id)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_deployments_environment_id ON deployments (environment_id)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_approvals_version_id ON approvals (version_id)",
    // Time ranges
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_deployments_deployed_at_desc ON deployments (deployed_at DESC)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_training_runs_created_at_desc ON training_runs (created_at DESC)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_training_runs_started_at_brin ON training_runs \
     USING BRIN (started_at) WITH (pages_per_range = 128)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_model_versions_registered_at_desc ON model_versions \
     (registered_at DESC)",
    // Composite
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_training_runs_exp_created ON training_runs \
     (experiment_name, created_at DESC) INCLUDE (accuracy, status)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_training_runs_model_status ON training_runs \
     (model_name, status) INCLUDE (accuracy, created_at)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_deployments_env_status_deployed ON deployments \
     (environment_id, status, deployed_at DESC) INCLUDE (version_id)",
    // Partial
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_deployments_prod_active ON deployments \
     (version_id, deployed_at DESC) WHERE environment_id = 1 AND status = 'active'",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_training_runs_succeeded ON training_runs \
     (model_name, created_at DESC) INCLUDE (accuracy, run_id) WHERE status = 'succeeded'",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_approvals_approved ON approvals \
     (version_id, approved_at DESC) WHERE status = 'approved'",
    // JSONB
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_training_runs_hyperparameters_gin ON training_runs \
     USING GIN (hyperparameters jsonb_path_ops)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_training_runs_metrics_gin ON training_runs \
     USING GIN (metrics jsonb_path_ops)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_model_versions_metadata_gin ON model_versions \
     USING GIN (metadata_ jsonb_path_ops)",
];

/// Run after the indexes, as the exercise does.
const TEXTBOOK_ANALYZE: &str = "ANALYZE models, model_versions, training_runs, deployments, approvals";

/// The textbook's rules applied to the meters, for which it has no script: an index on every foreign key
/// (its priority 1), one on the time that queries filter by (2), a composite and covering one for the most
/// frequent query (3), and one on the column that is looked up (its decision tree, step 2.2).
const TEXTBOOK_METERS: [&str; 5] = [
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_m_meterinfo_customer_id ON m_meterinfo (customer_id)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_t_dlpdata_meter_id ON t_dlpdata (meter_id)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_t_dlpdata_reading_timestamp_desc ON t_dlpdata \
     (reading_timestamp DESC)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_t_dlpdata_meter_reading ON t_dlpdata \
     (meter_id, reading_timestamp DESC) INCLUDE (kwh_reading)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_m_meterinfo_msn ON m_meterinfo (msn)",
];

/// Run after the indexes of [`TEXTBOOK_METERS`].
const TEXTBOOK_METERS_ANALYZE: &str = "ANALYZE m_customerinfo, m_meterinfo, t_dlpdata";

/// What a textbook does to the scenario, each statement to be run on its own.
pub fn statements(scenario: Scenario) -> Vec<String> {
    let (indexes, analyze): (&[&str], _) = match scenario {
        Scenario::Registry => (&TEXTBOOK_INDEXES, TEXTBOOK_ANALYZE),
        Scenario::Meters | Scenario::MetersPartitioned => (&TEXTBOOK_METERS, TEXTBOOK_METERS_ANALYZE),
    };
    indexes
        .iter()
        .chain([&analyze])
        .map(|sql| {
            // PostgreSQL does not build indexes of partitioned tables concurrently, and the textbook's only
            // partitioned table has them built plainly.
            if scenario == Scenario::MetersPartitioned {
                sql.replace(" CONCURRENTLY", "")
            } else {
                (*sql).to_owned()
            }
        })
        .collect()
}
