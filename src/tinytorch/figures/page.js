// Draws the page's figures, in the colours of the reader's choice, and lets their marks answer: to a pointer
// near them, to a tap, and to the keyboard, where a figure is one stop of Tab and arrow keys walk its marks.
"use strict";
(() => {
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const REACH = 24; // pixels from a mark at which it still answers: half of what a fingertip covers

  class Figure {
    constructor(element) {
      this.plot = element.querySelector(".plot");
      this.tip = element.querySelector(".tip");
      this.element = element;
      this.spec = JSON.parse(element.querySelector("script").textContent);
      this.current = 0;
      this.plot.addEventListener("pointermove", (event) => {
        if (event.pointerType !== "touch") this.show(this.near(event));
      });
      this.plot.addEventListener("pointerleave", (event) => {
        if (event.pointerType !== "touch") this.show(this.focused());
      });
      this.plot.addEventListener("click", (event) => this.show(this.near(event)));
      this.plot.addEventListener("focusin", (event) => this.show(event.target.closest(".answers_marks > *")));
      this.plot.addEventListener("focusout", () => this.show(null));
      this.plot.addEventListener("keydown", (event) => this.walk(event));
    }

    async draw() {
      const held = this.focused() !== null;
      this.drawn?.finalize();
      this.drawn = await vegaEmbed(this.plot, this.spec, {
        mode: "vega-lite", renderer: "svg", config: themes[dark.matches ? "dark" : "light"],
        actions: false, defaultStyle: false, tooltip: false,
        ast: true, // expressions are interpreted, not compiled: the page's policy forbids eval
      });
      const ready = () => this.ready();
      this.drawn.view.addSignalListener("width", () => this.drawn.view.runAfter(ready));
      ready();
      if (held) this.marks[this.current]?.focus();
    }

    // Marks in the order of the data; one of them is where Tab stops.
    ready() {
      this.marks = [...this.plot.querySelectorAll(".answers_marks > *")];
      this.current = Math.min(this.current, Math.max(0, this.marks.length - 1));
      this.marks.forEach((mark, index) => mark.setAttribute("tabindex", index === this.current ? "0" : "-1"));
    }

    focused() {
      return this.plot.contains(document.activeElement) ? document.activeElement.closest(".answers_marks > *") : null;
    }

    near(event) {
      let best = null;
      let least = REACH;
      for (const mark of this.marks ?? []) {
        const box = mark.getBoundingClientRect();
        const across = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
        const along = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
        const middle = Math.hypot(event.clientX - (box.left + box.right) / 2,
          event.clientY - (box.top + box.bottom) / 2);
        const distance = Math.hypot(across, along) + 1e-3 * middle; // of marks on one another the nearest middle
        if (distance < least) [best, least] = [mark, distance];
      }
      return best;
    }

    walk(event) {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") this.show(null);
      let next = this.current;
      if (step) next = (this.current + step + this.marks.length) % this.marks.length;
      else if (event.key === "Home") next = 0;
      else if (event.key === "End") next = this.marks.length - 1;
      else return;
      event.preventDefault();
      this.current = next;
      this.ready();
      this.marks[next].focus();
    }

    // Text goes in as text: a name with markup in it is shown, not obeyed.
    show(mark) {
      if (mark === this.shown) return;
      this.shown?.classList.remove("asked");
      this.shown = mark;
      this.tip.replaceChildren();
      if (!mark) return;
      mark.classList.add("asked");
      for (const line of mark.getAttribute("aria-label").split("\n")) {
        this.tip.appendChild(document.createElement("div")).textContent = line;
      }
      const frame = this.element.getBoundingClientRect();
      const box = mark.getBoundingClientRect();
      const middle = (box.left + box.right) / 2 - frame.left - this.tip.offsetWidth / 2;
      const above = box.top - frame.top - this.tip.offsetHeight - 10;
      this.tip.style.left = `${Math.max(0, Math.min(middle, frame.width - this.tip.offsetWidth))}px`;
      this.tip.style.top = `${above >= 0 ? above : box.bottom - frame.top + 10}px`;
    }
  }

  const figures = [...document.querySelectorAll("figure")].map((element) => new Figure(element));
  const draw = () => Promise.all(figures.map((figure) => figure.draw()));
  dark.addEventListener("change", draw);
  draw().then(() => { document.documentElement.dataset.drawn = "yes"; });
})();
