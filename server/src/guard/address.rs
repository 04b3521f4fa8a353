//! Where a request comes from. What a header says of it is believed only from proxies that the operator named, and only in the one
//! header that he named: a proxy passes on the other as the client wrote it.

use std::net::IpAddr;

use actix_web::http::header::HeaderMap;

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    base: u128,
    mask: u128,
}

/// A setting that names no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// In `trusted_proxies`.
    #[error("`trusted_proxies`: `{0}` is no address; write `10.1.2.3`, `10.1.0.0/16` or `fd00::/8`")]
    Proxy(String),
    /// In `proxy_header`.
    #[error("`proxy_header`: `{0}` is not known; write `x-forwarded-for` or `forwarded`")]
    Header(String),
}

/// The proxies to be believed.
#[derive(Debug, Clone)]
pub struct Proxies {
    blocks: Vec<Block>,
    forwarded: bool,
}

/// Every address as one of IPv6, so that there is one kind.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return None;
        }
        let mask = u128::MAX.checked_shl(width - bits).unwrap_or(0);
        Some(Self { base: number(address) & mask, mask })
    }

    fn holds(self, address: IpAddr) -> bool {
        number(address) & self.mask == self.base
    }
}

/// An address as proxies write it, with or without a port and brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    text.rsplit_once(':')?.0.parse().ok()
}

impl Proxies {
    /// Reads the settings.
    pub fn new(proxies: &[String], header: &str) -> Result<Self, AddressError> {
        let blocks = proxies.iter().map(|p| Block::parse(p).ok_or_else(|| AddressError::Proxy(p.clone())));
        let forwarded = match header.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => false,
            "forwarded" => true,
            _ => return Err(AddressError::Header(header.to_owned())),
        };
        Ok(Self { blocks: blocks.collect::<Result<_, _>>()?, forwarded })
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.blocks.iter().any(|b| b.holds(address))
    }

    /// The client behind a connection: the last address that no trusted proxy vouches to be one of its own kind.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        for told in self.told(headers).iter().rev() {
            if !self.trusts(client) {
                break;
            }
            // A proxy that does not know or does not say hides everything before it.
            let Some(address) = parse(told) else { break };
            client = address;
        }
        client
    }

    fn told(&self, headers: &HeaderMap) -> Vec<String> {
        let name = if self.forwarded { "forwarded" } else { "x-forwarded-for" };
        let lines = headers.get_all(name).filter_map(|v| v.to_str().ok());
        let hops = lines.flat_map(|line| line.split(','));
        if !self.forwarded {
            return hops.map(str::to_owned).collect();
        }
        let address = |hop: &str| {
            let pairs = hop.split(';').filter_map(|pair| pair.trim().split_once('='));
            let found = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        hops.map(address).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn client(proxies: &[&str], header: &str, peer: &str, lines: &[(&str, &str)]) -> String {
        let proxies: Vec<String> = proxies.iter().map(|p| (*p).to_owned()).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        Proxies::new(&proxies, header).unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_rate_limit_counts_the_client_that_trusted_proxies_vouch_for_and_nobody_else() {
        let xff = |proxies: &[&str], peer: &str, value: &str| {
            client(proxies, "x-forwarded-for", peer, &[("x-forwarded-for", value)])
        };
        assert_eq!(xff(&[], "1.2.3.4", "9.9.9.9"), "1.2.3.4", "anybody can write a header");
        assert_eq!(xff(&["10.0.0.0/8"], "1.2.3.4", "9.9.9.9"), "1.2.3.4");
        assert_eq!(xff(&["10.0.0.0/8"], "10.0.0.1", "9.9.9.9"), "9.9.9.9");
        assert_eq!(
            xff(&["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, 9.9.9.9, 10.0.0.2"),
            "9.9.9.9",
            "the first is the client's word"
        );
        assert_eq!(xff(&["10.0.0.0/8"], "10.0.0.1", "9.9.9.9, unknown"), "10.0.0.1");
        assert_eq!(xff(&["::1", "fd00::/8"], "::1", "[2001:db8::7]:443, fd00::2"), "2001:db8::7");
        assert_eq!(xff(&["127.0.0.1"], "::ffff:127.0.0.1", "9.9.9.9:51000"), "9.9.9.9");
        let both = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=\"[2001:db8::9]\";proto=https, for=10.0.0.3")];
        assert_eq!(client(&["10.0.0.0/8"], "forwarded", "10.0.0.1", &both), "2001:db8::9");
        assert_eq!(client(&["10.0.0.0/8"], "x-forwarded-for", "10.0.0.1", &both), "6.6.6.6");
    }

    #[test]
    fn settings_that_name_no_address_are_told() {
        for wrong in ["", "10.0.0.0/33", "hall", "10.0.0.0/-1", "::/129"] {
            assert_eq!(
                Proxies::new(&[wrong.to_owned()], "forwarded").err(),
                Some(AddressError::Proxy(wrong.to_owned()))
            );
        }
        assert!(Proxies::new(&[], "x-real-ip").is_err());
        assert!(Proxies::new(&["0.0.0.0/0".to_owned()], "forwarded").is_ok());
    }
}
