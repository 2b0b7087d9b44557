"""Checks tokens while their issuer does not answer, or never ends to, and the key set was never fetched, is due, or is
too old."""

import time

from verifiers import AT_ONCE, RECOVERY, at_once, for_each

# The key set is due after FRESH seconds, and too old after USABLE; a fetch that gets no answer takes 2 seconds.
FRESH, USABLE, FETCH = 2, 10, 2
KEYS, KNOWN, FOREIGN = (
    "no key set is 503, and soon",
    "a key set that is due is used",
    "keys of another issuer refused",
)


def unknown(verifier, results, token, what):
    """Nobody can know; those who ask together wait for one fetch together, and then nobody waits."""
    answers = verifier.check_at_once(4, token)
    slowest = max(answer["seconds"] for answer in answers)
    results.record(KEYS, verifier.language, slowest < FETCH + AT_ONCE, f"{what}: {slowest:.1f} s")
    again = verifier.check_at_once(4, token)
    at_once(results, KEYS, verifier, again, f"{what}, again")
    codes = {answer["http"] for answer in answers + again}
    results.record(KEYS, verifier.language, codes == {503}, f"{what}: {answers + again}")


def during(issuer, verifier, results, tokens, since, cold):
    good, stranger, _ = tokens
    unknown(cold[verifier.language], results, good, "never fetched")
    time.sleep(max(0, since + FRESH + 0.5 - time.monotonic()))
    while time.monotonic() < since + USABLE - 4:
        answers = verifier.check_at_once(4, good)
        at_once(results, KNOWN, verifier, answers, "due")
        results.record(KNOWN, verifier.language, all(a["ok"] for a in answers), f"due: {answers}")
        time.sleep(0.3)
    # A fetch may have begun just before.
    answer = verifier.check(stranger, True)
    soon = answer["seconds"] < 2 * FETCH + AT_ONCE
    results.record(KEYS, verifier.language, answer["http"] == 503 and soon, f"an unknown key: {answer}")
    time.sleep(max(0, since + USABLE + 0.5 - time.monotonic()))
    unknown(verifier, results, good, "too old")


def recovery(issuer, verifier, results, tokens, cold):
    good, stranger, foreign = tokens
    for each in (verifier, cold[verifier.language]):
        since = time.monotonic()
        while not (answer := each.check(good, True))["ok"] and time.monotonic() < since + RECOVERY:
            time.sleep(0.2)
        results.record("recovery after an outage", verifier.language, answer["ok"], f"keys: {answer}")
    answer = verifier.check(stranger, True)
    results.record(KEYS, verifier.language, answer["http"] == 401, f"a key that is known not to exist: {answer}")
    answer = verifier.check(foreign, False)
    results.record(FOREIGN, verifier.language, answer["http"] == 401, f"{answer}")


def check_key_outage(issuer, verifiers, results):
    issuer.publish("keys", ttl=60)
    status = {"status_list": {"idx": 1, "uri": issuer.uri("keys")}}
    tokens = [issuer.token(status, key) for key in (issuer.key, issuer.stranger, issuer.foreign)]
    endless = [v.again(f"{issuer.url}/statuslists/drip") for v in verifiers]
    due = [v.again(KEYS_SECONDS=f"[{FRESH}, {USABLE}]") for v in verifiers]
    cold = {}
    try:
        for verifier in due + endless:
            verifier.read()
        for_each(lambda _, v: unknown(v, results, tokens[0], "an answer that takes for ever"), issuer, endless)
        for verifier in due:
            results.expect_accepted(KNOWN, verifier, "before", tokens[0], True)
        since = time.monotonic()
        issuer.freeze()
        cold.update((v.language, v.again()) for v in verifiers)
        for verifier in cold.values():
            verifier.read()
        for_each(during, issuer, due, results, tokens, since, cold)
        issuer.thaw()
        for_each(recovery, issuer, due, results, tokens, cold)
    finally:
        issuer.thaw()
        for verifier in [*due, *endless, *cold.values()]:
            verifier.stop()
