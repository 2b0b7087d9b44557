import com.nimbusds.jose.*;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.*;
import com.nimbusds.jwt.*;
import com.nimbusds.jwt.proc.*;
import java.net.URI;
import java.net.http.*;
import java.time.Duration;
import java.util.*;
import java.util.zip.Inflater;

/** Refuses access tokens of revoked sessions and disabled clients. `keys` is the key set that verifies tokens. */
record StatusList(JWKSource<SecurityContext> keys, String issuer, HttpClient http, Map<String, CachedList> cached) {
    record CachedList(long until, int bits, byte[] data) {}
    StatusList(JWKSource<SecurityContext> keys, String issuer) {
        this(keys, issuer.replaceFirst("/$", ""), HttpClient.newHttpClient(), new HashMap<>());
    }

    /** Takes the claims of a verified token. Throws unless the token's status is 0. */
    synchronized void check(JWTClaimsSet claims) throws BadJWTException {
        int value;
        try {
            var reference = (Map<?, ?>) claims.getJSONObjectClaim("status").get("status_list");
            var uri = (String) reference.get("uri");
            if (!uri.startsWith(issuer + "/statuslists/")) throw new BadJWTException("the list is not the issuer's");
            if (!cached.containsKey(uri) || System.nanoTime() - cached.get(uri).until >= 0) cached.put(uri, fetch(uri));
            CachedList list = cached.get(uri);
            long at = Math.multiplyExact((long) reference.get("idx"), list.bits);
            value = list.data[Math.toIntExact(at >> 3)] >> (at & 7) & (1 << list.bits) - 1;
        } catch (Exception e) { // A token whose status is unknown is refused, and so is an index out of range.
            throw new BadJWTException("status unknown: " + e, e);
        }
        if (value != 0) throw new BadJWTException("status " + value);
    }

    private CachedList fetch(String uri) throws Exception {
        var processor = new DefaultJWTProcessor<SecurityContext>();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("statuslist+jwt")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(Set.of(JWSAlgorithm.RS256, JWSAlgorithm.ES256), keys));
        var exact = new JWTClaimsSet.Builder().subject(uri).build();
        var needed = new DefaultJWTClaimsVerifier<SecurityContext>(exact, Set.of("exp", "ttl"));
        needed.setMaxClockSkew(0);
        processor.setJWTClaimsSetVerifier(needed);
        long requestedAt = System.nanoTime();
        var request = HttpRequest.newBuilder(URI.create(uri)).timeout(Duration.ofSeconds(5));
        request.header("Accept", "application/statuslist+jwt");
        var claims = processor.process(http.send(request.build(), HttpResponse.BodyHandlers.ofString()).body(), null);
        var list = claims.getJSONObjectClaim("status_list");
        int bits = Math.toIntExact((long) list.get("bits"));
        var stream = new Inflater();
        stream.setInput(Base64.getUrlDecoder().decode((String) list.get("lst")));
        byte[] data = new byte[16 * 1024 * 1024];
        int length = stream.inflate(data);
        boolean whole = stream.finished() && stream.getRemaining() == 0 && !list.get("lst").toString().endsWith("=");
        if (!whole || !Set.of(1, 2, 4, 8).contains(bits)) throw new BadJWTException("the list is malformed or too long");
        double left = (claims.getExpirationTime().getTime() - System.currentTimeMillis()) / 1e3;
        long nanos = (long) (Math.min(claims.getDoubleClaim("ttl"), left) * 1e9);
        return new CachedList(requestedAt + nanos, bits, Arrays.copyOf(data, length));
    }
}
