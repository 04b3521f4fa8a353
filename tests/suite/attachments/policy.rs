//! What the host allows a run of transfers: how fast, over which network, and that text never waits behind a photo.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use fengqiao_mobile::{
    CancelToken, DocumentStatusView, PhoneLibError, PhoneLibrary, TransferListener, TransferPolicy, TransferReport,
};
use sync_core::edit::Draft;
use sync_core::ids::DocumentId;
use sync_core::phone::{TransferReply, TransferRequest};
use sync_core::shape::DocumentKind;
use tests::photos::photo;
use tests::{TestPhone, World, biyan};

use super::attach;

fn draft(kind: DocumentKind) -> Draft {
    Draft { kind, community: biyan(), edits: vec![tests::phones::set("place.grid", "GM-BIYAN-01")] }
}

/// Somebody who writes when the first piece has gone, and looks at every piece whether it is on the server.
struct Writer {
    library: Arc<PhoneLibrary>,
    seen: Mutex<Seen>,
}

/// What was written, and at every piece how many bytes had gone and whether it was on the server.
type Seen = (Option<DocumentId>, Vec<(u64, bool)>);

impl Writer {
    fn on(phone: &TestPhone) -> Arc<Self> {
        Arc::new(Self { library: phone.library.clone(), seen: Mutex::default() })
    }
}

impl TransferListener for Writer {
    fn on_transfer(&self, progress: TransferReport) -> Result<(), PhoneLibError> {
        let mut seen = self.seen.lock().unwrap();
        if progress.bytes_sent == 0 {
            return Ok(());
        }
        let id = *seen.0.get_or_insert_with(|| self.library.core().create(&draft(DocumentKind::Case)).unwrap());
        let status = self.library.document_status(id.to_string())?;
        seen.1.push((progress.bytes_sent, matches!(status, DocumentStatusView::OnServer { .. })));
        Ok(())
    }
}

#[test]
fn what_is_written_during_a_run_of_photos_goes_between_two_pieces() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("整栋楼断电。");
    let big = photo(30, 1_200, 900);
    attach(&he, case, &big);
    let writer = Writer::on(&he);
    let report = he.library.transfer_attachments(TransferPolicy::default(), Some(writer.clone()), None).unwrap();
    assert_eq!((report.uploaded, report.waiting, report.bytes_sent), (1, 0, big.len() as u64));
    let seen = writer.seen.lock().unwrap();
    let there: Vec<bool> = seen.1.iter().map(|(_, there)| *there).collect();
    assert!(there.len() >= 3 && !there[0] && there[1..].iter().all(|t| *t), "{seen:?}", seen = seen.1);
    assert!(world.case(seen.0.unwrap()).status.is_open());
}

/// For which content an upload is announced.
fn announced(request: &TransferRequest, hash: &str) -> bool {
    let named = base64::engine::general_purpose::STANDARD.encode(hash);
    request.headers.iter().any(|(name, value)| *name == "upload-metadata" && value.ends_with(&named))
}

#[test]
fn a_photo_that_is_needed_more_goes_first_when_its_text_went_during_the_run() {
    let world = World::new();
    let he = world.phone("he");
    let patrol = he.core().create(&draft(DocumentKind::Patrol)).unwrap();
    let first = attach(&he, patrol, &photo(31, 400, 300));
    he.sync();
    let mut session = he.core().transfer_begin(sync_core::phone::TransferPolicy::default()).unwrap();
    assert!(!session.text_waits().unwrap());
    assert!(announced(&session.next_request().unwrap().unwrap(), &first));
    let stands = Some("/v1/uploads/abc".to_owned());
    session.apply_response(&TransferReply { status: 201, location: stands, offset: Some(0), body: vec![] }).unwrap();
    let case = he.report("电线老化。");
    let second = attach(&he, case, &photo(32, 64, 64));
    assert!(session.text_waits().unwrap());
    he.sync();
    session.text_went().unwrap();
    assert!(!session.text_waits().unwrap());
    assert!(announced(&session.next_request().unwrap().unwrap(), &second));
    let refused = TransferReply { status: 403, ..TransferReply::default() };
    session.apply_response(&refused).unwrap();
    let next = session.next_request().unwrap().unwrap();
    assert_eq!((next.method, next.path.as_str()), ("PATCH", "/v1/uploads/abc"), "the other goes on where it stood");
    // What this run has given up is not tried again because something else was written.
    he.report("邻里噪音。");
    assert!(session.text_waits().unwrap());
    he.sync();
    session.text_went().unwrap();
    assert_eq!(session.next_request().unwrap().unwrap().path, "/v1/uploads/abc");
}

