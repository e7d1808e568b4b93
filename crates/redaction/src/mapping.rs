//! Which value has which stand-in?

use std::collections::{BTreeMap, BTreeSet};

use crate::bits::{self, Addresses};
use crate::gather::Gathered;
use crate::key::Key;
use crate::kind::{Kind, TextOrder};
use crate::numbers::NumberMap;
use crate::times::{self, Times};
use crate::values::Replace;
use crate::{SortedTexts, texts, words};

/// Every value of a snapshot with its stand-in.
pub(crate) struct Mapping {
    key: Key,
    numbers: NumberMap,
    times: Times,
    texts: BTreeMap<TextOrder, BTreeMap<String, String>>,
    words: BTreeMap<String, String>,
    uuids: BTreeMap<u128, u128>,
    addresses: Addresses,
    macs: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    dropped: BTreeSet<String>,
}

impl Mapping {
    pub(crate) fn new(gathered: Gathered, key: &Key, sorted: &SortedTexts) -> Self {
        let Gathered { numbers, mut times, texts: found, words, uuids, addresses, macs, bytes } = gathered;
        times.settle(key);
        let texts = found.into_iter().map(|(order, found)| {
            let sorted = in_order(found, sorted.get(&order));
            // The same text has the same stand-in where orders agree on everything.
            let stand_ins = texts::replaced(&sorted, key, &format!("texts {order:?}"));
            (order, stand_ins)
        });
        let any_byte: Vec<u8> = (0..=u8::MAX).collect();
        let binary = |all: BTreeSet<Vec<u8>>, domain: &str| -> BTreeMap<_, _> {
            let all: Vec<Vec<u8>> = all.into_iter().collect();
            let stand_ins = words::replaced(&all, &any_byte, key, domain);
            all.into_iter().zip(stand_ins).collect()
        };
        Self {
            key: key.clone(),
            numbers: NumberMap::new(numbers, key),
            times,
            texts: texts.collect(),
            words: words::words(&words, key),
            uuids: bits::uuids(&uuids, key),
            addresses: Addresses::new(&addresses, key),
            macs: binary(macs, "macs"),
            bytes: binary(bytes, "bytes"),
            dropped: BTreeSet::new(),
        }
    }

    /// What was dropped, in sentences.
    pub(crate) fn take_dropped(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.dropped)
    }

    pub(crate) fn shift_days(&self) -> i64 {
        times::shift_days(&self.key)
    }
}

/// The texts in the order that the server told, those that it was not asked for behind.
fn in_order(mut found: BTreeSet<String>, sorted: Option<&Vec<String>>) -> Vec<String> {
    let mut all: Vec<String> = sorted.into_iter().flatten().filter(|t| found.remove(*t)).cloned().collect();
    all.extend(found);
    all
}

impl Replace for Mapping {
    fn scalar(&mut self, kind: &Kind, text: &str) -> Option<String> {
        let text_of = |order: &TextOrder, text: &str| self.texts.get(order)?.get(text).cloned();
        let hex = |map: &BTreeMap<Vec<u8>, Option<Vec<u8>>>| {
            let stand_in = map.get(&bits::read_hex(text)?)?.as_ref()?;
            Some(bits::write_hex(stand_in, text))
        };
        match kind {
            Kind::Number(_) => self.numbers.replace(text),
            Kind::Time => self.times.replace_point(text),
            Kind::TimeOfDay => self.times.replace_clock(text),
            Kind::Interval => self.times.replace_interval(text),
            Kind::Text(order) => text_of(order, text),
            Kind::Padded(order) => {
                let bare = text.trim_end_matches(' ');
                Some(format!("{}{}", text_of(order, bare)?, &text[bare.len()..]))
            }
            Kind::Word => self.words.get(text).cloned(),
            Kind::Uuid => Some(bits::write_uuid(*self.uuids.get(&bits::read_uuid(text)?)?)),
            Kind::Address => self.addresses.replace(text),
            Kind::Mac => hex(&self.macs),
            Kind::Bytes => hex(&self.bytes),
            _ => None,
        }
    }

    fn beginning(&mut self, text: &str) -> String {
        let none = BTreeMap::new();
        texts::beginning(self.texts.get(&TextOrder::Database).unwrap_or(&none), text, &self.key)
    }

    fn lengths(&mut self, values: &[f64]) -> Vec<f64> {
        times::lengths(values, &self.key)
    }

    fn dropped(&mut self, what: String) {
        self.dropped.insert(what);
    }
}
