//! Which statements does it take until every partition has the index, or none? Computed from what the
//! catalog says, so that a plan, what is left of an interrupted run, and what a new partition needs
//! are the same question.

use std::collections::{BTreeMap, BTreeSet};

use model::{Change, IndexDefinition, QualifiedName};
use tokio_postgres::Client;

use super::names;
use super::tree::{self, Node, NodeIndex, Tree};
use crate::action::{Action, IndexShape, PartitionChange, TreeIndex, TreeRoot};
use crate::catalog;
use crate::error::Error;
use crate::journal::{JournalEntry, Status};
use crate::objection::Objection;
use crate::operations::{Rehearsed, Site, rehearse};

/// How many tables are named where the same is to be said of many.
const NAMED: usize = 3;

/// The statements of a change to a partitioned table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Expansion {
    /// What is to be done, in order.
    pub actions: Vec<Action>,
    /// What the user should know, in sentences.
    pub notices: Vec<String>,
    /// Reasons not to begin.
    pub objections: Vec<Objection>,
}

/// The index that every table of a partition tree is to have.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub root: TreeRoot,
    pub shape: IndexShape,
    /// Names that are given, by table; the others follow from the name of the partition.
    pub names: BTreeMap<QualifiedName, QualifiedName>,
    /// Whether an equal index of a partition is used rather than another one built.
    pub adopt: bool,
    /// What an index must be like to be attached, once the server has said it.
    pub exact: Option<Likeness>,
    /// Indexes that pgwright made for it in an earlier run.
    pub ours: BTreeSet<QualifiedName>,
}

/// What makes two indexes of different tables alike.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Likeness {
    pub likeness: String,
    pub sort_order: String,
}

impl Likeness {
    pub fn of(index: &NodeIndex) -> Self {
        Self { likeness: index.likeness.clone(), sort_order: index.sort_order.clone() }
    }
}

impl Wanted {
    /// Whether an index is what is wanted: the same columns in the same order.
    fn is_same(&self, index: &NodeIndex) -> bool {
        match &self.exact {
            Some(exact) => *exact == Likeness::of(index),
            // Expressions and predicates are printed by the server in words of its own.
            None => self.shape.is_verbatim() && index.text.as_ref() == Some(&self.shape.text),
        }
    }

    /// Whether PostgreSQL would attach it.
    fn would_be_attached(&self, index: &NodeIndex) -> bool {
        match &self.exact {
            Some(exact) => exact.likeness == index.likeness,
            None => self.is_same(index),
        }
    }

    fn is_ours(&self, node: &Node, index: &NodeIndex) -> bool {
        self.ours.contains(&index.name) || self.names.get(&node.table) == Some(&index.name)
    }
}

/// The statements of a change when it is about a partitioned table, `None` when one statement does.
pub(crate) async fn of_change(
    site: &Site<'_>,
    change: &Change,
    journal: &[JournalEntry],
) -> Result<Option<Expansion>, Error> {
    match change {
        Change::CreateIndex { index } => of_create(site, index, journal).await,
        Change::DropIndex { name, table, definition } => of_drop(site.client, name, table, definition).await,
        // One statement on the partitioned table itself does.
        Change::Analyze { .. }
        | Change::Vacuum { .. }
        | Change::CreateStatistics { .. }
        | Change::SetParameter { .. } => Ok(None),
    }
}

async fn of_create(
    site: &Site<'_>,
    index: &IndexDefinition,
    journal: &[JournalEntry],
) -> Result<Option<Expansion>, Error> {
    if catalog::table_facts(site.client, &index.table).await?.is_none_or(|f| f.relkind != 'p') {
        return Ok(None);
    }
    let root = TreeRoot { index: index.qualified_name(), table: index.table.clone() };
    let shape = IndexShape::of(index);
    if let Some(state) = catalog::index_state(site.client, &root.index).await?
        && (state.valid || !state.resembles(&root.table, &shape))
    {
        // There already, or something else under its name, as the preflight of the change will say.
        return Ok(None);
    }
    let exact = match site.rehearse && site.facts.may_create_temp {
        true => match rehearse(site.client, index).await? {
            Rehearsed::Possible { likeness, .. } => likeness,
            Rehearsed::Refused { .. } | Rehearsed::Postponed => None,
        },
        false => None,
    };
    let ours = made_for(&root, journal);
    let wanted = Wanted { root, shape, names: BTreeMap::new(), adopt: true, exact, ours };
    missing(site, wanted).await.map(Some)
}

