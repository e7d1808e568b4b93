//! How is a set written in `pgwright.toml`?

use std::collections::BTreeMap;

use model::partition_set::{
    Division, Interval, ListPart, PartitionSet, Retention, RetentionAction, SubDivision, Template,
};
use model::partition_tree::PartitionTable;
use model::{KeyKind, QualifiedName};
use serde::{Deserialize, Serialize};

use crate::archive_location::ArchiveLocation;
use crate::grid::Grid;
use crate::inference::DEFAULT_PREMAKE;
use crate::tree::kind_of;

/// One `[[partition_set]]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSettings {
    /// The partitioned table, `schema.name`.
    pub table: String,
    /// How far a partition reaches: `1 month`, `6 hours`, `1000000`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// For hashes: how many partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// The IANA zone in which days begin; UTC by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How many partitions are kept ahead; 4 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub premake: Option<u32>,
    /// How long rows are kept: `12 months`, `1000000`; for ever by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
    /// What is done with older partitions: `keep`, `detach`, `archive` or `drop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<RetentionAction>,
    /// The folder that archives are written to, or `s3://bucket/prefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// How partitions are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub naming: Option<String>,
    /// The tablespace of new partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<String>,
    /// For a list: a name for each partition, and its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Vec<String>>,
    /// For a list: the name of the partition that takes NULL too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_in: Option<String>,
    /// How each partition is divided again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<SubSettings>,
    /// Storage parameters of new partitions, autovacuum's among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub storage: BTreeMap<String, String>,
    /// Tablespaces by age: `{ "6 months" = "cold" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tablespace_by_age: BTreeMap<String, String>,
}

/// `sub` of a `[[partition_set]]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubSettings {
    /// The column.
    pub key: String,
    /// As above: the same column by a shorter interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// As above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Vec<String>>,
    /// As above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_in: Option<String>,
    /// As above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// What is appended to the name above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub naming: Option<String>,
}

fn interval_of(
    interval: Option<&String>,
    values: &BTreeMap<String, Vec<String>>,
    null_in: Option<&String>,
    partitions: Option<u32>,
) -> Result<Interval, String> {
    if let Some(name) = null_in.filter(|name| !values.contains_key(*name)) {
        return Err(format!("null_in names \"{name}\", which is none of the values"));
    }
    match (interval, values.is_empty(), partitions) {
        (Some(text), true, None) => text.parse(),
        (None, false, None) => Ok(Interval::Values(
            values
                .iter()
                .map(|(name, values)| ListPart {
                    name: name.clone(),
                    values: values
                        .iter()
                        .cloned()
                        .map(Some)
                        .chain((null_in == Some(name)).then_some(None))
                        .collect(),
                })
                .collect(),
        )),
        (None, true, Some(n)) => Ok(Interval::Remainders(n)),
        _ => Err("one of interval, values and partitions has to be given".to_owned()),
    }
}