#[test]
fn a_run_keeps_to_the_bytes_of_a_second_that_the_host_allows() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("漏水。");
    let picture = photo(33, 600, 400);
    attach(&he, case, &picture);
    he.sync();
    let policy = TransferPolicy { bytes_per_second: Some(120_000), ..TransferPolicy::default() };
    let begun = Instant::now();
    let report = he.library.transfer_attachments(policy, None, None).unwrap();
    let least = Duration::from_millis(picture.len() as u64 * 1_000 / 120_000 - 50);
    assert!(report.uploaded == 1 && begun.elapsed() >= least, "{:?} for {} bytes", begun.elapsed(), picture.len());
    let none = TransferPolicy { bytes_per_second: Some(0), ..policy };
    attach(&he, case, &photo(34, 64, 64));
    let report = he.library.transfer_attachments(none, None, None).unwrap();
    assert_eq!((report.bytes_sent, report.waiting, he.core().status().unwrap().pending), (0, 1, 0), "text goes");
}

#[test]
fn while_a_slow_run_waits_text_goes_at_once_and_it_can_be_cancelled() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("漏水。");
    attach(&he, case, &photo(35, 600, 400));
    he.sync();
    // A quarter of a minute for each piece.
    let policy = TransferPolicy { bytes_per_second: Some(1_000), ..TransferPolicy::default() };
    let (cancel, begun) = (CancelToken::new(), Instant::now());
    let waits = || begun.elapsed() < Duration::from_secs(12);
    let (library, token) = (he.library.clone(), cancel.clone());
    let run = std::thread::spawn(move || library.transfer_attachments(policy, None, Some(token)));
    while waits() && he.core().status().unwrap().attachments.waiting_bytes == he.library.storage().unwrap().attachments
    {
        std::thread::yield_now();
    }
    let written = he.report("邻里噪音。");
    let there = || he.library.document_status(written.to_string()).unwrap();
    while waits() && !matches!(there(), DocumentStatusView::OnServer { .. }) {
        std::thread::yield_now();
    }
    assert!(matches!(there(), DocumentStatusView::OnServer { .. }) && waits(), "{:?}", begun.elapsed());
    cancel.cancel();
    assert_eq!(run.join().unwrap(), Err(PhoneLibError::Cancelled));
    assert!(waits(), "it was woken");
}

#[test]
fn the_status_tells_how_many_attachments_wait_and_how_many_bytes() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("漏水。");
    let photos = [photo(36, 320, 240), photo(37, 320, 240)];
    photos.iter().for_each(|p| drop(attach(&he, case, p)));
    let bytes: u64 = photos.iter().map(|p| p.len() as u64).sum();
    let waiting = || {
        let status = he.library.status().unwrap();
        (status.attachments_waiting, status.attachments_waiting_bytes, status.attachments_refused)
    };
    assert_eq!(waiting(), (2, bytes, 0));
    let one = TransferPolicy { bytes_max: 1, ..TransferPolicy::default() };
    he.library.transfer_attachments(one, None, None).unwrap();
    assert_eq!(waiting(), (1, photos[1].len() as u64, 0));
    he.library.transfer_attachments(TransferPolicy::default(), None, None).unwrap();
    assert_eq!(waiting(), (0, 0, 0));
}
