//! Relay files and QR frames under any bytes and any order: what comes out is what went in, or an error; nothing else happens.

use proptest::prelude::*;
use server::clock::SystemEntropy;
use sync_core::ids::DeviceId;
use sync_core::relay::frame::frames;
use sync_core::relay::{Container, Content, FrameError, FrameSet, OpeningKey};
use sync_core::sync::wire::SignedBundle;

fn key() -> OpeningKey {
    OpeningKey::from_seed(&[5; 32])
}

fn parcel(payload: &[u8]) -> (Container, Content) {
    let bundle = SignedBundle { payload: payload.to_vec().into(), signature: vec![1; 64].into() };
    let content = Content { device: DeviceId(uuid::Uuid::from_u128(1)), bundles: vec![bundle] };
    (Container::seal(&content, &key().public(), 1_558_054_800_000, &SystemEntropy).unwrap(), content)
}

proptest! {
    #![proptest_config(super::tries(64))]

    #[test]
    fn relay_any_content_comes_out_as_it_went_in(payload in prop::collection::vec(any::<u8>(), 0..3_000)) {
        let (parcel, content) = parcel(&payload);
        let read = Container::parse_one(parcel.bytes()).unwrap();
        prop_assert_eq!(&read, &parcel);
        prop_assert_eq!(read.open(&[OpeningKey::from_seed(&[6; 32]), key()]).unwrap(), content);
    }

    #[test]
    fn relay_any_bytes_are_a_file_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        let bytes = if magic { [b"FQRP\x01\x01".as_slice(), &bytes].concat() } else { bytes };
        prop_assert!(Container::parse_file(&bytes).is_err());
    }

    #[test]
    fn relay_any_one_altered_byte_is_noticed(payload in prop::collection::vec(any::<u8>(), 0..300), place in any::<prop::sample::Index>(), by in 1u8..) {
        let (parcel, _) = parcel(&payload);
        let mut bytes = parcel.bytes().to_vec();
        let at = place.index(bytes.len());
        bytes[at] ^= by;
        prop_assert!(Container::parse_one(&bytes).is_err(), "byte {} by {}", at, by);
    }

    #[test]
    fn relay_frames_come_together_in_any_order_with_doubles(
        payload in prop::collection::vec(any::<u8>(), 200..4_000),
        size in 1usize..1_200,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let (parcel, _) = parcel(&payload);
        let codes = frames(&parcel, size).unwrap();
        let mut set = FrameSet::default();
        let mut seen = std::collections::BTreeSet::new();
        // Any of them any number of times, but never the last one, so that it cannot be whole; then all.
        for pick in order {
            let n = pick.index(codes.len());
            if n + 1 == codes.len() {
                continue;
            }
            let state = set.add(&codes[n]).unwrap();
            prop_assert_eq!(state.again, !seen.insert(n));
            let missing: Vec<u16> = (0..codes.len()).filter(|i| !seen.contains(i)).map(|i| u16::try_from(i + 1).unwrap()).collect();
            prop_assert_eq!(state.missing, missing);
            prop_assert_eq!(state.whole, None);
        }
        let mut whole = None;
        for code in &codes {
            whole = set.add(code).unwrap().whole.or(whole);
        }
        let whole = whole.unwrap();
        prop_assert_eq!(whole.as_slice(), parcel.bytes());
        prop_assert_eq!(set.unfinished(), 0);
    }

    #[test]
    fn relay_frames_of_two_parcels_are_told_apart(mix in any::<u64>()) {
        let (one, two) = (parcel(&[1; 700]).0, parcel(&[2; 900]).0);
        let mut codes = frames(&one, 100).unwrap();
        codes.extend(frames(&two, 130).unwrap());
        // A shuffle that proptest can shrink.
        let mut state = mix;
        for i in (1..codes.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            codes.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
        }
        let mut set = FrameSet::default();
        let whole: Vec<Vec<u8>> = codes.iter().filter_map(|code| set.add(code).unwrap().whole).collect();
        prop_assert_eq!(whole.len(), 2);
        for parcel in [one, two] {
            prop_assert!(whole.iter().any(|w| w == parcel.bytes()));
        }
    }

    #[test]
    fn relay_a_misread_frame_is_refused_and_what_was_gathered_stays(place in any::<prop::sample::Index>(), letter in 0usize..44) {
        let (parcel, _) = parcel(&[7; 500]);
        let codes = frames(&parcel, 100).unwrap();
        let mut set = FrameSet::default();
        set.add(&codes[0]).unwrap();
        let mut letters: Vec<char> = codes[1].chars().collect();
        let at = place.index(letters.len());
        let other: Vec<char> = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:".chars().filter(|c| *c != letters[at]).collect();
        letters[at] = other[letter];
        let misread: String = letters.into_iter().collect();
        // A blank in the place of the last letter is what a scanner may cut off.
        let refused = set.add(&misread);
        prop_assert!(matches!(refused, Err(FrameError::Damaged | FrameError::NotAFrame)), "{:?}", refused);
        let mut whole = None;
        for code in &codes {
            whole = set.add(code).unwrap().whole.or(whole);
        }
        prop_assert_eq!(whole.as_deref(), Some(parcel.bytes()));
    }

    #[test]
    fn relay_any_text_is_no_frame(text in "(FQR1:)?[0-9A-Z $%*+./:-]{0,200}:?") {
        prop_assert!(FrameSet::default().add(&text).is_err());
    }
}

#[test]
fn relay_frames_that_contradict_each_other_are_refused() {
    let (parcel, _) = parcel(&(0..=255).collect::<Vec<u8>>());
    let (fine, coarse) = (frames(&parcel, 100).unwrap(), frames(&parcel, 200).unwrap());
    let mut set = FrameSet::default();
    set.add(&fine[0]).unwrap();
    assert_eq!(set.add(&coarse[1]), Err(FrameError::Contradicts));
    let mut many = FrameSet::default();
    for n in 0..8u8 {
        let other = self::parcel(&[n; 400]).0;
        many.add(&frames(&other, 100).unwrap()[0]).unwrap();
    }
    assert_eq!(many.add(&fine[0]), Err(FrameError::TooMany { max: 8 }));
}
