//! What is in this database? Every table and view with what is said of it; each leads to its columns, indexes and
//! constraints.

use std::sync::Arc;

use axum::response::Response;
use maud::html;
use model::QualifiedName;
use postgres::catalog::{CatalogueRow, catalogue};

use super::Visit;
use super::figures::count;
use super::layout::{self, Page};
use super::listing::{Column, Listing, OWN_SCHEMA, by};
use super::tables::{kind, table_link};
use crate::Failure;

const PLACE: &str = "/catalogue";

/// A relation, and the database that it is in.
struct Row(CatalogueRow, Arc<str>);

const COLUMNS: &[Column<Row>] = &[
    Column {
        key: "name",
        title: "Name",
        meaning: "Schema and name",
        figures: false,
        order: |a, b| (&a.0.schema, &a.0.name).cmp(&(&b.0.schema, &b.0.name)),
        cell: |r| {
            html! {
                a href=(table_link(&r.1, &r.0.schema, &r.0.name)) { (QualifiedName::new(r.0.schema.clone(), r.0.name.clone())) }
            }
        },
    },
    Column {
        key: "kind",
        title: "Kind",
        meaning: "What it is",
        figures: false,
        order: |a, b| kind(&a.0.relkind).cmp(kind(&b.0.relkind)),
        cell: |r| html! { (kind(&r.0.relkind)) @if r.0.is_partition { span.dim { ", a partition" } } },
    },
    Column {
        key: "columns",
        title: "Columns",
        meaning: "Dropped ones among them",
        figures: true,
        order: |a, b| a.0.column_count.cmp(&b.0.column_count),
        cell: |r| html! { (r.0.column_count) },
    },
    Column {
        key: "rows",
        title: "Rows",
        meaning: "As the planner estimates them",
        figures: true,
        order: |a, b| by(a.0.reltuples, b.0.reltuples),
        cell: |r| html! { @if r.0.reltuples >= 0.0 && r.0.relkind != "v" { (count(r.0.reltuples)) } @else { "–" } },
    },
    Column {
        key: "owner",
        title: "Owner",
        meaning: "The role that owns it",
        figures: false,
        order: |a, b| a.0.owner.cmp(&b.0.owner),
        cell: |r| html! { (r.0.owner) },
    },
    Column {
        key: "comment",
        title: "Comment",
        meaning: "What COMMENT ON says of it",
        figures: false,
        order: |a, b| a.0.comment.cmp(&b.0.comment),
        cell: |r| html! { (r.0.comment.as_deref().unwrap_or_default()) },
    },
];

async fn relations(visit: &Visit) -> Result<Arc<Vec<CatalogueRow>>, Failure> {
    if let Some(kept) = visit.site.kept.catalogue.get() {
        return Ok(kept);
    }
    let session = visit.site.live.session(&visit.site.app.exporter).await?;
    let rows = Arc::new(catalogue(&session, session.version_num()).await?);
    Ok(visit.site.kept.catalogue.put(rows))
}

pub(crate) async fn list(visit: Visit) -> Response {
    let database: Arc<str> = visit.site.app.exporter.options().target.database().into();
    let listing = Listing {
        path: PLACE,
        what: "tables and views",
        columns: COLUMNS,
        sorted_by: "name",
        wanted: &visit.wanted,
        text: |r| {
            format!(
                "{}.{} {} {}",
                r.0.schema,
                r.0.name,
                kind(&r.0.relkind),
                r.0.comment.as_deref().unwrap_or_default()
            )
        },
        own: |r| r.0.schema == OWN_SCHEMA,
    };
    let body = match relations(&visit).await {
        Ok(rows) => listing.show(rows.iter().map(|row| Row(row.clone(), database.clone())).collect()),
        Err(failure) => layout::failure(&failure),
    };
    visit.show(&Page { title: "Catalogue", place: PLACE, live: false }, &body)
}
