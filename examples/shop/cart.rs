//! The products, and the cart, which follows its owner from device to device.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Shop, kept::Place, visit::Visit};

/// Where the cart is kept.
pub(crate) const CART: Place = Place { namespace: "cart", owner: "user" };
/// Maximum number of pieces of one product.
const MOST: u32 = 20;

/// Something to buy.
struct Product {
    id: &'static str,
    name: &'static str,
    /// In cents.
    price: u32,
}

const PRODUCTS: [Product; 4] = [
    Product { id: "quill", name: "Quill", price: 450 },
    Product { id: "ink", name: "Iron gall ink", price: 900 },
    Product { id: "wax", name: "Sealing wax", price: 620 },
    Product { id: "seal", name: "Brass seal", price: 3900 },
];

/// How many of which product.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cart {
    pieces: BTreeMap<String, u32>,
}

impl Cart {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines().is_empty()
    }

    /// What is in it, with names and prices.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let line = |product: &Product| {
            let pieces = *self.pieces.get(product.id)?;
            let price = euros(pieces.min(MOST) * product.price);
            Some(json!({ "id": product.id, "name": product.name, "pieces": pieces, "price": price }))
        };
        PRODUCTS.iter().filter_map(line).collect()
    }

    /// What it costs.
    pub(crate) fn total(&self) -> String {
        let price = |product: &Product| Some(self.pieces.get(product.id)?.min(&MOST) * product.price);
        euros(PRODUCTS.iter().filter_map(price).sum())
    }

    fn add(&mut self, id: &str) {
        if PRODUCTS.iter().any(|product| product.id == id) {
            let pieces = self.pieces.entry(id.to_owned()).or_default();
            *pieces = (*pieces + 1).min(MOST);
        }
    }

    fn count(&self) -> u32 {
        self.pieces.values().sum()
    }
}

fn euros(cents: u32) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

/// The shop's first page.
pub(crate) async fn products(State(shop): State<Shop>, visit: Visit) -> Result<Response, Response> {
    // A browser that is not recognised yet gets its cookie first. One that takes none would come back again and again.
    let asked = visit.parts.uri.query() == Some("again");
    if !visit.recognised && !asked {
        return Ok(Redirect::to("/auth/visitor?return_to=/?again").into_response());
    }
    let cart: Cart = CART.read(&shop.chancery, &visit.parts).await?.value;
    let product = |p: &Product| json!({ "id": p.id, "name": p.name, "price": euros(p.price) });
    let products: Vec<Value> = PRODUCTS.iter().map(product).collect();
    let shown = json!({ "products": products, "pieces": cart.count(), "blocked": !visit.recognised });
    Ok(shop.pages.answer("products", &visit, shown))
}

/// The cart.
pub(crate) async fn show(State(shop): State<Shop>, visit: Visit) -> Result<Response, Response> {
    let cart: Cart = CART.read(&shop.chancery, &visit.parts).await?.value;
    Ok(shop.pages.answer("cart", &visit, json!({ "lines": cart.lines(), "total": cart.total() })))
}

/// Puts a product in, or takes all of its pieces out.
pub(crate) async fn change(State(shop): State<Shop>, visit: Visit, form: Bytes) -> Result<Response, Response> {
    let (add, remove) = (Visit::field(&form, "add"), Visit::field(&form, "remove"));
    let change = |cart: &mut Cart| {
        cart.add(&add);
        cart.pieces.remove(&remove);
    };
    let cookies = CART.change(&shop.chancery, &visit.parts, change).await?;
    Ok((cookies, Redirect::to("/cart")).into_response())
}
