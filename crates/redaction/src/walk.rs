//! Where in a snapshot is data? The one list of places, for gathering values and for replacing them.

use model::Snapshot;
use model::change::{IndexDefinition, KeyTarget};
use model::snapshot::{Relation, Setting};

use crate::kind::Kind;
use crate::literals::{self, Names};
use crate::schema;
use crate::statistics;
use crate::values::Replace;

/// Settings of type string that decide plans or meanings; others name hosts, files and tenants.
const SETTINGS: &[&str] = &[
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "block_size",
    "client_encoding",
    "default_table_access_method",
    "default_text_search_config",
    "lc_collate",
    "lc_ctype",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "search_path",
    "server_encoding",
    "server_version",
    "shared_preload_libraries",
];

/// What a text becomes that cannot be read as SQL.
const UNREADABLE: &str = "-- left out: it could not be read";

/// The snapshot with everything replaced.
pub(crate) fn replaced(snapshot: &Snapshot, replace: &mut dyn Replace) -> Snapshot {
    let names = Names::new(snapshot);
    let mut new = snapshot.clone();
    new.schema_sql = schema::replaced(&snapshot.schema_sql, &names, replace);
    for relation in &mut new.relations {
        of_relation(relation, &names, replace);
    }
    for index in &mut new.indexes {
        let subject = format!("the expressions of index {}", index.name);
        for statistics in index.expression_statistics.values_mut() {
            let kind = statistics::kind_of_values(statistics);
            *statistics = statistics::of_column(statistics, &kind, &subject, replace);
        }
        of_index(&mut index.definition, &names, replace);
        index.indexdef = expression(&index.indexdef, &names, replace);
    }
    for constraint in &mut new.constraints {
        constraint.definition = expression(&constraint.definition, &names, replace);
    }
    for extended in &mut new.extended_statistics {
        let relation = snapshot.relation(&extended.table);
        let mut columns: Vec<_> = extended.columns.iter().filter_map(|c| relation?.column(c)).collect();
        // Values stand in the order of attribute numbers.
        columns.sort_by_key(|c| c.attnum);
        let kinds: Vec<Kind> = columns.iter().map(|c| Kind::of_column(c, &|n| names.is_enum(n))).collect();
        let subject = extended.name.to_string();
        for data in &mut extended.data {
            *data = statistics::of_several(data, &kinds, &subject, replace);
        }
        for text in &mut extended.expressions {
            *text = expression(text, &names, replace);
        }
        extended.definition = expression(&extended.definition, &names, replace);
    }
    let mut unreadable = 0_usize;
    for statement in &mut new.statements {
        let text = match sql::is_utility(&statement.query) {
            true => literals::emptied(&statement.query),
            false => literals::replaced(&statement.query, &names, replace),
        };
        statement.query = text.unwrap_or_else(|| {
            unreadable += 1;
            UNREADABLE.into()
        });
    }
    if unreadable > 0 {
        replace.dropped(format!("the texts of {unreadable} statements that could not be read"));
    }
    for (name, setting) in &mut new.settings {
        of_setting(name, setting);
    }
    new
}

fn of_setting(name: &str, setting: &mut Setting) {
    let known =
        SETTINGS.iter().any(|s| s.eq_ignore_ascii_case(name)) || name.starts_with("pg_stat_statements.");
    if setting.vartype == "string" && !known {
        setting.setting.clear();
    }
}

fn of_relation(relation: &mut Relation, names: &Names, replace: &mut dyn Replace) {
    for column in &mut relation.columns {
        let kind = Kind::of_column(column, &|name| names.is_enum(name));
        let subject = format!("{}.{}", relation.name, model::quote_identifier(&column.name));
        for statistics in [&mut column.statistics, &mut column.inherited_statistics].into_iter().flatten() {
            *statistics = statistics::of_column(statistics, &kind, &subject, replace);
        }
        if let Some(default) = &mut column.default {
            // What a default or a generated column holds is told by its column.
            *default = expression(default, names, replace);
        }
    }
    for text in [&mut relation.partition_bound, &mut relation.partition_key].into_iter().flatten() {
        *text = expression(text, names, replace);
    }
}

fn of_index(definition: &mut IndexDefinition, names: &Names, replace: &mut dyn Replace) {
    for key in &mut definition.keys {
        if let KeyTarget::Expression(text) = &mut key.target {
            *text = expression(text, names, replace);
        }
    }
    if let Some(predicate) = &mut definition.predicate {
        *predicate = expression(predicate, names, replace);
    }
}

fn expression(text: &str, names: &Names, replace: &mut dyn Replace) -> String {
    literals::replaced(text, names, replace).unwrap_or_else(|| {
        replace.dropped("expressions that could not be read".into());
        "NULL".into()
    })
}
