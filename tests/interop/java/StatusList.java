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

/** Refuses access tokens whose session or client has ended. `keys` is the set that tokens are verified with. */
record StatusList(JWKSource<SecurityContext> keys, String issuer, HttpClient http, Map<String, Kept> kept) {
    record Kept(long until, int bits, byte[] data) {}
    StatusList(JWKSource<SecurityContext> keys, String issuer) {
        this(keys, issuer.replaceFirst("/$", ""), HttpClient.newHttpClient(), new HashMap<>());
    }

    /** Takes the claims of a verified token. Throws unless the list says that the token counts. */
    synchronized void check(JWTClaimsSet claims) throws BadJWTException {
        int value;
        try {
            var place = (Map<?, ?>) claims.getJSONObjectClaim("status").get("status_list");
            var uri = (String) place.get("uri");
            if (!uri.startsWith(issuer + "/statuslists/")) throw new BadJWTException("the list is not the issuer's");
            if (!kept.containsKey(uri) || System.nanoTime() - kept.get(uri).until >= 0) kept.put(uri, fetch(uri));
            Kept list = kept.get(uri);
            long at = Math.multiplyExact((long) place.get("idx"), list.bits);
            value = list.data[Math.toIntExact(at >> 3)] >> (at & 7) & (1 << list.bits) - 1;
        } catch (Exception e) { // What is not known to count does not count. An index out of range ends here, too.
            throw new BadJWTException("status unknown: " + e, e);
        }
        if (value != 0) throw new BadJWTException("status " + value);
    }

    private Kept fetch(String uri) throws Exception {
        var processor = new DefaultJWTProcessor<SecurityContext>();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("statuslist+jwt")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(Set.of(JWSAlgorithm.RS256, JWSAlgorithm.ES256), keys));
        var exact = new JWTClaimsSet.Builder().subject(uri).build();
        var needed = new DefaultJWTClaimsVerifier<SecurityContext>(exact, Set.of("exp", "ttl"));
        needed.setMaxClockSkew(0);
        processor.setJWTClaimsSetVerifier(needed);
        long asked = System.nanoTime();
        var request = HttpRequest.newBuilder(URI.create(uri)).timeout(Duration.ofSeconds(5));
        request.header("Accept", "application/statuslist+jwt");
        var said = processor.process(http.send(request.build(), HttpResponse.BodyHandlers.ofString()).body(), null);
        var list = said.getJSONObjectClaim("status_list");
        int bits = Math.toIntExact((long) list.get("bits"));
        var stream = new Inflater();
        stream.setInput(Base64.getUrlDecoder().decode((String) list.get("lst")));
        byte[] data = new byte[16 * 1024 * 1024];
        int length = stream.inflate(data);
        boolean whole = stream.finished() && stream.getRemaining() == 0 && !list.get("lst").toString().endsWith("=");
        if (!whole || !Set.of(1, 2, 4, 8).contains(bits)) throw new BadJWTException("the list is malformed or too long");
        double left = (said.getExpirationTime().getTime() - System.currentTimeMillis()) / 1e3;
        long nanos = (long) (Math.min(said.getDoubleClaim("ttl"), left) * 1e9);
        return new Kept(asked + nanos, bits, Arrays.copyOf(data, length));
    }
}
