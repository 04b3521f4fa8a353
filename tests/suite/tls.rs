//! TLS with a certificate that a test's own authority has issued: the real phone over it, a renewed certificate, and wrong ones.

use std::net::IpAddr;
use std::path::Path;

use fengqiao_mobile::{ConnectOptions, PhoneLibError, PhoneLibrary};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use server::config::Config;
use server::tls::{Certificates, TlsError};
use tests::{TestHost, World};

/// An authority as an intranet has one.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate for this machine and its key.
    fn issue(&self, dir: &Path) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.subject_alt_names.push(rcgen::SanType::IpAddress(IpAddr::from([127, 0, 0, 1])));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        std::fs::write(dir.join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    }
}

fn world(authority: &Authority) -> World {
    let mut world = World::new();
    authority.issue(world.dir.path());
    world.stop();
    let file = |name: &str| Some(world.dir.path().join(name).display().to_string());
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    world.start_with(|config| (config.tls_cert, config.tls_key) = (cert, key));
    world
}

/// A phone that trusts this authority signs in.
fn sign_in(world: &World, roots: Option<String>) -> Result<std::sync::Arc<PhoneLibrary>, PhoneLibError> {
    let path = world.dir.path().join(format!("phone-{}", uuid::Uuid::new_v4().simple()));
    let host = std::sync::Arc::new(TestHost::new(world.clock.clone()));
    let library = PhoneLibrary::open_with(&path, &[7; 32], host).unwrap();
    library.set_connect_options(ConnectOptions { trusted_roots_pem: roots, ..ConnectOptions::default() });
    assert!(world.url().starts_with("https://127.0.0.1:"), "{}", world.url());
    library.log_in(world.url(), "he".into(), World::password("he"), "phone".into(), None)?;
    Ok(library)
}

#[test]
fn a_phone_that_trusts_the_intranets_authority_syncs_and_listens_over_tls() {
    let authority = Authority::new();
    let world = world(&authority);
    let phone = sign_in(&world, Some(authority.0.pem())).unwrap();
    phone.sync(None, None).unwrap();
    assert!(std::sync::Arc::clone(&phone).events_wait(300, None).unwrap().connected);
    let stranger = sign_in(&world, Some(Authority::new().0.pem()));
    assert!(matches!(stranger, Err(PhoneLibError::Untrusted { .. })), "{:?}", stranger.err());
    let public = sign_in(&world, None);
    assert!(matches!(public, Err(PhoneLibError::Untrusted { .. })), "{:?}", public.err());
}

#[test]
fn a_certificate_that_was_renewed_is_used_for_new_tls_connections_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut world = world(&old);
    assert!(sign_in(&world, Some(old.0.pem())).is_ok());
    let certificates = world.certificates();
    assert!(!certificates.reload().unwrap(), "nothing was written");
    new.issue(world.dir.path());
    later(world.dir.path());
    assert!(certificates.reload().unwrap());
    assert!(sign_in(&world, Some(new.0.pem())).is_ok());
    assert!(matches!(sign_in(&world, Some(old.0.pem())), Err(PhoneLibError::Untrusted { .. })));
    std::fs::write(world.dir.path().join("cert.pem"), "half a certificate").unwrap();
    assert!(matches!(certificates.reload(), Err(TlsError::File { setting: "tls_cert", .. })));
    assert!(sign_in(&world, Some(new.0.pem())).is_ok(), "the one before stays in use");
    world.stop();
}

/// File systems count time coarsely: what was written in the same moment is made later.
fn later(dir: &Path) {
    for name in ["cert.pem", "key.pem"] {
        let file = std::fs::File::options().write(true).open(dir.join(name)).unwrap();
        let at = file.metadata().unwrap().modified().unwrap();
        file.set_modified(at + std::time::Duration::from_secs(2)).unwrap();
    }
}

#[test]
fn tls_settings_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| Some(dir.path().join(name).display().to_string());
    let of = |cert: Option<String>, key: Option<String>| {
        Certificates::of(&Config { tls_cert: cert, tls_key: key, ..Config::default() }).map(|c| c.is_some())
    };
    assert!(matches!(of(None, None), Ok(false)));
    assert!(matches!(of(file("cert.pem"), None), Err(TlsError::Half { missing: "tls_key", .. })));
    assert!(matches!(of(None, file("key.pem")), Err(TlsError::Half { missing: "tls_cert", .. })));
    assert!(matches!(of(file("cert.pem"), file("key.pem")), Err(TlsError::File { setting: "tls_cert", .. })));
    let (one, other) = (Authority::new(), Authority::new());
    one.issue(dir.path());
    assert!(matches!(of(file("cert.pem"), file("key.pem")), Ok(true)));
    assert!(matches!(of(file("key.pem"), file("key.pem")), Err(TlsError::File { setting: "tls_cert", .. })));
    assert!(matches!(of(file("cert.pem"), file("cert.pem")), Err(TlsError::File { setting: "tls_key", .. })));
    std::fs::copy(dir.path().join("cert.pem"), dir.path().join("one.pem")).unwrap();
    other.issue(dir.path());
    assert!(matches!(of(file("one.pem"), file("key.pem")), Err(TlsError::Mismatch(_))));
}
