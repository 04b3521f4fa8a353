//! Every bound of the product in one place, unit last in the name. A bound is checked before memory is reserved.

/// One change as bytes on the wire, after inflating.
pub const CHANGE_BYTES_MAX: usize = 256 * 1024;
/// Operations in one change, run lengths counted out: enough to replace the longest text, character by character.
pub const CHANGE_OPS_MAX: usize = 50_000;
/// Dependencies named by one change.
pub const CHANGE_DEPS_MAX: usize = 64;
/// The highest operation counter accepted: far above any real document, far below where Automerge's 32-bit counters overflow.
pub const OP_COUNTER_MAX: u64 = 1 << 30;
/// Changes of one document in one bundle.
pub const BUNDLE_CHANGES_MAX: usize = 2_000;
/// One signed bundle as bytes.
pub const BUNDLE_BYTES_MAX: usize = 1024 * 1024;
/// Bundles in one request.
pub const REQUEST_BUNDLES_MAX: usize = 64;
/// One request or response as it travels, compressed.
pub const WIRE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// One request or response after decompression.
pub const WIRE_INFLATED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What the phone puts into one request before it begins another.
pub const REQUEST_TARGET_BYTES: usize = 768 * 1024;
/// What the server puts into one response before it says `more`.
pub const RESPONSE_TARGET_BYTES: usize = 2 * 1024 * 1024;
/// Communities in one request.
pub const REQUEST_COMMUNITIES_MAX: usize = 256;
/// Documents whose heads one request may put in doubt.
pub const REQUEST_DOUBTS_MAX: usize = 5_000;
/// Documents whose heads the phone offers in one request: the answer to each may be the whole document.
pub const REQUEST_DOUBTS_TARGET: usize = 200;
/// Purge orders that one request may confirm.
pub const REQUEST_CONFIRMED_MAX: usize = 5_000;
/// Closed records that leave a phone in one go.
pub const AWAY_AT_ONCE: u32 = 500;
/// How long a record stays on the phone that was asked for although it was closed long ago, ms.
pub const FETCHED_KEPT_MS: i64 = 7 * 86_400_000;
/// Room below which a phone calls its storage tight, bytes.
pub const STORAGE_TIGHT_BYTES: u64 = 200 * 1024 * 1024;
/// Room below which a phone calls its storage full, bytes.
pub const STORAGE_FULL_BYTES: u64 = 20 * 1024 * 1024;
/// Documents that one response orders to purge.
pub const RESPONSE_PURGES_MAX: usize = 1_000;
/// Records that a sync names of those it left out; the others are only counted.
pub const LEFT_OUT_TOLD_MAX: usize = 100;
/// One server-sent event, in bytes.
pub const STREAM_EVENT_BYTES_MAX: usize = 64 * 1024;
/// Refused changes about which one request asks whether they were decided.
pub const REQUEST_UNDECIDED_MAX: usize = 200;
/// The longest reason or note of a decision, in characters.
pub const REASON_CHARS_MAX: usize = 1_000;
/// One document as its own store keeps it, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// One text (narrative, statement, notes), in characters.
pub const TEXT_CHARS_MAX: usize = 20_000;
/// Characters to be compared one with another when a text is replaced; beyond it the differing stretch is replaced as a whole,
/// because the comparison grows with the product of both lengths.
pub const TEXT_COMPARISONS_MAX: usize = 1_000_000;
/// One register, in characters.
pub const FIELD_CHARS_MAX: usize = 2_000;
/// One event's JSON, in bytes.
pub const EVENT_BYTES_MAX: usize = 32 * 1024;
/// Events that one event's `after` may name.
pub const EVENT_AFTER_MAX: usize = 64;
/// Parties of one case.
pub const PARTIES_MAX: usize = 200;
/// The largest file that a phone attaches.
pub const ATTACHMENT_BYTES_MAX: usize = 20 * 1024 * 1024;
/// One piece of an attachment on the wire: what a broken connection can cost at most.
pub const ATTACHMENT_PIECE_BYTES: u64 = 256 * 1024;
/// The least piece of an attachment where the host limits the speed.
pub const ATTACHMENT_PIECE_BYTES_MIN: u64 = 16 * 1024;
/// What attachments may take on a phone unless its host says otherwise.
pub const ATTACHMENT_QUOTA_BYTES: u64 = 1024 * 1024 * 1024;
/// What small pictures may take on a phone unless its host says otherwise.
pub const THUMBNAIL_QUOTA_BYTES: u64 = 64 * 1024 * 1024;
/// One small picture as a phone keeps it.
pub const THUMBNAIL_BYTES_MAX: usize = 1024 * 1024;
/// The longer side of the small pictures that are fetched before anybody asks, unless the host says otherwise.
pub const THUMBNAIL_POINTS: u32 = 320;
/// Small pictures that one run fetches before anybody asks.
pub const THUMBNAILS_AT_ONCE: usize = 500;
/// How long after the server had no small picture it is asked again, ms.
pub const THUMBNAIL_AGAIN_MS: i64 = 10 * 60_000;
/// The same where it said that there can be none, ms.
pub const THUMBNAIL_NEVER_MS: i64 = 30 * 86_400_000;
/// One relay parcel as bytes, header and checksum included.
pub const PARCEL_BYTES_MAX: usize = 1536 * 1024;
/// What a phone puts into one parcel before it begins another, before compression: a parcel may have to pass as QR codes.
pub const PARCEL_TARGET_BYTES: usize = 256 * 1024;
/// Bundles in one parcel.
pub const PARCEL_BUNDLES_MAX: usize = 64;
/// Changes in one parcel: so many that a receipt can name them all.
pub const PARCEL_CHANGES_MAX: usize = 10_000;
/// For how long a parcel may be carried.
pub const PARCEL_LIFE_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Containers (parcels, lists of receipts) in one file.
pub const RELAY_FILE_ITEMS_MAX: usize = 512;
/// Parcels in one request.
pub const REQUEST_PARCELS_MAX: usize = 16;
/// Parcels of others that a phone puts into one request before it begins another, in bytes.
pub const REQUEST_PARCELS_TARGET_BYTES: usize = 512 * 1024;
/// Parcels that a phone carries for others.
pub const CARRIED_PARCELS_MAX: usize = 200;
/// Parcels that a phone carries for others, in bytes.
pub const CARRIED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a parcel in one QR frame, at most.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 800;
/// Bytes of a parcel in one QR frame, at least, but for the last.
pub const FRAME_PAYLOAD_BYTES_MIN: usize = 100;
/// QR frames of one container.
pub const FRAMES_MAX: usize = PARCEL_BYTES_MAX.div_ceil(FRAME_PAYLOAD_BYTES_MIN);
/// Containers whose frames are gathered at the same time.
pub const FRAME_SETS_MAX: usize = 8;
/// Containers that were put together and whose frames are known when they come by again.
pub const FRAME_SETS_GIVEN_MAX: usize = 1_000;
/// Bundles that came from phone to phone and are kept until they were handed in.
pub const PEER_BUNDLES_MAX: usize = 2_000;
/// The same, in bytes.
pub const PEER_BUNDLES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bundles of others in one request; this phone's own wait for the next one.
pub const REQUEST_PEER_BUNDLES_MAX: usize = 48;
/// Documents whose heads one request may ask to be proven.
pub const REQUEST_PROOFS_MAX: usize = 500;
/// Pledges that one request may show.
pub const REQUEST_PLEDGES_MAX: usize = 500;
/// Documents that a phone tells another of at a meeting.
pub const MEET_DOCUMENTS_MAX: usize = 2_000;
/// What a phone gives another at one meeting, in bytes; the rest waits for the next.
pub const MEET_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What is put into one message of a meeting before another is begun.
pub const MEET_MESSAGE_TARGET_BYTES: usize = 512 * 1024;
