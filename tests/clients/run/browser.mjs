// Runs a program or opens a page in Chromium.
//
//     browser.mjs CHROMIUM PROGRAM.js [THEN]   a page with nothing but this program, and THEN right after it
//     browser.mjs CHROMIUM PROGRAM.mjs QUERY   a page with a program that esbuild puts together
//     browser.mjs CHROMIUM PAGE.html QUERY     a page, opened as a file
//
// What is written to the page's console is said as `log WORDS` or `error WORDS`. Besides what commands.mjs has there are
//
//     {"until":"EXPRESSION"}           waits until it is true
//     {"type":["SELECTOR","TEXT"]}     types into an element, instead of what stands there, and presses Enter
//     {"screenshot":"FILE.png"}

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";
import { bundle } from "./bundle.mjs";
import { obey, say } from "./commands.mjs";

const [chromium, file, more = ""] = process.argv.slice(2);

/** How long anything in the page may take, in milliseconds. */
const DEADLINE = 30_000;

async function address() {
  if (extname(file) === ".html") return `${pathToFileURL(file)}?${more}`;
  if (extname(file) === ".mjs") return `${await serve(await bundle(file), "")}?${more}`;
  return serve(await readFile(file, "utf8"), more);
}

/** Serves a page with a program, and another one behind it. */
async function serve(program, then) {
  const server = createServer((request, response) => {
    const page = `<!doctype html><div id="root"></div><script src="/program.js"></script><script>${then}</script>`;
    const [kind, content] = request.url === "/program.js" ? ["text/javascript", program] : ["text/html", page];
    response.writeHead(200, { "Content-Type": `${kind}; charset=utf-8` }).end(content);
  });
  await once(server.listen(0, "localhost"), "listening");
  return `http://localhost:${server.address().port}/`;
}

// One after the other, so that lines keep their order although words have to be asked for.
let spoken = Promise.resolve();
function listen(message) {
  const words = message.args().map((arg) => arg.jsonValue().then(text, () => arg.toString()));
  spoken = spoken.then(async () => say(`${message.type()} ${(await Promise.all(words)).join(" ")}`));
}
const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// No sandbox, which root and many containers cannot have: it loads pages of ours alone.
const browser = await puppeteer.launch({
  executablePath: chromium,
  // The browser ends with this process, however that ends.
  pipe: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"],
  defaultViewport: { width: 1280, height: 800 },
});
const page = await browser.newPage();
page.setDefaultTimeout(DEADLINE);
page.on("console", listen);
page.on("pageerror", (error) => say(`uncaught ${error.message}`));
await page.goto(await address());

await obey({
  evaluate: (expression) => page.evaluate(expression),
  until: (expression) => page.waitForFunction(expression).then(() => true),
  screenshot: (path) => page.screenshot({ path }).then(() => path),
  type: async ([selector, words]) => {
    await page.click(selector, { count: 3 });
    await page.keyboard.press("Backspace");
    await page.type(selector, words);
    await page.keyboard.press("Enter");
  },
});
await browser.close();
process.exit();
