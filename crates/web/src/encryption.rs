//! How does a browser reach the pages so that nobody reads along? By TLS, with a certificate from files.
//!
//! Handshakes are made beside each other, each within [`HANDSHAKE`]: a client that begins one and says nothing more keeps
//! nobody waiting.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// So many handshakes are under way at a time.
const HANDSHAKES: usize = 64;
/// How long nobody is let in after the operating system had no more room for connections.
const OUT_OF_ROOM: Duration = Duration::from_millis(200);

/// A certificate with its key.
#[derive(Clone)]
pub struct Encryption(TlsAcceptor);

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encryption")
    }
}

/// Why files are no certificate and key.
#[derive(Debug, thiserror::Error)]
#[error("could not use \"{}\" for TLS", path.display())]
pub struct Error {
    path: PathBuf,
    reason: String,
}

impl Error {
    fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.to_owned(), reason: reason.to_string() }
    }

    /// What is wrong with the file.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl Encryption {
    /// Reads a certificate with those that vouch for it, and its key, from files in PEM.
    ///
    /// # Errors
    /// When a file cannot be read, holds none, or the two do not belong together.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|e| Error::new(certificate, e))?;
        if chain.is_empty() {
            return Err(Error::new(certificate, "it holds no certificate"));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| Error::new(key, e))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::new(certificate, e))?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|e| Error::new(key, e))?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

/// A port whose connections are encrypted.
pub(crate) struct Encrypted {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl Encrypted {
    /// Begins to accept connections of a port. It ends with the listener.
    pub fn new(listener: TcpListener, encryption: Encryption) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (done, ready) = mpsc::channel(HANDSHAKES);
        tokio::spawn(shake_hands(listener, encryption, done));
        Ok(Self { ready, address })
    }
}

async fn shake_hands(
    listener: TcpListener,
    encryption: Encryption,
    done: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let room = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = done.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // A client that has gone, or too many open files.
            tokio::time::sleep(OUT_OF_ROOM).await;
            continue;
        };
        let (done, acceptor) = (done.clone(), encryption.0.clone());
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                let _ = done.send((stream, peer)).await;
            }
            drop(place);
        });
    }
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // Whoever shook hands is gone with the runtime, which ends this too.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::ConnectInfo;
    use axum::routing::get;
    use axum::serve::ListenerExt as _;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;

    use super::*;

    fn made(folder: &Path) -> (PathBuf, PathBuf, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key, made.cert.der().clone())
    }

    #[tokio::test]
    async fn what_is_sent_is_encrypted_and_who_is_silent_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key, trusted) = made(folder.path());
        let encryption = Encryption::from_files(&certificate, &key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
        let router =
            Router::new().route("/", get(answer)).into_make_service_with_connect_info::<SocketAddr>();
        let listener = Encrypted::new(listener, encryption).unwrap().tap_io(|_| ());
        tokio::spawn(async move { axum::serve(listener, router).await });

        let silent = TcpStream::connect(address).await.unwrap();
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        let _ = plain.read_to_end(&mut said).await;
        assert!(!said.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&said));

        let mut roots = RootCertStore::empty();
        roots.add(trusted).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said).await;
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("127.0.0.1"), "{said}");
        drop(silent);
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key, _) = made(folder.path());
        let other = folder.path().join("other");
        std::fs::create_dir(&other).unwrap();
        let (_, other_key, _) = made(&other);
        let nonsense = folder.path().join("nonsense.pem");
        std::fs::write(&nonsense, "nothing of the kind").unwrap();
        for (certificate, key) in [
            (&certificate, &other_key),
            (&certificate, &nonsense),
            (&nonsense, &key),
            (&folder.path().join("absent"), &key),
        ] {
            let error = Encryption::from_files(certificate, key).unwrap_err();
            assert!(!error.reason().is_empty());
            assert!(error.to_string().starts_with("could not use \""), "{error}");
        }
    }
}
