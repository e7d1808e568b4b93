//! How is a bucket of S3-compatible storage written so that a half-written object never looks whole?
//!
//! An object is there when its PUT, or the completion of its parts, was answered, and not before. What a death leaves
//! behind are parts, which cost money and are listed nowhere that people look. So the upload's id is kept in an object
//! beside, `….partial`, from before the first part until the parts are one; the next run finds it and aborts the upload.
//!
//! Source: Amazon S3 User Guide, "Uploading and copying objects using multipart upload" (parts of 5 MiB to 5 GiB, at most
//! 10,000 of them); Cloudflare R2, "Multipart upload" (all parts but the last of one size).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{ClientConfigKey, ClientOptions, HttpClient, HttpConnector};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{MultipartId, ObjectStore as _, ObjectStoreExt as _, RetryConfig};
use tokio::task::JoinSet;

use super::ArchiveError;

/// The least that is sent at once.
const LEAST_PART_BYTES: u64 = 8 << 20;
/// Into how many parts twice the size of the table is cut; S3 takes 10,000.
const PARTS: u64 = 9_000;
/// How many parts are on their way at once.
const IN_FLIGHT: usize = 2;
/// A silence of the storage that is taken for an end. It counts while a part is sent, too.
const SILENCE: Duration = Duration::from_secs(300);
const CONNECTING: Duration = Duration::from_secs(10);
/// How long what failed for a reason that may pass is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How object storage is reached, and by whom.
#[derive(Clone, Default)]
pub struct ObjectStorage {
    /// The address, when it is not Amazon's.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the name of the host. By default it does where there is an
    /// endpoint.
    pub path_style: Option<bool>,
    /// Certificates that are trusted beside the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// The variables `AWS_…`, which go before the above.
    pub variables: BTreeMap<String, String>,
}

// Keys are secrets.
impl std::fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectStorage")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl ObjectStorage {
    /// A variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<&String> {
        self.variables.get(name).filter(|value| !value.is_empty())
    }

    fn endpoint(&self) -> Option<&String> {
        self.variable("AWS_ENDPOINT_URL_S3").or(self.variable("AWS_ENDPOINT_URL")).or(self.endpoint.as_ref())
    }
}

/// A bucket, and what the keys in it begin with.
#[derive(Clone)]
pub(super) struct Bucket {
    store: AmazonS3,
    prefix: Path,
    url: String,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Bucket").field(&self.url).finish()
    }
}

impl Bucket {
    pub fn open(bucket: &str, prefix: &str, storage: &ObjectStorage) -> Result<Self, ArchiveError> {
        let mut url = format!("s3://{bucket}");
        if !prefix.is_empty() {
            url.push('/');
            url.push_str(prefix);
        }
        let unfit = |reason: String| ArchiveError::Unfit(format!("\"{url}\" cannot be used: {reason}"));
        let mut builder = AmazonS3Builder::new();
        if let Some(region) = &storage.region {
            builder = builder.with_region(region);
        }
        for (name, value) in storage.variables.iter().filter(|(_, value)| !value.is_empty()) {
            use AmazonS3ConfigKey as K;
            match name.to_ascii_lowercase().parse::<K>() {
                // They are decided here; and the default region is no more than that.
                Ok(K::Endpoint | K::S3Endpoint | K::VirtualHostedStyleRequest | K::Bucket) | Err(_) => {}
                Ok(K::DefaultRegion) if storage.variable("AWS_REGION").is_some() => {}
                Ok(K::DefaultRegion) => builder = builder.with_region(value),
                Ok(key) => builder = builder.with_config(key, value),
            }
        }
        let path_style = storage.path_style.unwrap_or(storage.endpoint().is_some());
        if let Some(endpoint) = storage.endpoint() {
            let (scheme, host) = endpoint
                .split_once("://")
                .filter(|(scheme, host)| matches!(*scheme, "http" | "https") && !host.is_empty())
                .ok_or_else(|| unfit(format!("its endpoint \"{endpoint}\" is no http or https address")))?;
            builder = builder.with_allow_http(scheme == "http").with_endpoint(match path_style {
                true => endpoint.trim_end_matches('/').to_owned(),
                false => format!("{scheme}://{bucket}.{}", host.trim_end_matches('/')),
            });
        }
        let ca_file = storage.variable("AWS_CA_BUNDLE").map(PathBuf::from).or(storage.ca_file.clone());
        let store = builder
            .with_bucket_name(bucket)
            // A certificate for *.s3.amazonaws.com does not cover names with dots.
            .with_virtual_hosted_style_request(
                !path_style && (storage.endpoint().is_some() || !bucket.contains('.')),
            )
            // Deleting many at once is not known everywhere, and one at a time is all that is asked for.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { max_retries: 5, retry_timeout: PATIENCE, ..RetryConfig::default() })
            .with_http_connector(Connector { ca_file })
            .build()
            .map_err(|e| unfit(reason_of(&e)))?;
        let prefix = Path::parse(prefix).map_err(|e| unfit(e.to_string()))?;
        Ok(Self { store, prefix, url })
    }

