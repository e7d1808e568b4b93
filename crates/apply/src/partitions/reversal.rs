//! How is a change to the index of a partitioned table taken back? PostgreSQL knows no way to take an
//! index out of a partitioned one again, only to drop the whole; so whatever of it was there before is
//! built anew first, under another name, and gets its own in the transaction that drops the whole.
//!
//! Source: PostgreSQL manual, "ALTER INDEX … ATTACH PARTITION" and "DROP INDEX".

use std::collections::{BTreeMap, BTreeSet};

use model::{Change, QualifiedName};
use tokio_postgres::Client;

use super::expansion::{Expansion, Wanted, missing, some_of};
use super::names;
use super::tree::{self, IndexPart};
use crate::action::{Action, PartitionChange, Renaming, TreeIndex, TreePart, TreeRoot};
use crate::catalog;
use crate::error::Error;
use crate::journal::JournalStep;
use crate::objection::Objection;
use crate::operations::{Site, found};

/// The statements that take back the steps of one tree of indexes, given those that are done.
pub(crate) async fn of_steps(
    site: &Site<'_>,
    root: &TreeRoot,
    steps: &[JournalStep],
) -> Result<Expansion, Error> {
    let mut done = Vec::new();
    for step in steps {
        done.push((step, step.action()?));
    }
    let dropped = done.iter().find_map(|(_, action)| match action {
        Action::Partition(PartitionChange::DropPartitionedIndex { parts, .. }) => Some(parts.clone()),
        _ => None,
    });
    match dropped {
        Some(parts) => make_again(site, root, &parts).await,
        None => take_away(site, root, &done).await,
    }
}

/// Every index under the name that it had.
async fn make_again(site: &Site<'_>, root: &TreeRoot, parts: &[TreePart]) -> Result<Expansion, Error> {
    let Some(wanted) = wanted_again(root, parts) else { return Ok(Expansion::default()) };
    if catalog::table_facts(site.client, &root.table).await?.is_none_or(|f| f.relkind != 'p') {
        let table = root.table.clone();
        return Ok(Expansion { objections: vec![Objection::TableMissing { table }], ..Expansion::default() });
    }
    missing(site, wanted).await
}

/// The index that was dropped.
pub(crate) fn wanted_again(root: &TreeRoot, parts: &[TreePart]) -> Option<Wanted> {
    Some(Wanted {
        root: root.clone(),
        shape: parts.first()?.index.shape.clone(),
        names: parts.iter().map(|p| (p.index.table.clone(), p.index.name.clone())).collect(),
        adopt: false,
        exact: None,
        ours: BTreeSet::new(),
    })
}

/// The whole goes; what was there before it stays.
async fn take_away(
    site: &Site<'_>,
    root: &TreeRoot,
    done: &[(&JournalStep, Action)],
) -> Result<Expansion, Error> {
    let client = site.client;
    let mut expansion = Expansion::default();
    let tops = tops_of(client, root, done, &mut expansion).await?;
    let goes_with =
        |name: &QualifiedName| tops.iter().position(|top| top.parts.iter().any(|p| &p.index.name == name));
    let mut renames: Vec<Vec<Renaming>> = vec![Vec::new(); tops.len()];
    let mut own: BTreeSet<QualifiedName> = BTreeSet::new();
    for (step, action) in done {
        let Action::Partition(part) = action else { continue };
        let adopted: &[QualifiedName] = match part {
            PartitionChange::AttachIndex { index, adopted: Some(_), .. } => std::slice::from_ref(index),
            PartitionChange::CreateOverPartitions { adopted, .. } => adopted,
            PartitionChange::CreatePartitionIndex { index, .. } => {
                own.insert(index.name.clone());
                if goes_with(&index.name).is_none() {
                    drop_apart(client, index, step, &mut expansion).await?;
                }
                &[]
            }
            PartitionChange::CreateParentIndex { index, .. } => {
                own.insert(index.name.clone());
                &[]
            }
            _ => &[],
        };
        for index in adopted {
            own.insert(index.clone());
            if let Some(top) = goes_with(index) {
                replace(site, root, index, &mut expansion, &mut renames[top], &mut own).await?;
            }
        }
    }
    let others: Vec<&QualifiedName> = tops
        .iter()
        .flat_map(|top| top.parts.iter().skip(1))
        .map(|p| &p.index.name)
        .filter(|name| !own.contains(name))
        .collect();
    if !others.is_empty() {
        expansion
            .notices
            .push(format!("Indexes of partitions that came later go with it: {}.", some_of(&others)));
    }
    for (top, renames) in tops.into_iter().zip(renames) {
        expansion.actions.push(Action::Partition(PartitionChange::DropPartitionedIndex {
            root: top.root,
            definition: top.definition,
            parts: top.parts.iter().map(IndexPart::to_part).collect(),
            renames,
        }));
    }
    Ok(expansion)
}

/// An index that is dropped with all that are attached to it.
struct Top {
    root: TreeRoot,
    definition: String,
    parts: Vec<IndexPart>,
}

