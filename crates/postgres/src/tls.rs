//! How is a connection encrypted, and how is the server's certificate checked?
//!
//! Source: PostgreSQL manual, "libpq: SSL Support" (34.19). `allow`, `prefer` and `require` encrypt
//! without asking who answers; `verify-ca` asks for a chain to a trusted root; `verify-full` for the
//! name as well. `require` checks the chain too when a root file is there, as libpq documents.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Error;
use crate::target::{SslMode, Target};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// Builds the connector for a target.
pub(crate) fn connector(target: &Target) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(ring::default_provider());
    let check = match target.ssl_mode {
        SslMode::VerifyFull => Check::ChainAndName,
        SslMode::VerifyCa => Check::Chain,
        SslMode::Require if target.tls.root_cert.is_some() => Check::Chain,
        _ => Check::Nothing,
    };
    let verifier = Verifier::new(check, target.tls.root_cert.as_deref(), &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| files("TLS protocol versions", Path::new(""), &e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &target.tls.client {
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| files("sslkey", key, &e))?;
            builder.with_client_auth_cert(chain, private).map_err(|e| files("sslcert", cert, &e))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn files(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Conninfo { message: format!("{what} \"{}\" could not be used: {error}", path.display()) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| files("certificate file", path, &e))
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    /// Absent when nothing is checked.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The roots themselves: a server's self-signed certificate that is its own root is what many
    /// installations have. webpki refuses a root as end entity; OpenSSL, and so libpq, accepts it.
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(check: Check, root_cert: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let mut verifier = Self { check, chain: None, roots: Vec::new(), provider: provider.clone() };
        if check == Check::Nothing {
            return Ok(verifier);
        }
        let mut store = RootCertStore::empty();
        match root_cert {
            Some(path) if path != Path::new("system") => {
                verifier.roots = certificates(path)?;
                for root in &verifier.roots {
                    store.add(root.clone()).map_err(|e| files("sslrootcert", path, &e))?;
                }
            }
            _ => {
                // Some files of the system's store may be broken; what can be read is enough.
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone());
        let chain = builder
            .build()
            .map_err(|e| files("sslrootcert", root_cert.unwrap_or(Path::new("system")), &e))?;
        verifier.chain = Some(chain);
        Ok(verifier)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        if self.roots.iter().any(|root| root.as_ref() == end_entity.as_ref()) {
            if self.check == Check::ChainAndName {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // webpki looks at the name last, so the chain has been found good by then.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == Check::Chain => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
