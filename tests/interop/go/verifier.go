// Verifies access tokens with jwx: verifier JWKS_URL ISSUER AUDIENCE. Answers each JSON line with a JSON line.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

const library = "github.com/lestrrat-go/jwx/v3"

var (
	algorithms = []jwa.SignatureAlgorithm{jwa.RS256(), jwa.ES256(), jwa.EdDSA()}
	required   = []string{"exp", "iat", "iss", "aud", "sub", "jti", "client_id"}
)

const keysTimeout, keysPause = 2 * time.Second, 2 * time.Second

// cachedKeys returns keys from the library's cache, and adds what it lacks: the fetch for an unknown kid, and an end to
// each wait. The set is fetched again after `fresh`, in the background, and used for `usable`.
// A real service must rate-limit fetches for an unknown kid; the tests cannot wait for that.
type cachedKeys struct {
	cache               *jwk.Cache
	set                 *httprc.ResourceBase[jwk.Set]
	url                 string
	usable              time.Duration
	client              http.Client
	fetchedAt, failedAt atomic.Int64 // In nanoseconds; 0 for never.
}

func newCachedKeys(ctx context.Context, url string, fresh, usable time.Duration) (*cachedKeys, error) {
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		return nil, err
	}
	keys := &cachedKeys{cache: cache, url: url, usable: usable, client: http.Client{Timeout: keysTimeout}}
	// By default the library caches a set for at least 15 minutes, whatever the server says, and a program starts
	// only when it has one. A key of an unknown type must not invalidate the set, so such keys are skipped.
	err = cache.Register(ctx, url, jwk.WithConstantInterval(fresh), jwk.WithMinInterval(keysPause),
		jwk.WithHTTPClient(keys), jwk.WithWaitReady(false), jwk.WithIgnoreParseError(true))
	if err == nil {
		keys.set, err = cache.LookupResource(ctx, url)
	}
	return keys, err
}

// Do fetches the key set. Those who waited for a fetch that failed do not wait for another.
func (k *cachedKeys) Do(request *http.Request) (*http.Response, error) {
	if since(&k.failedAt) < keysPause {
		return nil, errors.New("the last fetch has just failed")
	}
	response, err := k.client.Do(request)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(io.LimitReader(response.Body, maxBytes))
		response.Body.Close()
		if response.Body = io.NopCloser(bytes.NewReader(body)); response.StatusCode != http.StatusOK {
			err = fmt.Errorf("unexpected HTTP status %d", response.StatusCode)
		}
	}
	if err != nil {
		k.failedAt.Store(time.Now().UnixNano())
		return nil, err
	}
	k.fetchedAt.Store(time.Now().UnixNano())
	return response, nil
}

func since(at *atomic.Int64) time.Duration { return time.Since(time.Unix(0, at.Load())) }

// FetchKeys implements jws.KeyProvider.
func (k *cachedKeys) FetchKeys(ctx context.Context, sink jws.KeySink, signature *jws.Signature, _ *jws.Message) error {
	header := signature.ProtectedHeaders()
	alg, _ := header.Algorithm()
	kid, _ := header.KeyID()
	if !slices.Contains(algorithms, alg) {
		return fmt.Errorf("the algorithm %q is not allowed", alg)
	}
	key, err := k.find(ctx, kid)
	if err != nil {
		return err
	}
	if of, ok := key.Algorithm(); !ok || of.String() != alg.String() {
		return errors.New("the key is for another algorithm")
	}
	sink.Key(alg, key)
	return nil
}

func (k *cachedKeys) find(ctx context.Context, kid string) (jwk.Key, error) {
	if since(&k.fetchedAt) < k.usable {
		if set := k.set.Resource(); set != nil {
			if key, ok := set.LookupKeyID(kid); ok {
				return own(key)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	var err error
	if k.fetchedAt.Load() == 0 && k.failedAt.Load() == 0 { // All wait for the first.
		err = k.set.Ready(ctx)
	} else {
		_, err = k.cache.Refresh(ctx, k.url)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: no key set: %v", ErrStatusUnknown, err)
	}
	if key, ok := k.set.Resource().LookupKeyID(kid); ok {
		return own(key)
	}
	return nil, fmt.Errorf("no key %q in the set", kid)
}

// own refuses a key of another issuer, which is marked: it cannot vouch for this one's tokens.
func own(key jwk.Key) (jwk.Key, error) {
	var foreign bool
	if key.Get("foreign", &foreign) == nil && foreign {
		return nil, errors.New("signed by a key of another issuer")
	}
	return key, nil
}

type verifier struct {
	keys             *cachedKeys
	lists            *StatusLists
	issuer, audience string
	leeway           time.Duration
}

func (v *verifier) verify(ctx context.Context, token string) (jwt.Token, error) {
	message, err := jws.ParseString(token)
	if err != nil {
		return nil, err
	}
	kind, _ := message.Signatures()[0].ProtectedHeaders().Type()
	if strings.TrimPrefix(strings.ToLower(kind), "application/") != "at+jwt" {
		return nil, errors.New("typ is not at+jwt")
	}
	options := []jwt.ParseOption{
		jwt.WithContext(ctx), jwt.WithKeyProvider(v.keys), jwt.WithIssuer(v.issuer), jwt.WithAudience(v.audience),
		jwt.WithAcceptableSkew(v.leeway),
	}
	for _, name := range required {
		options = append(options, jwt.WithRequiredClaim(name))
	}
	return jwt.ParseString(token, options...)
}

type command struct {
	Token  string `json:"token"`
	Status bool   `json:"status"`
	Times  int    `json:"times"`
}

func (v *verifier) answer(ctx context.Context, request command) map[string]any {
	started := time.Now()
	token, err := v.verify(ctx, request.Token)
	if err == nil && request.Status {
		err = v.lists.Check(token)
	}
	result := map[string]any{"ok": err == nil, "http": http.StatusOK, "seconds": time.Since(started).Seconds()}
	if err != nil {
		result["error"], result["http"] = err.Error(), http.StatusUnauthorized
		if errors.Is(err, ErrStatusUnknown) {
			result["http"] = http.StatusServiceUnavailable
		}
		return result
	}
	result["sub"], _ = token.Subject()
	return result
}

// answers checks a token several times at once, if asked to.
func (v *verifier) answers(ctx context.Context, line []byte) ([]map[string]any, error) {
	request := command{Times: 1}
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, err
	}
	answers := make([]map[string]any, request.Times)
	var checks sync.WaitGroup
	for at := range answers {
		checks.Go(func() { answers[at] = v.answer(ctx, request) })
	}
	checks.Wait()
	return answers, nil
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == library {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "?"
}

func main() {
	url, issuer, audience := os.Args[1], os.Args[2], os.Args[3]
	ctx := context.Background()
	// The tests set these.
	seconds, leeway := []time.Duration{300, 600}, time.Duration(30)
	_ = json.Unmarshal([]byte(os.Getenv("KEYS_SECONDS")), &seconds)
	_ = json.Unmarshal([]byte(os.Getenv("LEEWAY_SECONDS")), &leeway)
	keys, err := newCachedKeys(ctx, url, seconds[0]*time.Second, seconds[1]*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	v := &verifier{keys, &StatusLists{Keys: keys, Issuer: issuer}, issuer, audience, leeway * time.Second}
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(map[string]string{"library": "lestrrat-go/jwx", "version": version()})
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		answers, err := v.answers(ctx, in.Bytes())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_ = out.Encode(answers)
	}
}
