//! What `/metrics` shows, in Prometheus' text format.

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// The figures of one server.
pub struct Metrics {
    registry: Registry,
    /// Requests by method, route and status.
    pub requests: IntCounterVec,
    /// Seconds by method and route.
    pub seconds: HistogramVec,
    /// Requests put off, by the limit that they met.
    pub put_off: IntCounterVec,
    /// Changes accepted into the journal.
    pub changes_accepted: IntCounter,
    /// Changes put into quarantine.
    pub changes_quarantined: IntCounter,
    /// Cases raised by rule.
    pub escalations: IntCounter,
    /// Cases that the scheduler could not handle.
    pub escalation_errors: IntCounter,
    /// Database connections in use.
    pub connections_in_use: IntGauge,
    /// Phones of which nothing was heard for too long.
    pub devices_silent: IntGauge,
    /// Changes that phones still had to send at their last contact.
    pub devices_backlog: IntGauge,
    /// Refused changes that wait for a decision.
    pub quarantine_waiting: IntGauge,
}

impl Metrics {
    /// Registers every figure.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("fengqiao_http_requests_total", "HTTP requests"),
            &["method", "route", "status"],
        )?;
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
        let seconds = HistogramVec::new(
            HistogramOpts::new("fengqiao_http_request_seconds", "Time to answer").buckets(buckets),
            &["method", "route"],
        )?;
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let metrics = Self {
            requests,
            seconds,
            put_off: IntCounterVec::new(Opts::new("fengqiao_put_off_total", "Requests put off, by limit"), &["limit"])?,
            changes_accepted: counter("fengqiao_changes_accepted_total", "Changes accepted into the journal")?,
            changes_quarantined: counter("fengqiao_changes_quarantined_total", "Changes put into quarantine")?,
            escalations: counter("fengqiao_escalations_total", "Cases raised by rule")?,
            escalation_errors: counter("fengqiao_escalation_errors_total", "Cases the scheduler could not handle")?,
            connections_in_use: IntGauge::new("fengqiao_database_connections_in_use", "Database connections in use")?,
            devices_silent: IntGauge::new("fengqiao_devices_silent", "Phones silent for too long")?,
            devices_backlog: IntGauge::new("fengqiao_devices_backlog", "Changes that phones still had to send")?,
            quarantine_waiting: IntGauge::new("fengqiao_quarantine_waiting", "Refused changes that wait")?,
            registry,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.put_off.clone()))?;
        for c in
            [&metrics.changes_accepted, &metrics.changes_quarantined, &metrics.escalations, &metrics.escalation_errors]
        {
            metrics.registry.register(Box::new(c.clone()))?;
        }
        for gauge in [
            &metrics.connections_in_use,
            &metrics.devices_silent,
            &metrics.devices_backlog,
            &metrics.quarantine_waiting,
        ] {
            metrics.registry.register(Box::new(gauge.clone()))?;
        }
        Ok(metrics)
    }

    /// The text that is scraped.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}
