//! What does a report consist of?

use chrono::{DateTime, Utc};

/// A report: a document, and the data that it tells of.
#[derive(Clone, Debug)]
pub struct Report {
    /// The title.
    pub title: String,
    /// When it was made.
    pub generated_at: DateTime<Utc>,
    /// One or two sentences under the title.
    pub lead: String,
    /// The sections in order.
    pub sections: Vec<Section>,
    /// The name of the data's schema, without `pgwright.`.
    pub schema: &'static str,
    /// The same as data, for the JSON format.
    pub data: serde_json::Value,
}

/// A part of a report under a heading.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// Its content in order.
    pub blocks: Vec<Block>,
}

impl Section {
    /// An empty section.
    pub fn new(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), blocks: Vec::new() }
    }

    /// Adds a paragraph.
    #[must_use]
    pub fn paragraph(mut self, text: impl Into<String>) -> Self {
        self.blocks.push(Block::Paragraph(text.into()));
        self
    }

    /// Adds a sub-heading.
    #[must_use]
    pub fn subheading(mut self, text: impl Into<String>) -> Self {
        self.blocks.push(Block::Subheading(text.into()));
        self
    }

    /// Adds a table; headers that start with `>` are aligned right.
    #[must_use]
    pub fn table(mut self, headers: &[&str], rows: Vec<Vec<String>>) -> Self {
        let headers = headers.iter().map(|h| (*h).to_owned()).collect();
        self.blocks.push(Block::Table { headers, rows });
        self
    }

    /// Adds code.
    #[must_use]
    pub fn code(mut self, language: &str, text: impl Into<String>) -> Self {
        self.blocks.push(Block::Code { language: language.to_owned(), text: text.into() });
        self
    }

    /// Adds a chart. What it shows must stand in a table too: not every format has pictures.
    #[must_use]
    pub fn chart(mut self, chart: StepChart) -> Self {
        self.blocks.push(Block::Chart(chart));
        self
    }

    /// Adds a list.
    #[must_use]
    pub fn list(mut self, items: Vec<String>) -> Self {
        self.blocks.push(Block::List(items));
        self
    }
}

/// A piece of content. Text in it may come from a server and is escaped by the renderer.
#[derive(Clone, Debug)]
pub enum Block {
    /// Running text.
    Paragraph(String),
    /// A heading within a section.
    Subheading(String),
    /// A table.
    Table {
        /// The header cells; `>` at the start aligns the column right.
        headers: Vec<String>,
        /// The rows.
        rows: Vec<Vec<String>>,
    },
    /// Code or a plan, kept as it stands.
    Code {
        /// The language, for highlighting.
        language: String,
        /// The text.
        text: String,
    },
    /// A list.
    List(Vec<String>),
    /// A picture, for formats that have them.
    Chart(StepChart),
}

/// A share that rises in steps, as what a budget buys does.
#[derive(Clone, Debug)]
pub struct StepChart {
    /// What it shows, for those who do not see it.
    pub description: String,
    /// What the horizontal axis is; it is logarithmic.
    pub x_label: String,
    /// What the vertical axis is, from 0 to 100 %.
    pub y_label: String,
    /// The steps, from left to right.
    pub steps: Vec<Step>,
}

/// One step of a chart.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it begins, more than zero.
    pub x: f64,
    /// That in words.
    pub x_text: String,
    /// Its height, from 0 to 1.
    pub share: f64,
    /// What stands beside it.
    pub note: String,
}
