//! How many bytes does an index tuple take, on average over the values of its attributes?
//!
//! Source: `index_form_tuple` in `indextuple.c`, `heap_compute_data_size` in `heaptuple.c`. Lengths are added up
//! one by one, because what a value adds depends on where it begins: short varlena values need no alignment,
//! others begin at a multiple of theirs, and the whole is aligned to 8 bytes. One NULL among the values costs a
//! bitmap of 8 bytes.

use std::collections::BTreeMap;

use model::snapshot::{Column, Relation};

use super::distribution::samples;
use super::{Attribute, TUPLE_HEADER, max_align};

/// The longest varlena value whose header takes one byte.
const SHORT_MAX: f64 = 127.0;
/// What a header of four bytes takes more than one of one byte.
const LONG_HEADER: f64 = 3.0;

/// What the planner takes a value for of which it knows nothing (`get_typavgwidth()`).
const UNKNOWN: f64 = 32.0;

/// Average bytes of an index tuple that holds these attributes, line pointer left out.
pub(crate) fn tuple_bytes(attributes: &[Attribute], relation: &Relation) -> f64 {
    // End of the data so far and whether there was a NULL, with the share of the tuples.
    let mut ends: BTreeMap<(u64, bool), f64> = BTreeMap::from([((0, false), 1.0)]);
    for attribute in attributes {
        let nulls = attribute.null_fraction(relation);
        let lengths = lengths(attribute, relation);
        let align = u64::from(attribute.align.max(1));
        let mut next: BTreeMap<(u64, bool), f64> = BTreeMap::new();
        for ((end, any_null), share) in ends {
            if nulls > 0.0 {
                *next.entry((end, true)).or_default() += share * nulls;
            }
            for (length, part) in &lengths {
                let aligned = attribute.length > 0 || *length as f64 > SHORT_MAX;
                let begin = if aligned { end.div_ceil(align) * align } else { end };
                *next.entry((begin + length, any_null)).or_default() += share * (1.0 - nulls) * part;
            }
        }
        ends = next;
    }
    ends.into_iter()
        .map(|((end, any_null), share)| {
            share * (max_align(TUPLE_HEADER + end as f64) + if any_null { 8.0 } else { 0.0 })
        })
        .sum()
}

/// The lengths of an attribute's values that are not NULL, with their shares.
fn lengths(attribute: &Attribute, relation: &Relation) -> Vec<(u64, f64)> {
    if attribute.length > 0 {
        return vec![(u64::try_from(attribute.length).unwrap_or(0), 1.0)];
    }
    let mean = average(attribute, relation);
    let known = if attribute.evaluated.is_empty() {
        stored_lengths(attribute, relation)
    } else {
        let present = attribute.evaluated.iter().filter(|e| e.value.is_some());
        Some(present.map(|e| (short(e.bytes), e.weight)).collect())
    };
    let known: Vec<(f64, f64)> = known.unwrap_or_default();
    let total: f64 = known.iter().map(|(_, weight)| weight).sum();
    let mut lengths: BTreeMap<u64, f64> = BTreeMap::new();
    if total > 0.0 {
        let sampled: f64 = known.iter().map(|(length, weight)| length * weight).sum::<f64>() / total;
        // The statistics' average is the better one, but it was cut to a whole number; the samples give the
        // spread around it.
        let shift = match attribute.evaluated.is_empty() && !(mean..mean + 1.0).contains(&sampled) {
            true => mean + 0.5 - sampled,
            false => 0.0,
        };
        for (length, weight) in known {
            spread(&mut lengths, (length + shift).max(1.0), weight / total);
        }
    } else if is_even(&attribute.type_name) {
        spread(&mut lengths, mean, 1.0);
    } else {
        // Nothing is known but the mean: any remainder is as likely as another.
        for n in 0..8 {
            spread(&mut lengths, (mean - 3.0 + f64::from(n)).max(1.0), 0.125);
        }
    }
    lengths.into_iter().collect()
}

/// A length between two whole numbers is each of them for a part of the values.
fn spread(lengths: &mut BTreeMap<u64, f64>, length: f64, weight: f64) {
    let below = length.floor();
    let above = length - below;
    *lengths.entry(below as u64).or_default() += weight * (1.0 - above);
    if above > 0.0 {
        *lengths.entry(below as u64 + 1).or_default() += weight * above;
    }
}

/// Types that vary in principle, whose values in one column nearly always have one length.
fn is_even(type_name: &str) -> bool {
    matches!(type_name, "inet" | "cidr" | "bit" | "vector") || type_name.ends_with("range")
}

