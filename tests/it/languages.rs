//! The language of pages, of mails and of users.

mod german;
mod mails;
mod pages;
mod sources;
mod users;
