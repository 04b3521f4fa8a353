//! The server's own keys: for access tokens, for time tokens and for relay. They live in the database, so that every process of a deployment
//! verifies what any of them signed; a rotated key goes on verifying until what it signed has expired, and not longer.

use diesel::prelude::*;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use sync_core::ids::{DeviceId, Entropy, UserId};
use sync_core::relay::OpeningKey;
use sync_core::sync::bundle::DeviceKey;

use crate::db::tables::signing_keys;
use crate::db::{AnyConnection, DbError};

const ISSUER: &str = "fengqiao";
const AUDIENCE: &str = "fengqiao-api";
const TYPE: &str = "at+jwt";

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Access tokens.
    Access,
    /// Time tokens.
    Time,
    /// Relay: parcels are sealed to it; receipts of parcels and certificates of devices are signed by it.
    Relay,
    /// Checkpoints of the audit log.
    Audit,
    /// Keyed hashes of identity and phone numbers: not for signing.
    Numbers,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::Access => "access",
            Purpose::Time => "time",
            Purpose::Relay => "relay",
            Purpose::Audit => "audit",
            Purpose::Numbers => "numbers",
        }
    }
}

/// One key.
struct Key {
    kid: String,
    key: DeviceKey,
    /// What it signed is refused from then on, ms UTC.
    retired_ms: Option<i64>,
}

impl Key {
    fn stands(&self, now_ms: i64) -> bool {
        self.retired_ms.is_none_or(|at| at > now_ms)
    }
}

/// The keys of one purpose, the one in use first.
pub struct Keys(Vec<Key>);

/// What an access token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    /// The account.
    pub sub: UserId,
    /// Issued, s UTC.
    pub iat: i64,
    nbf: i64,
    /// Expires, s UTC.
    pub exp: i64,
    /// Identity of the token.
    pub jti: uuid::Uuid,
    /// The session, which can be revoked.
    pub sid: uuid::Uuid,
    /// The device that the session is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<DeviceId>,
}

impl Claims {
    /// Whether the time of its token is over.
    pub fn has_expired(&self, now_ms: i64) -> bool {
        self.exp <= now_ms.div_euclid(1000)
    }

    /// The phone, else the session, that the token was given to.
    pub fn holder(&self) -> uuid::Uuid {
        self.dev.map_or(self.sid, |d| d.0)
    }
}

/// Why an access token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours.
    #[error("the access token is not valid; sign in again")]
    Invalid,
    /// Too old.
    #[error("the access token has expired; refresh it")]
    Expired,
}

/// The ASN.1 wrapping in which the library wants an Ed25519 seed (RFC 8410).
fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend_from_slice(seed);
    der
}

impl Keys {
    /// The keys of a purpose; the first one is made if there is none.
    pub fn load(
        conn: &mut AnyConnection,
        purpose: Purpose,
        now_ms: i64,
        entropy: &dyn Entropy,
    ) -> Result<Self, DbError> {
        let mut keys = Self::known(conn, purpose)?;
        if keys.0.is_empty() {
            Self::rotate(conn, purpose, now_ms, None, entropy)?;
            keys = Self::known(conn, purpose)?;
        }
        keys.0.retain(|k| k.stands(now_ms));
        Ok(keys)
    }

    /// The keys of a purpose, if there are any, retired ones too.
    pub fn known(conn: &mut AnyConnection, purpose: Purpose) -> Result<Self, DbError> {
        let rows = signing_keys::table
            .filter(signing_keys::purpose.eq(purpose.as_str()))
            .order((signing_keys::created_ms.desc(), signing_keys::kid.desc()))
            .select((signing_keys::kid, signing_keys::seed, signing_keys::retired_ms))
            .load::<(String, Vec<u8>, Option<i64>)>(conn)?;
        let keys = rows.into_iter().map(|(kid, seed, retired_ms)| {
            let seed = <[u8; 32]>::try_from(seed).map_err(|_| DbError::Row(format!("signing key {kid}")))?;
            Ok(Key { kid, key: DeviceKey::from_seed(seed), retired_ms })
        });
        Ok(Self(keys.collect::<Result<_, DbError>>()?))
    }

