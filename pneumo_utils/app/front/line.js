// The line to the program behind a panel, put before each front that asks: one message, one answer.
const PATIENCE_S = 8;
const AGAIN = "run its cell again, or reload the page if it shows no cells.";
const GONE = "The program behind this panel has stopped or was started anew; " + AGAIN;
const SILENT =
  "No answer for " + PATIENCE_S + " s: the program behind this panel is busy with something else or out of reach. " +
  "If this lasts, " + AGAIN;

// Calls `tell` with a sentence when the program is gone or silent, and with "" when it answers again.
function open_line(model, tell) {
  let question = null; // the one that waits for its answer

  function end(answer) {
    if (!question) return;
    const { resolve, reject, timer } = question;
    question = null;
    clearTimeout(timer);
    tell(answer ? "" : GONE);
    if (answer) resolve(answer);
    else reject(new Error(GONE));
  }

  function ask(message, buffers) {
    return new Promise((resolve, reject) => {
      const asked = { resolve, reject, timer: setTimeout(() => tell(SILENT), 1000 * PATIENCE_S) };
      const follow = ({ content }) => {
        if (question !== asked) return;
        if (content.execution_state === "idle") return end(null); // done with, unanswered: it knows no such panel
        clearTimeout(asked.timer); // it is at work on it, for as long as it takes
        tell("");
      };
      question = asked;
      try {
        model.send(message, { iopub: { status: follow } }, buffers);
      } catch {
        end(null); // Jupyter has cut the line
      }
    });
  }

  const hear = (message, buffers) => end({ message, buffers });
  const lose = () => {
    end(null);
    tell(GONE);
  };
  model.on("msg:custom", hear);
  model.on("comm_live_update", lose); // of a model that is alive it can only tell the end
  const close = () => {
    model.off("msg:custom", hear);
    model.off("comm_live_update", lose);
  };
  return { ask, close };
}
