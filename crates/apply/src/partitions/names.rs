//! What is the index of a partition called? As PostgreSQL would call it where that fits: the name of
//! the partition and what is left of the parent's index name behind the parent's table name.
//!
//! Source: `ChooseIndexName()` and `makeObjectName()` in `src/backend/commands/indexcmds.c`. Where the
//! name does not fit PostgreSQL cuts its end off, which is where the names of partitions differ, and
//! then counts; here a hash takes the place of what is cut, so that a name does not depend on which
//! other partitions there are.

use std::fmt::Write as _;

/// The longest name that PostgreSQL keeps (`NAMEDATALEN - 1`).
pub(super) const LONGEST_NAME: usize = 63;

/// The name for the index of a partition; `attempt` makes another one when that is taken.
pub(super) fn of_partition(partition: &str, root_table: &str, root_index: &str, attempt: u32) -> String {
    let label = root_index
        .strip_prefix(root_table)
        .and_then(|rest| rest.strip_prefix('_'))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(root_index);
    fit(partition, label, &[partition, root_table, root_index], attempt)
}

/// The name of an index that stands in for another until that is gone.
pub(super) fn of_replacement(index: &str, attempt: u32) -> String {
    fit(index, "undo", &[index], attempt)
}

/// Two parts joined, cut where they are too long.
fn fit(head: &str, label: &str, all: &[&str], attempt: u32) -> String {
    let counter = if attempt == 0 { String::new() } else { attempt.to_string() };
    let whole = format!("{head}_{label}{counter}");
    if whole.len() <= LONGEST_NAME {
        return whole;
    }
    let mut middle = format!("_{:08x}_", hash(all));
    middle.truncate(10);
    let room = LONGEST_NAME.saturating_sub(middle.len() + counter.len());
    // The label says what the index is for; the head gets what the label leaves, at least half.
    let label_room = label.len().min(room / 2);
    let head_room = room - label_room;
    let mut name = String::with_capacity(LONGEST_NAME);
    let _ = write!(name, "{}{middle}{}{counter}", cut(head, head_room), cut(label, label_room));
    name
}

/// As much of a text as fits into so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// FNV-1a, folded to 32 bits: the names must be the same on every machine and in every version.
fn hash(parts: &[&str]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    ((hash >> 32) ^ (hash & 0xffff_ffff)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_gets_the_name_that_postgresql_would_give() {
        for (partition, table, index, name) in [
            ("events_2026_01", "events", "events_user_id_idx", "events_2026_01_user_id_idx"),
            ("events_2026_01", "events", "by_user", "events_2026_01_by_user"),
            ("a\"b.c 1", "a\"b.c", "a\"b.c_Größe_idx", "a\"b.c 1_Größe_idx"),
            // Nothing would be left of it.
            ("p1", "p", "p_", "p1_p_"),
        ] {
            assert_eq!(of_partition(partition, table, index, 0), name);
        }
        assert_eq!(of_partition("p1", "p", "p_x_idx", 2), "p1_x_idx2");
        assert_eq!(of_replacement("p1_x_idx", 0), "p1_x_idx_undo");
    }

    #[test]
    fn long_names_fit_stay_apart_and_are_cut_between_letters() {
        let table = "größenordnungen_".repeat(4);
        let names: std::collections::BTreeSet<String> = (0..2000)
            .map(|n| of_partition(&format!("{}{n:04}", &table[..58]), "t", &"ü".repeat(30), 0))
            .collect();
        assert_eq!(names.len(), 2000);
        assert!(names.iter().all(|n| n.len() <= LONGEST_NAME && n.len() > 55), "{:?}", names.first());
        let long = "x".repeat(63);
        assert!(of_replacement(&long, 0).ends_with("_undo"));
        for attempt in [0, 1, 4_000_000_000] {
            let name = of_partition(&long, "t", &long, attempt);
            assert!(name.len() <= LONGEST_NAME, "{name}");
        }
        assert_ne!(of_partition(&long, "t", &long, 0), of_partition(&long, "t", &long, 1));
    }
}
