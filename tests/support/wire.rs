//! A network between a phone and a server: it counts what travels, and breaks when it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A proxy on loopback. It ends with the process.
pub struct Wire {
    /// What the phone is told as the server's address.
    pub url: String,
    up: Arc<AtomicU64>,
    breaks_at: Arc<AtomicU64>,
}

impl Wire {
    /// Leads to this server.
    pub fn to(server_url: &str) -> Self {
        let host = server_url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (up, breaks_at) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
        let (counted, limit) = (up.clone(), breaks_at.clone());
        std::thread::spawn(move || {
            for phone in listener.incoming() {
                let (Ok(phone), Ok(server)) = (phone, TcpStream::connect(&host)) else { continue };
                let (back_from, back_to) = (server.try_clone().unwrap(), phone.try_clone().unwrap());
                let (counted, limit) = (counted.clone(), limit.clone());
                std::thread::spawn(move || carry(phone, server, Some((&counted, &limit))));
                std::thread::spawn(move || carry(back_from, back_to, None));
            }
        });
        Self { url, up, breaks_at }
    }

    /// Bytes that went up so far.
    pub fn up(&self) -> u64 {
        self.up.load(Ordering::SeqCst)
    }

    /// Breaks every connection once so many more bytes have gone up; then the network stands again.
    pub fn break_after(&self, bytes: u64) {
        self.breaks_at.store(self.up() + bytes, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, count: Option<(&AtomicU64, &AtomicU64)>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
        if let Some((up, limit)) = count
            && up.fetch_add(n as u64, Ordering::SeqCst) + n as u64 >= limit.load(Ordering::SeqCst)
        {
            limit.store(u64::MAX, Ordering::SeqCst);
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
