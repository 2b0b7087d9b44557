//! Second factors and passkeys.

use super::*;

impl World<'_> {
    pub(super) async fn factors(&mut self) {
        let step_up = |refresh_token: &str| pb::StartStepUpRequest {
            client_id: "app".into(),
            refresh_token: refresh_token.into(),
            acr: "2".into(),
            ..Default::default()
        };
        self.gives("AuthService/StartStepUp", "INVALID_ARGUMENT", None, step_up("")).await;
        self.gives("AuthService/StartStepUp", "REFRESH_TOKEN_INVALID", None, step_up("x")).await;
        let web = self.bases.credentials(Caller::Client);
        let passkey = pb::StartPasskeyLoginRequest::default();
        self.gives("AuthService/StartPasskeyLogin", "FAILED_PRECONDITION", web.as_deref(), passkey).await;

        let me = self.user("factory").await;
        let me = Some(me.as_str());
        let name = pb::EnrollTotpRequest { name: "a\0b".into() };
        self.gives("AccountService/EnrollTotp", "INVALID_ARGUMENT", me, name).await;
        let confirm =
            |enrolment: &str, code: &str| pb::ConfirmTotpRequest { enrolment: enrolment.into(), code: code.into() };
        self.gives("AccountService/ConfirmTotp", "INVALID_ARGUMENT", me, confirm("", "")).await;
        self.gives("AccountService/ConfirmTotp", "CODE_INVALID", me, confirm("x", "123456")).await;
        let codes = pb::RegenerateRecoveryCodesRequest {};
        self.gives("AccountService/RegenerateRecoveryCodes", "FAILED_PRECONDITION", me, codes).await;
        let passkey = pb::StartPasskeyRegistrationRequest::default();
        self.gives("AccountService/StartPasskeyRegistration", "FAILED_PRECONDITION", me, passkey).await;
        let made = pb::FinishPasskeyRegistrationRequest { enrolment: "x".into(), response_json: "{}".into() };
        self.gives("AccountService/FinishPasskeyRegistration", "CODE_INVALID", me, made).await;

        let of = |user_id: &str| pb::ListUserFactorsRequest { user_id: user_id.into() };
        self.refuses("UserService/ListUserFactors", "NOT_FOUND", of("nobody")).await;
        self.refuses("UserService/ListUserFactors", "INVALID_ARGUMENT", of("")).await;
        self.refuses("UserService/ListUserFactors", "FAILED_PRECONDITION", of("twin")).await;
        let remove = |user_id: &str| pb::RemoveUserFactorRequest { user_id: user_id.into(), ..Default::default() };
        self.refuses("UserService/RemoveUserFactor", "NOT_FOUND", remove("nobody")).await;
        self.refuses("UserService/RemoveUserFactor", "INVALID_ARGUMENT", remove("")).await;
        self.refuses("UserService/RemoveUserFactor", "FAILED_PRECONDITION", remove("twin")).await;
    }
}
