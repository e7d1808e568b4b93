//! How many pages does a new GIN index take?
//!
//! Source: `ginentrypage.c`, `gindatapage.c`, `ginpostinglist.c` (a posting list stores the distance
//! to the last row in seven bits a byte), `jsonb_gin.c` (which terms a document has).
//!
//! The number of terms and how many rows each has comes from `most_common_elems` for arrays and
//! `tsvector`, and for `jsonb` from the documents in the histogram, which are a sample of the column.

use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::{ColumnStatistics, array_elements};
use serde_json::Value;

use super::distribution::{distinct_values, possible_values, samples};
use super::{Attribute, Heap, ITEM_ID, PAGE, Shape, TUPLE_HEADER, max_align};

/// Terms that occur in equally many rows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Terms {
    count: f64,
    rows: f64,
    key_bytes: f64,
}

/// `GinMaxItemSize`: longer posting lists get a tree of their own.
const ITEM_MAX: f64 = 2712.0;
/// What header and special area leave of a page.
const SPACE: f64 = PAGE - 24.0 - 8.0;
/// Posting trees are appended to; segments have headers and do not fill a page exactly.
const TREE_FILL: f64 = 0.94;

pub(super) fn pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    // With several columns each key carries the number of its column.
    let column_number = if shape.key_count > 1 { 2.0 } else { 0.0 };
    let (mut entries, mut count, mut trees) = (0.0, 0.0, 0.0);
    for terms in shape.keys().iter().flat_map(|a| terms(a, heap)) {
        let base = max_align(TUPLE_HEADER + column_number + terms.key_bytes);
        let list = 8.0 + (terms.rows - 1.0).max(0.0) * pointer_bytes(terms.rows, heap.pages);
        let tuple = max_align(base + list);
        count += terms.count;
        if tuple <= ITEM_MAX {
            entries += terms.count * (tuple + ITEM_ID);
        } else {
            entries += terms.count * (base + ITEM_ID);
            let leaves = (list / (SPACE * TREE_FILL)).ceil();
            trees += terms.count * (leaves + if leaves > 1.0 { 1.0 } else { 0.0 });
        }
    }
    let leaves = (entries / (SPACE * entry_fill(entries / count.max(1.0)))).ceil().max(1.0);
    // A metapage, the entry tree with its inner pages, and the posting trees.
    1.0 + leaves * 1.005 + if leaves > 1.0 { 1.0 } else { 0.0 } + trees
}

/// How full the pages of the entry tree are. A build inserts in the order of keys, and a full page is split
/// (`entrySplitPage`) at the first tuple that ends in its second half: the left page stays as it is then.
fn entry_fill(tuple: f64) -> f64 {
    let full = (SPACE / tuple).floor().max(1.0);
    let left = ((full + 1.0) / 2.0).floor() + 1.0;
    (left.min(full) * tuple / SPACE).min(1.0)
}

/// Average bytes of a row's pointer in a posting list: the distance to the one before it, in units
/// of 2048 to a page, seven bits a byte.
fn pointer_bytes(rows: f64, heap_pages: f64) -> f64 {
    let pages = heap_pages.max(1.0);
    let varint =
        |mean: f64| 1.0 + [7, 14, 21, 28].iter().map(|b| (-(f64::from(*b).exp2()) / mean).exp()).sum::<f64>();
    if rows > pages {
        // Most neighbours are on the same page; the first of each page is a page away.
        let first = pages / rows;
        (1.0 - first) * 1.0 + first * 2.0
    } else {
        varint(2048.0 * pages / rows.max(1.0))
    }
}

