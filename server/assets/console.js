// Keeps a page fresh: countdowns run, and what phones send appears. Without it every page works all the same.
(function () {
  "use strict";
  var body = document.body;
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
    document.querySelectorAll("time[data-due]").forEach(function (t) {
      var left = Number(t.dataset.due) - now;
      if (!t.title) t.title = t.textContent;
      t.textContent = (left < 0 ? t.dataset.over : t.dataset.left) + " " + span(left, t.dataset);
      t.classList.toggle("late", left < 0);
    });
  }

  // Whether somebody is writing: then the page is not replaced under his hands.
  function writing() {
    var open = document.activeElement && /INPUT|TEXTAREA|SELECT/.test(document.activeElement.tagName);
    return open || Array.prototype.some.call(document.querySelectorAll("main input, main textarea, main select"), function (f) {
      if (f.type === "hidden") return false;
      if (f.type === "checkbox") return f.checked !== f.defaultChecked;
      if (f.tagName === "SELECT") return Array.prototype.some.call(f.options, function (o) { return o.selected !== o.defaultSelected; }) && f.selectedIndex > 0;
      return f.value !== f.defaultValue;
    });
  }

  var due = false;
  function refresh() {
    due = false;
    if (writing()) {
      document.getElementById("news").hidden = false;
      return;
    }
    fetch(location.href, { credentials: "same-origin" }).then(function (answer) {
      if (!answer.ok || answer.redirected) throw new Error("no page");
      return answer.text();
    }).then(function (text) {
      if (writing()) { document.getElementById("news").hidden = false; return; }
      var fresh = new DOMParser().parseFromString(text, "text/html");
      var open = Array.prototype.map.call(document.querySelectorAll("main details[open] > summary"), function (s) { return s.textContent; });
      document.getElementById("main").replaceWith(fresh.getElementById("main"));
      document.querySelectorAll("main details > summary").forEach(function (s) { if (open.indexOf(s.textContent) >= 0) s.parentNode.open = true; });
      document.getElementById("news").hidden = true;
      ahead = Number(fresh.body.dataset.now) - Date.now();
      count();
    }).catch(function () { document.getElementById("news").hidden = false; });
  }

  // Several things that happen at once are one look.
  function soon() {
    if (due) return;
    due = true;
    setTimeout(refresh, 300 + Math.random() * 700);
  }

  function listen() {
    var mark = document.getElementById("live");
    if (!body.dataset.live || !window.EventSource || !mark) return;
    var stream = new EventSource(body.dataset.live);
    function show(on) {
      mark.textContent = on ? mark.dataset.on : mark.dataset.off;
      mark.className = "live " + (on ? "on" : "off");
    }
    stream.onopen = function () { show(true); };
    stream.onerror = function () { show(false); };
    stream.addEventListener("hello", function () { show(true); });
    ["case", "patrol", "many", "quarantine", "device", "rights"].forEach(function (name) {
      stream.addEventListener(name, soon);
    });
    window.addEventListener("pagehide", function () { stream.close(); });
  }

  count();
  setInterval(count, 30000);
  listen();
})();
