"""What the stories share: a client that builds all messages from server reflection, and a mail server."""

import email
import email.policy
import queue

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

TIMEOUT = 30


class MailServer:
    """Receives mails and hands them out by subject."""

    def __init__(self):
        self.mails = queue.Queue()

    async def handle_DATA(self, server, session, envelope):
        self.mails.put(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"

    def next(self, subject):
        while True:
            mail = self.mails.get(timeout=TIMEOUT)
            if subject in mail["subject"]:
                return mail["to"], mail.get_body(("plain",)).get_content()


class Server:
    """Calls methods by name, with messages built from reflection."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))

    def prepare(self, name, message):
        service, method = name.rsplit("/", 1)
        found = self.pool.FindServiceByName("chancery.v1." + service).methods_by_name[method]
        request = json_format.ParseDict(message, GetMessageClass(found.input_type)())
        kind = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        path = f"/chancery.v1.{name}"
        read = GetMessageClass(found.output_type).FromString
        return kind(path, request_serializer=type(request).SerializeToString, response_deserializer=read), request

    def call(self, name, message, authorization=None):
        method, request = self.prepare(name, message)
        metadata = [("authorization", authorization)] if authorization else []
        answer = method(request, metadata=metadata, timeout=TIMEOUT)
        return json_format.MessageToDict(answer, preserving_proto_field_name=True)

    def watch(self, name, message, authorization):
        method, request = self.prepare(name, message)
        return method(request, metadata=[("authorization", authorization)])


def expect_refusal(reason, call, *args):
    """Check that the call is refused with this reason in google.rpc.ErrorInfo."""
    try:
        call(*args)
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        info = error_details_pb2.ErrorInfo()
        next(d for d in status_pb2.Status.FromString(details).details if d.Unpack(info))
        assert info.reason == reason, f"{info.reason} instead of {reason}"
        return info
    raise AssertionError(f"not refused, though {reason} was expected")


def step(text):
    print(text, flush=True)
