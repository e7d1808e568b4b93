//! The registry of checks on migrations: one file each, in the order of their ids.
//!
//! `docs/reference/lint` is made from the heads of the files.

use model::Severity;

use super::step::Step;
use crate::schema::LintFinding;

/// One kind of statement that does harm.
#[derive(Debug)]
pub struct Check {
    /// Kebab-case, permanent, the name of its file.
    pub id: &'static str,
    /// What it finds, in a few words.
    pub title: &'static str,
    /// How severe it usually is; a short lock on a small table is less.
    pub severity: Severity,
    pub(super) run: fn(&Step<'_>) -> Vec<LintFinding>,
}

macro_rules! checks {
    ($($module:ident,)*) => {
        $(mod $module;)*

        /// Every check, in the order of their files.
        pub const CHECKS: &[Check] = &[$($module::CHECK,)*];
    };
}

checks! {
    add_check_validating,
    add_column_not_null,
    add_column_rewrite,
    add_foreign_key_validating,
    add_key_blocking,
    alter_domain_validating,
    attach_partition_scan,
    change_column_type,
    concurrently_in_transaction,
    create_index_blocking,
    create_partition_of,
    detach_partition_blocking,
    drop_column,
    drop_constraint_cascade,
    drop_index_blocking,
    drop_table,
    lock_table,
    missing_lock_timeout,
    refresh_blocking,
    reindex_blocking,
    rename,
    rewrite_table,
    set_not_null,
    truncate,
    unbatched_change,
    validate_in_transaction,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_kebab_case_and_the_names_of_their_files() {
        let mut files: Vec<String> =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/migration/checks"))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .map(|f| f.trim_end_matches(".rs").replace('_', "-"))
                .collect();
        files.sort();
        let ids: Vec<&str> = CHECKS.iter().map(|c| c.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert_eq!(files, ids);
        let of_schema = |id: &str| crate::schema::CHECKS.iter().any(|c| c.id == id);
        assert!(ids.iter().all(|id| !of_schema(id)), "one id means one thing");
    }
}
