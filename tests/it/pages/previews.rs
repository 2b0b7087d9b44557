//! Writes every page with sample values to a folder, to look at: `CHTEST_WRITE_PREVIEWS=DIR`, with
//! `CHTEST_PAGE_TEMPLATES=DIR` for templates of one's own.

use std::{env, fs, path::PathBuf};

use chancery::web::pages::{Pages, Sample};

#[test]
fn previews_are_written_where_somebody_wants_them() {
    let Some(folder) = env::var_os("CHTEST_WRITE_PREVIEWS").map(PathBuf::from) else { return };
    let templates = env::var_os("CHTEST_PAGE_TEMPLATES").map(PathBuf::from);
    let pages = Pages::new(templates.as_deref()).unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
    fs::create_dir_all(folder.join("auth/assets")).unwrap();
    for sample in Sample::all() {
        let page = pages.render(&sample.look, &sample.view).replace("&#x2f;", "/");
        for asset in page.split("/auth/assets/").skip(1).filter_map(|rest| rest.split('"').next()) {
            let content = pages.asset(asset).unwrap().content;
            fs::write(folder.join("auth/assets").join(asset), content.as_bytes()).unwrap();
        }
        fs::write(folder.join(format!("{}.html", sample.name)), page).unwrap();
    }
}
