// Shows what the kernel sends; asks for it once, since what was sent before the view was there is lost.
function render({ model, el }) {
  const box = document.createElement("div");
  const stack = document.createElement("div");
  const film = document.createElement("img");
  const map = document.createElement("img");
  const label = document.createElement("label");
  const slider = document.createElement("input");
  box.className = "pneumo-film";
  stack.className = "stack";
  map.className = "map";
  map.alt = "";
  slider.type = "range";
  slider.min = 0;
  slider.max = 100;
  slider.value = 50;
  label.append("What speaks for pneumonia: hide", slider, "show");
  stack.append(film, map);
  box.append(stack, label);
  el.append(box);

  const fade = () => (map.style.opacity = slider.value / 100);
  const put = (image, buffer) => {
    if (image.src) URL.revokeObjectURL(image.src);
    image.hidden = !buffer;
    if (buffer) image.src = URL.createObjectURL(new Blob([buffer]));
    else image.removeAttribute("src");
  };
  const show = (message, buffers) => {
    if (message.kind !== "show") return;
    box.hidden = !buffers.length;
    put(film, buffers[0]);
    put(map, buffers[1]);
    film.alt = "The film " + message.name;
    label.hidden = buffers.length < 2;
  };
  slider.addEventListener("input", fade);
  fade();
  box.hidden = true;
  model.on("msg:custom", show);
  model.send({ kind: "ready" });
  return () => model.off("msg:custom", show);
}

export default { render };
