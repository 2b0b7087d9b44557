package main

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
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

const maxBytes, fetchTimeout, maxUnused = 16 << 20, 5 * time.Second, 10 * time.Minute

// ErrStatusUnknown says that the issuer has not answered for too long to know: answer 503, and 401 for other errors.
var ErrStatusUnknown = errors.New("status unknown")

// StatusLists refuses access tokens of revoked sessions and disabled clients. Keys is the key set that verifies tokens.
type StatusLists struct {
	Keys   jws.KeyProvider
	Issuer string
	mutex  sync.Mutex // Not held during a fetch.
	lists  map[string]*statusList
}

type statusList struct {
	data                      []byte
	bits                      float64
	staleAt, usedAt, iat, exp time.Time
	err                       error         // Of the last fetch.
	fetch                     chan struct{} // Closed when the fetch under way ends.
}

// Check takes a verified token. The token must not be accepted if an error is returned.
func (s *StatusLists) Check(token jwt.Token) error {
	var status map[string]any
	_ = token.Get("status", &status)
	reference, _ := status["status_list"].(map[string]any)
	uri, _ := reference["uri"].(string)
	idx, ok := reference["idx"].(float64)
	if !ok || idx != math.Trunc(idx) || !strings.HasPrefix(uri, strings.TrimSuffix(s.Issuer, "/")+"/statuslists/") {
		return errors.New("the token names no list of the issuer")
	}
	list := s.current(uri)
	if !time.Now().Before(list.exp) {
		return fmt.Errorf("%w: %v", ErrStatusUnknown, list.err)
	}
	if idx < 0 || idx*list.bits >= float64(len(list.data)*8) {
		return errors.New("the list has no such index")
	}
	at, bits := int(idx*list.bits), int(list.bits)
	if value := list.data[at>>3] >> (at & 7) & (1<<bits - 1); value != 0 {
		return fmt.Errorf("status %d", value)
	}
	return nil
}

// All wait for the same fetch, but for none after one has failed: the last list counts until its exp.
func (s *StatusLists) current(uri string) statusList {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	list := s.lists[uri]
	if list == nil {
		list = &statusList{fetch: make(chan struct{})}
		if s.lists == nil {
			s.lists = map[string]*statusList{}
		}
		s.lists[uri] = list
		go s.follow(uri, list)
	}
	list.usedAt = time.Now()
	if fetch := list.fetch; list.err == nil && !time.Now().Before(list.staleAt) {
		s.mutex.Unlock()
		select {
		case <-fetch:
		case <-time.After(fetchTimeout):
		}
		if s.mutex.Lock(); fetch == list.fetch {
			list.err = errors.New("no answer")
		}
	}
	return *list
}

// follow keeps a list fresh until no token has named it for a while.
func (s *StatusLists) follow(uri string, list *statusList) {
	for {
		next, err := s.fetchList(uri, list.iat)
		s.mutex.Lock()
		pause := 2 * time.Second
		if list.err = err; err == nil {
			list.data, list.bits, list.iat, list.exp, list.staleAt = next.data, next.bits, next.iat, next.exp, next.staleAt
			pause = max(time.Until(next.staleAt)/2, time.Second)
		}
		close(list.fetch)
		list.fetch = make(chan struct{})
		unused := time.Since(list.usedAt) > maxUnused
		if unused {
			delete(s.lists, uri)
		}
		s.mutex.Unlock()
		if unused {
			return
		}
		time.Sleep(pause)
	}
}

func (s *StatusLists) fetchList(uri string, iat time.Time) (list statusList, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	request := must(http.NewRequest(http.MethodGet, uri, nil))
	request.Header.Set("Accept", "application/statuslist+jwt")
	requestedAt, response := time.Now(), must((&http.Client{Timeout: fetchTimeout}).Do(request))
	defer response.Body.Close()
	body := must(io.ReadAll(io.LimitReader(response.Body, maxBytes)))
	options := []jwt.ParseOption{jwt.WithKeyProvider(s.Keys), jwt.WithSubject(uri), jwt.WithRequiredClaim("exp")}
	// The skew is for iat; exp is compared at each check.
	options = append(options, jwt.WithRequiredClaim("iat"), jwt.WithAcceptableSkew(time.Minute))
	claims, lst, ttl := must(jwt.Parse(body, options...)), map[string]any{}, 0.0
	must(must(0, claims.Get("status_list", &lst)), claims.Get("ttl", &ttl))
	typ, _ := must(jws.Parse(body)).Signatures()[0].ProtectedHeaders().Type()
	packed := bytes.NewReader(must(base64.RawURLEncoding.DecodeString(lst["lst"].(string))))
	list.data = must(io.ReadAll(io.LimitReader(must(zlib.NewReader(packed)), maxBytes)))
	list.bits = lst["bits"].(float64)
	list.iat, _ = claims.IssuedAt()
	list.exp, _ = claims.Expiration()
	list.staleAt = requestedAt.Add(min(time.Duration(ttl*1e9), time.Until(list.exp)))
	sound := slices.Contains([]float64{1, 2, 4, 8}, list.bits) && len(list.data) < maxBytes && packed.Len() == 0
	if typ != "statuslist+jwt" || !sound || list.iat.Before(iat) {
		panic("the list is malformed, too long or older than the last one")
	}
	return list, nil
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
