//! Relay: what one phone made reaches the server in the pockets of others, and the server's word comes back the same way.

mod carriers;
mod codes;
mod desk;
mod faults;
pub(crate) mod meet;
mod stranger;

use sync_core::ids::DocumentId;
use sync_core::phone::RelayImport;
use tests::{TestPhone, World};

/// Everything a phone has to hand over, as one file.
pub(super) fn exported(phone: &TestPhone) -> Vec<u8> {
    phone.core().relay_export().unwrap().iter().flat_map(|c| c.bytes().to_vec()).collect()
}

/// What a phone carries for others, as one file.
pub(super) fn onward(phone: &TestPhone) -> Vec<u8> {
    phone.core().relay_onward().unwrap().iter().flat_map(|c| c.bytes().to_vec()).collect()
}

/// The receipts that a phone carries back, as one file.
pub(super) fn receipts(phone: &TestPhone) -> Vec<u8> {
    phone.core().relay_receipts().unwrap().expect("there are receipts").bytes().to_vec()
}

pub(super) fn import(phone: &TestPhone, file: &[u8]) -> RelayImport {
    phone.core().relay_import(file).unwrap()
}

/// How many changes are unsent.
pub(super) fn pending(phone: &TestPhone) -> u64 {
    phone.core().status().unwrap().pending
}

/// The journal entries of a document that people wrote on phones, by change.
pub(super) fn entries(world: &World, id: DocumentId) -> Vec<server::journal::Entry> {
    let app = world.app();
    let mut all = server::journal::of_document(&mut app.db.get().unwrap(), id).unwrap();
    all.retain(|e| e.device.is_some());
    all
}
