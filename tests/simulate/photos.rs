//! Photos of a run: taken on phones, sent and fetched over the same bad network, in pieces, by whoever may. The server's part is its own,
//! called below HTTP on a store of contents in a folder.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use server::app::App;
use server::http::extract::Principal;
use server::http::problem::Problem;
use server::objects::refs::{self, Standing};
use server::objects::uploads::{self, Announced, Uploader};
use server::objects::{ObjectsError, proofs, verify};
use sync_core::authority::Place;
use sync_core::ids::DocumentId;
use sync_core::phone::{TransferPolicy, TransferReply, TransferRequest, TransferSession};

use super::faults::Fault;
use super::world::World;
use crate::photos;

/// Requests after which a run of transfers has come to nothing.
const REQUESTS_MAX: usize = 400;
/// Runs after which everything that can be sent is sent.
const RUNS_MAX: usize = 6;

/// A photo that a phone has said it keeps.
pub struct Photo {
    /// On which phone.
    pub phone: usize,
    /// Of which record.
    pub document: DocumentId,
    /// Its bytes as the record means them.
    pub bytes: Vec<u8>,
    /// A disaster took every copy of it.
    pub excused: bool,
}

/// Drives the server's part, whose store of contents is asynchronous, to its end.
pub(super) fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(work)
}

fn policy() -> TransferPolicy {
    TransferPolicy { bytes_max: 8 << 20, ..TransferPolicy::default() }
}

impl World {
    /// Takes a photo of something that the phone holds.
    pub fn attach(&mut self, who: usize) {
        let held = self.phones[who].core().documents().unwrap();
        if held.is_empty() {
            return;
        }
        let id = *self.dice.pick(&held);
        let seed = u32::try_from(self.dice.throw() % u64::from(u32::MAX)).unwrap();
        // Some come in more than one piece.
        let side = if self.dice.chance(150) { 360 } else { 24 };
        let bytes = photos::photo(seed, side, side);
        let before = self.typed.len();
        let mut attached = None;
        let name = &mut attached;
        self.typing(who, Some(id), move |phone| {
            let made = phone.attach(id, "现场照片.jpg", &bytes)?;
            *name = Some((made.hash, made.prepared.bytes));
            Ok((id, phone.document(id)?.changes().last().map(|c| c.hash)))
        });
        if let Some((hash, bytes)) = attached.filter(|_| self.typed.len() > before) {
            self.did("attaches");
            self.photos.insert(hash, Photo { phone: who, document: id, bytes, excused: false });
        }
    }

    /// Sends what was attached on a phone, as far as the network lets it.
    pub fn transfer(&mut self, who: usize) {
        if !self.sign_in(who) {
            return;
        }
        let name = self.phones[who].name.clone();
        match self.phones[who].core().transfer_begin(policy()) {
            Ok(session) => {
                let ended = self.run_transfers(who, session);
                self.phones[who].revive();
                self.did("transfers");
                self.tell(format!("{name} sends photos: {ended}"));
            }
            Err(e) => self.wrong(format!("{name} cannot send photos: {e}")),
        }
    }

    /// Fetches a photo of a record; the stranger asks for it too.
    pub fn look_at_photo(&mut self, who: usize) {
        let all: Vec<(String, DocumentId)> = self.photos.iter().map(|(hash, p)| (hash.clone(), p.document)).collect();
        if all.is_empty() || !self.sign_in(who) {
            return;
        }
        let (hash, document) = self.dice.pick(&all).clone();
        if let Ok(session) = self.phones[who].core().fetch_begin(document, &hash, policy()) {
            let ended = self.run_transfers(who, session);
            self.phones[who].revive();
            self.did("fetches_photo");
            self.tell(format!("{} fetches a photo: {ended}", self.phones[who].name));
            let here = self.phones[who].core().attachment(&hash);
            if here.is_ok_and(|bytes| bytes.is_some_and(|b| b != self.photos[&hash].bytes)) {
                self.report.lost += 1;
                self.wrong(format!("{} has another photo than was taken", self.phones[who].name));
            }
        }
        if let Some((_, token)) = self.hostile_session() {
            let path = format!("/v1/attachments/{hash}?document={document}");
            let headers = Vec::new();
            self.serve_transfer(
                &token,
                &TransferRequest { method: "GET", path, media_type: "*/*", headers, body: Vec::new() },
            );
        }
    }

