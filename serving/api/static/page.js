// The page at GET /: scores the lines of a text field with this server's own V2 route and sends corrections.
// Texts reach the document only through textContent.

const SHOWN = 200; // Results beyond this number are counted in the summary, but not drawn.
const SHOWN_EFFECT = 0.01; // A word that moves the probability by less is not marked.
const EXPLANATION = ["sentences", "evidence", "decision", "reason"].map((name) => ({ name }));
const EXAMPLES = [
  "The zoom is superb and the battery lasts all day.",
  "It broke within a week and nobody answered my mail.",
  "It comes with a charger and a two metre cable.",
];

const { model, labels: order, feedback } = document.body.dataset;
const LABELS = order.split(",");
const INFER = `v2/models/${encodeURIComponent(model)}/infer`;
const FEEDBACK = `v1/models/${encodeURIComponent(model)}/feedback`;
const byId = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** An error whose message can be shown as it is. */
class Problem extends Error {}

/** Return the parsed reply and its headers. Throws Problem with words for the reader. */
async function post(path, content) {
  let reply;
  try {
    reply = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(byId("key").value && { "X-API-Key": byId("key").value }) },
      body: JSON.stringify(content),
    });
  } catch {
    throw new Problem("The server cannot be reached. Check that it is running, then try again.");
  }
  const body = await reply.json().catch(() => ({}));
  if (reply.status === 401) byId("key-row").hidden = false;
  if (!reply.ok) throw new Problem(inWords(reply, body.error));
  return { body, headers: reply.headers };
}

/** Return what a failed reply means and what helps. */
function inWords(reply, error) {
  const seconds = Number(reply.headers.get("Retry-After"));
  const wait = seconds ? `Try again in ${count(seconds, "second")}.` : "Try again later.";
  const detail = error ? ` The server says: ${error}` : "";
  switch (reply.status) {
    case 401: return `This server asks for an API key. Enter it below the reviews, then try again.${detail}`;
    case 413: return `This is more than the server takes in one request.${detail}`;
    case 429: return `You have sent too many requests. ${wait}${detail}`;
    case 503: return `The model is not ready or is too busy. ${wait}${detail}`;
    case 504: return `The server did not finish in time. Send fewer reviews at once.${detail}`;
    default:
      return reply.status < 500
        ? `The server did not accept the request.${detail}`
        : `The server failed (status ${reply.status}).${detail}`;
  }
}

const inferRequest = (texts) => ({
  inputs: [{ name: "text", shape: [texts.length], datatype: "BYTES", data: texts }],
});

/** Return the elements of an output of a V2 reply. */
const output = (body, name) => body.outputs.find((tensor) => tensor.name === name).data;

/** Return the curl command of a request, quoted for a POSIX shell. */
function curl(texts) {
  const quoted = (word) => `'${word.replaceAll("'", "'\\''")}'`;
  return `curl -s ${quoted(new URL(INFER, document.baseURI).href)} -d ${quoted(JSON.stringify(inferRequest(texts)))}`;
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function bar(label, share) {
  const made = element("div", "bar");
  made.setAttribute("role", "listitem");
  const track = element("div", "track");
  const fill = element("div", `fill ${label}`);
  fill.style.width = percent(share).replace(" ", "");
  track.append(fill);
  made.append(element("span", "name", label), track, element("span", "share", percent(share)));
  return made;
}

/** Return the list item of one review. */
function item(text, index, label, shares, requestId) {
  const made = byId("item").content.cloneNode(true).firstElementChild;
  made.classList.add(label);
  made.querySelector(".text").textContent = text;
  made.querySelector(".label").textContent = label;
  made.querySelector(".confidence").textContent = `confidence ${percent(shares[LABELS.indexOf(label)])}`;
  const bars = made.querySelector(".bars");
  bars.setAttribute("aria-label", `Probabilities of review ${index + 1}`);
  bars.append(...LABELS.map((name, position) => bar(name, shares[position])));
  prepareExplanation(made.querySelector(".reasons"), text, index);
  const form = made.querySelector(".correction");
  if (feedback === "on") prepareCorrection(form, index, requestId);
  else form.remove();
  return made;
}

function prepareExplanation(place, text, index) {
  const button = place.querySelector(".explain");
  button.querySelector(".hidden").textContent = ` of review ${index + 1}`;
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    const told = place.querySelector(".explained");
    told.textContent = "Reading …";
    try {
      explain(place, text, (await post(INFER, { ...inferRequest([text]), outputs: EXPLANATION })).body);
      button.remove();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      told.textContent = error.message;
      button.removeAttribute("aria-disabled");
    }
  });
}

/** Show the sentences of a text with their labels, the words that carried its label, and whether to rely on it. */
function explain(place, text, body) {
  const [sentences, evidence] = ["sentences", "evidence"].map((name) => JSON.parse(output(body, name)[0]));
  const reason = output(body, "reason")[0];
  const words = evidence.words.filter((word) => word.effect >= SHOWN_EFFECT);
  const strongest = Math.max(...words.map((word) => word.effect));
  place.querySelector(".explained").textContent = (reason ? `Decision: ${output(body, "decision")[0]}, because ${reason}. ` : "")
    + (words.length
      ? `Marked words: without one of them, ${evidence.label} would be less probable; the stronger, the more.`
      : `No single word carried the label ${evidence.label}.`);
  const list = place.querySelector(".sentences");
  list.append(...sentences.map((sentence) => {
    const made = element("li", sentence.label);
    made.append(
      element("strong", "tag", sentence.label), ` ${percent(sentence.confidence)} `,
      ...marked(text, sentence, words, (word) => mark(text, word, evidence.label, word.effect / strongest)),
    );
    return made;
  }));
  list.hidden = false;
}

