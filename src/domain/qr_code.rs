//! Pictures of texts, for a camera to read.

use base64::{Engine, engine::general_purpose::STANDARD};
use qrcode::{EcLevel, QrCode, render::svg};

/// A QR code as a picture in SVG; nothing if the text is too long for one (2 331 bytes).
#[must_use]
pub fn svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    // Dark on light whatever the page's colours are: many apps read nothing else.
    let (dark, light) = (svg::Color("#000"), svg::Color("#fff"));
    Some(code.render().min_dimensions(200, 200).dark_color(dark).light_color(light).build())
}

/// The same as a URL, for an `img`; empty if there is none.
#[must_use]
pub fn data_url(text: &str) -> String {
    svg(text).map(|picture| format!("data:image/svg+xml;base64,{}", STANDARD.encode(picture))).unwrap_or_default()
}
