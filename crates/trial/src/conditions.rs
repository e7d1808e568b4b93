//! With which values is a set of columns asked? With combinations that occur, drawn from the rows, so that common
//! ones come often, and with combinations that do not, made of values of different rows.
//!
//! A normalised statement does not tell its values, and values that are drawn column by column contradict each
//! other where columns depend on each other, which is just where statistics matter.

use model::estimate::{ColumnSet, Comparison, Member};
use model::{QualifiedName, quote_literal};
use tokio_postgres::Client;

/// Rows that conditions are made of.
const ROWS: usize = 16;
/// Most common combinations that are asked for besides.
const COMMON: usize = 4;
/// Combinations of values of different rows.
const MIXED: usize = 4;
/// Where ranges are cut.
const QUANTILES: [f64; 9] = [0.02, 0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.98];

/// The values of one row, by member; `None` for a member that is not compared with one.
pub(crate) type Values = Vec<Option<String>>;

/// What is known of the members of a set.
pub(crate) struct Asked<'a> {
    set: &'a ColumnSet,
    types: Vec<String>,
    rows: Vec<Values>,
    common: Vec<Values>,
    /// Of members that are compared by order.
    quantiles: Vec<Vec<String>>,
}

fn is_range(comparison: Comparison) -> bool {
    matches!(comparison, Comparison::Above | Comparison::Below | Comparison::Between)
}

fn has_value(member: &Member) -> bool {
    matches!(member.comparison, Comparison::Equal | Comparison::List)
}

