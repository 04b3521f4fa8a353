//! The real server as a process of its own, on a core of its own where there are two; and what the system knows of it: CPU time
//! and memory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The program, built as it is now.
pub(crate) fn program() -> PathBuf {
    tests::build_program();
    let own = std::env::current_exe().expect("this program has a path");
    own.with_file_name("fengqiao")
}

/// A server process.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
}

/// Whether there is a core for the server and one for the phones. Asked once, before this process keeps to its own: afterwards it sees one.
fn two_cores() -> bool {
    static TWO: OnceLock<bool> = OnceLock::new();
    *TWO.get_or_init(|| std::thread::available_parallelism().is_ok_and(|n| n.get() > 1))
}

fn pinned(core: usize, program: &Path) -> Command {
    if !two_cores() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

/// Keeps this process off the server's core.
pub(crate) fn step_aside() {
    if two_cores() {
        let own = std::process::id().to_string();
        let done = Command::new("taskset").args(["-a", "-cp", "1", &own]).stdout(Stdio::null()).status();
        assert!(done.is_ok_and(|status| status.success()), "taskset keeps the phones off the server's core");
    }
}

/// Runs one command of the program to its end.
pub(crate) fn run(program: &Path, database: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(["--database", database, "--log-filter", "error"]).args(arguments).stdout(Stdio::null());
    assert!(command.status().expect("the program runs").success(), "fengqiao {arguments:?} failed");
}

impl Process {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(program: &Path, database: &str, dir: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let listen = format!("127.0.0.1:{port}");
        let child = pinned(0, program)
            .args(["--database", database, "--listen", &listen, "--log-filter", "error", "serve", "--migrate"])
            .current_dir(dir)
            // One person asks for all pages as fast as he can: what is measured are the pages, not the limits.
            .envs(["SEARCH", "REQUESTS", "PAGES"].map(|limit| (format!("FENGQIAO_{limit}_PER_MINUTE"), "0")))
            .spawn()
            .expect("the server starts");
        let process = Self { child, url: format!("http://{listen}") };
        let begun = Instant::now();
        while ureq::get(format!("{}/readyz", process.url)).call().is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the server is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of all its threads, ms.
    pub(crate) fn cpu_ms(&self) -> f64 {
        cpu_ms(self.id())
    }

    /// The most memory that it ever held, MB.
    pub(crate) fn peak_rss_mb(&self) -> f64 {
        peak_rss_mb(self.id())
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process, ms. The kernel counts in hundredths of a second.
pub(crate) fn cpu_ms(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = after.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    ticks as f64 * 10.0
}

/// What a process has handed to the system to be written, files and sockets alike, bytes.
pub(crate) fn bytes_written(id: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
    io.lines().find_map(|l| l.strip_prefix("wchar: ")?.parse().ok()).unwrap_or_default()
}

/// CPU time of all processes of a name, ms: a database server is many.
pub(crate) fn cpu_ms_of(name: &str) -> f64 {
    let ids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|c| c.trim() == name))
        .map(cpu_ms)
        .sum()
}

/// The most memory that a process ever held, MB.
pub(crate) fn peak_rss_mb(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