    fn run_transfers(&mut self, who: usize, mut session: TransferSession) -> String {
        for _ in 0..REQUESTS_MAX {
            let request = match session.next_request() {
                Ok(Some(request)) => request,
                Ok(None) => return format!("{:?}", session.progress()),
                Err(e) => return e.to_string(),
            };
            let identity = self.phones[who].core().identity().unwrap().unwrap();
            let Some(at) = self.phones[who].session else { return "signed out".to_owned() };
            let token = self.token(identity.user, at, identity.device);
            let Some(reply) = self.carry_transfer(&token, &request) else { return "broken off".to_owned() };
            if matches!(reply.status, 401 | 429 | 500..=506) {
                self.phones[who].session = None;
                return format!("the server answers {}", reply.status);
            }
            let dies = self.befalls(Fault::PhoneDiesWriting, 15);
            let steps =
                dies.then(|| 1 << self.dice.below(12)).map(|top| 1 + u32::try_from(self.dice.below(top)).unwrap());
            match self.phones[who].dying(steps, |_| session.apply_response(&reply)) {
                Some(Ok(_)) => {}
                Some(Err(e)) => return e.to_string(),
                None => return "the phone dies".to_owned(),
            }
        }
        self.report.undrained += 1;
        self.wrong(format!("{} does not come to an end with its photos", self.phones[who].name));
        "no end".to_owned()
    }

    fn carry_transfer(&mut self, token: &str, request: &TransferRequest) -> Option<TransferReply> {
        if self.befalls(Fault::LostRequest, 40) {
            return None;
        }
        if request.method == "PATCH" && self.befalls(Fault::CutRequest, 30) {
            let half = request.body.len() / 2;
            self.serve_transfer(token, &TransferRequest { body: request.body[..half].to_vec(), ..request.clone() });
            return None;
        }
        let mut reply = self.serve_transfer(token, request);
        if self.befalls(Fault::DuplicateRequest, 40) {
            self.serve_transfer(token, request);
        }
        if self.befalls(Fault::ServerDiesAnswering, 20) {
            self.server.restart();
            return None;
        }
        if self.befalls(Fault::LostAnswer, 40) {
            return None;
        }
        if request.method == "GET" && !reply.body.is_empty() && self.befalls(Fault::GarbledAnswer, 40) {
            let at = self.dice.below(reply.body.len());
            reply.body[at] ^= 1 << self.dice.below(8);
        }
        Some(reply)
    }

    /// The server takes a request about contents, and whom it gives one is checked.
    fn serve_transfer(&mut self, token: &str, request: &TransferRequest) -> TransferReply {
        let principal = match self.server.principal(token) {
            Ok(principal) => principal,
            Err(problem) => return refused(&problem),
        };
        let reply = answer(self.server.app(), &principal, request);
        let gave = request.method == "GET" && matches!(reply.status, 200 | 206);
        if let Some((_, document)) = asked(&request.path).filter(|_| gave) {
            let document = server::journal::load(&mut self.server.app().db.get().unwrap(), document).unwrap();
            if document.is_none_or(|d| !principal.subject.may_read(&Place::of(&d))) {
                self.report.unauthorised += 1;
                self.wrong(format!("{} was given a photo without a right", principal.user));
            }
        }
        reply
    }

