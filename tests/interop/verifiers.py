"""Verifier processes, and the results of checks."""

import json
import os
import re
import subprocess
import threading
from pathlib import Path

HERE = Path(__file__).parent
AUDIENCE = "shop-api"
ANSWER_TIMEOUT = 30
# What takes less has not waited for a fetch.
AT_ONCE = 2
# A fetch that gets no answer, and the pause before the next.
RECOVERY = 12


def commands(directory):
    return {
        "python": [f"{directory}/venv/bin/python", f"{HERE}/python/verifier.py"],
        "node": ["node", f"{directory}/node/verifier.mjs"],
        "go": [f"{directory}/go/verifier"],
        "java": ["java", "-cp", f"{directory}/java/classes:{directory}/java/lib/*", "Verifier"],
    }


class Verifier:
    """A verifier process. It runs through the whole story, so it keeps the key set it has fetched."""

    def __init__(self, language, command, url, issuer, **settings):
        self.language, self.lock, self.args = language, threading.Lock(), (language, command, url, issuer)
        self.process = subprocess.Popen(
            [*command, url, issuer, AUDIENCE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            # The clocks do not differ here.
            env={**os.environ, "LEEWAY_SECONDS": "0", **settings},
        )

    def again(self, url=None, **settings):
        """Start another like it, possibly with another key set."""
        language, command, own, issuer = self.args
        return Verifier(language, command, url or own, issuer, **settings)

    def read(self):
        """Read one line; kill the process if it hangs."""
        hung = threading.Timer(ANSWER_TIMEOUT, self.process.kill)
        hung.start()
        line = self.process.stdout.readline()
        hung.cancel()
        if not line:
            raise RuntimeError(f"the verifier in {self.language} ended or hung")
        return json.loads(line)

    def check(self, token, status=False):
        return self.check_at_once(1, token, status)[0]

    def check_at_once(self, times, token, status=True):
        """Check a token several times concurrently; return all answers."""
        with self.lock:
            self.process.stdin.write(json.dumps({"token": token, "status": status, "times": times}) + "\n")
            self.process.stdin.flush()
            return self.read()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def at_once(results, check, verifier, answers, what):
    slowest = max(answer["seconds"] for answer in answers)
    results.record(check, verifier.language, slowest < AT_ONCE, f"{what}: {slowest:.1f} s")


def for_each(step, issuer, verifiers, *more):
    threads = [threading.Thread(target=step, args=(issuer, verifier, *more)) for verifier in verifiers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Results:
    """The results of each check in each language."""

    def __init__(self, languages):
        self.languages, self.checks, self.libraries = languages, {}, {}

    def record(self, check, language, ok, detail):
        failures = self.checks.setdefault(check, {}).setdefault(language, [])
        if not ok:
            failures.append(detail)

    def expect_accepted(self, check, verifier, what, token, status=False):
        answer = verifier.check(token, status)
        self.record(check, verifier.language, answer["ok"] and answer.get("sub"), f"{what}: {answer}")

    def expect_refused(self, check, verifier, what, token, why, status=False, http=401):
        """Expect a refusal for the right reason: the error must match `why`."""
        answer = verifier.check(token, status)
        ok = not answer["ok"] and re.search(why, answer["error"], re.IGNORECASE) and answer["http"] == http
        self.record(check, verifier.language, ok, f"{what}: {answer}, wanted {why!r} and {http}")

    def expect_unknown(self, check, verifier, what, token):
        """Expect that nobody can tell whether the token is revoked."""
        self.expect_refused(check, verifier, what, token, "status unknown", True, 503)

    def failed(self):
        failed = [
            f"{check}, {language}: {detail}"
            for check, languages in self.checks.items()
            for language, details in languages.items()
            for detail in details
        ]
        # A check that was not run for a language has not passed.
        not_run = [
            f"{check}, {language}: was not run"
            for check, languages in self.checks.items()
            for language in self.languages
            if language not in languages
        ]
        return failed + not_run

    def table(self):
        title = {name: f"{name}, {self.libraries[name]}" for name in self.languages}
        rows = [["", *title.values()]]
        for check, languages in self.checks.items():
            cell = {n: "ok" if languages.get(n) == [] else "FAILED" for n in self.languages}
            rows.append([check, *cell.values()])
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)
