//! Which domains does a schema have, and what does a statement do to one?
//!
//! Source: `CREATE DOMAIN` and `ALTER DOMAIN` in the PostgreSQL manual.

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterDomainStmt, ConstrType, CreateDomainStmt, Node};

use crate::idea::WrittenName;
use crate::script::Script;

/// A domain of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name, with its schema where the statement gives one.
    pub name: WrittenName,
    /// The type under it as SQL.
    pub type_name: String,
    /// Whether a value has to pass a CHECK or NOT NULL.
    pub constrained: bool,
}

/// What `ALTER DOMAIN` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainChange {
    /// `SET NOT NULL`.
    SetNotNull,
    /// `ADD CONSTRAINT`.
    AddConstraint {
        /// Its name, when one is given.
        name: Option<String>,
        /// Its expression; `None` of NOT NULL.
        expression: Option<String>,
        /// Whether `NOT VALID` is written.
        not_valid: bool,
    },
    /// `VALIDATE CONSTRAINT`.
    Validate {
        /// The constraint.
        name: String,
    },
    /// What asks no value: `SET DEFAULT`, `DROP CONSTRAINT`, `DROP NOT NULL`.
    Catalog,
}

/// The domains that a dump creates.
pub fn domains(ddl: &str) -> Vec<Domain> {
    let mut found = Vec::new();
    for (at, _) in ddl.match_indices("CREATE DOMAIN ") {
        if at > 0 && !ddl[..at].ends_with('\n') {
            continue;
        }
        let end = ddl[at..].find(";\n").map_or(ddl.len(), |length| at + length);
        for statement in Script::parse(&ddl[at..end]).statements {
            if let NodeEnum::CreateDomainStmt(domain) = &statement.node {
                found.extend(created(domain));
            }
        }
    }
    found
}

pub(crate) fn created(statement: &CreateDomainStmt) -> Option<Domain> {
    Some(Domain {
        name: written(&statement.domainname)?,
        type_name: crate::lowering::type_name(statement.type_name.as_ref()?),
        constrained: statement.constraints.iter().any(|node| {
            let kind = constraint_type(node);
            matches!(kind, Some(ConstrType::ConstrCheck | ConstrType::ConstrNotnull))
        }),
    })
}

/// The domain that `ALTER DOMAIN` is about, and what it does.
pub(crate) fn changed(statement: &AlterDomainStmt) -> Option<(WrittenName, DomainChange)> {
    let name = written(&statement.type_name)?;
    let constraint = match statement.def.as_ref().and_then(|def| def.node.as_ref()) {
        Some(NodeEnum::Constraint(constraint)) => Some(constraint),
        _ => None,
    };
    let change = match (statement.subtype.as_str(), constraint) {
        ("O", _) => DomainChange::SetNotNull,
        ("C", Some(constraint)) => DomainChange::AddConstraint {
            name: (!constraint.conname.is_empty()).then(|| constraint.conname.clone()),
            expression: constraint
                .raw_expr
                .as_ref()
                .and_then(|e| crate::idea::expression((**e).clone()).ok()),
            not_valid: constraint.skip_validation,
        },
        ("V", _) => DomainChange::Validate { name: statement.name.clone() },
        _ => DomainChange::Catalog,
    };
    Some((name, change))
}

fn written(parts: &[Node]) -> Option<WrittenName> {
    let mut parts = parts.iter().rev().filter_map(crate::lowering::string);
    Some(WrittenName { name: parts.next()?, schema: parts.next() })
}

fn constraint_type(node: &Node) -> Option<ConstrType> {
    match &node.node {
        Some(NodeEnum::Constraint(constraint)) => ConstrType::try_from(constraint.contype).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_found_with_what_they_ask() {
        let ddl = "CREATE SCHEMA s;\n\nCREATE DOMAIN public.plain AS character varying(9);\n\n\
                   CREATE DOMAIN s.\"P\" AS integer\n\tCONSTRAINT c CHECK ((VALUE > 0));\n\n\
                   COMMENT ON DOMAIN public.plain IS 'CREATE DOMAIN x AS y';\n";
        let found = domains(ddl);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].name.name.as_str(), found[0].constrained), ("plain", false));
        assert_eq!(found[0].type_name, "character varying(9)");
        assert_eq!(
            (found[1].name.schema.as_deref(), found[1].name.name.as_str(), found[1].constrained),
            (Some("s"), "P", true)
        );
    }

    #[test]
    fn what_is_done_to_a_domain_is_told() {
        let script = Script::parse(
            "alter domain s.\"P\" add constraint c check (value > 0) not valid; alter domain p validate constraint c; \
             alter domain p set not null; alter domain p drop constraint c; alter domain p add check (value < 9)",
        );
        let changes: Vec<(WrittenName, DomainChange)> = script
            .statements
            .iter()
            .filter_map(|s| match &s.node {
                NodeEnum::AlterDomainStmt(alter) => changed(alter),
                _ => None,
            })
            .collect();
        assert_eq!(changes.len(), 5);
        assert_eq!(changes[0].0, WrittenName { schema: Some("s".into()), name: "P".into() });
        assert!(matches!(
            &changes[0].1,
            DomainChange::AddConstraint { name: Some(c), expression: Some(_), not_valid: true } if c == "c"
        ));
        assert_eq!(changes[1].1, DomainChange::Validate { name: "c".into() });
        assert_eq!(changes[2].1, DomainChange::SetNotNull);
        assert_eq!(changes[3].1, DomainChange::Catalog);
        assert!(matches!(&changes[4].1, DomainChange::AddConstraint { name: None, not_valid: false, .. }));
    }
}
