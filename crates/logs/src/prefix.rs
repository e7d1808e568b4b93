//! Where does a line of a stderr log begin to speak, and who wrote it? `log_line_prefix`, given or found out.
//!
//! Source: "Error Reporting and Logging" of the manual (the escapes of `log_line_prefix`), and
//! `log_status_format()` and `send_message_to_server_log()` in elog.c.

use crate::entry::{Origin, Severity, find, read_time};
use crate::error::LogError;

/// What a line is, by the word after the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// An entry begins.
    Entry(Severity),
    /// A further part of the entry above.
    Part(Part),
}

/// The further parts of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Detail,
    Hint,
    Context,
    Statement,
    /// QUERY, LOCATION and BACKTRACE, which nothing here needs.
    Other,
}

/// The beginning of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub origin: Origin<'a>,
    pub label: Label,
    /// Where the text begins in the line.
    pub text_at: usize,
}

/// How lines begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// A setting of `log_line_prefix`.
    Setting {
        /// The setting.
        text: String,
        /// Its parts.
        parts: Vec<Piece>,
    },
    /// Any other: the severity is looked for, and before it a time, a process id in brackets and `name=value`.
    Guessed,
}

/// A piece of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands as it is.
    Literal(Vec<u8>),
    /// An escape, by its letter.
    Field(u8),
    /// `%q`: processes without a session write nothing beyond.
    Stop,
}

/// Settings that are widely used, tried in this order when none is given: PostgreSQL's default, Debian's,
/// those that pgBadger's manual asks for, and those of hosting services.
const KNOWN: &[&str] = &[
    "%m [%p] ",
    "%m [%p] %q%u@%d ",
    "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
    "%m [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%m [%p]: user=%u,db=%d,app=%a,client=%h ",
    "%t:%r:%u@%d:[%p]:",
    "%m:%r:%u@%d:[%p]:%l:%e:%s:%v:%x:%c:%q%a:",
    "%t [%p]: [%l-1] user=%u,db=%d ",
    "%t [%p]: user=%u,db=%d ",
    "%t [%p]: [%l-1] ",
    "%t [%p]: [%l] ",
    "%t [%p]: ",
    "%m [%p]: [%l-1] ",
    "%m [%p]: ",
    "%t [%p] %q%u@%d ",
    "%t [%p-%l] %q%u@%d ",
    "%m [%p] %q%u@%d/%a ",
    "%m [%p] %q[user=%u,db=%d,app=%a] ",
    "%m [%p] %u@%d ",
    "%m [%p] %e ",
    "%t ",
    "%m ",
    "%n [%p] ",
    "",
];

/// Lines of a file that are looked at to find out its prefix.
const SAMPLED_LINES: usize = 2_000;

/// How often a text field may be extended before a line is given up.
const MAX_TRIES: u32 = 200;

impl Prefix {
    /// Reads a setting of `log_line_prefix`.
    ///
    /// # Errors
    /// Fails when it has an escape that no version of PostgreSQL knows.
    pub fn read(setting: &str) -> Result<Self, LogError> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut bytes = setting.bytes().peekable();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                literal.push(byte);
                continue;
            }
            // `%-10u` pads; the padding is taken off the value.
            while bytes.peek().is_some_and(|b| *b == b'-' || b.is_ascii_digit()) {
                bytes.next();
            }
            let piece = match bytes.next() {
                Some(b'%') => {
                    literal.push(b'%');
                    continue;
                }
                Some(b'q') => Piece::Stop,
                Some(letter) if b"adubhrpPtmnileQscvxL".contains(&letter) => Piece::Field(letter),
                other => {
                    let escape = other.map(|b| char::from(b).to_string()).unwrap_or_default();
                    return Err(LogError::Prefix {
                        setting: setting.to_owned(),
                        escape: format!("%{escape}"),
                    });
                }
            };
            if !literal.is_empty() {
                parts.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            parts.push(piece);
        }
        if !literal.is_empty() {
            parts.push(Piece::Literal(literal));
        }
        Ok(Self::Setting { text: setting.to_owned(), parts })
    }

    /// Finds out how the lines of a text begin; nothing when no line reads like an entry.
    pub fn detect(text: &[u8]) -> Option<Self> {
        let lines = || text.split(|b| *b == b'\n').filter(|l| l.first() != Some(&b'\t')).take(SAMPLED_LINES);
        let matched = |prefix: &Self| lines().filter(|l| prefix.head(l).is_some()).count();
        let guessed = matched(&Self::Guessed);
        if guessed == 0 {
            return None;
        }
        let mut best = (0, Self::Guessed);
        for setting in KNOWN {
            let Ok(prefix) = Self::read(setting) else { continue };
            // A name that holds `,client=` is a setting with more in it.
            let is_name = |n: &[u8]| !n.iter().any(|b| matches!(b, b'=' | b','));
            let fits = |h: Head<'_>| is_name(h.origin.user) && is_name(h.origin.database);
            let count = lines().filter(|l| prefix.head(l).is_some_and(fits)).count();
            if count > best.0 {
                best = (count, prefix);
            }
        }
        // A setting that explains nearly all of them says more than a guess.
        Some(if best.0 * 20 >= guessed * 19 { best.1 } else { Self::Guessed })
    }

    /// The setting, as far as it is known.
    pub fn setting(&self) -> Option<&str> {
        match self {
            Self::Setting { text, .. } => Some(text),
            Self::Guessed => None,
        }
    }

    /// Reads the beginning of a line, if it has one: other lines continue the one above.
    pub(crate) fn head<'a>(&self, line: &'a [u8]) -> Option<Head<'a>> {
        match self {
            Self::Setting { parts, .. } => {
                let (mut origin, mut tries) = (Origin::default(), 0);
                read_parts(parts, line, 0, &mut origin, &mut tries)
            }
            Self::Guessed => guess(line),
        }
    }
}

