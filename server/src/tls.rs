//! TLS when the operator gives a certificate: rustls with one provider, TLS 1.2 and 1.3. A certificate that was renewed on the disk
//! is taken up without a restart; one that cannot be used leaves the old one in use and says so.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::config::Config;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One setting without the other.
    #[error("`{given}` is set and `{missing}` is not; TLS needs both")]
    Half {
        /// The one that is there.
        given: &'static str,
        /// The other.
        missing: &'static str,
    },
    /// A file cannot be read as PEM.
    #[error("`{setting}`: {path}: {problem}")]
    File {
        /// Which setting.
        setting: &'static str,
        /// Which file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Key and certificate do not fit.
    #[error("`tls_cert` and `tls_key`: {0}")]
    Mismatch(#[from] rustls::Error),
}

/// The certificate in use and where it comes from.
#[derive(Debug)]
pub struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<(Stamp, Arc<CertifiedKey>)>,
}

/// When the two files were last written.
type Stamp = [Option<SystemTime>; 2];

fn stamp(cert: &Path, key: &Path) -> Stamp {
    [cert, key].map(|file| std::fs::metadata(file).and_then(|m| m.modified()).ok())
}

fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let wrong =
        |setting, path: &Path, problem: String| TlsError::File { setting, path: path.display().to_string(), problem };
    let at_cert = |e: rustls::pki_types::pem::Error| wrong("tls_cert", cert, e.to_string());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).map_err(at_cert)?.collect::<Result<_, _>>().map_err(at_cert)?;
    if chain.is_empty() {
        return Err(wrong("tls_cert", cert, "there is no certificate in it".into()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong("tls_key", key, e.to_string()))?;
    let pair = CertifiedKey::new(chain, ring::sign::any_supported_type(&secret)?);
    pair.keys_match()?;
    Ok(pair)
}

impl Certificates {
    /// Those that the settings name; `None` when the server shall speak plainly.
    pub fn of(config: &Config) -> Result<Option<Arc<Self>>, TlsError> {
        let (cert, key) = match (&config.tls_cert, &config.tls_key) {
            (None, None) => return Ok(None),
            (Some(cert), Some(key)) => (PathBuf::from(cert), PathBuf::from(key)),
            (Some(_), None) => return Err(TlsError::Half { given: "tls_cert", missing: "tls_key" }),
            (None, Some(_)) => return Err(TlsError::Half { given: "tls_key", missing: "tls_cert" }),
        };
        let current = (stamp(&cert, &key), Arc::new(read(&cert, &key)?));
        Ok(Some(Arc::new(Self { cert, key, current: RwLock::new(current) })))
    }

    /// How the server speaks TLS with them.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let versions = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
        let resolver = Arc::clone(self);
        Ok(versions.with_no_client_auth().with_cert_resolver(resolver))
    }

    /// Takes up files that were written since the last look. Connections that stand keep what they have.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let now = stamp(&self.cert, &self.key);
        if self.current.read().unwrap_or_else(PoisonError::into_inner).0 == now {
            return Ok(false);
        }
        let pair = read(&self.cert, &self.key);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // What is wrong with them is said once, not at every look.
        current.0 = now;
        current.1 = Arc::new(pair?);
        Ok(true)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).1))
    }
}

/// Looks at the files now and then, and at once when the process is told to (SIGHUP).
pub async fn watch(certificates: Arc<Certificates>, mut stop: watch::Receiver<bool>) {
    let mut told = Told::new();
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            () = told.wait() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let inner = Arc::clone(&certificates);
        match tokio::task::spawn_blocking(move || inner.reload()).await {
            Ok(Ok(true)) => tracing::info!("the certificate was renewed"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the new certificate cannot be used; the old one stays in use"),
            Err(error) => tracing::error!(%error, "the certificate was not looked at"),
        }
    }
}

/// The signal, where the system has it.
struct Told {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Told {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    async fn wait(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            signal.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    }
}
