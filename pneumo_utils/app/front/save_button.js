// Asks the program for a file and hands it to the browser's own download.
function render({ model, el }) {
  const button = document.createElement("button");
  const note = document.createElement("span");
  button.className = "pneumo-save";
  note.className = "pneumo-note";
  note.setAttribute("role", "status");
  el.append(button, note);

  let was_asked = false;
  const say = (words) => (note.textContent = was_asked ? words : ""); // the drop zone speaks unasked
  const line = open_line(model, say);
  const follow = () => {
    button.textContent = model.get("label");
    button.disabled = model.get("disabled");
  };
  const save = ({ message, buffers }) => {
    if (message.kind !== "file") return say("This file could not be made; please try another film.");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([buffers[0]], { type: message.mime }));
    link.download = message.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  button.addEventListener("click", () => {
    was_asked = true;
    line.ask({ kind: "save" }).then(save, () => {}); // without an answer, `say` has been called
  });
  model.on("change", follow);
  follow();
  return () => {
    model.off("change", follow);
    line.close();
  };
}

export default { render };
