// Answers the endpoints of the comparison in TypeScript.
import { http, reply, routes } from "@frigg-host/sdk";

const hello = () => ({ status: 200, text: "hello\n" });

export const frigg_handle_route = routes({
  "GET /hello": hello,
  "GET /hello-user": hello,
  "POST /json": (body) => reply(200, { ok: true, n: Object.keys(body).length }),
  "GET /:integrationId/sub": async () => reply(200, { ok: true, up: await http.get("/me", { role: "stub" }) }),
});

export const frigg_handle_event = () => ({});