    /// An object, for people.
    pub fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    fn key(&self, name: &str) -> Result<Path, ArchiveError> {
        let key = match self.prefix.as_ref() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        };
        // The names are written as they are: what is in them has been made safe already.
        Path::parse(key).map_err(|e| ArchiveError::Unfit(format!("\"{}\" is no key: {e}", self.shown(name))))
    }

    fn failed(&self, doing: &'static str, name: &str) -> impl FnOnce(object_store::Error) -> ArchiveError {
        let place = self.shown(name);
        move |source| ArchiveError::Bucket { doing, place, source: Box::new(source) }
    }

    /// The names of the objects of the prefix.
    pub async fn names(&self) -> Result<Vec<String>, ArchiveError> {
        let prefix = Some(&self.prefix).filter(|p| !p.as_ref().is_empty());
        let listed = self.store.list_with_delimiter(prefix).await.map_err(self.failed("list", ""))?;
        // Some storages list what is further down, too.
        let own = |key: &Path| {
            let mut parts = key.prefix_match(&self.prefix)?;
            let name = parts.next()?.as_ref().to_owned();
            parts.next().is_none().then_some(name)
        };
        Ok(listed.objects.iter().filter_map(|o| own(&o.location)).collect())
    }

    /// A small object; `None` when there is none.
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let found = match self.store.get(&self.key(name)?).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(self.failed("read", name))?,
        };
        Ok(Some(found.bytes().await.map_err(self.failed("read", name))?.to_vec()))
    }

    /// Writes an object at once.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        self.store.put(&self.key(name)?, bytes.into()).await.map_err(self.failed("write", name))?;
        Ok(())
    }

    /// Removes an object, if it is there.
    pub async fn remove(&self, name: &str) -> Result<(), ArchiveError> {
        match self.store.delete(&self.key(name)?).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            removed => removed.map_err(self.failed("remove", name)),
        }
    }

    /// An object as a stream.
    pub async fn stream(
        &self,
        name: &str,
    ) -> Result<BoxStream<'static, Result<bytes::Bytes, ArchiveError>>, ArchiveError> {
        let found = self.store.get(&self.key(name)?).await.map_err(self.failed("read", name))?;
        let place = self.shown(name);
        let stream = found.into_stream().map_err(move |source| ArchiveError::Bucket {
            doing: "read",
            place: place.clone(),
            source: Box::new(source),
        });
        Ok(Box::pin(stream))
    }

    /// Aborts the upload of an object that a death has left behind.
    pub async fn abandon(&self, name: &str) -> Result<(), ArchiveError> {
        let marker = marker(name);
        let Some(id) = self.get(&marker).await? else { return Ok(()) };
        let id = String::from_utf8_lossy(&id).into_owned();
        match self.store.abort_multipart(&self.key(name)?, &id).await {
            // It was completed, or somebody else has aborted it.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => self.remove(&marker).await,
            Err(error) => Err(self.failed("abort the upload of", name)(error)),
        }
    }
}

