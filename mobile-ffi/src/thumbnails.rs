//! Small pictures as the host sees them: those that lie on the phone need no network, the others are made by the server.

use std::sync::Arc;

use sync_core::phone::TransferRequest;

use crate::cancel::CancelToken;
use crate::error::{PhoneLibError, Result};
use crate::library::{PhoneLibrary, document_id};
use crate::policy::points;

#[uniffi::export]
impl PhoneLibrary {
    /// A small JPEG of a picture that lies on this phone, 160, 320 or 640 points; needs no network. Nothing: `fetch_thumbnail` brings it.
    pub fn thumbnail_bytes(&self, hash: String, size: u32) -> Result<Option<Vec<u8>>> {
        Ok(self.phone.thumbnail(&hash, points("size", size)?)?)
    }

    /// A small JPEG of a picture, made by the server: 160, 320 or 640 points. It stays on the phone, within the quota of small pictures.
    #[uniffi::method(default(cancel = None))]
    pub fn fetch_thumbnail(
        &self,
        id: String,
        hash: String,
        size: u32,
        cancel: Option<Arc<CancelToken>>,
    ) -> Result<Vec<u8>> {
        let document = document_id("record", &id)?;
        let size = points("size", size)?;
        if !sync_core::attachments::is_content_hash(&hash) {
            return Err(PhoneLibError::not_found("attachment", hash.chars().take(80).collect::<String>()));
        }
        if let Some(bytes) = self.phone.thumbnail(&hash, size)? {
            return Ok(bytes);
        }
        let path = format!("/v1/attachments/{hash}/thumbnail?document={document}&size={size}");
        let request =
            TransferRequest { method: "GET", path, media_type: "image/jpeg", headers: Vec::new(), body: Vec::new() };
        let reply = self.ask_authorized(&request, cancel.as_ref())?;
        if reply.status == 404 {
            return Err(PhoneLibError::not_found("attachment", hash));
        }
        let bytes = reply.accepted()?.body;
        self.phone.keep_thumbnail(document, &hash, size, &bytes)?;
        Ok(bytes)
    }

    /// How many bytes small pictures may take on this phone, 64 MiB unless it is told; 0: none is kept. What is needed least gives way.
    pub fn set_thumbnail_quota(&self, bytes: u64) -> Result<()> {
        Ok(self.phone.set_thumbnail_quota(bytes)?)
    }
}
