// A scorer in JavaScript. What it tries depends on each item's query.
import { write } from "assay:plugin/log@0.1.0";

function attempt(query) {
  try {
    switch (query) {
      case "open":
        return String(require("fs").readFileSync("/etc/passwd"));
      case "environment":
        return JSON.stringify(process.env);
      case "socket":
        // `fetch` is left out when the plugin is built; calling it would trap.
        return String(new WebSocket("ws://127.0.0.1:80/"));
      case "print":
        console.log("printed by javascript");
        return "done";
      case "time":
        return `${Date.now()} ${Math.random()}`;
      case "log":
        write("warn", "logged by javascript");
        return "done";
      case "loop":
        for (;;) {}
      case "allocate": {
        const hoard = [];
        for (;;) hoard.push(new Uint8Array(1 << 20).fill(1));
      }
      default:
        return "done";
    }
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

export const lifecycle = {
  describe() {
    return {
      name: "in-javascript",
      version: "0.1.0",
      title: "A scorer in JavaScript",
      deterministic: true,
      configSchemaJson: '{"type":"object"}',
      batchMax: 500,
    };
  },
  configure(configJson) {
    if (configJson.includes("broken")) {
      throw [{ path: "/broken", message: "this is refused" }];
    }
    return [{ name: "good", capability: "score", kind: { tag: "boolean" }, direction: "higher-is-better" }];
  },
};

export const scoring = {
  scoreBatch(configJson, items) {
    return items.map((item) => {
      if (item.query === "skip") {
        return { tag: "err", val: { tag: "unsupported", val: "not for me" } };
      }
      const score = {
        output: "good",
        value: { tag: "boolean", val: item.actual.includes("good") },
        reason: attempt(item.query),
        evidence: [],
      };
      return { tag: "ok", val: [score] };
    });
  },
};
