// Usage: node build.mjs WIT_FOLDER SOURCE COMPONENT. Stands beside a node_modules that has componentize-js.
import { readFile, writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [witPath, source, component] = process.argv.slice(2);
const built = await componentize(await readFile(source, "utf8"), {
  witPath,
  worldName: "scorer",
  disableFeatures: ["http", "fetch-event"],
});
await writeFile(component, built.component);
