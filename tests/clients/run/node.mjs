// Runs a program that was written for browsers in Node, unchanged.
//
//     node.mjs own|ws PROGRAM [THEN]
//
// Its WebSocket is Node's own or that of the library `ws`. THEN runs right after PROGRAM, in the same scope, before anything
// can have happened on a connection. See commands.mjs.

import { readFileSync } from "node:fs";
import { format } from "node:util";
import { runInThisContext } from "node:vm";
import { WebSocket } from "ws";
import { obey, say } from "./commands.mjs";

const [library, program, then = ""] = process.argv.slice(2);
if (library === "ws") globalThis.WebSocket = WebSocket;

const text = (word) => (word?.constructor === Object ? JSON.stringify(word) : format(word));
console.log = (...words) => say(`log ${words.map(text).join(" ")}`);
console.error = (...words) => say(`error ${words.map(text).join(" ")}`);

runInThisContext(readFileSync(program, "utf8"), program);
runInThisContext(then);
await obey({ evaluate: (expression) => runInThisContext(expression) });
process.exit();
