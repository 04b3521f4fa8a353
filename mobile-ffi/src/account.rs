//! Who uses this phone: logging in, registering the phone on first use, fresh tokens. Nothing of it is needed to read or write.

use std::io::Read;
use std::sync::{Arc, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use sync_core::authority::Grant;
use sync_core::ids::{AreaCode, DeviceId, JournalId, UserId};
use sync_core::phone::{Enrolment, SessionTokens};
use sync_core::role::{AreaKind, Role};
use sync_core::sync::pace::Errand;
use sync_core::sync::relay::RelayKeys;
use sync_core::sync::wire::Bytes;
use ureq::http::Method;

use crate::cancel::CancelToken;
use crate::error::{PhoneLibError, Result};
use crate::library::PhoneLibrary;
use crate::transport::{Call, Http, Reply, Streamed};

const JSON: &str = "application/json";
const LOGIN_DOMAIN: &[u8] = b"fengqiao-login:";
const PROOF_DOMAIN: &[u8] = b"fengqiao-refresh:";

/// Who the records on this phone belong to.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct IdentityView {
    /// The registered phone.
    pub device: String,
    /// The account.
    pub user: String,
    /// What people call its owner.
    pub name: String,
    /// What its owner types.
    pub login: String,
    /// The roles held, as far as this phone knows.
    pub roles: Vec<RoleView>,
    /// Whether there is a session; without one records can still be read and written, but not synced.
    pub logged_in: bool,
}

/// A role in an area.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct RoleView {
    /// `grid_worker`, `building_captain` ...
    pub role: String,
    /// The code of the area.
    pub area: String,
    /// `district`, `street`, `community`, `grid`, `building`.
    pub area_kind: String,
    /// The communities that the area lies in or covers.
    pub communities: Vec<String>,
}

#[derive(Deserialize)]
struct TokensReply {
    access_token: String,
    expires_ms: i64,
    now_ms: i64,
    refresh_token: String,
    user: UserReply,
}

#[derive(Deserialize)]
struct UserReply {
    id: UserId,
    name: String,
    roles: Vec<RoleReply>,
}

#[derive(Deserialize)]
struct RoleReply {
    role: Role,
    area: AreaCode,
    area_kind: AreaKind,
    communities: Vec<AreaCode>,
}

#[derive(Deserialize)]
struct RegisteredReply {
    id: DeviceId,
    journal: JournalId,
    session: TokensReply,
    relay: Option<RelayKeysReply>,
}

/// What lets a phone export before its first sync.
#[derive(Deserialize)]
struct RelayKeysReply {
    mark: String,
    seal_key: String,
    verify_keys: Vec<String>,
    certificate: Option<String>,
}

impl RelayKeysReply {
    fn keys(&self) -> Option<RelayKeys> {
        let bytes = |text: &String| STANDARD.decode(text).map(Bytes::from).ok();
        Some(RelayKeys {
            mark: bytes(&self.mark)?,
            seal: bytes(&self.seal_key)?,
            verify: self.verify_keys.iter().map(bytes).collect::<Option<_>>()?,
        })
    }
}

/// A session with the server that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) server_url: String,
    pub(crate) access: String,
    refresh: String,
    /// By this phone's own wall clock, wrong as it may be.
    expires_ms: i64,
}

impl Session {
    /// The store keeps one text for what is shown to one server only: its address and the token.
    fn from_stored(stored: SessionTokens) -> Option<Self> {
        let (server_url, refresh) = stored.refresh.split_once(' ')?;
        Some(Self {
            server_url: server_url.to_owned(),
            refresh: refresh.to_owned(),
            access: stored.access,
            expires_ms: stored.expires_ms,
        })
    }

    fn stored(&self) -> SessionTokens {
        SessionTokens {
            access: self.access.clone(),
            refresh: format!("{} {}", self.server_url, self.refresh),
            expires_ms: self.expires_ms,
        }
    }

