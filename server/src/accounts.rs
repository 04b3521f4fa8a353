//! People: accounts, what they are charged with, their devices and sessions.

pub mod devices;
pub mod grants;
pub mod keys;
pub mod lockout;
pub mod password;
pub mod roster;
pub mod sessions;
pub mod users;
