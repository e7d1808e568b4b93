//! What stands in for a network address or a UUID?
//!
//! Addresses keep their networks: two that share the first bits do so afterwards. A bit in which addresses differ
//! stays, because order depends on it; bits that all addresses below have in common are random. Source: Xu, Fan,
//! Ammar, Moon: *Prefix-Preserving IP Address Anonymization* (ICNP 2002), with order besides. UUIDs have no order
//! that means anything, so theirs are new ones in the same order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::Rng as _;

use crate::key::Key;

/// An address: version, bits from the top, bits of the network.
pub(crate) type Address = (bool, u128, u8);

/// Reads `10.0.0.0/8`.
pub(crate) fn read_address(text: &str) -> Option<Address> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => {
            let bits = bits.unwrap_or(32);
            (bits <= 32).then(|| (false, u128::from(v4.to_bits()) << 96, bits))
        }
        IpAddr::V6(v6) => {
            let bits = bits.unwrap_or(128);
            (bits <= 128).then(|| (true, v6.to_bits(), bits))
        }
    }
}

fn write_address((is_v6, bits, network): Address, with_network: bool) -> String {
    let address = match is_v6 {
        true => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        false => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits >> 96).unwrap_or(0))),
    };
    if with_network { format!("{address}/{network}") } else { address.to_string() }
}

/// Stand-ins for addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses(BTreeMap<Address, Address>);

impl Addresses {
    pub(crate) fn new(all: &BTreeSet<Address>, key: &Key) -> Self {
        let mut map = BTreeMap::new();
        for version in [false, true] {
            let sorted: Vec<Address> = all.iter().filter(|a| a.0 == version).copied().collect();
            let mut out: Vec<u128> = vec![0; sorted.len()];
            let width = if version { 128_u32 } else { 32 };
            let mut open = vec![(0..sorted.len(), 0_u32)];
            while let Some((range, depth)) = open.pop() {
                if range.is_empty() || depth == width {
                    continue;
                }
                let bit = |at: usize| sorted[at].1 >> (127 - depth) & 1;
                let split = range.clone().find(|at| bit(*at) == 1).unwrap_or(range.end);
                // Below a network all bits are zero and have to stay so.
                let fixed = range.clone().any(|at| u32::from(sorted[at].2) <= depth && bit(at) == 0);
                let both = split > range.start && split < range.end;
                let chosen = (!both && !fixed).then(|| {
                    let before = sorted[range.start].1.checked_shr(128 - depth).unwrap_or(0);
                    let place =
                        [&before.to_be_bytes()[..], &depth.to_be_bytes(), &[u8::from(version)]].concat();
                    u128::from(key.stream("addresses", &place).random::<bool>())
                });
                for at in range.clone() {
                    out[at] |= chosen.unwrap_or_else(|| bit(at)) << (127 - depth);
                }
                open.push((range.start..split, depth + 1));
                open.push((split..range.end, depth + 1));
            }
            for (source, bits) in sorted.iter().zip(out) {
                map.insert(*source, (source.0, bits, source.2));
            }
        }
        Self(map)
    }

    pub(crate) fn replace(&self, text: &str) -> Option<String> {
        let stand_in = self.0.get(&read_address(text)?)?;
        Some(write_address(*stand_in, text.contains('/')))
    }
}

/// Stand-ins for UUIDs.
pub(crate) fn uuids(all: &BTreeSet<u128>, key: &Key) -> BTreeMap<u128, u128> {
    let mut random = key.stream("uuids", &[]);
    let mut stand_ins = BTreeSet::new();
    while stand_ins.len() < all.len() {
        stand_ins.insert(random.random::<u128>());
    }
    all.iter().copied().zip(stand_ins).collect()
}

/// Reads a UUID with its hyphens.
pub(crate) fn read_uuid(text: &str) -> Option<u128> {
    let hyphens: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
    if text.len() != 36 || hyphens != [8, 13, 18, 23] {
        return None;
    }
    u128::from_str_radix(&text.replace('-', ""), 16).ok()
}

pub(crate) fn write_uuid(value: u128) -> String {
    let hex = format!("{value:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The bytes of `\x0a1b` or `08:00:2b:01:02:03`.
pub(crate) fn read_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x").map_or_else(|| text.replace(':', ""), str::to_owned);
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

pub(crate) fn write_hex(bytes: &[u8], like: &str) -> String {
    let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    if like.starts_with("\\x") { format!("\\x{}", pairs.concat()) } else { pairs.join(":") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_stay_networks_and_order_stays() {
        let texts = [
            "10.0.0.0/8",
            "10.0.0.1",
            "10.1.2.3",
            "10.1.2.77",
            "192.168.0.0/16",
            "192.168.7.1",
            "fe80::1",
            "fe80::2",
        ];
        let all: BTreeSet<Address> = texts.iter().map(|t| read_address(t).unwrap()).collect();
        let addresses = Addresses::new(&all, &Key::new([5; 32]));
        let replaced: Vec<Address> =
            texts.iter().map(|t| read_address(&addresses.replace(t).unwrap()).unwrap()).collect();
        assert!(replaced.is_sorted(), "{replaced:?}");
        let top = |a: Address, bits: u32| a.1 >> (128 - bits);
        assert_eq!(top(replaced[0], 8), top(replaced[2], 8));
        assert_eq!(top(replaced[2], 24), top(replaced[3], 24));
        assert_eq!(top(replaced[4], 16), top(replaced[5], 16));
        // A network has no bits beyond its mask.
        assert_eq!(replaced[0].1 << 8, 0);
        assert_ne!(addresses.replace("10.1.2.77").as_deref(), Some("10.1.2.77"));
        assert_eq!(read_address("10.0.0.1/33"), None);
        assert_eq!(read_address("hello"), None);
    }

    #[test]
    fn uuids_and_bytes_are_read_and_written_alike() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(write_uuid(read_uuid(text).unwrap()), text);
        assert_eq!(read_uuid("0f8fad5b-d9cb-469f-a165-7086772895"), None);
        for text in ["\\x00ff", "08:00:2b:01:02:03", "\\x"] {
            assert_eq!(write_hex(&read_hex(text).unwrap(), text), text);
        }
        assert_eq!(read_hex("\\xzz"), None);
    }
}
