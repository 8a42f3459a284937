//! What an operator does about each error that leaves the worker without credentials. docs/credentials.md has a row for
//! every code in [`ADVICE`].

use crate::alibaba::sts;

/// Reads a secret.
pub(super) const GET_SECRET_VALUE: &str = "GetSecretValue";

/// Issues an identity token.
pub(super) const GET_WEB_IDENTITY_TOKEN: &str = "GetWebIdentityToken";

/// The advice for some error codes of one call.
#[derive(Debug, Clone, Copy)]
pub struct Advice {
    /// The API operation that returns the codes.
    pub call: &'static str,
    /// Exact codes; one that ends with `…` stands for all codes with this prefix that have no row above it.
    pub codes: &'static [&'static str],
    /// The setting to change.
    pub advice: &'static str,
}

/// For a secret whose text cannot be used.
pub(super) const SECRET_TEXT: &str = "store {\"access_key_id\": \"...\", \"access_key_secret\": \"...\"} as text in the \
     secret of ALIBABA_CREDENTIALS_SECRET_ARN";

/// For a response without usable content.
pub(super) const UNREADABLE: &str =
    "if ALIBABA_STS_ENDPOINT_URL or AWS_ENDPOINT_URL_STS is set, check that it is correct; otherwise wait";

/// For a service that does not respond or is busy.
pub(super) const WAIT: &str =
    "wait; if the error persists, check the function's internet access and both clouds' status pages";

/// For a code that is not in [`ADVICE`].
const UNKNOWN: &str = "compare the settings that the service's message names with docs/credentials.md; if that does not \
     help, report the code to this project";

