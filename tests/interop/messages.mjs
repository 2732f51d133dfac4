// The messages of the interoperability tests, for Node and for browsers.

// Message `number`. It says the same again and again, so that compression has something to do, and ends with a phrase
// that comes back 40 messages later: what refers to it reaches farther than a small window.
export function numbered(number) {
  const text = [...Array(32).fill(`snowman \u2603 number ${number}`), phrase(number)].join(", ");
  return JSON.stringify({ n: number, text });
}

// 24 letters that follow no rule a compressor would find.
function phrase(number) {
  let letters = "";
  for (let state = (number % 40) + 1; letters.length < 24; ) {
    state = (state * 75) % 65537;
    letters += String.fromCharCode(97 + (state % 26));
  }
  return letters;
}
