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
    kept::{Changed, Place},
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

/// The third step: everything once more.
pub(crate) async fn show_summary(State(shop): State<Shop>, visit: Visit) -> Result<Response, Response> {
    let form: Form = FORM.read(&shop.chancery, &visit.parts).await?.value;
    let cart: Cart = CART.read(&shop.chancery, &visit.parts).await?.value;
    if !visit.signed_in() || form.next() != "/checkout/confirm" || cart.is_empty() {
        return Ok(Redirect::to("/checkout").into_response());
    }
    let shown = json!({ "form": form, "lines": cart.lines(), "total": cart.total() });
    Ok(shop.pages.answer("confirm", &visit, shown))
}

/// Places the order. It is placed by whoever empties the cart, so a double click orders once.
pub(crate) async fn order(State(shop): State<Shop>, visit: Visit) -> Result<Response, Response> {
    let form = FORM.read::<Form>(&shop.chancery, &visit.parts).await?;
    let cart = CART.read::<Cart>(&shop.chancery, &visit.parts).await?;
    if !visit.signed_in() || form.value.next() != "/checkout/confirm" || cart.value.is_empty() {
        return Ok(Redirect::to("/orders").into_response());
    }
    if let Changed::Kept(_) = CART.delete(&shop.chancery, &visit.parts, &cart).await? {
        shop.orders.place(&visit, &form.value.street, &cart.value);
        // The address stays for the next order; how it was delivered is asked again.
        FORM.change(&shop.chancery, &visit.parts, |form: &mut Form| form.delivery.clear()).await?;
    }
    Ok(Redirect::to("/orders").into_response())
}
