//! The products, and the cart, which follows its owner from device to device.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Shop,
    kept::{Changed, Place},
    visit::Visit,
};

/// Where the cart is kept.
pub(crate) const CART: Place = Place { namespace: "cart", owner: "user" };
/// What its owner put into a cart as a guest, where an account has a cart already and the client keeps both.
const GUESTS: Place = Place { namespace: "cart", owner: "session" };
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

/// How many of which product. The scripts of a page can keep any numbers here.
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
            let pieces = self.of(product.id);
            let price = euros(pieces * product.price);
            json!({ "id": product.id, "name": product.name, "pieces": pieces, "price": price })
        };
        PRODUCTS.iter().filter(|product| self.of(product.id) > 0).map(line).collect()
    }

    /// What it costs.
    pub(crate) fn total(&self) -> String {
        euros(PRODUCTS.iter().map(|product| self.of(product.id) * product.price).sum())
    }

    /// How many pieces of a product.
    fn of(&self, id: &str) -> u32 {
        self.pieces.get(id).copied().unwrap_or_default().min(MOST)
    }

    fn add(&mut self, id: &str, more: u32) {
        if more > 0 && PRODUCTS.iter().any(|product| product.id == id) {
            let pieces = (self.of(id) + more).min(MOST);
            self.pieces.insert(id.to_owned(), pieces);
        }
    }

    fn add_all(&mut self, others: &Self) {
        for product in &PRODUCTS {
            self.add(product.id, others.of(product.id));
        }
    }

    fn count(&self) -> u32 {
        PRODUCTS.iter().map(|product| self.of(product.id)).sum()
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
    let guests: Cart =
        if visit.signed_in() { GUESTS.read(&shop.chancery, &visit.parts).await?.value } else { Cart::default() };
    let shown = json!({ "lines": cart.lines(), "total": cart.total(), "guests": guests.lines() });
    Ok(shop.pages.answer("cart", &visit, shown))
}

/// Adds the cart of the guest to that of the account, or forgets it. It is added by whoever deletes it, so a double click
/// adds it once.
pub(crate) async fn choose(State(shop): State<Shop>, visit: Visit, form: Bytes) -> Result<Redirect, Response> {
    let guests = GUESTS.read::<Cart>(&shop.chancery, &visit.parts).await?;
    let deleted = GUESTS.delete(&shop.chancery, &visit.parts, guests.version()).await?;
    if let Changed::Kept(_) = deleted
        && Visit::field(&form, "choice") == "add"
    {
        CART.change(&shop.chancery, &visit.parts, |cart: &mut Cart| cart.add_all(&guests.value)).await?;
    }
    Ok(Redirect::to("/cart"))
}

/// Puts a product in, or takes all of its pieces out.
pub(crate) async fn change(State(shop): State<Shop>, visit: Visit, form: Bytes) -> Result<Response, Response> {
    let (add, remove) = (Visit::field(&form, "add"), Visit::field(&form, "remove"));
    let change = |cart: &mut Cart| {
        cart.add(&add, 1);
        cart.pieces.remove(&remove);
    };
    let cookies = CART.change(&shop.chancery, &visit.parts, change).await?;
    Ok((cookies, Redirect::to("/cart")).into_response())
}
