"use strict";

// How the page reaches the API when Cockpit serves it. The page itself knows one function of this file:
//
//     call(method, path, parameters)  ->  a Promise of the answer
//
// It answers what the endpoint answers, or the id of the task that the endpoint has started, and rejects with
// an Error whose message can be shown. Whoever serves the page otherwise brings a transport.js of their own.

const VERBS = { GET: "get", POST: "create", PUT: "set", DELETE: "delete" };

const cockpitIsThere = new Promise((there, failed) => {
    const script = document.createElement("script");
    script.src = "../base1/cockpit.js";
    script.addEventListener("load", there);
    script.addEventListener("error", () => failed(new Error("Cockpit does not answer.")));
    document.head.append(script);
});

// Parameters go over standard input: arguments can be seen by everybody on the host. What changes something
// is detached, so that a task goes on when this page is closed.
async function call(method, path, parameters = {}) {
    await cockpitIsThere;
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
        return text; // the id of a task
    }
}

function reason(error) {
    if (error.problem === "not-found") return "pvefw is not installed on this host: install pvefw and pvefw-api.";
    return (error.message || String(error)).trim();
}
