//! The same in a bucket: a real S3-speaking server on loopback, with signatures checked, in this process.

use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use server::config::{Config, Secret};
use server::objects::verify::verify;
use sync_core::attachments::content_hash;
use tests::World;
use tests::photos::photo;
use tests::tus::Tus;

use super::case_with;

const BUCKET: &str = "hall";
const ACCOUNT: &str = "FENGQIAO";
const SECRET: &str = "maple-bridge-secret";

/// An S3 service that keeps its buckets in a folder. It ends with its runtime.
pub(crate) struct S3 {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    url: String,
}

impl S3 {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let service = {
            let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
            builder.set_auth(SimpleAuth::from_single(ACCOUNT, SECRET));
            builder.build()
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { runtime, folder, url }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            objects: format!("s3://{BUCKET}/guangming/attachments"),
            objects_endpoint: self.url.clone(),
            objects_access_key: ACCOUNT.into(),
            objects_secret_key: Secret::from(SECRET),
            ..Config::default()
        }
    }

    /// The contents that lie in the bucket.
    pub(crate) fn kept(&self, folder: &str) -> Vec<Vec<u8>> {
        fn walk(at: &Path, found: &mut Vec<Vec<u8>>) {
            for entry in std::fs::read_dir(at).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(std::fs::read(path).unwrap()) }
            }
        }
        let mut found = Vec::new();
        walk(&self.folder.path().join(BUCKET).join("guangming/attachments").join(folder), &mut found);
        found
    }
}

#[test]
fn attachments_in_a_bucket_are_uploaded_continued_read_shown_verified_and_collected() {
    let s3 = S3::start();
    let mut world = World::with(s3.config());
    let (photo, second) = (photo(1, 640, 480), photo(2, 64, 64));
    let (_, case) = case_with(&world, &[&photo, &second]);
    let tus = Tus::new(&world, "he");
    let hash = content_hash(&photo);
    let location = tus.announce(case, &hash, photo.len()).header("location").to_owned();
    assert_eq!(tus.send(&location, 0, &photo[..100_000]).status, 204);
    world.stop();
    world.start();
    let tus = Tus::new(&world, "he");
    assert_eq!(tus.head(&location).offset(), 100_000);
    assert_eq!(tus.send(&location, 100_000, &photo[100_000..]).status, 204);
    assert_eq!(tus.upload(case, &second).status, 204);
    assert_eq!(s3.kept("objects").len(), 2);
    assert!(s3.kept("uploads").is_empty(), "the pieces are gone");
    assert!(tus.download(case, &hash, &[]).body == photo);
    let part = tus.download(case, &hash, &[("Range", "bytes=5-104")]);
    assert_eq!((part.status, part.body == photo[5..105]), (206, true));
    let small = tus.call("GET", &format!("/v1/attachments/{hash}/thumbnail?document={case}"), &[], &[]);
    assert_eq!((small.status, s3.kept("thumbnails").len()), (200, 1));
    let report = s3.runtime.block_on(verify(&world.app(), true, false)).unwrap();
    assert_eq!((report.whole, report.is_clean()), (2, true), "{report:?}");
    let done = s3.runtime.block_on(server::objects::gc::collect(&world.app(), false)).unwrap();
    assert_eq!((done.contents, s3.kept("objects").len()), (0, 2));
}

#[test]
fn a_bucket_that_refuses_or_is_away_keeps_no_attachment_from_being_sent_later() {
    let s3 = S3::start();
    let config = Config { objects_secret_key: Secret::from("wrong"), ..s3.config() };
    let mut world = World::with(config);
    let photo = photo(3, 64, 64);
    let (_, case) = case_with(&world, &[&photo]);
    let refused = Tus::new(&world, "he").upload(case, &photo);
    assert_eq!(refused.told(), (503, "objects_unavailable".into()));
    assert!(!String::from_utf8_lossy(&refused.body).contains("wrong"), "no secret is told");
    world.stop();
    world.settings = Config { objects: world.settings.objects.clone(), ..s3.config() };
    world.start();
    assert_eq!(Tus::new(&world, "he").upload(case, &photo).status, 204);
    assert_eq!(s3.kept("objects"), [photo]);
}
