// A service in Go that has its callers' tokens checked by a guard: go run service.go PORT GUARD_URL.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

var client = http.Client{Timeout: 2 * time.Second}

// check asks the guard about an Authorization header.
func check(guard string, request *http.Request) (*http.Response, error) {
	question, err := http.NewRequestWithContext(request.Context(), http.MethodGet, guard+"/check", nil)
	if err != nil {
		return nil, err
	}
	question.Header["Authorization"] = request.Header["Authorization"]
	return client.Do(question)
}

func orders(guard string) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		verdict, err := check(guard, request)
		if err != nil {
			// Without its guard the service does not know who calls.
			response.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		defer verdict.Body.Close()
		if verdict.StatusCode != http.StatusOK {
			if challenge := verdict.Header.Get("WWW-Authenticate"); challenge != "" {
				response.Header().Set("WWW-Authenticate", challenge)
			}
			response.WriteHeader(verdict.StatusCode)
			return
		}
		fmt.Fprintf(response, "orders of %s\n", verdict.Header.Get("X-Chancery-Subject"))
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
