// Passkeys (WebAuthn). The button is there only where this runs; everything else on the page works without it.
(function () {
  "use strict";
  var box = document.querySelector("[data-passkey]");
  var form = document.getElementById("passkey-form");
  if (!box || !form || !window.PublicKeyCredential || !navigator.credentials) {
    return;
  }
  var button = document.getElementById("passkey-submit");
  var problem = document.getElementById("passkey-problem");
  var creates = box.dataset.passkeyKind === "create";
  var autofill = box.dataset.passkeyAutofill !== undefined;
  var options = JSON.parse(box.dataset.passkey);
  var loadedAt = Date.now();
  var waiting = null;
  // What the server has asked for is good for five minutes.
  var FRESH = 4 * 60 * 1000;

  function bytes(text) {
    var binary = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    var out = new Uint8Array(binary.length);
    for (var i = 0; i < binary.length; i += 1) {
      out[i] = binary.charCodeAt(i);
    }
    return out;
  }
  function text(buffer) {
    var binary = "";
    new Uint8Array(buffer).forEach(function (byte) {
      binary += String.fromCharCode(byte);
    });
    return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  // The options as browsers take them. Not by parseRequestOptionsFromJSON, which older browsers lack.
  function publicKey() {
    var out = Object.assign({}, options, { challenge: bytes(options.challenge) });
    function descriptor(one) {
      return Object.assign({}, one, { id: bytes(one.id) });
    }
    if (out.allowCredentials) {
      out.allowCredentials = out.allowCredentials.map(descriptor);
    }
    if (out.excludeCredentials) {
      out.excludeCredentials = out.excludeCredentials.map(descriptor);
    }
    if (out.user) {
      out.user = Object.assign({}, out.user, { id: bytes(out.user.id) });
    }
    return out;
  }
  // The answer in JSON. Not by toJSON, which older browsers and some password managers lack.
  function answer(credential) {
    var given = credential.response;
    var response = { clientDataJSON: text(given.clientDataJSON) };
    if (creates) {
      response.attestationObject = text(given.attestationObject);
      response.transports = given.getTransports ? given.getTransports() : [];
    } else {
      response.authenticatorData = text(given.authenticatorData);
      response.signature = text(given.signature);
      if (given.userHandle && given.userHandle.byteLength) {
        response.userHandle = text(given.userHandle);
      }
    }
    var out = {
      id: text(credential.rawId),
      rawId: text(credential.rawId),
      type: credential.type,
      clientExtensionResults: {},
      response: response,
    };
    if (credential.authenticatorAttachment) {
      out.authenticatorAttachment = credential.authenticatorAttachment;
    }
    return JSON.stringify(out);
  }

  function field(name) {
    return form.querySelector('input[name="' + name + '"]');
  }
  function put(name, value) {
    var input = field(name);
    if (!input) {
      input = document.createElement("input");
      input.type = "hidden";
      input.name = name;
      form.appendChild(input);
    }
    input.value = value;
  }
  function send(credential) {
    var shared = document.getElementById("shared_computer");
    if (shared && shared.checked) {
      put("shared_computer", shared.value);
    }
    put("passkey_response", answer(credential));
    form.submit();
  }

  // Asks for the page again, in JSON, once what it came with has become too old.
  function refresh() {
    if (!autofill || Date.now() - loadedAt < FRESH) {
      return Promise.resolve();
    }
    return fetch(form.action, { headers: { Accept: "application/json" }, credentials: "same-origin" })
      .then(function (response) {
        return response.json();
      })
      .then(function (page) {
        if (!page.passkey_options) {
          return;
        }
        options = page.passkey_options;
        loadedAt = Date.now();
        put("csrf", page.csrf);
        page.actions.forEach(function (action) {
          action.fields.forEach(function (one) {
            if (action.name === "passkey" && one.name === "form") {
              put("form", one.value);
            }
          });
        });
      })
      .catch(function () {});
  }

  function ask(mediation) {
    if (waiting) {
      waiting.abort();
    }
    var own = new AbortController();
    waiting = own;
    return refresh()
      .then(function () {
        if (own.signal.aborted) {
          throw new DOMException("", "AbortError");
        }
        var request = { publicKey: publicKey(), signal: own.signal };
        if (mediation) {
          request.mediation = mediation;
        }
        return creates ? navigator.credentials.create(request) : navigator.credentials.get(request);
      })
      .then(send);
  }

  // Passkeys among what the browser offers for the user name.
  function offer() {
    var timer = setTimeout(offer, FRESH);
    ask("conditional").catch(function (error) {
      if (error.name !== "AbortError") {
        clearTimeout(timer);
      }
    });
    offer.stop = function () {
      clearTimeout(timer);
    };
  }
  function offerIfPossible() {
    var possible = window.PublicKeyCredential.isConditionalMediationAvailable;
    if (autofill && possible) {
      possible.call(window.PublicKeyCredential).then(function (available) {
        if (available) {
          offer();
        }
      });
    }
  }

  form.addEventListener("submit", function (event) {
    event.preventDefault();
    problem.hidden = true;
    button.setAttribute("aria-disabled", "true");
    if (offer.stop) {
      offer.stop();
    }
    ask().catch(function (error) {
      button.removeAttribute("aria-disabled");
      if (error.name !== "AbortError") {
        // Said aloud, because the page does not change otherwise.
        problem.setAttribute("role", "alert");
        problem.hidden = false;
        offerIfPossible();
      }
    });
  });

  box.hidden = false;
  // After one was refused, its user decides: an authenticator that answers by itself would be refused for ever.
  if (box.dataset.passkeyAutofill !== "wait") {
    offerIfPossible();
  }
})();
