package main

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

const maxBytes = 16 << 20

// StatusLists refuses access tokens of revoked sessions and disabled clients. Keys is the key set that verifies tokens.
type StatusLists struct {
	Keys   jws.KeyProvider
	Issuer string
	cached sync.Map
}

type statusList struct {
	sync.Mutex // Concurrent checks wait for the same fetch.
	until      time.Time
	bits       float64
	data       []byte
}

// Check takes a verified token. The token must be refused if an error is returned.
func (s *StatusLists) Check(token jwt.Token) (err error) {
	defer func() { // A token whose status is unknown is refused.
		if cause := recover(); cause != nil {
			err = fmt.Errorf("status unknown: %v", cause)
		}
	}()
	var status map[string]any
	must(0, token.Get("status", &status))
	reference := status["status_list"].(map[string]any)
	uri, idx := reference["uri"].(string), reference["idx"].(float64)
	if !strings.HasPrefix(uri, strings.TrimSuffix(s.Issuer, "/")+"/statuslists/") || idx != math.Trunc(idx) {
		panic("the list is not the issuer's")
	}
	entry, _ := s.cached.LoadOrStore(uri, &statusList{})
	list := entry.(*statusList)
	list.Lock()
	defer list.Unlock()
	if !time.Now().Before(list.until) {
		s.fetch(uri, list)
	}
	at, bits := int(idx*list.bits), int(list.bits) // An index out of range panics, so the token is refused.
	if value := list.data[at>>3] >> (at & 7) & (1<<bits - 1); value != 0 {
		return fmt.Errorf("status %d", value)
	}
	return nil
}

func (s *StatusLists) fetch(uri string, list *statusList) {
	request := must(http.NewRequest(http.MethodGet, uri, nil))
	request.Header.Set("Accept", "application/statuslist+jwt")
	requestedAt, response := time.Now(), must((&http.Client{Timeout: 5 * time.Second}).Do(request))
	defer response.Body.Close()
	body := must(io.ReadAll(io.LimitReader(response.Body, maxBytes)))
	options := []jwt.ParseOption{jwt.WithKeyProvider(s.Keys), jwt.WithSubject(uri), jwt.WithRequiredClaim("exp")}
	claims, lst, ttl := must(jwt.Parse(body, options...)), map[string]any{}, 0.0
	must(must(0, claims.Get("status_list", &lst)), claims.Get("ttl", &ttl))
	typ, _ := must(jws.Parse(body)).Signatures()[0].ProtectedHeaders().Type()
	packed := bytes.NewReader(must(base64.RawURLEncoding.DecodeString(lst["lst"].(string))))
	data := must(io.ReadAll(io.LimitReader(must(zlib.NewReader(packed)), maxBytes)))
	bits, whole := lst["bits"].(float64), len(data) < maxBytes && packed.Len() == 0
	if typ != "statuslist+jwt" || !slices.Contains([]float64{1, 2, 4, 8}, bits) || !whole {
		panic("the list is malformed or too long")
	}
	exp, _ := claims.Expiration()
	list.until, list.bits, list.data = requestedAt.Add(min(time.Duration(ttl*1e9), time.Until(exp))), bits, data
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