fn terms(attribute: &Attribute, heap: Heap<'_>) -> Vec<Terms> {
    let statistics = attribute.statistics(heap.relation);
    let opclass = attribute.opclass.as_str();
    match statistics {
        Some(s) if opclass.starts_with("jsonb") => {
            let found = json_terms(s, heap.rows, opclass == "jsonb_path_ops");
            if !found.is_empty() {
                return found;
            }
        }
        Some(s) if s.most_common_elems.is_some() => return element_terms(attribute, s, heap.rows),
        _ => {}
    }
    let width = attribute.column(heap.relation).map_or(32.0, |c| f64::from(c.average_width()));
    let present = heap.rows * (1.0 - attribute.null_fraction(heap.relation));
    let is_text = attribute.column(heap.relation).is_some_and(|c| c.type_category == 'S');
    if let (Some(s), true) =
        (statistics, is_text && (opclass.contains("trgm") || opclass.contains("tsvector")))
    {
        let found = text_terms(s, heap.rows, opclass.contains("trgm"));
        if !found.is_empty() {
            return found;
        }
    }
    if opclass.contains("trgm") {
        // As many trigrams as characters, of some ten thousand that occur in texts.
        let all = present * (width + 1.0);
        return zipf(all, 12_000.0_f64.min(all), 4.0, present);
    }
    if opclass.contains("tsvector") || opclass == "array_ops" {
        // Words of a text: six or seven letters each, half of them repeated or left out; the
        // vocabulary grows with the square root of the text (Heaps' law).
        let all = present * (width / 11.0).max(1.0);
        return zipf(all, (30.0 * all.sqrt()).min(all), 8.0, present);
    }
    // A scalar through btree_gin.
    super::distribution::of_one(attribute, heap.relation, heap.relation.rows())
        .iter()
        .map(|c| Terms {
            count: c.values,
            rows: (c.probability * heap.rows).max(1.0),
            key_bytes: super::average(attribute, heap.relation),
        })
        .collect()
}

/// Terms whose frequency falls with their rank, in classes of doubling rank.
fn zipf(all: f64, distinct: f64, key_bytes: f64, most: f64) -> Vec<Terms> {
    let harmonic = distinct.max(1.0).ln() + 0.58;
    let mut terms = Vec::new();
    let mut rank = 1.0;
    while rank <= distinct {
        let count = rank.min(distinct - rank + 1.0);
        let rows = (all / harmonic / (rank * 1.4)).clamp(1.0, most.max(1.0));
        terms.push(Terms { count, rows, key_bytes });
        rank *= 2.0;
    }
    terms
}

/// Terms of arrays and `tsvector`, whose elements have statistics.
fn element_terms(attribute: &Attribute, statistics: &ColumnStatistics, rows: f64) -> Vec<Terms> {
    let elements = statistics.most_common_elems.as_deref().map(array_elements).unwrap_or_default();
    let freqs = statistics.most_common_elem_freqs.as_deref().unwrap_or_default();
    let present = rows * (1.0 - f64::from(statistics.null_frac));
    let bytes =
        |e: &str| if attribute.length > 0 { f64::from(attribute.length) } else { e.len() as f64 + 1.0 };
    let mut terms: Vec<Terms> = elements
        .iter()
        .flatten()
        .zip(freqs)
        .map(|(e, f)| Terms { count: 1.0, rows: (f64::from(*f) * present).max(1.0), key_bytes: bytes(e) })
        .collect();
    let key_bytes = terms.iter().map(|t| t.key_bytes).sum::<f64>() / terms.len().max(1) as f64;
    let known: f64 = terms.iter().map(|t| t.rows).sum();
    // After the elements' frequencies stand their minimum and maximum.
    let least = freqs.get(elements.len()).map_or(0.0, |f| f64::from(*f));
    let average = match statistics.elem_count_histogram.as_deref().and_then(<[f32]>::last) {
        Some(average) => f64::from(*average),
        // A lexeme of a tsvector: an entry of 4 bytes, about 7 letters, about 4 bytes of positions.
        None => (f64::from(statistics.avg_width) - 8.0).max(0.0) / 15.0,
    };
    let rest = average * present - known;
    if rest > 0.02 * known {
        // Rarer than the rarest that is listed, and no more than numbers can be.
        let mut each = (least * present / 3.0).max(1.0);
        let listed = elements.iter().flatten().map(String::as_str);
        if let Some(possible) = possible_values(listed) {
            let left = (possible - elements.len() as f64).max(1.0);
            each = each.max(rest / left);
        }
        terms.push(Terms { count: rest / each, rows: each, key_bytes });
    }
    terms
}

/// Terms of `jsonb` documents, estimated from those in the statistics.
fn json_terms(statistics: &ColumnStatistics, rows: f64, paths: bool) -> Vec<Terms> {
    sampled_terms(statistics, rows, |text, terms| {
        if let Ok(document) = serde_json::from_str(text) {
            collect(&document, "", paths, terms);
        }
    })
    .into_iter()
    .map(|t| Terms { key_bytes: if paths { 4.0 } else { t.key_bytes }, ..t })
    .collect()
}

