"use strict";

// The page knows one function, call(): all that it shows and does is an endpoint of the API. Everything from
// outside is put into the page as text, never as markup.

const NODE = "/nodes/localhost";
const VERBS = { GET: "get", POST: "create", PUT: "set", DELETE: "delete" };
const FOLLOW = 1000; // milliseconds between two looks at a task's log

// --- the API --------------------------------------------------------------------------------------

function commandLine(method, path, parameters) {
    const words = Object.entries(parameters).flatMap(([key, value]) => ["-" + key, String(value)]);
    return ["pvefw", "api", VERBS[method], path, ...words];
}

// Parameters go over standard input: arguments can be seen by everybody on the host. What changes something
// is detached, so that a task goes on when this page is closed.
function call(method, path, parameters = {}) {
    const detached = method === "GET" ? [] : ["--detach"];
    const words = ["pvefw", "api", VERBS[method], path, "--stdin", "--output-format", "json", ...detached];
    const process = cockpit.spawn(words, { superuser: "try", err: "message" });
    process.input(JSON.stringify(parameters));
    return new Promise((answered, refused) => {
        process.then(output => answered(understood(output)), error => refused(new Error(reason(error))));
    });
}

function understood(output) {
    const text = output.trim();
    try {
        return JSON.parse(text);
    } catch {
        return text; // the id of a task that was detached
    }
}

function reason(error) {
    if (error.problem === "not-found") return "pvefw is not installed on this host: install pvefw and pvefw-api.";
    return (error.message || String(error)).trim();
}

// --- elements -------------------------------------------------------------------------------------

function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
        if (key in made) made[key] = value;
        else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
}

function table(caption, columns, rows) {
    const head = element("tr", {}, ...columns.map(one => element("th", { scope: "col" }, one)));
    const lines = rows.map(row => element("tr", {}, ...row.map(cell => element("td", {}, cell ?? ""))));
    const made = element("table", {}, element("caption", {}, caption), element("thead", {}, head),
                         element("tbody", {}, ...lines));
    return element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption }, made);
}

function time(seconds) {
    return seconds ? new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC" : "";
}

function say(text) {
    document.getElementById("message").textContent = text;
}

// A button that calls an endpoint, and tells the command line that does the same.
function action(label, method, path, { parameters = () => ({}), confirm = "", shown = null, then, className = "" }) {
    const button = element("button", { type: "button", className }, label);
    let sure = !confirm;
    button.addEventListener("click", async () => {
        if (!sure) {
            sure = true;
            button.textContent = confirm;
            return;
        }
        button.disabled = true;
        const given = parameters();
        const words = commandLine(method, path, shown || given).map(one => /\s/.test(one) ? `'${one}'` : one);
        say(`The same as a command: ${words.join(" ")}`);
        try {
            await then(await call(method, path, given));
        } catch (error) {
            say(error.message);
        } finally {
            button.disabled = false;
            button.textContent = label;
            sure = !confirm;
        }
    });
    return button;
}

function openTask(upid) {
    location.hash = "#/tasks/" + encodeURIComponent(upid);
}

// --- the pages ------------------------------------------------------------------------------------

async function overview() {
    const found = await call("GET", NODE + "/pvefw/status");
    const cards = Object.entries(found.parts).map(([name, part]) =>
        element("article", { className: "card" },
                element("h3", {}, name),
                element("p", { className: part.state }, part.state),
                element("ul", {}, ...part.lines.map(line => element("li", {}, line)))));
    return [element("h2", {}, `Overview of ${found.node}`), element("div", { className: "cards" }, ...cards)];
}

async function certificates() {
    const [found, config] = await Promise.all(
        [call("GET", NODE + "/certificates/info"), call("GET", NODE + "/config")]);
    const rows = found.map(one => [one.filename, (one.san || []).join(", "), one.issuer, time(one.notafter)]);
    const names = Object.keys(config).filter(key => key.startsWith("acme")).sort();
    const order = NODE + "/certificates/acme/certificate";
    const buttons = [
        action("Order", "POST", order, { parameters: () => ({ force: 1 }), then: openTask }),
        action("Renew", "PUT", order, { parameters: () => ({ force: 1 }), then: openTask }),
        action("Delete", "DELETE", NODE + "/certificates/custom",
               { confirm: "Delete the service's certificate?", className: "danger", then: show }),
    ];
    return [
        element("h2", {}, "Certificates"),
        element("section", {}, table("Certificates of this node", ["File", "Names", "Issuer", "Expires"], rows)),
        element("section", {}, table("Ordered names", ["Property", "Value"], names.map(key => [key, config[key]])),
                ...buttons),
        upload(),
    ];
}

function upload() {
    const chain = pemField("Certificate and its chain (PEM)");
    const key = pemField("Private key (PEM); empty to keep the present one");
    const send = action("Install", "POST", NODE + "/certificates/custom", {
        parameters: () => ({ certificates: chain.value, force: 1, ...(key.value.trim() && { key: key.value }) }),
        shown: { certificates: "…", key: "…", force: 1 },
        then: async () => {
            await show();
            say("The certificate is installed.");
        },
    });
    return element("section", {}, element("h2", {}, "Install a certificate of your own"),
                   chain.label, key.label, send);
}

