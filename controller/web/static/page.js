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

  // It is shown anew once somebody answers. Until then what was there stays, with its age: a browser's own page of
  // errors would take its place.
  let left = false;
  const renew = () => {
    if (document.hidden || !left) return;
    fetch(location.href, { cache: "no-store" }).then(
      (answer) => { if (answer.status < 500 && !document.hidden) location.reload(); },
      () => {},
    );
  };
  setInterval(() => { look(); renew(); }, 5000);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (source !== null) source.close();
      left = true;
    } else {
      look();
      renew();
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