    fn opened(server_url: &str, tokens: &TokensReply, wall_ms: i64) -> Self {
        let lasts_ms = tokens.expires_ms.saturating_sub(tokens.now_ms);
        Self {
            server_url: server_url.to_owned(),
            access: tokens.access_token.clone(),
            refresh: tokens.refresh_token.clone(),
            expires_ms: wall_ms.saturating_add(lasts_ms),
        }
    }
}

fn post(path: &'static str, token: Option<&str>, body: &serde_json::Value) -> Call {
    Call {
        method: Method::POST,
        path: path.into(),
        headers: Vec::new(),
        media_type: JSON,
        token: token.map(str::to_owned),
        body: body.to_string().into_bytes(),
    }
}

fn says(reply: &Reply, code: &str) -> bool {
    reply.status >= 400 && reply.problem().code() == code
}

fn not_a_stream(reply: Reply) -> PhoneLibError {
    reply.accepted().err().unwrap_or_else(|| PhoneLibError::protocol("the answer is no stream of events"))
}

#[uniffi::export]
impl PhoneLibrary {
    /// Logs in, and registers this phone the first time. Needs the network. The records of a phone belong to one person: somebody
    /// else opens a store of his own.
    #[uniffi::method(default(cancel = None))]
    pub fn log_in(
        &self,
        server_url: String,
        login: String,
        password: String,
        device_name: String,
        cancel: Option<Arc<CancelToken>>,
    ) -> Result<IdentityView> {
        let cancel = cancel.as_ref();
        let server_url = server_url.trim().trim_end_matches('/').to_owned();
        let http = self.client(&server_url)?;
        let _turn = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.phone.identity()?;
        // What one server asks for is nothing to another.
        let here = self.phone.server_get()?.is_none_or(|url| url == server_url);
        if here {
            self.may_ask(Errand::SignIn)?;
        }
        let ask = |device: Option<DeviceId>| {
            let mut body = json!({ "login": login, "password": password });
            if let (Some(device), Some(map)) = (device, body.as_object_mut()) {
                map.insert("device".to_owned(), json!(device.to_string()));
                // Shows that it is this phone that asks: what others guess does not slow it down.
                let signed = format!("{device}\n{login}\n{password}");
                let proof = STANDARD.encode(self.phone.sign(LOGIN_DOMAIN, signed.as_bytes()));
                map.insert("proof".to_owned(), json!(proof));
            }
            let reply = http.send(post("/v1/auth/login", None, &body), cancel)?;
            if here {
                self.heed(Errand::SignIn, &reply)?;
            }
            Ok::<Reply, PhoneLibError>(reply)
        };
        let mut registered = known.as_ref().map(|k| k.device);
        let mut reply = ask(registered)?;
        if registered.is_some() && says(&reply, "device_unknown") {
            // A server restored from before the registration, another server, or a revoked phone: registering anew tells which.
            registered = None;
            reply = ask(None)?;
        }
        let mut tokens: TokensReply = reply.accepted()?.json()?;
        if let Some(other) = known.as_ref().filter(|k| k.user != tokens.user.id) {
            return Err(PhoneLibError::invalid(
                "login",
                format!("this store holds the records of {}", other.name),
                "open another store for another person",
            ));
        }
        let device = match registered {
            Some(device) => device,
            None => {
                let (device, bound) = self.register(&http, &tokens.access_token, &device_name, here, cancel)?;
                tokens = bound;
                device
            }
        };
        self.phone.enrol(&Enrolment {
            device,
            user: tokens.user.id,
            name: tokens.user.name.clone(),
            login: login.clone(),
            grants: grants(&tokens.user),
        })?;
        self.phone.server_put(&server_url)?;
        self.phone.admit_by_password()?;
        let session = Session::opened(&server_url, &tokens, self.host.now_ms());
        self.phone.session_put(Some(&session.stored()))?;
        self.identity_of_phone()?.ok_or(PhoneLibError::NotLoggedIn)
    }