    /// Everybody sends what can be sent.
    pub fn drain_photos(&mut self) {
        for _ in 0..RUNS_MAX {
            let waiting = |world: &Self| -> u64 {
                world.phones.iter().filter(|p| !p.shut_out).map(|p| p.core().attachments_waiting().unwrap()).sum()
            };
            let before = waiting(self);
            for who in 0..self.phones.len() {
                self.transfer(who);
            }
            if before == 0 || waiting(self) == before {
                return;
            }
        }
    }

    /// As it is found for a reader: a restored server looks for what it has forgotten in its own store of contents.
    fn on_server(&self, hash: &str) -> Option<Vec<u8>> {
        let app = self.server.app();
        wait(async {
            let row = verify::find(app, hash).await.unwrap()?;
            app.objects.get(&row.object).await.unwrap().map(|b| b.to_vec())
        })
    }

    /// What a disaster has taken with every copy: on no server, and not on the phone that took it.
    pub fn excuse_photos(&mut self) {
        let gone = |world: &Self, hash: &String, photo: &Photo| {
            let here = world.phones[photo.phone].core().attachment(hash);
            here.is_ok_and(|bytes| bytes.is_none()) && world.on_server(hash).is_none()
        };
        let excused: Vec<String> =
            self.photos.iter().filter(|(h, p)| gone(self, h, p)).map(|(hash, _)| hash.clone()).collect();
        for hash in excused {
            self.photos.get_mut(&hash).unwrap().excused = true;
        }
    }

    /// No photo is lost: the server holds what its record names, or the phone that took it still does.
    pub fn no_photo_is_lost(&mut self) {
        let mut named: BTreeMap<DocumentId, Vec<String>> = BTreeMap::new();
        let (mut lost, mut undrained, mut died) = (Vec::new(), Vec::new(), 0);
        for (hash, photo) in self.photos.iter().filter(|(_, p)| !self.erased.contains(&p.document)) {
            let names = named.entry(photo.document).or_insert_with(|| {
                let found = server::journal::load(&mut self.server.app().db.get().unwrap(), photo.document).unwrap();
                found.map(|d| d.attachments().into_keys().collect()).unwrap_or_default()
            });
            let is_named = names.contains(hash);
            let on_server = self.on_server(hash).is_some_and(|bytes| bytes == photo.bytes);
            let phone = &self.phones[photo.phone];
            let on_phone = phone.core().attachment(hash).is_ok_and(|b| b.is_some_and(|b| b == photo.bytes));
            if on_server {
                continue;
            }
            if is_named && on_phone && !phone.shut_out {
                undrained.push(format!("the photo {hash} of {} stays unsent on {}", photo.document, phone.name));
            } else if !on_phone && (photo.excused || phone.is_wiped()) {
                died += 1;
            } else if !on_phone {
                lost.push(format!("the photo {hash} of {}, taken on {}, is nowhere", photo.document, phone.name));
            }
        }
        self.report.lost += u64::try_from(lost.len()).unwrap();
        self.report.undrained += u64::try_from(undrained.len()).unwrap();
        self.report.died_with_disks += died;
        lost.into_iter().chain(undrained).for_each(|w| self.wrong(w));
    }
}

fn refused(problem: &Problem) -> TransferReply {
    let body = problem.body();
    let status = body.status;
    TransferReply { status, body: serde_json::to_vec(&body).unwrap(), ..TransferReply::default() }
}

/// The content and the record that a download names.
fn asked(path: &str) -> Option<(String, DocumentId)> {
    let (hash, document) = path.strip_prefix("/v1/attachments/")?.split_once("?document=")?;
    Some((hash.to_owned(), document.parse().ok()?))
}

fn header<'a>(request: &'a TransferRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}