async fn of_drop(
    client: &Client,
    name: &QualifiedName,
    table: &QualifiedName,
    definition: &str,
) -> Result<Option<Expansion>, Error> {
    let parts = tree::index_parts(client, name).await?;
    let Some(root) = parts.first() else { return Ok(None) };
    if !root.is_partitioned || root.index.table != *table || root.definition != definition {
        return Ok(None);
    }
    let action = PartitionChange::DropPartitionedIndex {
        root: root.root(),
        definition: definition.to_owned(),
        parts: parts.iter().map(tree::IndexPart::to_part).collect(),
        renames: Vec::new(),
    };
    Ok(Some(Expansion { actions: vec![Action::Partition(action)], ..Expansion::default() }))
}

/// The indexes that the journal says were made for a tree and are still applied.
pub(crate) fn made_for(root: &TreeRoot, journal: &[JournalEntry]) -> BTreeSet<QualifiedName> {
    journal
        .iter()
        .flat_map(|e| &e.steps)
        .filter(|s| s.status == Status::Done)
        .filter_map(|s| s.action().ok())
        .filter_map(|action| match action {
            Action::Partition(
                PartitionChange::CreatePartitionIndex { root: of, index }
                | PartitionChange::CreateParentIndex { root: of, index },
            ) if of == *root => Some(index.name),
            _ => None,
        })
        .collect()
}

/// What is still to be done until every partition has the index and the whole is valid.
pub(crate) async fn missing(site: &Site<'_>, mut wanted: Wanted) -> Result<Expansion, Error> {
    let tree = tree::read(site.client, &wanted.root.table).await?;
    let Some(root) = tree.root() else { return Ok(Expansion::default()) };
    let existing = root.index(&wanted.root.index);
    if let Some(existing) = existing {
        wanted.exact = Some(Likeness::of(existing));
    }
    let mut expansion = Expansion::default();
    let equal = root.indexes.iter().find(|i| i.valid && i.name != wanted.root.index && wanted.is_same(i));
    if let Some(equal) = equal.filter(|_| wanted.adopt && existing.is_none()) {
        expansion
            .objections
            .push(Objection::EqualIndex { wanted: wanted.root.index.clone(), existing: equal.name.clone() });
        return Ok(expansion);
    }
    let foreign: Vec<&QualifiedName> =
        tree.nodes.iter().filter(|n| n.is_foreign()).map(|n| &n.table).collect();
    if !foreign.is_empty() && wanted.shape.unique {
        expansion.objections.push(Objection::ForeignPartitions {
            index: wanted.root.index.clone(),
            partitions: foreign.into_iter().cloned().collect(),
        });
        return Ok(expansion);
    }
    if wanted.shape.unique && existing.is_none() {
        let held: Vec<&str> =
            wanted.shape.columns.iter().take(wanted.shape.key_count).flatten().map(String::as_str).collect();
        let mut missing = tree::key_columns(site.client, &tree).await?;
        missing.retain(|column| !held.contains(&column.as_str()));
        if !missing.is_empty() {
            expansion.objections.push(Objection::UniqueWithoutKey {
                index: wanted.root.index.clone(),
                table: wanted.root.table.clone(),
                columns: held.into_iter().map(str::to_owned).collect(),
                missing,
            });
            return Ok(expansion);
        }
    }
    // An index made ON ONLY never becomes valid with a foreign partition, which cannot be attached.
    let whole_at_once = !foreign.is_empty() && existing.is_none();
    let parts = parts_of(&tree, root, existing, &wanted, whole_at_once);
    let chosen = choose_names(site.client, &wanted, &parts).await?;
    object_to_privileges(site, &parts, root, &mut expansion);
    if !foreign.is_empty() {
        expansion.notices.push(format!(
            "Foreign partitions get no index: {}.{}",
            some_of(&foreign),
            if whole_at_once {
                ""
            } else {
                " PostgreSQL counts them, so the index as a whole stays invalid."
            }
        ));
    }
    notice_adopted(&wanted, &parts, &mut expansion);
    expansion.actions = match whole_at_once {
        true => at_once(&wanted, &parts, &chosen),
        false => one_by_one(&wanted, existing.is_none(), &parts, &chosen),
    };
    if expansion.actions.is_empty()
        && foreign.is_empty()
        && existing.is_some_and(|e| !e.valid)
        && let Some(action) = validation(&tree, &wanted)
    {
        expansion.actions.push(action);
    }
    Ok(expansion)
}

