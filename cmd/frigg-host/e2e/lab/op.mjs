// An OpenID-certified authorization server (npm oidc-provider) that signs in and consents without a person.
//
// LAB_OP in the environment is one JSON object, times in seconds:
//   { port, clients: [client metadata], access_token_ttl, refresh_token_ttl, omit_refresh_token }
//
// login_hint=NAME signs in as NAME (alice if absent); login_hint=deny says no.
// GET  /_ctl           what happened so far: { token_requests, fail, delay }
// POST /_ctl?fail=N    the next N token requests get 503; they count as token requests
// POST /_ctl?delay=MS  every token request waits MS milliseconds before anything else happens to it
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import Provider from 'oidc-provider';

const config = JSON.parse(process.env.LAB_OP);
const scopes = ['openid', 'offline_access', 'profile', 'api:read', 'api:write'];
const state = { token_requests: 0, fail: 0, delay: 0 };

const provider = new Provider(`http://127.0.0.1:${config.port}`, {
  clients: config.clients,
  scopes,
  cookies: { keys: ['lab'] },
  pkce: { required: () => true },
  clockTolerance: 0, // the default keeps an expired token alive for 15 seconds
  ttl: {
    AccessToken: config.access_token_ttl,
    ClientCredentials: config.access_token_ttl,
    RefreshToken: config.refresh_token_ttl,
    AuthorizationCode: 60,
    Grant: 86400,
    IdToken: 600,
    Interaction: 600,
    Session: 86400,
  },
  rotateRefreshToken: !config.omit_refresh_token,
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: () => false,
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: `Person ${id}` }) }),
  loadExistingGrant: (ctx) => grantAll(ctx.oidc.session.accountId, ctx.oidc.client.clientId),
});

async function grantAll(accountId, clientId) {
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope(scopes.join(' '));
  await grant.save();
  return grant;
}

// interact plays the person: name at the sign-in prompt, yes at the consent prompt.
async function interact(ctx) {
  const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  ctx.respond = false; // the provider writes the redirect itself
  return provider.interactionFinished(ctx.req, ctx.res, await answer(prompt.name, params, session), {
    mergeWithLastSubmission: prompt.name !== 'login',
  });
}

async function answer(prompt, params, session) {
  if (params.login_hint === 'deny') return { error: 'access_denied', error_description: 'the person said no' };
  if (prompt === 'login') return { login: { accountId: params.login_hint || 'alice' } };
  const grant = await grantAll(session.accountId, params.client_id);
  return { consent: { grantId: grant.jti } };
}

function control(ctx) {
  if (ctx.method === 'POST') {
    for (const knob of ['fail', 'delay']) if (knob in ctx.query) state[knob] = Number(ctx.query[knob]);
  }
  ctx.body = state;
}

async function token(ctx, next) {
  state.token_requests++;
  if (state.delay > 0) await pause(state.delay);
  if (state.fail > 0) {
    state.fail--;
    ctx.status = 503;
    ctx.body = 'the token endpoint is down';
    return;
  }
  await next();
  if (config.omit_refresh_token && ctx.oidc?.params?.grant_type === 'refresh_token') delete ctx.body.refresh_token;
}

provider.use((ctx, next) => {
  if (ctx.path === '/_ctl') return control(ctx);
  if (ctx.path === '/token') return token(ctx, next);
  if (ctx.path.startsWith('/interaction/')) return interact(ctx);
  return next();
});

createServer(provider.callback()).listen(config.port, '127.0.0.1');
