"use strict";

// How the page reaches the API over HTTPS. The page knows one function of this file:
//
//     call(method, path, parameters)  ->  a Promise of the answer
//
// The ticket is in a cookie that no script can read; here is only the token which shows that it is this page
// that calls. Where there is no session, or it has ended, the login is asked for, and the call made again.

const API = "/api2/json";
const TOKEN = "pvefw-csrf";

async function call(method, path, parameters = {}) {
    for (;;) {
        const answer = await request(method, path, parameters);
        if (answer.status !== 401) return understood(answer);
        await login();
    }
}

async function request(method, path, parameters) {
    const form = new URLSearchParams(parameters);
    const inAddress = method === "GET" || method === "DELETE";
    const address = API + path + (inAddress && form.size ? "?" + form : "");
    const headers = { CSRFPreventionToken: sessionStorage.getItem(TOKEN) ?? "" };
    return fetch(address, { method, headers, body: inAddress ? undefined : form });
}

async function understood(answer) {
    const body = await answer.json();
    if (answer.ok) return body.data;
    const errors = Object.entries(body.errors ?? {});
    const words = errors.map(([key, text]) => (key === "message" ? text : `${key}: ${text}`));
    throw new Error(words.join(" ") || body.message || answer.statusText);
}

// --- the session ----------------------------------------------------------------------------------

let asking = null;

// Calls that are refused together ask once.
function login() {
    asking ??= ask().finally(() => { asking = null; });
    return asking;
}

function ask() {
    const dialog = document.createElement("dialog");
    dialog.className = "login";
    dialog.setAttribute("aria-labelledby", "login-title");
    const title = Object.assign(document.createElement("h2"), { id: "login-title", textContent: "Log in" });
    const user = field("User, such as root@pam", "text", "username");
    const password = field("Password", "password", "current-password");
    const code = field("Code of your app", "text", "one-time-code");
    code.input.inputMode = "numeric";
    const said = Object.assign(document.createElement("p"), { role: "alert" });
    const button = Object.assign(document.createElement("button"), { textContent: "Log in" });
    const form = document.createElement("form");
    form.append(title, user.label, password.label, said, button);
    dialog.append(form);
    dialog.addEventListener("cancel", event => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
    let challenge = null;
    const submit = async () => {
        const shown = challenge ? `totp:${code.input.value}` : password.input.value;
        challenge = await enter(user.input.value, shown, challenge);
        if (!challenge) return true;
        form.insertBefore(code.label, said);
        code.input.focus();
        return false;
    };
    const again = error => {
        said.textContent = error.message;
        challenge = null;
        code.label.remove();
        code.input.value = password.input.value = "";
    };
    return new Promise(done => form.addEventListener("submit", async event => {
        event.preventDefault();
        button.disabled = true;
        said.textContent = "";
        try {
            if (!await submit()) return;
            dialog.remove();
            done();
        } catch (error) {
            again(error);
        } finally {
            button.disabled = false;
        }
    }));
}

function field(text, type, autocomplete) {
    const input = Object.assign(document.createElement("input"), { type, autocomplete, required: true });
    const label = document.createElement("label");
    label.append(text, input);
    return { label, input };
}

// Where a second factor is asked for, the answer is a challenge that has to go with its code.
async function enter(username, password, challenge) {
    const given = { username, password, "http-only": 1, ...(challenge && { "tfa-challenge": challenge }) };
    const data = await understood(await request("POST", "/access/ticket", given));
    if (data.NeedTFA) return data.ticket;
    sessionStorage.setItem(TOKEN, data.CSRFPreventionToken);
    return null;
}

// --- leaving --------------------------------------------------------------------------------------

async function logout() {
    await request("DELETE", "/access/ticket", {});
    sessionStorage.removeItem(TOKEN);
    location.reload();
}

document.addEventListener("DOMContentLoaded", () => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "login.css" });
    document.head.append(style);
    const button = Object.assign(document.createElement("button"), { textContent: "Log out", className: "logout" });
    button.addEventListener("click", logout);
    document.querySelector("header")?.append(button);
});
