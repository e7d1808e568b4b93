//! How is a log of any size read within little memory? In blocks that end where an entry ends; plain, gzip or zstd.

use std::io::{ErrorKind, Read};

use crate::format::Format;
use crate::language;

/// Bytes that a block has at least, unless the log ends.
const BLOCK_BYTES: usize = 2 << 20;

/// Bytes in which an entry must end; one that does not is cut, and its rest counted as unread lines.
const MAX_ENTRY_BYTES: usize = 32 << 20;

/// Bytes from which the format is found out.
const SAMPLE_BYTES: usize = 256 * 1024;

/// A log that is read block by block.
pub(crate) struct Blocks<R> {
    source: R,
    format: Format,
    /// What was read beyond the last block.
    rest: Vec<u8>,
    ended: bool,
    /// Whether the compressed data end before their end.
    cut_off: bool,
    /// Whether messages at its beginning are in another language than English.
    other_language: bool,
}

/// What stands in front of compressed data.
pub(crate) fn decoded<'a>(mut source: impl Read + Send + 'a) -> std::io::Result<Box<dyn Read + Send + 'a>> {
    let mut magic = [0_u8; 4];
    let (length, _) = fill(&mut source, &mut magic)?;
    let whole = std::io::Cursor::new(magic[..length].to_vec()).chain(source);
    Ok(match &magic[..length] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

impl<R: Read> Blocks<R> {
    /// Finds out the format; otherwise gives what there is: a log without anything is no mistake.
    pub(crate) fn open(mut source: R) -> std::io::Result<Result<Self, Vec<u8>>> {
        let mut rest = vec![0; SAMPLE_BYTES];
        let (length, cut_off) = fill(&mut source, &mut rest)?;
        rest.truncate(length);
        // A file may begin with zeros where it was rotated by copying.
        let zeros = rest.iter().take_while(|b| **b == 0).count();
        rest.drain(..zeros);
        if rest.starts_with(b"\xef\xbb\xbf") {
            rest.drain(..3);
        }
        if cut_off && rest.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let Some(format) = Format::detect(&rest) else { return Ok(Err(rest.trim_ascii().to_vec())) };
        let other_language = language::is_another(&rest);
        Ok(Ok(Self { source, format, rest, ended: cut_off, cut_off, other_language }))
    }

    pub(crate) fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// Whether the compressed data ended before their end, as far as they were read.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// Whether messages at its beginning are in another language than English.
    pub(crate) fn is_in_another_language(&self) -> bool {
        self.other_language
    }

    pub(crate) fn format(&self) -> &Format {
        &self.format
    }

    /// Puts the next block into `block`, which is emptied before; false at the end.
    pub(crate) fn next(&mut self, block: &mut Vec<u8>) -> std::io::Result<bool> {
        block.clear();
        std::mem::swap(block, &mut self.rest);
        let mut wanted = BLOCK_BYTES;
        loop {
            while !self.ended && block.len() < wanted {
                let begin = block.len();
                block.resize(wanted, 0);
                let (length, cut_off) = fill(&mut self.source, &mut block[begin..])?;
                block.truncate(begin + length);
                self.ended = cut_off || length < wanted - begin;
                self.cut_off |= cut_off;
            }
            if self.ended {
                return Ok(!block.is_empty());
            }
            if let Some(at) = self.format.cut(block) {
                self.rest.clear();
                self.rest.extend_from_slice(&block[at..]);
                block.truncate(at);
                return Ok(true);
            }
            if block.len() >= MAX_ENTRY_BYTES {
                return Ok(true);
            }
            wanted = (block.len() * 2).min(MAX_ENTRY_BYTES);
        }
    }
}

/// Reads until the buffer is full or the source ends, and says whether it ended in the middle of compressed data.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<(usize, bool)> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok((length, true)),
            Err(e) => return Err(e),
        }
    }
    Ok((length, false))
}
