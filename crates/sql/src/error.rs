//! Why could a statement text not be understood?

/// Why a text is not a statement that can be analysed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The text stops in the middle, as texts cut at `track_activity_query_size` do.
    #[error("statement text is truncated")]
    Truncated {
        /// What the parser said.
        message: String,
    },
    /// PostgreSQL's grammar refuses it.
    #[error("statement is not valid SQL")]
    Invalid {
        /// What the parser said.
        message: String,
    },
    /// There is nothing but white space and comments.
    #[error("statement text is empty")]
    Empty,
    /// Several statements stand in one text.
    #[error("text holds {count} statements instead of one")]
    Several {
        /// How many.
        count: usize,
    },
    /// The parse tree is nested deeper than can be decoded.
    #[error("statement is nested too deeply to be analysed")]
    TooDeep,
}

impl SqlError {
    /// What the parser said, as a sentence.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Truncated { message } | Self::Invalid { message } => {
                Some(format!("The parser says: {message}."))
            }
            _ => None,
        }
    }

    /// What the parser said, as it said it.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Truncated { message } | Self::Invalid { message } => Some(message.clone()),
            other => Some(other.to_string()),
        }
    }

    /// What can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Truncated { .. } => {
                Some("Raise track_activity_query_size (it needs a restart) to keep longer texts.".into())
            }
            Self::Several { .. } => Some("Pass one statement at a time.".into()),
            _ => None,
        }
    }
}

impl From<pg_query::Error> for SqlError {
    fn from(error: pg_query::Error) -> Self {
        match error {
            pg_query::Error::Decode(_) => Self::TooDeep,
            pg_query::Error::Parse(message) | pg_query::Error::Scan(message) => {
                if message.contains("at end of input") || message.contains("unterminated") {
                    Self::Truncated { message }
                } else {
                    Self::Invalid { message }
                }
            }
            other => Self::Invalid { message: other.to_string() },
        }
    }
}
