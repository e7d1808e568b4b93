//! How does a picture get into a page that loads nothing? As SVG within the HTML, its texts escaped by maud.
//!
//! Source: SVG 2, "Paths" and "Text"; the colors are those of the page.

use maud::{Markup, html};

use super::document::{Step, StepChart};
use crate::printer::plain;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 52.0;
/// Labels of the horizontal axis that are nearer than this would overlap.
const LABEL_WIDTH: f64 = 56.0;

/// Draws a chart.
pub(super) fn svg(chart: &StepChart) -> Markup {
    let (plot_right, plot_bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let at = placed(&chart.steps, plot_right);
    let y = |share: f64| plot_bottom - share.clamp(0.0, 1.0) * (plot_bottom - TOP);
    let mut path = String::new();
    for (i, (step, x)) in chart.steps.iter().zip(&at).enumerate() {
        let level = y(step.share);
        path.push_str(&if i == 0 { format!("M{x:.1} {level:.1}") } else { format!("H{x:.1}V{level:.1}") });
    }
    path.push_str(&format!("H{plot_right:.1}"));
    let mut last_label = f64::NEG_INFINITY;
    let labeled: Vec<bool> = at
        .iter()
        .map(|x| {
            let room = x - last_label >= LABEL_WIDTH;
            if room {
                last_label = *x;
            }
            room
        })
        .collect();
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(plain(&chart.description)) {
            @for tenth in [0_u8, 25, 50, 75, 100] {
                @let level = y(f64::from(tenth) / 100.0);
                line.axis x1=(LEFT) y1=(number(level)) x2=(plot_right) y2=(number(level)) {}
                text x=(LEFT - 8.0) y=(number(level + 4.0)) text-anchor="end" { (tenth) " %" }
            }
            @if !chart.steps.is_empty() { path.curve d=(path) {} }
            @for ((step, x), labeled) in chart.steps.iter().zip(&at).zip(labeled) {
                circle.point cx=(number(*x)) cy=(number(y(step.share))) r="4" {
                    title { (plain(&step.x_text)) ": " (plain(&step.note)) }
                }
                text x=(number(*x)) y=(number(y(step.share) - 9.0)) text-anchor="middle" { (plain(&step.note)) }
                @if labeled {
                    text x=(number(*x)) y=(number(plot_bottom + 18.0)) text-anchor="middle" { (plain(&step.x_text)) }
                }
            }
            text x=(number((LEFT + plot_right) / 2.0)) y=(HEIGHT - 8.0) text-anchor="middle" { (plain(&chart.x_label)) }
            text x="8" y="14" { (plain(&chart.y_label)) }
        }
    }
}

/// Where each step begins, on a logarithmic axis.
fn placed(steps: &[Step], right: f64) -> Vec<f64> {
    let logs: Vec<f64> = steps.iter().map(|s| s.x.max(1.0).ln()).collect();
    let (least, most) =
        logs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), log| (a.min(*log), b.max(*log)));
    // The last step needs room to be seen as one.
    let (begin, end) = (LEFT + 24.0, right - 48.0);
    logs.iter()
        .map(|log| if most > least { begin + (log - least) / (most - least) * (end - begin) } else { begin })
        .collect()
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(steps: &[(f64, f64, &str)]) -> StepChart {
        StepChart {
            description: "what a budget buys".into(),
            x_label: "budget".into(),
            y_label: "saved".into(),
            steps: steps
                .iter()
                .map(|(x, share, note)| Step {
                    x: *x,
                    x_text: format!("{x} bytes"),
                    share: *share,
                    note: (*note).to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn steps_rise_from_left_to_right_and_texts_are_escaped() {
        let text = svg(&chart(&[(100.0, 0.25, "1 <index>"), (10_000.0, 1.0, "2")])).into_string();
        assert!(text.contains("d=\"M80.0 192.0H648.0V24.0H696.0\""), "{text}");
        assert!(text.contains("1 &lt;index&gt;") && !text.contains("<index>"), "{text}");
    }

    #[test]
    fn one_step_and_none_are_drawn_too() {
        assert!(svg(&chart(&[(5.0, 0.5, "a")])).into_string().contains("d=\"M80.0 136.0H696.0\""));
        assert!(!svg(&chart(&[])).into_string().contains("<path"));
    }
}
