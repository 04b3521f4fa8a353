//! Two phones that meet without a network: the handshake and the channel, without store or radio. Each proves with its certificate
//! and a signature over both greetings who it is; what follows is sealed to keys made for this meeting alone. Anything that is not
//! as it should be ends the meeting.

use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::certificate::Certificate;
use super::seal::Source;
use crate::document::ChangeHash;
use crate::ids::{DocumentId, Entropy};
use crate::limits;
use crate::sync::bundle::{DeviceKey, verify};
use crate::sync::wire::{self, Bytes, Delivery, SignedBundle, from_cbor, to_cbor};

const DOMAIN: &[u8] = b"fengqiao-meet-v1";
/// The version of the meeting that this program speaks.
pub const VERSION: u16 = 1;

type Suite = X25519HkdfSha256;

/// Why a meeting ended before its end. Nothing that it brought was kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeetError {
    /// This phone has no certificate that holds.
    #[error("this phone's certificate is missing or has expired; let it sync")]
    NotCertified,
    /// The other speaks another version.
    #[error("the other phone speaks version {0} of meetings; update the older app")]
    Version(u16),
    /// Not the message that was due.
    #[error("the other phone sent what cannot be understood: {0}")]
    Malformed(String),
    /// Larger than a limit.
    #[error("the other phone sent more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// Its certificate was not signed by this phone's server.
    #[error("the other phone's certificate is not of this server")]
    Forged,
    /// Its certificate has expired.
    #[error("the other phone's certificate has expired; let it sync")]
    Expired,
    /// It is of the same device.
    #[error("a phone cannot meet itself")]
    Itself,
    /// It cannot prove to be the phone that its certificate names.
    #[error("the other phone is not the one that its certificate names")]
    NotProven,
    /// A message was altered, repeated or left out on the way.
    #[error("a message was altered on the way")]
    Altered,
    /// It gave a change that nothing proves.
    #[error("the other phone gave a change that nothing proves: {0}")]
    Unproven(String),
    /// This phone takes no part in meetings.
    #[error("this phone takes no part in meetings; the app can allow it")]
    NotAllowed,
    /// The two know different journals: the server was restored, and one of them has not met it since.
    #[error("the server was restored, and one of the two phones has not met it since; let both sync")]
    OtherJournal,
    /// The meeting has ended.
    #[error("the meeting has ended")]
    Ended,
}

impl MeetError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            MeetError::NotCertified => "meet_not_certified",
            MeetError::Version(_) => "meet_version",
            MeetError::Malformed(_) => "meet_malformed",
            MeetError::TooLarge { .. } => "meet_too_large",
            MeetError::Forged => "meet_forged",
            MeetError::Expired => "meet_expired",
            MeetError::Itself => "meet_itself",
            MeetError::NotProven => "meet_not_proven",
            MeetError::Altered => "meet_altered",
            MeetError::Unproven(_) => "meet_unproven",
            MeetError::NotAllowed => "meet_not_allowed",
            MeetError::OtherJournal => "meet_other_journal",
            MeetError::Ended => "meet_ended",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Hello {
    #[serde(rename = "v")]
    version: u16,
    #[serde(rename = "c")]
    certificate: Bytes,
    #[serde(rename = "n")]
    nonce: Bytes,
    #[serde(rename = "e")]
    ephemeral: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Proof {
    #[serde(rename = "k")]
    encapped: Bytes,
    #[serde(rename = "s")]
    signature: Bytes,
}

/// The heads of a document that a phone holds and the other may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which document.
    #[serde(rename = "d")]
    pub document: DocumentId,
    /// Its heads.
    #[serde(rename = "h")]
    pub heads: Vec<ChangeHash>,
}

/// A bundle of somebody, with the certificate of the phone that signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerBundle {
    /// The certificate of its author's phone.
    #[serde(rename = "c")]
    pub certificate: Bytes,
    /// The bundle: of one document, because all of it goes or none.
    #[serde(rename = "b")]
    pub bundle: SignedBundle,
}

/// What one phone gives the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Gift {
    /// Receipts of the server: they prove the changes of the deliveries of this gift and of later ones.
    #[serde(rename = "r", default)]
    pub receipts: Vec<Bytes>,
    /// Changes that stand in the journal.
    #[serde(rename = "n", default)]
    pub deliveries: Vec<Delivery>,
    /// Changes that no server has acknowledged, signed by their authors' phones.
    #[serde(rename = "b", default)]
    pub bundles: Vec<PeerBundle>,
}

/// What is said once both know each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// What the speaker holds of what the other may see.
    Holds(Vec<Held>),
    /// What the other lacks.
    Gives(Gift),
    /// The speaker has given everything.
    Done,
}

/// Our side before the other has greeted.
pub struct Greeting {
    hello: Vec<u8>,
    private: <Suite as Kem>::PrivateKey,
    own: Certificate,
}

/// The other has greeted, and we have proven who we are.
pub struct Proving {
    /// Who the other says it is: its certificate is genuine and holds.
    pub peer: Certificate,
    /// Its certificate as it came.
    pub peer_bytes: Vec<u8>,
    transcript: [u8; 32],
    private: <Suite as Kem>::PrivateKey,
    out: AeadCtxS<ChaCha20Poly1305, HkdfSha256, Suite>,
}

