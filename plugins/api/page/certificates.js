// Certificates: what there is and when it is renewed, what is served, orders, and pairs from elsewhere.

import { action, below, look, NODE, OWN } from "./api.js";
import { answered, element, facts, say, table, time } from "./elements.js";
import { refresh } from "./navigation.js";

export async function certificates() {
    const status = call("GET", `${OWN}/status`);
    return [element("h2", {}, "Certificates"), ...await Promise.all([
        answered("On this node", Promise.all([call("GET", `${NODE}/certificates/info`), status]), there),
        answered("Managed", call("GET", `${OWN}/certificates`), managed),
        answered("Install a certificate of your own", call("GET", `${OWN}/certificates`), upload),
    ])];
}

function there([files, status]) {
    const plans = status.parts.certificates?.data.certificates || [];
    const rows = files.map(one => {
        const plan = plans.find(other => other.file === one.filename);
        return [details(one), (one.san || []).join(", "), one.issuer, time(one.notafter), renewal(one, plan)];
    });
    return [table("Certificates of this node", ["File", "Names", "Issuer", "Expires", "Next renewal, and why"], rows)];
}

// The line begins with the file and its names, which are in the table already.
function renewal({ filename }, plan) {
    if (!plan) return "not renewed by pvefw";
    const why = plan.line.slice(plan.line.indexOf("): ") + 3);
    return plan.line.startsWith(filename) ? why : plan.line;
}

function details(one) {
    const shown = facts([["Subject", one.subject], ["Fingerprint", one.fingerprint], ["From", time(one.notbefore)],
                         ["Key", `${one["public-key-type"]} ${one["public-key-bits"]} bits`]]);
    const pem = element("pre", { tabIndex: 0, role: "region", ariaLabel: `PEM of ${one.filename}` }, one.pem);
    return element("details", {}, element("summary", {}, one.filename), shown, pem);
}

// --- what is ordered and delivered -----------------------------------------------------------------

function managed(found) {
    const served = element("div", { id: "served" });
    const rows = found.map(one => [one.name, one.names.join(", "), one.account, one.targets.join(", "), one.serves,
                                   time(one["not-after"]) || "not installed", buttons(one, served)]);
    return [table("Certificates that are ordered and delivered",
                  ["Name", "Ordered names", "Account", "Delivered to", "Served at", "Expires", "Actions"], rows), served];
}

function buttons({ name }, served) {
    const path = below(`${OWN}/certificates`, name);
    const force = () => ({ force: 1 });
    const found = rows => table(`What is served for ${name}`, ["Address", "OK", "Problem"],
                                rows.map(one => [one.address, one.ok ? "yes" : "no", one.reason]));
    return [
        action("Order now", "POST", `${path}/acme`, { parameters: force }),
        action("Renew", "PUT", `${path}/acme`, { parameters: force }),
        look("What is served", served, "GET", `${path}/served`, found),
        action("Delete", "DELETE", `${path}/pair`, { confirm: `Delete the certificate ${name}?`, className: "danger" }),
    ];
}

// --- a pair from elsewhere --------------------------------------------------------------------------

function upload(found) {
    const names = found.map(one => one.name);
    const name = element("select", { id: "certificate" },
        ...["pveproxy", ...names.filter(one => one !== "pveproxy")].map(one => element("option", { value: one }, one)));
    const chain = element("textarea", { id: "chain", spellcheck: false, required: true });
    const key = element("textarea", { id: "key", spellcheck: false });
    const files = element("input", { id: "files", type: "file", multiple: true, accept: ".pem,.crt,.cer,.key" });
    const place = () => name.value === "pveproxy" ? `${NODE}/certificates/custom`
        : below(`${OWN}/certificates`, name.value, "pair");
    const send = action("Install", "POST", place, {
        type: "submit",
        parameters: () => ({ certificates: chain.value, force: 1, ...(key.value.trim() && { key: key.value }) }),
        same: (_method, _path, given) => ["pvefw", "cert", "set", "chain.pem", ...(given.key ? ["key.pem"] : []), "--force",
                                          ...(name.value === "pveproxy" ? [] : ["--certificate", name.value])],
        done: async () => {
            await refresh();
            say("The certificate is installed.");
        },
    });
    const made = element("form", { className: "drop" },
        element("p", {}, "Drop the PEM files here, choose them, or paste their text."),
        element("label", { htmlFor: "certificate" }, "Install it as"), name,
        element("label", { htmlFor: "files" }, "PEM files"), files,
        element("label", { htmlFor: "chain" }, "Certificate and its chain (PEM)"), chain,
        element("label", { htmlFor: "key" }, "Private key (PEM); empty to keep the present one"), key,
        element("p", {}, send));
    takeFiles(made, files, chain, key);
    return [made];
}

function takeFiles(made, files, chain, key) {
    const take = async chosen => {
        const text = (await Promise.all([...chosen].map(one => one.text()))).join("\n");
        const blocks = text.match(/-----BEGIN ([A-Z0-9 ]+)-----[^]*?-----END \1-----/g) || [];
        const isKey = one => one.includes("PRIVATE KEY-----");
        if (!blocks.length) return say("It contains neither a certificate nor a key in PEM.", "failed");
        chain.value = blocks.filter(one => !isKey(one)).join("\n") || chain.value;
        key.value = blocks.filter(isKey).join("\n") || key.value;
    };
    files.addEventListener("change", () => take(files.files));
    made.addEventListener("submit", event => event.preventDefault());
    made.addEventListener("dragover", event => event.preventDefault());
    made.addEventListener("drop", event => {
        if (!event.dataTransfer.files.length) return; // a text: the field takes it itself
        event.preventDefault();
        take(event.dataTransfer.files);
    });
}
