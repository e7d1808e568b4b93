//! Which values does a snapshot hold? They are gathered by kind before any of them is replaced.

use std::collections::{BTreeMap, BTreeSet};

use model::Snapshot;

use crate::bits::{self, Address};
use crate::kind::{Kind, TextOrder};
use crate::numbers::{self, Numbers};
use crate::times::Times;
use crate::values::Replace;
use crate::walk;

/// All values, by what can be equal to what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) numbers: Numbers,
    pub(crate) times: Times,
    pub(crate) texts: BTreeMap<TextOrder, BTreeSet<String>>,
    pub(crate) words: BTreeSet<String>,
    pub(crate) uuids: BTreeSet<u128>,
    pub(crate) addresses: BTreeSet<Address>,
    pub(crate) macs: BTreeSet<Vec<u8>>,
    pub(crate) bytes: BTreeSet<Vec<u8>>,
}

/// Goes through a snapshot as if to replace everything by itself.
pub(crate) fn gather(snapshot: &Snapshot) -> Gathered {
    let mut gathered = Gathered::default();
    walk::replaced(snapshot, &mut gathered);
    gathered
}

impl Replace for Gathered {
    fn scalar(&mut self, kind: &Kind, text: &str) -> Option<String> {
        match kind {
            Kind::Number(limit) => {
                if let Some(number) = numbers::parse(text) {
                    self.numbers.add(number, limit.as_ref());
                }
            }
            Kind::Time => self.times.add_point(text),
            Kind::TimeOfDay => self.times.add_clock(text),
            Kind::Interval => self.times.add_interval(text),
            Kind::Text(order) => {
                self.texts.entry(order.clone()).or_default().insert(text.to_owned());
            }
            Kind::Padded(order) => {
                self.texts.entry(order.clone()).or_default().insert(text.trim_end_matches(' ').to_owned());
            }
            Kind::Word => {
                self.words.insert(text.to_owned());
            }
            Kind::Uuid => self.uuids.extend(bits::read_uuid(text)),
            Kind::Address => self.addresses.extend(bits::read_address(text)),
            Kind::Mac => self.macs.extend(bits::read_hex(text)),
            Kind::Bytes => self.bytes.extend(bits::read_hex(text)),
            _ => {}
        }
        Some(text.to_owned())
    }

    fn beginning(&mut self, text: &str) -> String {
        text.to_owned()
    }

    fn lengths(&mut self, values: &[f64]) -> Vec<f64> {
        values.to_vec()
    }

    fn dropped(&mut self, _: String) {}
}
