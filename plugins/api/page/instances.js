// Configured plugins of a family: list, add, change, test, remove; the forms are what the plugin declares.

import { action, below, button, OWN } from "./api.js";
import { answered, element, table } from "./elements.js";
import { datalist, field, form, valuesOf } from "./form.js";

// Where the API has them: `own` is where secrets are masked, and where they are tested.
export const ACME = { family: "dns", list: "/cluster/acme/plugins", own: `${OWN}/acme/plugins`, id: "plugin" };

export function familyOf(family) {
    const path = `${OWN}/instances/${family}`;
    return { family, list: path, own: path, id: "id" };
}

export async function observers() {
    return [element("h2", {}, "Observers"),
            await instances("Notifications and deploy hooks", familyOf("observer"))];
}

export function instances(title, kind, promise = call("GET", kind.list)) {
    return answered(title, promise, found => {
        const editor = element("div");
        const rows = found.map(one => [one[kind.id], one.api || one.type, Number(one.disable) ? "disabled" : "used",
                                       buttons(kind, one, editor)]);
        return [table(title, ["Id", "Plugin", "State", "Actions"], rows), editor,
                button("Add…", async () => editor.replaceChildren(await adding(kind)))];
    });
}

function buttons(kind, one, editor) {
    const id = one[kind.id];
    return [
        button("Change…", async () => editor.replaceChildren(await changing(kind, one, id))),
        action("Test", "POST", below(kind.own, id, "test")),
        action("Remove", "DELETE", below(kind.list, id), { confirm: `Remove ${id}?`, className: "danger" }),
    ];
}

// --- add ----------------------------------------------------------------------------------------------

async function adding(kind) {
    const names = await pluginNames(kind);
    const offered = datalist("plugins", names.map(one => [one.name, one.title]));
    const fields = [field("id", { title: "Id", description: "A name for this instance." }),
                    field("api", { title: "Plugin", list: offered.id, description: `${names.length} are installed.` })];
    const settings = element("div");
    const next = button("Show its settings", async () => {
        const chosen = valuesOf(fields), type = typeOf(kind, chosen.api);
        settings.replaceChildren(await settingsForm(familyOfType(kind, type), chosen.api, {}, {
            label: `Add ${chosen.id}`, method: "POST", path: kind.list, more: { ...chosen, ...(type && { type }) } }));
    }, { type: "submit" });
    return element("div", { className: "card" }, offered, form(fields, next), settings);
}

async function pluginNames({ family }) {
    const isDns = family === "dns";
    const found = await call("GET", `${OWN}/plugins`, isDns ? { providers: 1 } : {});
    const fits = isDns ? found : found.filter(one => one.family === family);
    return fits.map(one => ({ name: one.api && isDns ? one.api : one.name, title: one.title || "" }));
}

// Instances of ACME have a type, and are of two families, which share their ids.
function typeOf({ family }, api) {
    if (family !== "dns") return null;
    return api === "standalone" ? "standalone" : "dns";
}

function familyOfType({ family }, type) {
    return family === "dns" && type !== "dns" ? "challenge" : family;
}

// --- change -------------------------------------------------------------------------------------------

async function changing(kind, { type }, id) {
    const present = await call("GET", below(kind.own, id));
    const made = await settingsForm(familyOfType(kind, type), present.api || type, present.data || {}, {
        label: `Save ${id}`, method: "PUT", path: below(kind.list, id), more: { digest: present.digest } });
    return element("div", { className: "card" }, made);
}

async function settingsForm(family, api, present, { label, method, path, more }) {
    const declared = await call("GET", below(`${OWN}/plugins`, family, api));
    const known = declared.map(one => one.key);
    const others = Object.keys(present).filter(key => !known.includes(key));
    const fields = [
        ...declared.map(one => field(one.key, property(one), present[one.key] ?? "")),
        ...others.map(key => field(key, { optional: true }, present[key])),
    ];
    const parameters = () => ({ ...more, data: encoded(valuesOf(fields)) });
    return form(fields, action(label, method, path, { parameters, type: "submit" }));
}

function property({ type, choices, help, required, default: standard, secret }) {
    return { type, enum: choices, description: help, optional: !required, default: standard, secret };
}

// KEY=VALUE lines, base64-encoded, as Proxmox VE's API takes them.
function encoded(values) {
    const text = Object.entries(values).map(([key, value]) => `${key}=${value}\n`).join("");
    return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
