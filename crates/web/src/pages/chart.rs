//! How does a picture get into a page that loads nothing? As SVG within the HTML, its colors from the style sheet, so that
//! it follows light and dark; every line has its own name and its last value beside it as text.
//!
//! Source: SVG 2, "Paths" and "Text". No library draws them: those that write SVG (`plotters`, `charming`) put colors into
//! attributes or styles, which the page's policy forbids or which stay the same in the dark.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::figures::{bytes, count, rate, seconds};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
/// How many colors there are.
const COLORS: usize = 8;

/// A line.
pub(crate) struct Line {
    pub name: String,
    /// By time; what is not known is left out, and the line has a gap where `gap` passes without a point.
    pub points: Vec<(DateTime<Utc>, f64)>,
}

/// Lines over time.
pub(crate) struct Chart<'a> {
    pub title: &'a str,
    pub lines: Vec<Line>,
    /// What its values are.
    pub measure: Measure,
    /// Points further apart are not joined.
    pub gap: TimeDelta,
    /// A moment to look at.
    pub mark: Option<(DateTime<Utc>, &'a str)>,
}

/// What values are, which tells how they are written and where an axis has its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Things, or things per second.
    Number,
    Seconds,
    Bytes,
}

impl Measure {
    pub fn write(self, value: f64) -> String {
        match self {
            Self::Number => rate(value),
            Self::Seconds => seconds(value),
            Self::Bytes => bytes(value),
        }
    }

    /// A value beside a line of the grid: whole where lines are at whole values.
    fn label(self, value: f64, step: f64) -> String {
        let whole = |unit: f64, name: &str| format!("{:.0} {name}", value / unit);
        match self {
            _ if value == 0.0 => "0".into(),
            Self::Number if step >= 1.0 && step.fract() == 0.0 => count(value),
            Self::Seconds if step >= 86_400.0 => whole(86_400.0, "d"),
            Self::Seconds if step >= 3600.0 => whole(3600.0, "h"),
            Self::Seconds if step >= 60.0 => whole(60.0, "min"),
            Self::Seconds if step >= 1.0 => whole(1.0, "s"),
            Self::Seconds if step >= 0.001 => whole(0.001, "ms"),
            Self::Seconds if step >= 0.000_001 => whole(0.000_001, "µs"),
            _ => self.write(value),
        }
    }

    /// A step that is easy to read, of which at most four fit below `most`.
    fn step(self, most: f64) -> f64 {
        const LONG: &[f64] = &[
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
            10_800.0, 21_600.0, 43_200.0, 86_400.0,
        ];
        let rough = most / 4.0;
        let found = match self {
            Self::Seconds if rough > 0.5 => {
                // Days are counted like anything else.
                LONG.iter()
                    .copied()
                    .find(|s| *s >= rough * 0.999)
                    .or(Some(86_400.0 * round(rough / 86_400.0)))
            }
            Self::Bytes if most >= 1024.0 => {
                let unit = 1024_f64.powf(most.log(1024.0).floor());
                Some(unit * round(rough / unit))
            }
            _ => None,
        };
        found.unwrap_or_else(|| round(rough))
    }
}

