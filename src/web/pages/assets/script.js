// Enhances the pages. Everything works without it.
(function () {
  "use strict";
  var texts = document.body.dataset;

  // Passwords can be shown. They are hidden again before they are sent, so that no browser offers them as plain text.
  function hide(input, button) {
    input.type = "password";
    button.textContent = texts.show;
    button.setAttribute("aria-pressed", "false");
  }
  document.querySelectorAll('input[type="password"]').forEach(function (input) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "reveal";
    button.setAttribute("aria-label", texts.showLabel);
    button.setAttribute("aria-controls", input.id);
    hide(input, button);
    button.addEventListener("click", function () {
      if (input.type === "password") {
        input.type = "text";
        button.textContent = texts.hide;
        button.setAttribute("aria-pressed", "true");
      } else {
        hide(input, button);
      }
    });
    if (input.form) {
      input.form.addEventListener("submit", function () {
        hide(input, button);
      });
    }
    input.parentNode.appendChild(button);
  });

  // A form is sent once. A page that comes back from the browser's memory can be sent again.
  document.querySelectorAll("form").forEach(function (form) {
    form.addEventListener("submit", function (event) {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      if (form.dataset.again !== undefined) {
        return;
      }
      form.dataset.sent = "true";
      form.querySelectorAll('button[type="submit"]').forEach(function (button) {
        button.setAttribute("aria-disabled", "true");
      });
    });
  });
  window.addEventListener("pageshow", function (event) {
    if (!event.persisted) {
      return;
    }
    document.querySelectorAll("form").forEach(function (form) {
      delete form.dataset.sent;
      form.querySelectorAll("button[aria-disabled]").forEach(function (button) {
        button.removeAttribute("aria-disabled");
      });
    });
  });

  // Times in the zone of the reader.
  if (window.Intl && Intl.DateTimeFormat) {
    document.querySelectorAll("time[datetime]").forEach(function (time) {
      var at = new Date(time.dateTime);
      if (!isNaN(at)) {
        time.title = time.textContent;
        time.textContent = at.toLocaleString(document.documentElement.lang, { dateStyle: "long", timeStyle: "short" });
      }
    });
  }

  // The token of a link does not stay in the address bar or in the history.
  if (document.querySelector("[data-clean-address]") && location.search) {
    history.replaceState(null, "", location.pathname);
  }

  if (navigator.clipboard) {
    document.querySelectorAll("code[data-copy]").forEach(function (code) {
      var button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = texts.copy;
      button.addEventListener("click", function () {
        navigator.clipboard.writeText(code.textContent).then(function () {
          button.textContent = texts.copied;
        });
      });
      (code.closest("pre") || code).insertAdjacentElement("afterend", button);
    });
  }

  // The first thing to put right.
  var problems = document.getElementById("problems");
  if (problems) {
    problems.focus();
  }
})();
