// Guests: the list, and bulk actions, each with its plan beforehand.

import { action, button, look, NODE, OWN, parametersOf } from "./api.js";
import { element, section, state, table } from "./elements.js";
import { field, form, valuesOf } from "./form.js";

const BULK = [
    { label: "Start", name: "start", path: `${NODE}/startall` },
    { label: "Stop", name: "stop", path: `${NODE}/stopall` },
    { label: "Suspend", name: "suspend", path: `${NODE}/suspendall` },
    { label: "Resume", name: "resume", path: `${OWN}/resumeall` },
    { label: "Migrate", name: "migrate", path: `${NODE}/migrateall` },
];
const OURS = ["vms", "maxworkers"]; // the boxes say which guests; the second is an old name of max-workers
const COLOURS = { running: "ok", stopped: "none", paused: "attention", unknown: "failed" };

export async function guests() {
    const found = await call("GET", `${OWN}/guests`);
    const boxes = found.map(one =>
        element("input", { type: "checkbox", value: one.id, ariaLabel: `Choose ${one.id} ${one.name}` }));
    const chosen = () => boxes.filter(one => one.checked).map(one => one.value).join(",");
    const plan = element("div");
    const buttons = BULK.map(one => button(`${one.label}…`, async () =>
        plan.replaceChildren(await planning(one, chosen()))));
    return [element("h2", {}, "Guests"), listed(found, boxes),
            element("p", {}, "If you choose none, an action is for all guests that it fits."),
            element("p", {}, ...buttons), plan];
}

function listed(found, boxes) {
    const rows = found.map((one, place) => [
        [boxes[place], ` ${one.id}`], one.name, one.kind, state(one.state, COLOURS[one.state]), one.onboot ? "yes" : "no",
        one.order, one.needs.join(", "), [one.problem, one.note, blocked(one)].filter(Boolean).join("; ")]);
    return table("Guests of this node", ["Id", "Name", "Kind", "State", "At boot", "Order", "Needs", "Note"], rows);
}

function blocked(one) {
    const ids = one["blocked-by"];
    return ids.length ? `waits for ${ids.join(", ")}` : "";
}

// --- a bulk action --------------------------------------------------------------------------------------

// The plan comes at once, unless the action needs to be told something first.
async function planning(bulk, vms) {
    const declared = await parametersOf("POST", bulk.path, OURS);
    const fields = declared.map(([key, said]) => field(key, said));
    const parameters = () => ({ ...valuesOf(fields), ...(vms && { vms }) });
    const steps = element("div");
    const draw = found => planned(bulk, found, parameters());
    const show = look("Show the plan", steps, "GET", `${OWN}/plan/${bulk.name}`, draw, parameters);
    const ready = !fields.some(one => one.required);
    if (ready) setTimeout(() => show.click());
    const options = element("details", { open: !ready }, element("summary", {}, "Options"), form(fields, show));
    return section(`${bulk.label} ${vms || "all guests"}`, options, steps);
}

function planned({ label, path }, steps, parameters) {
    if (!steps.length) return element("p", {}, "There is nothing to do.");
    const begins = ({ second }) => second === null ? "never" : `${second} s`;
    const rows = steps.map(one => [one.id, one.name, one.action, begins(one), one.target, one.note]);
    return [
        table(`What ${label.toLowerCase()} will do`, ["Id", "Name", "Action", "Begins after", "To", "Note"], rows),
        action(`${label} these guests`, "POST", path, { parameters: () => parameters }),
    ];
}
