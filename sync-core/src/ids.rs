//! Identities: what every document, event, person and place is called. Nothing here draws random numbers or reads a clock;
//! both come in as arguments.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A value that does not have the shape of the identity that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {what}: {remedy}")]
pub struct IdError {
    /// Which identity was expected.
    pub what: &'static str,
    /// What was found, cut to 80 characters.
    pub value: String,
    /// What would have been accepted.
    pub remedy: &'static str,
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A time-ordered identity (UUIDv7) from a wall clock in milliseconds and ten random bytes.
            pub fn from_parts(wall_ms: i64, random: [u8; 10]) -> Self {
                let ms = u64::try_from(wall_ms).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                Uuid::parse_str(s).map(Self).map_err(|_| IdError {
                    what: stringify!($name),
                    value: s.chars().take(80).collect(),
                    remedy: "a UUID of 32 hexadecimal digits was expected",
                })
            }
        }
    )*};
}

uuid_id! {
    /// One patrol record or case file.
    DocumentId;
    /// One event in the life of a case or patrol.
    EventId;
    /// One party of a case.
    PartyId;
    /// One statement taken down in a case.
    StatementId;
    /// One registered phone (one installation of the app).
    DeviceId;
    /// One account.
    UserId;
    /// One signed bundle of changes.
    BundleId;
    /// One life of a server's journal; a restored server gets a new one.
    JournalId;
}

impl UserId {
    /// The author of what the server itself writes (escalations, reminders).
    pub const SYSTEM: UserId = UserId(Uuid::nil());
}

/// When a time-ordered identity was made, as the clock of who made it says, ms UTC; nothing of one that holds no time.
pub fn made_ms(id: Uuid) -> Option<i64> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()?.checked_mul(1_000)?.checked_add(i64::from(nanos / 1_000_000))
}

/// The identity under which changes of one document are numbered: 16 bytes, never shared between two installations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub [u8; 16]);

impl ActorId {
    /// Lower-case hexadecimal, 32 digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Reads 32 hexadecimal digits.
    pub fn from_hex(s: &str) -> Result<Self, IdError> {
        let bad = || IdError {
            what: "ActorId",
            value: s.chars().take(80).collect(),
            remedy: "32 hexadecimal digits were expected",
        };
        if s.len() != 32 || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let number = u128::from_str_radix(s, 16).map_err(|_| bad())?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorId({})", self.to_hex())
    }
}

impl Serialize for ActorId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.serialize_str(&self.to_hex()) } else { s.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for ActorId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if d.is_human_readable() {
            let s = String::deserialize(d)?;
            Self::from_hex(&s).map_err(D::Error::custom)
        } else {
            let b = serde_bytes::ByteBuf::deserialize(d)?;
            <[u8; 16]>::try_from(b.as_slice()).map(Self).map_err(|_| D::Error::custom("an actor id has 16 bytes"))
        }
    }
}

/// The customer's code of one area (district, street, community, grid or building). Codes come from the import file and are
/// never invented here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AreaCode(String);

impl AreaCode {
    /// The longest code accepted, in characters.
    pub const CHARS_MAX: usize = 64;

    /// Accepts 1 to 64 ASCII letters, digits, `-`, `_` and `.`.
    pub fn new(code: impl Into<String>) -> Result<Self, IdError> {
        let code = code.into();
        let fits = !code.is_empty()
            && code.len() <= Self::CHARS_MAX
            && code.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if fits {
            Ok(Self(code))
        } else {
            Err(IdError {
                what: "area code",
                value: code.chars().take(80).collect(),
                remedy: "1 to 64 ASCII letters, digits, `-`, `_` or `.` were expected",
            })
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AreaCode {
    type Error = IdError;
    fn try_from(s: String) -> Result<Self, IdError> {
        Self::new(s)
    }
}

impl From<AreaCode> for String {
    fn from(c: AreaCode) -> String {
        c.0
    }
}

impl fmt::Display for AreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AreaCode({})", self.0)
    }
}

/// Where randomness comes from. The host gives the operating system's; tests give a seeded one.
pub trait Entropy: Send + Sync {
    /// Fills the buffer with random bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// Ten random bytes, as a UUIDv7 wants them.
    fn ten(&self) -> [u8; 10] {
        let mut b = [0; 10];
        self.fill(&mut b);
        b
    }

    /// Sixteen random bytes, as an actor wants them.
    fn sixteen(&self) -> [u8; 16] {
        let mut b = [0; 16];
        self.fill(&mut b);
        b
    }
}

impl<T: Entropy + ?Sized> Entropy for std::sync::Arc<T> {
    fn fill(&self, buffer: &mut [u8]) {
        (**self).fill(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_code_refuses_what_could_break_a_path_or_a_query() {
        assert!(AreaCode::new("440311001-BY").is_ok());
        for bad in ["", "a b", "a/b", "碧眼", &"x".repeat(65)] {
            assert!(AreaCode::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_actor_reads_back_from_its_hexadecimal_form() {
        let actor = ActorId([7; 16]);
        assert_eq!(ActorId::from_hex(&actor.to_hex()), Ok(actor));
        assert!(ActorId::from_hex("zz").is_err());
        assert!(ActorId::from_hex("+0000000000000000000000000000000").is_err());
    }
}
