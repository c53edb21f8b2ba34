// Says when what is shown is old, and lets go of the server while nobody looks: a browser has few connections to one host.
"use strict";
(() => {
  const SILENT_MS = 35000;
  let heard = Date.now();
  let source = null;
  let told = false;

  htmx.createEventSource = (url) => {
    source = new EventSource(url);
    source.addEventListener("beat", () => { heard = Date.now(); told = false; });
    return source;
  };

  const look = () => {
    if (document.hidden || told || Date.now() - heard < SILENT_MS) return;
    const beat = document.getElementById("beat");
    const since = document.createElement("strong");
    since.className = "bad";
    since.textContent = "Not connected: this is how it was at " + new Date(heard).toISOString().slice(11, 19) + " UTC";
    beat.replaceChildren(since);
    told = true;
  };
  setInterval(look, 5000);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (source !== null) source.close();
    } else {
      location.reload();
    }
  });

  // What a reader has opened stays open when it is drawn anew.
  let opened = [];
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    opened = [...event.target.querySelectorAll("details")].map((one) => one.open);
  });
  document.addEventListener("htmx:sseMessage", (event) => {
    event.target.querySelectorAll("details").forEach((one, place) => { one.open = opened[place] === true; });
  });
})();
