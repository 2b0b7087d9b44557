import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executors;

/** A service in Java that uses a guard to check its callers' tokens: java Service.java PORT GUARD_URL. */
public class Service {
  private static final HttpClient CLIENT = HttpClient.newHttpClient();

  public static void main(String[] args) throws IOException {
    URI check = URI.create(args[1] + "/check");
    var address = new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0]));
    HttpServer server = HttpServer.create(address, 0);
    server.setExecutor(Executors.newCachedThreadPool());
    server.createContext("/", exchange -> orders(exchange, check));
    server.start();
    System.out.println("ready http=127.0.0.1:" + server.getAddress().getPort());
  }

  /** Forwards the caller's Authorization headers to the guard; returns null if it does not answer. */
  private static HttpResponse<Void> checkToken(HttpExchange exchange, URI check) {
    HttpRequest.Builder checkRequest = HttpRequest.newBuilder(check).timeout(Duration.ofSeconds(2));
    List<String> values = exchange.getRequestHeaders().getOrDefault("Authorization", List.of());
    values.forEach(value -> checkRequest.header("Authorization", value));
    try {
      return CLIENT.send(checkRequest.build(), HttpResponse.BodyHandlers.discarding());
    } catch (IOException | InterruptedException e) {
      return null;
    }
  }

  private static void orders(HttpExchange exchange, URI check) throws IOException {
    try (exchange) {
      HttpResponse<Void> result = checkToken(exchange, check);
      if (result == null) {
        // Without the guard the caller cannot be identified.
        exchange.sendResponseHeaders(503, -1);
        return;
      }
      if (result.statusCode() != 200) {
        result.headers().firstValue("www-authenticate")
            .ifPresent(value -> exchange.getResponseHeaders().set("WWW-Authenticate", value));
        exchange.sendResponseHeaders(result.statusCode(), -1);
        return;
      }
      String subject = result.headers().firstValue("x-chancery-subject").orElse("");
      byte[] body = ("orders of " + subject + "\n").getBytes();
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
    }
  }
}
