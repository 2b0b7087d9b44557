// Who it is. The proxy sets these headers on every request, and takes away a caller's own. Each value is
// percent-encoded; a header without a value is empty.
import { headers } from "next/headers";

export async function user() {
  const all = await headers();
  const header = (name) => decodeURIComponent(all.get(`x-chancery-${name}`) ?? "");
  const id = header("subject");
  return id ? { id, name: header("name") || id, permissions: header("permissions").split(" ") } : null;
}
