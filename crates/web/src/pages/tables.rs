//! How big are tables, how are they read, and does VACUUM come? And everything about one of them.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use model::{QualifiedName, quote_identifier};
use postgres::catalog::{TableInspection, inspect_table};

use super::figures::{ago, bytes, count, moment, percent, rate, written};
use super::layout::Page;
use super::listing::{Column, Listing, OWN_SCHEMA, by};
use super::samples::Rows;
use super::{Visit, layout, link};
use crate::{Failure, Site};

const PLACE: &str = "/tables";

/// A table with what was last sampled of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub datname: String,
    pub schema: String,
    pub table: String,
    pub rows: f64,
    pub bytes: f64,
    pub live: f64,
    pub dead: f64,
    /// Dead rows from which on autovacuum comes.
    pub trigger: f64,
    pub modified: f64,
    pub seq_scans: f64,
    pub seq_rows: f64,
    pub index_scans: f64,
    pub writes: f64,
    pub hot_ratio: f64,
    pub hit_ratio: f64,
    /// Seconds since 1970.
    pub last_vacuum: f64,
    pub last_analyze: f64,
    pub xid_age: f64,
}

impl Row {
    pub fn name(&self) -> QualifiedName {
        QualifiedName::new(self.schema.clone(), self.table.clone())
    }

    /// Dead rows among all.
    pub fn dead_ratio(&self) -> f64 {
        if self.dead == 0.0 { 0.0 } else { self.dead / (self.live + self.dead) }
    }

    /// Whether autovacuum should have come.
    pub fn is_due(&self) -> bool {
        self.dead > self.trigger
    }

    pub fn titled(&self) -> Markup {
        // What is beyond the sampled objects is summed.
        if self.schema == "other" && self.table == "other" {
            return html! { span.dim { "all other tables" } };
        }
        html! { a href=(table_link(&self.datname, &self.schema, &self.table)) { (self.name()) } }
    }
}

/// Where a table is looked at.
pub(super) fn table_link(database: &str, schema: &str, table: &str) -> String {
    link("/table", &[("database", database), ("schema", schema), ("name", table)])
}

/// A moment, or that it never came.
pub(super) fn when(seconds: f64) -> Markup {
    match moment(seconds).filter(|_| seconds.is_finite()) {
        Some(at) => html! { time datetime=(at.to_rfc3339()) title=(written(at)) { (ago(at)) } },
        None => html! { span.dim { "never" } },
    }
}

/// When VACUUM came last.
pub(super) const LAST_VACUUM: Column<Row> = Column {
    key: "vacuum",
    title: "Last vacuum",
    meaning: "By hand or by autovacuum",
    figures: true,
    order: |a, b| by(a.last_vacuum, b.last_vacuum),
    cell: |r| when(r.last_vacuum),
};
/// When ANALYZE came last.
pub(super) const LAST_ANALYZE: Column<Row> = Column {
    key: "analyze",
    title: "Last analyze",
    meaning: "By hand or by autovacuum",
    figures: true,
    order: |a, b| by(a.last_analyze, b.last_analyze),
    cell: |r| when(r.last_analyze),
};

const COLUMNS: &[Column<Row>] = &[
    Column {
        key: "name",
        title: "Table",
        meaning: "Schema and name",
        figures: false,
        order: |a, b| (&a.datname, &a.schema, &a.table).cmp(&(&b.datname, &b.schema, &b.table)),
        cell: Row::titled,
    },
    Column {
        key: "size",
        title: "Size",
        meaning: "With TOAST and maps, without indexes",
        figures: true,
        order: |a, b| by(a.bytes, b.bytes),
        cell: |r| html! { (bytes(r.bytes)) },
    },
    Column {
        key: "rows",
        title: "Rows",
        meaning: "As the planner estimates them",
        figures: true,
        order: |a, b| by(a.rows, b.rows),
        cell: |r| html! { @if r.rows < 0.0 { span.warn { "never analyzed" } } @else { (count(r.rows)) } },
    },
    Column {
        key: "seq",
        title: "Seq. scans",
        meaning: "Sequential scans since the statistics were reset",
        figures: true,
        order: |a, b| by(a.seq_scans, b.seq_scans),
        cell: |r| html! { (count(r.seq_scans)) },
    },
    Column {
        key: "seq_rows",
        title: "Rows/scan",
        meaning: "Rows that a sequential scan reads",
        figures: true,
        order: |a, b| by(a.seq_rows / a.seq_scans, b.seq_rows / b.seq_scans),
        cell: |r| html! { (count(r.seq_rows / r.seq_scans)) },
    },
    Column {
        key: "idx",
        title: "Index scans",
        meaning: "Scans of its indexes since the statistics were reset",
        figures: true,
        order: |a, b| by(a.index_scans, b.index_scans),
        cell: |r| html! { (count(r.index_scans)) },
    },
    Column {
        key: "writes",
        title: "Writes",
        meaning: "Rows inserted, updated and deleted since the statistics were reset",
        figures: true,
        order: |a, b| by(a.writes, b.writes),
        cell: |r| html! { (count(r.writes)) },
    },
    Column {
        key: "hot",
        title: "HOT",
        meaning: "Updates that touched no index",
        figures: true,
        order: |a, b| by(a.hot_ratio, b.hot_ratio),
        cell: |r| html! { (percent(r.hot_ratio)) },
    },
    Column {
        key: "hit",
        title: "Cache hits",
        meaning: "Blocks of the heap found in shared buffers",
        figures: true,
        order: |a, b| by(a.hit_ratio, b.hit_ratio),
        cell: |r| html! { (percent(r.hit_ratio)) },
    },
    Column {
        key: "dead",
        title: "Dead rows",
        meaning: "Rows that VACUUM can remove, as the statistics count them",
        figures: true,
        order: |a, b| by(a.dead, b.dead),
        cell: |r| {
            html! {
                span class=[r.is_due().then_some("warn")] { (count(r.dead)) } span.dim { " " (percent(r.dead_ratio())) }
            }
        },
    },
    LAST_VACUUM,
    LAST_ANALYZE,
];

