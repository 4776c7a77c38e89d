// Which view is shown: the part of the address after #, a view's name and what it is about.

import { element, say, tellCommand } from "./elements.js";

let views = {};

export function start(known) {
    views = known;
    window.addEventListener("hashchange", () => show(true));
    document.querySelector("nav").addEventListener("click", () => tellCommand([]));
    show(false);
}

export function go(place) {
    if (location.hash === `#/${place}`) refresh();
    else location.hash = `#/${place}`;
}

export function refresh() {
    return show(true);
}

async function show(moveFocus) {
    const here = location.hash;
    const [wanted, about] = here.replace(/^#\//, "").split("/");
    const name = wanted in views ? wanted : "overview";
    const page = document.getElementById("page");
    mark(name);
    say("");
    page.ariaBusy = "true";
    const children = await drawn(views[name], about && decodeURIComponent(about));
    if (location.hash !== here) return; // somebody went on meanwhile
    page.replaceChildren(...children);
    page.ariaBusy = null;
    if (moveFocus) page.focus();
}

async function drawn(view, about) {
    try {
        return await view(about);
    } catch (error) {
        return [element("h2", {}, "This view cannot be shown"), element("p", { className: "failed" }, error.message)];
    }
}

function mark(name) {
    for (const link of document.querySelectorAll("nav a")) {
        const current = link.hash === `#/${name}`;
        link.ariaCurrent = current ? "page" : null;
        if (current) document.title = `${link.textContent} – pvefw`;
    }
}
