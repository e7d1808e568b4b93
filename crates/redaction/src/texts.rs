//! What stands in for a text? One of the same length that begins alike with those that its source begins alike
//! with, made of digits and small letters.
//!
//! Collations differ in nearly everything but this: digits come before letters, letters from a to z, and what
//! ends comes before what goes on. So stand-ins are in order under every collation, given in which order the
//! sources are. Signs and blanks that all of a group have in common stay where they are, because they part a
//! text into words; those that all collations put before digits also where others have letters.

use std::collections::BTreeMap;

use rand::seq::index;

use crate::key::Key;

/// Without letters that some language sorts as one with their neighbour (ch, ll, ng, dd, aa, sz, …).
const LETTERS: &[u8] = b"0123456789bcegikmoprtuvx";
/// Signs that stay.
const SIGNS: &str = " -./,:@#+_()";

/// Stand-ins for texts that come in the order of their collation, without duplicates.
pub(crate) fn replaced(sorted: &[String], key: &Key, domain: &str) -> BTreeMap<String, String> {
    let sources: Vec<Vec<char>> = sorted.iter().map(|s| s.chars().collect()).collect();
    let mut out: Vec<String> = vec![String::new(); sources.len()];
    // Groups whose stand-ins begin alike, and up to where their sources are read.
    let mut open = vec![(0..sources.len(), 0_usize)];
    while let Some((range, depth)) = open.pop() {
        let Some(first) = sources.get(range.start) else { continue };
        let mut seed = first[..depth.min(first.len())].iter().collect::<String>().into_bytes();
        seed.extend(out[range.start].as_bytes());
        let mut random = key.stream(domain, &seed);
        if range.len() == 1 {
            let length = sorted[range.start].len();
            finish(&mut out[range.start], &first[depth.min(first.len())..], length, &mut random);
            continue;
        }
        let ended = first.len() <= depth && !out[range.start].is_empty() || first.is_empty();
        let start = range.start + usize::from(ended);
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        for at in start..range.end {
            match runs.last_mut() {
                Some(run) if sources[run.start].get(depth) == sources[at].get(depth) => run.end = at + 1,
                _ => runs.push(at..at + 1),
            }
        }
        let sign_of = |run: &std::ops::Range<usize>| {
            sources[run.start].get(depth).copied().filter(|c| SIGNS.contains(*c))
        };
        if let ([only], Some(sign)) = (runs.as_slice(), runs.first().and_then(sign_of)) {
            out[only.clone()].iter_mut().for_each(|o| o.push(sign));
            open.push((only.clone(), depth + 1));
            continue;
        }
        // More runs than letters share some, and are parted by the next letter.
        let groups = share_out(&runs, LETTERS.len());
        let mut chosen = index::sample(&mut random, LETTERS.len(), groups.len()).into_vec();
        chosen.sort_unstable();
        for (group, letter) in groups.into_iter().zip(chosen) {
            let (members, is_run) = group;
            let width = match is_run {
                true => sources[members.start].get(depth).map_or(1, |c| c.len_utf8()),
                false => 1,
            };
            let more: String = (1..width).map(|_| char::from(any_letter(&mut random))).collect();
            for stand_in in &mut out[members.clone()] {
                stand_in.push(char::from(LETTERS[letter]));
                stand_in.push_str(&more);
            }
            open.push((members, if is_run { depth + 1 } else { depth }));
        }
    }
    sorted.iter().cloned().zip(out).collect()
}

fn any_letter(random: &mut impl rand::Rng) -> u8 {
    LETTERS[random.random_range(0..LETTERS.len())]
}

/// Neighbouring runs together, so that there are no more groups than that; and whether a group is one run.
fn share_out(runs: &[std::ops::Range<usize>], most: usize) -> Vec<(std::ops::Range<usize>, bool)> {
    let each = runs.len().div_ceil(most).max(1);
    runs.chunks(each).map(|c| (c[0].start..c[c.len() - 1].end, c.len() == 1)).collect()
}

/// The rest of a text that nothing else begins alike with, up to a length.
fn finish(out: &mut String, rest: &[char], length: usize, random: &mut impl rand::Rng) {
    for letter in rest {
        if out.len() >= length {
            return;
        }
        if SIGNS.contains(*letter) && !out.is_empty() {
            out.push(*letter);
        } else {
            for _ in 0..letter.len_utf8() {
                out.push(char::from(any_letter(random)));
            }
        }
    }
}

/// What a text becomes that was not among the sources, for instance the beginning in a pattern: as the texts
/// begin that it begins. `sources` are texts with their stand-ins.
pub(crate) fn beginning(sources: &BTreeMap<String, String>, text: &str, key: &Key) -> String {
    let mut random = key.stream("beginnings", text.as_bytes());
    let from = std::ops::Bound::Included(text.to_owned());
    let known = sources.range((from, std::ops::Bound::Unbounded)).next().filter(|(s, _)| s.starts_with(text));
    let stand_in = known.and_then(|(_, stand_in)| stand_in.get(..text.len()));
    stand_in.map_or_else(
        || {
            let mut out = String::new();
            finish(&mut out, &text.chars().collect::<Vec<_>>(), text.len(), &mut random);
            out
        },
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_is_kept_under_a_collation_that_is_not_that_of_bytes(
            all in proptest::collection::btree_set("[a-zA-Z0-9 .äß-]{0,7}", 0..150)
        ) {
            // Letters of either case together, as dictionaries have them.
            let mut sorted: Vec<String> = all.into_iter().collect();
            sorted.sort_by_key(|t| (t.to_lowercase(), t.clone()));
            let map = replaced(&sorted, &Key::new([9; 32]), "t");
            let stand_ins: Vec<&String> = sorted.iter().map(|t| &map[t]).collect();
            for pair in stand_ins.windows(2) {
                prop_assert!(pair[0] < pair[1], "{:?}", pair);
            }
        }
    }

    #[test]
    fn lengths_beginnings_and_words_are_kept() {
        let sorted: Vec<String> =
            ["", "fraud-exp-001", "fraud-exp-002", "größe", "label 17", "label 9", "User@example.com"]
                .map(String::from)
                .to_vec();
        let map = replaced(&sorted, &Key::new([9; 32]), "t");
        for (text, stand_in) in &map {
            assert_eq!(text.len(), stand_in.len(), "{text} {stand_in}");
            assert!(text.is_empty() || text != stand_in);
        }
        assert_eq!(map["fraud-exp-001"][..12], map["fraud-exp-002"][..12]);
        assert_eq!(map["label 9"].find(' '), Some(5));
        assert_eq!(map["User@example.com"].find('@'), Some(4));
        assert_eq!(beginning(&map, "fraud-", &Key::new([9; 32])), map["fraud-exp-001"][..6]);
        assert_eq!(beginning(&map, "zz-", &Key::new([9; 32])).len(), 3);
    }
}
