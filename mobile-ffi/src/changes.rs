//! Telling a screen what changed: after the commit, on the thread that made the change, with no lock held.

use std::sync::Arc;

use sync_core::phone::{ChangeNotice, SubscriptionId};

use crate::error::Result;
use crate::library::PhoneLibrary;

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ChangeView {
    /// The records.
    pub documents: Vec<String>,
    /// True when a sync brought it; false when it was written on this phone.
    pub from_sync: bool,
}

/// Is told what changed. It may call the library; what it throws is ignored.
#[uniffi::export(with_foreign)]
pub trait ChangeListener: Send + Sync {
    /// These records changed.
    fn on_changed(&self, change: ChangeView) -> Result<()>;
}

#[uniffi::export]
impl PhoneLibrary {
    /// Calls back after every change of a record, until `unsubscribe`. Returns the number that names the subscription.
    pub fn subscribe(&self, listener: Arc<dyn ChangeListener>) -> u64 {
        let tell = move |notice: &ChangeNotice| {
            let documents = notice.documents.iter().map(ToString::to_string).collect();
            drop(listener.on_changed(ChangeView { documents, from_sync: notice.from_sync }));
        };
        self.phone.subscribe(Box::new(tell)).0
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, subscription: u64) {
        self.phone.unsubscribe(SubscriptionId(subscription));
    }
}
