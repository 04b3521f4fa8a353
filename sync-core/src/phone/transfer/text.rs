//! Text goes before photos, also what is written while a run of photos is under way: between two pieces the host asks whether there is
//! any, syncs, and the run goes on with what is needed most then.

use std::collections::VecDeque;

use super::{Job, TransferSession};
use crate::phone::PhoneError;
use crate::store::{attachments as rows, outbox};

impl TransferSession {
    /// Whether something was written since text went last: it goes before the next piece. What a sync has left out does not ask again.
    pub fn text_waits(&mut self) -> Result<bool, PhoneError> {
        self.text_found = self.phone.0.store.read(outbox::newest)?;
        Ok(self.text_found > self.text_seen)
    }

    /// Notes that a sync has carried what `text_waits` had found, or has left it out. What may be sent since then comes in its order; an
    /// attachment of which a part was sent waits its turn again.
    pub fn text_went(&mut self) -> Result<(), PhoneError> {
        self.text_seen = self.text_seen.max(self.text_found);
        if !self.policy.contents() || self.jobs.iter().any(|job| matches!(job, Job::Download { .. })) {
            return Ok(());
        }
        let due = self.phone.0.store.read(rows::due)?;
        let mut before = std::mem::take(&mut self.jobs);
        let mut uploads = VecDeque::new();
        for row in due {
            let key = (row.document, row.hash.clone());
            match before.iter().position(|job| job.uploads(&key)) {
                Some(at) => uploads.extend(before.remove(at)),
                None if self.left.contains(&key) => {}
                None => uploads.push_back(Job::Upload { row, is_checked: false, attempts: 0 }),
            }
        }
        let (first, last): (VecDeque<Job>, VecDeque<Job>) =
            before.into_iter().filter(|j| !matches!(j, Job::Upload { .. })).partition(|j| matches!(j, Job::Prove(_)));
        self.jobs = first;
        self.jobs.extend(uploads);
        self.jobs.extend(last);
        self.progress.waiting = self.phone.attachments_waiting()?;
        Ok(())
    }
}
