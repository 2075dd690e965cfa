// Reports what users do with answers: copies, clicks on marked buttons, leaving. No dependency.
//
//   <script src="assay-events.js" data-endpoint="/assay/events" data-session="visit-7" defer></script>
//   <article data-assay-interaction="ID OF THE ANSWER">…
//     <button data-assay-event="rated" data-assay-value='"up"'>👍</button>
//     <button data-assay-event="reported">Report</button>
//   </article>
//
// While an answer is awaited, its element has `data-assay-pending`: who leaves then has abandoned it.
// Call `assayEvent("retried", { interaction: "ID" })` for what no button does.
//
// The endpoint is one of your own server, which passes the events on: Assay takes nothing from foreign
// web pages, and its token does not belong into a browser. `serve.py` beside this file shows how.
(() => {
  const { endpoint = "/assay/events", session } = document.currentScript.dataset;

  const report = (kind, about = {}) => {
    // Only pages over https or on localhost have `randomUUID`.
    const event = { id: crypto.randomUUID?.(), kind, session, at: new Date().toISOString(), ...about };
    return navigator.sendBeacon(endpoint, new Blob([JSON.stringify(event)], { type: "application/json" }));
  };
  window.assayEvent = report;

  // The answer that a node stands in.
  const answer = (node) => {
    const element = node instanceof Element ? node : node?.parentElement;
    return element?.closest("[data-assay-interaction]")?.dataset.assayInteraction;
  };

  document.addEventListener("copy", () => {
    const interaction = answer(getSelection()?.anchorNode);
    if (interaction) report("copied", { interaction });
  });

  document.addEventListener("click", ({ target }) => {
    const button = target instanceof Element && target.closest("[data-assay-event]");
    const interaction = button && answer(button);
    if (!interaction) return;
    const { assayEvent: kind, assayValue: value } = button.dataset;
    report(kind, { interaction, value: value && JSON.parse(value) });
  });

  addEventListener("pagehide", () => {
    const interaction = answer(document.querySelector("[data-assay-pending]"));
    if (interaction) report("abandoned", { interaction });
    else if (session) report("left");
  });
})();
