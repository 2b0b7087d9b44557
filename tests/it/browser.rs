//! The pages of the sign-in, through the real routes, as browsers see them.

mod client;
mod floods;
mod flow_states;
mod forms;
mod own_factors;
mod second_factor;
mod sessions;
mod step_up;
mod steps;

pub(crate) use self::{
    client::{
        Browser, DEVICES, ORIGIN, Page, SESSION, borrowed, browser_routes, encode, is_signed_in, last_code, site_client,
    },
    step_up::fresh,
};
