// The node: its properties, waking other nodes, and merging of equal pages.

import { action, below, NODE, OWN, parametersOf } from "./api.js";
import { answered, element, facts, size, table } from "./elements.js";
import { field, form } from "./form.js";

const CONFIG = `${NODE}/config`;
const ELSEWHERE = ["acme", "delete", "digest", "property"]; // names and accounts are in the view ACME

export async function node() {
    const declared = parametersOf("PUT", CONFIG, ELSEWHERE);
    return [element("h2", {}, "Node"), ...await Promise.all([
        answered("Wake-on-LAN", call("GET", "/nodes"), wake),
        answered("Kernel samepage merging", call("GET", `${OWN}/ksm`), merging),
        answered("Properties", Promise.all([call("GET", CONFIG), declared]), properties),
    ])];
}

function properties([config, declared]) {
    const fields = declared
        .filter(([key]) => !key.startsWith("acmedomain"))
        .map(([key, said]) => field(key, { ...said, optional: true }, String(config[key] ?? "").trimEnd()));
    const parameters = () => changes(fields, config.digest);
    return [form(fields, action("Save", "PUT", CONFIG, { parameters, type: "submit" }))];
}

// Only what was changed; what was emptied is deleted.
function changes(fields, digest) {
    const changed = fields.filter(one => one.value() !== one.present);
    const set = changed.filter(one => one.value() !== "").map(one => [one.key, one.value()]);
    const deleted = changed.filter(one => one.value() === "").map(one => one.key).join(",");
    return { ...Object.fromEntries(set), ...(deleted && { delete: deleted }), digest };
}

function wake(nodes) {
    const others = nodes.filter(one => one.status !== "online");
    const rows = others.map(one => [one.node, one.status, action("Wake", "POST", below("/nodes", one.node, "wakeonlan"), {
        same: () => ["pvefw", "wakeonlan", one.node] })]);
    return [table("Other nodes", ["Node", "State", "Actions"], rows)];
}

function merging(found) {
    const services = Object.entries(found.services).map(([name, one]) => `${name}: ${one.active}, ${one.enabled}`);
    return [
        facts([["State", found.state], ["Saved", size(found.saved)], ["Profit", size(found.profit)],
               ["Pages shared", found["pages-shared"]], ["Pages sharing", found["pages-sharing"]],
               ["Full scans", found["full-scans"]], ["Services", services.join("; ")]]),
        action("Enable", "POST", `${OWN}/ksm/enable`),
        action("Disable", "POST", `${OWN}/ksm/disable`),
        action("Unmerge", "POST", `${OWN}/ksm/unmerge`, { confirm: "Undo all merging now?", className: "danger" }),
    ];
}