/// What the endpoints of uploads and attachments do below HTTP.
fn answer(app: &App, principal: &Principal, request: &TransferRequest) -> TransferReply {
    let who = Uploader { user: principal.user, device: principal.device, subject: principal.subject.clone() };
    let done = match (request.method, request.path.strip_prefix("/v1/uploads")) {
        ("POST", Some("")) => announce(app, &who, request),
        ("HEAD", Some(id)) => wait(uploads::find(app, &who, id.trim_start_matches('/')))
            .map(|u| (200, None, Some(u.received)))
            .map_err(Problem::from),
        ("PATCH", Some(id)) => piece(app, &who, id.trim_start_matches('/'), request),
        ("POST", None) => return missing(app, &who, request),
        _ => return content(app, principal, request),
    };
    match done {
        Ok((status, location, received)) => {
            let offset = received.and_then(|r| u64::try_from(r).ok());
            TransferReply { status, location, offset, body: Vec::new() }
        }
        Err(problem) => refused(&problem),
    }
}

type Told = Result<(u16, Option<String>, Option<i64>), Problem>;

fn announce(app: &App, who: &Uploader, request: &TransferRequest) -> Told {
    let metadata = header(request, "upload-metadata").unwrap();
    let value = |key: &str| {
        let coded = metadata.split(',').find_map(|pair| pair.strip_prefix(key)).unwrap().trim();
        String::from_utf8(STANDARD.decode(coded).unwrap()).unwrap()
    };
    let length = header(request, "upload-length").unwrap().parse().unwrap();
    let what = Announced { document: value("document").parse().unwrap(), hash: value("hash"), length };
    let upload = wait(uploads::create(app, who, &what))?;
    Ok((201, Some(format!("/v1/uploads/{}", upload.id)), Some(upload.received)))
}

fn piece(app: &App, who: &Uploader, id: &str, request: &TransferRequest) -> Told {
    use sha2::{Digest, Sha256};
    let told = header(request, "upload-checksum").unwrap();
    if told != format!("sha256 {}", STANDARD.encode(Sha256::digest(&request.body))) {
        return Ok((460, None, None));
    }
    let offset = header(request, "upload-offset").unwrap().parse().unwrap();
    let body = request.body.clone().into();
    let upload = wait(async {
        let mut receiver = uploads::receive(app, who, id, offset).await?;
        receiver.take(&body).await?;
        receiver.finish().await
    })?;
    Ok((204, None, Some(upload.received)))
}

fn missing(app: &App, who: &Uploader, request: &TransferRequest) -> TransferReply {
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let asked = body["attachments"].as_array().unwrap().iter();
    let asked = asked.map(|a| (text(&a["document"]).parse().unwrap(), text(&a["hash"]))).collect();
    match wait(verify::locate(app, who, asked)) {
        Ok(found) => {
            let body = serde_json::to_vec(&serde_json::json!({ "found": found })).unwrap();
            TransferReply { status: 200, body, ..TransferReply::default() }
        }
        Err(e) => refused(&e.into()),
    }
}

fn content(app: &App, principal: &Principal, request: &TransferRequest) -> TransferReply {
    let (hash, document) = asked(&request.path).unwrap();
    let standing = {
        let mut conn = app.db.get().unwrap();
        refs::standing(&mut conn, &principal.subject, principal.user, document, &hash).unwrap()
    };
    let bytes = wait(async {
        if standing != Standing::Reader || !proofs::find(app, document, &hash).await? {
            return Ok(None);
        }
        match verify::find(app, &hash).await? {
            Some(row) => app.objects.get(&row.object).await,
            None => Ok::<_, ObjectsError>(None),
        }
    });
    let Ok(Some(bytes)) = bytes else { return TransferReply { status: 404, ..TransferReply::default() } };
    let range = header(request, "range").and_then(|r| r.strip_prefix("bytes=")?.split_once('-'));
    let (from, to) = match range {
        Some((from, to)) => (from.parse().unwrap(), to.parse::<usize>().unwrap() + 1),
        None => (0, bytes.len()),
    };
    let body = bytes[from..to.min(bytes.len())].to_vec();
    TransferReply { status: 206, body, ..TransferReply::default() }
}
