// The node at a glance: a card for each part of `pvefw status`, with what to do where a part is not well.

import { action, below, NODE, OWN } from "./api.js";
import { element, lines, link, state } from "./elements.js";

const VIEWS = {
    certificates: "certificates", served: "certificates", credentials: "acme", records: "acme",
    tasks: "tasks", boot: "boot", guests: "guests", ksm: "node",
};

export async function overview() {
    const found = await call("GET", `${OWN}/status`);
    const cards = Object.entries(found.parts).map(([name, part]) => card(name, part));
    return [element("h2", {}, `Overview of ${found.node}`), element("div", { className: "cards" }, ...cards)];
}

function card(name, part) {
    return element("article", { className: "card" }, element("h3", {}, name),
                   element("p", {}, state(part.state, part.state)), lines(part.lines), ...nextSteps(name, part));
}

function nextSteps(name, part) {
    if (!["attention", "failed"].includes(part.state)) return [];
    const view = VIEWS[name];
    const steps = [...(NEXT[name]?.(part.data) || []), ...(view ? [link(`Look at ${name}`, `#/${view}`)] : [])];
    return [element("h4", {}, "What to do next"), element("p", { className: "steps" }, ...steps)];
}

// What can be done at once.
const NEXT = {
    certificates: data => [
        ...(data.timer === false ? [action("Install the renewal timer", "POST", `${OWN}/renewals/timer`)] : []),
        ...(data["not-ordered"] || []).map(one => action(`Order ${one}`, "POST", below(`${OWN}/certificates`, one, "acme"))),
        ...(data["not-deployed"]?.length
            ? [action("Deploy again", "POST", `${OWN}/deployments`, { parameters: () => ({ retry: 1 }) })] : []),
    ],
    served: data => [...new Set(data.addresses?.filter(one => !one.ok).map(one => one.certificate))].map(name =>
        action(`Deploy ${name} again`, "POST", `${OWN}/deployments`, { parameters: () => ({ name }) })),
    boot: () => [action("Refresh the ESPs", "POST", `${OWN}/boot/refresh`)],
    guests: data => data["not-running"]?.length ? [action("Start what should run", "POST", `${NODE}/startall`)] : [],
    tasks: data => (data.failed || []).slice(0, 5).map(one =>
        link(`Log of ${one.type}`, `#/tasks/${encodeURIComponent(one.upid)}`)),
};
