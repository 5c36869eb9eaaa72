// Asks the kernel for a file and hands it to the browser's own download.
function render({ model, el }) {
  const button = document.createElement("button");
  button.className = "pneumo-save";
  const follow = () => {
    button.textContent = model.get("label");
    button.disabled = model.get("disabled");
  };
  const save = (message, buffers) => {
    if (message.kind !== "file") return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([buffers[0]], { type: message.mime }));
    link.download = message.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  button.addEventListener("click", () => model.send({ kind: "save" }));
  model.on("change", follow);
  model.on("msg:custom", save);
  follow();
  el.append(button);
  return () => {
    model.off("change", follow);
    model.off("msg:custom", save);
  };
}

export default { render };
