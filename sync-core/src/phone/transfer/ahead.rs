//! Small pictures that are fetched before anybody asks: after everything that this phone has to send, in the order of need, as many as
//! fit their quota. One that cannot be had now stands in the way of no other.

use super::{Job, Problem, TransferReply, TransferSession, length};
use crate::limits;
use crate::phone::PhoneError;
use crate::phone::thumbnails::{Wanted, is_small_jpeg};
use crate::store::thumbnails as rows;

impl TransferSession {
    /// Once one does not fit, those after it, which are needed less, do not either.
    pub(super) fn leave_thumbnails_that_do_not_fit(&mut self) -> Result<(), PhoneError> {
        let Some(Job::Thumbnail(next)) = self.jobs.front() else { return Ok(()) };
        if !self.phone.thumbnail_fits(next.rank)? {
            self.jobs.retain(|job| !matches!(job, Job::Thumbnail(_)));
        }
        Ok(())
    }

    pub(super) fn thumbnail(&mut self, wanted: &Wanted, reply: &TransferReply) -> Result<(), PhoneError> {
        let points = self.policy.thumbnail_points;
        self.progress.bytes_received += length(&reply.body);
        if reply.status == 200 && is_small_jpeg(&reply.body) {
            self.phone.store_thumbnail(wanted.document, &wanted.hash, points, &reply.body, false)?;
            self.progress.thumbnails += 1;
            return Ok(());
        }
        let problem: Problem = serde_json::from_slice(&reply.body).unwrap_or_default();
        // A picture that has not arrived may arrive; one that is none, or is broken, stays so.
        let never = matches!(reply.status, 400..=499) && !problem.kind.ends_with(":attachment_missing");
        let after_ms = if never { limits::THUMBNAIL_NEVER_MS } else { limits::THUMBNAIL_AGAIN_MS };
        let now_ms = self.phone.0.host.now_ms();
        let again_ms = now_ms.saturating_add(after_ms);
        Ok(self.phone.0.store.write(|tx| rows::absent(tx, &wanted.hash, points, now_ms, again_ms))?)
    }
}