/// The next larger of 1, 2, 2.5 and 5 times a power of ten.
fn round(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|f| f * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

impl Chart<'_> {
    /// Draws it; says so where there is nothing to draw.
    pub fn draw(&self) -> Markup {
        let points = || self.lines.iter().flat_map(|line| &line.points).filter(|p| p.1.is_finite());
        let (Some(first), Some(last)) = (points().map(|p| p.0).min(), points().map(|p| p.0).max()) else {
            return html! { figure { figcaption { (self.title) } p.dim { "nothing is known of it yet" } } };
        };
        let most = points().map(|p| p.1).fold(0.0, f64::max);
        let step = self.measure.step(if most > 0.0 { most } else { 1.0 });
        let top = step * (most / step).ceil().max(1.0);
        let span = (last - first).num_milliseconds().max(1) as f64;
        let x =
            |at: DateTime<Utc>| LEFT + (at - first).num_milliseconds() as f64 / span * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - (value / top).clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM);
        let ticks = (0..).map(|n| f64::from(n) * step).take_while(|v| *v <= top * 1.001);
        html! {
            figure {
                figcaption { (self.title) }
                svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.described(first, last)) {
                    @for tick in ticks {
                        line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(tenth(y(tick))) y2=(tenth(y(tick))) {}
                        text x=(LEFT - 6.0) y=(tenth(y(tick) + 4.0)) text-anchor="end" { (self.measure.label(tick, step)) }
                    }
                    @for (at, place, label) in times(first, last) {
                        // On a phone there is room for the ends and the middle.
                        text class=[place.is_minor.then_some("minor")] x=(tenth(x(at))) y=(HEIGHT - 6.0) text-anchor=(place.anchor) { (label) }
                    }
                    @if let Some((at, name)) = self.mark {
                        @if at >= first && at <= last {
                            line.mark x1=(tenth(x(at))) x2=(tenth(x(at))) y1=(TOP) y2=(HEIGHT - BOTTOM) { title { (name) } }
                        }
                    }
                    @for (number, line) in self.lines.iter().enumerate() {
                        @for piece in self.pieces(line) {
                            @if let [only] = piece {
                                circle class=(color(number)) cx=(tenth(x(only.0))) cy=(tenth(y(only.1))) r="2.5" {}
                            } @else {
                                path class=(color(number)) d=(path(piece, &x, &y)) { title { (line.name) } }
                            }
                        }
                    }
                }
                ul.legend {
                    @for (number, line) in self.lines.iter().enumerate() { li {
                        svg viewBox="0 0 14 5" aria-hidden="true" { line class=(color(number)) x1="0" x2="14" y1="2.5" y2="2.5" stroke-width="3" {} }
                        (line.name) ": "
                        @match line.points.last() { Some(p) => { (self.measure.write(p.1)) }, None => { "–" } }
                    } }
                }
            }
        }
    }

    /// The picture in words.
    fn described(&self, first: DateTime<Utc>, last: DateTime<Utc>) -> String {
        let lines: Vec<String> = self
            .lines
            .iter()
            .filter_map(|line| {
                let values = line.points.iter().map(|p| p.1).filter(|v| v.is_finite());
                let (least, most) =
                    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
                let last = self.measure.write(line.points.last()?.1);
                Some(format!(
                    "{} from {} to {}, last {last}",
                    line.name,
                    self.measure.write(least),
                    self.measure.write(most)
                ))
            })
            .collect();
        let span = format!("{} to {}", first.format("%Y-%m-%d %H:%M"), last.format("%Y-%m-%d %H:%M UTC"));
        format!("{}, {span}: {}", self.title, lines.join("; "))
    }

    /// Stretches of points without a gap.
    fn pieces<'l>(&self, line: &'l Line) -> Vec<&'l [(DateTime<Utc>, f64)]> {
        line.points
            .chunk_by(|a, b| b.0 - a.0 <= self.gap && a.1.is_finite() && b.1.is_finite())
            .filter(|piece| piece.iter().all(|p| p.1.is_finite()))
            .collect()
    }
}

fn color(number: usize) -> String {
    format!("s{}", number % COLORS)
}

fn tenth(value: f64) -> String {
    format!("{value:.1}")
}

fn path(
    piece: &[(DateTime<Utc>, f64)],
    x: &impl Fn(DateTime<Utc>) -> f64,
    y: &impl Fn(f64) -> f64,
) -> String {
    let mut out = String::with_capacity(piece.len() * 12);
    for (at, (time, value)) in piece.iter().enumerate() {
        out.push(if at == 0 { 'M' } else { 'L' });
        out.push_str(&tenth(x(*time)));
        out.push(' ');
        out.push_str(&tenth(y(*value)));
    }
    out
}

/// How a word of the axis of time stands at its moment.
struct Placed {
    anchor: &'static str,
    is_minor: bool,
}

