import { streamAnswer } from "./stream.js";

const form = document.getElementById("ask");
const answer = document.getElementById("answer");
const state = document.getElementById("state");
const list = document.getElementById("gateways");
let stop = () => {};

// A link may say what is asked, and where: ?prompt=...&model=...&gateways=...
for (const [name, value] of new URLSearchParams(location.search)) {
  const field = form.elements.namedItem(name);
  if (field) field.value = value;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  stop();
  const { prompt, model, gateways } = Object.fromEntries(new FormData(form));
  const addresses = gateways.split(/[\s,]+/).filter(Boolean);
  list.replaceChildren(...addresses.map(listItem));
  answer.textContent = "";
  stop = streamAnswer({ gateways: addresses, model, query: { prompt } }, listener);
});

const listener = {
  text: (whole) => {
    answer.textContent = whole;
  },
  gateway: (address, why) => {
    for (const item of list.children) item.setAttribute("aria-current", String(item.textContent === address));
    show(why, `${why[0].toUpperCase()}${why.slice(1)} through ${address}.`);
  },
  done: ({ finish_reason, usage }) => {
    const counts = usage ? `, ${usage.input_tokens} tokens in, ${usage.output_tokens} out` : "";
    show("done", `Done (${finish_reason}${counts}).`);
  },
  failed: ({ code, error }) => show("failed", `${code}: ${error}`),
};

function show(name, text) {
  state.dataset.state = name;
  state.textContent = text;
}

function listItem(address) {
  const item = document.createElement("li");
  item.textContent = address;
  return item;
}
