//! What stands in for a number? One that is a little larger, with as many decimals, below the limit of the
//! narrowest type that it occurs in.
//!
//! Zero, signs, NaN, infinities and the very limits of types stay: they say nothing of anybody. All others, in
//! order, are laid out with their distances stretched at random, by a fifth on average. A whole number is
//! thereby never its own stand-in, and where a constant stands between two histogram bounds changes little.

use std::collections::BTreeMap;

use rand::Rng as _;

use crate::key::Key;

/// Decimals that are computed with; a number has no more than that many, and `rest`.
const DECIMALS: usize = 18;
const ONE: i128 = 1_000_000_000_000_000_000;
/// Digits before the point.
const WHOLE_DIGITS: usize = 19;

/// An absolute value: units of 10^-18, and the digits beyond them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Magnitude {
    units: i128,
    rest: String,
}

/// A number as a text tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) negative: bool,
    pub(crate) magnitude: Magnitude,
    /// Decimals as written, zeros at the end included.
    pub(crate) decimals: usize,
}

pub(crate) fn whole(value: i128) -> Magnitude {
    Magnitude { units: value.saturating_mul(ONE), rest: String::new() }
}

/// Reads a number. `None` for what is not one, or one of more than 19 digits before the point.
pub(crate) fn parse(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{before}{after}");
    if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) || exponent.unsigned_abs() > 400 {
        return None;
    }
    // Where the point stands in all the digits; zeros fill what is missing on either side.
    let point = i32::try_from(before.len()).ok()? + exponent;
    let (all, point) = match usize::try_from(point) {
        Ok(point) => (all, point),
        Err(_) => (format!("{}{all}", "0".repeat(point.unsigned_abs() as usize)), 0),
    };
    let all = format!("{all:0<point$}");
    let (before, after) = all.split_at(point);
    let before = before.trim_start_matches('0');
    if before.len() > WHOLE_DIGITS {
        return None;
    }
    let (near, rest) = after.split_at(after.len().min(DECIMALS));
    let units = format!("0{before}{near:0<DECIMALS$}").parse().ok()?;
    let rest = rest.trim_end_matches('0').to_owned();
    Some(Number { negative, magnitude: Magnitude { units, rest }, decimals: after.len() })
}

impl Magnitude {
    fn is_zero(&self) -> bool {
        self.units == 0 && self.rest.is_empty()
    }

    fn write(&self, negative: bool, decimals: usize) -> String {
        let sign = if negative && !self.is_zero() { "-" } else { "" };
        let after = format!("{:018}{}", self.units % ONE, self.rest);
        let after = format!("{:0<decimals$}", after.trim_end_matches('0'));
        match after.is_empty() {
            true => format!("{sign}{}", self.units / ONE),
            false => format!("{sign}{}.{after}", self.units / ONE),
        }
    }
}

/// Numbers by sign and magnitude, with the smallest limit that each has to keep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(BTreeMap<(bool, Magnitude), Bounds>);

/// What a stand-in has to keep.
#[derive(Clone, Debug)]
struct Bounds {
    limit: Option<Magnitude>,
    /// The fewest decimals that it is written with: `1.00` may become `1.17`, and `1` a whole number only.
    decimals: usize,
}

impl Numbers {
    pub(crate) fn add(&mut self, number: Number, limit: Option<&Magnitude>) {
        if number.magnitude.is_zero() {
            return;
        }
        let known = self
            .0
            .entry((number.negative, number.magnitude))
            .or_insert_with(|| Bounds { limit: limit.cloned(), decimals: number.decimals });
        known.decimals = known.decimals.min(number.decimals);
        if known.limit.as_ref().is_none_or(|known| limit.is_some_and(|l| l < known)) {
            known.limit = limit.cloned();
        }
    }
}

/// Stand-ins by sign and magnitude.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumberMap(BTreeMap<(bool, Magnitude), Magnitude>);

impl NumberMap {
    pub(crate) fn new(numbers: Numbers, key: &Key) -> Self {
        let mut map = BTreeMap::new();
        for negative in [false, true] {
            let side: Vec<(Magnitude, Bounds)> = numbers
                .0
                .iter()
                .filter(|((n, _), _)| *n == negative)
                .map(|((_, magnitude), bounds)| (magnitude.clone(), bounds.clone()))
                .collect();
            for ((magnitude, _), stand_in) in side.iter().zip(lay_out(&side, key, negative)) {
                if let Some(stand_in) = stand_in {
                    map.insert((negative, magnitude.clone()), stand_in);
                }
            }
        }
        Self(map)
    }

    /// The stand-in for a number, as text; `None` when there is none.
    pub(crate) fn replace(&self, text: &str) -> Option<String> {
        if ["nan", "infinity", "-infinity"].contains(&text.to_ascii_lowercase().as_str()) {
            return Some(text.to_owned());
        }
        let number = parse(text)?;
        if number.magnitude.is_zero() {
            return Some(text.to_owned());
        }
        let stand_in = self.0.get(&(number.negative, number.magnitude))?;
        Some(stand_in.write(number.negative, number.decimals))
    }
}

/// Stretches a distance by a factor in 1024ths.
fn stretch(distance: i128, factor: i128) -> i128 {
    match distance.checked_mul(factor) {
        Some(product) => product / 1024,
        None => (distance / 1024).saturating_mul(factor),
    }
}

