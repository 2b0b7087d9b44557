"""Restarts two replicas in turn under load from ordinary gRPC clients, and counts the calls that fail.

Usage: rolling.py BINARY DATABASE_URL FOLDER ROUNDS SERVICE_CONFIG
"""

import collections
import json
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid

import grpc

import client

PASSWORD = "a long pass phrase for replicas"
WORKERS = 8
# How long a replica goes on answering after it was told to stop; its clients look at its health all the time.
DRAIN = "2"


class Replica:
    """A server on a port of its own, which stays the same over restarts."""

    def __init__(self, binary, flags, log):
        self.binary, self.flags, self.log = binary, flags, log
        self.process, self.grpc = None, "127.0.0.1:0"
        self.start()

    def start(self):
        listen = ["--grpc", self.grpc, "--http", "127.0.0.1:0", "--telemetry", "127.0.0.1:0", "--drain", DRAIN]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", *listen, *self.flags], stdout=subprocess.PIPE, stderr=log, text=True
            )
        ready = self.process.stdout.readline()
        if not ready.startswith("ready "):
            raise SystemExit(f"rolling: a replica did not start: {pathlib.Path(self.log).read_text()}")
        self.grpc = dict(word.split("=", 1) for word in ready.split()[1:])["grpc"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            raise SystemExit(f"rolling: a replica ended with {self.process.returncode}")


class Server(client.Server):
    """One channel to both replicas, as the service config says."""

    def __init__(self, addresses, config):
        options = [("grpc.service_config", config), ("grpc.enable_retries", 1), ("grpc.max_reconnect_backoff_ms", 500)]
        # Each client has connections of its own, as separate programs would.
        options.append(("grpc.use_local_subchannel_pool", 1))
        self.channel = grpc.insecure_channel("ipv4:" + ",".join(addresses), options=options)
        self.pool = client.DescriptorPool(client.ProtoReflectionDescriptorDatabase(self.channel))


def work(server, user, ended, results):
    """Signs in, refreshes many times, and signs out, until the end."""
    calls, failures = collections.Counter(), []

    def call(name, message):
        calls[name] += 1
        try:
            return server.call(name, message)
        except grpc.RpcError as error:
            failures.append(f"{name}: {error.code().name}: {error.details()}")
            return None

    while not ended.is_set():
        answer = call("AuthService/Login", {"client_id": "app", "login": user, "password": PASSWORD})
        if answer is None:
            continue
        token = answer["tokens"]["refresh_token"]
        for _ in range(200):
            call("KeyService/GetJwks", {})
            request = {"client_id": "app", "refresh_token": token, "request_id": str(uuid.uuid4())}
            answer = call("AuthService/Refresh", request)
            token = answer["tokens"]["refresh_token"] if answer else token
            if ended.is_set():
                break
        call("AuthService/Logout", {"client_id": "app", "refresh_token": token})
    results.put((calls, failures))


def main():
    binary, url, folder, rounds, config = sys.argv[1:]
    config = pathlib.Path(config).read_text()
    folder = pathlib.Path(folder)
    key = folder / "sealing.key"
    subprocess.run([binary, "sealing-key", "generate", "--out", key], check=True, stdout=subprocess.DEVNULL)
    place = ["--database", url, "--sealing-key-file", str(key), "--data-dir", str(folder)]
    issuer = ["--issuer", "http://127.0.0.1:8080"]
    replicas = [Replica(binary, place + issuer, folder / f"replica-{n}.log") for n in range(2)]
    client_flags = ["--public", "--first-party", "--audience", "api", "--alg", "ES256"]
    subprocess.run([binary, "client", "create", "app", *client_flags, *place], check=True, stdout=subprocess.DEVNULL)
    for n in range(WORKERS):
        create = [binary, "user", "create", f"user{n}", "--password-stdin", *place]
        subprocess.run(create, input=PASSWORD, text=True, check=True, stdout=subprocess.DEVNULL)
    addresses, ended, results = [replica.grpc for replica in replicas], threading.Event(), queue.Queue()
    workers = [
        threading.Thread(target=work, args=(Server(addresses, config), f"user{n}", ended, results))
        for n in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    began = time.monotonic()
    try:
        for n in range(int(rounds)):
            replica = replicas[n % 2]
            replica.stop()
            replica.start()
            # Both take calls before the next one goes.
            time.sleep(1.5)
    finally:
        ended.set()
        for worker in workers:
            worker.join()
        for replica in replicas:
            replica.process.terminate()
            replica.process.wait()
    calls, failures = collections.Counter(), []
    for _ in workers:
        some_calls, some_failures = results.get()
        calls.update(some_calls)
        failures.extend(some_failures)
    took = time.monotonic() - began
    print(f"rolling: {rounds} restarts in {took:.0f} s, {sum(calls.values())} calls, {len(failures)} failed")
    print(json.dumps(calls, indent=None))
    for failure, times in collections.Counter(failures).most_common(10):
        print(f"rolling: {times} times {failure}")
    sys.exit(1 if failures else 0)


main()
