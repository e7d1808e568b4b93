//! Which pattern would somebody search a text with? One that tells it from others.
//!
//! Nobody searches for what every value has: the `https://` of addresses, the "How to" of titles. A pattern made of it would
//! match the whole table, and no index would look like a help. So the part of a text is taken that few of the column's other
//! values have, as far as the bounds of its histogram tell, a sample of about a hundred.

/// At which share of other values a part of a text tells nothing.
const COMMON: f64 = 0.03;
/// How many characters somebody types.
const BEGINNING: usize = 5;
const MIDDLE: usize = 6;
/// A part begins after this many characters, if that tells enough: it is not the beginning.
const SKIPPED: usize = 2;
/// Nobody types more of a beginning than this.
const LONGEST: usize = 40;

/// A part of a text, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub skip: usize,
    pub length: usize,
}

/// The beginning of a text, as long as it has to be.
pub(super) fn beginning(text: &str, others: &[String]) -> Part {
    let text = folded(text);
    let others = others_than(&text, others);
    let lengths = BEGINNING..=text.len().clamp(BEGINNING, LONGEST);
    let rare = |length: &usize| {
        let start = &text[..text.len().min(*length)];
        is_rare(others.iter().filter(|o| o.starts_with(start)).count(), others.len())
    };
    Part { skip: 0, length: lengths.clone().find(rare).unwrap_or(BEGINNING) }
}

/// A part of the middle of a text, where it is like few others.
pub(super) fn middle(text: &str, others: &[String]) -> Part {
    let text = folded(text);
    let others = others_than(&text, others);
    let having = |skip: usize| {
        let part = &text[skip..skip + MIDDLE];
        others.iter().filter(|o| o.windows(MIDDLE).any(|w| w == part)).count()
    };
    let last = text.len().saturating_sub(MIDDLE);
    let mut best = (usize::MAX, SKIPPED);
    for skip in SKIPPED..=last {
        let times = having(skip);
        if times < best.0 {
            best = (times, skip);
        }
        if is_rare(times, others.len()) {
            break;
        }
    }
    Part { skip: best.1, length: MIDDLE }
}

/// What a part of a text looks like as a pattern. A wildcard of the text itself would widen it.
pub(super) fn written(text: &str, part: Part) -> String {
    text.chars().filter(|c| !is_wildcard(*c)).skip(part.skip).take(part.length).collect()
}

fn is_wildcard(c: char) -> bool {
    matches!(c, '%' | '_' | '\\')
}

/// Characters without wildcards and case.
fn folded(text: &str) -> Vec<char> {
    text.chars().filter(|c| !is_wildcard(*c)).map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

fn others_than(text: &[char], others: &[String]) -> Vec<Vec<char>> {
    others.iter().map(|o| folded(o)).filter(|o| o != text).collect()
}

fn is_rare(times: usize, of: usize) -> bool {
    times as f64 <= COMMON * of as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(texts: impl Iterator<Item = String>) -> Vec<String> {
        texts.collect()
    }

    #[test]
    fn what_all_values_have_is_no_pattern() {
        let titles =
            sample((0..100).map(|n| format!("How to word{} and word{}", n * 37 % 100, n * 61 % 100)));
        let title = "How to word77 and WORD12";
        assert_eq!(written(title, beginning(title, &titles)), "How to word77");
        let part = written(title, middle(title, &titles));
        let having = titles.iter().filter(|t| t.to_lowercase().contains(&part.to_lowercase())).count();
        assert!(having <= 3, "{part} is in {having}");
    }

    #[test]
    fn what_differs_from_the_start_is_taken_from_there() {
        let names = sample((0..100).map(|n| format!("{}-x-{}", n * 7919, n)));
        assert_eq!(beginning("Anna Maria", &names), Part { skip: 0, length: 5 });
        assert_eq!(middle("Anna Maria", &names), Part { skip: 2, length: 6 });
        assert_eq!(written("A%n_na Maria", middle("A%n_na Maria", &[])), "na Mar");
    }

    #[test]
    fn short_texts_and_equal_ones() {
        let same = vec!["abcdefghij".to_owned(); 50];
        assert_eq!(written("ab", beginning("ab", &same)), "ab");
        assert_eq!(written("ab", middle("ab", &same)), "");
        assert_eq!(written("", beginning("", &[])), "");
        assert_eq!(beginning("abcdefghijk", &same), Part { skip: 0, length: 11 });
    }
}
