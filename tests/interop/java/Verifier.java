import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSObject;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.crypto.Ed25519Verifier;
import com.nimbusds.jose.crypto.factories.DefaultJWSVerifierFactory;
import com.nimbusds.jose.jwk.JWKMatcher;
import com.nimbusds.jose.jwk.JWKSelector;
import com.nimbusds.jose.jwk.OctetKeyPair;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.JSONArrayUtils;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.security.Key;
import java.security.PublicKey;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Verifies access tokens with Nimbus: Verifier JWKS_URL ISSUER AUDIENCE. Answers each JSON line with a JSON line. */
final class Verifier {
    private static final Set<JWSAlgorithm> COMMON = Set.of(JWSAlgorithm.RS256, JWSAlgorithm.ES256);
    private static final Set<String> REQUIRED = Set.of("exp", "iat", "iss", "aud", "sub", "jti", "client_id");

    private final DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
    private final StatusList lists;
    private final ExecutorService pool = Executors.newCachedThreadPool(check -> {
        var thread = new Thread(check);
        thread.setDaemon(true);
        return thread;
    });

    Verifier(String url, String issuer, String audience) throws Exception {
        var keys = keys(url);
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")));
        processor.setJWSKeySelector((header, context) -> select(keys, header, context));
        processor.setJWSVerifierFactory(new WithEd25519());
        var exact = new JWTClaimsSet.Builder().issuer(issuer).build();
        var claims = new DefaultJWTClaimsVerifier<SecurityContext>(audience, exact, REQUIRED);
        claims.setMaxClockSkew(Integer.parseInt(System.getenv().getOrDefault("LEEWAY_SECONDS", "30")));
        processor.setJWTClaimsSetVerifier(claims);
        lists = new StatusList(keys, issuer);
    }

    /**
     * By default unknown `kid`s cause at most two fetches in 30 seconds; the tests turn that limit off, and the key set
     * may be due sooner.
     */
    private static JWKSource<SecurityContext> keys(String url) throws Exception {
        var keys = StatusList.keys(url).rateLimited(false);
        var seconds = System.getenv("KEYS_SECONDS");
        if (seconds != null) {
            var times = JSONArrayUtils.parse(seconds);
            long fresh = (long) times.get(0) * 1000, usable = (long) times.get(1) * 1000;
            keys.cache(usable, 2000).refreshAheadCache(usable - fresh, false);
        }
        return keys.build();
    }

    /** The library supports Ed25519, but its processor has no Java key for it; this passes the JWK to the verifier. */
    private record Ed25519Key(OctetKeyPair jwk) implements PublicKey {
        public String getAlgorithm() {
            return "Ed25519";
        }

        public String getFormat() {
            return null;
        }

        public byte[] getEncoded() {
            return null;
        }
    }

    private static final class WithEd25519 extends DefaultJWSVerifierFactory {
        @Override
        public JWSVerifier createJWSVerifier(JWSHeader header, Key key) throws JOSEException {
            return key instanceof Ed25519Key ed ? new Ed25519Verifier(ed.jwk()) : super.createJWSVerifier(header, key);
        }
    }

    /** Returns no keys for an algorithm that is not allowed. */
    private static List<? extends Key> select(
            JWKSource<SecurityContext> keys, JWSHeader header, SecurityContext context) throws KeySourceException {
        if (!JWSAlgorithm.EdDSA.equals(header.getAlgorithm())) {
            return new JWSVerificationKeySelector<>(COMMON, keys).selectJWSKeys(header, context);
        }
        var found = new ArrayList<Key>();
        for (var jwk : keys.get(new JWKSelector(JWKMatcher.forJWSHeader(header)), context)) {
            found.add(new Ed25519Key(jwk.toOctetKeyPair()));
        }
        return found;
    }

    Map<String, Object> answer(Map<String, Object> command) {
        long started = System.nanoTime();
        Map<String, Object> result;
        try {
            JWTClaimsSet claims = processor.process((String) command.get("token"), null);
            if (Boolean.TRUE.equals(command.get("status"))) {
                lists.check(claims);
            }
            result = Map.of("ok", true, "http", 200, "sub", claims.getSubject());
        } catch (Exception e) {
            int http = e instanceof StatusList.StatusUnknown || e instanceof KeySourceException ? 503 : 401;
            result = Map.of("ok", false, "http", http, "error", e.getClass().getSimpleName() + ": " + e.getMessage());
        }
        var answer = new HashMap<String, Object>(result);
        answer.put("seconds", (System.nanoTime() - started) / 1e9);
        return answer;
    }

    /** Checks a token several times at once, if asked to. */
    List<Object> answers(String line) throws Exception {
        var command = JSONObjectUtils.parse(line);
        var checks = new ArrayList<Callable<Object>>();
        for (long n = (long) command.getOrDefault("times", 1L); n > 0; n--) {
            checks.add(() -> answer(command));
        }
        var answers = new ArrayList<Object>();
        for (var done : pool.invokeAll(checks)) {
            answers.add(done.get());
        }
        return answers;
    }

    public static void main(String[] args) throws Exception {
        var verifier = new Verifier(args[0], args[1], args[2]);
        var version = JWSObject.class.getPackage().getImplementationVersion();
        writeLine(Map.of("library", "Nimbus JOSE+JWT", "version", version == null ? "?" : version));
        var in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(JSONArrayUtils.toJSONString(verifier.answers(line)));
        }
        System.exit(0); // The library's thread does not end by itself.
    }

    private static void writeLine(Map<String, Object> answer) {
        System.out.println(JSONObjectUtils.toJSONString(answer));
    }
}
