// Sends drops in turn, each file in pieces of 1 MiB, and waits for the program's answer after each.
const PIECE_BYTES = 1024 * 1024;

function render({ model, el }) {
  const zone = document.createElement("div");
  const input = document.createElement("input");
  const text = document.createElement("span");
  const idle = "Drop films here, or click to choose. Up to " + Math.round(model.get("max_bytes") / 1e6) + " MB each.";
  zone.className = "pneumo-drop";
  zone.tabIndex = 0;
  zone.setAttribute("role", "button");
  text.setAttribute("role", "status");
  input.type = "file";
  input.multiple = true;
  input.accept = model.get("accept");
  input.hidden = true;
  zone.append(text, input);
  el.append(zone);

  const waiting = []; // drops whose turn has not come
  let busy = false;
  let said = idle;
  let trouble = ""; // with the program, which matters more
  const show = () => {
    const later = waiting.length ? " Then " + waiting.flat().length + " more." : "";
    text.textContent = trouble || said + later;
    zone.classList.toggle("busy", busy);
    zone.classList.toggle("trouble", trouble !== "");
  };
  const say = (words) => {
    said = words;
    show();
  };
  const tell = (words) => {
    trouble = words;
    show();
  };
  const line = open_line(model, tell);
  show();

  async function send_films(files, faults) {
    let sent = 0;
    for (const file of files) {
      if (file.size > model.get("max_bytes")) {
        faults.push(file.name + " is too large, export it smaller.");
        continue;
      }
      await line.ask({ kind: "file", name: file.name, is_first: sent === 0 });
      for (let start = 0; start < file.size; start += PIECE_BYTES) {
        const piece = await file.slice(start, start + PIECE_BYTES).arrayBuffer();
        await line.ask({ kind: "piece" }, [piece]);
        say("Sending " + file.name + ": " + Math.round((100 * start) / file.size) + " %");
      }
      sent += 1;
    }
    say("Reading ...");
    if (sent) await line.ask({ kind: "end" });
  }

  async function hand_over(files) {
    if (!files.length) return;
    waiting.push(files);
    if (busy) return show();
    busy = true;
    const faults = [];
    while (waiting.length) {
      const films = waiting.shift();
      say("One moment ..."); // until the program answers
      try {
        await send_films(films, faults);
      } catch (error) {
        if (error.message === GONE) waiting.length = 0;
        else faults.push(films.map((film) => film.name).join(", ") + " could not be sent (a folder, perhaps?).");
      }
    }
    busy = false;
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
  return line.close;
}

export default { render };
