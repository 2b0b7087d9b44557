//! Verifies an access token from standard input:
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::process::ExitCode;

use chancery_verify::Verifier;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(issuer), Some(audience)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: verify ISSUER AUDIENCE < TOKEN");
        return ExitCode::from(2);
    };
    let Ok(token) = std::io::read_to_string(std::io::stdin()) else {
        eprintln!("cannot read a token from standard input");
        return ExitCode::from(2);
    };
    let verifier = match Verifier::new(&issuer, &audience) {
        Ok(verifier) => verifier,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match verifier.verify(token.trim()).await {
        Ok(claims) => {
            println!(
                "accepted: subject {}, client {}, scopes {}",
                claims.subject,
                claims.client_id,
                claims.scopes.join(" ")
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("refused: {error}");
            ExitCode::FAILURE
        }
    }
}
