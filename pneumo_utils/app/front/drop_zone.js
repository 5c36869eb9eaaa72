// Sends each file in pieces of 1 MiB and waits for the kernel's word after each.
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

  let release = null;
  let busy = false;
  const heard = (message) => {
    if (message.kind === "next" && release) release();
  };
  const send = (message, buffers) =>
    new Promise((resolve) => {
      release = resolve;
      model.send(message, undefined, buffers);
    });

  async function hand_over(files) {
    if (busy || model.get("disabled") || !files.length) return;
    busy = true;
    zone.classList.add("busy");
    const left_out = [];
    let sent = 0;
    try {
      for (const file of files) {
        if (file.size > model.get("max_bytes")) {
          left_out.push(file.name);
          continue;
        }
        await send({ kind: "file", name: file.name, is_first: sent === 0 });
        for (let start = 0; start < file.size; start += PIECE_BYTES) {
          const piece = await file.slice(start, start + PIECE_BYTES).arrayBuffer();
          await send({ kind: "piece" }, [piece]);
          text.textContent = "Sending " + file.name + ": " + Math.round((100 * start) / file.size) + " %";
        }
        sent += 1;
      }
      text.textContent = "Reading ...";
      if (sent) await send({ kind: "end" });
      text.textContent = left_out.length
        ? "Too large, export them smaller: " + left_out.join(", ") + ". " + idle
        : idle;
    } catch (error) {
      text.textContent = "This could not be sent (a folder, perhaps?). " + idle;
    } finally {
      busy = false;
      zone.classList.remove("busy");
      input.value = "";
    }
  }

  const stop = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  const follow = () => zone.classList.toggle("off", model.get("disabled"));
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
    if (event.target !== input && !busy && !model.get("disabled")) input.click();
  });
  zone.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      stop(event);
      zone.click();
    }
  });
  input.addEventListener("change", () => hand_over([...input.files]));
  model.on("msg:custom", heard);
  model.on("change:disabled", follow);
  follow();
  return () => {
    model.off("msg:custom", heard);
    model.off("change:disabled", follow);
  };
}

export default { render };
