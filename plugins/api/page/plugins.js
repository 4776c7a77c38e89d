// Installed plugins, and what the doctor finds.

import { look, OWN } from "./api.js";
import { element, lines, state, table } from "./elements.js";
import { field } from "./form.js";

export async function plugins() {
    const found = await call("GET", `${OWN}/plugins`);
    const list = element("div"), diagnosis = element("div");
    const word = field("word", { title: "Only with this text", optional: true });
    const draw = () => list.replaceChildren(listed(found, word.value().toLowerCase()));
    word.node.addEventListener("input", draw);
    draw();
    return [element("h2", {}, "Plugins"),
            element("p", {}, look("Run the doctor", diagnosis, "GET", `${OWN}/doctor`, findings)), diagnosis,
            word.node, list];
}

function listed(found, word) {
    const rows = found
        .map(one => [one.name, one.family, one.distribution, one.version, judged(one.state, one.state === "ok")])
        .filter(cells => cells.map(one => one.textContent ?? one).join(" ").toLowerCase().includes(word));
    return table("Installed plugins", ["Name", "Family", "Distribution", "Version", "State"], rows);
}

function judged(word, well) {
    return state(word, well ? "ok" : "failed");
}

function findings(found) {
    const rows = found.map(one => [one.name, one.family, judged(one.usable ? "usable" : "not usable", one.usable),
                                   one.import_seconds === null ? "" : `${one.import_seconds.toFixed(2)} s`,
                                   lines(one.findings.map(({ severity, what, fix }) => `${severity}: ${what} ${fix}`))]);
    return table("What the doctor finds", ["Name", "Family", "State", "Import", "Findings"], rows);
}
