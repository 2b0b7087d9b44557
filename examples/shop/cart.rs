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
    kept::{Kept, Place},
    visit::Visit,
};

/// Where the cart is kept.
pub(crate) const CART: Place = Place { namespace: "cart", owner: "user" };
/// What its owner put into a cart as a guest, where an account has a cart already and the client keeps both.
const GUESTS: Place = Place { namespace: "cart", owner: "session" };
/// Maximum number of pieces of one product.
const MOST: u32 = 20;
/// How many carts of guests an account's cart remembers.
const MOST_TAKEN: usize = 8;

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
    /// The versions of the carts of guests that were added to it, the newest last. Such a cart is deleted only afterwards,
    /// so that nothing is lost in between, and can be met again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    taken: Vec<String>,
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

    /// Adds the cart of a guest that has this version, once.
    fn take(&mut self, guests: &Self, version: &str) {
        if self.has_taken(version) {
            return;
        }
        for product in &PRODUCTS {
            self.add(product.id, guests.of(product.id));
        }
        self.taken.push(version.to_owned());
        let before = self.taken.len().saturating_sub(MOST_TAKEN);
        self.taken.drain(..before);
    }

    fn has_taken(&self, version: &str) -> bool {
        self.taken.iter().any(|taken| taken == version)
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
    let guests: Kept<Cart> =
        if visit.signed_in() { GUESTS.read(&shop.chancery, &visit.parts).await? } else { Kept::default() };
    let beside = if cart.has_taken(guests.version()) { Vec::new() } else { guests.value.lines() };
    let shown = json!({ "lines": cart.lines(), "total": cart.total(), "guests": beside });
    Ok(shop.pages.answer("cart", &visit, shown))
}

/// Adds the cart of the guest to that of the account, or forgets it. It is deleted only when it has been added: if Chancery
/// refuses one of the two, it is not lost, and the next click does the rest. A double click adds it once.
pub(crate) async fn choose(State(shop): State<Shop>, visit: Visit, form: Bytes) -> Result<Redirect, Response> {
    let guests = GUESTS.read::<Cart>(&shop.chancery, &visit.parts).await?;
    if !guests.version().is_empty() && Visit::field(&form, "choice") == "add" {
        let take = |cart: &mut Cart| cart.take(&guests.value, guests.version());
        CART.change(&shop.chancery, &visit.parts, take).await?;
    }
    GUESTS.delete(&shop.chancery, &visit.parts, guests.version()).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cart_of(id: &str) -> Cart {
        let mut cart = Cart::default();
        cart.add(id, 1);
        cart
    }

    #[test]
    fn a_guests_cart_is_added_once_also_if_it_could_not_be_deleted() {
        let mut cart = cart_of("ink");
        for version in ["\"1\"", "\"1\"", "\"2\"", "\"1\""] {
            cart.take(&cart_of("quill"), version);
        }
        assert_eq!((cart.of("ink"), cart.of("quill")), (1, 2));
    }

    #[test]
    fn a_cart_remembers_the_newest_of_those_that_it_has_taken() {
        let mut cart = Cart::default();
        for version in 0..=MOST_TAKEN {
            cart.take(&cart_of("seal"), &version.to_string());
        }
        assert!(!cart.has_taken("0"));
        assert!((1..=MOST_TAKEN).all(|version| cart.has_taken(&version.to_string())));
    }
}
