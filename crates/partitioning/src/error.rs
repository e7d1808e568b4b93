//! What is wrong with a partition set?

/// Why a set, a pattern or a key cannot be worked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such zone in the IANA database.
    #[error("\"{0}\" is no time zone of the IANA database")]
    TimeZone(String),
    /// Key and interval do not go together.
    #[error("a key of kind {kind} cannot be divided by \"{interval}\"")]
    Interval {
        /// The key's kind.
        kind: &'static str,
        /// The interval.
        interval: String,
    },
    /// Two partitions would have one name, or none has one.
    #[error("naming pattern \"{pattern}\" {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it, in words that follow it.
        problem: String,
    },
    /// A text is no key of this kind.
    #[error("\"{text}\" is no finite {kind}")]
    Key {
        /// The text.
        text: String,
        /// The key's kind.
        kind: &'static str,
    },
    /// Outside of the years 1 to 9998, or of the numbers of the key's type.
    #[error("key {0} is out of the range that partitions are made for")]
    OutOfRange(i64),
    /// More partitions than asked for at most.
    #[error("more than {0} partitions would be needed")]
    TooMany(usize),
}
