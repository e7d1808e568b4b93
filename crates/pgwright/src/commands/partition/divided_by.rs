//! What does a person write behind `--by`? A column, for ranges of it, or `list(column)` and `hash(column, n)`.

use std::str::FromStr;

use apply::partition_conversion::DividedBy;
use model::partition_set::Interval;
use model::{Division, quote_identifier};

use crate::error::CommandError;

/// A column and how it divides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct By {
    column: String,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Range,
    List,
    Hash(u32),
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ranges = || Self { column: text.to_owned(), how: How::Range };
        let Some((word, inside)) = text.trim().strip_suffix(')').and_then(|t| t.split_once('(')) else {
            return Ok(ranges());
        };
        let (column, how) = match word.trim().to_lowercase().as_str() {
            "range" => (inside, How::Range),
            "list" => (inside, How::List),
            "hash" => {
                let wrong = || format!("\"{text}\" does not say how many partitions; write hash(column, 16)");
                let (column, number) = inside.rsplit_once(',').ok_or_else(wrong)?;
                (column, How::Hash(number.trim().parse().map_err(|_| wrong())?))
            }
            // The name of a column may look like that.
            _ => return Ok(ranges()),
        };
        let column = column.trim();
        let quoted = column.strip_prefix('"').and_then(|c| c.strip_suffix('"')).filter(|c| !c.is_empty());
        let column = quoted.map_or_else(|| column.to_owned(), |inside| inside.replace("\"\"", "\""));
        if column.is_empty() {
            return Err(format!("\"{text}\" names no column"));
        }
        Ok(Self { column, how })
    }
}

impl By {
    /// The column and what it is divided into.
    pub(super) fn with(&self, interval: Option<&Interval>) -> Result<(String, DividedBy), CommandError> {
        let by = match (self.how, interval) {
            (How::Range, Some(interval)) => DividedBy::Range(interval.clone()),
            (How::Range, None) => {
                return Err(CommandError::new("ranges need --interval").hint(
                    "For instance --interval month; --by 'list(column)' and --by 'hash(column, 16)' need none.",
                ));
            }
            (How::List | How::Hash(_), Some(_)) => {
                return Err(CommandError::new("--interval is for ranges").hint("Leave it out."));
            }
            (How::List, None) => DividedBy::List,
            (How::Hash(parts), None) => DividedBy::Hash(parts),
        };
        Ok((self.column.clone(), by))
    }
}

/// The words behind `--by` for a division.
pub(super) fn written(division: &Division) -> String {
    let quoted = quote_identifier(&division.key).to_string();
    match &division.interval {
        Interval::Values(_) => format!("list({quoted})"),
        Interval::Remainders(parts) => format!("hash({quoted}, {parts})"),
        Interval::Time { .. } | Interval::Numbers(_) => match division.key.parse::<By>() {
            Ok(By { column, how: How::Range }) if column == division.key => column,
            _ => format!("range({quoted})"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_a_person_writes_it() {
        for (text, column, how) in [
            ("created_at", "created_at", How::Range),
            ("At Time", "At Time", How::Range),
            ("f(x)", "f(x)", How::Range),
            ("range(a)", "a", How::Range),
            ("list(status)", "status", How::List),
            (" LIST ( \"a\"\"b,c\" ) ", "a\"b,c", How::List),
            ("hash(id, 16)", "id", How::Hash(16)),
            ("hash(\"a,b\",4)", "a,b", How::Hash(4)),
        ] {
            assert_eq!(text.parse(), Ok(By { column: column.into(), how }), "{text}");
        }
        for text in ["hash(id)", "hash(id, many)", "hash(, 4)", "list()"] {
            assert!(text.parse::<By>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_written_so_that_it_is_read_again() {
        for key in ["at", "At Time", "list(x)", "hash(y, 2)", "a\"b"] {
            for (interval, how) in [
                (Interval::Numbers(5), How::Range),
                (Interval::Values(Vec::new()), How::List),
                (Interval::Remainders(7), How::Hash(7)),
            ] {
                let division = Division { key: key.into(), kind: model::KeyKind::BigInt, interval };
                let read = written(&division).parse();
                assert_eq!(read, Ok(By { column: key.into(), how }), "{}", written(&division));
            }
        }
    }
}
