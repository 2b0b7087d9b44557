// Uses the generated stubs: a request, an enum, an object of attributes, and the details of an error.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import { SignatureAlgorithm } from "./gen/chancery/v1/algorithm_pb.js";
import { ClientSchema, Grant } from "./gen/chancery/v1/client_service_pb.js";
import { CreateUserRequestSchema, RefusedUserSchema, UserService } from "./gen/chancery/v1/user_service_pb.js";
import { BadRequest_FieldViolationSchema } from "./gen/google/rpc/error_details_pb.js";

const request = create(CreateUserRequestSchema, { user: { name: "ada", attributes: { limits: { max: 5 } } } });
const attributes = fromBinary(CreateUserRequestSchema, toBinary(CreateUserRequestSchema, request)).user?.attributes;
const client = create(ClientSchema, { grants: [Grant.DIRECT_LOGIN], algorithm: SignatureAlgorithm.ES256 });
const violation = create(BadRequest_FieldViolationSchema, { field: "attributes.limits.max" });
const refused = create(RefusedUserSchema, { row: 1n, fieldViolations: [violation] });
export const field: string | undefined = refused.fieldViolations[0]?.field;
export const kept = { attributes, algorithm: client.algorithm, method: UserService.method.createUser.name };
