// A page for those who are signed in. Everybody else signs in first, and comes back to it.
import { redirect } from "next/navigation";
import { user } from "../../user";

export default async function MembersOnly() {
  if (!(await user())) redirect("/auth/login?return_to=/sign-in/");
  return <><p id="members">For members only.</p><p><a href="/">Home</a></p></>;
}
