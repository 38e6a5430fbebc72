//! Patience with nonces: a request whose nonce an authority refuses (RFC 8555 §6.5) is made again.

use super::failure::ProblemKind;

/// How often, beyond the twice of the protocol's crate: with every second nonce refused, 9 rounds of 3 fail once in 130
/// million.
pub const NONCE_ROUNDS: u32 = 8;

/// Makes a request, and again while its nonce is refused: nothing of it was acted upon. A macro, because a closure that
/// borrows and awaits is not `Send` for every lifetime, and orders are tasks.
macro_rules! patiently {
    ($request:expr) => {{
        let mut rounds = 0;
        loop {
            match $request.await {
                Err(instant_acme::Error::Api(problem))
                    if $crate::control::acme::nonce::is_refused(&problem)
                        && rounds < $crate::control::acme::nonce::NONCE_ROUNDS =>
                {
                    rounds += 1;
                }
                other => break other,
            }
        }
    }};
}

pub(super) use patiently;

/// Is it the nonce that an authority refuses?
pub fn is_refused(problem: &instant_acme::Problem) -> bool {
    let urn = problem.r#type.as_deref();
    urn.is_some_and(|urn| ProblemKind::of(urn) == ProblemKind::BadNonce)
}

#[cfg(test)]
mod tests {
    use instant_acme::Error;

    use super::*;

    fn refused(word: &str) -> Error {
        Error::Api(instant_acme::Problem {
            r#type: Some(format!("urn:ietf:params:acme:error:{word}")),
            detail: None,
            status: Some(400),
            subproblems: Vec::new(),
        })
    }

    #[tokio::test]
    async fn a_refused_nonce_is_answered_with_another_try() {
        for (word, fails, expected_tries, succeeds) in [
            ("badNonce", 0, 1, true),
            ("badNonce", NONCE_ROUNDS, NONCE_ROUNDS + 1, true),
            ("badNonce", NONCE_ROUNDS + 1, NONCE_ROUNDS + 1, false),
            ("malformed", 1, 1, false),
        ] {
            let mut tries = 0;
            let result = patiently!(async {
                tries += 1;
                match tries <= fails {
                    true => Err(refused(word)),
                    false => Ok(()),
                }
            });
            assert_eq!(
                (tries, result.is_ok()),
                (expected_tries, succeeds),
                "{word} {fails}"
            );
        }
    }
}
