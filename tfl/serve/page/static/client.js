// Talks to the server. The token is in this variable and nowhere else.

let token = "";

export function useToken(value) {
  token = value;
}

// Why there is no answer: kind is one of token, busy, gone, large, refused.
export class Refused extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

export function about() {
  return asked("page/about", {});
}

export function look(file, signal) {
  const headers = { "Content-Type": "application/octet-stream" };
  return asked("page/look", { method: "POST", body: file, headers, signal });
}

async function asked(path, options) {
  const headers = { ...options.headers, Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("gone", "The server does not answer. It may have been stopped: look where `tfl serve` runs.");
  }
  let said = null;
  try {
    said = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (response.ok) throw new Refused("gone", "The server's answer was cut off.");
  }
  if (response.ok) return said;
  throw new Refused(kindOf(response.status), messageOf(said) || `The server answered with status ${response.status}.`);
}

function kindOf(status) {
  if (status === 401 || status === 403) return "token";
  if (status === 413) return "large";
  return status === 429 || status >= 500 ? "busy" : "refused";
}

function messageOf(said) {
  const found = said && (said.error ?? said.detail);
  return typeof found === "string" ? found : "";
}
