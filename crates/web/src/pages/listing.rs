//! How is a table shown that may be long? Sorted by links in its head, filtered by a word, a hundred rows at a time; all
//! of it in the address, so that it can be sent to somebody.

use std::cmp::Ordering;

use maud::{Markup, html};

use super::link;

/// Rows that are shown at once.
const ROWS: usize = 100;

/// What a request asks of a listing, as it stands in the address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    sort: Option<String>,
    descending: bool,
    page: usize,
    /// The word that rows must hold, in lower case.
    pub word: String,
    /// Everything else.
    others: Vec<(String, String)>,
}

impl Wanted {
    /// Reads a query string.
    pub fn parse(query: Option<&str>) -> Self {
        let mut wanted = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "sort" => wanted.sort = Some(value.into_owned()),
                "order" => wanted.descending = value == "desc",
                "page" => wanted.page = value.parse::<usize>().unwrap_or(1).saturating_sub(1),
                "q" => wanted.word = value.trim().to_lowercase(),
                _ => wanted.others.push((name.into_owned(), value.into_owned())),
            }
        }
        wanted
    }

    /// Another part of the address; empty when it is not there.
    pub fn other(&self, name: &str) -> &str {
        self.others.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The column that it is to be sorted by.
    pub fn sort(&self) -> Option<&str> {
        self.sort.as_deref()
    }

    /// Everything that is not of the listing.
    pub fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        self.others.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn link(&self, path: &str, changed: &[(&str, &str)]) -> String {
        let mut parts: Vec<(&str, &str)> = self.others().collect();
        if !self.word.is_empty() {
            parts.push(("q", &self.word));
        }
        parts.extend(changed);
        link(path, &parts)
    }
}

/// A column of rows of one kind.
pub(crate) struct Column<R> {
    /// Its name in the address.
    pub key: &'static str,
    /// Its head.
    pub title: &'static str,
    /// What its figures are, in a sentence.
    pub meaning: &'static str,
    /// Whether it holds figures: those begin with the highest.
    pub figures: bool,
    pub order: fn(&R, &R) -> Ordering,
    pub cell: fn(&R) -> Markup,
}

/// Figures in their order; those that are not known come last.
pub(crate) fn by(one: f64, other: f64) -> Ordering {
    match (one.is_nan(), other.is_nan()) {
        (false, false) => one.total_cmp(&other),
        (a, b) => b.cmp(&a),
    }
}

/// Rows with what is asked of them.
pub(crate) struct Listing<'a, R> {
    /// The page that it is on.
    pub path: &'a str,
    /// What the rows are, in the plural.
    pub what: &'a str,
    pub columns: &'a [Column<R>],
    /// The column that it is sorted by unless another is asked for.
    pub sorted_by: &'a str,
    pub wanted: &'a Wanted,
    /// What the filter looks at, in any case.
    pub text: fn(&R) -> String,
    /// Whether a row is of pgwright's own tables, which are only shown to who filters for them.
    pub own: fn(&R) -> bool,
}

/// The schema of what pgwright keeps in a database.
pub(crate) const OWN_SCHEMA: &str = "pgwright";

