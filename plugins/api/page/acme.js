// ACME: the names that are ordered, accounts, plugin instances, and a trial of them.

import { action, below, look, NODE, OWN } from "./api.js";
import { answered, element, facts, lines, table } from "./elements.js";
import { datalist, field, form, valuesOf } from "./form.js";
import { ACME, instances } from "./instances.js";

const ALIAS = { title: "Alias", optional: true, description: "The domain in which the DNS record is put instead." };
const ACCOUNTS = "/cluster/acme/account";

export async function acme() {
    const config = call("GET", `${NODE}/config`);
    const accounts = call("GET", ACCOUNTS);
    const plugins = call("GET", ACME.list);
    return [element("h2", {}, "ACME"), ...await Promise.all([
        answered("Names of the certificate", Promise.all([config, accounts, plugins]), names),
        answered("Accounts", accounts, listAccounts),
        answered("Register an account", call("GET", "/cluster/acme/directories"), register),
        instances("Plugin instances", ACME, plugins),
        answered("Test a plugin instance in DNS", plugins, dnsTest),
    ])];
}

// --- names ------------------------------------------------------------------------------------------

// "domain=a.example,plugin=mine" as an object; a part without a name is the first key's.
function properties(text, firstKey) {
    const pair = part => part.includes("=") ? part.split(/=(.*)/s).slice(0, 2) : [firstKey, part];
    return Object.fromEntries(text.split(",").map(pair));
}

function asProperties(values) {
    return Object.entries(values).filter(([, value]) => value).map(([key, value]) => `${key}=${value}`).join(",");
}

function names([config, accounts, plugins]) {
    const numbered = Object.keys(config).filter(key => /^acmedomain\d+$/.test(key)).sort();
    const rows = numbered.map(key => {
        const { domain, plugin, alias } = properties(config[key], "domain");
        return [domain, plugin || "standalone", alias, removal(key, domain)];
    });
    const listed = properties(config.acme || "", "account");
    const others = (listed.domains || "").split(";").filter(Boolean).map(one => [one, "standalone", "", ""]);
    return [table("Ordered names", ["Name", "Plugin instance", "Alias", "Actions"], [...rows, ...others]),
            addName(numbered, plugins), chooseAccount(listed, accounts)];
}

function removal(key, domain) {
    return action("Remove", "PUT", `${NODE}/config`, {
        parameters: () => ({ delete: key }), confirm: `Stop ordering ${domain}?`, className: "danger" });
}

function addName(taken, plugins) {
    const choices = [["", "standalone"], ...plugins.map(one => [one.plugin, one.plugin])];
    const fields = [
        field("domain", { title: "Name", description: "A domain, or *.DOMAIN with a DNS plugin." }),
        field("plugin", { title: "Plugin instance", choices, optional: true, description: "It validates the name." }),
        field("alias", ALIAS),
    ];
    const free = [0, 1, 2, 3, 4, 5].find(number => !taken.includes(`acmedomain${number}`));
    if (free === undefined) return element("p", {}, "No more names can be added.");
    const parameters = () => ({ [`acmedomain${free}`]: asProperties(valuesOf(fields)) });
    return form(fields, action("Add the name", "PUT", `${NODE}/config`, { parameters, type: "submit" }));
}

function chooseAccount(listed, accounts) {
    if (!accounts.length) return element("p", {}, "There is no account yet to order it with.");
    const choices = accounts.map(one => [one.name, one.name]);
    const account = field("account", { title: "Account to order with", choices }, listed.account || "default");
    const parameters = () => ({ acme: asProperties({ ...listed, account: account.value() }) });
    return form([account], action("Use this account", "PUT", `${NODE}/config`, { parameters, type: "submit" }));
}

// --- accounts ---------------------------------------------------------------------------------------

function listAccounts(found) {
    const shown = element("div");
    const rows = found.map(({ name }) => [name, [
        look("View", shown, "GET", below(ACCOUNTS, name), one => accountFacts(name, one)),
        action("Deactivate", "DELETE", below(ACCOUNTS, name),
               { confirm: `Deactivate ${name} for good?`, className: "danger" }),
    ]]);
    return [table("ACME accounts", ["Name", "Actions"], rows), shown];
}

function accountFacts(name, one) {
    return [element("h4", {}, `Account ${name}`), facts([
        ["Status", one.account.status], ["Contact", lines(one.account.contact || [])], ["Directory", one.directory],
        ["Address", one.location], ["Terms agreed to", one.tos]])];
}

function register(directories) {
    const offered = datalist("directories", directories.map(one => [one.url, one.name]));
    const privateCa = "Certificates to trust for a private authority (PEM).";
    const fields = [
        field("directory", { title: "Directory", list: offered.id, description: "The authority's URL." }, directories[0]?.url),
        field("ca-file", { title: "CA file", optional: true, description: privateCa }),
    ];
    const offer = element("div");
    const authority = () => valuesOf(fields);
    const terms = look("Show its terms", offer, "GET", "/cluster/acme/meta", meta => offerOf(meta, authority()), authority);
    return [offered, form(fields, terms), offer];
}

function offerOf(meta, authority) {
    const binding = { optional: !meta.externalAccountRequired };
    const fields = [
        field("name", { title: "Account name" }, "default"),
        field("contact", { title: "E-mail address" }),
        field("eab-kid", { title: "EAB key id", ...binding, description: "From the authority, where it gives one." }),
        field("eab-hmac-key", { title: "EAB key", secret: true, ...binding }),
    ];
    const { termsOfService: url } = meta;
    const agreed = element("input", { type: "checkbox", id: "agreed", required: Boolean(url) });
    const label = element("label", { htmlFor: "agreed" }, ` I agree to the terms of service: ${url || "there are none"}`);
    const parameters = () => ({ ...authority, ...valuesOf(fields), ...(agreed.checked && url && { tos_url: url }) });
    const send = action("Register", "POST", ACCOUNTS, { parameters, same: registerCommand, type: "submit" });
    return form([...fields, { node: element("p", {}, agreed, label) }], send);
}

function registerCommand(_method, _path, given) {
    const options = [["--directory", given.directory], ["--ca-file", given["ca-file"]], ["--eab-kid", given["eab-kid"]],
                     ["--eab-hmac-key-file", given["eab-hmac-key"] && "FILE"]];
    return ["pvefw", "acme", "account", "register", ...options.filter(([, value]) => value).flat(),
            ...(given.tos_url ? ["--accept-tos"] : []), given.name, given.contact];
}

// --- trial ------------------------------------------------------------------------------------------

function dnsTest(plugins) {
    const dns = plugins.filter(one => one.type === "dns");
    if (!dns.length) return [element("p", {}, "There is no DNS plugin instance yet.")];
    const fields = [
        field("plugin", { title: "Plugin instance", choices: dns.map(one => [one.plugin, one.plugin]) }),
        field("domain", { title: "Domain" }),
        field("alias", ALIAS),
    ];
    const explained = "A test record is added, seen at every name server, and removed; the log shows when each happens.";
    return [element("p", {}, explained),
            form(fields, action("Test", "POST", `${OWN}/dns/test`, { parameters: () => valuesOf(fields), type: "submit" }))];
}
