//! A line between a browser and the server that can be cut and mended; who holds it goes on at the same address.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Debug, Default)]
struct State {
    is_cut: bool,
    is_over: bool,
    open: Vec<TcpStream>,
}

/// The line.
pub struct Line {
    port: u16,
    state: Arc<Mutex<State>>,
}

/// Carries what comes in on one side to the other, until either is closed.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

impl Line {
    /// A line to a server.
    pub fn to(url: &str) -> Self {
        let far = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let mut state = shared.lock().expect("a line");
                if state.is_over {
                    return;
                }
                if state.is_cut {
                    continue;
                }
                let Ok(there) = TcpStream::connect(&far) else { continue };
                let [a, b] = [&near, &there].map(|end| end.try_clone().expect("an end"));
                state.open.extend([&near, &there].map(|end| end.try_clone().expect("an end")));
                carry(near, b);
                carry(there, a);
            }
        });
        Self { port, state }
    }

    /// Where the server is to be found on it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Breaks off whatever is under way; nobody gets through.
    pub fn cut(&self) {
        let mut state = self.state.lock().expect("a line");
        state.is_cut = true;
        for end in state.open.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Whoever calls now gets through.
    pub fn mend(&self) {
        self.state.lock().expect("a line").is_cut = false;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
        self.state.lock().expect("a line").is_over = true;
        // Whoever waits for a call is woken by one.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
