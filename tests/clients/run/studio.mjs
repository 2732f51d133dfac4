// A page that uses the printed class and the printed hook of the events protocol.
//
//     ?server=ws://HOST:PORT   what the class calls WS_BASE_URL
//     &token=TOKEN             what the hook finds in the browser's storage; without it the hook is not used

import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { ReYNaWebSocket, useReYNaWebSocket } from "../events/client.ts";

globalThis.ReYNaWebSocket = ReYNaWebSocket;

function Studio() {
  const { ws, connected } = useReYNaWebSocket();
  return createElement("p", { id: "state" }, connected && ws ? "connected" : "waiting");
}

const token = new URLSearchParams(location.search).get("token");
if (token) {
  localStorage.setItem("auth_token", token);
  createRoot(document.getElementById("root")).render(createElement(Studio));
}