/// Stand-ins for the numbers of one sign, which come in order.
fn lay_out(side: &[(Magnitude, Bounds)], key: &Key, negative: bool) -> Vec<Option<Magnitude>> {
    let mut random = key.stream("numbers", &[u8::from(negative)]);
    let scale = random.random_range(1100..1320);
    // What is larger must stay larger, so a limit counts for all smaller numbers as well.
    let limit_of = |bounds: &Bounds| bounds.limit.as_ref().map_or(i128::MAX, |l| l.units);
    // The very limit of a type is its own stand-in, and those below stay below.
    let fixed: Vec<bool> = side.iter().map(|(m, bounds)| m.units >= limit_of(bounds)).collect();
    let mut limits: Vec<i128> = side.iter().map(|(m, bounds)| limit_of(bounds).max(m.units)).collect();
    for at in (1..limits.len()).rev() {
        let above = if fixed[at] { limits[at] - 1 } else { limits[at] };
        limits[at - 1] = limits[at - 1].min(above);
    }
    let mut steps = Vec::with_capacity(side.len());
    let mut before = 0;
    for (magnitude, _) in side {
        let factor = stretch(scale, random.random_range(860..1190));
        steps.push(stretch(magnitude.units - before, factor));
        before = magnitude.units;
    }
    // Numbers below one limit are pressed together where they would reach it.
    let mut targets = Vec::with_capacity(side.len());
    let (mut reached, mut from) = (0_i128, 0);
    while from < side.len() {
        let to = (from..side.len()).take_while(|at| limits[*at] == limits[from]).count() + from;
        let room = limits[from].saturating_sub(reached);
        let whole: i128 = steps[from..to].iter().fold(0, |sum: i128, s| sum.saturating_add(*s));
        for at in from..to {
            if fixed[at] {
                reached = side[at].0.units;
            } else if whole > room {
                reached += (steps[at] as f64 * (room as f64 / whole as f64)) as i128;
            } else {
                reached = reached.saturating_add(steps[at]);
            }
            targets.push(reached);
        }
        from = to;
    }
    let mut stand_ins: Vec<Option<Magnitude>> = Vec::with_capacity(side.len());
    let mut last = 0;
    for (at, (magnitude, bounds)) in side.iter().enumerate() {
        if fixed[at] {
            last = last.max(magnitude.units);
            stand_ins.push(Some(magnitude.clone()));
            continue;
        }
        let decimals = bounds.decimals.min(DECIMALS);
        let unit = 10_i128.pow(u32::try_from(DECIMALS - decimals).unwrap_or(0));
        let up = |units: i128| units.saturating_add(unit - 1) / unit * unit;
        let mut units = up(targets[at]);
        if units > limits[at] {
            units = limits[at] / unit * unit;
        }
        if units <= last {
            units = up(last + 1);
        }
        let rest: String = match magnitude.rest.len() {
            0 => String::new(),
            n => (1..n).map(|_| random.random_range(b'0'..=b'9')).chain([b'7']).map(char::from).collect(),
        };
        stand_ins.push((units <= limits[at]).then_some(Magnitude { units, rest }));
        last = last.max(units);
    }
    stand_ins
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(numbers: &[(&str, Option<i128>)]) -> NumberMap {
        let mut gathered = Numbers::default();
        for (text, limit) in numbers {
            gathered.add(parse(text).unwrap(), limit.map(whole).as_ref());
        }
        NumberMap::new(gathered, &Key::new([7; 32]))
    }

    #[test]
    fn numbers_are_read_as_postgresql_writes_them() {
        let read = |text: &str| parse(text).map(|n| n.magnitude.write(n.negative, 0));
        for (text, plain) in [
            ("42", "42"),
            ("-0.50", "-0.5"),
            ("1e-05", "0.00001"),
            ("1.5e+3", "1500"),
            ("0.1234567890123456789", "0.1234567890123456789"),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            assert_eq!(read(text).as_deref(), Some(plain), "{text}");
        }
        for text in ["", "-", "1.2.3", "0x1f", "1e9999", "123456789012345678901", "abc", "1 2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_and_limits_are_kept() {
        let map = map(&[
            ("12.50", None),
            ("0.003", None),
            ("32766", Some(32767)),
            ("32767", Some(32767)),
            ("40000", Some(i128::from(i32::MAX))),
            ("2147483647", Some(i128::from(i32::MAX))),
        ]);
        let replaced = map.replace("12.50").unwrap();
        assert!(replaced.len() >= 5 && replaced.split_once('.').unwrap().1.len() == 2, "{replaced}");
        // As many decimals as it was written with.
        assert_eq!(map.replace("12.500"), Some(format!("{replaced}0")));
        assert_eq!(map.replace("32767").as_deref(), Some("32767"));
        assert!(map.replace("32766").unwrap().parse::<i16>().unwrap() < 32767);
        assert_eq!(map.replace("2147483647").as_deref(), Some("2147483647"));
        assert_eq!(map.replace("0.00").as_deref(), Some("0.00"));
        assert_eq!(map.replace("NaN").as_deref(), Some("NaN"));
        assert_eq!(map.replace("99"), None);
    }

    proptest! {
        #[test]
        fn order_is_kept_and_nothing_meets(mut values in proptest::collection::btree_set(-99_999_i64..99_999, 1..200)) {
            values.insert(1);
            let texts: Vec<String> = values.iter().map(|v| if v % 3 == 0 { format!("{v}") } else { format!("{v}.{:02}", v.abs() % 100) }).collect();
            let mut sorted: Vec<(f64, &String)> = texts.iter().map(|t| (t.parse().unwrap(), t)).collect();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            let map = map(&texts.iter().map(|t| (t.as_str(), None)).collect::<Vec<_>>());
            let mapped: Vec<f64> = sorted.iter().map(|(_, t)| map.replace(t).unwrap().parse().unwrap()).collect();
            for pair in mapped.windows(2) {
                prop_assert!(pair[0] < pair[1], "{pair:?}");
            }
            for ((value, _), stand_in) in sorted.iter().zip(&mapped) {
                prop_assert!(*value == 0.0 || value != stand_in, "{value}");
            }
        }
    }
}