/** Return a marked word, in the colour of the label that it carried; `strength` is from 0 to 1. */
function mark(text, word, label, strength) {
  const made = element("mark", label, text.slice(word.utf16_start, word.utf16_end));
  made.title = `${percent(word.effect)} less probable without this word`;
  made.style.setProperty("--strength", `${Math.round(10 + 22 * strength)}%`);
  return made;
}

/** Return the text of a sentence in parts, its words marked. Offsets are JavaScript's own, UTF-16. */
function marked(text, sentence, words, draw) {
  const inside = words
    .filter((word) => sentence.utf16_start <= word.utf16_start && word.utf16_end <= sentence.utf16_end)
    .sort((one, other) => one.utf16_start - other.utf16_start);
  const parts = [];
  let position = sentence.utf16_start;
  for (const word of inside) {
    parts.push(text.slice(position, word.utf16_start), draw(word));
    position = word.utf16_end;
  }
  return [...parts, text.slice(position, sentence.utf16_end)];
}

function prepareCorrection(form, index, requestId) {
  const select = form.querySelector("select");
  select.append(new Option("choose …", ""), ...LABELS.map((name) => new Option(name)));
  const about = ` for review ${index + 1}`;
  form.querySelector(".question").append(element("span", "hidden", about));
  form.querySelector("button .hidden").textContent = about;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (select.value) {
      sendCorrection(form, { request_id: requestId, item: index, label: select.value });
    } else {
      form.querySelector(".sent").textContent = "Choose the right label first.";
      select.focus();
    }
  });
}

async function sendCorrection(form, correction) {
  const sent = form.querySelector(".sent");
  sent.textContent = "Sending …";
  try {
    await post(FEEDBACK, correction);
    sent.textContent = `Correction stored: ${correction.label}.`;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    sent.textContent = error.message;
  }
}

/** Show the reply to a request for these texts. */
function show(texts, { body, headers }, milliseconds) {
  const labels = output(body, "label");
  const shares = output(body, "probabilities");
  const requestId = headers.get("X-Request-Id");
  const items = texts.slice(0, SHOWN).map((text, index) =>
    item(text, index, labels[index], shares.slice(index * LABELS.length, (index + 1) * LABELS.length), requestId));
  byId("list").replaceChildren(...items);
  const sums = LABELS.map((label) => `${labels.filter((found) => found === label).length} ${label}`).join(", ");
  const rest = texts.length > SHOWN ? ` The first ${SHOWN} are shown.` : "";
  byId("status").textContent = `${count(texts.length, "review")}: ${sums}. Answered by version `
    + `${body.model_version} in ${Math.max(1, Math.round(milliseconds))} ms, measured in this browser.${rest}`;
  byId("version").textContent = `version ${body.model_version}`;
  byId("command").textContent = curl(texts);
  byId("copied").textContent = "";
  byId("results").hidden = byId("results-heading").hidden = false;
  byId("results-heading").focus();
}

/** Show what went wrong in place of earlier results, and move the focus there or to the field at fault. */
function complain(message, field) {
  byId("results").hidden = byId("results-heading").hidden = true;
  byId("problem").textContent = message;
  byId("problem").hidden = false;
  byId("status").textContent = "";
  (field ?? byId("problem")).focus();
}

async function score() {
  const button = byId("score");
  if (button.getAttribute("aria-disabled") === "true") return;
  const field = byId("texts");
  const texts = field.value.split("\n").map((line) => line.trim()).filter(Boolean);
  byId("problem").hidden = true;
  field.toggleAttribute("aria-invalid", false);
  if (!texts.length) {
    field.setAttribute("aria-invalid", "true");
    complain("There is nothing to score. Write or paste at least one review.", field);
    return;
  }
  button.setAttribute("aria-disabled", "true");
  byId("status").textContent = `Scoring ${count(texts.length, "review")} …`;
  const started = performance.now();
  try {
    const reply = await post(INFER, inferRequest(texts));
    show(texts, reply, performance.now() - started);
  } catch (error) {
    complain(error instanceof Problem ? error.message : "The page could not read the server's answer.");
    if (!(error instanceof Problem)) throw error;
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

async function copy() {
  const command = byId("command");
  try {
    await navigator.clipboard.writeText(command.textContent);
    byId("copied").textContent = "Copied.";
  } catch { // The clipboard is closed to pages that come over plain HTTP from another machine.
    getSelection().selectAllChildren(command);
    command.focus();
    byId("copied").textContent = "Selected. Press Ctrl + C to copy.";
  }
}

byId("reviews").addEventListener("submit", (event) => {
  event.preventDefault();
  score();
});
byId("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("reviews").requestSubmit();
});
byId("examples").addEventListener("click", () => {
  byId("texts").value = EXAMPLES.join("\n");
  byId("texts").focus();
});
byId("copy").addEventListener("click", copy);
