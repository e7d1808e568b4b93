//! How does a test get a real server of S3-compatible storage? `s3s` speaks the protocol, signatures included, and
//! `s3s-fs` keeps buckets as folders, where a test can look at them.

use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3ServiceBuilder, SharedS3Service};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

/// A server on a port of its own. It goes away when it is dropped.
pub struct ObjectStorage {
    directory: tempfile::TempDir,
    certificates: tempfile::TempDir,
    endpoint: String,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl ObjectStorage {
    /// Who may use it.
    pub const ACCESS_KEY_ID: &str = "archivist";
    /// With which secret.
    pub const SECRET_ACCESS_KEY: &str = "kept/secret+";

    /// Starts one with an empty bucket.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start(bucket: &str) -> Self {
        Self::started(bucket, false)
    }

    /// Starts one that speaks TLS only, with a certificate of an authority of its own.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start_with_tls(bucket: &str) -> Self {
        Self::started(bucket, true)
    }

    fn started(bucket: &str, tls: bool) -> Self {
        let directory = tempfile::tempdir().expect("a folder can be made");
        std::fs::create_dir(directory.path().join(bucket)).expect("a folder can be made");
        let files = s3s_fs::FileSystem::new(directory.path()).expect("the folder is there");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port can be had");
        listener.set_nonblocking(true).expect("a socket can be set up");
        let port = listener.local_addr().expect("it has an address").port();
        let certificates = tempfile::tempdir().expect("a folder can be made");
        let acceptor = tls.then(|| certified(certificates.path()));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        // A thread of its own: tests wait for pgwright without giving way.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be built").block_on(async move {
                tokio::select! {
                    () = serve(listener, files, acceptor) => {}
                    _ = stopped => {}
                }
            });
        });
        let scheme = if tls { "https" } else { "http" };
        Self { directory, certificates, endpoint: format!("{scheme}://127.0.0.1:{port}"), _stop: stop }
    }

    /// The certificate of the authority that has signed the server's.
    pub fn ca_file(&self) -> PathBuf {
        self.certificates.path().join("ca.pem")
    }

    /// The certificate of another authority of the same name.
    pub fn strange_ca_file(&self) -> PathBuf {
        self.certificates.path().join("strange.pem")
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What programs are told by the environment.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_REGION", "nowhere-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", Self::SECRET_ACCESS_KEY.to_owned()),
        ]
    }

    /// The folder of its buckets.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The file that an object is.
    pub fn file(&self, bucket: &str, key: &str) -> PathBuf {
        self.directory.path().join(bucket).join(key)
    }

    /// The keys of a bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let root = self.directory.path().join(bucket);
        let (mut keys, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for path in paths(&folder) {
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        keys.push(path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned())
                    }
                }
            }
        }
        keys.sort();
        keys
    }

    /// How many parts, and uploads without an end, lie about.
    pub fn open_uploads(&self) -> usize {
        let is_upload = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".upload"))
        };
        paths(self.directory.path()).iter().filter(|path| is_upload(path)).count()
    }
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Makes two authorities, writes down their certificates, and lets the first sign for this machine.
fn certified(folder: &Path) -> TlsAcceptor {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let key = || KeyPair::generate().expect("a key can be made");
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no name is a good name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = |params| CertifiedIssuer::self_signed(params, key()).expect("an authority signs for itself");
    let (authority, stranger) = (issuer(params.clone()), issuer(params));
    for (name, text) in [("ca.pem", authority.pem()), ("strange.pem", stranger.pem())] {
        std::fs::write(folder.join(name), text).expect("a file can be written");
    }
    let own_key = key();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .and_then(|params| params.signed_by(&own_key, &authority))
        .expect("an authority signs");
    let certificate = CertificateDer::from_pem_slice(own.pem().as_bytes()).expect("it was written just now");
    let private =
        PrivateKeyDer::from_pem_slice(own_key.serialize_pem().as_bytes()).expect("it was made just now");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], private))
        .expect("key and certificate belong together");
    TlsAcceptor::from(std::sync::Arc::new(config))
}

async fn serve(listener: std::net::TcpListener, files: s3s_fs::FileSystem, acceptor: Option<TlsAcceptor>) {
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(ObjectStorage::ACCESS_KEY_ID, ObjectStorage::SECRET_ACCESS_KEY));
    let service = builder.build().into_shared();
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener can be used");
    while let Ok((socket, _)) = listener.accept().await {
        let (service, acceptor) = (service.clone(), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                None => answer(socket, service).await,
                Some(acceptor) => {
                    if let Ok(socket) = acceptor.accept(socket).await {
                        answer(socket, service).await;
                    }
                }
            }
        });
    }
}

async fn answer(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: SharedS3Service) {
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}
