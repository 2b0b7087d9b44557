// Signs out. The page that asks, and the form that does it, are Chancery's: a mere link must not sign anybody out.
export function GET() {
  return new Response(null, { status: 307, headers: { location: "/auth/logout?return_to=/" } });
}