/// What was last sampled of tables.
pub(super) fn sampled(site: &Site) -> Vec<Row> {
    let figures = Rows::read(
        &site.app.exporter,
        ["datname", "schema", "table"],
        [
            "postgres_table_estimated_rows",
            "postgres_table_size_bytes",
            "postgres_table_live_rows",
            "postgres_table_dead_rows",
            "postgres_table_autovacuum_trigger_rows",
            "postgres_table_rows_modified_since_analyze",
            "postgres_table_sequential_scans_total",
            "postgres_table_sequential_rows_read_total",
            "postgres_table_index_scans_total",
            "postgres_table_rows_inserted_total",
            "postgres_table_rows_updated_total",
            "postgres_table_rows_deleted_total",
            "postgres_table_rows_hot_updated_total",
            "postgres_table_blocks_read_total",
            "postgres_table_blocks_hit_total",
            "postgres_table_last_vacuum_timestamp_seconds",
            "postgres_table_last_analyze_timestamp_seconds",
            "postgres_table_frozen_xid_age_transactions",
        ],
    );
    let row = |([datname, schema, table], f): ([String; 3], [f64; 18])| Row {
        datname,
        schema,
        table,
        rows: f[0],
        bytes: f[1],
        live: f[2],
        dead: f[3],
        trigger: f[4],
        modified: f[5],
        seq_scans: f[6],
        seq_rows: f[7],
        index_scans: f[8],
        writes: f[9] + f[10] + f[11],
        hot_ratio: f[12] / f[10],
        hit_ratio: f[14] / (f[13] + f[14]),
        last_vacuum: f[15],
        last_analyze: f[16],
        xid_age: f[17],
    };
    figures.rows.into_iter().map(row).collect()
}

pub(crate) async fn list(visit: Visit) -> Response {
    let rows = sampled(&visit.site);
    let listing = Listing {
        path: PLACE,
        what: "tables",
        columns: COLUMNS,
        sorted_by: "size",
        wanted: &visit.wanted,
        text: |r| format!("{} {}.{}", r.datname, r.schema, r.table),
        own: |r| r.schema == OWN_SCHEMA,
    };
    let body = html! {
        p.dim { "Figures are of the last sample, every 30 seconds; counters began when the statistics of the database were reset." }
        (listing.show(rows))
    };
    visit.show(&Page { title: "Tables", place: PLACE, live: false }, &body)
}

pub(crate) async fn one(visit: Visit) -> Response {
    let (database, schema, name) =
        (visit.wanted.other("database"), visit.wanted.other("schema"), visit.wanted.other("name"));
    let title = QualifiedName::new(schema, name).to_string();
    let page = Page { title: &title, place: PLACE, live: false };
    let row = sampled(&visit.site)
        .into_iter()
        .find(|r| r.datname == database && r.schema == schema && r.table == name);
    let here = database == visit.site.app.exporter.options().target.database();
    let inspected = if here { inspect(&visit, schema, name).await } else { Ok(None) };
    if row.is_none() && matches!(inspected, Ok(None)) {
        let failure =
            Failure::new("there is no such table").detail("It was dropped, or is of another database.");
        return visit.fail(StatusCode::NOT_FOUND, &page, &failure);
    }
    let body = html! {
        p.dim { "in database " (database) }
        @if let Some(row) = &row { (facts(row)) }
        @match &inspected {
            Ok(Some(inspection)) => (details(database, inspection)),
            Ok(None) => p.dim { "Columns and indexes are shown of tables of the first database." },
            Err(failure) => (layout::failure(failure)),
        }
    };
    visit.show(&page, &body)
}

async fn inspect(visit: &Visit, schema: &str, name: &str) -> Result<Option<TableInspection>, Failure> {
    let session = visit.site.live.session(&visit.site.app.exporter).await?;
    Ok(inspect_table(&session, session.version_num(), schema, name).await?)
}

