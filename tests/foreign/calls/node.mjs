// Calls a server with Connect's clients for Node, by each protocol: node.mjs PERSON, where PERSON is JSON. Prints what came
// of it, as JSON.
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";

import { AuthService } from "./gen/chancery/v1/auth_service_pb.js";
import { KeyService } from "./gen/chancery/v1/key_service_pb.js";
import { refusal, signIn, streamStory, unaryStory, waitingStory } from "./story.mjs";

const person = JSON.parse(process.argv[2]);
const { issuer: baseUrl, watcher, versions = ["1.1", "2"] } = person;
const transports = {};
for (const httpVersion of versions) {
  transports[`JSON, HTTP/${httpVersion}`] = createConnectTransport({ baseUrl, httpVersion, useBinaryFormat: false });
  transports[`gRPC-Web, HTTP/${httpVersion}`] = createGrpcWebTransport({ baseUrl, httpVersion });
}

const came = {};
for (const [name, transport] of Object.entries(transports)) {
  const auth = createClient(AuthService, transport);
  came[name] = await unaryStory(transport, person);
  // What the server says, since a client that sets the deadline itself does not wait for it.
  const late = name.startsWith("JSON") ? { "connect-timeout-ms": "0" } : { "grpc-timeout": "0m" };
  came[name].late = await refusal(auth.login(signIn(person), { headers: late }));
  came[name].inTime = await refusal(auth.login(signIn(person), { timeoutMs: 20_000 }));
  if (!name.startsWith("JSON")) came[name].streams = await streamStory(transport, person, watcher);
}
const [json, web] = ["JSON", "gRPC-Web"].map((name) => transports[`${name}, HTTP/${versions[0]}`]);
// Streams and the binary format are not to be had by JSON: a program has to be told what is.
came.streamByJson = await refusal(createClient(KeyService, json).watchJwks({})[Symbol.asyncIterator]().next());
const binary = createConnectTransport({ baseUrl, httpVersion: versions[0] });
came.binary = await createClient(KeyService, binary).getJwks({}).catch(({ rawMessage }) => rawMessage);
came.waiting = await waitingStory(json, { ...person, login: "waits" });
came.waitingByWeb = await waitingStory(web, { ...person, login: "waits-too" });
console.log(JSON.stringify(came));
process.exit(0);
