"""A service in Python that uses a guard to check its callers' tokens: service.py PORT GUARD_URL."""

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

port, guard = int(sys.argv[1]), urlsplit(sys.argv[2])


def check(authorization):
    """Forward an Authorization header to the guard; return its status, subject and challenge."""
    connection = http.client.HTTPConnection(guard.hostname, guard.port, timeout=2)
    try:
        connection.request("GET", "/check", headers={"Authorization": authorization} if authorization else {})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("x-chancery-subject"), answer.headers.get("www-authenticate")
    except OSError:
        # Without the guard the caller cannot be identified.
        return 503, None, None
    finally:
        connection.close()


class Orders(BaseHTTPRequestHandler):
    def do_GET(self):
        status, subject, challenge = check(", ".join(self.headers.get_all("Authorization", [])))
        body = f"orders of {subject}\n" if status == 200 else ""
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", port), Orders)
print(f"ready http=127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
