// What the tests ask of the page as it is shown; each returns what is wrong, or what was found.

const shown = (selector) => [...document.querySelectorAll(selector)].filter((part) => part.checkVisibility());
const briefly = (part) => part.id || part.outerHTML.slice(0, 60);

// [contrast, text] of every text; WCAG 2.2, 1.4.3
function contrasts() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (value) => (value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = rgba(getComputedStyle(at).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.closest(".unseen, .skip, noscript")) continue;
    const [dark, bright] = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((one, other) => one - other);
    found.push([(bright + 0.05) / (dark + 0.05), text.slice(0, 40)]);
  }
  return found;
}

// parts that reach out of the window at the sides
function cutOff() {
  return shown("main *")
    .filter((part) => !part.closest(".unseen, svg"))
    .filter((part) => {
      const box = part.getBoundingClientRect();
      return box.width > 0 && (box.left < 0 || box.right > window.innerWidth + 0.5);
    })
    .map(briefly);
}

// controls that a finger misses; WCAG 2.2, 2.5.8
function tooSmall() {
  return shown("button, input").filter((part) => part.getBoundingClientRect().height < 24).map(briefly);
}

function structure() {
  const links = ["for", "aria-labelledby", "aria-describedby", "aria-controls"];
  const named = (part) =>
    part.labels?.length || part.getAttribute("aria-label") || part.alt || part.textContent.trim() ||
    document.getElementById(part.getAttribute("aria-labelledby"));
  return {
    unnamed: shown("button, input, img, section, form").filter((part) => !named(part)).map(briefly),
    headings: shown("h1, h2, h3, h4").map((part) => Number(part.tagName[1])),
    ids: [...document.querySelectorAll("[id]")].map((part) => part.id),
    references: links.flatMap((name) => [...document.querySelectorAll(`[${name}]`)].map((part) => part.getAttribute(name))),
    language: document.documentElement.lang,
    status: document.querySelector("#status").getAttribute("aria-live"),
  };
}
