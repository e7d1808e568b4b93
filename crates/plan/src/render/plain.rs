//! How does a name from a hostile database reach a terminal? Without its escape sequences.
//!
//! Source: ECMA-48 (C0 and C1 control characters) and Unicode TR 9 (bidirectional formatting).

use std::borrow::Cow;

/// Replaces control characters by what they would be in a string constant, `\x1b` or `\u{202e}`, so
/// that a relation called `ESC[2J` is shown and not obeyed.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_hostile(c) && (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if is_hostile(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_direction_marks_become_visible() {
        assert_eq!(plain("plain Ünïcode 名"), "plain Ünïcode 名");
        assert_eq!(plain("\u{1b}[2Jx\u{9b}31m\n"), "\\x1b[2Jx\\x9b31m\\n");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
    }
}
