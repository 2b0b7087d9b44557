//! The orders: what the shop itself keeps. A real one has a database for them.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Serialize;
use serde_json::json;

use crate::{Shop, cart::Cart, visit::Visit};

/// How many orders are kept. The oldest ones go first.
const MOST: usize = 1000;

#[derive(Clone, Serialize)]
struct Order {
    /// The claim `sub` of whoever ordered: it never changes.
    #[serde(skip)]
    subject: String,
    name: String,
    street: String,
    total: String,
}

/// The orders, oldest first.
#[derive(Default)]
pub(crate) struct Orders(Mutex<VecDeque<Order>>);

impl Orders {
    /// Adds one.
    pub(crate) fn place(&self, visit: &Visit, street: &str, cart: &Cart) {
        let (subject, name) = (visit.subject.clone(), visit.name.clone());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MOST {
            all.pop_front();
        }
        all.push_back(Order { subject, name, street: street.to_owned(), total: cart.total() });
    }

    fn which(&self, are_meant: impl Fn(&Order) -> bool) -> Vec<Order> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|order| are_meant(order)).cloned().collect()
    }
}

/// The orders of whoever is signed in.
pub(crate) async fn own(State(shop): State<Shop>, visit: Visit) -> Response {
    if !visit.signed_in() {
        return Redirect::to("/auth/login?return_to=/orders").into_response();
    }
    let orders = shop.orders.which(|order| order.subject == visit.subject);
    shop.pages.answer("orders", &visit, json!({ "orders": orders, "title": "Your orders" }))
}

/// All orders, for clerks alone.
pub(crate) async fn all(State(shop): State<Shop>, visit: Visit) -> Response {
    if !visit.signed_in() {
        return Redirect::to("/auth/login?return_to=/admin").into_response();
    }
    if !visit.may("orders.manage") {
        return (StatusCode::FORBIDDEN, shop.pages.answer("forbidden", &visit, json!({}))).into_response();
    }
    let orders = shop.orders.which(|_| true);
    shop.pages.answer("orders", &visit, json!({ "orders": orders, "title": "All orders" }))
}
