//! Each page as it is.

use chancery::web::pages::{Accent, Pages, Sample};

#[test]
fn each_page_is_as_it_was() {
    let pages = Pages::new(None).unwrap();
    for sample in Sample::all() {
        let page = pages.render(&sample.look, &sample.view).replace("&#x2f;", "/");
        // The names of the assets change with every touch of the style sheet.
        let names = page.split("/auth/assets/").skip(1).filter_map(|rest| rest.split('"').next());
        let text = names.fold(page.clone(), |text, name| {
            let (stem, kind) = (name.split('-').next().unwrap(), name.rsplit('.').next().unwrap());
            text.replace(name, &format!("{stem}-….{kind}"))
        });
        let text: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        insta::assert_snapshot!(format!("page {}", sample.name), text.join("\n"));
    }
}

#[test]
fn a_client_has_its_own_colours() {
    let sheets = [Accent::new(0x1f, 0x4f, 0xa3), Accent::new(0xff, 0x99, 0), Accent::new(0xff, 0xff, 0xff)]
        .map(|accent| Pages::new(None).unwrap().asset(&format!("accent-{}.css", accent.digits())).unwrap().content);
    insta::assert_snapshot!(sheets.join("\n"));
}
