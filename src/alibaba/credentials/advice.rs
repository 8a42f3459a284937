//! What to do when there are no keys: for every refusal the setting to change, in words for the operator.

/// What the text of the secret must be.
pub(super) const SECRET_TEXT: &str = "write {\"access_key_id\": \"...\", \"access_key_secret\": \"...\"} into the secret of \
     ALIBABA_CREDENTIALS_SECRET_ARN, as text";

/// For an answer that holds nothing.
pub(super) const UNREADABLE: &str =
    "if ALIBABA_STS_ENDPOINT_URL or AWS_ENDPOINT_URL_STS is set, check where it leads; if not, wait";

/// For a service that does not answer, or is busy.
pub(super) const WAIT: &str =
    "wait; if it lasts, check that the function reaches the internet, and both clouds' status pages";

/// For a refusal that nobody here has met.
const UNKNOWN: &str = "read what the service says and compare the setting with docs/credentials.md; if that does not help, \
     report the code to this project";

/// When Secrets Manager gives no secret.
pub(super) fn of_secret(code: &str) -> &'static str {
    match code {
        "ResourceNotFoundException" => {
            "set ALIBABA_CREDENTIALS_SECRET_ARN to the whole ARN of a secret that exists in the function's region"
        }
        "AccessDeniedException" | "AccessDenied" => {
            "grant the worker's role secretsmanager:GetSecretValue on the secret of ALIBABA_CREDENTIALS_SECRET_ARN, \
             and kms:Decrypt if the secret has a KMS key of its own"
        }
        "DecryptionFailure" => {
            "grant the worker's role kms:Decrypt on the secret's KMS key, and enable that key"
        }
        "InvalidRequestException" => {
            "restore the secret of ALIBABA_CREDENTIALS_SECRET_ARN if it is to be deleted, and give it a current version"
        }
        _ => UNKNOWN,
    }
}

/// When AWS gives no web identity token.
pub(super) fn of_token(code: &str) -> &'static str {
    match code {
        "OutboundWebIdentityFederationDisabledException" | "OutboundWebIdentityFederationDisabled" => {
            "enable outbound web identity federation in the AWS account: \
             aws iam enable-outbound-web-identity-federation"
        }
        "AccessDenied" | "AccessDeniedException" => {
            "grant the worker's role sts:GetWebIdentityToken for the audience of ALIBABA_OIDC_AUDIENCE, RS256 and 300 \
             seconds; a service control policy can forbid it, too"
        }
        "RegionDisabledException" => {
            "activate AWS STS for the function's region in the account's settings of IAM"
        }
        "JWTPayloadSizeExceededException" | "JWTPayloadSizeExceeded" => {
            "give the worker's role fewer or shorter tags: they travel in the token, which has become too large"
        }
        "ValidationError" => {
            "correct ALIBABA_OIDC_AUDIENCE: a client id of the OIDC provider in RAM, 1 to 128 characters"
        }
        "SessionDurationEscalationException"
        | "SessionDurationEscalation"
        | "ExpiredToken"
        | "ExpiredTokenException" => {
            "wait: the function's own AWS session is near its end, and Lambda gives it another"
        }
        _ => UNKNOWN,
    }
}

/// When Alibaba Cloud's STS gives no session.
pub(super) fn of_exchange(code: &str) -> &'static str {
    match code {
        "AuthenticationFail.OIDCToken.AudienceNotMatch" => {
            "add the value of ALIBABA_OIDC_AUDIENCE to the client ids of the OIDC provider in RAM, or set it to one of \
             them"
        }
        "AuthenticationFail.OIDCToken.IssuerNotMatch" => {
            "set ALIBABA_CLOUD_OIDC_PROVIDER_ARN to the OIDC provider whose issuer URL is that of this AWS account: \
             aws iam get-outbound-web-identity-federation-info"
        }
        "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch" => {
            "add the SHA-1 fingerprint of the root certificate of the issuer's host to the OIDC provider in RAM: \
             docs/credentials.md shows how to find it"
        }
        "AuthenticationFail.OIDCToken.HttpsUrlInvalid" => {
            "Alibaba Cloud does not trust the certificate of AWS's issuer: take the keys from a secret instead, and \
             report it to Alibaba Cloud's support"
        }
        "AuthenticationFail.OIDCToken.IssuerConfigurationBroken" => {
            "check the issuer URL of the OIDC provider in RAM: its .well-known/openid-configuration must be readable \
             from the internet"
        }
        "AuthenticationFail.OIDCToken.Expired" => {
            "a token that is seconds old counts as expired: a clock of either cloud is wrong, or the issuance time \
             limit of the OIDC provider in RAM is below its minimum of an hour; if it stays so, ask Alibaba Cloud's \
             support"
        }
        "AuthenticationFail.OIDCToken.InvalidSignature" | "AuthenticationFail.OIDCToken.Invalid" => {
            "check that the issuer URL of the OIDC provider in RAM is that of this AWS account; if it is, take the keys \
             from a secret instead and report it to Alibaba Cloud's support"
        }
        "AuthenticationFail.NoPermission" => {
            "check that the OIDC provider of ALIBABA_CLOUD_OIDC_PROVIDER_ARN exists, and the trust policy of the role of \
             ALIBABA_CLOUD_ROLE_ARN: its principal must be that provider, oidc:iss its issuer URL, oidc:aud the value \
             of ALIBABA_OIDC_AUDIENCE, oidc:sub the ARN of the worker's AWS role"
        }
        "EntityNotExist.Role" => "set ALIBABA_CLOUD_ROLE_ARN to the ARN of a role that exists",
        "InvalidParameter.RoleArn" => "correct ALIBABA_CLOUD_ROLE_ARN",
        "InvalidParameter.RoleSessionName" => "correct ALIBABA_CLOUD_ROLE_SESSION_NAME",
        "InvalidParameter.DurationSeconds" => {
            "raise the maximum session duration of the role of ALIBABA_CLOUD_ROLE_ARN to 3600 seconds"
        }
        "InvalidTimeStamp.Expired" | "InvalidTimeStamp.Format" => {
            "the function's clock is wrong and the answer's date did not cure it: start the function anew"
        }
        _ if code.starts_with("AuthenticationFail.") => {
            "check the OIDC provider of ALIBABA_CLOUD_OIDC_PROVIDER_ARN and the trust policy of the role of \
             ALIBABA_CLOUD_ROLE_ARN"
        }
        _ if code.starts_with("InvalidParameter") || code.starts_with("MissingParameter") => {
            "check ALIBABA_CLOUD_ROLE_ARN, ALIBABA_CLOUD_OIDC_PROVIDER_ARN and ALIBABA_CLOUD_ROLE_SESSION_NAME; if they \
             are right, report it to this project"
        }
        _ => UNKNOWN,
    }
}