    /// Ends the session, on the server too where it can be reached. The records stay, and what was not sent waits for the next login.
    pub fn log_out(&self) -> Result<()> {
        let _turn = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(session) = self.session_of_phone()? else { return Ok(()) };
        self.phone.session_put(None)?;
        if self.may_ask(Errand::Sync).is_ok()
            && let Ok(http) = self.client(&session.server_url)
        {
            // Out of reach, or of a server that asked to be left alone, the session ends by itself when its time is over.
            drop(http.send(post("/v1/auth/logout", Some(&session.access), &json!({})), None));
        }
        Ok(())
    }

    /// Who the records on this phone belong to; nothing before the first login.
    pub fn identity(&self) -> Result<Option<IdentityView>> {
        self.identity_of_phone()
    }

    /// The value of the `Authorization` header, for a host that carries the requests of a `SyncSession` itself. Asks the
    /// server for a fresh token when the one at hand has expired.
    pub fn authorization_header(&self) -> Result<String> {
        let session = self.fresh_session(None)?;
        Ok(format!("Bearer {}", session.access))
    }

    /// Replaces the tokens, for a host that was answered 401. Returns the new value of the `Authorization` header.
    pub fn refresh_session(&self) -> Result<String> {
        let session = self.session_of_phone()?.ok_or(PhoneLibError::NotLoggedIn)?;
        Ok(format!("Bearer {}", self.refresh(&session, None)?.access))
    }
}

fn grants(user: &UserReply) -> Vec<Grant> {
    let grant = |r: &RoleReply| Grant {
        role: r.role,
        area: r.area.clone(),
        kind: r.area_kind,
        communities: r.communities.clone(),
        // Since when is for the server to judge; here it only matters that it holds.
        from_ms: 0,
        until_ms: None,
    };
    user.roles.iter().map(grant).collect()
}

impl PhoneLibrary {
    fn register(
        &self,
        http: &Http,
        access: &str,
        name: &str,
        here: bool,
        cancel: Option<&Arc<CancelToken>>,
    ) -> Result<(DeviceId, TokensReply)> {
        let key = STANDARD.encode(self.phone.device_public_key());
        let body = json!({ "name": name, "public_key": key });
        let reply = http.send(post("/v1/devices", Some(access), &body), cancel)?;
        if here {
            self.heed(Errand::SignIn, &reply)?;
        }
        if says(&reply, "device_key_taken") {
            return Err(PhoneLibError::Revoked);
        }
        let registered: RegisteredReply = reply.accepted()?.json()?;
        if let Some(keys) = registered.relay.as_ref().and_then(RelayKeysReply::keys) {
            let certificate = registered.relay.as_ref().and_then(|r| r.certificate.as_ref());
            let certificate = certificate.and_then(|text| STANDARD.decode(text).ok());
            self.phone.relay_keys_put(registered.journal, &keys, certificate.as_deref())?;
        }
        Ok((registered.id, registered.session))
    }

