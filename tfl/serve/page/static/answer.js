// Puts the server's answer on the page. All text goes in as text, never as markup.

const SHOWN = 8;
const byId = (id) => document.getElementById(id);

export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1%";
  if (share < 1 && share > 0.999) return "> 99.9%";
  return `${(100 * share).toFixed(1)}%`;
}

// One sentence for the status line and those who listen to it.
export function spoken(answer) {
  const odd = answer.is_out_of_distribution ? "Unlike the training examples. " : "";
  if (answer.detections) return `${odd}${counted(answer)}.`;
  if (answer.targets) return odd + Object.keys(answer.targets).map((name) => `${name}: ${ofTarget(answer.targets[name])}.`).join(" ");
  if (answer.task === "multilabel") return `${odd}${answer.labels.length ? answer.labels.join(", ") : "None of the labels"}.`;
  if (answer.values) return odd + Object.keys(answer.values).map((name) => `${name}: ${number(answer, name)}.`).join(" ");
  const shares = answer.calibrated_probabilities ?? answer.probabilities;
  const first = `${answer.is_out_of_distribution ? "Out of distribution. Nearest class: " : ""}${answer.label}, ${percent(shares[answer.label])}.`;
  const set = answer.prediction_set;
  return set && set.length > 1 ? `${first} Prediction set: ${set.join(", ")}.` : first;
}

// How many boxes of each class were found.
function counted(answer) {
  const counts = {};
  for (const one of answer.detections) counts[one.label] = (counts[one.label] ?? 0) + 1;
  return Object.keys(counts).map((name) => `${counts[name]} ${name}`).join(", ") || "Nothing was found";
}

export function showAnswer(answer, fileName, nouns) {
  showExample(answer, fileName);
  showLabel(answer, nouns);
  showSet(answer);
  showNumbers(answer);
  showTargets(answer);
  showBars(answer);
  showNeighbours(answer, nouns);
}

function showExample(answer, fileName) {
  if (answer.picture) showPicture(answer, fileName);
  else byId("looked").hidden = true;
  byId("player").hidden = !answer.audio;
  if (answer.audio) byId("player").src = answer.audio;
  else byId("player").removeAttribute("src");
  showText(answer);
  const why = byId("looked-why");
  why.hidden = Boolean(answer.grad_cam || answer.tokens);
  why.textContent = answer.missing.grad_cam ?? "";
}

// A text, or its tokens with a colour that says how much each speaks for the answer.
function showText(answer) {
  const shown = byId("shown-text");
  shown.hidden = answer.text == null;
  if (answer.text == null) return;
  byId("invite").hidden = true;
  shown.replaceChildren(...(answer.tokens ? answer.tokens.map(token) : [answer.text]));
}