/// A computed value has a header of four bytes, a stored short one has one.
fn short(bytes: f64) -> f64 {
    if bytes <= SHORT_MAX + LONG_HEADER { (bytes - LONG_HEADER).max(1.0) } else { bytes }
}

/// Average bytes of a value that is not NULL.
pub(crate) fn average(attribute: &Attribute, relation: &Relation) -> f64 {
    if attribute.length > 0 {
        return f64::from(attribute.length);
    }
    let present = || attribute.evaluated.iter().filter(|e| e.value.is_some());
    let weight: f64 = present().map(|e| e.weight).sum();
    if weight > 0.0 {
        return present().map(|e| e.weight * short(e.bytes)).sum::<f64>() / weight;
    }
    match attribute.column(relation) {
        Some(column) if column.type_length < 0 => f64::from(column_width(attribute, relation, column)),
        Some(_) => UNKNOWN,
        // Texts that are put together are as long as their parts together.
        None => match attribute.mentioned(relation).map(|c| f64::from(c.average_width())).sum::<f64>() {
            parts if parts > 0.0 => parts,
            _ => UNKNOWN,
        },
    }
}

fn column_width(attribute: &Attribute, relation: &Relation, column: &Column) -> i32 {
    match attribute.statistics(relation) {
        Some(statistics) if statistics.avg_width > 0 => statistics.avg_width,
        _ => column.average_width(),
    }
}

/// The lengths of stored values, header included, with their shares; `None` where the text of a
/// value does not tell its stored length.
fn stored_lengths(attribute: &Attribute, relation: &Relation) -> Option<Vec<(f64, f64)>> {
    // An expression's values are not its column's.
    if attribute.attnum == 0 {
        return None;
    }
    let length: fn(&str) -> f64 = match attribute.type_name.as_str() {
        "text" | "varchar" | "bpchar" | "citext" => |v| long(v.len() as f64),
        "bytea" => |v| long((v.len() as f64 - 2.0).max(0.0) / 2.0),
        "numeric" => numeric_length,
        _ => return None,
    };
    let samples = samples(attribute.statistics(relation)?);
    (!samples.is_empty()).then(|| samples.iter().map(|(v, w)| (length(v), *w)).collect())
}

/// With the header of a value.
fn long(bytes: f64) -> f64 {
    if bytes + 1.0 <= SHORT_MAX { bytes + 1.0 } else { bytes + 1.0 + LONG_HEADER }
}

/// `numeric` holds four decimal digits in two bytes, after a short varlena header of one byte and
/// a header of two.
fn numeric_length(text: &str) -> f64 {
    let digits = text.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len().div_ceil(4);
    let fraction = fraction.trim_end_matches('0').len().div_ceil(4);
    (3 + 2 * (whole + fraction)) as f64
}

#[cfg(test)]
mod tests {
    use super::super::tests::{attribute, relation, statistics};
    use super::*;
    use model::snapshot::ColumnStatistics;

    #[test]
    fn numeric_values_are_as_long_as_pg_column_size_says() {
        // select pg_column_size(v::numeric) - 3 of a stored value
        for (text, length) in
            [("0", 3.0), ("1", 5.0), ("12345", 7.0), ("-1.5", 7.0), ("0.0001", 5.0), ("10.00", 5.0)]
        {
            assert_eq!(numeric_length(text), length, "{text}");
        }
    }

    #[test]
    fn values_begin_where_their_alignment_wants() {
        let texts =
            ColumnStatistics { avg_width: 4, histogram_bounds: Some("{aaa,bbb}".into()), ..statistics(-1.0) };
        let half = ColumnStatistics { null_frac: 0.5, ..statistics(-1.0) };
        let relation = relation(vec![
            ("a", 4, Some(statistics(-1.0))),
            ("b", 8, Some(statistics(-1.0))),
            ("c", -1, Some(texts)),
            ("d", 4, Some(half)),
        ]);
        let (a, b) = (attribute(1, 4, 4, "int4"), attribute(2, 8, 8, "int8"));
        let (c, d) = (attribute(3, -1, 4, "text"), attribute(4, 4, 4, "int4"));
        for (attributes, bytes) in [
            (vec![a.clone()], 16.0),
            (vec![a.clone(), b.clone()], 24.0),
            // Three letters and a header of one byte need no alignment.
            (vec![c.clone(), a.clone()], 16.0),
            (vec![a.clone(), c.clone(), b.clone()], 24.0),
            (vec![c.clone(), b.clone()], 24.0),
            // A bitmap and no value, or a value and no bitmap.
            (vec![d.clone()], 16.0),
            (vec![d, b], 24.0),
        ] {
            assert_eq!(tuple_bytes(&attributes, &relation), bytes);
        }
    }
}
