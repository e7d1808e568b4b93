//! What is compared: plans as the server and as the twin make them.

use model::change::IndexDefinition;
use serde_json::Value;
use tokio_postgres::Client;

/// The plan as the server makes it.
pub async fn explain(client: &Client, sql: &str) -> Value {
    let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).await.unwrap();
    row.get::<_, Value>(0)[0].clone()
}

/// The total cost.
pub fn cost(explain: &Value) -> f64 {
    explain["Plan"]["Total Cost"].as_f64().unwrap()
}

/// Node types with what they read, in order.
pub fn shape(plan: &Value) -> String {
    let word = |key: &str| plan[key].as_str().map(|s| format!(" {s}")).unwrap_or_default();
    let children: Vec<String> = plan["Plans"].as_array().into_iter().flatten().map(shape).collect();
    format!(
        "{}{}{}({})",
        plan["Node Type"].as_str().unwrap(),
        word("Relation Name"),
        word("Index Name"),
        children.join(", ")
    )
}

/// The names that PostgreSQL gave the indexes of partitions.
pub async fn parts_of(client: &Client, definition: &IndexDefinition) -> Vec<String> {
    let sql = "SELECT c.relname::text FROM pg_partition_tree($1::text::regclass) AS t JOIN pg_class AS c ON c.oid = t.relid";
    let rows = client.query(sql, &[&definition.qualified_name().to_string()]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The twin shows the parts of a candidate under the candidate's name.
pub fn rename(plan: &mut Value, parts: &[String], name: &str) {
    match plan {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(index) if key == "Index Name" && parts.contains(index) => {
                        *index = name.into();
                    }
                    other => rename(other, parts, name),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|e| rename(e, parts, name)),
        _ => {}
    }
}

/// How far `found` is off, as a share.
pub fn error(expected: f64, found: f64) -> f64 {
    (found - expected).abs() / expected
}

/// The value in the middle.
pub fn median(mut errors: Vec<f64>) -> f64 {
    errors.sort_by(f64::total_cmp);
    errors[errors.len() / 2]
}
