"""Uses the generated stubs: a request, an enum, an object of attributes, and the details of an error."""

from google.rpc import error_details_pb2

from chancery.v1 import algorithm_pb2, client_service_pb2, user_service_pb2, user_service_pb2_grpc

user = user_service_pb2.User(name="ada")
user.attributes.update({"limits": {"max": 5}})
request = user_service_pb2.CreateUserRequest(user=user)
assert user_service_pb2.CreateUserRequest.FromString(request.SerializeToString()) == request
client = client_service_pb2.Client(
    client_id="shop",
    grants=[client_service_pb2.GRANT_DIRECT_LOGIN],
    algorithm=algorithm_pb2.SIGNATURE_ALGORITHM_ES256,
)
assert client.algorithm == 2
violation = error_details_pb2.BadRequest.FieldViolation(field="attributes.limits.max")
refused = user_service_pb2.RefusedUser(row=1, field_violations=[violation])
assert refused.field_violations[0].field == "attributes.limits.max"
assert user_service_pb2_grpc.UserServiceStub
