//! Signed bundles: each is opened, its signature is checked against the phone that it names, and what it holds is merged. A bundle that
//! cannot be opened is told by its place and holds up no other.

use sync_core::error::{Refusal, RefusalCode};
use sync_core::ids::DeviceId;
use sync_core::sync::server::Opened;
use sync_core::sync::wire::{BundleRefused, PushResult, SignedBundle};
use sync_core::sync::{bundle, token};

use crate::accounts::devices::{self, Device};
use crate::accounts::grants;
use crate::db::{AnyConnection, DbError};
use crate::merge::{self, Context};

/// A bundle as it was read, or why it cannot be.
pub type Read = Result<Opened, Refusal>;

/// Reads bundles: what of them needs no database.
pub fn read(bundles: &[SignedBundle]) -> Vec<Read> {
    bundles.iter().map(|b| bundle::read(b).map(Opened::from)).collect()
}

/// Takes in what a phone hands in, of its own and of others. `is_last`: it will say no more; of what others wrote it cannot say that nobody
/// will bring more.
pub(crate) fn take_all(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    (bundles, read): (&[SignedBundle], &[Read]),
    time_keys: &[[u8; 32]],
    speaker: DeviceId,
    is_last: bool,
) -> Result<(Vec<PushResult>, Vec<BundleRefused>), DbError> {
    let (mut results, mut refused) = (Vec::new(), Vec::new());
    for (index, (signed, read)) in bundles.iter().zip(read).enumerate() {
        let taken = match read {
            Ok(opened) => {
                let is_last = is_last && is_of(conn, opened.bundle.device, speaker)?;
                take(conn, context, signed, opened, time_keys, is_last)?
            }
            Err(refusal) => Err(refusal.clone()),
        };
        match taken {
            Ok(taken) => results.extend(taken),
            Err(Refusal { code, detail }) => {
                tracing::warn!(%speaker, code = code.as_str(), detail, "bundle refused");
                refused.push(BundleRefused { index: u32::try_from(index).unwrap_or(u32::MAX), code, detail });
            }
        }
    }
    Ok((results, refused))
}

/// Whether a device is the phone that speaks: a phone that was handed on has been several, and has one key.
fn is_of(conn: &mut AnyConnection, named: DeviceId, speaker: DeviceId) -> Result<bool, DbError> {
    if named == speaker {
        return Ok(true);
    }
    let key = |device: Option<Device>| device.and_then(|d| d.key());
    let named = key(devices::find(conn, named)?);
    Ok(named.is_some() && named == key(devices::find(conn, speaker)?))
}

/// Takes in one bundle: its device must be known, belong to its author, and have signed it. `is_last`: its phone will say
/// no more.
pub(crate) fn take(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    signed: &SignedBundle,
    opened: &Opened,
    time_keys: &[[u8; 32]],
    is_last: bool,
) -> Result<Result<Vec<PushResult>, Refusal>, DbError> {
    let strange = || Refusal::new(RefusalCode::BadSignature, "its device is not registered here");
    let device: Option<Device> = devices::find(conn, opened.bundle.device)?;
    let Some((device, key)) = device.and_then(|d| d.key().map(|k| (d, k))) else { return Ok(Err(strange())) };
    if let Err(refusal) = bundle::check(signed, &key) {
        return Ok(Err(refusal));
    }
    // A phone speaks for the person who registered it and for nobody else: its signature says no more than that.
    if device.user_id != opened.bundle.user.to_string() {
        return Ok(Err(Refusal::new(RefusalCode::ForgedAuthor, "its author is not the one whose phone signed it")));
    }
    let subject = grants::ever(conn, opened.bundle.user)?;
    let tokens: Vec<i64> = opened
        .bundle
        .tokens
        .iter()
        .take(1_000)
        .filter_map(|t| token::genuine(t, opened.bundle.device, time_keys))
        .collect();
    merge::bundle(conn, context, opened, &subject, &device, &tokens, is_last).map(Ok)
}