/// A table below the root and where its index comes from.
struct Part<'t> {
    node: &'t Node,
    depth: usize,
    /// The index that this one is to be attached to, when it exists already.
    parent: Parent,
    source: Source<'t>,
}

/// What the index of a part is to be attached to.
#[derive(Clone, Copy)]
enum Parent {
    Root,
    /// The index of another table of the tree.
    Of(u32),
}

#[derive(Clone, Copy)]
enum Source<'t> {
    /// It is there and attached.
    Attached { index: &'t NodeIndex },
    /// It is there.
    Existing { index: &'t NodeIndex, adopted: bool },
    /// It has to be made.
    New,
}

/// Walks the tree from the root down.
fn parts_of<'t>(
    tree: &'t Tree,
    root: &'t Node,
    existing: Option<&NodeIndex>,
    wanted: &Wanted,
    whole_at_once: bool,
) -> Vec<Part<'t>> {
    let mut parts = Vec::new();
    let mut open = vec![(root, existing.map(|i| i.oid), 1, Parent::Root)];
    while let Some((above, parent_index, depth, parent)) = open.pop() {
        let mut below = Vec::new();
        for node in tree.children(above.oid).filter(|n| !n.is_foreign()) {
            let source = source_of(tree, node, parent_index, wanted, whole_at_once);
            let (index, descend) = match source {
                Source::Attached { index } => (Some(index.oid), true),
                // What was whole before comes as a whole.
                Source::Existing { adopted: true, .. } => (None, false),
                Source::Existing { index, adopted: false } => (Some(index.oid), true),
                Source::New => (None, true),
            };
            if node.is_partitioned() && descend {
                below.push((node, index, depth + 1, Parent::Of(node.oid)));
            }
            parts.push(Part { node, depth, parent, source });
        }
        open.extend(below.into_iter().rev());
    }
    parts
}

fn source_of<'t>(
    tree: &'t Tree,
    node: &'t Node,
    parent_index: Option<u32>,
    wanted: &Wanted,
    whole_at_once: bool,
) -> Source<'t> {
    if let Some(index) = node.attached_to(parent_index) {
        return Source::Attached { index };
    }
    let free = || node.indexes.iter().filter(|i| i.parent.is_none());
    let ours = free().find(|i| {
        wanted.is_ours(node, i)
            && (i.valid || node.is_partitioned())
            && (wanted.exact.is_none() || wanted.would_be_attached(i))
    });
    if let Some(index) = ours {
        return Source::Existing { index, adopted: false };
    }
    let adopted = free().filter(|i| i.valid && wanted.adopt).find(|i| match whole_at_once {
        // PostgreSQL chooses itself and asks less.
        true => wanted.would_be_attached(i),
        false => wanted.is_same(i) && is_plain_throughout(tree, node, i),
    });
    match adopted {
        Some(index) => Source::Existing { index, adopted: true },
        None => Source::New,
    }
}

/// Whether an index and all that are attached to it can be made again from their definitions.
fn is_plain_throughout(tree: &Tree, node: &Node, index: &NodeIndex) -> bool {
    index.is_plain
        && tree.children(node.oid).all(|child| {
            child.attached_to(Some(index.oid)).is_none_or(|i| is_plain_throughout(tree, child, i))
        })
}

