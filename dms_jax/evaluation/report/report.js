"use strict";
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const list = document.getElementById("cards");
  const count = document.getElementById("count");
  const search = document.getElementById("search");
  const chips = [...document.querySelectorAll(".chip")];

  // Names come in as text nodes and attributes alone: none of them can become markup.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
  const webp = (data) => "data:image/webp;base64," + data;
  const png = (data) => "data:image/png;base64," + data;
  const className = (number) => (number === null || number === undefined ? null : page.classes[number]);

  // The end of a path tells images apart; the whole is in the title and in the large view.
  function shortened(path) {
    const parts = path.split("/");
    while (parts.length > 1 && parts.join("/").length > 32) parts.shift();
    const tail = parts.join("/");
    return tail.length < path.length ? "\u2026/" + tail : path;
  }

  function verdict(card) {
    const label = className(card.label);
    const predicted = className(card.predicted.at(-1));
    if (label === null) return predicted === null ? "" : "predicted " + predicted;
    if (predicted === null || label === predicted) return label;
    return label + " \u2192 " + predicted;
  }

  // Pictures are decoded when they come near: thousands at once would take gigabytes.
  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) if (entry.isIntersecting) fill(entry.target);
    },
    { rootMargin: "800px" },
  );

  function fill(item) {
    near.unobserve(item);
    for (const image of item.querySelectorAll("img:not([src])")) image.src = image.picture;
  }

  function view(picture, caption) {
    const frame = element("span", { class: "view" });
    if (picture) {
      const image = element("img", { alt: "" });
      image.picture = picture;
      frame.append(image);
    }
    return element("span", {}, frame, element("span", { class: "caption" }, caption));
  }

  // Without any mask, a column of nothing would take a third of the room.
  const hasTruth = page.cards.some((card) => card.truth);

  function makeCard(card) {
    const kinds = card.kinds.map((kind) => page.kinds[kind]);
    const iou = card.numbers.find(([name]) => name === "IoU");
    const item = element(
      "li",
      {},
      element(
        "button",
        {
          type: "button",
          class: "card",
          title: card.name,
          "aria-label": [card.name, verdict(card), kinds.join(", ")].filter(Boolean).join(": "),
        },
        element(
          "span",
          { class: "views" },
          view(card.image && webp(card.image), card.image ? "image" : "no image"),
          ...(hasTruth ? [view(card.truth && png(card.truth), card.truth ? "truth" : "truth unknown")] : []),
          view(webp(card.maps.at(-1)), "map"),
        ),
        element("span", { class: "name" }, shortened(card.name)),
        element(
          "span",
          { class: "line-below" },
          ...card.kinds.map((kind, place) => element("span", { class: "badge kind-" + kind }, kinds[place])),
          element("span", {}, verdict(card)),
          ...(iou ? [element("span", { class: "caption" }, "IoU " + iou[1])] : []),
        ),
      ),
    );
    item.firstChild.addEventListener("click", () => open(page.cards.indexOf(card)));
    return item;
  }

  const items = page.cards.map(makeCard);
  list.append(...items);
  items.forEach((item) => near.observe(item));
  addEventListener("beforeprint", () => items.filter((item) => !item.hidden).forEach(fill));

  let shown = page.cards.map((_, number) => number);

  function isPressed(chip) {
    return chip.getAttribute("aria-pressed") === "true";
  }

  function chosen(group) {
    const pressed = chips.filter((chip) => chip.dataset.group === group && isPressed(chip));
    return new Set(pressed.map((chip) => chip.dataset.key));
  }

  function apply(none = false) {
    const [kinds, labels, predicted] = ["kind", "label", "predicted"].map(chosen);
    const text = search.value.trim().toLowerCase();
    shown = [];
    page.cards.forEach((card, number) => {
      const fits =
        !none &&
        (!kinds.size || card.kinds.some((kind) => kinds.has(kind))) &&
        (!labels.size || labels.has(String(card.label))) &&
        (!predicted.size || predicted.has(String(card.predicted.at(-1)))) &&
        card.name.toLowerCase().includes(text);
      items[number].hidden = !fits;
      if (fits) shown.push(number);
    });
    count.textContent = shown.length + " of " + items.length + " images";
  }

  function press(chip, on) {
    chip.setAttribute("aria-pressed", String(on));
  }

  chips.forEach((chip) =>
    chip.addEventListener("click", () => {
      press(chip, !isPressed(chip));
      apply();
    }),
  );
  search.addEventListener("input", () => apply());
  document.getElementById("reset").addEventListener("click", () => {
    chips.forEach((chip) => press(chip, false));
    search.value = "";
    apply();
  });
  for (const cell of document.querySelectorAll(".confusion button"))
    cell.addEventListener("click", () => {
      search.value = "";
      const wanted = chips.filter((chip) => cell.dataset[chip.dataset.group] === chip.dataset.key);
      for (const chip of chips) press(chip, wanted.includes(chip));
      // A class that no image here is of, or is predicted for, has no chip.
      apply(wanted.length < 2);
      document.getElementById("images").scrollIntoView();
    });
  apply();

  // The large view of one image.
  const title = element("h2", { id: "large-title" });
  const where = element("span", { class: "where" });
  const content = element("div", { class: "content" });
  const tool = (text, label, action) => {
    const button = element("button", { type: "button", class: "tool", "aria-label": label, title: label }, text);
    button.addEventListener("click", action);
    return button;
  };
  const dialog = element("dialog", { "aria-labelledby": "large-title" });
  const stretch = tool("stretch maps", "Show the maps as bright as the final map allows (s)", () => {
    stretch.setAttribute("aria-pressed", String(stretch.getAttribute("aria-pressed") !== "true"));
    brighten();
  });
  stretch.setAttribute("aria-pressed", "false");
  const outlines = tool("outlines", "Show or hide the outlines (o)", toggle);
  outlines.setAttribute("aria-pressed", "true");
  dialog.append(
    element(
      "div",
      { class: "bar" },
      title,
      where,
      outlines,
      stretch,
      tool("\u2190", "Previous image (left arrow)", () => move(-1)),
      tool("\u2192", "Next image (right arrow)", () => move(1)),
      tool("\u2715", "Close (Esc)", () => dialog.close()),
    ),
    content,
  );
  document.body.append(dialog);
  let current = 0;

  function toggle() {
    outlines.setAttribute("aria-pressed", String(!dialog.classList.toggle("bare")));
  }

  // What a map that peaks at a tenth says is there, but too dark to be seen.
  function brighten() {
    const factor = stretch.getAttribute("aria-pressed") === "true" ? 255 / Math.max(page.cards[current].maximum, 1) : 1;
    for (const map of content.querySelectorAll(".map")) map.style.filter = factor === 1 ? "" : `brightness(${factor})`;
  }

  function figure(caption, ...pictures) {
    const frame = element("div", { class: "view" }, ...pictures);
    return element("figure", {}, frame, element("figcaption", {}, ...[caption].flat()));
  }

  function unknown(text) {
    return element("span", { class: "unknown" }, text);
  }

  function imageFigure(card) {
    const pictures = [card.image ? element("img", { src: webp(card.image), alt: "the image" }) : unknown("no image")];
    const caption = ["image, " + card.size.join(" \u00d7 ")];
    if (card.outlines) {
      pictures.push(element("img", { class: "outlines", src: png(card.outlines), alt: "outlines" }));
      if (card.outlined.includes("truth")) caption.push(", ", element("span", { class: "key-truth" }, "\u25a0"), " truth");
      if (card.outlined.includes("predicted")) caption.push(", ", element("span", { class: "key-found" }, "\u25a0"), " predicted");
    }
    return figure(caption, ...pictures);
  }

  function mapFigure(card, number) {
    const last = number === card.maps.length - 1 ? " (final map)" : "";
    const name = card.maps.length === 1 ? "map" : "S" + number + last;
    const guess = card.predicted.length === card.maps.length ? className(card.predicted[number]) : null;
    const image = element("img", { class: "map", src: webp(card.maps[number]), alt: name });
    return figure(guess === null ? name : name + ": " + guess, image);
  }

  function open(number) {
    const card = page.cards[number];
    current = number;
    title.textContent = card.name;
    where.textContent = shown.indexOf(number) + 1 + " of " + shown.length;
    const facts = [["kind", card.kinds.map((kind) => page.kinds[kind]).join(", ")]];
    if (className(card.label) !== null) facts.push(["true class", className(card.label)]);
    if (card.predicted.length) facts.push(["predicted class", className(card.predicted.at(-1))]);
    for (const [number, value] of card.probabilities) facts.push(["P(" + className(number) + ")", value]);
    facts.push(...card.numbers);
    const last = card.maps.length - 1;
    const truth = card.truth ? element("img", { src: png(card.truth), alt: "truth" }) : unknown("unknown");
    content.replaceChildren(
      element(
        "div",
        { class: "large" },
        imageFigure(card),
        ...(hasTruth ? [figure("truth", truth)] : []),
        mapFigure(card, last),
      ),
      element("div", { class: "steps" }, ...card.maps.slice(0, last).map((_, step) => mapFigure(card, step))),
      element(
        "dl",
        { class: "facts" },
        ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
      ),
    );
    brighten();
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  function move(by) {
    const place = shown.indexOf(current) + by;
    if (place >= 0 && place < shown.length) open(shown[place]);
  }

  dialog.addEventListener("keydown", (event) => {
    const action = { ArrowLeft: () => move(-1), ArrowRight: () => move(1), o: toggle, s: () => stretch.click() }[event.key];
    if (action && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      action();
    }
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => items[current].firstChild.focus());
})();
