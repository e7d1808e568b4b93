//! What constraints does a database have, and what does a CHECK say?

use serde::{Deserialize, Serialize};

use crate::name::QualifiedName;

/// What a constraint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The names are SQL's own.
pub enum ConstraintKind {
    PrimaryKey,
    Unique,
    ForeignKey,
    Check,
    Exclusion,
}

/// A row of `pg_constraint`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Constraint {
    /// The unquoted name.
    pub name: String,
    /// The table it is on.
    pub table: QualifiedName,
    /// Its kind.
    pub kind: ConstraintKind,
    /// The unquoted names of its columns in order.
    pub columns: Vec<String>,
    /// What a foreign key references.
    pub references: Option<ForeignKeyTarget>,
    /// `convalidated`.
    pub validated: bool,
    /// `pg_get_constraintdef()`.
    pub definition: String,
}

/// What a CHECK constraint says, apart from whether the rows of before were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckCondition<'c> {
    /// The condition, in brackets.
    pub expression: &'c str,
    /// Whether it holds for child tables too: not so with `NO INHERIT`.
    pub inherited: bool,
}

impl Constraint {
    /// What the constraint says if it is a CHECK and the server enforces it.
    ///
    /// Source: `pg_get_constraintdef_worker()` in ruleutils.c, which writes `NO INHERIT` first and then `NOT ENFORCED`
    /// or `NOT VALID` behind the condition.
    pub fn check_condition(&self) -> Option<CheckCondition<'_>> {
        if self.kind != ConstraintKind::Check || self.definition.ends_with(" NOT ENFORCED") {
            return None;
        }
        let said = self.definition.strip_prefix("CHECK ")?;
        let said = said.strip_suffix(" NOT VALID").unwrap_or(said);
        let expression = said.strip_suffix(" NO INHERIT").unwrap_or(said);
        Some(CheckCondition { expression, inherited: expression.len() == said.len() })
    }
}

/// The referenced side of a foreign key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignKeyTarget {
    /// The referenced table.
    pub table: QualifiedName,
    /// The unquoted names of the referenced columns, paired with the constraint's own.
    pub columns: Vec<String>,
    /// Whether deleting or updating a referenced row must look at this table, which is always so
    /// except for a partition's inherited copy.
    pub enforced_here: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_says_its_condition() {
        let condition = |kind, definition: &str| {
            let constraint = Constraint {
                name: "c".into(),
                table: QualifiedName::new("public", "t"),
                kind,
                columns: vec!["a".into()],
                references: None,
                validated: true,
                definition: definition.into(),
            };
            constraint.check_condition().map(|c| (c.expression.to_owned(), c.inherited))
        };
        let some = |text: &str, inherited| Some((text.to_owned(), inherited));
        assert_eq!(condition(ConstraintKind::Check, "CHECK ((a > 0))"), some("((a > 0))", true));
        assert_eq!(
            condition(ConstraintKind::Check, "CHECK ((a > 0)) NO INHERIT NOT VALID"),
            some("((a > 0))", false)
        );
        assert_eq!(
            condition(ConstraintKind::Check, "CHECK ((a <> ' NOT VALID'::text)) NOT VALID"),
            some("((a <> ' NOT VALID'::text))", true)
        );
        assert_eq!(condition(ConstraintKind::Check, "CHECK ((a > 0)) NO INHERIT NOT ENFORCED"), None);
        assert_eq!(condition(ConstraintKind::Unique, "UNIQUE (a)"), None);
    }
}
