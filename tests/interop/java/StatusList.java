import com.nimbusds.jose.*;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.*;
import com.nimbusds.jose.util.*;
import com.nimbusds.jwt.*;
import com.nimbusds.jwt.proc.*;
import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.time.Duration;
import java.util.*;
import java.util.Base64;
import java.util.concurrent.*;
import java.util.zip.Inflater;

/** Refuses access tokens of revoked sessions and disabled clients. `keys` is the key set that verifies tokens. */
record StatusList(JWKSource<SecurityContext> keys, String issuer, HttpClient http, Map<String, Entry> entries) {
    private static final int MAX_BYTES = 16 * 1024 * 1024;
    private static final long TIMEOUT = 5_000_000_000L, UNUSED = 600_000_000_000L;
    record CachedList(long staleAt, long exp, long iat, int bits, byte[] data) {}

    private static final class Entry {
        CachedList list;
        Exception error; // Of the last fetch.
        volatile long usedAt = System.nanoTime();
    }

    /** The issuer has not answered for too long to know whether the token is revoked: answer 503. */
    static final class StatusUnknown extends Exception {
        StatusUnknown(Exception cause) { super("status unknown: " + cause, cause); }
    }

    StatusList(JWKSource<SecurityContext> keys, String issuer) {
        this(keys, issuer.replaceFirst("/$", ""), HttpClient.newHttpClient(), new ConcurrentHashMap<>());
    }

    /**
     * The issuer's key set: fetched again after 5 minutes, in the background, and used for 10. A KeySourceException
     * means 503.
     */
    static JWKSourceBuilder<SecurityContext> keys(String url) throws IOException {
        return JWKSourceBuilder.<SecurityContext>create(URI.create(url).toURL(), new OwnKeys())
                .cache(600_000, 2000)
                .refreshAheadCache(300_000, false);
    }

    private static final class OwnKeys implements ResourceRetriever {
        private static final long KEYS_TIMEOUT = 2_000_000_000L, PAUSE = 2_000_000_000L;
        private final HttpClient http = HttpClient.newHttpClient();
        private volatile long failedAt = System.nanoTime() - PAUSE;

        @Override
        public Resource retrieveResource(java.net.URL url) throws IOException {
            // Those who waited for a fetch that failed do not wait for another.
            if (System.nanoTime() - failedAt < PAUSE) throw new IOException("the last fetch has just failed");
            try {
                var set = JSONObjectUtils.parse(read(http, url.toString(), "application/jwk-set+json", KEYS_TIMEOUT));
                // A key of another issuer, which is marked, cannot vouch for this one's tokens.
                var keys = (List<?>) set.get("keys");
                keys.removeIf(key -> key instanceof Map<?, ?> jwk && Boolean.TRUE.equals(jwk.get("foreign")));
                return new Resource(JSONObjectUtils.toJSONString(set), "application/jwk-set+json");
            } catch (Exception e) {
                if (e instanceof InterruptedException) Thread.currentThread().interrupt();
                failedAt = System.nanoTime();
                throw new IOException(e);
            }
        }
    }