/// All codes for which the setting to change is known.
pub const ADVICE: &[Advice] = &[
    Advice {
        call: GET_SECRET_VALUE,
        codes: &["ResourceNotFoundException"],
        advice: "set ALIBABA_CREDENTIALS_SECRET_ARN to the full ARN of a secret that exists in the function's region",
    },
    Advice {
        call: GET_SECRET_VALUE,
        codes: &["AccessDeniedException", "AccessDenied"],
        advice: "grant the function's role secretsmanager:GetSecretValue on the secret of \
                 ALIBABA_CREDENTIALS_SECRET_ARN, and kms:Decrypt if the secret has a KMS key of its own",
    },
    Advice {
        call: GET_SECRET_VALUE,
        codes: &["DecryptionFailure"],
        advice: "grant the function's role kms:Decrypt on the secret's KMS key, and enable that key",
    },
    Advice {
        call: GET_SECRET_VALUE,
        codes: &["InvalidRequestException"],
        advice: "restore the secret of ALIBABA_CREDENTIALS_SECRET_ARN if it is scheduled for deletion, and make sure \
                 that it has a current version",
    },
    Advice {
        call: GET_WEB_IDENTITY_TOKEN,
        codes: &["OutboundWebIdentityFederationDisabledException", "OutboundWebIdentityFederationDisabled"],
        advice: "enable outbound web identity federation in the AWS account: \
                 aws iam enable-outbound-web-identity-federation",
    },
    Advice {
        call: GET_WEB_IDENTITY_TOKEN,
        codes: &["AccessDenied", "AccessDeniedException"],
        advice: "grant the function's role sts:GetWebIdentityToken for the audience of ALIBABA_OIDC_AUDIENCE, RS256 and \
                 300 seconds; a service control policy can also deny it",
    },
    Advice {
        call: GET_WEB_IDENTITY_TOKEN,
        codes: &["RegionDisabledException"],
        advice: "activate AWS STS for the function's region in the account settings of IAM",
    },
    Advice {
        call: GET_WEB_IDENTITY_TOKEN,
        codes: &["JWTPayloadSizeExceededException", "JWTPayloadSizeExceeded"],
        advice: "give the function's role fewer or shorter tags: the token contains them and is too large",
    },
    Advice {
        call: GET_WEB_IDENTITY_TOKEN,
        codes: &["ValidationError"],
        advice: "correct ALIBABA_OIDC_AUDIENCE: it must be a client ID of the OIDC provider in RAM, 1 to 128 characters",
    },
    Advice {
        call: GET_WEB_IDENTITY_TOKEN,
        codes: &[
            "SessionDurationEscalationException",
            "SessionDurationEscalation",
            "ExpiredToken",
            "ExpiredTokenException",
        ],
        advice: "wait: the function's own AWS session is about to expire, and Lambda replaces it",
    },
    Advice {
        call: sts::ACTION,
        codes: &["AuthenticationFail.OIDCToken.AudienceNotMatch"],
        advice: "add the value of ALIBABA_OIDC_AUDIENCE to the client IDs of the OIDC provider in RAM, or set it to one \
                 of them",
    },
    Advice {
        call: sts::ACTION,
        codes: &["AuthenticationFail.OIDCToken.IssuerNotMatch"],
        advice: "set ALIBABA_CLOUD_OIDC_PROVIDER_ARN to the OIDC provider with the issuer URL of this AWS account: \
                 aws iam get-outbound-web-identity-federation-info",
    },
    Advice {
        call: sts::ACTION,
        codes: &["AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch"],
        advice: "add the SHA-1 fingerprint of the root certificate of the issuer's host to the OIDC provider in RAM: \
                 docs/credentials.md shows how to find it",
    },
    Advice {
        call: sts::ACTION,
        codes: &["AuthenticationFail.OIDCToken.HttpsUrlInvalid"],
        advice: "Alibaba Cloud does not trust the certificate of the AWS issuer: use credentials from a secret instead, \
                 and report it to Alibaba Cloud's support",
    },
    Advice {
        call: sts::ACTION,
        codes: &["AuthenticationFail.OIDCToken.IssuerConfigurationBroken"],
        advice: "check the issuer URL of the OIDC provider in RAM: its .well-known/openid-configuration must be \
                 readable from the internet",
    },
    Advice {
        call: sts::ACTION,
        codes: &["AuthenticationFail.OIDCToken.Expired"],
        advice: "Alibaba Cloud treats a token that is seconds old as expired: the clock of one of the clouds is wrong, \
                 or the issuance time limit of the OIDC provider in RAM is below its minimum of one hour; if the error \
                 persists, contact Alibaba Cloud's support",
    },
    Advice {
        call: sts::ACTION,
        codes: &["AuthenticationFail.OIDCToken.InvalidSignature", "AuthenticationFail.OIDCToken.Invalid"],
        advice: "check that the issuer URL of the OIDC provider in RAM is that of this AWS account; if it is, use \
                 credentials from a secret instead and report it to Alibaba Cloud's support",
    },
    Advice {
        call: sts::ACTION,
        codes: &["AuthenticationFail.NoPermission"],
        advice: "check that the OIDC provider of ALIBABA_CLOUD_OIDC_PROVIDER_ARN exists, and check the trust policy of \
                 the role of ALIBABA_CLOUD_ROLE_ARN: its principal must be that provider, oidc:iss its issuer URL, \
                 oidc:aud the value of ALIBABA_OIDC_AUDIENCE, oidc:sub the ARN of the function's AWS role",
    },
    Advice {
        call: sts::ACTION,
        codes: &["EntityNotExist.Role"],
        advice: "set ALIBABA_CLOUD_ROLE_ARN to the ARN of a role that exists",
    },
    Advice {
        call: sts::ACTION,
        codes: &["InvalidParameter.RoleArn"],
        advice: "correct ALIBABA_CLOUD_ROLE_ARN",
    },
    Advice {
        call: sts::ACTION,
        codes: &["InvalidParameter.RoleSessionName"],
        advice: "correct ALIBABA_CLOUD_ROLE_SESSION_NAME",
    },
    Advice {
        call: sts::ACTION,
        codes: &["InvalidParameter.DurationSeconds"],
        advice: "raise the maximum session duration of the role of ALIBABA_CLOUD_ROLE_ARN to 3600 seconds",
    },
    Advice {
        call: sts::ACTION,
        codes: &["InvalidTimeStamp.Expired", "InvalidTimeStamp.Format"],
        advice: "the function's clock is wrong, and the date of the response did not correct it: restart the function",
    },
    Advice {
        call: sts::ACTION,
        codes: &["AuthenticationFail.…"],
        advice: "check the OIDC provider of ALIBABA_CLOUD_OIDC_PROVIDER_ARN and the trust policy of the role of \
                 ALIBABA_CLOUD_ROLE_ARN",
    },
    Advice {
        call: sts::ACTION,
        codes: &["InvalidParameter…", "MissingParameter…"],
        advice: "check ALIBABA_CLOUD_ROLE_ARN, ALIBABA_CLOUD_OIDC_PROVIDER_ARN and ALIBABA_CLOUD_ROLE_SESSION_NAME; if \
                 they are correct, report it to this project",
    },
];

/// The advice for an error code of a call.
pub(super) fn of(call: &str, code: &str) -> &'static str {
    let matches = |pattern: &&str| match pattern.strip_suffix('…') {
        Some(prefix) => code.starts_with(prefix),
        None => code == *pattern,
    };
    let row = ADVICE.iter().find(|row| row.call == call && row.codes.iter().any(matches));
    row.map_or(UNKNOWN, |row| row.advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_code_takes_precedence_over_its_prefix() {
        for row in ADVICE {
            for code in row.codes.iter().filter(|code| !code.ends_with('…')) {
                assert_eq!(of(row.call, code), row.advice, "{code}");
            }
        }
        let family = of(sts::ACTION, "AuthenticationFail.NotInTheTable");
        assert!(family.contains("trust policy"), "{family}");
    }

    #[test]
    fn code_of_another_call_is_unknown() {
        assert_eq!(of(GET_SECRET_VALUE, "EntityNotExist.Role"), UNKNOWN);
        assert_eq!(of(sts::ACTION, "EntityNotExist.RoleX"), UNKNOWN);
    }
}