    fn identity_of_phone(&self) -> Result<Option<IdentityView>> {
        let logged_in = self.session_of_phone()?.is_some();
        Ok(self.phone.identity()?.map(|i| IdentityView {
            device: i.device.to_string(),
            user: i.user.to_string(),
            name: i.name,
            login: i.login,
            roles: i
                .grants
                .iter()
                .map(|g| RoleView {
                    role: g.role.as_str().to_owned(),
                    area: g.area.to_string(),
                    area_kind: g.kind.as_str().to_owned(),
                    communities: g.communities.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            logged_in,
        }))
    }

    fn session_of_phone(&self) -> Result<Option<Session>> {
        Ok(self.phone.session_get()?.and_then(Session::from_stored))
    }

    fn fresh_session(&self, cancel: Option<&Arc<CancelToken>>) -> Result<Session> {
        let session = self.session_of_phone()?.ok_or(PhoneLibError::NotLoggedIn)?;
        if session.expires_ms > self.host.now_ms() { Ok(session) } else { self.refresh(&session, cancel) }
    }

    /// Replaces the tokens of a session, unless another thread has done so meanwhile.
    fn refresh(&self, old: &Session, cancel: Option<&Arc<CancelToken>>) -> Result<Session> {
        let _turn = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.session_of_phone()?.ok_or(PhoneLibError::NotLoggedIn)?;
        if now.access != old.access {
            return Ok(now);
        }
        let proof = self.phone.sign(PROOF_DOMAIN, now.refresh.as_bytes());
        let body = json!({ "refresh_token": now.refresh, "proof": STANDARD.encode(proof) });
        self.may_ask(Errand::Sync)?;
        // The token that has expired still says which phone asks: by it the server knows whose moment this is.
        let call = post("/v1/auth/refresh", Some(&now.access), &body);
        let reply = self.client(&now.server_url)?.send(call, cancel)?;
        self.heed(Errand::Sync, &reply)?;
        if says(&reply, "session_ended") || says(&reply, "token_reused") {
            self.phone.session_put(None)?;
        }
        let tokens: TokensReply = reply.accepted()?.json()?;
        let fresh = Session::opened(&now.server_url, &tokens, self.host.now_ms());
        self.phone.session_put(Some(&fresh.stored()))?;
        Ok(fresh)
    }

    /// Nobody asks before the time that a busy server has named, also not after the app was started anew.
    pub(crate) fn may_ask(&self, errand: Errand) -> Result<()> {
        match u64::try_from(self.phone.forbidden_ms(errand)?) {
            Ok(after_ms) if after_ms > 0 => Err(PhoneLibError::TryLater { after_ms }),
            _ => Ok(()),
        }
    }

    /// Keeps what a busy server asks for, whatever it was asked.
    pub(crate) fn heed(&self, errand: Errand, reply: &Reply) -> Result<()> {
        let Some(after_ms) = reply.put_off_ms() else {
            return if reply.status < 400 { Ok(self.phone.let_in(errand)?) } else { Ok(()) };
        };
        // A whole server that is busy or down is left alone with everything; a limit, or a part of it, only with this.
        let whole = reply.status == 503 && errand != Errand::Stream && !says(reply, "objects_unavailable");
        let errand = if whole { Errand::Sync } else { errand };
        Ok(self.phone.put_off(errand, i64::try_from(after_ms).unwrap_or(i64::MAX))?)
    }

    /// Sends a request with the session's token; a refused token is replaced once. Refusals are the caller's to deal with.
    pub(crate) fn asked(
        &self,
        errand: Errand,
        call: impl Fn(String) -> Call,
        cancel: Option<&Arc<CancelToken>>,
    ) -> Result<Reply> {
        self.may_ask(errand)?;
        let session = self.fresh_session(cancel)?;
        let http = self.client(&session.server_url)?;
        let mut reply = http.send(call(session.access.clone()), cancel)?;
        if reply.status == 401 && !says(&reply, "device_revoked") {
            let fresh = self.refresh(&session, cancel)?;
            reply = http.send(call(fresh.access), cancel)?;
        }
        self.heed(errand, &reply)?;
        Ok(reply)
    }

    /// Opens a stream with the session's token; a refused token is replaced once.
    pub(crate) fn stream(&self, path: &str, last_id: Option<&str>) -> Result<impl Read + Send + use<>> {
        self.may_ask(Errand::Stream)?;
        let session = self.fresh_session(None)?;
        let http = self.client(&session.server_url)?;
        let mut opened = http.stream(path, &session.access, last_id)?;
        if let Streamed::Refused(reply) = &opened
            && reply.status == 401
            && !says(reply, "device_revoked")
        {
            let fresh = self.refresh(&session, None)?;
            opened = http.stream(path, &fresh.access, last_id)?;
        }
        match opened {
            Streamed::Open(body) => {
                self.phone.let_in(Errand::Stream)?;
                Ok(body)
            }
            Streamed::Refused(reply) => {
                self.heed(Errand::Stream, &reply)?;
                Err(not_a_stream(reply))
            }
        }
    }

    /// The address of the server that this phone is logged in to.
    pub(crate) fn server_url(&self) -> Result<String> {
        Ok(self.session_of_phone()?.ok_or(PhoneLibError::NotLoggedIn)?.server_url)
    }
}
