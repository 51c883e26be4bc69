// Keeps the page up to date. Without this script the page reloads itself.
"use strict";
(() => {
  const shown = () => document.getElementById("live");
  if (!shown() || shown().dataset.live !== "yes" || !window.EventSource) return;
  let waiting = 0;

  const refresh = async () => {
    waiting = 0;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (!fresh) return;
    document.title = page.title;
    shown().replaceChildren(...fresh.childNodes);
    shown().dataset.live = fresh.dataset.live;
    if (fresh.dataset.live !== "yes") source.close();
  };
  // Several events that come together cost one reading.
  const soon = () => { if (!waiting) waiting = setTimeout(() => refresh().catch(() => {}), 300); };

  const source = new EventSource(shown().dataset.stream);
  source.addEventListener("changed", soon);
  source.addEventListener("open", () => document.body.classList.add("is-live"));
  source.addEventListener("error", () => document.body.classList.remove("is-live"));
})();
