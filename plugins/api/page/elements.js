// Elements of the page. Whatever comes from outside becomes text, never markup.

export function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
        if (key in made && key !== "list") made[key] = value;
        else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
}

export function link(text, hash) {
    return element("a", { href: hash }, text);
}

export function lines(texts) {
    return element("ul", {}, ...texts.map(one => element("li", {}, one)));
}

// A state as a word and a colour; the colour alone says nothing to many.
export function state(word, kind) {
    return element("span", { className: kind }, word);
}

export function section(title, ...children) {
    return element("section", {}, element("h3", {}, title), ...children);
}

// A section that needs an answer; one that fails says so, and leaves the others alone.
export async function answered(title, promise, draw) {
    try {
        return section(title, ...await draw(await promise));
    } catch (error) {
        return section(title, element("p", { className: "failed" }, error.message));
    }
}

// A table; a cell is a text, an element, or an array of them. The first one is the row's heading.
export function table(caption, columns, rows) {
    const head = element("tr", {}, ...columns.map(one => element("th", { scope: "col" }, one)));
    const made = element("table", {}, element("caption", {}, caption), element("thead", {}, head),
                         element("tbody", {}, ...rows.map(row)));
    const region = element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption }, made);
    return rows.length ? region : element("p", { className: "none" }, `${caption}: none.`);
}

function row([first, ...others]) {
    const contents = cell => [cell ?? ""].flat();
    return element("tr", {}, element("th", { scope: "row" }, ...contents(first)),
                   ...others.map(cell => element("td", {}, ...contents(cell))));
}

export function facts(pairs) {
    const shown = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
    return element("dl", {}, ...shown.flatMap(([name, value]) =>
        [element("dt", {}, name), element("dd", {}, value instanceof Node ? value : String(value))]));
}

// Seconds since the epoch, or ISO 8601.
export function time(when) {
    if (!when) return "";
    const date = new Date(typeof when === "number" ? when * 1000 : when);
    return date.toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

export function size(bytes) {
    return typeof bytes === "number" ? `${Math.round(bytes / 1048576)} MiB` : "";
}

export function say(text, kind = "") {
    const message = document.getElementById("message");
    message.textContent = text;
    message.className = kind;
}

// A message that nothing has replaced is over.
export function forget(text) {
    if (document.getElementById("message").textContent === text) say("");
}

// The command line that does the same as what was just done.
export function tellCommand(words) {
    const place = document.getElementById("command");
    const code = element("code", {}, words.map(quoted).join(" "));
    place.replaceChildren(...(words.length ? ["The same as a command: ", code] : []));
}

function quoted(word) {
    return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
