// Keeps a page fresh: countdowns run, and what phones send appears. Without it every page works all the same.
(function () {
  "use strict";
  var body = document.body, all = function (css) { return Array.prototype.slice.call(document.querySelectorAll(css)); };
  // The server's clock counts, not that of the desk.
  var ahead = Number(body.dataset.now) ? Number(body.dataset.now) - Date.now() : 0;

  function span(ms, d) {
    var minutes = Math.floor(Math.abs(ms) / 60000), days = Math.floor(minutes / 1440), hours = Math.floor(minutes / 60) % 24;
    minutes %= 60;
    if (days) return days + " " + d.day + " " + hours + " " + d.hour;
    return hours ? hours + " " + d.hour + " " + minutes + " " + d.minute : minutes + " " + d.minute;
  }

  function count() {
    var now = Date.now() + ahead;
    all("time[data-due]").forEach(function (t) {
      var left = Number(t.dataset.due) - now;
      if (!t.title) t.title = t.textContent;
      t.textContent = (left < 0 ? t.dataset.over : t.dataset.left) + " " + span(left, t.dataset);
      t.classList.toggle("late", left < 0);
    });
  }

  // Whether somebody is writing, choosing or marking: then the page is not replaced under his hands.
  function busy() {
    var at = document.activeElement, marked = window.getSelection && getSelection();
    if (at && /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return true;
    if (marked && !marked.isCollapsed && document.getElementById("main").contains(marked.anchorNode)) return true;
    return all("main input, main textarea, main select").some(function (f) {
      if (f.type === "hidden") return false;
      if (f.type === "checkbox" || f.type === "radio") return f.checked !== f.defaultChecked;
      if (f.tagName !== "SELECT") return f.value !== f.defaultValue;
      var chosen = Array.prototype.filter.call(f.options, function (o) { return o.defaultSelected; })[0] || f.options[0];
      return !!chosen && !chosen.selected;
    });
  }

  function tell() { document.getElementById("news").hidden = false; }

  // What something is called across two versions of a page: by its id, or by what it says within what has one; a summary that counts
  // down says something else each second, and is called by the name of its fold.
  function name(e) {
    if (e.id) return "#" + e.id;
    var home = e.parentElement && e.parentElement.closest("[id]"), says = e.tagName === "DETAILS" ? e.querySelector("summary") : e;
    var fold = e.tagName === "SUMMARY" ? e.parentElement : e;
    return (home ? home.id : "") + ">" + e.tagName + " " + (fold.getAttribute("data-name") || e.getAttribute("href") || says.getAttribute("aria-label") || says.textContent);
  }

  // Elements by what they are called; those that are called the same, by their order.
  function named(css) {
    var met = {};
    return all(css).map(function (e) { var n = name(e); met[n] = (met[n] || 0) + 1; return { key: n + " " + met[n], at: e }; });
  }

  function replace(fresh) {
    var folds = {}, focus = null, at = document.activeElement;
    named("main details").forEach(function (d) { folds[d.key] = d.at.open; });
    named("main a, main button, main summary").forEach(function (e) { if (e.at === at) focus = e.key; });
    document.getElementById("main").replaceWith(fresh.getElementById("main"));
    named("main details").forEach(function (d) { if (d.key in folds) d.at.open = folds[d.key]; });
    if (focus) named("main a, main button, main summary").forEach(function (e) { if (e.key === focus) e.at.focus({ preventScroll: true }); });
    document.getElementById("news").hidden = true;
    ahead = Number(fresh.body.dataset.now) - Date.now();
    count();
  }

  var due = 0, missed = false;
  function refresh() {
    due = 0;
    // Nobody looks: it is fetched when somebody does.
    if (document.hidden) { missed = true; return; }
    // What was not accepted stands at an address that only takes forms; it stays until its reader goes on.
    if (busy() || document.querySelector("main [role=alert]")) return tell();
    fetch(location.href, { credentials: "same-origin", headers: { Accept: "text/html" } }).then(function (answer) {
      if (!answer.ok || answer.redirected) throw new Error("no page");
      return answer.text();
    }).then(function (text) {
      if (busy()) return tell();
      replace(new DOMParser().parseFromString(text, "text/html"));
    }).catch(tell);
  }

  // Several things that happen at once are one look; many tabs do not look at the same moment.
  function soon(most) {
    if (!due) due = setTimeout(refresh, 300 + Math.random() * (most || 700));
  }

  var stream = null, failures = 0, waiting = 0, mark = document.getElementById("live");
  function show(on) {
    mark.textContent = on ? mark.dataset.on : mark.dataset.off;
    mark.className = "live " + (on ? "on" : "off");
  }
  function hush() { clearTimeout(waiting); waiting = 0; if (stream) { stream.close(); stream = null; } }
  function listen() {
    hush();
    // One stream for a tab, and none for one that nobody sees: a browser has few for a server.
    if (!body.dataset.live || !window.EventSource || !mark || document.hidden) return;
    stream = new EventSource(body.dataset.live);
    stream.addEventListener("hello", function () {
      // What happened while nobody listened is looked for once.
      if (failures || missed) soon(4000);
      failures = 0;
      missed = false;
      show(true);
    });
    stream.onerror = function () {
      hush();
      show(false);
      // Later each time and never all at once: from a second to about two minutes.
      var most = Math.min(120000, 2000 * Math.pow(2, failures++));
      waiting = setTimeout(listen, most / 2 + Math.random() * most / 2);
    };
    ["case", "patrol", "many", "quarantine", "device", "rights"].forEach(function (n) { stream.addEventListener(n, function () { soon(); }); });
  }

  count();
  setInterval(count, 30000);
  listen();
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) { missed = true; hush(); } else { count(); listen(); }
  });
  window.addEventListener("pagehide", hush);
  window.addEventListener("pageshow", function (e) { if (e.persisted) listen(); });
})();
