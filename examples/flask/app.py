"""The programs in this folder, side by side. Each is a whole program as well: `flask --app who run`.

    pip install flask
    flask --app examples/flask/app run --port 5000              # in one terminal
    cargo run -- serve --dev --app http://127.0.0.1:5000        # in another; then open http://localhost:8000
"""

import refunds
import sign_in
import sign_out
import visits
import who
from werkzeug.middleware.dispatcher import DispatcherMiddleware

app = who.app
others = {"/visits": visits.app, "/sign-in": sign_in.app, "/sign-out": sign_out.app, "/refunds": refunds.app}
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, others)