// A text field that takes a file that is dropped on it.
function pemField(title) {
    const area = element("textarea", { spellcheck: false });
    area.addEventListener("drop", async event => {
        event.preventDefault();
        area.value = await event.dataTransfer.files[0].text();
    });
    return { label: element("label", {}, title, area), get value() { return area.value; } };
}

const BULK = [
    ["Start", "start", NODE + "/startall"],
    ["Stop", "stop", NODE + "/stopall"],
    ["Suspend", "suspend", NODE + "/suspendall"],
];

async function guests() {
    const found = await call("GET", NODE + "/pvefw/guests");
    const rows = found.map(one => [one.id, one.name, one.kind, one.state, one.onboot ? "yes" : "no",
                                   one.order, (one.after || []).join(", ")]);
    const plan = element("section", { id: "plan" });
    const buttons = BULK.map(([label, name, path]) =>
        action(`${label} all…`, "GET", `${NODE}/pvefw/plan/${name}`, {
            then: steps => plan.replaceChildren(...planned(label, path, steps)),
        }));
    return [
        element("h2", {}, "Guests"),
        table("Guests of this node", ["Id", "Name", "Kind", "State", "At boot", "Order", "After"], rows),
        element("section", {}, ...buttons),
        plan,
    ];
}

function planned(label, path, steps) {
    const rows = steps.map(one => [one.second === null ? "never" : `${one.second} s`, one.action, one.id, one.name,
                                   one.note]);
    if (!rows.length) return [element("p", {}, "There is nothing to do.")];
    return [
        table(`What ${label.toLowerCase()} will do`, ["Begins after", "Action", "Id", "Name", "Note"], rows),
        action(`${label} these guests`, "POST", path, { then: openTask }),
    ];
}

async function tasks(upid) {
    if (upid) return oneTask(upid);
    const found = await call("GET", NODE + "/tasks", { source: "all", limit: 100 });
    const filter = element("input", { type: "text" });
    const list = element("section");
    const draw = () => {
        const wanted = filter.value.toLowerCase();
        const rows = found
            .filter(one => [one.type, one.id, one.user, one.status].join(" ").toLowerCase().includes(wanted))
            .map(one => [element("a", { href: "#/tasks/" + encodeURIComponent(one.upid) }, one.type), one.id, one.user,
                         time(one.starttime), one.status || ""]);
        list.replaceChildren(table("The latest tasks", ["Type", "About", "User", "Started", "Status"], rows));
    };
    filter.addEventListener("input", draw);
    draw();
    return [element("h2", {}, "Tasks"), element("label", {}, "Only tasks with this text", filter), list];
}

async function oneTask(upid) {
    const path = `${NODE}/tasks/${encodeURIComponent(upid)}`;
    const state = element("p", { role: "status" });
    const log = element("pre", { tabIndex: 0, "aria-label": "Log" });
    const stop = action("Stop", "DELETE", path, { confirm: "Stop this task?", className: "danger", then: () => {} });
    const page = [element("h2", {}, "Task"), element("p", {}, element("code", {}, upid)), state, stop, log,
                  element("a", { href: "#/tasks" }, "All tasks")];
    follow(path, state, stop, log).catch(error => say(error.message));
    return page;
}

async function follow(path, state, stop, log) {
    const here = location.hash;
    for (let next = 0; location.hash === here;) {
        const status = await call("GET", path + "/status");
        const answer = await call("GET", path + "/log", { start: next, limit: 500 });
        const lines = next === 0 && answer[0]?.t === "no content" ? [] : answer; // an empty log says so
        if (location.hash !== here) return;
        log.append(...lines.map(one => one.t + "\n"));
        next += lines.length;
        stop.hidden = status.status !== "running";
        state.textContent = status.exitstatus || status.status;
        state.className = stop.hidden ? (status.exitstatus === "OK" ? "ok" : "attention") : "";
        if (stop.hidden && lines.length < 500) return;
        await new Promise(done => setTimeout(done, FOLLOW));
    }
}

// --- moving between them ----------------------------------------------------------------------------

const PAGES = { overview, certificates, guests, tasks };

async function show() {
    const here = location.hash;
    const [name, argument] = here.replace(/^#\//, "").split("/");
    const page = document.getElementById("page");
    for (const link of document.querySelectorAll("nav a")) {
        if (link.hash === "#/" + (name in PAGES ? name : "overview")) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
    }
    say("");
    page.setAttribute("aria-busy", "true");
    try {
        const made = await (PAGES[name] || overview)(argument && decodeURIComponent(argument));
        if (location.hash === here) page.replaceChildren(...made);
    } catch (error) {
        if (location.hash !== here) return;
        page.replaceChildren(element("h2", {}, "This page could not be shown"));
        say(error.message);
    } finally {
        page.removeAttribute("aria-busy");
    }
}

// As Cockpit does it: "light", "dark" or "auto" in its own storage.
function colours() {
    const style = localStorage.getItem("shell:style") || "auto";
    const dark = style === "dark" || (style === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.classList.toggle("dark", dark);
}

window.addEventListener("hashchange", show);
window.addEventListener("storage", colours);
window.addEventListener("cockpit-style", colours);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colours);
colours();
show();
