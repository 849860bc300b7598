// The page's states: start, token, waiting, answer, error.

import { showAnswer, spoken } from "./answer.js";
import { Refused, about, look, useToken } from "./client.js";
import { Recorder } from "./record.js";

const byId = (id) => document.getElementById(id);
const TITLES = {
  busy: "The server cannot answer now",
  gone: "The server is gone",
  large: "This file is too large",
  refused: "This cannot be looked at",
};
const TIMEOUT_MS = 120000;
const KINDS = {
  image: ["What is in the picture?", "a picture", "pictures", ""],
  text: ["What does the model make of the text?", "a text file", "texts", "text/plain,.txt"],
  audio: ["What is to be heard?", "a sound", "sounds", "audio/*,.wav,.flac,.mp3,.ogg,.oga,.opus"],
};
let limit = Infinity;
let last = null; // the file that was asked about last
let going = null; // the request that is under way
let preview = "";
let kind = "image"; // of the examples
let nouns = "pictures";

function enter(state) {
  document.body.dataset.state = state;
  byId("token").hidden = state !== "token";
  byId("columns").hidden = state === "token";
  byId("answer").hidden = state !== "answer";
  byId("error").hidden = state !== "error";
  if (state !== "answer") {
    byId("neighbours").hidden = true;
    byId("heat").hidden = true;
    byId("looked").hidden = true;
    byId("looked-why").hidden = true;
  }
  byId("intake").setAttribute("aria-busy", String(state === "waiting"));
}

function say(text) {
  byId("status").textContent = text;
}

function fail(kind, message) {
  byId("error-title").textContent = TITLES[kind];
  byId("error-text").textContent = message;
  byId("again").hidden = !(kind === "gone" || kind === "busy");
  say("");
  enter("error");
  bringIntoView(byId("error"));
}

function askForToken(wrong) {
  const told = byId("token-wrong");
  told.hidden = !wrong;
  told.textContent = wrong ? "The server does not accept this token." : "";
  enter("token");
  byId("token-value").focus();
}

async function ask(file) {
  going?.abort();
  last = file;
  if (!check(file)) return;
  const own = new AbortController();
  going = own;
  const timer = setTimeout(() => own.abort(), TIMEOUT_MS);
  showPreview(file);
  enter("waiting");
  say(`Looking at ${nameOf(file)} (${size(file.size)}) …`);
  try {
    const answer = await look(file, own.signal);
    if (going !== own) return;
    enter("answer");
    showAnswer(answer, nameOf(file), nouns);
    fade();
    say(spoken(answer));
    bringIntoView(byId("answer"));
  } catch (error) {
    if (going !== own) return;
    settle(error, own.signal);
  } finally {
    clearTimeout(timer);
  }
}

function settle(error, signal) {
  if (error instanceof Refused && error.kind === "token") askForToken(byId("token-value").value !== "");
  else if (error instanceof Refused) fail(error.kind, error.message);
  else if (signal?.aborted) fail("gone", "The server took more than two minutes.");
  else fail("busy", `The answer could not be shown: ${error.message}`);
}

function check(file) {
  const fits = file.size > 0 && file.size <= limit;
  if (fits) return true;
  showPreview(null);
  if (file.size === 0) fail("refused", `${nameOf(file)} is empty, or is a folder.`);
  else fail("large", `${nameOf(file)} has ${size(file.size)}. At most ${size(limit)} are taken.`);
  return false;
}

function showPreview(file) {
  if (preview) URL.revokeObjectURL(preview);
  preview = file ? URL.createObjectURL(file) : "";
  const picture = byId("picture");
  byId("figure").hidden = true;
  byId("invite").hidden = false;
  byId("shown-text").hidden = true;
  byId("player").hidden = true;
  picture.style.width = "";
  picture.onload = () => {
    byId("figure").hidden = false;
    byId("invite").hidden = true;
  };
  picture.onerror = null; // what the browser cannot show, the server may read all the same
  if (preview && kind === "audio") {
    byId("player").src = preview;
    byId("player").hidden = false;
  } else if (preview && kind === "image") {
    picture.alt = `Your picture, ${nameOf(file)}`;
    picture.src = preview;
  } else {
    picture.removeAttribute("src");
  }
}