impl SetSettings {
    /// The table's name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn table_name(&self) -> Result<QualifiedName, String> {
        QualifiedName::parse(&self.table, "public")
    }

    /// The set for a table of the catalog, whose key says the rest.
    ///
    /// # Errors
    /// What does not fit, in a sentence fragment.
    pub fn resolve(&self, parent: &PartitionTable) -> Result<PartitionSet, String> {
        let key = parent.key.as_ref().ok_or_else(|| format!("{} is not partitioned", parent.name))?;
        let kind = kind_of(key).ok_or_else(|| {
            format!(
                "the key {} of {} is of several columns, an expression or of a type that is not divided",
                key.definition, parent.name
            )
        })?;
        let column = key.single().map_or_else(String::new, |(column, _)| column.to_owned());
        let division = Division {
            key: column.clone(),
            kind,
            interval: interval_of(
                self.interval.as_ref(),
                &self.values,
                self.null_in.as_ref(),
                self.partitions,
            )?,
        };
        let sub = match &self.sub {
            None => None,
            Some(sub) => {
                let interval =
                    interval_of(sub.interval.as_ref(), &sub.values, sub.null_in.as_ref(), sub.partitions)?;
                let kind = match interval {
                    Interval::Values(_) => KeyKind::List,
                    Interval::Remainders(_) => KeyKind::Hash,
                    _ if sub.key == column => kind,
                    _ => return Err(format!("sub-partitions by interval have to be of {column}")),
                };
                let division = Division { key: sub.key.clone(), kind, interval };
                Some(SubDivision { division, naming: sub.naming.clone() })
            }
        };
        let then = self.then.unwrap_or_default();
        if then == RetentionAction::Archive && self.archive.is_none() {
            return Err(
                "then = \"archive\" needs archive, the folder or the bucket that partitions are written to"
                    .to_owned(),
            );
        }
        if let Some(archive) = &self.archive {
            ArchiveLocation::parse(archive)?;
        }
        let keep = self.retention.as_ref().map(|text| text.parse()).transpose()?;
        let mut tablespace_by_age = Vec::new();
        for (age, tablespace) in &self.tablespace_by_age {
            tablespace_by_age.push((age.parse::<Interval>()?, tablespace.clone()));
        }
        let set = PartitionSet {
            parent: parent.name.clone(),
            division,
            sub,
            time_zone: self.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
            premake: self.premake.unwrap_or(DEFAULT_PREMAKE),
            retention: Retention { keep, then, archive: self.archive.clone() },
            naming: self.naming.clone(),
            template: Template {
                storage: self.storage.clone().into_iter().collect(),
                tablespace: self.tablespace.clone(),
                tablespace_by_age,
            },
        };
        let grid =
            Grid::new(&set.division, &set.time_zone, set.naming.as_deref()).map_err(|e| e.to_string())?;
        if let Some(keep) = &set.retention.keep {
            grid.back(0, keep).map_err(|e| e.to_string())?;
        }
        for (age, _) in &set.template.tablespace_by_age {
            grid.back(0, age).map_err(|e| e.to_string())?;
        }
        if let Some(sub) = &set.sub {
            let pattern = sub.naming.as_ref().map(|suffix| format!("{{table}}{suffix}"));
            Grid::new(&sub.division, &set.time_zone, pattern.as_deref()).map_err(|e| e.to_string())?;
        }
        Ok(set)
    }

    /// The settings of a set, to be written down.
    pub fn of(set: &PartitionSet) -> Self {
        let (interval, values, null_in, partitions) = written(&set.division.interval);
        let sub = set.sub.as_ref().map(|sub| {
            let (interval, values, null_in, partitions) = written(&sub.division.interval);
            SubSettings {
                key: sub.division.key.clone(),
                interval,
                values,
                null_in,
                partitions,
                naming: sub.naming.clone(),
            }
        });
        Self {
            table: set.parent.to_string(),
            interval,
            values,
            null_in,
            partitions,
            sub,
            time_zone: set.division.kind.is_time().then(|| set.time_zone.clone()),
            premake: Some(set.premake),
            retention: set.retention.keep.as_ref().map(ToString::to_string),
            then: set.retention.keep.as_ref().map(|_| set.retention.then),
            archive: set.retention.archive.clone(),
            naming: set.naming.clone(),
            ..Self::default()
        }
    }
}

/// An interval as it is written: one of interval, values (with where NULL is) and partitions.
type Written = (Option<String>, BTreeMap<String, Vec<String>>, Option<String>, Option<u32>);

fn written(interval: &Interval) -> Written {
    match interval {
        Interval::Values(parts) => {
            let values = parts.iter().map(|p| (p.name.clone(), p.values.iter().flatten().cloned().collect()));
            let null_in = parts.iter().find(|p| p.values.contains(&None)).map(|p| p.name.clone());
            (None, values.collect(), null_in, None)
        }
        Interval::Remainders(n) => (None, BTreeMap::new(), None, Some(*n)),
        other => (Some(other.to_string()), BTreeMap::new(), None, None),
    }
}