/// Gives a name to every index that has to be made.
async fn choose_names(
    client: &Client,
    wanted: &Wanted,
    parts: &[Part<'_>],
) -> Result<BTreeMap<u32, QualifiedName>, Error> {
    let mut chosen: BTreeMap<u32, QualifiedName> = BTreeMap::new();
    let mut used: BTreeSet<QualifiedName> = BTreeSet::from([wanted.root.index.clone()]);
    let mut open: Vec<(&Node, u32)> =
        parts.iter().filter(|p| matches!(p.source, Source::New)).map(|p| (p.node, 0)).collect();
    while !open.is_empty() {
        let candidates: Vec<QualifiedName> = open
            .iter()
            .map(|(node, attempt)| match wanted.names.get(&node.table) {
                Some(given) => given.clone(),
                None => QualifiedName::new(
                    node.table.schema.clone(),
                    names::of_partition(
                        &node.table.name,
                        &wanted.root.table.name,
                        &wanted.root.index.name,
                        *attempt,
                    ),
                ),
            })
            .collect();
        let taken = tree::names_taken(client, &candidates).await?;
        let mut left = Vec::new();
        for ((node, attempt), name) in open.into_iter().zip(candidates) {
            // The remains of an earlier try under this name are removed before the next.
            let remains =
                node.index(&name).is_some_and(|i| !i.valid && i.parent.is_none() && !node.is_partitioned());
            let given = wanted.names.contains_key(&node.table);
            if given || ((!taken.contains(&name) || remains) && used.insert(name.clone())) {
                chosen.insert(node.oid, name);
            } else {
                left.push((node, attempt + 1));
            }
        }
        open = left;
    }
    Ok(chosen)
}

/// Parents from the top, then the partitions, then all of them attached from the bottom.
fn one_by_one(
    wanted: &Wanted,
    root_is_new: bool,
    parts: &[Part<'_>],
    chosen: &BTreeMap<u32, QualifiedName>,
) -> Vec<Action> {
    let index_of = |part: &Part<'_>| match part.source {
        Source::Attached { index } | Source::Existing { index, .. } => Some(index.name.clone()),
        Source::New => chosen.get(&part.node.oid).cloned(),
    };
    let by_table: BTreeMap<u32, QualifiedName> =
        parts.iter().filter_map(|p| Some((p.node.oid, index_of(p)?))).collect();
    let tree_index = |part: &Part<'_>| TreeIndex {
        name: chosen.get(&part.node.oid).cloned().unwrap_or_else(|| wanted.root.index.clone()),
        table: part.node.table.clone(),
        shape: wanted.shape.clone(),
    };
    let root = &wanted.root;
    let mut actions = Vec::new();
    if root_is_new {
        let index =
            TreeIndex { name: root.index.clone(), table: root.table.clone(), shape: wanted.shape.clone() };
        actions.push(PartitionChange::CreateParentIndex { root: root.clone(), index });
    }
    let new = |partitioned: bool| {
        parts
            .iter()
            .filter(move |p| matches!(p.source, Source::New) && p.node.is_partitioned() == partitioned)
    };
    for part in new(true) {
        actions.push(PartitionChange::CreateParentIndex { root: root.clone(), index: tree_index(part) });
    }
    for part in new(false) {
        actions.push(PartitionChange::CreatePartitionIndex { root: root.clone(), index: tree_index(part) });
    }
    let mut open: Vec<&Part<'_>> =
        parts.iter().filter(|p| !matches!(p.source, Source::Attached { .. })).collect();
    open.sort_by_key(|p| std::cmp::Reverse(p.depth));
    for part in open {
        let parent = match part.parent {
            Parent::Root => Some(root.index.clone()),
            Parent::Of(table) => by_table.get(&table).cloned(),
        };
        let (Some(parent), Some(index)) = (parent, by_table.get(&part.node.oid)) else { continue };
        let adopted = match part.source {
            Source::Existing { index, adopted: true } => Some(index.definition.clone()),
            _ => None,
        };
        actions.push(PartitionChange::AttachIndex {
            root: root.clone(),
            parent,
            index: index.clone(),
            table: part.node.table.clone(),
            adopted,
            again: false,
        });
    }
    actions.into_iter().map(Action::Partition).collect()
}

