//! Alibaba's error codes with their HTTP statuses. The statuses are those of the products' documentation, which uses
//! 400 for nearly every error. Where STS's messages are not known, the messages are the simulator's own, because a
//! client must not depend on them.

use http::StatusCode;

/// An error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The exact code in the body.
    pub name: &'static str,
    pub status: StatusCode,
    /// The message in the simulator's responses.
    pub message: &'static str,
}

/// The entry with exactly this code.
#[must_use]
pub fn find(name: &str) -> Option<Code> {
    ALL.iter().find(|code| code.name == name).copied()
}

/// The status of any code; 400 for a code that is not in the table, because nearly all codes have it.
#[must_use]
pub fn status_of(name: &str) -> StatusCode {
    find(name).map_or(StatusCode::BAD_REQUEST, |code| code.status)
}

macro_rules! codes {
    ($($constant:ident $name:literal $status:literal $message:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`, HTTP ", $status, ".")]
            pub const $constant: Code =
                Code { name: $name, status: status($status), message: $message };
        )+

        /// All codes.
        pub const ALL: &[Code] = &[$($constant),+];
    };
}

/// Converts a status of the table; any other number is a compile error.
const fn status(number: u16) -> StatusCode {
    match number {
        400 => StatusCode::BAD_REQUEST,
        401 => StatusCode::UNAUTHORIZED,
        403 => StatusCode::FORBIDDEN,
        404 => StatusCode::NOT_FOUND,
        405 => StatusCode::METHOD_NOT_ALLOWED,
        500 => StatusCode::INTERNAL_SERVER_ERROR,
        503 => StatusCode::SERVICE_UNAVAILABLE,
        _ => unreachable!(),
    }
}

codes! {
    // Endpoints and their groups.
    ENDPOINT_LOCKED "EndpointLocked" 400 "The endpoint is locked by another operation or for overdue payments.";
    ENDPOINT_CONNECTION_OPERATION_DENIED "EndpointConnectionOperationDenied" 400 "The endpoint connection is in a state that does not permit this operation.";
    CONCURRENT_CALL_NOT_SUPPORTED "ConcurrentCallNotSupported" 400 "Another call for this endpoint is still running.";
    ENDPOINT_OPERATION_DENIED "EndpointOperationDenied" 400 "The endpoint is in a state that does not permit this operation.";
    INCORRECT_STATUS_VPC_ENDPOINT "IncorrectStatus.VpcEndpoint" 400 "The status of the endpoint does not permit this operation.";
    SECURITY_GROUP_NOT_FOUND "SecurityGroupNotFound" 400 "The security group was not found.";
    ENDPOINT_NOT_FOUND "EndpointNotFound" 400 "The endpoint was not found in this region.";
    ENDPOINT_MUST_CONTAIN_SECURITY_GROUP "EndpointMustContainSecurityGroup" 400 "An endpoint must have at least one security group.";
    GATEWAY_LOAD_BALANCER_NOT_SUPPORT_SECURITY_GROUP "GatewayLoadBalancerNotSupportSecurityGroup" 400 "A Gateway Load Balancer endpoint does not support security groups.";
    ENDPOINT_SERVICE_DELETED "EndpointServiceDeleted" 400 "The endpoint's service was deleted.";
    SECURITY_GROUP_ALREADY_ATTACHED "SecurityGroupAlreadyAttached" 400 "The security group is already attached to the endpoint.";
    SECURITY_GROUPS_PER_ENDPOINT_EXCEEDED "QuotaExceeded.SecurityGroupsPerEndpoint" 400 "The endpoint already has the maximum number of security groups.";
    ADD_SECURITY_GROUP_NOT_SUPPORT_WHEN_HAVE_NO_SG "AddSecurityGroupNotSupportWhenHaveNoSg" 400 "An endpoint that was created without a security group does not accept one.";
    SECURITY_GROUP_VPC_MISMATCH "SecurityGroupVpcMismatch" 400 "The security group is not in the endpoint's VPC.";
    SECURITY_GROUP_TYPE_MISMATCH "SecurityGroupTypeMismatch" 400 "The security group is not of the type of the endpoint's other groups.";
    // Calls in general.
    DRY_RUN_OPERATION "DryRunOperation" 400 "The request would have succeeded; it was not executed because it is a dry run.";
    IDEMPOTENCE_PROCESSING "IdempotenceProcessing" 400 "The first call with this client token is still running.";
    IDEMPOTENCE_SIGNATURE_MISMATCH "IdempotenceSignatureMismatch" 400 "The client token belongs to a call with another signature.";
    IDEMPOTENT_PARAMETER_MISMATCH "IdempotentParameterMismatch" 400 "The client token belongs to a call with other parameters.";
    INVALID_PARAMETER "InvalidParameter" 400 "A parameter is not valid.";
    REGION_NOT_FOUND "RegionNotFound" 400 "The region was not found.";
    UNSUPPORTED_REGION "UnsupportedRegion" 400 "The product is not offered in this region.";
    INVALID_REGION_ID_NOT_FOUND "InvalidRegionId.NotFound" 404 "The specified RegionId does not exist.";
    INVALID_API_NOT_FOUND "InvalidApi.NotFound" 404 "The action or its version was not found.";
    UNSUPPORTED_HTTP_METHOD "UnsupportedHTTPMethod" 405 "The HTTP method is not supported.";
    // Permissions.
    NO_PERMISSION "NoPermission" 400 "The caller is not authorized to perform this operation on the resource.";
    FORBIDDEN_RAM "Forbidden.RAM" 403 "The caller is not authorized to perform this operation on the resource.";
    FORBIDDEN "Forbidden" 403 "The caller is not allowed to perform this operation.";
    // Credentials and signatures.
    INVALID_ACCESS_KEY_ID_NOT_FOUND "InvalidAccessKeyId.NotFound" 404 "The access key was not found.";
    INVALID_ACCESS_KEY_ID_INACTIVE "InvalidAccessKeyId.Inactive" 400 "The access key is disabled.";
    SIGNATURE_DOES_NOT_MATCH "SignatureDoesNotMatch" 400 "The signature does not match the one calculated from the received request.";
    INCOMPLETE_SIGNATURE "IncompleteSignature" 400 "The Authorization header lacks a required part.";
    SIGNATURE_NONCE_USED "SignatureNonceUsed" 400 "The signature nonce was used before.";
    INVALID_TIME_STAMP_EXPIRED "InvalidTimeStamp.Expired" 400 "The request's time is more than 15 minutes away from the server's.";
    INVALID_TIME_STAMP_FORMAT "InvalidTimeStamp.Format" 400 "The request's time has the wrong format.";
    MISSING_SECURITY_TOKEN "MissingSecurityToken" 400 "A call with this access key requires its security token.";
    INVALID_SECURITY_TOKEN_EXPIRED "InvalidSecurityToken.Expired" 400 "The security token has expired.";
    INVALID_SECURITY_TOKEN_MALFORMED "InvalidSecurityToken.Malformed" 400 "The security token was not issued by this service.";
    INVALID_SECURITY_TOKEN_MISMATCH "InvalidSecurityToken.MismatchWithAccessKey" 400 "The security token belongs to another access key.";
    // STS: parameters.
    MISSING_PARAMETER "MissingParameter" 400 "The input parameter Timestamp is not supplied.";
    MISSING_PARAMETER_OIDC_PROVIDER_ARN "MissingParameter.OIDCProviderArn" 400 "Parameter OIDCProviderArn is required.";
    MISSING_PARAMETER_OIDC_TOKEN "MissingParameter.OIDCToken" 400 "Parameter OIDCToken is required.";
    MISSING_PARAMETER_ROLE_ARN "MissingParameter.RoleArn" 400 "Parameter RoleArn is required.";
    MISSING_PARAMETER_ROLE_SESSION_NAME "MissingParameter.RoleSessionName" 400 "Parameter RoleSessionName is required.";
    INVALID_PARAMETER_DURATION_SECONDS "InvalidParameter.DurationSeconds" 400 "The DurationSeconds is invalid.";
    INVALID_PARAMETER_POLICY_GRAMMAR "InvalidParameter.PolicyGrammar" 400 "The parameter Policy has not passed grammar check.";
    INVALID_PARAMETER_POLICY_SIZE "InvalidParameter.PolicySize" 400 "The max size of policy string is 2048.";
    INVALID_PARAMETER_ROLE_ARN "InvalidParameter.RoleArn" 400 "The parameter RoleArn is wrongly formed.";
    INVALID_PARAMETER_ROLE_SESSION_NAME "InvalidParameter.RoleSessionName" 400 "The parameter RoleSessionName is wrongly formed.";
    INVALID_PARAMETER_EXTERNAL_ID "InvalidParameter.ExternalId" 400 "The parameter ExternalId is wrongly formed.";
    ENTITY_NOT_EXIST_ROLE "EntityNotExist.Role" 404 "The role not exists.";
    // STS: tokens and trust policies.
    OIDC_TOKEN_AUDIENCE_NOT_MATCH "AuthenticationFail.OIDCToken.AudienceNotMatch" 401 "Invalid audience.";
    OIDC_TOKEN_EXPIRED "AuthenticationFail.OIDCToken.Expired" 401 "This JsonWebToken is expired.";
    OIDC_TOKEN_HTTPS_URL_INVALID "AuthenticationFail.OIDCToken.HttpsUrlInvalid" 401 "Invoke url failed due to certificate chain validation";
    OIDC_TOKEN_INVALID "AuthenticationFail.OIDCToken.Invalid" 401 "The Jwt content is invalid that cannot be recognized.";
    OIDC_TOKEN_INVALID_SIGNATURE "AuthenticationFail.OIDCToken.InvalidSignature" 401 "OIDC token validate failed: invalid signature.";
    OIDC_TOKEN_ISSUER_CONFIGURATION_BROKEN "AuthenticationFail.OIDCToken.IssuerConfigurationBroken" 401 "Get public keys from OIDC Provider failed.";
    OIDC_TOKEN_ISSUER_NOT_MATCH "AuthenticationFail.OIDCToken.IssuerNotMatch" 401 "The issuer in the OIDC Token doesn't match the OIDC Provider registered.";
    OIDC_TOKEN_FINGERPRINT_MISMATCH "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch" 401 "The https fingerprint of this discovery is invalid.";
    AUTHENTICATION_FAIL_NO_PERMISSION "AuthenticationFail.NoPermission" 401 "There is no permission";
    // Load.
    SYSTEM_BUSY "SystemBusy" 400 "The system is busy.";
    SERVICE_UNAVAILABLE "ServiceUnavailable" 503 "The service is temporarily unavailable.";
    INTERNAL_ERROR "InternalError" 500 "The request failed because of an internal error.";
    INTERNAL_SERVER_ERROR "InternalServerError" 500 "The request failed because of an internal error.";
    THROTTLING "Throttling" 400 "The request was denied by flow control.";
    THROTTLING_USER "Throttling.User" 400 "The request was denied by the flow control of your account.";
    THROTTLING_API "Throttling.Api" 400 "The request was denied by the flow control of this action.";
    REJECTED_THROTTLING "Rejected.Throttling" 400 "The request was rejected by flow control.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_listed_twice() {
        let mut names: Vec<_> = ALL.iter().map(|code| code.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn codes_with_a_status_other_than_400() {
        let others = ALL.iter().filter(|code| code.status != StatusCode::BAD_REQUEST);
        let others: Vec<_> = others.map(|code| (code.name, code.status.as_u16())).collect();
        assert_eq!(
            others,
            [
                ("InvalidRegionId.NotFound", 404),
                ("InvalidApi.NotFound", 404),
                ("UnsupportedHTTPMethod", 405),
                ("Forbidden.RAM", 403),
                ("Forbidden", 403),
                ("InvalidAccessKeyId.NotFound", 404),
                ("EntityNotExist.Role", 404),
                ("AuthenticationFail.OIDCToken.AudienceNotMatch", 401),
                ("AuthenticationFail.OIDCToken.Expired", 401),
                ("AuthenticationFail.OIDCToken.HttpsUrlInvalid", 401),
                ("AuthenticationFail.OIDCToken.Invalid", 401),
                ("AuthenticationFail.OIDCToken.InvalidSignature", 401),
                ("AuthenticationFail.OIDCToken.IssuerConfigurationBroken", 401),
                ("AuthenticationFail.OIDCToken.IssuerNotMatch", 401),
                ("AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch", 401),
                ("AuthenticationFail.NoPermission", 401),
                ("ServiceUnavailable", 503),
                ("InternalError", 500),
                ("InternalServerError", 500),
            ]
        );
    }

    #[test]
    fn unknown_code_has_the_status_400() {
        assert_eq!(status_of("SomethingNew.Altogether"), StatusCode::BAD_REQUEST);
        assert_eq!(status_of("InvalidAccessKeyId.NotFound"), StatusCode::NOT_FOUND);
    }
}
