//! Frames of windows in one way of writing: what is the default may be left out, and some functions have none.
//!
//! Source: PostgreSQL manual, "Window Function Calls"; the bits are those of `FRAMEOPTION_…` in `parsenodes.h`.

use super::super::tree::{Expr, Query};

const NON_DEFAULT: i32 = 0x1;
const RANGE: i32 = 0x2;
const ROWS: i32 = 0x4;
const BETWEEN: i32 = 0x10;
const START_UNBOUNDED_PRECEDING: i32 = 0x20;
const END_UNBOUNDED_FOLLOWING: i32 = 0x100;
const START_CURRENT_ROW: i32 = 0x200;
const END_CURRENT_ROW: i32 = 0x400;
const EXCLUDE: i32 = 0x8000 | 0x1_0000 | 0x2_0000;

pub(super) const DEFAULT: i32 = RANGE | START_UNBOUNDED_PRECEDING | END_CURRENT_ROW;
pub(super) const ROWS_SO_FAR: i32 = ROWS | START_UNBOUNDED_PRECEDING | END_CURRENT_ROW;
pub(super) const WHOLE: i32 = RANGE | START_UNBOUNDED_PRECEDING | END_UNBOUNDED_FOLLOWING;

/// Writes every frame in one way.
pub(super) fn simplify(root: &mut Query) {
    root.transform(&mut |e| {
        let Expr::Call(call) = e else { return };
        let Some(window) = &mut call.over else { return };
        window.frame &= !(NON_DEFAULT | BETWEEN);
        let ignored = matches!(
            call.name.as_str(),
            "row_number" | "rank" | "dense_rank" | "percent_rank" | "cume_dist" | "ntile" | "lag" | "lead"
        );
        if window.start.is_some() || window.end.is_some() {
            return;
        }
        // In the whole of a partition it does not matter what a step is.
        let kind = RANGE | ROWS;
        if window.frame & EXCLUDE == 0 && window.frame & !kind == WHOLE & !kind {
            window.frame = WHOLE;
        }
        // Without an order all rows of a partition are peers of the current one.
        let bounds =
            START_UNBOUNDED_PRECEDING | START_CURRENT_ROW | END_CURRENT_ROW | END_UNBOUNDED_FOLLOWING;
        if window.order.is_empty() && window.frame & RANGE != 0 && window.frame & !(RANGE | bounds) == 0 {
            window.frame = WHOLE;
        }
        if ignored && call.schema.is_none() {
            window.frame = DEFAULT;
        }
    });
}
