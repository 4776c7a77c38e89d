// Plays the recording (an asciicast v2) of a ".terminal" with data-cast, where its picture is.
// Nothing moves before somebody asks for it, and it can be stopped.
const LONGEST_PAUSE = 1.5; // seconds; a reader does not wait for a server

function lines(text) {
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(/\r\n/g, "\n");
}

async function play(screen, events, signal) {
  let shown = 0;
  for (const [at, , text] of events) {
    const pause = Math.min(at - shown, LONGEST_PAUSE) * 1000;
    await new Promise((done) => setTimeout(done, pause));
    if (signal.aborted) return;
    shown = at;
    screen.append(lines(text));
    screen.scrollTop = screen.scrollHeight;
  }
}

function prepare(terminal) {
  const picture = terminal.querySelector("img");
  const screen = Object.assign(document.createElement("pre"), { hidden: true, tabIndex: 0 });
  screen.setAttribute("aria-label", "The recorded terminal");
  screen.setAttribute("role", "region");
  const button = Object.assign(document.createElement("button"), {
    className: "md-button", textContent: "Play the recording", type: "button",
  });
  let running = null;
  button.addEventListener("click", async () => {
    if (running) return running.abort();
    const mine = (running = new AbortController());
    button.textContent = "Stop";
    [picture.hidden, screen.hidden, screen.textContent] = [true, false, ""];
    const answer = await fetch(new URL(terminal.dataset.cast, document.baseURI));
    const [, ...events] = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
    await play(screen, events, mine.signal);
    running = null;
    button.textContent = "Play again";
  });
  terminal.append(screen);
  terminal.after(button);
}

document.querySelectorAll(".terminal[data-cast]").forEach(prepare);
