//! What is a new index called? As PostgreSQL itself would: `table_column_idx`, at most 63 bytes.

use std::collections::BTreeSet;

use model::{IndexDefinition, KeyTarget, QualifiedName, Snapshot};

/// `NAMEDATALEN - 1`.
const MAX_BYTES: usize = 63;

/// Names that are taken.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    taken: BTreeSet<(String, String)>,
    /// Whether a name that one schema has is taken in all.
    across_schemas: bool,
}

impl Names {
    /// Indexes share their name space with tables.
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let relations = snapshot.relations.iter().map(|r| &r.name);
        let indexes = snapshot.indexes.iter().map(|i| &i.name);
        let taken = relations.chain(indexes).map(|n| (n.schema.clone(), n.name.clone())).collect();
        Self { taken, across_schemas: false }
    }

    /// Names that are told apart without their schema, as plans show them.
    pub(crate) fn across_schemas(snapshot: &Snapshot) -> Self {
        let mut names = Self { across_schemas: true, ..Self::new(snapshot) };
        names.taken = names.taken.into_iter().map(|(_, name)| (String::new(), name)).collect();
        names
    }

    /// Takes a name that somebody chose; false when something else has it.
    pub(crate) fn take(&mut self, name: &QualifiedName) -> bool {
        self.taken.insert((name.schema.clone(), name.name.clone()))
    }

    /// Chooses a name that nothing else has, and takes it.
    pub(crate) fn choose(&mut self, index: &IndexDefinition) -> String {
        let columns: Vec<&str> = index
            .keys
            .iter()
            .map(|k| match &k.target {
                KeyTarget::Column(name) => name.as_str(),
                KeyTarget::Expression(text) => function_name(text),
            })
            .collect();
        let stem = format!("{}_{}", index.table.name, columns.join("_"));
        for number in 0_u32.. {
            let suffix = if number == 0 { "_idx".to_owned() } else { format!("_idx{number}") };
            let name = format!("{}{suffix}", cut(&stem, MAX_BYTES - suffix.len()));
            let schema = if self.across_schemas { String::new() } else { index.table.schema.clone() };
            if self.taken.insert((schema, name.clone())) {
                return name;
            }
        }
        stem
    }
}

/// `lower(name)` is called `lower`, anything else `expr`, as PostgreSQL does.
fn function_name(expression: &str) -> &str {
    let word: &str = expression.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
    if word.is_empty() || !expression[word.len()..].starts_with('(') { "expr" } else { word }
}

fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(cut("größe", 3), "gr");
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(function_name("lower(name)"), "lower");
        assert_eq!(function_name("(doc ->> 'k')"), "expr");
    }
}
