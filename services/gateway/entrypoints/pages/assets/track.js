// Keeps the page up to date. Without this script the page reloads itself.
"use strict";
(() => {
  const SOON_MS = 300, AGAIN_MS = 2000, LONGEST_MS = 60000;
  const shown = () => document.getElementById("live");
  if (!shown() || shown().dataset.live !== "yes" || !window.EventSource) return;
  let source = null, waiting = 0, asked = 0, pause = AGAIN_MS;

  // What the reader has opened stays open, and the focus stays where it is.
  const carryOver = (fresh) => {
    for (const one of shown().querySelectorAll("details[open][id]")) {
      const same = fresh.querySelector(`#${CSS.escape(one.id)}`);
      if (same) same.open = true;
    }
    const held = document.activeElement;
    if (!held || !shown().contains(held)) return () => {};
    const href = held.getAttribute("href");
    const sought = held.id ? `#${CSS.escape(held.id)}` : href && `a[href="${CSS.escape(href)}"]`;
    return () => { if (sought) shown().querySelector(sought)?.focus({ preventScroll: true }); };
  };

  const refresh = async () => {
    waiting = 0;
    const mine = ++asked;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (!fresh || mine !== asked) return;  // a later reading is on its way, and knows more
    document.title = page.title;
    // Written only when it is another: screen readers say it then.
    const told = document.getElementById("headline"), tells = page.getElementById("headline");
    if (told && tells && told.textContent !== tells.textContent) told.textContent = tells.textContent;
    const focus = carryOver(fresh);
    shown().replaceChildren(...fresh.childNodes);
    focus();
    shown().dataset.live = fresh.dataset.live;
    if (fresh.dataset.live !== "yes") {
      document.body.classList.remove("is-live");
      source.close();
    } else if (fresh.dataset.stream !== shown().dataset.stream) {
      shown().dataset.stream = fresh.dataset.stream;
      follow();
    }
  };
  // Several events that come together cost one reading; one that failed is done again.
  const soon = (after) => {
    if (!waiting) waiting = setTimeout(() => refresh().catch(() => soon(AGAIN_MS)), after);
  };

  const follow = () => {
    if (source) source.close();
    const mine = source = new EventSource(shown().dataset.stream);
    mine.addEventListener("changed", () => soon(SOON_MS));
    mine.addEventListener("open", () => {
      pause = AGAIN_MS;
      document.body.classList.add("is-live");
    });
    mine.addEventListener("error", () => {
      document.body.classList.remove("is-live");
      // Where nobody answers the browser tries again by itself; where we are told no, which a
      // system says that is just starting, it does not.
      if (mine !== source || mine.readyState !== EventSource.CLOSED) return;
      setTimeout(() => { if (mine === source && shown().dataset.live === "yes") follow(); }, pause);
      pause = Math.min(2 * pause, LONGEST_MS);
    });
  };
  follow();
})();
