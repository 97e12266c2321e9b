// The calculator's sliders: the server computes and writes every number, this only asks and shows.
"use strict";

(() => {
  const form = document.getElementById("calculator");
  const answer = document.getElementById("answer");
  const drawings = ["drawing", "drawing-dark"].map((id) => document.getElementById(id)).filter(Boolean);
  const WAIT_MS = 60;
  const DRAW_AFTER_MS = 400;
  let timer = 0;
  let drawing = 0;
  let asked = 0;

  const query = () => new URLSearchParams(new FormData(form)).toString();

  async function show() {
    const mine = ++asked;
    const wanted = query();
    const reply = await fetch(`/calculator/answer?${wanted}`, { headers: { "X-Live": "1" }, credentials: "same-origin" });
    if (mine !== asked) return; // a newer question is on its way
    if (reply.status === 401) {
      location.reload();
      return;
    }
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    answer.replaceChildren(...fresh.body.childNodes);
    history.replaceState(null, "", `/calculator?${wanted}`);
    clearTimeout(drawing);
    drawing = setTimeout(() => draw(wanted), DRAW_AFTER_MS);
  }

  function draw(wanted) {
    for (const one of drawings) {
      const name = one.tagName === "SOURCE" ? "srcset" : "src";
      const style = /style=(\w+)/.exec(one.getAttribute(name))[1];
      one.setAttribute(name, `/calculator/nomogram.svg?${wanted}&style=${style}`);
    }
  }

  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(() => form.checkValidity() && show().catch(() => {}), WAIT_MS);
  };

  for (const slider of form.querySelectorAll("input.slider")) {
    const field = document.getElementById(slider.dataset.for);
    slider.hidden = false;
    slider.addEventListener("input", () => {
      field.value = slider.value;
      soon();
    });
    field.addEventListener("input", () => {
      slider.value = field.value;
      soon();
    });
  }
  document.getElementById("ebv_dna").addEventListener("input", soon);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show().catch(() => form.submit());
  });
})();
