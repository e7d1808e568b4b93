//! How are families put together from several sources written, each once, in any format?

use std::collections::BTreeMap;

use crate::board::{Chunk, NativeHistogram};
use crate::exposition::{self, Format, Kind};
use crate::protobuf;

/// A family and everything that is known of it.
#[derive(Debug)]
pub(crate) struct Family {
    kind: Kind,
    help: String,
    pub text: String,
    pub native: Vec<NativeHistogram>,
}

/// Families by name.
#[derive(Debug, Default)]
pub(crate) struct Families {
    all: BTreeMap<String, Family>,
}

impl Families {
    /// The family of that name; nothing when another of that name is something else.
    pub fn of_kind(&mut self, name: &str, kind: Kind, help: &str) -> Option<&mut Family> {
        if !self.all.contains_key(name) {
            let family = Family { kind, help: help.to_owned(), text: String::new(), native: Vec::new() };
            self.all.insert(name.to_owned(), family);
        }
        self.all.get_mut(name).filter(|family| family.kind == kind)
    }

    /// Adds what one source tells.
    pub fn add(&mut self, chunk: &Chunk) {
        if let Some(family) = self.of_kind(&chunk.name, chunk.kind, &chunk.help) {
            family.text.push_str(&chunk.text);
            family.native.extend_from_slice(&chunk.native);
        }
    }

    /// Writes those of which there are samples.
    pub fn write(&self, format: Format) -> Vec<u8> {
        let mut text = String::with_capacity(self.all.values().map(|f| f.text.len() + 300).sum());
        let mut bytes = Vec::new();
        for (name, family) in self.all.iter().filter(|(_, family)| !family.text.is_empty()) {
            if format == Format::Protobuf {
                protobuf::family(name, family.kind, &family.help, &family.text, &family.native, &mut bytes);
            } else {
                exposition::head(format, name, family.kind, &family.help, &mut text);
                text.push_str(&family.text);
            }
        }
        exposition::end(format, &mut text);
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }
}
