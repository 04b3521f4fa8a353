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
    return all("main input, main textarea, main select").some(changed);
  }

  // Whether somebody has written, chosen or marked something in a field.
  function changed(f) {
    if (f.type === "hidden") return false;
    if (f.type === "checkbox" || f.type === "radio") return f.checked !== f.defaultChecked;
    if (f.tagName !== "SELECT") return f.value !== f.defaultValue;
    var chosen = Array.prototype.filter.call(f.options, function (o) { return o.defaultSelected; })[0] || f.options[0];
    return !!chosen && !chosen.selected;
  }

  // What is typed into one form while another one is sent waits in this tab for the next page, whichever that is, and no longer. Never
  // a password, a second word, or what a form asks to forget: why somebody wants to see numbers.
  var TYPED = "typed";
  function keep(sent) {
    var kept = [];
    if (!sent.closest("header")) all("main form[method=post]:not([data-forget])").forEach(function (form) {
      if (form !== sent) typed(form).filter(changed).forEach(function (f) { kept.push([called(form), f.name, f.value, told(form)]); });
    });
    try {
      if (kept.length) sessionStorage.setItem(TYPED, JSON.stringify(kept)); else sessionStorage.removeItem(TYPED);
    } catch (e) { /* A browser that keeps nothing: then it is typed anew. */ }
  }

  function typed(form) {
    return Array.prototype.filter.call(form.elements, function (f) {
      return f.name && /^(INPUT|TEXTAREA|SELECT)$/.test(f.tagName) && !/^(hidden|password|checkbox|radio|file|submit)$/.test(f.type);
    });
  }

  function hidden(form, css) { return Array.prototype.slice.call(form.querySelectorAll("input[type=hidden]" + css)); }
  // What a form is called on two pages: where it is sent, and what it says there unasked of itself.
  function called(form) {
    var says = hidden(form, ":not([name=csrf]):not([name=seen])").map(function (i) { return i.name + "=" + i.value; });
    return form.getAttribute("action") + " " + says.join("&");
  }
  // Up to where its page was read: who had not seen a later decision when he wrote is still told of it.
  function told(form) { return hidden(form, "[name=seen]").map(function (i) { return i.value; })[0]; }

  function putBack() {
    var kept = null;
    try {
      kept = JSON.parse(sessionStorage.getItem(TYPED));
      sessionStorage.removeItem(TYPED);
    } catch (e) { return; }
    (kept || []).forEach(function (k) {
      all("main form[method=post]").filter(function (form) { return called(form) === k[0]; }).forEach(function (form) {
        typed(form).filter(function (f) { return f.name === k[1] && !changed(f); }).forEach(function (f) {
          f.value = k[2];
          hidden(form, "[name=seen]").forEach(function (i) { i.value = k[3]; });
          for (var at = f; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
        });
      });
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

  // What is pressed must still stand there when it is let go: a button that was replaced meanwhile does nothing.
  var pressed = false;
  ["pointerdown", "pointerup", "pointercancel"].forEach(function (n) {
    document.addEventListener(n, function () { pressed = n === "pointerdown"; }, true);
  });

  var due = 0, missed = false;
  function refresh() {
    due = 0;
    if (pressed) return soon();
    // Nobody looks: it is fetched when somebody does.
    if (document.hidden) { missed = true; return; }
    // What was not accepted stands at an address that only takes forms; it stays until its reader goes on.
    if (busy() || document.querySelector("main [role=alert]")) return tell();
    fetch(location.href, { credentials: "same-origin", headers: { Accept: "text/html" } }).then(function (answer) {
      if (!answer.ok || answer.redirected) throw new Error("no page");
      return answer.text();
    }).then(function (text) {
      if (pressed) return soon();
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

  putBack();
  document.addEventListener("submit", function (e) { keep(e.target); });
  count();
  setInterval(count, 30000);
  listen();
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) { missed = true; hush(); } else { count(); listen(); }
  });
  window.addEventListener("pagehide", hush);
  window.addEventListener("pageshow", function (e) { if (e.persisted) listen(); });
})();