/// Both have proven who they are.
pub struct Channel {
    out: AeadCtxS<ChaCha20Poly1305, HkdfSha256, Suite>,
    into: AeadCtxR<ChaCha20Poly1305, HkdfSha256, Suite>,
}

fn malformed(e: impl ToString) -> MeetError {
    MeetError::Malformed(e.to_string())
}

impl Greeting {
    /// Begins a meeting; gives the greeting to be sent.
    pub fn new(own: Certificate, certificate: &[u8], entropy: &dyn Entropy) -> Result<(Self, Vec<u8>), MeetError> {
        let (private, public) = Suite::gen_keypair_with_rng(&mut Source(entropy));
        let hello = to_cbor(&Hello {
            version: VERSION,
            certificate: Bytes::from(certificate.to_vec()),
            nonce: Bytes::from(entropy.sixteen().to_vec()),
            ephemeral: Bytes::from(public.to_bytes().to_vec()),
        });
        let hello = hello.map_err(malformed)?;
        Ok((Self { hello: hello.clone(), private, own }, hello))
    }

    /// Takes the other's greeting; gives the proof to be sent.
    pub fn receive(
        self,
        bytes: &[u8],
        server: &[[u8; 32]],
        now_ms: i64,
        key: &DeviceKey,
        entropy: &dyn Entropy,
    ) -> Result<(Proving, Vec<u8>), MeetError> {
        let theirs: Hello = from_cbor(bounded(bytes, super::certificate::BYTES_MAX + 1024)?).map_err(malformed)?;
        if theirs.version != VERSION {
            return Err(MeetError::Version(theirs.version));
        }
        let peer = Certificate::verified(&theirs.certificate, server).ok_or(MeetError::Forged)?;
        if !peer.holds(now_ms) {
            return Err(MeetError::Expired);
        }
        if peer.device == self.own.device {
            return Err(MeetError::Itself);
        }
        let (first, second) =
            if self.own.device < peer.device { (self.hello.as_slice(), bytes) } else { (bytes, self.hello.as_slice()) };
        let mut digest = Sha256::new();
        digest.update(Sha256::digest(first));
        digest.update(Sha256::digest(second));
        let transcript: [u8; 32] = digest.finalize().into();
        let ephemeral =
            <Suite as Kem>::PublicKey::from_bytes(&theirs.ephemeral).map_err(|_| malformed("its key is no key"))?;
        let (encapped, out) = setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, Suite>(
            &OpModeS::Base,
            &ephemeral,
            &transcript,
            &mut Source(entropy),
        )
        .map_err(|_| malformed("its key gives no secret"))?;
        let encapped = encapped.to_bytes().to_vec();
        let signature = key.sign(DOMAIN, &signed(&transcript, &self.own, &encapped)).to_vec();
        let proof = to_cbor(&Proof { encapped: Bytes::from(encapped), signature: Bytes::from(signature) });
        let peer_bytes = theirs.certificate.to_vec();
        Ok((Proving { peer, peer_bytes, transcript, private: self.private, out }, proof.map_err(malformed)?))
    }
}

/// What a phone signs: both greetings, that it is the one that speaks, and the key of what it will say.
fn signed(transcript: &[u8; 32], speaker: &Certificate, encapped: &[u8]) -> Vec<u8> {
    [transcript.as_slice(), speaker.device.0.as_bytes(), encapped].concat()
}

impl Proving {
    /// Takes the other's proof.
    pub fn receive(self, bytes: &[u8]) -> Result<Channel, MeetError> {
        let proof: Proof = from_cbor(bounded(bytes, 1024)?).map_err(malformed)?;
        let key = self.peer.public_key().ok_or(MeetError::NotProven)?;
        let message = signed(&self.transcript, &self.peer, &proof.encapped);
        if !verify(&key, DOMAIN, &message, &proof.signature) {
            return Err(MeetError::NotProven);
        }
        let encapped =
            <Suite as Kem>::EncappedKey::from_bytes(&proof.encapped).map_err(|_| malformed("its key is no key"))?;
        let into = setup_receiver::<ChaCha20Poly1305, HkdfSha256, Suite>(
            &OpModeR::Base,
            &self.private,
            &encapped,
            &self.transcript,
        )
        .map_err(|_| malformed("its key gives no secret"))?;
        Ok(Channel { out: self.out, into })
    }
}

impl Channel {
    /// Says something.
    pub fn say(&mut self, word: &Word) -> Result<Vec<u8>, MeetError> {
        let text = wire::encode(word).map_err(malformed)?;
        self.out.seal(&text, &[]).map_err(|_| MeetError::Altered)
    }

    /// Hears something. The channel counts: what is altered, repeated or left out is noticed.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Word, MeetError> {
        let sealed = bounded(bytes, limits::WIRE_BYTES_MAX)?;
        let text = self.into.open(sealed, &[]).map_err(|_| MeetError::Altered)?;
        wire::decode(&text).map_err(malformed)
    }
}

fn bounded(bytes: &[u8], max: usize) -> Result<&[u8], MeetError> {
    if bytes.len() > max { Err(MeetError::TooLarge { max }) } else { Ok(bytes) }
}
