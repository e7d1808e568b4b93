//! Which tables are partitioned, how big are they, and until when are there partitions?

use axum::response::Response;
use chrono::Utc;
use maud::html;
use model::QualifiedName;

use super::Visit;
use super::figures::{bytes, count, moment, seconds, written};
use super::layout::Page;
use super::listing::{Column, Listing, OWN_SCHEMA, by};
use super::samples::Rows;
use super::tables::table_link;

const PLACE: &str = "/partitions";
/// With less than this ahead somebody should look.
const SOON_SECONDS: f64 = 7.0 * 86_400.0;

struct Row {
    datname: String,
    schema: String,
    table: String,
    partitions: f64,
    rows: f64,
    bytes: f64,
    default_rows: f64,
    /// Seconds since 1970.
    covered_until: f64,
    /// Seconds from now until there is no partition.
    ahead_seconds: f64,
}

const COLUMNS: &[Column<Row>] = &[
    Column {
        key: "name",
        title: "Table",
        meaning: "Schema and name",
        figures: false,
        order: |a, b| (&a.datname, &a.schema, &a.table).cmp(&(&b.datname, &b.schema, &b.table)),
        cell: |r| {
            html! {
                a href=(table_link(&r.datname, &r.schema, &r.table)) { (QualifiedName::new(r.schema.clone(), r.table.clone())) }
            }
        },
    },
    Column {
        key: "partitions",
        title: "Partitions",
        meaning: "Of the first level",
        figures: true,
        order: |a, b| by(a.partitions, b.partitions),
        cell: |r| html! { (count(r.partitions)) },
    },
    Column {
        key: "size",
        title: "Size",
        meaning: "At the last VACUUM or ANALYZE, without TOAST and indexes",
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
        cell: |r| html! { (count(r.rows)) },
    },
    Column {
        key: "default",
        title: "In the default",
        meaning: "Rows in the default partition: of those no other partition would take",
        figures: true,
        order: |a, b| by(a.default_rows, b.default_rows),
        cell: |r| html! { span class=[(r.default_rows > 0.0).then_some("warn")] { (count(r.default_rows)) } },
    },
    Column {
        key: "until",
        title: "Partitions until",
        meaning: "The highest upper bound, where the key is one column of time",
        figures: true,
        order: |a, b| by(a.covered_until, b.covered_until),
        cell: |r| {
            html! {
                @match moment(r.covered_until).filter(|_| r.covered_until.is_finite()) {
                    Some(at) => {
                        (written(at)) " "
                        @if r.ahead_seconds < 0.0 { strong.bad { (seconds(-r.ahead_seconds)) " ago" } }
                        @else { span class=(if r.ahead_seconds < SOON_SECONDS { "warn" } else { "dim" }) { "in " (seconds(r.ahead_seconds)) } }
                    },
                    None => "",
                }
            }
        },
    },
];

pub(crate) async fn list(visit: Visit) -> Response {
    let figures = Rows::read(
        &visit.site.app.exporter,
        ["datname", "schema", "table"],
        [
            "postgres_partitions",
            "postgres_partitions_estimated_rows",
            "postgres_partitions_size_bytes",
            "postgres_partition_default_rows",
            "postgres_partitions_covered_until_timestamp_seconds",
        ],
    );
    let now = Utc::now().timestamp() as f64;
    let row = |(key, figures): ([String; 3], [f64; 5])| {
        let ([datname, schema, table], [partitions, rows, bytes, default_rows, covered_until]) =
            (key, figures);
        Row {
            datname,
            schema,
            table,
            partitions,
            rows,
            bytes,
            default_rows,
            covered_until,
            ahead_seconds: covered_until - now,
        }
    };
    let rows: Vec<Row> = figures.rows.into_iter().map(row).collect();
    let listing = Listing {
        path: PLACE,
        what: "partitioned tables",
        columns: COLUMNS,
        sorted_by: "until",
        wanted: &visit.wanted,
        text: |r| format!("{} {}.{}", r.datname, r.schema, r.table),
        own: |r| r.schema == OWN_SCHEMA,
    };
    let body = html! {
        p.dim { "Figures are of the last sample, every 2 minutes. \"pgwright partition run\" makes partitions ahead and drops old ones." }
        @if rows.is_empty() { p { "No table is partitioned, or none was read yet." } } @else { (listing.show(rows)) }
    };
    visit.show(&Page { title: "Partitions", place: PLACE, live: false }, &body)
}
