"""Replicas of a server on one database, and load on them from ordinary gRPC clients."""

import collections
import pathlib
import signal
import subprocess
import threading
import uuid

import grpc

import client

PASSWORD = "a long pass phrase for replicas"


def run(*command, **more):
    """Run a command and return what it prints."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


class Replica:
    """A server whose ports stay the same over restarts."""

    def __init__(self, binary, flags, log):
        self.binary, self.flags, self.log = binary, flags, log
        self.process, self.at = None, dict.fromkeys(("grpc", "http", "telemetry"), "127.0.0.1:0")

    def start(self, *more):
        """Start it; the same flags as before, and perhaps more from now on."""
        self.flags = [*self.flags, *more]
        listen = [word for name, address in self.at.items() for word in (f"--{name}", address)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", *listen, *self.flags], stdout=subprocess.PIPE, stderr=log, text=True
            )
        ready = self.process.stdout.readline()
        if not ready.startswith("ready "):
            raise SystemExit(f"a replica did not start: {pathlib.Path(self.log).read_text()}")
        words = dict(word.split("=", 1) for word in ready.split()[1:])
        self.at = {name: words[name] for name in self.at}
        return self

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            raise SystemExit(f"a replica ended with {self.process.returncode}")

    def restart(self, *more):
        self.stop()
        self.start(*more)


class Server(client.Server):
    """A channel to some addresses, as the service config says."""

    def __init__(self, target, config, ca=None):
        options = [("grpc.service_config", config), ("grpc.enable_retries", 1), ("grpc.max_reconnect_backoff_ms", 500)]
        # A list of addresses is no name of a host (RFC 3986 §3.2.2); a name in DNS would be one.
        options.append(("grpc.default_authority", "localhost"))
        # Each client has connections of its own, as separate programs would.
        options.append(("grpc.use_local_subchannel_pool", 1))
        if ca is None:
            self.channel = grpc.insecure_channel(target, options=options)
        else:
            options.append(("grpc.ssl_target_name_override", "localhost"))
            self.channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(ca), options=options)
        self.pool = client.DescriptorPool(client.ProtoReflectionDescriptorDatabase(self.channel))


class Load:
    """Clients that sign in, fetch keys, refresh many times and sign out, over and over."""

    def __init__(self, servers, users):
        self.ended, self.calls, self.failures = threading.Event(), collections.Counter(), collections.Counter()
        self.counting = threading.Lock()
        work = zip(servers, users, strict=True)
        self.workers = [threading.Thread(target=self.work, args=(server, user)) for server, user in work]

    def __enter__(self):
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for worker in self.workers:
            worker.join()

    def call(self, server, name, message):
        failure = answer = None
        try:
            answer = server.call(name, message)
        except grpc.RpcError as error:
            failure = f"{name}: {error.code().name}: {error.details()}"
        with self.counting:
            self.calls[name] += 1
            if failure:
                self.failures[failure] += 1
        return answer

    def work(self, server, user):
        while not self.ended.is_set():
            answer = self.call(server, "AuthService/Login", {"client_id": "app", "login": user, "password": PASSWORD})
            if answer is None:
                continue
            token = answer["tokens"]["refresh_token"]
            for _ in range(200):
                self.call(server, "KeyService/GetJwks", {})
                request = {"client_id": "app", "refresh_token": token, "request_id": str(uuid.uuid4())}
                answer = self.call(server, "AuthService/Refresh", request)
                token = answer["tokens"]["refresh_token"] if answer else token
                if self.ended.is_set():
                    break
            self.call(server, "AuthService/Logout", {"client_id": "app", "refresh_token": token})

    def report(self):
        """One line, and the commonest failures."""
        lines = [f"{sum(self.calls.values())} calls ({dict(self.calls)}), {sum(self.failures.values())} failed"]
        lines += [f"{times} times {failure}" for failure, times in self.failures.most_common(10)]
        return "\n".join(lines)
