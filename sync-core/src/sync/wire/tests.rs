//! Messages read back as they were written; bombs, cut and garbled bytes are refused.

use super::*;

fn request() -> SyncRequest {
    SyncRequest {
        version: PROTOCOL_VERSION,
        device: DeviceId(uuid::Uuid::nil()),
        journal: None,
        cursors: vec![],
        bundles: vec![],
        doubts: vec![],
        undecided: Vec::new(),
        health: Health::default(),
        relay: None,
        confirmed: None,
        resupply: None,
    }
}

#[test]
fn a_request_reads_back_as_it_was_written() {
    let bytes = encode(&request()).unwrap();
    assert_eq!(decode::<SyncRequest>(&bytes).unwrap(), request());
}

#[test]
fn a_bomb_is_refused_without_being_inflated() {
    let bomb = zstd::bulk::compress(&vec![0u8; limits::WIRE_INFLATED_BYTES_MAX + 10], 3).unwrap();
    assert!(bomb.len() < 10_000);
    assert_eq!(decode::<SyncRequest>(&bomb), Err(WireError::TooLarge { max: limits::WIRE_INFLATED_BYTES_MAX }));
}

#[test]
fn cut_or_garbled_bytes_are_refused() {
    let good = encode(&request()).unwrap();
    for n in 0..good.len() {
        assert!(decode::<SyncRequest>(&good[..n]).is_err(), "{n} bytes");
    }
    assert!(decode::<SyncRequest>(b"hello").is_err());
    let mut plain = to_cbor(&request()).unwrap();
    plain.push(0);
    assert!(from_cbor::<SyncRequest>(&plain).is_err());
    // a list that says it has four thousand million entries
    assert!(from_cbor::<Vec<u8>>(&[0x9a, 0xff, 0xff, 0xff, 0xff]).is_err());
}
