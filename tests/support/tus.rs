//! A tus client as a stranger would write it from the protocol: one request at a time, nothing smoothed over.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sync_core::attachments::content_hash;
use sync_core::ids::DocumentId;

use crate::World;

/// An answer with everything in it.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The `Upload-Offset`.
    pub fn offset(&self) -> u64 {
        self.header("upload-offset").parse().unwrap_or_else(|_| panic!("no Upload-Offset: {self:?}"))
    }

    /// The status and the code of the problem; an empty code for none.
    pub fn told(&self) -> (u16, String) {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = problem["type"].as_str().unwrap_or_default();
        (self.status, code.trim_start_matches("urn:fengqiao:problem:").to_owned())
    }
}

/// A session of somebody who uploads.
pub struct Tus {
    /// Where.
    pub url: String,
    /// As whom.
    pub token: String,
}

impl Tus {
    /// Signs in at a desk.
    pub fn new(world: &World, login: &str) -> Self {
        Self { url: world.url(), token: world.token(login) }
    }

    /// Any request.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build().into();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("Authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bodiless = matches!(method, "GET" | "HEAD" | "OPTIONS" | "DELETE");
        let response = if bodiless {
            agent.run(request.body(()).unwrap())
        } else {
            agent.run(request.body(body.to_vec()).unwrap())
        };
        let mut response = response.unwrap();
        let headers = response.headers().iter();
        let headers = headers.map(|(n, v)| (n.to_string(), v.to_str().unwrap_or_default().to_owned())).collect();
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(100 << 20).read_to_vec().unwrap();
        Answer { status, headers, body }
    }

    /// Announces bytes with a name.
    pub fn announce(&self, document: DocumentId, hash: &str, length: usize) -> Answer {
        let (document, hash) = (STANDARD.encode(document.to_string()), STANDARD.encode(hash));
        let metadata = format!("document {document},hash {hash}");
        let length = length.to_string();
        let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Length", &length), ("Upload-Metadata", &metadata)];
        self.call("POST", "/v1/uploads", &headers, &[])
    }

    /// Sends bytes at an offset, with their checksum.
    pub fn send(&self, location: &str, offset: u64, bytes: &[u8]) -> Answer {
        self.send_as(location, offset, bytes, &format!("sha256 {}", STANDARD.encode(Sha256::digest(bytes))))
    }

    /// Sends bytes at an offset with a checksum of one's own; empty: none.
    pub fn send_as(&self, location: &str, offset: u64, bytes: &[u8], checksum: &str) -> Answer {
        let offset = offset.to_string();
        let mut headers = vec![
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Offset", offset.as_str()),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        if !checksum.is_empty() {
            headers.push(("Upload-Checksum", checksum));
        }
        self.call("PATCH", location, &headers, bytes)
    }

    /// How far an upload has come.
    pub fn head(&self, location: &str) -> Answer {
        self.call("HEAD", location, &[("Tus-Resumable", "1.0.0")], &[])
    }

    /// Announces and sends all of it; the last answer.
    pub fn upload(&self, document: DocumentId, bytes: &[u8]) -> Answer {
        let begun = self.announce(document, &content_hash(bytes), bytes.len());
        if begun.status != 201 || begun.offset() == u64::try_from(bytes.len()).unwrap() {
            return begun;
        }
        let location = begun.header("location").to_owned();
        let mut last = begun;
        for (n, piece) in bytes.chunks(100_000).enumerate() {
            last = self.send(&location, u64::try_from(n * 100_000).unwrap(), piece);
            if last.status != 204 {
                break;
            }
        }
        last
    }

    /// Downloads an attachment of a record.
    pub fn download(&self, document: DocumentId, hash: &str, headers: &[(&str, &str)]) -> Answer {
        self.call("GET", &format!("/v1/attachments/{hash}?document={document}"), headers, &[])
    }
}
