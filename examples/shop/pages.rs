//! The looks of the pages.

use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use minijinja::{Environment, value::Serde};
use serde_json::Value;

use crate::visit::Visit;

/// The pages' names and templates.
const TEMPLATES: [(&str, &str); 9] = [
    ("base.html", include_str!("templates/base.html")),
    ("products.html", include_str!("templates/products.html")),
    ("cart.html", include_str!("templates/cart.html")),
    ("address.html", include_str!("templates/address.html")),
    ("account.html", include_str!("templates/account.html")),
    ("delivery.html", include_str!("templates/delivery.html")),
    ("confirm.html", include_str!("templates/confirm.html")),
    ("orders.html", include_str!("templates/orders.html")),
    ("forbidden.html", include_str!("templates/forbidden.html")),
];

/// The templates. Their names end in `.html`, so what they show is escaped.
pub(crate) struct Pages(Environment<'static>);

impl Pages {
    /// Reads the templates.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut environment = Environment::new();
        for (name, text) in TEMPLATES {
            environment.add_template(name, text)?;
        }
        Ok(Self(environment))
    }

    /// A page for a visit.
    pub(crate) fn answer(&self, name: &str, visit: &Visit, mut shown: Value) -> Response {
        if let Some(values) = shown.as_object_mut() {
            values.insert("visit".to_owned(), visit.shown());
        }
        let page = self.0.get_template(&format!("{name}.html")).and_then(|template| template.render(Serde(shown)));
        match page {
            // What is in the cart is nobody else's business.
            Ok(page) => ([(header::CACHE_CONTROL, "no-store")], Html(page)).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}
