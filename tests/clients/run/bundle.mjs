// Puts a program and what it imports into one text, with esbuild, which also takes the types out of TypeScript.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** What printed programs take for granted: names they use, and that somebody uses theirs. */
const AROUND = {
  "events/client.ts": {
    before: `
      import { useEffect, useState } from "react";
      const WS_BASE_URL = new URLSearchParams(location.search).get("server");`,
    after: `export { ReYNaWebSocket, useReYNaWebSocket };`,
  },
};

const surroundings = {
  name: "surroundings",
  setup({ onLoad }) {
    for (const [name, { before, after }] of Object.entries(AROUND)) {
      const filter = new RegExp(`/${name.replace(".", "\\.")}$`);
      onLoad({ filter }, async ({ path }) => ({
        contents: `${before}\n${await readFile(path, "utf8")}\n${after}`,
        loader: "ts",
      }));
    }
  },
};

export async function bundle(file, options = {}) {
  const result = await build({
    entryPoints: [file],
    bundle: true,
    write: false,
    format: "iife",
    define: { "process.env.NODE_ENV": '"production"' },
    nodePaths: [fileURLToPath(new URL("../../node_modules", import.meta.url))],
    plugins: [surroundings],
    logLevel: "warning",
    ...options,
  });
  return result.outputFiles[0].text;
}