    /// Makes a new key that is used from now on. What older ones signed is good for `keep_ms` more, or for ever.
    pub fn rotate(
        conn: &mut AnyConnection,
        purpose: Purpose,
        now_ms: i64,
        keep_ms: Option<i64>,
        entropy: &dyn Entropy,
    ) -> Result<String, DbError> {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        let kid: String = DeviceKey::from_seed(seed).public().iter().take(8).map(|b| format!("{b:02x}")).collect();
        if let Some(keep_ms) = keep_ms {
            let until_ms = now_ms.saturating_add(keep_ms);
            let longer = signing_keys::retired_ms.is_null().or(signing_keys::retired_ms.gt(until_ms));
            diesel::update(signing_keys::table.filter(signing_keys::purpose.eq(purpose.as_str())).filter(longer))
                .set(signing_keys::retired_ms.eq(Some(until_ms)))
                .execute(conn)?;
        }
        diesel::insert_into(signing_keys::table)
            .values((
                signing_keys::kid.eq(&kid),
                signing_keys::purpose.eq(purpose.as_str()),
                signing_keys::seed.eq(seed.to_vec()),
                signing_keys::created_ms.eq(now_ms),
                signing_keys::retired_ms.eq(None::<i64>),
            ))
            .execute(conn)?;
        Ok(kid)
    }

    /// The key in use.
    pub fn current(&self) -> Option<&DeviceKey> {
        self.0.first().map(|k| &k.key)
    }

    /// The first that was made.
    pub fn oldest(&self) -> Option<&DeviceKey> {
        self.0.last().map(|k| &k.key)
    }

    /// The public halves of all.
    pub fn public(&self) -> Vec<[u8; 32]> {
        self.0.iter().map(|k| k.key.public()).collect()
    }

    /// What opens parcels: an old key still opens what was sealed to it. Derived when it is asked for.
    pub fn opening(&self) -> Vec<OpeningKey> {
        self.0.iter().map(|k| OpeningKey::from_seed(&k.key.seed())).collect()
    }

    /// Issues an access token.
    pub fn issue(
        &self,
        user: UserId,
        session: uuid::Uuid,
        device: Option<DeviceId>,
        now_ms: i64,
        minutes: i64,
        entropy: &dyn Entropy,
    ) -> Result<(String, i64), TokenError> {
        let key = self.0.first().ok_or(TokenError::Invalid)?;
        let iat = now_ms.div_euclid(1000);
        let exp = iat.saturating_add(minutes.saturating_mul(60));
        let jti = UserId::from_parts(now_ms, entropy.ten()).0;
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user,
            iat,
            nbf: iat,
            exp,
            jti,
            sid: session,
            dev: device,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.kid.clone());
        header.typ = Some(TYPE.into());
        let secret = EncodingKey::from_ed_der(&pkcs8(&key.key.seed()));
        let token = encode(&header, &claims, &secret).map_err(|_| TokenError::Invalid)?;
        Ok((token, exp.saturating_mul(1000)))
    }

    /// Checks an access token: one algorithm, our type, issuer and audience, times by the server's own clock.
    pub fn check(&self, token: &str, now_ms: i64) -> Result<Claims, TokenError> {
        let claims = self.signed(token, now_ms)?;
        if claims.has_expired(now_ms) { Err(TokenError::Expired) } else { Ok(claims) }
    }

    /// The same for a token that may have expired: it opens nothing, and only says who it was given to.
    pub fn signed(&self, token: &str, now_ms: i64) -> Result<Claims, TokenError> {
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) {
            return Err(TokenError::Invalid);
        }
        // An extension that we do not know and must not pass over (RFC 7515, 4.1.11): we know none.
        if header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let named = self.0.iter().find(|k| Some(&k.kid) == header.kid.as_ref());
        let key = named.filter(|k| k.stands(now_ms)).ok_or(TokenError::Invalid)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        // The library would ask the system's clock.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        let claims = decode::<Claims>(token, &DecodingKey::from_ed_der(&key.key.public()), &rules)
            .map_err(|_| TokenError::Invalid)?;
        let claims = claims.claims;
        if claims.nbf > now_ms.div_euclid(1000) + 60 { Err(TokenError::Invalid) } else { Ok(claims) }
    }
}

#[cfg(test)]
mod tests;