function fade() {
  const value = byId("strength").value;
  byId("heat").style.opacity = String(value / 100);
  byId("strength-value").textContent = value === "0" ? "hidden" : `${value}%`;
  byId("strength").setAttribute("aria-valuetext", byId("strength-value").textContent);
}

function bringIntoView(part) {
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const below = part.getBoundingClientRect().top > 0.8 * window.innerHeight;
  if (below) part.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

function nameOf(file) {
  return file.name || { image: "the picture", text: "the text", audio: "the sound" }[kind];
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function take(files) {
  const file = [...files].find((one) => one.type.startsWith({ image: "image/", text: "text/", audio: "audio/" }[kind])) ?? files[0];
  if (file) ask(file);
  else fail("refused", "There was no file in what was dropped or pasted. Save it and choose the file.");
}

async function introduce() {
  try {
    const known = await about();
    limit = known.most_bytes ?? Infinity;
    byId("model").textContent = `${known.model}, version ${known.version}`;
    document.title = `${known.model} · tfl`;
    suit(known);
    const several = known.task === "heads"; // outputs are named by their target, such as `disease=healthy`
    const predicted = several ? [...new Set(known.classes.map((name) => name.split("=")[0]))] : known.classes;
    const [one, more] = { multilabel: ["label", "labels"], regress: ["number", "numbers"], heads: ["target", "targets"] }[known.task] ?? ["class", "classes"];
    byId("about").textContent = `${predicted.length} ${predicted.length === 1 ? one : more}: ${listed(predicted)}.`;
    return true;
  } catch (error) {
    settle(error);
    return false;
  }
}

// The page for the kind of example that the model takes.
function suit(known) {
  kind = known.kind ?? "image";
  const [question, noun, several, accept] = KINDS[kind] ?? KINDS.image;
  nouns = several;
  byId("question").textContent = question;
  byId("drop-noun").textContent = noun;
  byId("choose").textContent = `Choose ${noun}`;
  byId("photograph").hidden = kind !== "image";
  byId("record").hidden = kind !== "audio" || !Recorder.possible;
  byId("typed").hidden = kind !== "text";
  byId("choose").classList.toggle("main", kind !== "text");
  if (accept) byId("file").accept = accept;
}

function listed(names) {
  let shown = names.length;
  while (shown > 1 && names.slice(0, shown).join(", ").length > 100) shown -= 1;
  const first = names.slice(0, shown).join(", ");
  return shown < names.length ? `${first} and ${names.length - shown} more` : first;
}

function listen() {
  for (const [button, input] of [["choose", "file"], ["photograph", "camera"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", (event) => {
      const [file] = event.target.files;
      event.target.value = ""; // so that the same file can be chosen again
      if (file) ask(file);
    });
  }
  byId("typed").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(new File([byId("text").value], "the text", { type: "text/plain" }));
  });
  listenToMicrophone();
  byId("again").addEventListener("click", async () => {
    if (last) ask(last);
    else if (await introduce()) enter("start");
  });
  byId("strength").addEventListener("input", fade);
  byId("token").addEventListener("submit", async (event) => {
    event.preventDefault();
    useToken(byId("token-value").value.trim());
    if (!(await introduce())) return;
    byId("token-value").value = "";
    if (last) return ask(last);
    enter("start");
    byId("choose").focus();
  });
  document.addEventListener("paste", (event) => {
    if (event.target.closest?.("input[type=password]")) return;
    take(event.clipboardData.files);
  });
  listenToDrops();
}

function listenToMicrophone() {
  const button = byId("record");
  let recorder = null;
  button.addEventListener("click", async () => {
    if (recorder) {
      const done = recorder;
      recorder = null;
      button.textContent = "Record a sound";
      ask(await done.stop());
      return;
    }
    try {
      recorder = await Recorder.start();
      button.textContent = "Stop and ask the model";
      say("Recording …");
    } catch (error) {
      recorder = null;
      fail("refused", `The microphone cannot be used: ${error.message}`);
    }
  });
}

function listenToDrops() {
  let depth = 0;
  const mark = () => document.body.classList.toggle("dragging", depth > 0);
  document.addEventListener("dragenter", () => { depth += 1; mark(); });
  document.addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); mark(); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    mark();
    if (document.body.dataset.state !== "token") take(event.dataTransfer.files);
  });
}

fade();
listen();
introduce();
