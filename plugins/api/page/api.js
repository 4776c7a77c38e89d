// The table of endpoints as the page uses it: buttons that call one, and the command that does the same.

import { element, forget, say, tellCommand } from "./elements.js";
import { go, refresh } from "./navigation.js";

export const NODE = "/nodes/localhost";
export const OWN = `${NODE}/pvefw`;
const VERBS = { GET: "get", POST: "create", PUT: "set", DELETE: "delete" };

// The path of something below another; an id may have any characters.
export function below(path, ...words) {
    return [path, ...words.map(encodeURIComponent)].join("/");
}

// --- the table -------------------------------------------------------------------------------------

let table = null;

// An endpoint: its parameters, its command, and what the path says (`named`).
async function endpoint(method, path) {
    table ??= call("GET", `${OWN}/endpoints`);
    const parts = path.split("/").map(decodeURIComponent);
    const fits = (await table)
        .filter(one => one.method === method)
        .map(one => ({ ...one, named: matched(one.path.split("/"), parts) }))
        .filter(one => one.named);
    const unknowns = one => Object.keys(one.named).length;
    return fits.sort((one, other) => unknowns(one) - unknowns(other))[0];
}

function matched(template, parts) {
    if (template.length !== parts.length) return null;
    const isName = word => word.startsWith("{");
    if (!template.every((word, place) => isName(word) || word === parts[place])) return null;
    return Object.fromEntries(template.flatMap((word, place) =>
        isName(word) ? [[word.slice(1, -1), parts[place]]] : []));
}

// What an endpoint takes beside what is in its path: forms are made from that.
export async function parametersOf(method, path, without = []) {
    const { parameters, named } = await endpoint(method, path);
    const hidden = [...Object.keys(named), ...without];
    return Object.entries(parameters).filter(([key]) => !hidden.includes(key) && !key.endsWith("[n]"));
}

export async function commandLine(method, path, given) {
    const known = await endpoint(method, path);
    if (!known.command) return ["pvefw", "api", VERBS[method], path, ...Object.entries(given).flatMap(option)];
    const values = { ...known.named, ...given };
    const typed = Object.entries(known.words).filter(([key]) => key in values);
    const options = typed.filter(([, word]) => word).flatMap(([key, word]) => asTyped(key, word, values[key]));
    const rest = typed.filter(([, word]) => !word).map(([key]) => String(values[key]));
    return ["pvefw", ...known.command.split(" "), ...options, ...rest];
}

function option([key, value]) {
    return [`-${key}`, String(value)];
}

function asTyped(key, word, value) {
    if (key === "data") return ["--data", "-"]; // settings: on standard input
    if (word.endsWith("=")) return [word.slice(0, -1), String(value)];
    const [yes, no] = word.split("/");
    return [Number(value) ? yes : no].filter(Boolean);
}

// --- buttons ---------------------------------------------------------------------------------------

// A button that calls an endpoint and tells the command that does the same.
//
// A path may be a function, where it depends on what is chosen then. `parameters` gives what it is called with;
// `confirm` is asked before; `same` gives the words of the command where the table has none; `done` gets the answer.
export function action(label, method, path, options = {}) {
    const { parameters = () => ({}), same = commandLine, done = finish(label), ...look } = options;
    return button(label, async () => {
        const given = await parameters();
        const where = typeof path === "function" ? path() : path;
        const telling = Promise.resolve(same(method, where, given)).then(tellCommand);
        const answer = await call(method, where, given);
        await telling;
        await done(answer);
    }, look);
}

// A button that works once at a time, says what went wrong, and asks first where there is something to confirm.
export function button(label, work, { confirm = "", className = "", type = "button" } = {}) {
    const made = element("button", { type, className }, label);
    let asked = false;
    made.addEventListener("click", async () => {
        if (made.ariaBusy === "true" || (made.form && !made.form.reportValidity())) return;
        asked = confirm !== "" && !asked;
        made.textContent = asked ? confirm : label;
        if (asked) return say(`${confirm} Press the button again.`);
        made.ariaBusy = "true";
        say(`${label}…`);
        try {
            await work();
            forget(`${label}…`);
        } catch (error) {
            say(error.message, "failed");
        } finally {
            made.ariaBusy = null;
        }
    });
    return made;
}

function finish(label) {
    return async answer => {
        if (isTask(answer)) return go(`tasks/${encodeURIComponent(answer)}`);
        await refresh();
        say(`${label}: done.`);
    };
}

function isTask(answer) {
    return typeof answer === "string" && answer.startsWith("UPID:");
}

// A button that reads something and draws it into a place.
export function look(label, place, method, path, draw, parameters = () => ({})) {
    const done = async answer => {
        place.replaceChildren(...[await draw(answer)].flat());
        say("");
    };
    return action(label, method, path, { parameters, done });
}
