// What stands in for `k6/ws` and `k6`: see load.mjs, which makes it.

export default globalThis.k6.ws;
export const check = globalThis.k6.check;
