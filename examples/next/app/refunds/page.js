// A page for those with a permission.
import { user } from "../../user";

export default async function Refunds() {
  const permissions = (await user())?.permissions ?? [];
  if (!permissions.includes("orders.refund")) return <p>You may not refund orders.</p>;
  return <p id="refunds">For clerks only.</p>;
}
