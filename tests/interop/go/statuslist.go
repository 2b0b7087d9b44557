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

// StatusLists refuses access tokens whose session or client has ended. Keys are those that tokens are verified with.
type StatusLists struct {
	Keys   jws.KeyProvider
	Issuer string
	kept   sync.Map
}

type statusList struct {
	sync.Mutex // Those who ask meanwhile wait for the same answer.
	until      time.Time
	bits       float64
	data       []byte
}

// Check takes a verified token, which must be refused unless the error is nil.
func (s *StatusLists) Check(token jwt.Token) (err error) {
	defer func() { // What is not known to count does not count.
		if cause := recover(); cause != nil {
			err = fmt.Errorf("status unknown: %v", cause)
		}
	}()
	var status map[string]any
	must(0, token.Get("status", &status))
	place := status["status_list"].(map[string]any)
	uri, idx := place["uri"].(string), place["idx"].(float64)
	if !strings.HasPrefix(uri, strings.TrimSuffix(s.Issuer, "/")+"/statuslists/") || idx != math.Trunc(idx) {
		panic("the place is not in a list of the issuer's")
	}
	entry, _ := s.kept.LoadOrStore(uri, &statusList{})
	list := entry.(*statusList)
	list.Lock()
	defer list.Unlock()
	if !time.Now().Before(list.until) {
		s.fetch(uri, list)
	}
	at, bits := int(idx*list.bits), int(list.bits) // Out of range is a panic, and so a refusal.
	if value := list.data[at>>3] >> (at & 7) & (1<<bits - 1); value != 0 {
		return fmt.Errorf("status %d", value)
	}
	return nil
}

func (s *StatusLists) fetch(uri string, list *statusList) {
	request := must(http.NewRequest(http.MethodGet, uri, nil))
	request.Header.Set("Accept", "application/statuslist+jwt")
	asked, response := time.Now(), must((&http.Client{Timeout: 5 * time.Second}).Do(request))
	defer response.Body.Close()
	body := must(io.ReadAll(io.LimitReader(response.Body, maxBytes)))
	options := []jwt.ParseOption{jwt.WithKeyProvider(s.Keys), jwt.WithSubject(uri), jwt.WithRequiredClaim("exp")}
	said, lst, ttl := must(jwt.Parse(body, options...)), map[string]any{}, 0.0
	must(must(0, said.Get("status_list", &lst)), said.Get("ttl", &ttl))
	typ, _ := must(jws.Parse(body)).Signatures()[0].ProtectedHeaders().Type()
	packed := bytes.NewReader(must(base64.RawURLEncoding.DecodeString(lst["lst"].(string))))
	data := must(io.ReadAll(io.LimitReader(must(zlib.NewReader(packed)), maxBytes)))
	bits, whole := lst["bits"].(float64), len(data) < maxBytes && packed.Len() == 0
	if typ != "statuslist+jwt" || !slices.Contains([]float64{1, 2, 4, 8}, bits) || !whole {
		panic("the list is malformed or too long")
	}
	exp, _ := said.Expiration()
	list.until, list.bits, list.data = asked.Add(min(time.Duration(ttl*1e9), time.Until(exp))), bits, data
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
