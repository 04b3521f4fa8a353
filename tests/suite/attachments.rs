//! Attachments: their contents on the way to the server and back, through real HTTP, in a real store.

mod collection;
mod dismissed;
mod downloads;
mod faults;
mod missing;
mod phones;
mod policy;
mod possession;
mod room;
mod s3;
mod shared;
mod thumbnails;
mod uploads;
mod vouched;

use fengqiao_mobile::{TransferPolicy, TransferReport};
pub(crate) use s3::S3;
use sync_core::attachments::content_hash;
use sync_core::edit::Edit;
use sync_core::ids::DocumentId;
use tests::{TestPhone, World};

/// Enters an attachment by the hash of these bytes.
pub(crate) fn entry(bytes: &[u8]) -> Edit {
    Edit::Attach {
        hash: content_hash(bytes),
        name: "现场.jpg".into(),
        media_type: "image/jpeg".into(),
        bytes: u64::try_from(bytes.len()).unwrap(),
        taken_ms: None,
        location: None,
    }
}

/// A case of the grid worker, synced, that refers to these contents.
pub(crate) fn case_with(world: &World, contents: &[&[u8]]) -> (TestPhone, DocumentId) {
    let he = world.phone("he");
    let case = he.report_with(contents.iter().map(|c| entry(c)).collect());
    he.sync();
    (he, case)
}

/// Every file below the folder of contents, with its bytes.
pub(crate) fn stored(world: &World, folder: &str) -> Vec<(String, Vec<u8>)> {
    fn walk(at: &std::path::Path, found: &mut Vec<(String, Vec<u8>)>) {
        for entry in std::fs::read_dir(at).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&world.dir.path().join("objects").join(folder), &mut found);
    found.sort();
    found
}

/// Everything that waits, and nothing ahead of need.
pub(crate) const ALL: TransferPolicy = TransferPolicy {
    is_metered: false,
    metered_ok: false,
    bytes_max: u64::MAX,
    thumbnails_only: false,
    bytes_per_second: None,
    thumbnails_ahead: false,
    thumbnails_metered_ok: false,
    thumbnail_points: 320,
};

/// Attaches a photo; gives its hash.
pub(crate) fn attach(phone: &TestPhone, id: DocumentId, bytes: &[u8]) -> String {
    phone.library.attach_photo(id.to_string(), "现场.jpg".into(), bytes.to_vec()).unwrap().hash
}

/// Lets a phone send what waits.
pub(crate) fn send(phone: &TestPhone) -> TransferReport {
    phone.library.transfer_attachments(ALL, None, None).unwrap()
}
