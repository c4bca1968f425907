// What the page can't know when it is made: how long ago things were, and whether it is still answered.
// The page works without this file, and without htmx: see the noscript element and the forms.
"use strict";
(() => {
  let skew = 0; // this device's clock may be wrong; the server's Date header says by how much

  const words = (seconds) => {
    if (seconds < 1) return "just now";
    if (seconds < 100) return `${seconds} s ago`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
    return `${Math.round(seconds / 86400)} days ago`;
  };

  const tell = () => {
    for (const age of document.querySelectorAll("[data-since]")) {
      const seconds = Math.floor((Date.now() + skew - Date.parse(age.dataset.since)) / 1000);
      age.textContent = `, ${words(seconds)}`;
    }
    for (const time of document.querySelectorAll("time:not([title])")) {
      time.title = `${new Date(time.dateTime).toLocaleString()} here`;
    }
  };

  const lost = (is) => { document.getElementById("lost").hidden = !is; };

  let said = document.getElementById("board").dataset.sentence;
  let open = [];

  document.addEventListener("htmx:beforeSwap", () => {
    open = [...document.querySelectorAll("details.history[open]")].map((details) => details.id);
  });

  document.addEventListener("htmx:afterSettle", () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    const board = document.getElementById("board");
    document.title = board.dataset.title;
    if (board.dataset.sentence !== said) {
      said = board.dataset.sentence;
      document.getElementById("announce").textContent = said; // for who hears the page
    }
    tell();
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const { xhr } = event.detail;
    if (xhr.status === 401 || xhr.status === 403) location.reload();
    lost(!(xhr.status === 304 || (xhr.status >= 200 && xhr.status < 300)));
    const date = Date.parse(xhr.getResponseHeader("Date") ?? "");
    if (date) skew = date - Date.now();
  });

  tell();
  setInterval(tell, 1000);
})();