/// The object that keeps the id of an upload.
fn marker(name: &str) -> String {
    format!("{name}.partial")
}

/// How much is sent at once, so that twice the size of a table fits into an object.
fn part_bytes(table_bytes: u64) -> usize {
    let bytes = table_bytes.saturating_mul(2).div_ceil(PARTS).next_multiple_of(1 << 20);
    usize::try_from(bytes.max(LEAST_PART_BYTES)).unwrap_or(usize::MAX)
}

/// An object that is being written: at once when it is small, else in parts of one size.
pub(super) struct Upload {
    bucket: Bucket,
    name: String,
    key: Path,
    id: Option<MultipartId>,
    /// How much each part has.
    pub part_bytes: usize,
    parts: Vec<Option<PartId>>,
    sending: JoinSet<(usize, object_store::Result<PartId>)>,
}

impl Upload {
    pub fn begin(bucket: &Bucket, name: &str, table_bytes: u64) -> Result<Self, ArchiveError> {
        Ok(Self {
            bucket: bucket.clone(),
            name: name.to_owned(),
            key: bucket.key(name)?,
            id: None,
            part_bytes: part_bytes(table_bytes),
            parts: Vec::new(),
            sending: JoinSet::new(),
        })
    }

    /// Sends a part, of which all but the last have the same size.
    pub async fn send(&mut self, part: Vec<u8>) -> Result<(), ArchiveError> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => {
                let failed = self.bucket.failed("write", &self.name);
                let id = self.bucket.store.create_multipart(&self.key).await.map_err(failed)?;
                self.id = Some(id.clone());
                self.bucket.put(&marker(&self.name), id.clone().into_bytes()).await?;
                id
            }
        };
        while self.sending.len() >= IN_FLIGHT {
            self.sent().await?;
        }
        let (store, key, at) = (self.bucket.store.clone(), self.key.clone(), self.parts.len());
        self.parts.push(None);
        self.sending.spawn(async move { (at, store.put_part(&key, &id, at, part.into()).await) });
        Ok(())
    }

    async fn sent(&mut self) -> Result<(), ArchiveError> {
        let Some(sent) = self.sending.join_next().await else { return Ok(()) };
        let (at, part) =
            sent.map_err(|e| ArchiveError::Unfit(format!("a part of \"{}\" was not sent: {e}", self.name)))?;
        let part = part.map_err(self.bucket.failed("write", &self.name))?;
        if let Some(place) = self.parts.get_mut(at) {
            *place = Some(part);
        }
        Ok(())
    }

    /// Sends the rest and makes it an object.
    pub async fn finish(&mut self, rest: Vec<u8>) -> Result<(), ArchiveError> {
        if self.id.is_none() {
            return self.bucket.put(&self.name, rest).await;
        }
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        while !self.sending.is_empty() {
            self.sent().await?;
        }
        let (Some(id), Some(parts)) =
            (&self.id, std::mem::take(&mut self.parts).into_iter().collect::<Option<Vec<PartId>>>())
        else {
            return Err(ArchiveError::Unfit(format!("parts of \"{}\" were not sent", self.name)));
        };
        let completed = self.bucket.store.complete_multipart(&self.key, id, parts).await;
        completed.map_err(self.bucket.failed("complete", &self.name))?;
        self.bucket.remove(&marker(&self.name)).await
    }

    /// Takes back what was sent. What cannot be taken back now, the next run takes back.
    pub async fn give_up(mut self) {
        self.sending.shutdown().await;
        if self.id.is_some() {
            let _ = self.bucket.abandon(&self.name).await;
        }
    }
}

