"""Checks tokens while their issuer accepts connections but never answers: outage.py LANGUAGE=COMMAND… runs only this
part, with verifiers whose commands are given as JSON. Exits with 1 if a check failed."""

import json
import sys
import time

import forge
from key_outage import check_key_outage
from verifiers import AT_ONCE, AUDIENCE, RECOVERY, Results, Verifier, at_once, for_each

# A failed fetch takes 5 seconds and begins when half of `ttl` has passed: the failure is known before `ttl` has passed.
TTL, LIFETIME = 12, 16
SHARED, WAITS, EXPIRY, KNOWN = (
    "concurrent first checks share a fetch",
    "nobody waits for a frozen issuer",
    "last list until exp, then 503",
    "revoked is 401, unknown is 503",
)


def first_checks(issuer, verifier, results):
    """Check the same token four times at once; the list must be fetched once."""
    name = f"{verifier.language}-outage"
    answers = verifier.check_at_once(4, issuer.at(name, 1))
    results.record(SHARED, verifier.language, all(a["ok"] for a in answers), f"{answers}")
    count = issuer.count(f"/statuslists/{name}")
    results.record(SHARED, verifier.language, count == 1, f"{count} fetches")


def during(issuer, verifier, results, exp):
    """Check until the last list has expired."""
    live, ended = (issuer.at(f"{verifier.language}-outage", idx) for idx in (1, 0))
    while True:
        asked_at = time.time()
        answers = verifier.check_at_once(4, live)
        at_once(results, WAITS, verifier, answers, f"{exp - asked_at:.1f} s before exp")
        codes = {answer["http"] for answer in answers}
        if asked_at > exp + 5 or codes == {503}:
            break
        in_time = codes <= {200, 503} and (200 not in codes or asked_at < exp + 1)
        results.record(EXPIRY, verifier.language, in_time, f"{exp - asked_at:.1f} s before exp: {answers}")
        revoked = verifier.check(ended, True)
        if time.time() < exp - 1:
            results.record(KNOWN, verifier.language, revoked["http"] == 401, f"revoked: {revoked}")
        time.sleep(0.2)
    unknown_in_time = codes == {503} and asked_at > exp - 1
    results.record(EXPIRY, verifier.language, unknown_in_time, f"{exp - asked_at:.1f} s before exp: {answers}")


def unseen_list(issuer, verifier, results):
    """A list that was never fetched: all wait for one fetch, together, and then nobody waits."""
    token = issuer.at(f"{verifier.language}-unseen", 1)
    answers = verifier.check_at_once(4, token)
    slowest = max(answer["seconds"] for answer in answers)
    results.record(WAITS, verifier.language, slowest < 5 + AT_ONCE, f"a list never fetched: {slowest:.1f} s")
    again = verifier.check_at_once(4, token)
    at_once(results, WAITS, verifier, again, "a list never fetched, again")
    unknown = {answer["http"] for answer in answers + again} == {503}
    results.record(KNOWN, verifier.language, unknown, f"a list never fetched: {answers + again}")


def recovery(issuer, verifier, results):
    for name in ("outage", "unseen"):
        token, since = issuer.at(f"{verifier.language}-{name}", 1), time.monotonic()
        while not (answer := verifier.check(token, True))["ok"] and time.monotonic() < since + RECOVERY:
            time.sleep(0.2)
        results.record("recovery after an outage", verifier.language, answer["ok"], f"{name}: {answer}")


def check_outage(issuer, verifiers, results):
    def publish(lifetime):
        for verifier in verifiers:
            issuer.publish(f"{verifier.language}-outage", ttl=TTL, exp=int(time.time()) + lifetime)
            issuer.publish(f"{verifier.language}-unseen", ttl=TTL, exp=int(time.time()) + lifetime)
        return int(time.time()) + lifetime

    # Nobody has to start threads later, or to fetch the key set: key_outage.py is about that.
    for verifier in verifiers:
        issuer.publish(f"{verifier.language}-warm")
        verifier.check_at_once(4, issuer.at(f"{verifier.language}-warm", 1))
    exp = publish(LIFETIME)
    for_each(first_checks, issuer, verifiers, results)
    issuer.freeze()
    for_each(during, issuer, verifiers, results, exp)
    for_each(unseen_list, issuer, verifiers, results)
    publish(600)
    issuer.thaw()
    for_each(recovery, issuer, verifiers, results)


def main():
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    issuer, results = forge.Issuer(AUDIENCE), Results(list(given))
    verifiers = [Verifier(n, json.loads(c), f"{issuer.url}/jwks.json", issuer.url) for n, c in given.items()]
    try:
        for verifier in verifiers:
            about = verifier.read()
            results.libraries[verifier.language] = f"{about['library']} {about['version']}"
        check_outage(issuer, verifiers, results)
        check_key_outage(issuer, verifiers, results)
    finally:
        for verifier in verifiers:
            verifier.stop()
    print(results.table())
    failed = results.failed()
    for line in failed:
        print(f"FAILED {line}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
