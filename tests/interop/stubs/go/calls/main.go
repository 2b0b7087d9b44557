// Signs in with Connect's client for Go, by JSON and by gRPC-Web, and prints what became of it: main ISSUER PASSWORD.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	chanceryv1 "github.com/chancery-id/chancery/gen/go/chancery/v1"
	"github.com/chancery-id/chancery/gen/go/chancery/v1/chanceryv1connect"
)

// reason returns the code and the reason of a call that was refused.
func reason(err error) string {
	var refused *connect.Error
	if !errors.As(err, &refused) {
		return fmt.Sprint(err)
	}
	for _, detail := range refused.Details() {
		if value, err := detail.Value(); err == nil {
			if info, ok := value.(*errdetails.ErrorInfo); ok {
				return refused.Code().String() + " " + info.GetReason()
			}
		}
	}
	return refused.Error()
}

func calls(issuer, password string, option connect.ClientOption) (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	auth := chanceryv1connect.NewAuthServiceClient(http.DefaultClient, issuer, option)
	login := &chanceryv1.LoginRequest{ClientId: "calls", Login: "grace", Password: password}
	first, err := auth.Login(ctx, connect.NewRequest(login))
	if err != nil {
		return "", err
	}
	pair := first.Msg.GetTokens()
	refresh := &chanceryv1.RefreshRequest{ClientId: "calls", RefreshToken: pair.GetRefreshToken()}
	second, err := auth.Refresh(ctx, connect.NewRequest(refresh))
	if err != nil {
		return "", err
	}
	if second.Msg.GetTokens().GetSessionId() != pair.GetSessionId() || !strings.HasPrefix(second.Header().Get("x-request-id"), "req_") {
		return "", errors.New("another session, or no id of the request")
	}
	login.Password = "a wrong pass phrase"
	_, err = auth.Login(ctx, connect.NewRequest(login))
	return reason(err), nil
}

func main() {
	for name, option := range map[string]connect.ClientOption{"JSON": connect.WithProtoJSON(), "gRPC-Web": connect.WithGRPCWeb()} {
		refused, err := calls(os.Args[1], os.Args[2], option)
		if err != nil || refused != "unauthenticated INVALID_CREDENTIALS" {
			fmt.Fprintln(os.Stderr, name, refused, reason(err))
			os.Exit(1)
		}
	}
}
