// What the programs in this folder have in common: what the program they run says goes to standard output, one line each,
// and commands come from standard input, one line of JSON each, answered by a line on standard error:
//
//     {"evaluate":"EXPRESSION"}    ->  answer JSON
//     anything that goes wrong     ->  failed MESSAGE
//
// They end when standard input does.

import { createInterface } from "node:readline";

export const say = (line) => process.stdout.write(`${line.replaceAll("\n", " ")}\n`);

const answer = (line) => process.stderr.write(`${line.replaceAll("\n", " ")}\n`);

/** Carries out commands by name, one after the other, until there are no more. */
export async function obey(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const [[name, argument]] = Object.entries(JSON.parse(line));
    try {
      answer(`answer ${JSON.stringify((await commands[name](argument)) ?? null)}`);
    } catch (error) {
      answer(`failed ${error.message}`);
    }
  }
}
