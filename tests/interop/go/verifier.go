// Verifies access tokens with jwx: verifier JWKS_URL ISSUER AUDIENCE. Answers each JSON line with a JSON line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
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

// cachedKeys returns keys from the library's cache, and adds the fetch for an unknown kid that the library lacks.
// A real service must rate-limit such fetches; the tests cannot wait for that.
type cachedKeys struct {
	cache *jwk.Cache
	url   string
}

func newCachedKeys(ctx context.Context, url string) (*cachedKeys, error) {
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		return nil, err
	}
	// By default the library caches a set for at least 15 minutes, whatever the server says. A key of an unknown
	// type must not invalidate the set, so such keys are skipped.
	interval, lenient := jwk.WithConstantInterval(5*time.Minute), jwk.WithIgnoreParseError(true)
	return &cachedKeys{cache, url}, cache.Register(ctx, url, interval, lenient)
}

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
	set, err := k.cache.Lookup(ctx, k.url)
	if err != nil {
		return nil, err
	}
	if key, ok := set.LookupKeyID(kid); ok {
		return key, nil
	}
	if set, err = k.cache.Refresh(ctx, k.url); err != nil {
		return nil, err
	}
	if key, ok := set.LookupKeyID(kid); ok {
		return key, nil
	}
	return nil, fmt.Errorf("no key %q in the set", kid)
}

type verifier struct {
	keys             *cachedKeys
	lists            *StatusLists
	issuer, audience string
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
		jwt.WithAcceptableSkew(0),
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
	keys, err := newCachedKeys(ctx, url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	v := &verifier{keys, &StatusLists{Keys: keys, Issuer: issuer}, issuer, audience}
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
