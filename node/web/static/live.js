// Live updates: when the server says that something has changed, the page is fetched again and its [data-live] parts are
// replaced. Without scripts, or without the stream, reloading shows the same.
"use strict";

(() => {
  const FALLBACK_MS = 10000;
  const parts = () => document.querySelectorAll("[data-live]");
  let fetching = false;
  let again = false;

  const inUse = (part) => {
    const active = document.activeElement;
    return active && part.contains(active) && ["INPUT", "SELECT", "TEXTAREA"].includes(active.tagName);
  };

  async function refresh() {
    if (fetching) {
      again = true;
      return;
    }
    fetching = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, credentials: "same-origin" });
      if (answer.status === 401) {
        location.reload();
        return;
      }
      if (answer.ok && !answer.redirected) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of parts()) {
          const other = fresh.getElementById(part.id);
          if (other && !inUse(part) && other.innerHTML !== part.innerHTML) {
            const focused = document.activeElement && part.contains(document.activeElement)
              ? document.activeElement.getAttribute("href") : null;
            part.replaceChildren(...other.childNodes);
            if (focused) {
              const same = [...part.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === focused);
              if (same) same.focus();
            }
          }
        }
      }
    } catch {
      // the server is away for a moment; the next change or the next look tells
    } finally {
      fetching = false;
      if (again) {
        again = false;
        refresh();
      }
    }
  }

  if (parts().length > 0) {
    let timer = 0;
    const poll = () => {
      timer = timer || setInterval(refresh, FALLBACK_MS);
    };
    if ("EventSource" in window) {
      const source = new EventSource("/events");
      source.addEventListener("change", refresh);
      source.addEventListener("open", () => {
        clearInterval(timer);
        timer = 0;
        refresh();
      });
      source.addEventListener("error", poll);
    } else {
      poll();
    }
  }

  // Arrow keys leaf through pages that have a previous and a next one.
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest("input, select, textarea, [tabindex='0']")) return;
    const rel = { ArrowLeft: "prev", ArrowRight: "next", ArrowUp: "prev", ArrowDown: "next" }[event.key];
    const link = rel && document.querySelector(`.viewer a[rel="${rel}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
  });
})();