/// What is to be dropped: those of partitioned partitions that were not attached yet, the lower ones
/// first, and at last the whole.
async fn tops_of(
    client: &Client,
    root: &TreeRoot,
    done: &[(&JournalStep, Action)],
    expansion: &mut Expansion,
) -> Result<Vec<Top>, Error> {
    let mut tops = Vec::new();
    for (_, action) in done.iter().rev() {
        let Action::Partition(PartitionChange::CreateParentIndex { index, .. }) = action else { continue };
        if index.name == root.index {
            continue;
        }
        let Some(state) = catalog::index_state(client, &index.name).await? else { continue };
        if state.parent.is_none() && state.resembles(&index.table, &index.shape) {
            tops.push(Top {
                root: TreeRoot { index: index.name.clone(), table: index.table.clone() },
                definition: state.definition.unwrap_or_default(),
                parts: tree::index_parts(client, &index.name).await?,
            });
        }
    }
    if let Some(definition) = look_at_root(client, root, done, expansion).await? {
        let parts = tree::index_parts(client, &root.index).await?;
        tops.push(Top { root: root.clone(), definition, parts });
    }
    Ok(tops)
}

/// The definition of the whole when it is there and is what was made.
async fn look_at_root(
    client: &Client,
    root: &TreeRoot,
    done: &[(&JournalStep, Action)],
    expansion: &mut Expansion,
) -> Result<Option<String>, Error> {
    let made = done.iter().find(|(_, action)| action.object() == root.index);
    let Some((step, _)) = made else { return Ok(None) };
    let expected = step.made_definition.clone().unwrap_or_default();
    let renamed = match catalog::index_state(client, &root.index).await? {
        Some(state) => {
            let definition = state.definition.clone().unwrap_or_default();
            if state.table.as_ref() == Some(&root.table) && definition == expected {
                if let Some(parent) = state.parent {
                    let index = root.index.clone();
                    expansion.objections.push(Objection::AttachedIndex { index, parent });
                }
                return Ok(Some(definition));
            }
            Some(state)
        }
        None => match step.made_oid {
            Some(oid) => catalog::index_state_by_oid(client, oid)
                .await?
                .filter(|s| s.is_index() && s.table.as_ref() == Some(&root.table)),
            None => None,
        },
    };
    match renamed {
        Some(state) => expansion.objections.push(Objection::IndexChanged {
            index: root.index.clone(),
            expected,
            found: found(&state),
        }),
        None => {
            expansion.notices.push(format!("Index {} had already been dropped by somebody else.", root.index))
        }
    }
    Ok(None)
}

/// An index of a partition that is not part of the whole: it can be dropped without stopping anybody.
async fn drop_apart(
    client: &Client,
    index: &TreeIndex,
    step: &JournalStep,
    expansion: &mut Expansion,
) -> Result<(), Error> {
    let Some(state) = catalog::index_state(client, &index.name).await? else { return Ok(()) };
    if state.parent.is_some() {
        expansion.notices.push(format!("Index {} has become part of another and stays.", index.name));
        return Ok(());
    }
    let expected = step.made_definition.clone().unwrap_or_default();
    if state.table.as_ref() != Some(&index.table) || state.definition.as_ref() != Some(&expected) {
        let found = found(&state);
        expansion.objections.push(Objection::IndexChanged { index: index.name.clone(), expected, found });
        return Ok(());
    }
    expansion.actions.push(Action::Change(Change::DropIndex {
        name: index.name.clone(),
        table: index.table.clone(),
        definition: expected,
    }));
    Ok(())
}

/// Builds an index and all that are attached to it once more, to take their names later.
async fn replace(
    site: &Site<'_>,
    root: &TreeRoot,
    index: &QualifiedName,
    expansion: &mut Expansion,
    renames: &mut Vec<Renaming>,
    own: &mut BTreeSet<QualifiedName>,
) -> Result<(), Error> {
    let parts = tree::index_parts(site.client, index).await?;
    let Some(top) = parts.first() else { return Ok(()) };
    own.extend(parts.iter().map(|p| p.index.name.clone()));
    let mut names: BTreeMap<QualifiedName, QualifiedName> = BTreeMap::new();
    for part in &parts {
        let stand_in = stand_in_for(site.client, part, renames).await?;
        renames.push(Renaming { from: stand_in.clone(), to: part.index.name.name.clone() });
        names.insert(part.index.table.clone(), stand_in);
    }
    let Some(name) = names.get(&top.index.table).cloned() else { return Ok(()) };
    if top.is_partitioned {
        let root = TreeRoot { index: name, table: top.index.table.clone() };
        let shape = top.index.shape.clone();
        let wanted = Wanted { root, shape, names, adopt: false, exact: None, ours: BTreeSet::new() };
        let Expansion { actions, notices, objections } = missing(site, wanted).await?;
        expansion.actions.extend(actions);
        expansion.notices.extend(notices);
        expansion.objections.extend(objections);
    } else if catalog::index_state(site.client, &name).await?.is_none_or(|s| !s.valid) {
        let root = TreeRoot { index: name.clone(), table: root.table.clone() };
        let index = TreeIndex { name, ..top.index.clone() };
        expansion.actions.push(Action::Partition(PartitionChange::CreatePartitionIndex { root, index }));
    }
    Ok(())
}

/// A name for the index that stands in for another: one that is free, or that of an earlier try.
async fn stand_in_for(
    client: &Client,
    part: &IndexPart,
    renames: &[Renaming],
) -> Result<QualifiedName, Error> {
    let index = &part.index;
    for attempt in 0.. {
        let name =
            QualifiedName::new(index.name.schema.clone(), names::of_replacement(&index.name.name, attempt));
        if renames.iter().any(|r| r.from == name) {
            continue;
        }
        match catalog::index_state(client, &name).await? {
            None => return Ok(name),
            Some(state) if state.resembles(&index.table, &index.shape) => return Ok(name),
            Some(_) => {}
        }
    }
    Ok(index.name.clone())
}
