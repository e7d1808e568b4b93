//! What do samples say, for who is in the same process? The text of a family back as labels and values.
//!
//! Source: "OpenMetrics 1.0", of which this reads what [`crate::exposition`] writes.

/// One sample of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels in the order in which they are written.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty when it has none of that name.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

/// A line of an exposition: a sample with its name.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub name: &'a str,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// Reads a line; nothing when it is none.
pub(crate) fn line(line: &str) -> Option<Line<'_>> {
    // A name has neither braces nor spaces, so whichever comes first ends it.
    let name = &line[..line.find(['{', ' '])?];
    let Sample { labels, value } = sample(name, line)?;
    Some(Line { name, labels, value })
}

/// Reads labels as they stand within the braces.
pub(crate) fn labels(block: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    let mut rest = block;
    while !rest.is_empty() {
        rest = next_label(rest, &mut labels)?;
    }
    Some(labels)
}

/// Reads the label that a block begins with, and gives what comes after it.
fn next_label<'a>(block: &'a str, labels: &mut Vec<(String, String)>) -> Option<&'a str> {
    let (label, quoted) = block.strip_prefix(',').unwrap_or(block).split_once("=\"")?;
    let (value, length) = unescaped(quoted)?;
    labels.push((label.to_owned(), value));
    quoted.get(length..)
}

/// The samples among lines whose name is `name` exactly: of a histogram `…_bucket`, `…_sum` or `…_count`.
pub(crate) fn read(name: &str, text: &str, into: &mut Vec<Sample>) {
    into.extend(text.lines().filter_map(|line| sample(name, line)));
}

fn sample(name: &str, line: &str) -> Option<Sample> {
    let mut rest = line.strip_prefix(name)?;
    let mut labels = Vec::new();
    if let Some(block) = rest.strip_prefix('{') {
        rest = block;
        loop {
            if let Some(end) = rest.strip_prefix('}') {
                rest = end;
                break;
            }
            rest = next_label(rest, &mut labels)?;
        }
    }
    let value = match rest.strip_prefix(' ')? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().ok()?,
    };
    Some(Sample { labels, value })
}

/// The text up to the closing quote, and how many bytes it took with that quote.
fn unescaped(quoted: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition;

    #[test]
    fn what_was_written_is_read_back() {
        let mut block = String::new();
        exposition::label("table", "a\"b\\c}\n,d=\"<script>", &mut block);
        exposition::label("le", "+Inf", &mut block);
        let mut text = String::new();
        exposition::sample("x", &block, "1.5", &mut text);
        exposition::sample("x_more", "", "2", &mut text);
        exposition::sample("x", "", "+Inf", &mut text);
        let mut read_back = Vec::new();
        read("x", &text, &mut read_back);
        assert_eq!(read_back.len(), 2, "{read_back:?}");
        assert_eq!(read_back[0].label("table"), "a\"b\\c}\n,d=\"<script>");
        assert_eq!(
            (read_back[0].label("le"), read_back[0].label("none"), read_back[0].value),
            ("+Inf", "", 1.5)
        );
        assert_eq!(read_back[1], Sample { labels: Vec::new(), value: f64::INFINITY });
    }
}