/// The partitions first, then one statement that finds the indexes of all of them.
fn at_once(wanted: &Wanted, parts: &[Part<'_>], chosen: &BTreeMap<u32, QualifiedName>) -> Vec<Action> {
    let root = &wanted.root;
    let shape = &wanted.shape;
    let mut actions = Vec::new();
    let mut adopted = Vec::new();
    for part in parts {
        match part.source {
            Source::New if !part.node.is_partitioned() => {
                let Some(name) = chosen.get(&part.node.oid).cloned() else { continue };
                let index = TreeIndex { name, table: part.node.table.clone(), shape: shape.clone() };
                actions.push(PartitionChange::CreatePartitionIndex { root: root.clone(), index });
            }
            Source::New | Source::Existing { .. } | Source::Attached { .. } => {}
        }
        // Of several that fit PostgreSQL takes one.
        let fits = part.node.indexes.iter().filter(|i| {
            i.valid && i.parent.is_none() && wanted.would_be_attached(i) && !wanted.is_ours(part.node, i)
        });
        adopted.extend(fits.map(|i| i.name.clone()));
    }
    let index = TreeIndex { name: root.index.clone(), table: root.table.clone(), shape: shape.clone() };
    actions.push(PartitionChange::CreateOverPartitions { root: root.clone(), index, adopted });
    actions.into_iter().map(Action::Partition).collect()
}

/// The last partition without the index was dropped or detached: PostgreSQL looks whether a parent has
/// become valid only when something is attached, so one of those attached is attached once more.
fn validation(tree: &Tree, wanted: &Wanted) -> Option<Action> {
    let of_tree = |index: &&NodeIndex| !index.valid && wanted.would_be_attached(index);
    let invalid = tree.nodes.iter().rev().filter(|n| n.is_partitioned()).find_map(|node| {
        let index = node.indexes.iter().find(of_tree)?;
        let mut children = tree.children(node.oid).map(|c| (c, c.attached_to(Some(index.oid))));
        let (first, attached) = children.next()?;
        let attached = attached?;
        children.all(|(_, i)| i.is_some_and(|i| i.valid)).then_some((index, first, attached))
    });
    let (parent, child, index) = invalid?;
    Some(Action::Partition(PartitionChange::AttachIndex {
        root: wanted.root.clone(),
        parent: parent.name.clone(),
        index: index.name.clone(),
        table: child.table.clone(),
        adopted: None,
        again: true,
    }))
}

fn object_to_privileges(site: &Site<'_>, parts: &[Part<'_>], root: &Node, expansion: &mut Expansion) {
    let role = &site.facts.role;
    // The root is looked at by the preflight of its own statement.
    let touched = || {
        parts
            .iter()
            .filter(|p| !matches!(p.source, Source::Attached { .. }) && p.node.oid != root.oid)
            .map(|p| p.node)
    };
    let strangers = touched().filter(|n| !n.is_owner).take(NAMED).map(|n| Objection::NotOwner {
        table: n.table.clone(),
        owner: n.owner.clone(),
        role: role.clone(),
    });
    expansion.objections.extend(strangers);
    let closed: BTreeSet<&str> =
        touched().filter(|n| !n.may_create).map(|n| n.table.schema.as_str()).collect();
    expansion.objections.extend(
        closed
            .into_iter()
            .take(NAMED)
            .map(|schema| Objection::NoCreate { schema: schema.to_owned(), role: role.clone() }),
    );
}

fn notice_adopted(wanted: &Wanted, parts: &[Part<'_>], expansion: &mut Expansion) {
    let adopted: Vec<&QualifiedName> = parts
        .iter()
        .filter_map(|p| match p.source {
            Source::Existing { index, adopted: true } => Some(&index.name),
            _ => None,
        })
        .collect();
    if !adopted.is_empty() {
        expansion.notices.push(format!(
            "Equal indexes of partitions become part of {}: {}. PostgreSQL cannot take them out again, so that \
             undo builds them anew, under their names, before it drops the whole.",
            wanted.root.index,
            some_of(&adopted)
        ));
    }
    if wanted.exact.is_some() || wanted.shape.is_verbatim() {
        return;
    }
    let alike: Vec<&QualifiedName> = parts
        .iter()
        .filter(|p| matches!(p.source, Source::New))
        .flat_map(|p| &p.node.indexes)
        .filter(|i| {
            i.valid
                && i.parent.is_none()
                && wanted.shape.plain_columns().all(|c| i.definition.contains(c))
                && i.definition.contains(&format!(" USING {} ", wanted.shape.access_method))
                && i.definition.contains(" WHERE ") == wanted.shape.partial
        })
        .map(|i| &i.name)
        .collect();
    if !alike.is_empty() {
        expansion.notices.push(format!(
            "Some partitions may have an equal index already: {}. With --execute the server says whether it is \
             equal; then it is used, and the statements are shown again before they run.",
            some_of(&alike)
        ));
    }
}

/// The first few names, and how many more there are.
pub(super) fn some_of(names: &[&QualifiedName]) -> String {
    let mut text = names.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}
