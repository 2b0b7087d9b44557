//! Writes every page with sample values to a folder, to look at: `CHTEST_WRITE_PREVIEWS=DIR`, with
//! `CHTEST_PAGE_TEMPLATES=DIR` and `CHTEST_PAGE_TEXTS=DIR` for templates and texts of one's own.

use std::{env, fs, path::PathBuf};

use chancery::{
    domain::mail::Language,
    web::pages::{Pages, Sample},
};

#[test]
fn previews_are_written_where_somebody_wants_them() {
    let Some(folder) = env::var_os("CHTEST_WRITE_PREVIEWS").map(PathBuf::from) else { return };
    let given = |name| env::var_os(name).map(PathBuf::from);
    let (templates, texts) = (given("CHTEST_PAGE_TEMPLATES"), given("CHTEST_PAGE_TEXTS"));
    let pages = Pages::with_texts(templates.as_deref(), texts.as_deref())
        .unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
    fs::create_dir_all(folder.join("auth/assets")).unwrap();
    for language in pages.languages() {
        fs::create_dir_all(folder.join(language.as_str())).unwrap();
        for sample in Sample::all() {
            write(&pages, &folder, &language, sample);
        }
    }
}

fn write(pages: &Pages, folder: &std::path::Path, language: &Language, mut sample: Sample) {
    sample.look.language = language.clone();
    let page = pages.render(&sample.look, &sample.view).replace("&#x2f;", "/");
    for asset in page.split("/auth/assets/").skip(1).filter_map(|rest| rest.split('"').next()) {
        let content = pages.asset(asset).unwrap().content;
        fs::write(folder.join("auth/assets").join(asset), content.as_bytes()).unwrap();
    }
    fs::write(folder.join(language.as_str()).join(format!("{}.html", sample.name)), page).unwrap();
}
