//! Tells listeners what changed, after the commit and outside every lock.

use std::sync::{Arc, Mutex, PoisonError};

use crate::ids::DocumentId;

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeNotice {
    /// Which documents.
    pub documents: Vec<DocumentId>,
    /// True when others' changes came in.
    pub from_sync: bool,
}

/// Names a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionId(pub u64);

type Listener = Arc<dyn Fn(&ChangeNotice) + Send + Sync>;

#[derive(Default)]
pub(super) struct Notices {
    listeners: Mutex<(u64, Vec<(SubscriptionId, Listener)>)>,
}

impl Notices {
    pub(super) fn add(&self, listener: Box<dyn Fn(&ChangeNotice) + Send + Sync>) -> SubscriptionId {
        let mut all = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 += 1;
        let id = SubscriptionId(all.0);
        all.1.push((id, Arc::from(listener)));
        id
    }

    pub(super) fn remove(&self, id: SubscriptionId) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).1.retain(|(i, _)| *i != id);
    }

    pub(super) fn send(&self, notice: &ChangeNotice) {
        let now: Vec<Listener> = {
            let all = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            all.1.iter().map(|(_, l)| l.clone()).collect()
        };
        for listener in now {
            listener(notice);
        }
    }
}

impl super::Phone {
    /// Calls back after every commit that changed documents; never while a lock is held.
    pub fn subscribe(&self, listener: Box<dyn Fn(&ChangeNotice) + Send + Sync>) -> SubscriptionId {
        self.0.notices.add(listener)
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, id: SubscriptionId) {
        self.0.notices.remove(id);
    }
}
