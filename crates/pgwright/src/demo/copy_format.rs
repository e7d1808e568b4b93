//! How are rows written for `COPY … (FORMAT binary)`?
//!
//! Source: PostgreSQL manual, "COPY", Binary Format; `numeric_send` in `numeric.c`, `jsonb_send` in
//! `jsonb.c`. Rows are encoded straight into a buffer, which is several times faster than handing
//! each value to the driver, and the generator can then run on a thread of its own.

use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Microseconds between 1970-01-01 and 2000-01-01, where PostgreSQL counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A buffer is sent on when it has grown to this many bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// A time as PostgreSQL stores it: microseconds since 2000-01-01 00:00 UTC.
pub type Timestamp = i64;

/// The stored form of an instant.
pub fn timestamp(instant: DateTime<Utc>) -> Timestamp {
    instant.timestamp_micros() - POSTGRES_EPOCH_MICROS
}

/// The receiving side has gone: the copy failed, and its error is reported there.
#[derive(Debug)]
pub struct Stopped;

/// Encodes rows and hands them in chunks to the task that copies them to the server.
pub struct RowSink {
    buffer: BytesMut,
    rows: u64,
    chunks: mpsc::Sender<Chunk>,
}

/// Encoded rows on their way to the server.
pub struct Chunk {
    /// Bytes of the binary format, header and trailer included.
    pub data: Bytes,
    /// How many rows are complete by the end of this chunk.
    pub rows: u64,
}

impl RowSink {
    /// Starts a stream of rows.
    pub fn new(chunks: mpsc::Sender<Chunk>) -> Self {
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES + 4096);
        buffer.put_slice(b"PGCOPY\n\xff\r\n\0");
        buffer.put_i32(0); // flags: no OIDs
        buffer.put_i32(0); // no header extension
        Self { buffer, rows: 0, chunks }
    }

    /// Starts a row of `columns` values; the caller then puts exactly that many.
    ///
    /// # Errors
    /// [`Stopped`] when nobody takes the rows any more.
    pub fn row(&mut self, columns: i16) -> Result<&mut Self, Stopped> {
        if self.buffer.len() >= CHUNK_BYTES {
            self.send()?;
        }
        self.rows += 1;
        self.buffer.put_i16(columns);
        Ok(self)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`Stopped`] when nobody takes the rows any more.
    pub fn finish(mut self) -> Result<(), Stopped> {
        self.buffer.put_i16(-1);
        self.send()
    }

    fn send(&mut self) -> Result<(), Stopped> {
        let full = std::mem::replace(&mut self.buffer, BytesMut::with_capacity(CHUNK_BYTES + 4096));
        self.chunks.blocking_send(Chunk { data: full.freeze(), rows: self.rows }).map_err(|_| Stopped)
    }

    /// A null of any type.
    pub fn null(&mut self) -> &mut Self {
        self.buffer.put_i32(-1);
        self
    }

    /// A `uuid`.
    pub fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.buffer.put_i32(16);
        self.buffer.put_slice(value.as_bytes());
        self
    }

    /// A `text` or `varchar`.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.buffer.put_i32(value.len() as i32);
        self.buffer.put_slice(value.as_bytes());
        self
    }

    /// A `jsonb`, from its text; the leading byte is the version of the transport format.
    pub fn jsonb(&mut self, value: &str) -> &mut Self {
        self.buffer.put_i32(value.len() as i32 + 1);
        self.buffer.put_u8(1);
        self.buffer.put_slice(value.as_bytes());
        self
    }

    /// A `boolean`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.buffer.put_i32(1);
        self.buffer.put_u8(u8::from(value));
        self
    }

    /// An `integer`.
    pub fn int4(&mut self, value: i32) -> &mut Self {
        self.buffer.put_i32(4);
        self.buffer.put_i32(value);
        self
    }

    /// A `bigint`.
    pub fn int8(&mut self, value: i64) -> &mut Self {
        self.buffer.put_i32(8);
        self.buffer.put_i64(value);
        self
    }

    /// A `double precision`.
    pub fn float8(&mut self, value: f64) -> &mut Self {
        self.buffer.put_i32(8);
        self.buffer.put_f64(value);
        self
    }

    /// A `timestamptz`.
    pub fn timestamptz(&mut self, value: Timestamp) -> &mut Self {
        self.int8(value)
    }

    /// A value or a null.
    pub fn optional<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            Some(value) => put(self, value),
            None => {
                self.null();
            }
        }
        self
    }

    /// A `numeric` with four decimals, from its value in ten-thousandths (never negative here).
    ///
    /// PostgreSQL keeps digits in base 10,000, so four decimals are exactly one digit.
    pub fn numeric4(&mut self, ten_thousandths: u64) -> &mut Self {
        let (mut whole, fraction) = (ten_thousandths / 10_000, (ten_thousandths % 10_000) as i16);
        let mut digits = [0i16; 6];
        let mut count = 0;
        while whole > 0 {
            digits[count] = (whole % 10_000) as i16;
            whole /= 10_000;
            count += 1;
        }
        let with_fraction = count + usize::from(fraction != 0);
        self.buffer.put_i32(8 + 2 * with_fraction as i32);
        self.buffer.put_i16(with_fraction as i16);
        self.buffer.put_i16(count as i16 - 1); // weight of the first digit
        self.buffer.put_i16(0); // positive
        self.buffer.put_i16(4); // decimals shown
        for digit in digits[..count].iter().rev() {
            self.buffer.put_i16(*digit);
        }
        if fraction != 0 {
            self.buffer.put_i16(fraction);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_encoded_as_the_manual_says() {
        let (send, mut receive) = mpsc::channel(4);
        let mut sink = RowSink::new(send);
        sink.row(3).unwrap().int4(7).null().text("ab");
        sink.finish().unwrap();
        let chunk = receive.blocking_recv().unwrap();
        assert_eq!(chunk.rows, 1);
        assert_eq!(&chunk.data[19..21], [0, 3]);
        assert_eq!(&chunk.data[21..29], [0, 0, 0, 4, 0, 0, 0, 7]);
        assert_eq!(&chunk.data[29..33], [0xff; 4]);
        assert_eq!(&chunk.data[33..39], [0, 0, 0, 2, b'a', b'b']);
        assert_eq!(&chunk.data[39..], [0xff, 0xff]);
    }

    #[test]
    fn the_generator_stops_when_the_copy_has_gone() {
        let (send, receive) = mpsc::channel(1);
        drop(receive);
        assert!(RowSink::new(send).finish().is_err());
    }
}
