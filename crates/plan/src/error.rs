//! What can be wrong with a text that should be the output of `EXPLAIN (FORMAT JSON)`?

/// Why a plan could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The text is not JSON.
    #[error("plan is not valid JSON")]
    Json(#[from] serde_json::Error),
    /// The JSON is something else than EXPLAIN prints.
    #[error("JSON is not the output of EXPLAIN (FORMAT JSON)")]
    NotExplain {
        /// What was found where.
        found: String,
    },
    /// `EXPLAIN` of a utility statement, which has no plan.
    #[error("statement has no plan")]
    Utility,
    /// A plan in text format ends in the middle.
    #[error("plan is cut off at line {line}")]
    CutOff {
        /// The last line, counted from 1.
        line: usize,
        /// How that is seen, as a sentence.
        what: String,
    },
    /// A line of a plan in text format is neither a node nor a property.
    #[error("line {line} is not part of a plan")]
    Text {
        /// Counted from 1.
        line: usize,
        /// How it begins.
        text: String,
    },
    /// A format of EXPLAIN that is not read.
    #[error("plan is in {format}")]
    Format {
        /// `XML` or `YAML`.
        format: &'static str,
    },
    /// JSON of many levels that is not valid.
    #[error("plan is not valid JSON at line {line}")]
    DeepJson {
        /// Counted from 1.
        line: usize,
    },
    /// A quotation mark is not closed; the reader of the text format then reads without them.
    #[error("plan ends inside of quotation marks")]
    OpenQuote,
    /// The file or standard input could not be read.
    #[error("plan could not be read")]
    Io(#[from] std::io::Error),
    /// More nodes or levels than any real plan has.
    #[error("plan has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of: `nodes` or `levels`.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
}

impl PlanError {
    /// A sentence with the particulars.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Json(error) => Some(format!("The JSON parser said: {error}.")),
            Self::NotExplain { found } => Some(format!("Found {found}.")),
            Self::Utility => Some(
                "PostgreSQL plans SELECT, INSERT, UPDATE, DELETE, MERGE and CREATE TABLE AS only.".into(),
            ),
            Self::CutOff { what, .. } => Some(what.clone()).filter(|w| !w.is_empty()),
            Self::Text { text, .. } => Some(format!("It begins with \"{text}\".")),
            Self::Format { .. } => None,
            Self::DeepJson { .. } => Some("A bracket, a quotation mark or a value is missing there.".into()),
            Self::OpenQuote => None,
            Self::Io(error) => Some(format!("{error}.")),
            Self::TooLarge { .. } => None,
        }
    }

    /// A sentence that says what to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Json(_) | Self::NotExplain { .. } => Some(
                "Use the output of EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON), unaligned: psql -XAt.".into(),
            ),
            Self::CutOff { .. } => Some("Copy the whole plan, to its last line.".into()),
            Self::Text { .. } => {
                Some("Give the plan alone, as EXPLAIN printed it, with its indentation.".into())
            }
            Self::Format { .. } => Some(
                "Ask for FORMAT JSON or FORMAT TEXT; in auto_explain, set auto_explain.log_format = json."
                    .into(),
            ),
            Self::DeepJson { .. } | Self::OpenQuote => Some("Copy the whole plan, to its last line.".into()),
            Self::Utility | Self::TooLarge { .. } | Self::Io(_) => None,
        }
    }
}
