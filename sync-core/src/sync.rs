//! How changes travel: signed bundles, one request, one response, cursors that never skip. Sans-I/O: bytes in, bytes out.

pub mod bundle;
pub mod events;
pub mod orders;
pub mod pace;
mod packed;
pub mod pledge;
pub mod relay;
pub mod server;
pub mod token;
pub mod wire;