/// Terms of texts, estimated from those in the statistics: words or, as `pg_trgm` makes them,
/// trigrams.
fn text_terms(statistics: &ColumnStatistics, rows: f64, trigrams: bool) -> Vec<Terms> {
    sampled_terms(statistics, rows, |text, terms| {
        for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
            if trigrams {
                let padded: Vec<char> = format!("  {word} ").chars().collect();
                terms.extend(padded.windows(3).map(|w| (String::new(), w.iter().collect())));
            } else {
                terms.insert((String::new(), word.to_owned()));
            }
        }
    })
    .into_iter()
    // A trigram is stored in an integer.
    .map(|t| Terms { key_bytes: if trigrams { 4.0 } else { t.key_bytes }, ..t })
    .collect()
}

/// Terms of a column's values, estimated from the values in the statistics, which are a sample.
fn sampled_terms(
    statistics: &ColumnStatistics,
    rows: f64,
    terms_of: impl Fn(&str, &mut BTreeSet<(String, String)>),
) -> Vec<Terms> {
    let present = rows * (1.0 - f64::from(statistics.null_frac));
    if present < 1.0 {
        return Vec::new();
    }
    // path -> term -> (documents, weight)
    let mut seen: BTreeMap<String, BTreeMap<String, (f64, f64)>> = BTreeMap::new();
    for (text, weight) in samples(statistics) {
        let mut terms = BTreeSet::new();
        terms_of(&text, &mut terms);
        for (path, term) in terms {
            let entry = seen.entry(path).or_default().entry(term).or_insert((0.0, 0.0));
            entry.0 += 1.0;
            entry.1 += weight;
        }
    }
    let mut out = Vec::new();
    for values in seen.values() {
        let sampled: f64 = values.values().map(|v| v.0).sum();
        let key_bytes = values.keys().map(|k| k.len() as f64 + 2.0).sum::<f64>() / values.len() as f64;
        let mut rare = 0.0;
        let mut rare_weight = 0.0;
        for (count, weight) in values.values() {
            if *count > 1.5 {
                out.push(Terms { count: 1.0, rows: (weight * present).max(1.0), key_bytes });
            } else {
                rare += 1.0;
                rare_weight += weight;
            }
        }
        if rare > 0.0 {
            let share: f64 = values.values().map(|v| v.1).sum();
            let population = (share * present).max(1.0);
            let distinct = values.len() as f64;
            let possible = possible_values(values.keys().map(String::as_str));
            let all = distinct_values(sampled, distinct, rare, population, possible);
            let unseen = (all - (distinct - rare)).max(rare);
            out.push(Terms { count: unseen, rows: (rare_weight * present / unseen).max(1.0), key_bytes });
        }
    }
    out
}

/// The terms of a document: for `jsonb_path_ops` each value with its path, otherwise each key and
/// each value.
fn collect(value: &Value, path: &str, paths: bool, terms: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if !paths {
                    terms.insert((String::new(), key.clone()));
                }
                collect(member, &format!("{path}.{key}"), paths, terms);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|e| collect(e, path, paths, terms)),
        Value::String(text) => {
            terms.insert((path.to_owned(), text.clone()));
        }
        scalar => {
            terms.insert((path.to_owned(), scalar.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::statistics;
    use super::*;

    #[test]
    fn documents_in_the_histogram_tell_the_terms() {
        let documents: Vec<String> = (0..50)
            .map(|i| format!(r#""{{\"kind\": \"k{}\", \"tags\": [\"a\", \"b\"], \"user\": {i}}}""#, i % 2))
            .collect();
        let histogram = ColumnStatistics {
            histogram_bounds: Some(format!("{{{}}}", documents.join(","))),
            ..statistics(-1.0)
        };
        let terms = json_terms(&histogram, 10_000.0, true);
        // k0, k1, a, b, and one class of users.
        assert_eq!(terms.len(), 5);
        let postings: f64 = terms.iter().map(|t| t.count * t.rows).sum();
        assert!((postings - 40_000.0).abs() < 10.0, "{terms:?}");
        let users: f64 = terms.iter().filter(|t| t.count > 1.0).map(|t| t.count).sum();
        assert!((40.0..60.0).contains(&users), "{terms:?}");
    }

    #[test]
    fn dense_lists_take_a_byte_a_row_and_sparse_ones_more() {
        assert!(pointer_bytes(100_000.0, 1000.0) < 1.1);
        assert!(pointer_bytes(10.0, 1000.0) > 2.5);
    }
}
