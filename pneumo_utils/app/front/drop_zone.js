// Sends drops in turn, each file in pieces of 1 MiB, and waits for the kernel's word after each.
const PIECE_BYTES = 1024 * 1024;

function render({ model, el }) {
  const zone = document.createElement("div");
  const input = document.createElement("input");
  const text = document.createElement("span");
  const idle = "Drop films here, or click to choose. Up to " + Math.round(model.get("max_bytes") / 1e6) + " MB each.";
  zone.className = "pneumo-drop";
  zone.tabIndex = 0;
  zone.setAttribute("role", "button");
  input.type = "file";
  input.multiple = true;
  input.accept = model.get("accept");
  input.hidden = true;
  text.textContent = idle;
  zone.append(text, input);
  el.append(zone);

  const waiting = []; // drops whose turn has not come
  let said = idle;
  let release = null;
  let busy = false;
  const say = (words) => {
    said = words;
    text.textContent = waiting.length ? words + " Then " + waiting.flat().length + " more." : words;
  };
  const heard = (message) => {
    if (message.kind === "next" && release) release();
  };
  const send = (message, buffers) =>
    new Promise((resolve) => {
      release = resolve;
      model.send(message, undefined, buffers);
    });

  async function send_films(files, faults) {
    let sent = 0;
    for (const file of files) {
      if (file.size > model.get("max_bytes")) {
        faults.push(file.name + " is too large, export it smaller.");
        continue;
      }
      await send({ kind: "file", name: file.name, is_first: sent === 0 });
      for (let start = 0; start < file.size; start += PIECE_BYTES) {
        const piece = await file.slice(start, start + PIECE_BYTES).arrayBuffer();
        await send({ kind: "piece" }, [piece]);
        say("Sending " + file.name + ": " + Math.round((100 * start) / file.size) + " %");
      }
      sent += 1;
    }
    say("Reading ...");
    if (sent) await send({ kind: "end" });
  }

  async function hand_over(files) {
    if (!files.length) return;
    waiting.push(files);
    if (busy) return say(said);
    busy = true;
    zone.classList.add("busy");
    const faults = [];
    while (waiting.length) {
      const films = waiting.shift();
      say("One moment ..."); // until the kernel answers
      try {
        await send_films(films, faults);
      } catch (error) {
        faults.push(films.map((film) => film.name).join(", ") + " could not be sent (a folder, perhaps?).");
      }
    }
    busy = false;
    zone.classList.remove("busy");
    say([...faults, idle].join(" "));
  }

  const stop = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  zone.addEventListener("dragover", (event) => {
    stop(event);
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    stop(event);
    zone.classList.remove("over");
    hand_over([...event.dataTransfer.files]);
  });
  zone.addEventListener("click", (event) => {
    if (event.target !== input) input.click();
  });
  zone.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      stop(event);
      zone.click();
    }
  });
  input.addEventListener("change", () => {
    hand_over([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });
  model.on("msg:custom", heard);
  return () => model.off("msg:custom", heard);
}

export default { render };
