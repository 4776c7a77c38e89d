// The page: its views, and its colours. It knows one function, call() of transport.js; all that it shows and
// does is an endpoint of the API.

import { acme } from "./acme.js";
import { boot } from "./boot.js";
import { certificates } from "./certificates.js";
import { guests } from "./guests.js";
import { observers } from "./instances.js";
import { start } from "./navigation.js";
import { node } from "./node.js";
import { overview } from "./overview.js";
import { plugins } from "./plugins.js";
import { tasks } from "./tasks.js";

const darkIsPreferred = matchMedia("(prefers-color-scheme: dark)");

// As Cockpit does it: "light", "dark" or "auto" in its own storage.
function colours() {
    const style = localStorage.getItem("shell:style") || "auto";
    const dark = style === "dark" || (style === "auto" && darkIsPreferred.matches);
    document.documentElement.classList.toggle("dark", dark);
}

window.addEventListener("storage", colours);
window.addEventListener("cockpit-style", colours);
darkIsPreferred.addEventListener("change", colours);
colours();
start({ overview, certificates, acme, tasks, guests, boot, node, plugins, observers });
