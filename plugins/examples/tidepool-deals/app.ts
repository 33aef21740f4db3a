// An integration for the demo vendor: every deal that is won is noted on its contact, with what the contact has brought so far.
import { actions, endpoint, events, isFault, modules, storage, webhooks, type EventInput } from "@frigg-host/sdk";
import { noteOf, rows, type Deal } from "./deals";

const crm = "crm"; // the role
const hookKey = "tidepool-hook"; // in the storage

export const frigg_handle_event = events({
  ON_CREATE: subscribe,
  ON_DELETE: unsubscribe,
  ON_WEBHOOK: webhooks({ tidepool: { "deal.won": onDealWon } }),
});

export const frigg_run_action = actions({ GET_SAMPLE_DATA: sampleData });

async function subscribe(): Promise<void> {
  const { url, secret } = await endpoint("tidepool");
  const hook = await modules.call<{ id: string }>(crm, "create_webhook", { url, secret, events: ["deal.won"] });
  await storage.put(hookKey, hook.id);
}

async function unsubscribe(): Promise<void> {
  const id = await storage.get<string>(hookKey);
  if (!id) return;
  try {
    await modules.call(crm, "delete_webhook", { id });
  } catch (error) {
    if (!isFault(error, "unauthorized", "forbidden")) throw error;
    console.warn("a webhook stays behind in Tidepool:", id, error);
  }
}

async function onDealWon({ data: deal }: { data: Deal }, _: unknown, { integration }: EventInput): Promise<void> {
  if (deal.amount_cents < (integration.config.min_cents ?? 0)) return;
  const body = await noteOf(deal);
  try {
    await modules.call(crm, "create_note", { contact_id: deal.contact_id, body, key: `deal-${deal.id}` });
  } catch (error) {
    if (!isFault(error, "not_found")) throw error;
    console.info("nothing to do: the contact was deleted:", deal.contact_id);
  }
}

async function sampleData() {
  return Promise.all(
    (await rows()).map(async ({ contact, ...row }) => ({ contact: await nameOf(contact), ...row })),
  );
}

async function nameOf(id: string): Promise<string> {
  try {
    return (await modules.call<{ name: string }>(crm, "get_contact", { id })).name;
  } catch (error) {
    if (isFault(error, "not_found")) return `${id} (deleted)`;
    throw error;
  }
}
