//! Is it the same plan? Two plans of one statement are, when their shapes are equal.
//!
//! A shape has no estimates and no measurements, so it is the same on every run until the planner
//! decides otherwise. Schemas are left out because EXPLAIN prints them with `VERBOSE` only.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::plain;
use crate::node::{Plan, Relationship};

/// One line per node: what it does, to which relation, by which index; indented by depth.
pub fn shape(plan: &Plan) -> String {
    let mut out = String::new();
    for node in &plan.nodes {
        let _ = write!(out, "{}", "  ".repeat(node.depth));
        match node.relationship {
            Relationship::InitPlan => out.push_str("InitPlan: "),
            Relationship::SubPlan => out.push_str("SubPlan: "),
            Relationship::Cte => {
                let name = node.subplan_name.as_deref().unwrap_or("CTE");
                let _ = write!(out, "{}: ", plain(name));
            }
            _ => {}
        }
        out.push_str(&plain(&node.label()));
        if let Some(index) = &node.index {
            let _ = write!(out, " using {}", plain(&model::quote_identifier(index)));
        }
        let target = node.relation.as_ref().or(node.function.as_ref()).or(node.cte.as_ref());
        if let Some(target) = target {
            let _ = write!(out, " on {}", plain(&model::quote_identifier(target)));
        }
        if let Some(alias) = node.alias.as_ref().filter(|a| Some(*a) != target) {
            let _ = write!(out, " {}", plain(&model::quote_identifier(alias)));
        }
        out.push('\n');
    }
    out
}

/// The first 16 hexadecimal digits of the SHA-256 of the [`shape`].
pub fn shape_hash(plan: &Plan) -> String {
    let digest = Sha256::digest(shape(plan).as_bytes());
    digest.iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