    private static String read(HttpClient http, String url, String accept, long timeout) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(url)).header("Accept", accept);
        var body = new ByteArrayOutputStream();
        var response = http.sendAsync(request.build(), HttpResponse.BodyHandlers.ofByteArrayConsumer(part -> {
            if (body.size() + part.map(p -> p.length).orElse(0) > MAX_BYTES) throw new IllegalStateException("too long");
            part.ifPresent(body::writeBytes);
        }));
        try {
            int status = response.get(timeout, TimeUnit.NANOSECONDS).statusCode();
            if (status != 200) throw new IOException("unexpected HTTP status " + status);
        } finally {
            response.cancel(true);
        }
        return body.toString();
    }

    /** Takes the claims of a verified token. Throws unless its status is 0: BadJWTException means 401. */
    void check(JWTClaimsSet claims) throws BadJWTException, StatusUnknown {
        if (!(claims.getClaim("status") instanceof Map<?, ?> status)
                || !(status.get("status_list") instanceof Map<?, ?> reference)
                || !(reference.get("idx") instanceof Long idx && reference.get("uri") instanceof String uri)
                || !uri.startsWith(issuer + "/statuslists/"))
            throw new BadJWTException("the token names no list of the issuer");
        CachedList list = current(uri);
        if (idx < 0 || idx >= list.data.length * 8L / list.bits) throw new BadJWTException("the list has no such index");
        int at = Math.toIntExact(idx * list.bits), value = list.data[at >> 3] >> (at & 7) & (1 << list.bits) - 1;
        if (value != 0) throw new BadJWTException("status " + value);
    }

    /** All wait for the same fetch, but for none after one has failed: the last list counts until its `exp`. */
    private CachedList current(String uri) throws StatusUnknown {
        Entry entry = entries.computeIfAbsent(uri, this::follow);
        synchronized (entry) { // Not held during a fetch.
            long now = entry.usedAt = System.nanoTime();
            while (entry.error == null && (entry.list == null || System.nanoTime() - entry.list.staleAt >= 0)) {
                try {
                    TimeUnit.NANOSECONDS.timedWait(entry, now + TIMEOUT - System.nanoTime());
                    if (System.nanoTime() - now >= TIMEOUT) entry.error = new TimeoutException("no answer");
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new StatusUnknown(e);
                }
            }
            if (entry.list != null && System.currentTimeMillis() < entry.list.exp) return entry.list;
            throw new StatusUnknown(entry.error);
        }
    }

    private Entry follow(String uri) {
        var entry = new Entry();
        var thread = new Thread(() -> follow(uri, entry), "status list");
        thread.setDaemon(true);
        thread.start();
        return entry;
    }

    /** Keeps a list fresh until no token has named it for a while. */
    private void follow(String uri, Entry entry) {
        try {
            while (System.nanoTime() - entry.usedAt < UNUSED) {
                long pause = 2000;
                try {
                    CachedList list = fetch(uri, entry.list);
                    pause = Math.max(1000, (list.staleAt - System.nanoTime()) / 2_000_000);
                    synchronized (entry) { entry.list = list; entry.error = null; entry.notifyAll(); }
                } catch (Exception e) {
                    synchronized (entry) { entry.error = e; entry.notifyAll(); }
                }
                Thread.sleep(pause);
            }
        } catch (InterruptedException e) { // The thread ends, and the next check starts another.
        } finally {
            entries.remove(uri, entry);
        }
    }

    private CachedList fetch(String uri, CachedList last) throws Exception {
        var processor = new DefaultJWTProcessor<SecurityContext>();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("statuslist+jwt")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(Set.of(JWSAlgorithm.RS256, JWSAlgorithm.ES256), keys));
        var exact = new JWTClaimsSet.Builder().subject(uri).build();
        var needed = new DefaultJWTClaimsVerifier<SecurityContext>(exact, Set.of("iat", "exp", "ttl"));
        needed.setMaxClockSkew(0);
        processor.setJWTClaimsSetVerifier(needed);
        long requestedAt = System.nanoTime();
        var claims = processor.process(read(http, uri, "application/statuslist+jwt", TIMEOUT), null);
        var list = claims.getJSONObjectClaim("status_list");
        int bits = Math.toIntExact((long) list.get("bits"));
        var stream = new Inflater();
        stream.setInput(Base64.getUrlDecoder().decode((String) list.get("lst")));
        byte[] data = new byte[MAX_BYTES];
        int length = stream.inflate(data);
        boolean whole = stream.finished() && stream.getRemaining() == 0 && !list.get("lst").toString().endsWith("=");
        stream.end();
        long exp = claims.getExpirationTime().getTime(), iat = claims.getIssueTime().getTime();
        if (!whole || !Set.of(1, 2, 4, 8).contains(bits) || last != null && iat < last.iat)
            throw new BadJWTException("the list is malformed, too long or older than the last one");
        double left = Math.min(claims.getDoubleClaim("ttl"), (exp - System.currentTimeMillis()) / 1e3);
        return new CachedList(requestedAt + (long) (left * 1e9), exp, iat, bits, Arrays.copyOf(data, length));
    }
}