impl<'a> Asked<'a> {
    /// Reads values out of a sample.
    pub(crate) async fn read(
        client: &Client,
        table: &QualifiedName,
        set: &'a ColumnSet,
    ) -> Result<Self, tokio_postgres::Error> {
        let members: Vec<String> = set.members.iter().map(|m| format!("({})", m.sql)).collect();
        let types: Vec<String> =
            members.iter().map(|m| format!("pg_catalog.pg_typeof({m})::pg_catalog.text")).collect();
        let of_types = client
            .query(&format!("SELECT /* pgwright:trial */ {} FROM {table} LIMIT 1", types.join(", ")), &[])
            .await?;
        let types = match of_types.first() {
            Some(row) => (0..set.members.len()).map(|n| row.try_get(n)).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let compared: Vec<usize> = (0..set.members.len()).filter(|n| has_value(&set.members[*n])).collect();
        let mut asked = Self { set, types, rows: Vec::new(), common: Vec::new(), quantiles: Vec::new() };
        if !compared.is_empty() {
            let texts: Vec<String> =
                compared.iter().map(|n| format!("{}::pg_catalog.text", members[*n])).collect();
            let known: Vec<String> =
                compared.iter().map(|n| format!("{} IS NOT NULL", members[*n])).collect();
            let numbers: Vec<String> = (1..=compared.len()).map(|n| n.to_string()).collect();
            let (texts, known, numbers) = (texts.join(", "), known.join(" AND "), numbers.join(", "));
            // The same rows of the same sample, and not those that were stored first.
            let drawn = format!(
                "SELECT /* pgwright:trial */ {texts} FROM {table} WHERE {known} \
                 ORDER BY pg_catalog.hashtext(ctid::pg_catalog.text) LIMIT {ROWS}"
            );
            asked.rows = asked.values(client, &drawn, &compared).await?;
            let common = format!(
                "SELECT /* pgwright:trial */ {texts} FROM {table} WHERE {known} GROUP BY {numbers} \
                 ORDER BY pg_catalog.count(*) DESC, {numbers} LIMIT {COMMON}"
            );
            asked.common = asked.values(client, &common, &compared).await?;
        }
        for (number, member) in set.members.iter().enumerate() {
            let mut found = Vec::new();
            if is_range(member.comparison) {
                let cuts: Vec<String> = QUANTILES.iter().map(ToString::to_string).collect();
                let sql = format!(
                    "SELECT /* pgwright:trial */ pg_catalog.percentile_disc(ARRAY[{}]::pg_catalog.float8[]) \
                     WITHIN GROUP (ORDER BY {})::pg_catalog.text[] FROM {table}",
                    cuts.join(", "),
                    members[number]
                );
                let row = client.query_one(&sql, &[]).await?;
                let cut: Option<Vec<Option<String>>> = row.try_get(0)?;
                found = cut.unwrap_or_default().into_iter().flatten().collect();
            }
            asked.quantiles.push(found);
        }
        Ok(asked)
    }

    async fn values(
        &self,
        client: &Client,
        sql: &str,
        compared: &[usize],
    ) -> Result<Vec<Values>, tokio_postgres::Error> {
        let rows = client.query(sql, &[]).await?;
        rows.iter()
            .map(|row| {
                let mut values: Values = vec![None; self.set.members.len()];
                for (at, number) in compared.iter().enumerate() {
                    values[*number] = row.try_get(at)?;
                }
                Ok(values)
            })
            .collect()
    }

    /// Combinations of values that occur: the most common one, and then as they were drawn.
    pub(crate) fn occurring(&self) -> Vec<Values> {
        let mut found: Vec<Values> = Vec::new();
        for values in self.common.iter().take(1).chain(&self.rows) {
            if !found.contains(values) {
                found.push(values.clone());
            }
        }
        found
    }

    /// Conditions as SQL, each once.
    pub(crate) fn conditions(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut add = |condition: Option<String>| {
            if let Some(condition) = condition
                && !found.contains(&condition)
            {
                found.push(condition);
            }
        };
        let nothing: Values = vec![None; self.set.members.len()];
        let any_value = self.set.members.iter().any(has_value);
        let all: Vec<&Values> = match any_value {
            true => self.common.iter().chain(&self.rows).collect(),
            false => vec![&nothing; QUANTILES.len()],
        };
        for (round, values) in all.iter().enumerate() {
            add(self.condition(round, values));
        }
        // Values of one row for the first member, of another for the others.
        if self.set.members.iter().filter(|m| has_value(m)).count() > 1 {
            let shift = self.rows.len() / 2;
            for round in 0..MIXED.min(shift) {
                let mut mixed = self.rows[round].clone();
                let first = (0..mixed.len()).find(|n| mixed[*n].is_some());
                for (number, value) in mixed.iter_mut().enumerate() {
                    if Some(number) != first && value.is_some() {
                        value.clone_from(&self.rows[round + shift][number]);
                    }
                }
                add(self.condition(round, &mixed));
            }
        }
        found
    }

    fn condition(&self, round: usize, values: &Values) -> Option<String> {
        let parts: Option<Vec<String>> = self
            .set
            .members
            .iter()
            .enumerate()
            .map(|(number, member)| self.part(number, member, round, values.get(number)?.as_deref()))
            .collect();
        parts.map(|p| p.join(" AND "))
    }

    fn part(&self, number: usize, member: &Member, round: usize, value: Option<&str>) -> Option<String> {
        let key = if member.column.is_some() { member.sql.clone() } else { format!("({})", member.sql) };
        let type_name = self.types.get(number)?;
        let constant = |text: &str| format!("{}::{type_name}", quote_literal(text));
        let quantile = |at: usize| self.quantiles.get(number)?.get(at).map(|text| constant(text));
        Some(match member.comparison {
            Comparison::Equal => format!("{key} = {}", constant(value?)),
            Comparison::List => {
                let others = self.rows.iter().cycle().skip(round).take(2);
                let others = others.filter_map(|row| row.get(number)?.as_deref());
                let mut list: Vec<String> = Vec::new();
                for text in std::iter::once(value?).chain(others) {
                    let constant = constant(text);
                    if !list.contains(&constant) {
                        list.push(constant);
                    }
                }
                format!("{key} IN ({})", list.join(", "))
            }
            // Narrow and wide ones by turns, recent ones first.
            Comparison::Above => format!("{key} >= {}", quantile([7, 4, 8, 6, 1][round % 5])?),
            Comparison::Below => format!("{key} <= {}", quantile([1, 4, 0, 2, 7][round % 5])?),
            Comparison::Between => {
                let (from, to) = [(3, 4), (7, 8), (2, 5), (1, 2), (4, 6)][round % 5];
                format!("{key} BETWEEN {} AND {}", quantile(from)?, quantile(to)?)
            }
            Comparison::IsNull => format!("{key} IS NULL"),
            Comparison::IsNotNull => format!("{key} IS NOT NULL"),
            Comparison::IsTrue => key,
            Comparison::IsFalse => format!("NOT {key}"),
            Comparison::Grouped => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(set: &ColumnSet) -> Asked<'_> {
        let row = |a: &str, b: &str| vec![Some(a.to_owned()), Some(b.to_owned())];
        Asked {
            set,
            types: vec!["pg_catalog.text".into(), "integer".into()],
            rows: vec![row("it's", "1"), row("b", "2")],
            common: vec![row("it's", "1")],
            quantiles: vec![Vec::new(), (0..9).map(|n| n.to_string()).collect()],
        }
    }

    fn set(second: Comparison) -> ColumnSet {
        ColumnSet {
            table: QualifiedName::new("public", "t"),
            members: vec![Member::column("a\"b", Comparison::Equal), Member::column("n", second)],
            statements: Vec::new(),
            total_ms: 0.0,
        }
    }

    #[test]
    fn combinations_that_occur_come_before_those_that_do_not() {
        let set = set(Comparison::Equal);
        assert_eq!(
            asked(&set).conditions(),
            [
                "\"a\"\"b\" = 'it''s'::pg_catalog.text AND n = '1'::integer",
                "\"a\"\"b\" = 'b'::pg_catalog.text AND n = '2'::integer",
                "\"a\"\"b\" = 'it''s'::pg_catalog.text AND n = '2'::integer",
            ]
        );
    }

    #[test]
    fn ranges_are_cut_where_rows_lie() {
        let set = set(Comparison::Between);
        assert_eq!(
            asked(&set).conditions()[0],
            "\"a\"\"b\" = 'it''s'::pg_catalog.text AND n BETWEEN '3'::integer AND '4'::integer"
        );
    }
}
