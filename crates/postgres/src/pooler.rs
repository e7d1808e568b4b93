//! Is that a PostgreSQL server, or a pooler in front of one?
//!
//! Source: PgBouncer's manual ("pool_mode", "Feature matrix") and the protocol's BackendKeyData
//! message (55.7): a server announces the process id that `pg_backend_pid()` returns, a pooler
//! announces a key that it made up. So a difference means a pooler, of any make. In transaction mode
//! a second session can be served by the first one's process while both are open; that never
//! happens in session mode.
//!
//! Only the simple query protocol is used here, and nothing is set: before 1.21 PgBouncer loses
//! prepared statements in transaction mode, and a `SET` would stay in a connection of others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_postgres::Client;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use crate::error::Error;
use crate::session::single_row;

/// What stands between pgwright and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Nothing.
    None,
    /// A pooler that gives a session one server process for as long as it lasts.
    Session,
    /// A pooler that may give each transaction another process, or nobody could tell.
    Transaction,
}

/// What is asked of every new connection.
pub(crate) struct Probe {
    pub backend_pid: i32,
    pub version_num: i32,
    pub in_recovery: bool,
    pub read_only: bool,
}

const PROBE: &str = include_str!("../queries/probe.sql");

/// Rounds of the comparison; in a busy pool one may see two different processes by chance.
const ROUNDS: usize = 3;

/// In session mode a pool may have no second server connection to give.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn probe(client: &Client) -> Result<Probe, Error> {
    let messages = client.simple_query(PROBE).await.map_err(|error| Error::from_query("probe", &error))?;
    let row = single_row(&messages);
    let text = |column: &str| row.and_then(|r| r.try_get(column).ok().flatten()).unwrap_or_default();
    let number = |column: &str| {
        text(column).parse::<i32>().map_err(|error| Error::Decode {
            query: "probe".into(),
            column: column.into(),
            reason: error.to_string(),
        })
    };
    Ok(Probe {
        backend_pid: number("backend_pid")?,
        version_num: number("version_num")?,
        in_recovery: text("in_recovery") == "t",
        read_only: text("read_only") == "on",
    })
}

/// The process id in the server's BackendKeyData. The client library keeps it to itself, except that
/// it writes it into a cancel request; so one is written, into a pipe that leads back here.
pub(crate) async fn key_process_id(client: &Client) -> Option<i32> {
    let token = client.cancel_token();
    let (near, mut far) = tokio::io::duplex(64);
    let read = async {
        let mut head = [0_u8; 8];
        far.read_exact(&mut head).await.ok()?;
        if head == SSL_REQUEST {
            far.write_all(b"S").await.ok()?;
            far.read_exact(&mut head).await.ok()?;
        }
        let pid = far.read_i32().await.ok();
        let mut rest = Vec::new();
        let _ = far.read_to_end(&mut rest).await;
        pid
    };
    let (_, pid) = tokio::join!(token.cancel_query_raw(near, PassThrough), read);
    pid
}

/// Length 8 and the code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Tells session from transaction mode by a second session. When that cannot be had the answer is
/// the one that does no harm.
pub(crate) async fn classify(
    first: &Client,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
) -> Pooling {
    let comparison = async {
        let second = connect().await?;
        for _ in 0..ROUNDS {
            let before = probe(first).await?.backend_pid;
            second
                .batch_execute("BEGIN /* pgwright:pooler */ READ ONLY")
                .await
                .map_err(|error| Error::from_query("pooler", &error))?;
            let held = probe(&second).await?.backend_pid;
            // Decided, and a pool of one connection has none left for the first session.
            if held == before {
                return Ok(Pooling::Transaction);
            }
            let after = probe(first).await?.backend_pid;
            second
                .batch_execute("ROLLBACK /* pgwright:pooler */")
                .await
                .map_err(|error| Error::from_query("pooler", &error))?;
            if after != before {
                return Ok(Pooling::Transaction);
            }
        }
        Ok::<_, Error>(Pooling::Session)
    };
    match tokio::time::timeout(PATIENCE, comparison).await {
        Ok(Ok(pooling)) => pooling,
        Ok(Err(error)) => {
            tracing::debug!("pooler could not be classified: {error}");
            Pooling::Transaction
        }
        Err(_) => {
            tracing::debug!("pooler could not be classified in time");
            Pooling::Transaction
        }
    }
}

/// "TLS" over a pipe within this process: the bytes as they are.
struct PassThrough;

struct Plain(DuplexStream);

impl TlsConnect<DuplexStream> for PassThrough {
    type Stream = Plain;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Plain>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        std::future::ready(Ok(Plain(stream)))
    }
}

impl TlsStream for Plain {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