impl<R> Listing<'_, R> {
    /// Shows the rows.
    pub fn show(&self, mut rows: Vec<R>) -> Markup {
        let all = rows.len();
        if !self.wanted.word.contains(OWN_SCHEMA) {
            rows.retain(|row| !(self.own)(row));
        }
        let (total, own) = (rows.len(), all - rows.len());
        if !self.wanted.word.is_empty() {
            rows.retain(|row| (self.text)(row).to_lowercase().contains(&self.wanted.word));
        }
        let asked = self.wanted.sort.as_deref().and_then(|key| self.columns.iter().find(|c| c.key == key));
        let usual = self.columns.iter().find(|c| c.key == self.sorted_by);
        let Some(column) = asked.or(usual) else { return html! {} };
        let descending = if asked.is_some() { self.wanted.descending } else { column.figures };
        // What the order leaves open stays as it is, in both directions.
        if descending {
            rows.sort_by(|a, b| (column.order)(b, a));
        } else {
            rows.sort_by(column.order);
        }
        let order = if descending { "desc" } else { "asc" };
        let pages = rows.len().div_ceil(ROWS).max(1);
        let page = self.wanted.page.min(pages - 1);
        let shown = rows.iter().skip(page * ROWS).take(ROWS);
        let at_page = |page: usize| {
            self.wanted
                .link(self.path, &[("sort", column.key), ("order", order), ("page", &(page + 1).to_string())])
        };
        html! {
            form.filter role="search" method="get" action=(self.path) {
                label { "Filter " (self.what) " " input type="search" name="q" value=(self.wanted.word); }
                @for (name, value) in &self.wanted.others { input type="hidden" name=(name) value=(value); }
                input type="hidden" name="sort" value=(column.key);
                input type="hidden" name="order" value=(order);
                button type="submit" { "Filter" }
                span.dim {
                    @if rows.len() == total { (total) } @else { (rows.len()) " of " (total) } " " (self.what)
                }
            }
            @if own > 0 {
                p.dim {
                    (own) " of pgwright's own are left out. "
                    a href=(link(self.path, &[("q", OWN_SCHEMA)])) { "Show those" }
                }
            }
            div.scroll tabindex="0" role="region" aria-label=(self.what) {
                table.stack {
                    thead { tr {
                        @for c in self.columns {
                            @let here = c.key == column.key;
                            @let next = if here { !descending } else { c.figures };
                            th scope="col" class=[c.figures.then_some("right")] title=(c.meaning)
                                aria-sort=[here.then_some(if descending { "descending" } else { "ascending" })] {
                                a href=(self.wanted.link(self.path, &[("sort", c.key), ("order", if next { "desc" } else { "asc" })])) {
                                    (c.title)
                                    @if here { span aria-hidden="true" { @if descending { " ▾" } @else { " ▴" } } }
                                }
                            }
                        }
                    } }
                    tbody {
                        @for row in shown { tr {
                            @for (at, c) in self.columns.iter().enumerate() {
                                @if at == 0 { th scope="row" { ((c.cell)(row)) } }
                                @else { td class=[c.figures.then_some("right")] data-label=(c.title) { ((c.cell)(row)) } }
                            }
                        } }
                    }
                }
            }
            @if pages > 1 {
                nav.pages aria-label="Pages of the table" {
                    @if page > 0 { a rel="prev" href=(at_page(page - 1)) { "Previous" } }
                    span { "page " (page + 1) " of " (pages) }
                    @if page + 1 < pages { a rel="next" href=(at_page(page + 1)) { "Next" } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column<(&str, f64)>] = &[
        Column {
            key: "name",
            title: "Name",
            meaning: "",
            figures: false,
            order: |a, b| a.0.cmp(b.0),
            cell: |r| html! { (r.0) },
        },
        Column {
            key: "size",
            title: "Size",
            meaning: "",
            figures: true,
            order: |a, b| by(a.1, b.1),
            cell: |r| html! { (r.1) },
        },
    ];

    fn show(query: &str, rows: Vec<(&'static str, f64)>) -> String {
        let wanted = Wanted::parse(Some(query));
        let listing = Listing {
            path: "/x",
            what: "things",
            columns: COLUMNS,
            sorted_by: "size",
            wanted: &wanted,
            text: |r| r.0.into(),
            own: |_| false,
        };
        listing.show(rows).into_string()
    }

    #[test]
    fn rows_are_sorted_filtered_and_escaped() {
        let rows = vec![("b", 1.0), ("<script>", f64::NAN), ("c", 3.0)];
        let place =
            |page: &str, text: &str| page.find(text).unwrap_or_else(|| panic!("{text} not in {page}"));
        let usual = show("", rows.clone());
        assert!(
            place(&usual, ">c<") < place(&usual, ">b<")
                && place(&usual, ">b<") < place(&usual, "&lt;script&gt;")
        );
        assert!(usual.contains("aria-sort=\"descending\"") && usual.contains("sort=size&amp;order=asc"));
        let named = show("sort=name&order=asc&database=a%22b&q=C", rows);
        assert!(
            named.contains("2 of 3 things") && named.contains("database=a%22b&amp;q=c&amp;sort=size"),
            "{named}"
        );
        assert!(named.contains("value=\"a&quot;b\""), "{named}");
        assert!(show("sort=none&page=99", vec![]).contains("0 things"));
    }

    #[test]
    fn long_listings_come_in_pages() {
        let rows: Vec<_> = (0..250).map(|n| ("x", f64::from(n))).collect();
        let second = show("page=2", rows.clone());
        assert!(
            second.contains("page 2 of 3") && second.contains(">149<") && !second.contains(">150<"),
            "{second}"
        );
        assert!(show("page=7", rows).contains("page 3 of 3"));
    }
}
