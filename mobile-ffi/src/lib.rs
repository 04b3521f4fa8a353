//! The phone library: what an app needs of Fengqiao, as plain objects and records for Kotlin, Swift and Python.
//!
//! Synchronous: the host runs what may take time off its main thread. Every function can be called from any thread; reading never
//! waits for a sync; no callback is called while a lock is held. All rules live in `sync-core`; this crate only carries them over.

mod account;
mod attachments;
mod cancel;
mod carry;
mod changes;
mod editing;
mod edits;
mod error;
mod host;
mod library;
mod live;
mod lock;
mod meet;
mod policy;
mod relay;
mod shared;
mod storage;
mod sync;
#[cfg(test)]
mod tests;
mod thumbnails;
mod transport;
mod value;
mod view;
mod wipe;

pub use account::{IdentityView, RoleView};
pub use attachments::{AttachedView, AttachmentAtView, AttachmentStatusView, TransferListener, TransferReport};
pub use cancel::CancelToken;
pub use changes::{ChangeListener, ChangeView};
pub use edits::{AttachmentInput, DraftInput, EditInput, EditedView, LocationView};
pub use error::{PhoneLibError, Result};
pub use host::{HostClock, HostTime};
pub use library::PhoneLibrary;
pub use live::LiveView;
pub use lock::LockView;
pub use meet::{MeetPeerView, MeetReportView, MeetStateView, PhoneMeeting};
pub use policy::TransferPolicy;
pub use relay::{CarriedParcelState, CarriedParcelView, RelayFrameView, RelayFrames, RelayImportView};
pub use shared::{LeftoverView, PersonView, SharedPhone};
pub use storage::{StoragePressure, StorageView};
pub use sync::{SyncEndpoint, SyncListener, SyncReport, SyncSession};
pub use transport::ConnectOptions;
pub use value::{FieldMap, FieldValue};
pub use view::*;
pub use wipe::wipe_confirm;

uniffi::setup_scaffolding!();
