//! Whether response times reveal that an account exists: makes the same calls about accounts that exist and
//! accounts that do not, alternating, one at a time.

use std::time::Duration;

use anyhow::ensure;
use chancery::grpc::pb::{
    CreateUserRequest, LoginRequest, RegisterRequest, RequestPasswordResetRequest, ResetPasswordRequest, User,
    account_service_client::AccountServiceClient, auth_service_client::AuthServiceClient,
    user_service_client::UserServiceClient,
};
use tokio::time::Instant;
use tonic::{Request, Status, metadata::MetadataValue, transport::Channel};

use super::Bench;
use crate::{
    args::Engine,
    calls::{Connections, basic_auth},
    deployment::{AUDIENCE, Deployment, PASSWORD},
    report::{Goal, Row},
    stats::{median, size},
};

/// Calls about existing accounts, and as many about others.
const SAMPLES: usize = 500;
/// The client that registers accounts.
const SHOP: &str = "shop";

/// The calls that are compared.
#[derive(Clone, Copy, Debug)]
enum Call {
    Login,
    Register,
    RequestReset,
    ResetWithWrongCode,
}

const CALLS: [(Call, &str); 4] = [
    (Call::Login, "login with a wrong password"),
    (Call::Register, "register"),
    (Call::RequestReset, "request a password reset"),
    (Call::ResetWithWrongCode, "reset with a wrong code"),
];

/// Compares each call for both kinds of accounts.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = Deployment::new(&bench.tools, &bench.run, engine).await?;
    for limit in ["address_failures", "network_failures"] {
        // All calls come from one address, so its limits are turned off.
        deployment.cli(&["settings", "set", limit, "0"], "").await?;
    }
    deployment.create_client(SHOP, &["--public", "--first-party", "--registration"]).await?;
    let server = deployment.serve().await?;
    let connections = Connections::open(&server.grpc, 1).await?;
    let prober = Prober(connections.for_caller(0)?);
    let issuer = server.process.ready_value("issuer")?.to_owned();
    let secret = deployment.create_client("desk", &["--audience", &issuer, "--role", "administrator"]).await?;
    prober.create_accounts(&basic_auth("desk", &secret)?).await?;
    for (call, name) in CALLS {
        bench.report.add(prober.compare(call, name).await?);
    }
    Ok(())
}

struct Prober(Channel);

impl Prober {
    /// Creates accounts with an email address and a password.
    async fn create_accounts(&self, authorization: &MetadataValue<tonic::metadata::Ascii>) -> anyhow::Result<()> {
        let mut users = UserServiceClient::new(self.0.clone());
        for n in 0..SAMPLES {
            let user = User { name: existing_name(n), emails: vec![email(&existing_name(n))], ..User::default() };
            let message = CreateUserRequest { user: Some(user), password: PASSWORD.to_owned(), ..Default::default() };
            let mut request = Request::new(message);
            request.metadata_mut().insert("authorization", authorization.clone());
            users.create_user(request).await?;
        }
        Ok(())
    }

    async fn compare(&self, call: Call, name: &str) -> anyhow::Result<Row> {
        let (mut known_ms, mut unknown_ms) = (Vec::new(), Vec::new());
        // Alternate, so that any drift affects both kinds equally.
        for n in 0..SAMPLES {
            known_ms.push(self.time_call(call, &existing_name(n)).await?);
            unknown_ms.push(self.time_call(call, &format!("nobody-{n}")).await?);
        }
        let (one, other) = (median(&known_ms).unwrap_or(0.0), median(&unknown_ms).unwrap_or(0.0));
        let mut row =
            Row::new(format!("{name}: existing against unknown account"), "% difference").goal(Goal::AtMost(2.0));
        row.add((one - other).abs() / other * 100.0);
        row.note(format!(
            "medians of {SAMPLES} each: {one:.2} and {other:.2} ms; Mann-Whitney p = {:.3}",
            mann_whitney(&known_ms, &unknown_ms)
        ));
        Ok(row)
    }

    async fn time_call(&self, call: Call, name: &str) -> anyhow::Result<f64> {
        let ticket = match call {
            Call::ResetWithWrongCode => self.request_reset(name).await?,
            _ => String::new(),
        };
        let began = Instant::now();
        let result = self.call(call, name, ticket).await;
        let took = began.elapsed();
        ensure!(result.is_ok() == matches!(call, Call::Register | Call::RequestReset), "{call:?}: {result:?}");
        Ok(Duration::as_secs_f64(&took) * 1000.0)
    }

    async fn call(&self, call: Call, name: &str, ticket: String) -> Result<(), Status> {
        let mut account = AccountServiceClient::new(self.0.clone());
        let client_id = SHOP.to_owned();
        match call {
            Call::Login => {
                let (login, password) = (name.to_owned(), "not the right one at all".to_owned());
                let request = LoginRequest { client_id, login, password, ..LoginRequest::default() };
                AuthServiceClient::new(self.0.clone()).login(request).await.map(drop)
            }
            Call::Register => {
                let (email, password) = (email(name), PASSWORD.to_owned());
                account.register(RegisterRequest { client_id, email, password, ..Default::default() }).await.map(drop)
            }
            Call::RequestReset => self.request_reset(name).await.map(drop).map_err(|e| Status::unknown(e.to_string())),
            Call::ResetWithWrongCode => {
                let (code, new_password) = ("00000000".to_owned(), "another phrase that is long".to_owned());
                let request = ResetPasswordRequest { client_id, ticket, code, new_password, ..Default::default() };
                account.reset_password(request).await.map(drop)
            }
        }
    }

    async fn request_reset(&self, name: &str) -> anyhow::Result<String> {
        let (client_id, login) = (SHOP.to_owned(), email(name));
        let request = RequestPasswordResetRequest { client_id, login, ..Default::default() };
        let answer = AccountServiceClient::new(self.0.clone()).request_password_reset(request).await?;
        Ok(answer.into_inner().ticket)
    }
}

fn existing_name(n: usize) -> String {
    format!("member-{n}")
}

fn email(name: &str) -> String {
    format!("{name}@{AUDIENCE}.example")
}

/// The two-sided p-value of the rank-sum test, by normal approximation. Ties are ignored: they are rare among
/// times.
fn mann_whitney(first: &[f64], second: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> =
        first.iter().map(|time| (*time, true)).chain(second.iter().map(|time| (*time, false))).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let ranks: f64 = all.iter().enumerate().filter(|(_, (_, own))| *own).map(|(rank, _)| size(rank + 1)).sum();
    let (many, more) = (size(first.len()), size(second.len()));
    let statistic = ranks - many * (many + 1.0) / 2.0;
    let deviation = (many * more * (many + more + 1.0) / 12.0).sqrt();
    2.0 * upper_tail(((statistic - many * more / 2.0).abs() - 0.5).max(0.0) / deviation)
}

/// The upper tail of the normal distribution (Abramowitz and Stegun 26.2.17; off by less than 1e-7).
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let poly = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let series = poly.iter().fold(0.0, |sum, c| (sum + c) * t);
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * series
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::float;

    #[test]
    fn the_test_distinguishes_shifted_times_from_equal_ones() {
        let at = |shift: f64| (0..500u64).map(|n| float(n * 7919 % 1009) + shift).collect::<Vec<_>>();
        assert!((upper_tail(1.959_964) - 0.025).abs() < 1e-6);
        assert!(mann_whitney(&at(0.0), &at(0.5)) > 0.5);
        assert!(mann_whitney(&at(0.0), &at(100.0)) < 0.001);
    }
}
