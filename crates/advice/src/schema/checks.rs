//! The registry of checks on schemas: one file each, in the order of their ids.
//!
//! `docs/reference/lint` is made from the heads of the files.

use model::{Finding, ObjectRef, Severity};

use super::{Facts, LintFinding};

/// One fault that can be found.
#[derive(Debug)]
pub struct Check {
    /// Kebab-case, permanent, the name of its file.
    pub id: &'static str,
    /// What it finds, in a few words.
    pub title: &'static str,
    /// How severe it usually is; a finding may say otherwise.
    pub severity: Severity,
    /// Whether it runs unless it is disabled.
    pub on: bool,
    /// Whether it asks for [`model::schema::SchemaFacts`], which files of before do not hold.
    pub needs_schema_facts: bool,
    pub(crate) run: fn(&Facts<'_>) -> Vec<LintFinding>,
}

impl Check {
    /// A finding of this check at its usual severity.
    fn finding(
        &self,
        object: ObjectRef,
        summary: impl Into<String>,
        detail: impl Into<String>,
    ) -> LintFinding {
        LintFinding { finding: Finding::new(self.id, object, self.severity, summary, detail), remedy: None }
    }
}

impl LintFinding {
    fn severity(mut self, severity: Severity) -> Self {
        self.finding.severity = severity;
        self
    }
}

macro_rules! checks {
    ($($module:ident,)*) => {
        $(mod $module;)*

        /// Every check, in the order of their files.
        pub const CHECKS: &[Check] = &[$($module::CHECK,)*];
    };
}

checks! {
    alignment_waste,
    all_nullable_table,
    bloated_index,
    bloated_table,
    boolean_index,
    btree_on_array,
    char_column,
    circular_foreign_keys,
    definer_search_path,
    duplicate_foreign_key,
    duplicate_index,
    empty_table,
    foreign_key_type_mismatch,
    inheritance,
    invalid_index,
    join_type_mismatch,
    json_column,
    money_column,
    never_vacuumed,
    no_primary_key,
    null_heavy_index,
    partition_gap,
    policy_initplan,
    policy_without_row_security,
    primary_key_exhaustion,
    redundant_index,
    row_security_without_policy,
    sequence_overflow,
    serial_column,
    stale_statistics,
    timestamp_without_zone,
    undocumented,
    unindexed_foreign_key,
    unlinked_table,
    unused_index,
    unvalidated_constraint,
    updates_without_room,
    useless_predicate,
    weak_authentication,
    wraparound,
}

fn relation_ref(name: &model::QualifiedName) -> ObjectRef {
    ObjectRef::Relation { name: name.clone() }
}

fn index_ref(index: &model::snapshot::Index) -> ObjectRef {
    ObjectRef::Index { name: index.name.clone() }
}

fn column_ref(relation: &model::QualifiedName, column: &str) -> ObjectRef {
    ObjectRef::Column { relation: relation.clone(), column: column.to_owned() }
}

fn constraint_ref(constraint: &model::snapshot::Constraint) -> ObjectRef {
    ObjectRef::Constraint { relation: constraint.table.clone(), name: constraint.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_kebab_case_and_the_names_of_their_files() {
        let mut files: Vec<String> =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema/checks"))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .map(|f| f.trim_end_matches(".rs").replace('_', "-"))
                .collect();
        files.sort();
        let ids: Vec<&str> = CHECKS.iter().map(|c| c.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert_eq!(files, ids);
    }
}
