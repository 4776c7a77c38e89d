// Forms, made from what the code declares: the parameters of an endpoint, or the settings of a plugin.

import { element } from "./elements.js";

const MASK = "********";
const REFERENCES = { "": "As typed", "file:": "In a file", "env:": "In a variable", "cmd:": "Printed by a program" };
let count = 0;

// One field. `said` is a property of a schema; `secret`, `title`, `choices`, `list` and `wide` are ours.
export function field(key, said = {}, present = "") {
    const made = said.secret ? secret(present) : plain(said, present);
    const id = `field-${++count}`;
    Object.assign(made.control, { id, name: key, required: !said.optional && present !== MASK });
    made.control.setAttribute("aria-describedby", `${id}-help`);
    const help = element("small", { id: `${id}-help` }, hint(said));
    const label = element("label", { htmlFor: id }, said.title || key);
    const node = element("div", { className: said.wide ? "field wide" : "field" }, label, ...made.nodes, help);
    return { key, present, node, required: !said.optional, value: made.value };
}

function hint({ description = "", default: standard, optional, minimum, maximum }) {
    const range = minimum === undefined ? "" : ` (${minimum} to ${maximum ?? "…"})`;
    const preset = standard === undefined || standard === "" ? "" : ` Default: ${standard}.`;
    return `${description}${range}${preset}${optional ? "" : " Required."}`.trim();
}

function plain(said, present) {
    const choices = choicesOf(said);
    const control = choices ? select(choices, present) : element("input", inputOf(said, present));
    return { control, nodes: [control], value: () => control.value.trim() };
}

function choicesOf({ type, enum: words, optional, choices }) {
    if (choices) return choices;
    if (type !== "boolean" && !words?.length) return null;
    const given = type === "boolean" ? [["1", "yes"], ["0", "no"]] : words.map(one => [one, one]);
    return optional ? [["", "–"], ...given] : given;
}

function inputOf({ type, minimum = "", maximum = "", list }, present) {
    const kind = type === "date" ? "date" : "text";
    const shape = type === "integer" ? { type: "number", min: minimum, max: maximum } : { type: kind };
    return { ...shape, value: present, autocomplete: "off", ...(list && { list }) };
}

export function select(choices, present = "") {
    const options = choices.map(([value, text]) =>
        element("option", { value, selected: value === String(present) }, text));
    return element("select", {}, ...options);
}

export function datalist(id, choices) {
    return element("datalist", { id }, ...choices.map(([value, text]) => element("option", { value }, text)));
}

// A secret is written and never shown; where it is kept outside, a reference says where, and can be shown.
function secret(present) {
    const kind = Object.keys(REFERENCES).find(one => one && present.startsWith(one)) || "";
    const source = select(Object.entries(REFERENCES), kind);
    source.ariaLabel = "Where the secret is";
    const isKept = present === MASK;
    const control = element("input", { autocomplete: "new-password", placeholder: isKept ? "kept as it is" : "",
                                       value: isKept ? "" : present.slice(kind.length) });
    const adapt = () => { control.type = source.value ? "text" : "password"; };
    source.addEventListener("change", adapt);
    adapt();
    const value = () => control.value ? source.value + control.value : isKept ? MASK : "";
    return { control, nodes: [source, control], value };
}

// What was entered, by key; what is empty is left out.
export function valuesOf(fields) {
    return Object.fromEntries(fields.map(one => [one.key, one.value()]).filter(([, value]) => value !== ""));
}

export function form(fields, ...buttons) {
    const made = element("form", {}, ...fields.map(one => one.node), element("p", {}, ...buttons));
    made.addEventListener("submit", event => event.preventDefault());
    return made;
}