function token([word, weight]) {
  const continued = word.startsWith("##");
  const made = element("span", weight >= 0 ? "for" : "against");
  made.textContent = word.replace(/^(##|▁|Ġ)/, "");
  made.style.setProperty("--weight", `${Math.round(60 * Math.abs(weight))}%`);
  made.title = weight.toFixed(2);
  const whole = document.createDocumentFragment();
  whole.append(continued ? "" : " ", made);
  return whole;
}

const short = (value) => String(Number(value.toPrecision(4)));

// The answer for one of several targets, in a few words.
function ofTarget(answer) {
  if (answer.value !== undefined) return answer.lower === undefined ? short(answer.value) : `${short(answer.value)} (${short(answer.lower)} to ${short(answer.upper)})`;
  if (answer.labels) return answer.labels.join(", ") || "none";
  return `${answer.label} ${percent(answer.probability)}`;
}

// Each of several targets under its name: its answer, and how likely each class or label is.
function showTargets(answer) {
  const shown = Object.entries(answer.targets ?? {}).map(([name, one]) => {
    const part = element("section");
    part.append(element("h3", "", name), element("p", "", ofTarget(one)));
    const shares = one.probabilities ?? {};
    const inside = new Set(one.labels ?? [one.label]);
    const bars = element("ul", "bars");
    const names = Object.keys(shares).sort((a, b) => shares[b] - shares[a]).slice(0, SHOWN);
    bars.append(...names.map((label) => bar(label, shares[label], null, inside.has(label), "given")));
    if (names.length) part.append(bars);
    return part;
  });
  byId("targets").hidden = shown.length === 0;
  byId("targets").replaceChildren(...shown);
}

function number(answer, name) {
  const value = short(answer.values[name]);
  return answer.lower ? `${value} (${short(answer.lower[name])} to ${short(answer.upper[name])})` : value;
}

function showNumbers(answer) {
  const shown = Boolean(answer.values);
  byId("numbers").hidden = !shown;
  byId("bars-title").hidden = shown || Boolean(answer.targets);
  if (!shown) return;
  const often = answer.coverage == null ? "" : `The interval is to hold the right value in ${Number((100 * answer.coverage).toPrecision(3))}% of cases.`;
  const rows = Object.keys(answer.values).flatMap((name) => [element("dt", "", name), element("dd", "", number(answer, name))]);
  byId("number-list").replaceChildren(...rows);
  byId("bars-note").textContent = answer.lower ? often : "";
}

function showPicture(answer, fileName) {
  const picture = byId("picture");
  picture.src = answer.picture.source;
  picture.alt = `Your picture, ${fileName}`;
  // small pictures are shown larger, their pixels as they are
  const small = Math.max(answer.picture.width, answer.picture.height) < 320;
  picture.classList.toggle("tiny", Math.max(answer.picture.width, answer.picture.height) < 64);
  picture.style.width = small ? "20rem" : "";
  const heat = byId("heat");
  heat.hidden = !(answer.grad_cam || answer.boxes);
  byId("looked").hidden = !answer.grad_cam;
  if (answer.grad_cam) {
    heat.src = answer.grad_cam;
    const about = answer.targets ? ofTarget(Object.values(answer.targets)[0]) : answer.label;
    heat.alt = `Grad-CAM for ${about}: ${answer.looked}`;
    byId("looked-note").textContent = `${answer.looked} How much each place speaks for ${about}:`;
  } else if (answer.boxes) {
    heat.src = answer.boxes;
    heat.alt = `Boxes: ${counted(answer)}`;
  } else {
    heat.removeAttribute("src");
  }
}

// What stands in large letters, and how sure it is.
function headline(answer) {
  if (answer.detections) return [counted(answer), ""];
  if (answer.targets) return [Object.values(answer.targets).map(ofTarget).join("; "), ""];
  if (answer.task === "multilabel") return [answer.labels.join(", ") || "None of the labels", ""];
  if (answer.values) {
    const [first] = Object.keys(answer.values);
    return [`${first}: ${Number(answer.values[first].toPrecision(4))}`, ""];
  }
  const shares = answer.calibrated_probabilities ?? answer.probabilities;
  return [answer.label, percent(shares[answer.label])];
}

function showLabel(answer, nouns) {
  const [words, sure] = headline(answer);
  byId("answer-eyebrow").textContent = answer.is_out_of_distribution && answer.label ? "Nearest class" : "The answer";
  byId("label").replaceChildren(...breakable(words));
  byId("sure").textContent = sure;
  byId("out-of-distribution").hidden = !answer.is_out_of_distribution;
  const score = answer.out_of_distribution_score?.toPrecision(3);
  const beyond = answer.out_of_distribution_threshold == null ? "" : ` Its score is ${score}; up to ${answer.out_of_distribution_threshold.toPrecision(3)} counts as like them.`;
  byId("out-of-distribution-text").textContent =
    `This ${nouns.replace(/s$/, "")} is unlike the training ${nouns}, so the answer says little${answer.label ? ": it is only the nearest of the classes" : ""}.${beyond}`;
}

function showSet(answer) {
  const set = answer.prediction_set;
  byId("set").hidden = !set;
  if (!set) return;
  byId("chips").replaceChildren(...set.map((name) => element("li", "", name)));
  const often = answer.coverage == null ? "" : ` Over many examples like the training ones, the true class is in the set at least ${Number((100 * answer.coverage).toPrecision(3))}% of the time.`;
  const what = set.length === 0 ? "No class fits well enough to be in the set." : set.length === 1 ? "One class fits." : `Any of these ${set.length} classes fits.`;
  byId("set-note").textContent = what + often;
}

function showBars(answer) {
  byId("bars-title").textContent = answer.detections ? "Score of each box" : "How likely each class is";
  if (answer.detections) {
    const rows = answer.detections.map((one) => bar(one.label, one.score, null, false, ""));
    byId("bars").replaceChildren(...rows);
    fold(rows, "boxes");
    byId("bars-note").textContent = "The highest first; not a probability that was calibrated.";
    return;
  }
  if (answer.values || answer.targets) {
    byId("bars").replaceChildren();
    byId("more").hidden = true;
    if (answer.targets) byId("bars-note").textContent = "";
    return;
  }
  const calibrated = answer.calibrated_probabilities;
  const shares = calibrated ?? answer.probabilities;
  const names = Object.keys(shares).sort((one, other) => shares[other] - shares[one]);
  const inside = new Set(answer.labels ?? answer.prediction_set ?? []);
  const rows = names.map((name) => bar(name, shares[name], calibrated ? answer.probabilities[name] : null, inside.has(name), answer.labels ? "given" : "in the prediction set"));
  byId("bars").replaceChildren(...rows);
  fold(rows);
  const note = byId("bars-note");
  if (calibrated) {
    note.replaceChildren("Calibrated. ", element("span", "key"), "is the network's own number.");
  } else {
    note.textContent = answer.missing.confidence ?? "";
  }
}

function bar(name, share, before, inside, insideWords) {
  const row = element("li", inside ? "inside" : "");
  const track = element("span", "track");
  track.setAttribute("aria-hidden", "true");
  const filled = element("i");
  filled.style.width = `${100 * share}%`;
  track.append(filled);
  const value = element("span", "value", percent(share));
  if (before !== null) {
    const mark = element("b");
    mark.style.left = `${100 * before}%`;
    track.append(mark);
    value.append(element("span", "unseen", `, before calibration ${percent(before)}`));
  }
  if (inside) value.append(element("span", "unseen", `, ${insideWords}`));
  row.append(element("span", "name", name), track, value);
  return row;
}

function fold(rows, what = "classes") {
  const more = byId("more");
  const rest = rows.length > SHOWN + 1 ? rows.slice(SHOWN) : [];
  more.hidden = rest.length === 0;
  const open = (wide) => {
    for (const row of rest) row.hidden = !wide;
    more.setAttribute("aria-expanded", String(wide));
    more.textContent = wide ? `Show the first ${SHOWN} only` : `Show all ${rows.length} ${what}`;
  };
  more.onclick = () => open(more.getAttribute("aria-expanded") !== "true");
  open(false);
}

function showNeighbours(answer, nouns) {
  const found = answer.neighbours ?? [];
  const why = answer.missing.neighbours ?? "";
  const own = answer.neighbours_from === "index";
  byId("neighbours-title").textContent = own ? `Nearest ${nouns} of the index` : `Nearest training ${nouns}`;
  byId("neighbours").hidden = found.length === 0 && !why;
  byId("neighbours-note").textContent = found.length
    ? `The ${nouns} whose features are nearest to this one's; distance 0 is the same, 1 has nothing in common.`
    : why;
  byId("gallery").replaceChildren(...found.map(neighbour));
}

function neighbour(found) {
  const row = element("li");
  const preview = found.thumbnail === null ? element("p", "text", found.text ?? "") : thumbnail(found);
  const words = element("p");
  words.append(element("strong", "", (found.label ?? "").replaceAll(";", "; ")), element("span", "file", found.file ?? ""), element("span", "file", `distance ${found.distance.toFixed(3)}`));
  words.title = found.file ?? "";
  row.append(preview, words);
  return row;
}

function thumbnail(found) {
  const image = element("img");
  image.src = found.thumbnail;
  image.alt = found.label ? `Example of ${found.label}` : "Example without a label";
  image.onload = () => image.classList.toggle("tiny", Math.max(image.naturalWidth, image.naturalHeight) < 64);
  return image;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...breakable(text));
  return made;
}

// A class name may be long and have no space: it may break behind an underscore.
function breakable(text) {
  return text.split(/(?<=_)/).flatMap((part, at) => (at ? [document.createElement("wbr"), part] : [part]));
}
