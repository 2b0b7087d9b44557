// Calls by grpc-web. The client below is what protoc-gen-grpc-web writes for a service, but made at run time: that program
// is not among npm's packages. The messages are those of protoc-gen-es.
import { ConnectError } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import grpcWeb from "grpc-web";

import { AccountService } from "./gen/chancery/v1/account_service_pb.js";
import { AuthService } from "./gen/chancery/v1/auth_service_pb.js";
import { KeyService } from "./gen/chancery/v1/key_service_pb.js";
import { signIn, told } from "./story.mjs";

const { GrpcWebClientBase, MethodDescriptor, MethodType } = grpcWeb;

class Client {
  constructor(service, hostname, format) {
    const base = new GrpcWebClientBase({ format });
    for (const method of service.methods) {
      const path = `/${service.typeName}/${method.name}`;
      const unary = method.methodKind === "unary";
      const descriptor = new MethodDescriptor(
        path, unary ? MethodType.UNARY : MethodType.SERVER_STREAMING, Object, Object,
        (message) => toBinary(method.input, message), (bytes) => fromBinary(method.output, bytes));
      const call = (unary ? base.unaryCall : base.serverStreaming).bind(base);
      this[method.localName] = (message, metadata = {}) =>
        call(`${hostname}${path}`, create(method.input, message), metadata, descriptor);
    }
  }
}

/** What a call is refused with. The details are read by Connect's reader; grpc-web leaves them to its users. */
const refusal = (call) => call.then(() => "it succeeded", ({ metadata, message }) => {
  const refused = findTrailerError(new Headers(metadata ?? {}));
  return refused ? told(ConnectError.from(refused)) : message;
});

const firstOf = (stream) =>
  new Promise((first, failed) => stream.on("data", first).on("error", failed)).finally(() => stream.cancel());

/** The same as `unaryStory`, as far as it goes, with the first message of a stream. */
export async function grpcWebStory(person, format) {
  const client = (service) => new Client(service, person.issuer, format);
  const [auth, account, keys] = [AuthService, AccountService, KeyService].map(client);
  const { clientId, audience } = person;
  const deadline = { deadline: String(Date.now() + 20_000) };
  const { result: { value: first } } = await auth.login(signIn(person), deadline);
  const { tokens } = await auth.refresh({ clientId, refreshToken: first.refreshToken, audience });
  const { sessions } = await account.listMySessions({}, { authorization: `Bearer ${tokens.accessToken}` });
  // In its binary format, grpc-web gives out the messages of a stream once the stream has ended.
  const keySet = format === "text" ? await firstOf(keys.watchJwks({})) : await keys.getJwks({});
  return {
    refreshed: tokens.sessionId === first.sessionId,
    current: sessions.filter(({ current }) => current).map(({ sessionId }) => sessionId === first.sessionId),
    keys: keySet.keys.length > 0,
    wrongPassword: await refusal(auth.login(signIn({ ...person, password: "a wrong pass phrase" }))),
    noToken: await refusal(account.listMySessions({})),
    noField: await refusal(auth.login({ clientId })),
  };
}
