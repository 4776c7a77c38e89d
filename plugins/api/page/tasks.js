// Tasks: the list with its filters, and one task with its log as it grows.

import { action, below, button, NODE, OWN } from "./api.js";
import { element, facts, link, say, section, state, table, time } from "./elements.js";
import { field, form, valuesOf } from "./form.js";

const FOLLOW = 1000; // milliseconds between two looks at a log
const LINES = 500; // of a log, at once
const BULK = ["startall", "stopall", "suspendall", "resumeall", "migrateall"];

export async function tasks(upid) {
    return upid ? oneTask(upid) : allTasks();
}

// --- the list -----------------------------------------------------------------------------------------

async function allTasks() {
    const list = element("div", { role: "status" });
    const fields = filters();
    const draw = async () => list.replaceChildren(listed(await call("GET", `${NODE}/tasks`, wanted(fields))));
    await draw();
    const filter = button("Filter", async () => {
        await draw();
        say("");
    }, { type: "submit" });
    return [element("h2", {}, "Tasks"), form(fields, filter), list];
}

function filters() {
    const states = [["", "any"], ["running", "running"], ["ok", "ok"], ["warning", "with warnings"], ["error", "failed"]];
    return [
        field("statusfilter", { title: "State", optional: true, choices: states }),
        field("typefilter", { title: "Type", optional: true, description: "Such as acmenewcert or startall." }),
        field("userfilter", { title: "User", optional: true }),
        field("grep", { title: "Log contains", optional: true }),
        field("since", { title: "Since", optional: true, type: "date" }),
    ];
}

function wanted(fields) {
    const given = valuesOf(fields);
    return { source: "all", limit: 100, ...given, ...(given.since && { since: Date.parse(given.since) / 1000 }) };
}

function listed(found) {
    const rows = found.map(one => [link(one.type, `#/tasks/${encodeURIComponent(one.upid)}`), one.id, one.user,
                                   time(one.starttime), time(one.endtime), outcome(one.status || "")]);
    return table("Tasks, latest first", ["Type", "About", "User", "Started", "Ended", "Status"], rows);
}

function outcome(status) {
    const known = { OK: "ok", RUNNING: "none", WARNINGS: "attention" };
    return state(status, known[status.split(":")[0]] || "failed");
}

// --- one task -----------------------------------------------------------------------------------------

async function oneTask(upid) {
    const path = below(`${NODE}/tasks`, upid);
    const status = await call("GET", `${path}/status`);
    const view = {
        path, here: location.hash,
        state: element("p", { role: "status" }),
        log: element("pre", { tabIndex: 0, role: "log", ariaLabel: "Log" }),
        stop: action("Stop", "DELETE", path, { confirm: "Stop this task?", className: "danger", done: () => say("") }),
        guests: BULK.includes(status.type) ? progress(await call("GET", `${OWN}/guests`)) : null,
    };
    const about = facts([["Id", upid], ["About", status.id], ["User", status.user], ["Started", time(status.starttime)]]);
    setTimeout(() => follow(view).catch(error => say(error.message, "failed")));
    return [
        element("h2", {}, `Task ${status.type}`), about, view.state,
        element("p", {}, view.stop, button("Download the log", () => download(path, upid)), link("All tasks", "#/tasks")),
        ...(view.guests ? [section("Guests", view.guests.node)] : []),
        section("Log", view.log),
    ];
}

// Until the task has ended, or somebody looks at something else.
async function follow(view) {
    for (let next = 0; location.hash === view.here;) {
        const status = await call("GET", `${view.path}/status`);
        const lines = await logFrom(view.path, next);
        if (location.hash !== view.here) return;
        view.log.append(...lines.map(one => `${one}\n`));
        lines.forEach(one => view.guests?.take(one));
        next += lines.length;
        const ended = status.status !== "running";
        view.stop.hidden = ended;
        const word = ended ? status.exitstatus || "unknown" : "RUNNING";
        view.state.replaceChildren(outcome(word), ` ${status.explanation || ""}`);
        if (ended && lines.length < LINES) return;
        await new Promise(done => setTimeout(done, lines.length < LINES ? FOLLOW : 0));
    }
}

async function logFrom(path, start) {
    const answer = await call("GET", `${path}/log`, { start, limit: LINES });
    const isEmpty = start === 0 && answer[0]?.t === "no content"; // an empty log says so
    return isEmpty ? [] : answer.map(one => one.t);
}

async function download(path, upid) {
    const answer = await call("GET", `${path}/log`, { limit: 0 });
    const text = answer.map(one => `${one.t}\n`).join("");
    const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    element("a", { href: address, download: `${upid.replaceAll(":", "_")}.log` }).click();
    URL.revokeObjectURL(address);
    say("");
}

// What the log says last of each guest: its lines begin with `ID (NAME): `.
function progress(guests) {
    const cells = guests.map(one => ({
        id: one.id, name: one.name, said: element("span", {}, "–"),
        begins: one.name ? `${one.id} (${one.name}): ` : `${one.id}: `,
    }));
    const take = line => {
        const found = cells.find(one => line.includes(one.begins));
        if (found) found.said.textContent = line.slice(line.indexOf(found.begins) + found.begins.length);
    };
    const rows = cells.map(one => [one.id, one.name, one.said]);
    return { take, node: table("What happens to each guest", ["Id", "Name", "Progress"], rows) };
}
