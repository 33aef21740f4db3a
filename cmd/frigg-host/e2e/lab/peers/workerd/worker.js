// Answers the endpoints of the comparison in workerd.
export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/sub": {
        const up = await fetch("UPSTREAM/me", { headers: { "x-api-key": "k" } });
        return Response.json({ ok: true, up: await up.json() });
      }
      case "/json": {
        const body = await request.json();
        return Response.json({ ok: true, n: Object.keys(body).length });
      }
    }
    return new Response("hello\n");
  },
};
