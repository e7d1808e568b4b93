//! What stands in for a word, where shorter words stand before longer ones and equally long ones byte by byte?
//! One of the same length in bytes. So stand the keys of `jsonb` objects and the words of a `tsvector`. The same
//! tree of bytes serves binary values, where the order is that of bytes alone.
//!
//! Source: `compareJsonbScalarValue`, `lengthCompareJsonbStringValue` in `jsonb_util.c` and
//! `compare_lexemes` in `ts_typanalyze.c`.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng as _;
use rand::seq::index;

use crate::key::Key;

/// Words of a text are in lower case, and what begins with a digit may be taken for a number.
const SMALL: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Stand-ins for words.
pub(crate) fn words(all: &BTreeSet<String>, key: &Key) -> BTreeMap<String, String> {
    let mut by_length: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    for word in all.iter().filter(|w| !w.is_empty()) {
        by_length.entry(word.len()).or_default().push(word.as_bytes().to_vec());
    }
    let mut map = BTreeMap::from([(String::new(), String::new())]);
    for (length, sources) in by_length {
        let domain = format!("words {length}");
        let mut stand_ins = replaced(&sources, SMALL, key, &domain);
        if stand_ins.contains(&None) {
            stand_ins = replaced(&sources, LETTERS, key, &domain);
        }
        for (source, stand_in) in sources.into_iter().zip(stand_ins) {
            if let (Ok(source), Some(Ok(stand_in))) =
                (String::from_utf8(source), stand_in.map(String::from_utf8))
            {
                map.insert(source, stand_in);
            }
        }
    }
    map
}

/// Stand-ins for distinct byte strings in order, of the same lengths and in the same order. `None` where more
/// bytes follow one beginning than there are letters.
pub(crate) fn replaced(sources: &[Vec<u8>], letters: &[u8], key: &Key, domain: &str) -> Vec<Option<Vec<u8>>> {
    let mut out = vec![Some(Vec::new()); sources.len()];
    // Ranges of strings that begin alike, and how many bytes of them are done.
    let mut open = vec![(0..sources.len(), 0_usize)];
    while let Some((range, depth)) = open.pop() {
        let Some(first) = sources.get(range.start) else { continue };
        let mut random = key.stream(domain, &first[..depth.min(first.len())]);
        // A string that ends here stands first, and is done.
        let start = range.start + usize::from(first.len() == depth);
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        for at in start..range.end {
            match runs.last_mut() {
                Some(run) if sources[run.start].get(depth) == sources[at].get(depth) => run.end = at + 1,
                _ => runs.push(at..at + 1),
            }
        }
        if runs.len() > letters.len() {
            out[start..range.end].fill(None);
            continue;
        }
        let mut chosen = index::sample(&mut random, letters.len(), runs.len()).into_vec();
        chosen.sort_unstable();
        for (run, letter) in runs.into_iter().zip(chosen) {
            if run.len() == 1 {
                let left = sources[run.start].len() - depth - 1;
                let tail = (0..left).map(|_| letters[random.random_range(0..letters.len())]);
                let tail: Vec<u8> = std::iter::once(letters[letter]).chain(tail).collect();
                if let Some(done) = &mut out[run.start] {
                    done.extend(tail);
                }
                continue;
            }
            for done in out[run.clone()].iter_mut().flatten() {
                done.push(letters[letter]);
            }
            open.push((run, depth + 1));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_keep_length_and_order(all in proptest::collection::btree_set("[a-zäß_]{0,6}", 0..80)) {
            let map = words(&all, &Key::new([1; 32]));
            let mut sorted: Vec<&String> = all.iter().collect();
            sorted.sort_by_key(|w| (w.len(), w.as_bytes()));
            let mapped: Vec<&String> = sorted.iter().map(|w| &map[*w]).collect();
            for (word, stand_in) in sorted.iter().zip(&mapped) {
                prop_assert_eq!(word.len(), stand_in.len());
            }
            for pair in mapped.windows(2) {
                prop_assert!((pair[0].len(), pair[0].as_bytes()) < (pair[1].len(), pair[1].as_bytes()), "{:?}", pair);
            }
        }
    }

    #[test]
    fn words_that_begin_alike_do_so_afterwards() {
        let all: BTreeSet<String> = ["model_one", "model_two"].map(String::from).into();
        let map = words(&all, &Key::new([1; 32]));
        assert_eq!(map["model_one"][..6], map["model_two"][..6]);
        assert_ne!(map["model_one"], "model_one");
    }
}
