// A service in Go that uses a guard to check its callers' tokens: go run service.go PORT GUARD_URL.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

var client = http.Client{Timeout: 2 * time.Second}

// check forwards a request's Authorization header to the guard.
func check(guard string, request *http.Request) (*http.Response, error) {
	checkRequest, err := http.NewRequestWithContext(request.Context(), http.MethodGet, guard+"/check", nil)
	if err != nil {
		return nil, err
	}
	checkRequest.Header["Authorization"] = request.Header["Authorization"]
	return client.Do(checkRequest)
}

func orders(guard string) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		result, err := check(guard, request)
		if err != nil {
			// Without the guard the caller cannot be identified.
			response.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		defer result.Body.Close()
		if result.StatusCode != http.StatusOK {
			if challenge := result.Header.Get("WWW-Authenticate"); challenge != "" {
				response.Header().Set("WWW-Authenticate", challenge)
			}
			response.WriteHeader(result.StatusCode)
			return
		}
		fmt.Fprintf(response, "orders of %s\n", result.Header.Get("X-Chancery-Subject"))
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("ready http=%s\n", listener.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(listener, orders(os.Args[2])))
}
