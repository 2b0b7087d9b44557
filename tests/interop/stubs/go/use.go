// Uses the generated stubs: a request, an enum, an object of attributes, and the details of an error.
package main

import (
	"context"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	chanceryv1 "github.com/chancery-id/chancery/gen/go/chancery/v1"
)

func create(ctx context.Context, channel *grpc.ClientConn) ([]*errdetails.BadRequest_FieldViolation, error) {
	attributes, err := structpb.NewStruct(map[string]any{"limits": map[string]any{"max": 5}})
	if err != nil {
		return nil, err
	}
	request := &chanceryv1.CreateUserRequest{User: &chanceryv1.User{Name: "ada", Attributes: attributes}}
	_, err = chanceryv1.NewUserServiceClient(channel).CreateUser(ctx, request)
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			return bad.FieldViolations, err
		}
	}
	return nil, err
}

func main() {
	_ = create
	client := &chanceryv1.Client{Algorithm: chanceryv1.SignatureAlgorithm_SIGNATURE_ALGORITHM_ES256}
	violation := &errdetails.BadRequest_FieldViolation{Field: "attributes.limits.max"}
	refused := &chanceryv1.RefusedUser{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation}}
	if client.GetAlgorithm() != 2 || refused.GetFieldViolations()[0].GetField() != "attributes.limits.max" {
		panic("the stubs do not keep what they are given")
	}
}
