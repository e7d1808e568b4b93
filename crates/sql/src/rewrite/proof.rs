//! Is a pair that somebody wrote equivalent? Both texts are brought into normal form; where these differ, rules whose
//! conditions are proved may close the gap from either side.

use std::collections::BTreeSet;

use serde::Serialize;

use super::facts::{Proofs, Scope};
use super::normal_form::{Normalizer, Style};
use super::tree::{Body, Query};
use super::{RewriteError, Rewriter};

/// Why two statements give the same rows on every database that respects the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// What it rests on: constraints and their like, sorted.
    pub by: Vec<String>,
    /// The rules that closed the gap, in the order in which they were applied to the first statement.
    pub rules: Vec<&'static str>,
}

/// Normal forms that may be compared with one another, and how each was reached.
struct Forms {
    reached: Vec<(Query, Proofs, Vec<&'static str>)>,
}

/// How many trees a rule may be applied to on each side.
const MAX_TREES: usize = 40;

impl Rewriter<'_> {
    /// Proves that two statements are equivalent; `None` when no proof was found, which says nothing else.
    ///
    /// The rows are the same, in the same order where the first one asks for one, with the same column names.
    ///
    /// # Errors
    /// [`RewriteError`] when one of the texts cannot be parsed or taken apart.
    pub fn prove(&self, before: &str, after: &str) -> Result<Option<Proof>, RewriteError> {
        let (before, after) = (self.read(before)?, self.read(after)?);
        if before.output_names() != after.output_names() || !self.same_types(&before, &after) {
            return Ok(None);
        }
        // Where the first text asks for no order, the second one may give any.
        let asked = !before.order.is_empty();
        let Some(mut first) = self.forms(&before, asked) else { return Ok(None) };
        let Some(mut second) = self.forms(&after, asked) else { return Ok(None) };
        if let Some(proof) = meet(&first, &second) {
            return Ok(Some(proof));
        }
        self.widen(&before, &mut first, asked);
        if let Some(proof) = meet(&first, &second) {
            return Ok(Some(proof));
        }
        self.widen(&after, &mut second, asked);
        Ok(meet(&first, &second))
    }

    /// Whether no column is certain to have another type.
    fn same_types(&self, before: &Query, after: &Query) -> bool {
        let of = |query: &Query| types(&Scope::new(&self.facts, query), query);
        match (of(before), of(after)) {
            (Some(a), Some(b)) => {
                a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.is_none() || b.is_none() || a == b)
            }
            _ => true,
        }
    }

    fn forms(&self, root: &Query, asked: bool) -> Option<Forms> {
        let mut reached = Vec::new();
        for style in [Style::Subqueries, Style::Rows] {
            let mut normalizer = Normalizer::new(&self.facts, style, asked);
            if let Ok(form) = normalizer.normal_form(root) {
                reached.push((form, normalizer.used, Vec::new()));
            }
        }
        (!reached.is_empty()).then_some(Forms { reached })
    }

    /// Adds the forms of what proved rules make of a statement.
    fn widen(&self, root: &Query, forms: &mut Forms, asked: bool) {
        let mut seen: BTreeSet<Query> = BTreeSet::new();
        let mut at = vec![(root.clone(), Proofs::new(), Vec::new())];
        for _ in 0..2 {
            let mut next = Vec::new();
            for (tree, proofs, rules) in at {
                for (rule, found, new) in self.apply(&tree) {
                    let Some(new) = new else { continue };
                    // What the application must change with it is no equivalence, nor what rests on parameters.
                    let proved = found.application.is_empty()
                        && found
                            .conditions
                            .iter()
                            .all(|c| matches!(c.standing, super::Standing::Proved { .. }));
                    if !proved || seen.len() >= MAX_TREES || !seen.insert(new.clone()) {
                        continue;
                    }
                    let mut proofs = proofs.clone();
                    for condition in &found.conditions {
                        if let super::Standing::Proved { by } = &condition.standing {
                            proofs.extend(by.iter().cloned());
                        }
                    }
                    let mut rules: Vec<&'static str> = rules.clone();
                    rules.push(rule.id);
                    let mut normalizer = Normalizer::new(&self.facts, Style::Subqueries, asked);
                    if let Ok(form) = normalizer.normal_form(&new) {
                        let mut all = proofs.clone();
                        all.extend(normalizer.used);
                        forms.reached.push((form, all, rules.clone()));
                    }
                    next.push((new, proofs, rules));
                }
            }
            at = next;
        }
    }
}

/// The types of the columns that a query gives, where they are certain.
fn types(scope: &Scope<'_>, query: &Query) -> Option<Vec<Option<String>>> {
    match &query.body {
        Body::Select(select) => Some(select.outputs.iter().map(|o| scope.type_of(&o.expr)).collect()),
        Body::Set { left, right, .. } => {
            let (left, right) = (types(scope, left)?, types(scope, right)?);
            Some(left.into_iter().zip(right).map(|(l, r)| if l == r { l } else { None }).collect())
        }
        Body::Values(_) => None,
    }
}

fn meet(first: &Forms, second: &Forms) -> Option<Proof> {
    for (form, proofs, rules) in &first.reached {
        for (other, more, also) in &second.reached {
            if form == other {
                let by: BTreeSet<String> = proofs.iter().chain(more).cloned().collect();
                let rules = rules.iter().chain(also.iter().rev()).copied().collect();
                return Some(Proof { by: by.into_iter().collect(), rules });
            }
        }
    }
    None
}