fn read_parts<'a>(
    parts: &[Piece],
    line: &'a [u8],
    at: usize,
    origin: &mut Origin<'a>,
    tries: &mut u32,
) -> Option<Head<'a>> {
    let Some((piece, rest)) = parts.split_first() else { return labelled(line, at, origin) };
    let text = &line[at..];
    match piece {
        Piece::Literal(literal) => {
            let skipped = if text.starts_with(literal) { literal.len() } else { return None };
            read_parts(rest, line, at + skipped, origin, tries)
        }
        Piece::Stop => labelled(line, at, origin).or_else(|| read_parts(rest, line, at, origin, tries)),
        Piece::Field(letter) => {
            if let Some(length) = read_fixed(*letter, text, origin) {
                return read_parts(rest, line, at + length, origin, tries);
            }
            if is_fixed(*letter) {
                return None;
            }
            // A text reaches to the next literal from which on the line can be read.
            let mut end = 0;
            loop {
                *tries += 1;
                if *tries > MAX_TRIES {
                    return None;
                }
                match rest.first() {
                    Some(Piece::Literal(literal)) => end += find(&text[end..], literal)?,
                    _ if end > text.len() => return None,
                    _ => {}
                }
                let value = trimmed(&text[..end]);
                set_text(*letter, value, origin);
                // No address has a blank or a comma; names may have both.
                let is_possible =
                    !matches!(letter, b'h' | b'r') || !value.iter().any(|b| matches!(b, b' ' | b','));
                if is_possible && let Some(head) = read_parts(rest, line, at + end, origin, tries) {
                    return Some(head);
                }
                // What was read beyond before it went wrong is not so.
                rest.iter().for_each(|piece| forget(piece, origin));
                end += 1;
                if end > text.len() {
                    return None;
                }
            }
        }
    }
}

fn is_fixed(letter: u8) -> bool {
    b"tmnplPexQs".contains(&letter)
}

/// Reads an escape whose form is fixed, and says how long it is.
fn read_fixed<'a>(letter: u8, text: &'a [u8], origin: &mut Origin<'a>) -> Option<usize> {
    let blanks = text.iter().take_while(|b| **b == b' ').count();
    let digits = || text[blanks..].iter().take_while(|b| b.is_ascii_digit()).count();
    match letter {
        b't' | b'm' | b's' => {
            let (time, zone, rest) = read_time(text)?;
            if letter != b's' {
                (origin.time_ms, origin.zone) = (Some(time), zone);
            }
            Some(text.len() - rest.len())
        }
        b'n' => {
            let whole = digits();
            let seconds: i64 = std::str::from_utf8(text.get(blanks..blanks + whole)?).ok()?.parse().ok()?;
            let mut length = blanks + whole;
            let mut ms = 0;
            if let Some([b'.', fraction @ ..]) = text.get(length..length + 4) {
                ms = std::str::from_utf8(fraction).ok()?.parse().ok()?;
                length += 4;
            }
            (origin.time_ms, origin.zone) = (Some(seconds.checked_mul(1000)? + ms), b"UTC");
            Some(length)
        }
        b'p' | b'l' | b'P' | b'x' | b'Q' => {
            let sign = usize::from(letter == b'Q' && text.get(blanks) == Some(&b'-'));
            let count = text[blanks + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
            // A process that is no parallel worker has no leader.
            if count == 0 && letter != b'P' {
                return None;
            }
            let end = blanks + sign + count;
            if letter == b'p' {
                origin.pid = std::str::from_utf8(&text[blanks..end]).ok()?.parse().ok();
            }
            Some(if count == 0 { 0 } else { end })
        }
        b'e' => {
            let state = text.get(..5)?;
            if !state.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) {
                return None;
            }
            origin.sqlstate = state;
            Some(5)
        }
        _ => None,
    }
}

