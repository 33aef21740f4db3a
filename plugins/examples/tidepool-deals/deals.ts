// What was won, and how it is told.
import { mapping } from "@frigg-host/sdk";

/** A deal as Tidepool sends it. */
export interface Deal {
  id: string;
  title: string;
  contact_id: string;
  amount_cents: number;
  currency: string;
}

/** A deal that was won, with the note as it was planned. */
interface Won {
  contact: string;
  cents: number;
  currency: string;
  note: string;
}

const deals = mapping<Won>("deals");

/**
 * The note for a deal, the same for every try: it is kept before it is sent, because Tidepool recognises a repeated request by
 * its key only if it says the same again.
 */
export async function noteOf(deal: Deal): Promise<string> {
  const before = await deals.get(deal.id);
  if (before) return before.note;
  let cents = deal.amount_cents;
  let count = 1;
  for await (const [, won] of deals.entries()) {
    if (won.contact !== deal.contact_id || won.currency !== deal.currency) continue;
    cents += won.cents;
    count++;
  }
  const note = `Won: ${deal.title}, ${money(deal.amount_cents, deal.currency)}. ${count} so far, ${money(cents, deal.currency)} in all.`;
  await deals.put(deal.id, { contact: deal.contact_id, cents: deal.amount_cents, currency: deal.currency, note });
  return note;
}

/** What each contact has brought, by currency, the largest first. */
export async function rows(): Promise<{ contact: string; deals: number; total: string }[]> {
  const sums = new Map<string, { contact: string; currency: string; deals: number; cents: number }>();
  for await (const [, { contact, currency, cents }] of deals.entries()) {
    const key = JSON.stringify([contact, currency]);
    const sum = sums.get(key) ?? { contact, currency, deals: 0, cents: 0 };
    sums.set(key, { ...sum, deals: sum.deals + 1, cents: sum.cents + cents });
  }
  return [...sums.values()]
    .sort((a, b) => b.cents - a.cents)
    .map((sum) => ({ contact: sum.contact, deals: sum.deals, total: money(sum.cents, sum.currency) }));
}

function money(cents: number, currency: string): string {
  return `${(cents / 100).toFixed(2)} ${currency}`;
}