fn facts(row: &Row) -> Markup {
    html! {
        ul.cards {
            li { "Size" b { (bytes(row.bytes)) } span.dim { "without indexes" } }
            li { "Rows" b { @if row.rows < 0.0 { "?" } @else { (count(row.rows)) } } span.dim { "estimated" } }
            li { "Sequential scans" b { (count(row.seq_scans)) } span.dim { (count(row.seq_rows / row.seq_scans)) " rows each" } }
            li { "Index scans" b { (count(row.index_scans)) } }
            li { "Writes" b { (count(row.writes)) } span.dim { (percent(row.hot_ratio)) " of updates HOT" } }
            li { "Cache hits" b { (percent(row.hit_ratio)) } }
            li {
                "Dead rows" b class=[row.is_due().then_some("warn")] { (count(row.dead)) }
                span.dim { "autovacuum comes from " (count(row.trigger)) }
            }
            li { "Last vacuum" b { (when(row.last_vacuum)) } }
            li { "Last analyze" b { (when(row.last_analyze)) } span.dim { (count(row.modified)) " rows changed since" } }
            li { "Oldest unfrozen" b { (count(row.xid_age)) } span.dim { "transactions ago" } }
        }
    }
}

/// What a kind of relation is called.
pub(super) fn kind(relkind: &str) -> &'static str {
    match relkind {
        "p" => "partitioned table",
        "m" => "materialized view",
        "f" => "foreign table",
        "v" => "view",
        _ => "table",
    }
}

fn details(database: &str, inspection: &TableInspection) -> Markup {
    let table = &inspection.table;
    let other = |schema: &Option<String>, name: &Option<String>| match (schema, name) {
        (Some(schema), Some(name)) => html! {
            a href=(table_link(database, schema, name)) { (QualifiedName::new(schema.clone(), name.clone())) }
        },
        _ => html! {},
    };
    html! {
        dl.facts {
            dt { "Kind" } dd { (kind(&table.relkind)) }
            @if let Some(comment) = &table.comment { dt { "Comment" } dd { (comment) } }
            @if let Some(key) = &table.partition_key { dt { "Partitioned by" } dd { code { (key) } } }
            @if table.parent_name.is_some() { dt { "Part of" } dd { (other(&table.parent_schema, &table.parent_name)) } }
            @if let Some(bound) = &table.partition_bound { dt { "Bounds" } dd { code { (bound) } } }
            @if !table.options.is_empty() { dt { "Settings" } dd { code { (table.options.join(", ")) } } }
        }
        h2 { "Columns" }
        div.scroll tabindex="0" role="region" aria-label="Columns" { table {
            thead { tr {
                th scope="col" { "Column" } th scope="col" { "Type" } th scope="col" { "Null" } th scope="col" { "Default" }
                th.right scope="col" title="As ANALYZE has found it" { "Distinct" }
                th.right scope="col" title="As ANALYZE has found it" { "NULL" }
                th.right scope="col" title="1 or -1: stored in the order of its values" { "Correlation" }
                th scope="col" { "Comment" }
            } }
            tbody { @for column in &inspection.columns { tr {
                th scope="row" { code { (quote_identifier(&column.name)) } }
                td { code { (column.type_name) } }
                td { @if column.not_null { "not null" } @else { span.dim { "null" } } }
                td { @if let Some(default) = &column.default { code { (default) } } }
                td.right { @match column.n_distinct {
                    Some(n) if n < 0.0 => { (percent(-n)) " of rows" },
                    Some(n) => (count(n)),
                    None => "",
                } }
                td.right { @if let Some(share) = column.null_frac { (percent(f64::from(share as f32))) } }
                td.right { @if let Some(correlation) = column.correlation { (rate(correlation)) } }
                td { @if let Some(comment) = &column.comment { (comment) } }
            } } }
        } }
        @if !inspection.indexes.is_empty() {
            h2 { "Indexes" }
            div.scroll tabindex="0" role="region" aria-label="Indexes" { table {
                thead { tr {
                    th scope="col" { "Index" } th.right scope="col" { "Size" } th.right scope="col" { "Scans" } th scope="col" { "Definition" }
                } }
                tbody { @for index in &inspection.indexes { tr {
                    th scope="row" {
                        (quote_identifier(&index.name))
                        @if !index.valid { " " strong.bad { "invalid" } }
                        @if index.idx_scan == 0 && !index.unique && index.constraint.is_none() { " " span.warn { "unused" } }
                    }
                    td.right { (bytes(index.estimated_bytes as f64)) }
                    td.right { (count(index.idx_scan as f64)) }
                    td { code.sql { (index.definition) } }
                } } }
            } }
        }
        @if !inspection.constraints.is_empty() {
            h2 { "Constraints" }
            div.scroll tabindex="0" role="region" aria-label="Constraints" { table {
                thead { tr { th scope="col" { "Constraint" } th scope="col" { "Table" } th scope="col" { "Definition" } } }
                tbody { @for constraint in &inspection.constraints { tr {
                    th scope="row" {
                        (quote_identifier(&constraint.name))
                        @if !constraint.validated { " " strong.warn { "not validated" } }
                    }
                    td {
                        @if constraint.refers_here { "from " } @else if constraint.other_name.is_some() { "to " }
                        (other(&constraint.other_schema, &constraint.other_name))
                    }
                    td { code.sql { (constraint.definition) } }
                } } }
            } }
        }
    }
}