fn set_text<'a>(letter: u8, value: &'a [u8], origin: &mut Origin<'a>) {
    let known = if value == b"[unknown]" { &value[..0] } else { value };
    match letter {
        b'u' => origin.user = known,
        b'd' => origin.database = known,
        b'a' => origin.application = known,
        b'h' | b'r' => origin.host = known,
        b'c' => origin.session = known,
        _ => {}
    }
}

/// Takes back what a piece read.
fn forget(piece: &Piece, origin: &mut Origin<'_>) {
    match piece {
        Piece::Field(b't' | b'm' | b'n') => (origin.time_ms, origin.zone) = (None, b""),
        Piece::Field(b'p') => origin.pid = None,
        Piece::Field(b'e') => origin.sqlstate = b"",
        Piece::Field(letter) => set_text(*letter, b"", origin),
        Piece::Literal(_) | Piece::Stop => {}
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// Reads `LABEL:  ` and with `log_error_verbosity = verbose` the SQLSTATE after it.
fn labelled<'a>(line: &'a [u8], at: usize, origin: &Origin<'a>) -> Option<Head<'a>> {
    let text = &line[at..];
    let length = text.iter().take(10).position(|b| *b == b':')?;
    let label = label(&text[..length])?;
    let mut text_at = at + length + 1;
    let blanks = line[text_at..].iter().take(2).take_while(|b| **b == b' ').count();
    // Trailing blanks may have been trimmed off an empty message.
    if blanks < 2 && text_at + blanks < line.len() {
        return None;
    }
    text_at += blanks;
    let mut origin = *origin;
    if let (Label::Entry(_), Some(state)) = (label, line.get(text_at..text_at + 7))
        && &state[5..] == b": "
        && state[..5].iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && state[0].is_ascii_digit() | state[1].is_ascii_digit() | state[4].is_ascii_digit()
    {
        origin.sqlstate = &state[..5];
        text_at += 7;
    }
    Some(Head { origin, label, text_at })
}

fn label(word: &[u8]) -> Option<Label> {
    Some(match word {
        b"DETAIL" => Label::Part(Part::Detail),
        b"HINT" => Label::Part(Part::Hint),
        b"CONTEXT" => Label::Part(Part::Context),
        b"STATEMENT" => Label::Part(Part::Statement),
        b"QUERY" | b"LOCATION" | b"BACKTRACE" => Label::Part(Part::Other),
        _ => Label::Entry(Severity::read(word)?),
    })
}

/// Reads a line whose prefix is not known: everything before the first word that is a label.
fn guess(line: &[u8]) -> Option<Head<'_>> {
    for colon in memchr::memmem::find_iter(line, b":  ") {
        let start = line[..colon].iter().rposition(|b| !b.is_ascii_alphanumeric()).map_or(0, |p| p + 1);
        let Some(head) = labelled(line, start, &Origin::default()) else { continue };
        let prefix = &line[..start];
        let mut origin = head.origin;
        for at in 0..prefix.len().saturating_sub(18) {
            if prefix[at].is_ascii_digit()
                && let Some((time, zone, _)) = read_time(&prefix[at..])
            {
                (origin.time_ms, origin.zone) = (Some(time), zone);
                break;
            }
        }
        origin.pid = bracketed(prefix);
        for (names, letter) in [
            (&[&b"user="[..], b"usr=", b"u="][..], b'u'),
            (&[&b"db="[..], b"database=", b"dbname="][..], b'd'),
            (&[&b"app="[..], b"application="][..], b'a'),
            (&[&b"client="[..], b"host=", b"remote="][..], b'h'),
        ] {
            if let Some(value) = names.iter().find_map(|name| named(prefix, name)) {
                set_text(letter, value, &mut origin);
            }
        }
        if origin.user.is_empty()
            && let Some(at) = prefix.iter().position(|b| *b == b'@')
        {
            let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
            let from = prefix[..at].iter().rposition(|b| !is_name(b)).map_or(0, |p| p + 1);
            let to = prefix[at + 1..].iter().position(|b| !is_name(b)).map_or(prefix.len(), |p| at + 1 + p);
            set_text(b'u', &prefix[from..at], &mut origin);
            set_text(b'd', &prefix[at + 1..to], &mut origin);
        }
        return Some(Head { origin, ..head });
    }
    None
}

/// The first number in brackets: `[4711]`, `[4711-1]`.
fn bracketed(prefix: &[u8]) -> Option<u32> {
    for open in memchr::memchr_iter(b'[', prefix) {
        let rest = &prefix[open + 1..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 && matches!(rest.get(digits), Some(b']' | b'-')) {
            return std::str::from_utf8(&rest[..digits]).ok()?.parse().ok();
        }
    }
    None
}

/// The value after `name=`, to the next separator.
fn named<'a>(prefix: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memmem::find_iter(prefix, name)
        .find(|at| *at == 0 || !prefix[at - 1].is_ascii_alphanumeric())?;
    let rest = &prefix[at + name.len()..];
    let end = rest
        .iter()
        .position(|b| matches!(b, b',' | b' ' | b';' | b'|' | b']' | b')' | b'>'))
        .unwrap_or(rest.len());
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(prefix: &Prefix, line: &str) -> Option<String> {
        let head = prefix.head(line.as_bytes())?;
        let o = head.origin;
        let word = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Some(format!(
            "{:?} {:?} {:?} u={} d={} a={} h={} e={} | {:?} {}",
            o.time_ms,
            word(o.zone),
            o.pid,
            word(o.user),
            word(o.database),
            word(o.application),
            word(o.host),
            word(o.sqlstate),
            head.label,
            &line[head.text_at..]
        ))
    }

    fn check(setting: &str, line: &str, expected: &str) {
        assert_eq!(
            read(&Prefix::read(setting).unwrap(), line).as_deref(),
            Some(expected),
            "{setting}: {line}"
        );
    }

    #[test]
    fn settings_are_read() {
        check(
            "%m [%p] %q%u@%d ",
            "1970-01-01 00:00:01.500 CET [42] bob@shop ERROR:  no",
            "Some(1500) \"CET\" Some(42) u=bob d=shop a= h= e= | Entry(Error) no",
        );
        check(
            "%m [%p] %q%u@%d ",
            "1970-01-01 00:00:01.500 CET [42] LOG:  checkpoint starting: time",
            "Some(1500) \"CET\" Some(42) u= d= a= h= e= | Entry(Log) checkpoint starting: time",
        );
        check(
            "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
            "1970-01-01 00:00:01 UTC [42]: [7-1] user=a b,db=[unknown],app=x,client= y,client=[local] LOG:  hi",
            "Some(1000) \"UTC\" Some(42) u=a b d= a=x,client= y h=[local] e= | Entry(Log) hi",
        );
        check(
            "%t:%r:%u@%d:[%p]:",
            "1970-01-01 00:00:01 UTC:10.0.0.1(5000):bob@shop:[42]:STATEMENT:  select 1",
            "Some(1000) \"UTC\" Some(42) u=bob d=shop a= h=10.0.0.1(5000) e= | Part(Statement) select 1",
        );
        check(
            "%n %-8u|%e %% ",
            "17.250 bob     |42P01 % FATAL:  x",
            "Some(17250) \"UTC\" None u=bob d= a= h= e=42P01 | Entry(Fatal) x",
        );
        check("", "LOG:  42P01: relation", "None \"\" None u= d= a= h= e=42P01 | Entry(Log) relation");
    }

    #[test]
    fn what_is_no_beginning_is_not_read_as_one() {
        let prefix = Prefix::read("%m [%p] ").unwrap();
        for line in
            ["", "\tLOG:  x", "1970-01-01 00:00:01 UTC [x] LOG:  a", "1970-01-01 00:00:01 UTC [1] LOGS:  a"]
        {
            assert_eq!(read(&prefix, line), None, "{line}");
        }
        assert!(Prefix::read("%m %z").is_err() && Prefix::read("%").is_err());
    }

    #[test]
    fn a_prefix_is_found_out() {
        let detect = |text: &str| Prefix::detect(text.as_bytes());
        let debian = "1970-01-01 00:00:01.500 CET [42] LOG:  ready\n1970-01-01 00:00:02.500 CET [43] bob@shop LOG:  duration: 1.0 ms  statement: select\n\t1\n";
        assert_eq!(detect(debian).unwrap().setting(), Some("%m [%p] %q%u@%d "));
        let odd = "<1970-01-01 00:00:01 UTC|db=shop;user=bob|[42]> LOG:  one\n<1970-01-01 00:00:01 UTC|db=;user=|[43]> LOG:  two\n";
        let guessed = detect(odd).unwrap();
        assert_eq!(guessed, Prefix::Guessed);
        assert_eq!(
            read(&guessed, odd.lines().next().unwrap()).unwrap(),
            "Some(1000) \"UTC\" Some(42) u=bob d=shop a= h= e= | Entry(Log) one"
        );
        let more = "1970-01-01 00:00:01 UTC [42]: user=bob,db=shop,client=::1,xid=0 LOG:  hi\n";
        assert_eq!(detect(more), Some(Prefix::Guessed));
        assert_eq!(detect("no log\nat all: x\n"), None);
    }

    #[test]
    fn long_lines_that_nearly_fit_do_not_take_for_ever() {
        let prefix = Prefix::read("%a,%a,%a,%a,%a,%a ").unwrap();
        let line = ",".repeat(100_000);
        assert!(prefix.head(line.as_bytes()).is_none());
    }
}
