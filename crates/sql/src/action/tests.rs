//! What the statements of a migration are taken for.

use super::*;
use crate::script::Script;

fn actions(sql: &str) -> Vec<Action> {
    let script = Script::parse(sql);
    assert!(script.mistakes.is_empty(), "{:?}", script.mistakes);
    script.statements.iter().flat_map(ScriptStatement::actions).collect()
}

#[test]
fn alter_table_comes_apart() {
    let found = actions(
        "alter table s.t add column a int not null default random(), alter b set not null, \
         add constraint f foreign key (c) references p (id) not valid, alter d type text using d::text, \
         set (fillfactor = 80), add e bigserial, add g int generated always as (1) stored",
    );
    assert_eq!(found.len(), 7);
    let Action::AlterTable { table, change: TableChange::AddColumn(column) } = &found[0] else {
        panic!("{found:?}")
    };
    assert_eq!(table.to_string(), "s.t");
    assert!(column.not_null && column.default_calls == ["random"]);
    assert!(
        matches!(&found[1], Action::AlterTable { change: TableChange::SetNotNull { column }, .. } if column == "b")
    );
    let Action::AlterTable { change: TableChange::AddConstraint(key), .. } = &found[2] else { panic!() };
    assert!(key.not_valid && key.columns == ["c"] && key.referenced_columns == ["id"]);
    assert!(
        matches!(&found[3], Action::AlterTable { change: TableChange::SetType { to, using: Some(_), .. }, .. } if to == "text")
    );
    assert!(matches!(&found[4], Action::AlterTable { change: TableChange::Parameters, .. }));
    let added = |n: usize| match &found[n] {
        Action::AlterTable { change: TableChange::AddColumn(column), .. } => column,
        other => panic!("{other:?}"),
    };
    assert!(added(5).numbered && added(6).stored);
}

#[test]
fn the_rest_is_what_it_says() {
    let found = actions(
        "begin; set local lock_timeout = '2s'; drop index concurrently i; vacuum (full, analyze) t; vacuum (full off) t; \
         reindex table concurrently t; truncate a, b cascade; lock table t in share mode; \
         alter table t rename column a to b; alter table t rename to u; create table c partition of t default; \
         refresh materialized view m; delete from t; update t set a = 1 where b = 2; commit",
    );
    assert_eq!(found[0], Action::Begin);
    assert_eq!(found[1], Action::Set { name: "lock_timeout".into(), value: Some("2s".into()), local: true });
    assert!(matches!(&found[2], Action::Drop { kind: Dropped::Index, concurrently: true, .. }));
    assert!(matches!(&found[3], Action::Vacuum { full: true, .. }));
    assert!(matches!(&found[4], Action::Vacuum { full: false, .. }));
    assert!(matches!(&found[5], Action::Reindex { of: Reindexed::Table, concurrently: true, .. }));
    assert!(matches!(&found[6], Action::Truncate { cascade: true, tables } if tables.len() == 2));
    assert!(matches!(&found[7], Action::Lock { mode: 5, .. }));
    assert!(matches!(&found[8], Action::Rename { what: Renamed::Column(c), .. } if c == "a"));
    assert!(matches!(&found[9], Action::Rename { what: Renamed::Relation, .. }));
    assert!(matches!(&found[10], Action::CreateTable { partition_of: Some(_), .. }));
    assert!(matches!(&found[11], Action::Refresh { concurrently: false, .. }));
    assert!(matches!(&found[12], Action::Change { deletes: true, restricted: false, .. }));
    assert!(matches!(&found[13], Action::Change { deletes: false, restricted: true, .. }));
    assert_eq!(found[14], Action::End);
}