/// Where on the axis of time something is written, and what.
fn times(first: DateTime<Utc>, last: DateTime<Utc>) -> Vec<(DateTime<Utc>, Placed, String)> {
    let span = last - first;
    let format = if span > TimeDelta::days(3) {
        "%d %b"
    } else if span > TimeDelta::hours(18) {
        "%d %b %H:%M"
    } else if span > TimeDelta::minutes(10) {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    if span < TimeDelta::seconds(2) {
        let place = Placed { anchor: "start", is_minor: false };
        return vec![(first, place, first.format("%H:%M:%S UTC").to_string())];
    }
    (0..=4)
        .map(|quarter| {
            let anchor = match quarter {
                0 => "start",
                4 => "end",
                _ => "middle",
            };
            let at = first + span / 4 * quarter;
            // Which zone the times are in is said once.
            let zone = if quarter == 4 { " UTC" } else { "" };
            let place = Placed { anchor, is_minor: quarter % 2 == 1 };
            (at, place, format!("{}{zone}", at.format(format)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn drawn(lines: Vec<Line>) -> String {
        let chart = Chart {
            title: "Calls",
            lines,
            measure: Measure::Number,
            gap: TimeDelta::seconds(90),
            mark: Some((at(60), "then")),
        };
        chart.draw().into_string()
    }

    #[test]
    fn lines_have_gaps_where_nothing_is_known_and_names_are_escaped() {
        let points =
            [(0, 1.0), (60, 3.0), (120, 2.0), (600, 4.0), (660, f64::NAN)].map(|(s, v)| (at(s), v)).to_vec();
        let picture = drawn(vec![Line { name: "<b>".into(), points }]);
        assert_eq!(picture.matches("<path").count(), 1, "{picture}");
        assert_eq!(picture.matches("<circle").count(), 1, "{picture}");
        assert!(picture.contains("d=\"M62.0 127.0L118.6 49.0L175.2 88.0\""), "{picture}");
        assert!(picture.contains("&lt;b&gt; from 1.00 to 4.00") && !picture.contains("<b>"), "{picture}");
        assert!(picture.contains("class=\"mark\""), "{picture}");
    }

    #[test]
    fn nothing_and_one_point_are_shown_too() {
        assert!(drawn(vec![]).contains("nothing is known"));
        assert!(drawn(vec![Line { name: "a".into(), points: vec![(at(0), 0.0)] }]).contains("<circle"));
    }

    #[test]
    fn steps_are_easy_to_read() {
        for (most, expected) in [(1.0, 0.25), (3.0, 1.0), (100.0, 25.0), (0.007, 0.002), (80.0, 20.0)] {
            let step = Measure::Number.step(most);
            assert!((step - expected).abs() < 1e-9, "{most}: {step}");
        }
    }

    #[test]
    fn lines_of_the_grid_are_at_whole_units() {
        for (measure, most, expected) in [
            (Measure::Seconds, 700.0, "5 min 10 min 15 min"),
            (Measure::Seconds, 13_000.0, "1 h 2 h 3 h 4 h"),
            (Measure::Seconds, 0.9, "250 ms 500 ms 750 ms 1000 ms"),
            (Measure::Seconds, 0.000_02, "5 µs 10 µs 15 µs 20 µs"),
            (Measure::Seconds, 400_000.0, "2 d 4 d 6 d"),
            (Measure::Bytes, 3.0 * 1024.0 * 1024.0, "1.0 MB 2.0 MB 3.0 MB"),
            (Measure::Number, 3.0, "1 2 3"),
            (Measure::Number, 9.0, "2.50 5.00 7.50 10.0"),
            (Measure::Number, 90.0, "25 50 75 100"),
            (Measure::Number, 1.0, "0.25 0.50 0.75 1.00"),
        ] {
            let step = measure.step(most);
            let labels: Vec<String> = (1..)
                .map(|n| f64::from(n) * step)
                .take_while(|v| *v < most + step * 0.999)
                .map(|v| measure.label(v, step))
                .collect();
            assert_eq!(labels.join(" "), expected, "{measure:?} {most}");
        }
    }
}
