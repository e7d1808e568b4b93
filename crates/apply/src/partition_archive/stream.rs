//! How do rows get into a compressed file and out of it again, without memory growing with the table?

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use bytes::{Buf as _, Bytes};
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

use super::ArchiveError;
use super::bucket::Upload;
use super::folder::PartialFile;

/// zstd's own default: about as fast as a disk.
const LEVEL: i32 = 3;
const PIECE: usize = 64 * 1024;

/// Where what was compressed goes.
pub(super) enum Sink {
    File(PartialFile),
    Object(Upload),
}

impl Sink {
    fn part_bytes(&self) -> usize {
        match self {
            Self::File(_) => PIECE,
            Self::Object(upload) => upload.part_bytes,
        }
    }
}

/// Rows that are being written. Dropped before it was finished, it leaves no file, but parts of an object.
pub(super) struct Writing {
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    sink: Sink,
    bytes: u64,
}

impl Writing {
    pub fn new(sink: Sink) -> io::Result<Self> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
        // zstd's own checksum finds a damaged block where it is.
        encoder.include_checksum(true)?;
        Ok(Self { encoder, sink, bytes: 0 })
    }

    pub async fn write(&mut self, piece: &[u8]) -> Result<(), ArchiveError> {
        self.encoder.write_all(piece).map_err(compressing)?;
        let part_bytes = self.sink.part_bytes();
        while self.encoder.get_ref().len() >= part_bytes {
            let compressed = self.encoder.get_mut();
            let rest = compressed.split_off(part_bytes);
            let part = std::mem::replace(compressed, rest);
            self.bytes += part.len() as u64;
            match &mut self.sink {
                Sink::File(file) => file.write(&part)?,
                Sink::Object(upload) => upload.send(part).await?,
            }
        }
        Ok(())
    }

    /// Writes the rest, and lets it be seen; how many bytes it has.
    pub async fn finish(self) -> Result<u64, ArchiveError> {
        let Self { encoder, mut sink, bytes } = self;
        let finished = match encoder.finish().map_err(compressing) {
            Err(error) => Err(error),
            Ok(rest) => {
                let bytes = bytes + rest.len() as u64;
                let written = match &mut sink {
                    Sink::File(file) => file.write(&rest).and_then(|()| file.finish()),
                    Sink::Object(upload) => upload.finish(rest).await,
                };
                written.map(|()| bytes)
            }
        };
        if let (Err(_), Sink::Object(upload)) = (&finished, sink) {
            upload.give_up().await;
        }
        finished
    }

    /// Takes back what was written.
    pub async fn give_up(self) {
        if let Sink::Object(upload) = self.sink {
            upload.give_up().await;
        }
    }
}

fn compressing(error: io::Error) -> ArchiveError {
    ArchiveError::Unfit(format!("the rows could not be compressed: {error}"))
}

/// Where what is compressed comes from.
pub(super) enum Source {
    File(File),
    Object(BoxStream<'static, Result<Bytes, ArchiveError>>),
}

/// The rows of an archive, piece by piece.
pub(super) struct Reading {
    shown: String,
    source: Source,
    decoder: Decoder<'static>,
    input: Bytes,
    /// Nothing is compressed as nothing, too.
    is_whole: bool,
    piece: Vec<u8>,
}

impl Reading {
    pub fn new(source: Source, shown: String) -> Result<Self, ArchiveError> {
        match Decoder::new() {
            Ok(decoder) => Ok(Self {
                shown,
                source,
                decoder,
                input: Bytes::new(),
                is_whole: true,
                piece: vec![0; PIECE],
            }),
            Err(source) => Err(ArchiveError::File { doing: "read", path: shown, source }),
        }
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, ArchiveError> {
        loop {
            let mut is_over = false;
            if self.input.is_empty() {
                match self.more().await? {
                    Some(input) => self.input = input,
                    None if self.is_whole => return Ok(None),
                    None => is_over = true,
                }
            }
            let (read, written) = {
                let mut input = InBuffer::around(&self.input);
                let mut output = OutBuffer::around(self.piece.as_mut_slice());
                let hint = self.decoder.run(&mut input, &mut output).map_err(|source| {
                    ArchiveError::File { doing: "read", path: self.shown.clone(), source }
                })?;
                self.is_whole = hint == 0;
                (input.pos(), output.pos())
            };
            self.input.advance(read);
            if written > 0 {
                return Ok(self.piece.get(..written));
            }
            if is_over && !self.is_whole {
                return Err(ArchiveError::Differs(format!("\"{}\" was cut off", self.shown)));
            }
        }
    }

    /// What comes next, compressed; `None` at the end.
    async fn more(&mut self) -> Result<Option<Bytes>, ArchiveError> {
        match &mut self.source {
            Source::File(file) => {
                let mut buffer = vec![0; PIECE];
                let read = file.read(&mut buffer).map_err(|source| ArchiveError::File {
                    doing: "read",
                    path: self.shown.clone(),
                    source,
                })?;
                buffer.truncate(read);
                Ok(Some(Bytes::from(buffer)).filter(|b| !b.is_empty()))
            }
            Source::Object(stream) => loop {
                match stream.try_next().await? {
                    Some(bytes) if bytes.is_empty() => {}
                    next => return Ok(next),
                }
            },
        }
    }
}