/// Makes clients for HTTP that trust what the system and the settings trust.
#[derive(Debug)]
struct Connector {
    ca_file: Option<PathBuf>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed = |source| object_store::Error::Generic { store: "HTTP", source };
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let https_only = allows_http.is_none_or(|allows| allows != "true");
        let tls = tls(https_only, self.ca_file.as_deref()).map_err(|reason| failed(reason.into()))?;
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(https_only)
            .connect_timeout(CONNECTING)
            .read_timeout(SILENCE)
            // What was signed for one host is of no use to another.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("pgwright/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(HttpClient::new)
            .map_err(|e| failed(Box::new(e)))
    }
}

/// TLS with the certificates that the system trusts, and those of a file. Who is spoken to without TLS needs none.
fn tls(is_used: bool, ca_file: Option<&std::path::Path>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    if is_used {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(file) = ca_file.filter(|_| is_used) {
        let loaded = rustls_native_certs::load_certs_from_paths(Some(file), None);
        if let Some(error) = loaded.errors.first() {
            return Err(format!("its certificates: {error}"));
        }
        roots.add_parsable_certificates(loaded.certs);
    }
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// What the storage said, without the XML around it and the story of its tries.
pub(super) fn reason_of(error: &object_store::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    let mut all = error.to_string();
    while let Some(source) = innermost.source() {
        innermost = source;
        all.push('\n');
        all.push_str(&innermost.to_string());
    }
    let tag = |name: &str| {
        let (_, rest) = all.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    let reason = match (error, tag("Code"), tag("Message")) {
        (_, Some(code), Some(message)) => format!("{code}: {message}"),
        (_, Some(code), None) => code,
        (object_store::Error::NotFound { .. }, ..) => "there is no such bucket or object".to_owned(),
        (object_store::Error::PermissionDenied { .. }, ..) => "it is forbidden".to_owned(),
        (object_store::Error::Unauthenticated { .. }, ..) => "the credentials are not accepted".to_owned(),
        _ => innermost.to_string(),
    };
    reason.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

/// What to do about an error of the storage, in a sentence.
pub(super) fn hint_of(error: &object_store::Error) -> &'static str {
    match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            "It takes the rights to list the bucket, and to get, put and delete its objects."
        }
        _ if is_of_certificate(error) => {
            "Who has signed the storage's certificate is trusted when \"ca_file\" of [object_storage] in pgwright.toml, or \
             AWS_CA_BUNDLE, names the authority's certificate."
        }
        _ => {
            "Look at [object_storage] of pgwright.toml and AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY; profiles of ~/.aws are not read."
        }
    }
}

/// Whether it was the certificate of the storage that was not trusted.
fn is_of_certificate(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return true;
        }
        // An error of input and output does not name the error that it wraps as its source.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_table_so_that_there_are_never_too_many() {
        for table_bytes in [0, 1, 1 << 30, 1 << 36, 1 << 40, 5 << 40] {
            let part = part_bytes(table_bytes) as u64;
            assert!(part >= 5 << 20, "{table_bytes}: {part}");
            assert!(part * 10_000 >= table_bytes * 2, "{table_bytes}: {part}");
        }
        assert_eq!(part_bytes(1 << 33), 8 << 20);
    }

    #[test]
    fn keys_are_not_printed() {
        let secret = ("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned());
        let storage = ObjectStorage { variables: BTreeMap::from([secret]), ..ObjectStorage::default() };
        assert!(!format!("{storage:?}").contains("hush"));
        let bucket = Bucket::open("cold", "a/b", &ObjectStorage { ..storage }).err().map(|e| e.to_string());
        assert!(bucket.is_some_and(|error| !error.contains("hush")), "a key without its other half");
    }

    #[test]
    fn endpoints_have_to_be_addresses() {
        for endpoint in ["minio:9000", "ftp://x", "http://"] {
            let storage = ObjectStorage { endpoint: Some(endpoint.to_owned()), ..ObjectStorage::default() };
            let error = Bucket::open("cold", "", &storage).unwrap_err().to_string();
            assert!(error.contains("is no http or https address"), "{error}");
        }
    }
}
