//! A server in this process: it listens when `serve` returns, and finishes the requests in flight when it is stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::{HttpServer, web};
use rustls::ServerConfig;
use sync_core::time::Clock;
use tokio::sync::{oneshot, watch};

use crate::accounts::lockout;
use crate::app::{App, AppError};
use crate::config::Config;
use crate::objects::{gc, verify};
use crate::tls::{Certificates, TlsError};
use crate::{audit, escalation, http, live, replication, retention, tls};

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The application could not begin.
    #[error(transparent)]
    App(#[from] AppError),
    /// It cannot listen there.
    #[error("cannot listen on {listen}; choose a free address with --listen")]
    Listen {
        /// Where it should.
        listen: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It cannot speak TLS as configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It failed while it ran.
    #[error("the server failed")]
    Failed(#[source] std::io::Error),
}

/// A server that runs. Dropping it stops it too, but `stop` tells whether all went well.
pub struct RunningServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it works with.
    pub app: Arc<App>,
    /// The certificate in use, where it speaks TLS.
    pub certificates: Option<Arc<Certificates>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl RunningServer {
    /// `https://` or `http://`, and the address.
    pub fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Stops it: no new connections, requests in flight are finished, the scheduler ends.
    pub fn stop(mut self) -> Result<(), ServeError> {
        self.end()
    }

    /// Runs until the process is told to end (SIGTERM or SIGINT), then stops it.
    pub fn until_signal(self) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Failed)?;
        runtime.block_on(signal()).map_err(ServeError::Failed)?;
        tracing::info!("stopping: finishing the requests in flight");
        self.stop()
    }

    fn end(&mut self) -> Result<(), ServeError> {
        if let Some(stop) = self.stop.take() {
            // The receiver is gone only when the server has ended by itself.
            let _ = stop.send(());
        }
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(ServeError::Failed(error)),
            Some(Err(_)) => Err(ServeError::Failed(std::io::Error::other("the server's thread panicked"))),
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "the server did not stop well");
        }
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// Starts a server. It listens when this returns; port 0 takes a free one.
pub fn serve(config: Config, clock: Arc<dyn Clock>) -> Result<RunningServer, ServeError> {
    serve_app(Arc::new(App::open(config, clock, false)?))
}

/// Starts a server on an application that is open.
pub fn serve_app(app: Arc<App>) -> Result<RunningServer, ServeError> {
    let certificates = Certificates::of(&app.config)?;
    let tls = certificates.as_ref().map(Certificates::server_config).transpose()?;
    let listen = app.config.listen.clone();
    let refused = |source| ServeError::Listen { listen: listen.clone(), source };
    let listener = std::net::TcpListener::bind(&listen).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "passwords and records travel in clear: set `tls_cert` and `tls_key`, or listen on loopback behind a proxy (and set `behind_tls`)");
    }
    let (stop, stopped) = oneshot::channel();
    let (ready, readied) = std::sync::mpsc::channel();
    let (inner, watched) = (Arc::clone(&app), certificates.clone());
    let thread = std::thread::Builder::new()
        .name("server".into())
        .spawn(move || actix_web::rt::System::new().block_on(work(inner, listener, tls.zip(watched), stopped, ready)))
        .map_err(ServeError::Failed)?;
    let mut running = RunningServer { address, app, certificates, stop: Some(stop), thread: Some(thread) };
    // The sender is dropped without a word when the server could not begin.
    if readied.recv().is_err() {
        running.end()?;
    }
    Ok(running)
}

async fn work(
    app: Arc<App>,
    listener: std::net::TcpListener,
    tls: Option<(ServerConfig, Arc<Certificates>)>,
    stopped: oneshot::Receiver<()>,
    ready: std::sync::mpsc::Sender<()>,
) -> std::io::Result<()> {
    let data = web::Data::from(Arc::clone(&app));
    let server = HttpServer::new(move || http::application(data.clone()))
        .workers(app.config.workers.max(1))
        .shutdown_timeout(app.config.shutdown_seconds)
        // Whoever hangs up during a stream has gone; nobody here half-closes.
        .h1_allow_half_closed(false)
        // A head that dribbles in is not waited for; a body has `request_seconds`.
        .client_request_timeout(Duration::from_secs(10))
        .keep_alive(Duration::from_secs(75))
        .disable_signals();
    let (tls, certificates) = tls.unzip();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        None => server.listen(listener)?,
    }
    .run();
    let handle = server.handle();
    let (halt, halted) = watch::channel(false);
    let collecting = halted.clone();
    let (finish, sealing) = watch::channel(false);
    let every = Duration::from_millis(app.config.scheduler_interval_ms.max(1));
    let scheduler = actix_web::rt::spawn(escalation::schedule(Arc::clone(&app), every, halted.clone()));
    let sealer = actix_web::rt::spawn(audit::seal_regularly(Arc::clone(&app), sealing));
    let streams = actix_web::rt::spawn(live::run(Arc::clone(&app), halted));
    let collector = actix_web::rt::spawn(gc::schedule(Arc::clone(&app), collecting));
    let looking = actix_web::rt::spawn(verify::look_through_once(Arc::clone(&app), halt.subscribe()));
    let house = actix_web::rt::spawn(keep_house(Arc::clone(&app), halt.subscribe()));
    let replication = actix_web::rt::spawn(replication::schedule(Arc::clone(&app), halt.subscribe()));
    let retaining = actix_web::rt::spawn(retention::schedule(Arc::clone(&app), halt.subscribe()));
    let watching = certificates.map(|c| actix_web::rt::spawn(tls::watch(c, halt.subscribe())));
    let serving = actix_web::rt::spawn(server);
    let _ = ready.send(());
    // Either word means the same: whoever held the other end wants it to stop.
    let _ = stopped.await;
    let _ = halt.send(true);
    // A stream is a request in flight: those that are open end first.
    let _ = streams.await;
    handle.stop(true).await;
    let _ = scheduler.await;
    let _ = collector.await;
    let _ = looking.await;
    let _ = house.await;
    let _ = replication.await;
    let _ = retaining.await;
    if let Some(watching) = watching {
        let _ = watching.await;
    }
    // Last, so that what the last requests did is in the chain too.
    let _ = finish.send(true);
    let _ = sealer.await;
    serving.await.map_err(std::io::Error::other)?
}

/// How often what need not be remembered is forgotten, and the database looks at itself.
const HOUSE_EVERY: Duration = Duration::from_secs(600);

async fn keep_house(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        let inner = Arc::clone(&app);
        match tokio::task::spawn_blocking(move || inner.db.learn()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "how the rows are spread was not learnt"),
            Err(error) => tracing::error!(%error, "how the rows are spread was not learnt"),
        }
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(HOUSE_EVERY) => {}
        }
        let inner = Arc::clone(&app);
        let forget = move || inner.db.transaction(|conn| lockout::forget(conn, inner.now_ms()));
        match tokio::task::spawn_blocking(forget).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "old sign-ins were not forgotten"),
            Err(error) => tracing::error!(%error, "old sign-ins were not forgotten"),
        }
    }
}
