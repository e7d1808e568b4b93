//! What goes to another tablespace or schema?

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterObjectSchemaStmt, AlterTableType, Node, ObjectType};

use super::{Action, Renamed, written};
use crate::idea::WrittenName;

/// `ALTER INDEX`, a part of it.
pub(super) fn of_index(index: &WrittenName, node: &Node) -> Action {
    match &node.node {
        Some(NodeEnum::AlterTableCmd(command))
            if AlterTableType::try_from(command.subtype) == Ok(AlterTableType::AtSetTableSpace) =>
        {
            Action::MoveIndex { index: index.clone(), to: command.name.clone() }
        }
        _ => Action::Other,
    }
}

/// `ALTER … SET SCHEMA`.
pub(super) fn to_schema(moved: &AlterObjectSchemaStmt) -> Action {
    let of_rows = matches!(
        ObjectType::try_from(moved.object_type),
        Ok(ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectForeignTable)
    );
    match &moved.relation {
        Some(relation) if of_rows => {
            Action::Rename { table: written(relation), what: Renamed::Schema, to: moved.newschema.clone() }
        }
        _ => Action::Other,
    }
}
