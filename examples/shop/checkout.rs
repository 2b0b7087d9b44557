//! A form of three steps: the address, the delivery, the order. What was filled in is kept with the session, so it
//! survives a reload, a second tab, and the registration in the middle of it.

use axum::{
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Shop,
    cart::{CART, Cart},
    kept::{Changed, Kept, Place},
    visit::Visit,
};

/// Where the form is kept.
const FORM: Place = Place { namespace: "checkout", owner: "session" };

/// What was filled in so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Form {
    recipient: String,
    street: String,
    delivery: String,
}

impl Form {
    /// The step that comes next.
    const fn next(&self) -> &'static str {
        if self.recipient.is_empty() || self.street.is_empty() {
            "/checkout/address"
        } else if self.delivery.is_empty() {
            "/checkout/delivery"
        } else {
            "/checkout/confirm"
        }
    }
}

/// To the step that comes next, or to the cart if there is nothing in it.
pub(crate) async fn begin(State(shop): State<Shop>, visit: Visit) -> Result<Redirect, Response> {
    let cart: Cart = CART.read(&shop.chancery, &visit.parts).await?.value;
    if cart.is_empty() {
        return Ok(Redirect::to("/cart"));
    }
    let form: Form = FORM.read(&shop.chancery, &visit.parts).await?.value;
    Ok(Redirect::to(form.next()))
}

/// The first step, which a guest takes too.
pub(crate) async fn show_address(State(shop): State<Shop>, visit: Visit) -> Result<Response, Response> {
    let form: Form = FORM.read(&shop.chancery, &visit.parts).await?.value;
    Ok(shop.pages.answer("address", &visit, json!({ "form": form })))
}

/// Keeps the address.
pub(crate) async fn take_address(State(shop): State<Shop>, visit: Visit, fields: Bytes) -> Result<Response, Response> {
    let (recipient, street) = (Visit::field(&fields, "recipient"), Visit::field(&fields, "street"));
    if recipient.is_empty() || street.is_empty() {
        let form = Form { recipient, street, ..Form::default() };
        let page = shop.pages.answer("address", &visit, json!({ "form": form, "incomplete": true }));
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let change = |form: &mut Form| (form.recipient, form.street) = (recipient.clone(), street.clone());
    let cookies = FORM.change(&shop.chancery, &visit.parts, change).await?;
    Ok((cookies, Redirect::to("/checkout/delivery")).into_response())
}

/// The second step. Orders need an account: whoever has none registers here, and comes back.
pub(crate) async fn show_delivery(State(shop): State<Shop>, visit: Visit) -> Result<Response, Response> {
    let form: Form = FORM.read(&shop.chancery, &visit.parts).await?.value;
    let page = if visit.signed_in() { "delivery" } else { "account" };
    Ok(shop.pages.answer(page, &visit, json!({ "form": form, "here": "/checkout/delivery" })))
}

/// Keeps the delivery.
pub(crate) async fn take_delivery(State(shop): State<Shop>, visit: Visit, fields: Bytes) -> Result<Response, Response> {
    let delivery = Visit::field(&fields, "delivery");
    if visit.signed_in() && matches!(&*delivery, "post" | "courier") {
        FORM.change(&shop.chancery, &visit.parts, |form: &mut Form| form.delivery.clone_from(&delivery)).await?;
    }
    Ok(Redirect::to("/checkout").into_response())
}

/// What the third step shows, and what is ordered.
struct Summary {
    form: Kept<Form>,
    cart: Kept<Cart>,
}

impl Summary {
    async fn read(shop: &Shop, visit: &Visit) -> Result<Self, Response> {
        let form = FORM.read(&shop.chancery, &visit.parts).await?;
        Ok(Self { form, cart: CART.read(&shop.chancery, &visit.parts).await? })
    }

    fn is_complete(&self) -> bool {
        self.form.value.next() == "/checkout/confirm" && !self.cart.value.is_empty()
    }

    /// Whether this is what the page has shown that these fields come from.
    fn was_shown(&self, fields: &[u8]) -> bool {
        Visit::field(fields, "form") == self.form.version() && Visit::field(fields, "cart") == self.cart.version()
    }

    fn page(&self, shop: &Shop, visit: &Visit, changed: bool) -> Response {
        let (form, cart) = (&self.form.value, &self.cart.value);
        let versions = json!({ "form": self.form.version(), "cart": self.cart.version() });
        let shown = json!({ "form": form, "lines": cart.lines(), "total": cart.total(), "versions": versions, "changed": changed });
        shop.pages.answer("confirm", visit, shown)
    }
}

/// The third step: everything once more.
pub(crate) async fn show_summary(State(shop): State<Shop>, visit: Visit) -> Result<Response, Response> {
    let summary = Summary::read(&shop, &visit).await?;
    if !visit.signed_in() || !summary.is_complete() {
        return Ok(Redirect::to("/checkout").into_response());
    }
    Ok(summary.page(&shop, &visit, false))
}

/// Places the order that the page has shown, and asks again if a second tab has changed it since. It is placed by whoever
/// deletes this very version of the cart, so a double click orders once.
pub(crate) async fn order(State(shop): State<Shop>, visit: Visit, fields: Bytes) -> Result<Response, Response> {
    let shown = Summary::read(&shop, &visit).await?;
    if visit.signed_in() && shown.is_complete() && shown.was_shown(&fields) {
        let deleted = CART.delete(&shop.chancery, &visit.parts, shown.cart.version()).await?;
        if let Changed::Kept(_) = deleted {
            shop.orders.place(&visit, &shown.form.value.street, &shown.cart.value);
            // The address stays for the next order; how it was delivered is asked again.
            FORM.change(&shop.chancery, &visit.parts, |form: &mut Form| form.delivery.clear()).await?;
            return Ok(Redirect::to("/orders").into_response());
        }
    }
    let now = Summary::read(&shop, &visit).await?;
    if now.cart.value.is_empty() {
        return Ok(Redirect::to("/orders").into_response());
    }
    if !visit.signed_in() || !now.is_complete() {
        return Ok(Redirect::to("/checkout").into_response());
    }
    Ok((StatusCode::CONFLICT, now.page(&shop, &visit, true)).into_response())
}
