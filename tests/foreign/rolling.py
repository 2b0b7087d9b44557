"""Restarts two replicas in turn under load from ordinary gRPC clients, and counts the calls that fail.

Usage: rolling.py BINARY DATABASE_URL FOLDER ROUNDS SERVICE_CONFIG
"""

import pathlib
import sys
import time

from replicas import PASSWORD, Load, Replica, Server, run

WORKERS = 8
# How long a replica goes on answering after it was told to stop; its clients look at its health all the time.
DRAIN = "2"


def main():
    binary, url, folder, rounds, config = sys.argv[1:]
    config, folder = pathlib.Path(config).read_text(), pathlib.Path(folder)
    key = folder / "sealing.key"
    run(binary, "sealing-key", "generate", "--out", key)
    place = ["--database", url, "--sealing-key-file", str(key), "--data-dir", str(folder)]
    flags = [*place, "--issuer", "http://127.0.0.1:8080", "--drain", DRAIN]
    replicas = [Replica(binary, flags, folder / f"replica-{n}.log").start() for n in range(2)]
    client_flags = ["--public", "--first-party", "--audience", "api", "--alg", "ES256"]
    run(binary, "client", "create", "app", *client_flags, *place)
    users = [f"user{n}" for n in range(WORKERS)]
    for user in users:
        run(binary, "user", "create", user, "--password-stdin", *place, input=PASSWORD)
    target = "ipv4:" + ",".join(replica.at["grpc"] for replica in replicas)
    began = time.monotonic()
    try:
        with Load([Server(target, config) for _ in users], users) as load:
            for n in range(int(rounds)):
                replicas[n % 2].restart()
                # Both take calls before the next one goes.
                time.sleep(1.5)
    finally:
        for replica in replicas:
            replica.process.terminate()
            replica.process.wait()
    print(f"rolling: {rounds} restarts in {time.monotonic() - began:.0f} s: {load.report()}")
    sys.exit(1 if load.failures else 0)


main()
