// Boot: ESPs and what has drifted on them, kernels and which one boots, the command line.

import { action, below, OWN } from "./api.js";
import { answered, element, facts, lines, size, state, table } from "./elements.js";
import { field, form, valuesOf } from "./form.js";

const BOOT = `${OWN}/boot`;
const COLOURS = { ok: "ok", drift: "attention", missing: "failed", error: "failed" };

export async function boot() {
    const status = call("GET", `${BOOT}/status`);
    return [element("h2", {}, "Boot"), ...await Promise.all([
        answered("EFI system partitions", status, esps),
        answered("Kernels", Promise.all([call("GET", `${BOOT}/kernels`), status.catch(() => ({ kernels: [] }))]), kernels),
        answered("Kernel command line", call("GET", `${BOOT}/cmdline`), commandLine),
        answered("Firmware and loader", call("GET", `${BOOT}/loader`), loader),
    ])];
}

function esps(found) {
    const rows = found.esps.map(one => [one.uuid, one.device, state(one.state, COLOURS[one.state]),
                                        Object.entries(one.loaders).map(loaderLine).join("; "),
                                        one.size ? `${size(one.free)} of ${size(one.size)}` : "", lines(one.problems)]);
    return [table("Managed ESPs", ["UUID", "Device", "State", "Loader", "Free", "What a refresh changes"], rows),
            ...(found.problems.length ? [lines(found.problems)] : []),
            action("Refresh", "POST", `${BOOT}/refresh`)];
}

function loaderLine([name, { version, firmware, kernels: offered }]) {
    return `${name} ${version} (${firmware.join(", ")}): ${offered.length} kernels`;
}

// --- kernels --------------------------------------------------------------------------------------------

function kernels([kept, status]) {
    const versions = [...new Set([...kept.manual, ...kept.automatic, ...status.kernels])];
    const rows = versions.map(one => [one, marks(one, kept, status).join(", "), kernelButtons(one, kept)]);
    const unpin = action("Unpin", "DELETE", `${BOOT}/pin`);
    const add = [field("version", { title: "Version", description: "Kept on the ESPs whatever else is installed." })];
    const parameters = () => valuesOf(add);
    return [table("Kernels on the ESPs", ["Version", "Why", "Actions"], rows),
            ...(kept.pinned || kept["next-boot"] ? [unpin] : []),
            form(add, action("Keep this kernel", "POST", `${BOOT}/kernels`, { parameters, type: "submit" }))];
}

function marks(version, kept, status) {
    return [
        kept.manual.includes(version) && "kept by hand", kept.automatic.includes(version) && "kept automatically",
        kept.pinned === version && "pinned", kept["next-boot"] === version && "once at the next boot",
        status.default === version && "boots by default",
        kept.incomplete[version] && `not complete: ${kept.incomplete[version]}`,
    ].filter(Boolean);
}

function kernelButtons(version, kept) {
    const pin = more => ({ parameters: () => ({ version, ...more }) });
    return [
        action("Pin", "PUT", `${BOOT}/pin`, pin({})),
        action("Next boot only", "PUT", `${BOOT}/pin`, pin({ "next-boot": 1 })),
        ...(kept.manual.includes(version) ? [action("Stop keeping", "DELETE", below(`${BOOT}/kernels`, version))] : []),
    ];
}

// --- the rest -------------------------------------------------------------------------------------------

function commandLine({ cmdline }) {
    const description = "The ESPs get it with the next refresh.";
    const fields = [field("text", { title: "Command line", wide: true, description }, cmdline)];
    return [form(fields, action("Save", "PUT", `${BOOT}/cmdline`, { parameters: () => valuesOf(fields), type: "submit" }))];
}

function loader(found) {
    const there = Object.entries(found["on-esps"]).map(([esp, names]) => `${esp}: ${names.join(", ")}`);
    return [facts([["Firmware", found.firmware], ["Secure boot", found["secure-boot"] ? "on" : "off"],
                   ["Started by", found.loader], ["EFI entry", found.entry], ["On the ESPs", there.join("; ")],
                   ["Suggested loader", found.suggested], ["Evidence", lines(found.evidence)]])];
}
