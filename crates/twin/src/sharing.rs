//! Which of two servers plans what?

use std::collections::BTreeSet;

use serde_json::Value;
use tokio_postgres::types::Oid;

/// To how many switched indexes planning a statement at all compares.
const USUAL_WORK: usize = 20;

/// Requests, and which indexes each wants flipped.
pub(crate) type InTurn<'w> = Vec<(usize, &'w BTreeSet<Oid>)>;

/// Shares requests out between two servers, always in the same way: the longest first, each to the one that has less to
/// do. More indexes are more to do, and so are more tables to join, which `tables` tells of a request. What each
/// server has stays in the given order, because what stands beside each other there differs in few indexes.
pub(crate) fn shared_out<'w>(
    requests: &InTurn<'w>,
    tables: impl Fn(usize) -> usize,
) -> (InTurn<'w>, InTurn<'w>) {
    let work: Vec<usize> =
        requests.iter().map(|(at, wanted)| (USUAL_WORK + wanted.len()) * tables(*at)).collect();
    let mut longest_first: Vec<usize> = (0..requests.len()).collect();
    longest_first.sort_by(|a, b| work[*b].cmp(&work[*a]).then(a.cmp(b)));
    let mut is_first = vec![false; requests.len()];
    let (mut of_first, mut of_second) = (0, 0);
    for number in longest_first {
        is_first[number] = of_first <= of_second;
        *if is_first[number] { &mut of_first } else { &mut of_second } += work[number];
    }
    let of = |first: bool| {
        let own = requests.iter().zip(&is_first).filter(|(_, is_first)| **is_first == first);
        own.map(|(request, _)| *request).collect()
    };
    (of(true), of(false))
}

/// How many times a plan scans a table.
pub(crate) fn scans(plan: &Value) -> usize {
    match plan {
        Value::Object(members) => {
            members.iter().map(|(key, member)| usize::from(key == "Relation Name") + scans(member)).sum()
        }
        Value::Array(elements) => elements.iter().map(scans).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_servers_have_as_much_to_do() {
        let flipped = |count: Oid| (0..count).collect::<BTreeSet<Oid>>();
        let (few, many) = (flipped(10), flipped(100));
        // The third joins six tables, and the last one as many with few indexes.
        let requests: InTurn<'_> = vec![(0, &few), (1, &few), (2, &many), (3, &few), (4, &many), (5, &few)];
        let tables = |at| if at == 2 || at == 5 { 6 } else { 1 };
        let (first, second) = shared_out(&requests, tables);
        let numbers = |own: &InTurn<'_>| own.iter().map(|(at, _)| *at).collect::<Vec<_>>();
        assert_eq!(numbers(&first), [2]);
        assert_eq!(numbers(&second), [0, 1, 3, 4, 5]);
        let alike = |_| 1;
        let (first, second) = shared_out(&requests, alike);
        assert_eq!((numbers(&first), numbers(&second)), (vec![0, 2, 3], vec![1, 4, 5]));
    }

    #[test]
    fn tables_of_a_plan_are_counted() {
        let scan = json!({"Node Type": "Seq Scan", "Relation Name": "a"});
        let plan = json!({"Plan": {"Node Type": "Nested Loop", "Plans": [scan, {"Plans": [scan]}]}});
        assert_eq!(scans(&plan), 2);
    }
}
