//! Feishu's signature and encryption of a request to an app, written here a second time so that an error in the
//! functions' code shows.
//!
//! Source: open.feishu.cn, "Configure subscription method" of events, sections on the signature and the Encrypt Key.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::request::hex;

/// The header that has the time of the request, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "x-lark-request-timestamp";

/// The header that has a random text.
pub const NONCE_HEADER: &str = "x-lark-request-nonce";

/// The header that has the signature.
pub const SIGNATURE_HEADER: &str = "x-lark-signature";

/// The bytes of a block of AES.
const BLOCK: usize = 16;

/// The value of the signature's header for a body sent at this time, in seconds since 1970.
#[must_use]
pub fn signature(encrypt_key: &str, timestamp: u64, nonce: &str, body: &str) -> String {
    hex(&Sha256::digest(format!("{timestamp}{nonce}{encrypt_key}{body}").as_bytes()))
}

/// A text as the member `encrypt` of a body: base64 of the initialization vector and the ciphertext.
#[must_use]
pub fn encrypt(encrypt_key: &str, initialization_vector: [u8; BLOCK], text: &str) -> String {
    let key: [u8; 32] = Sha256::digest(encrypt_key.as_bytes()).into();
    let cipher = cbc::Encryptor::<aes::Aes256>::new(&key.into(), &initialization_vector.into());
    let mut buffer = text.as_bytes().to_vec();
    buffer.resize(text.len() + BLOCK, 0);
    // The buffer has room for a whole block of padding, so this cannot fail.
    let encrypted = cipher.encrypt_padded::<Pkcs7>(&mut buffer, text.len()).unwrap_or_default();
    STANDARD.encode([&initialization_vector, encrypted].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The initialization vector of a reference ciphertext.
    fn vector_of(encrypted: &str) -> [u8; BLOCK] {
        STANDARD.decode(encrypted).unwrap()[..BLOCK].try_into().unwrap()
    }

    #[test]
    fn encryption_is_that_of_the_documentation_and_of_the_official_client() {
        for (key, text, encrypted) in [
            ("test key", "hello world", "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk="),
            ("9ffbc6f03c9157079cf8f526729114a7", "detach", "q2w1KMrtO7dB+aVXrKjYnbpavnQ9QB2cN/C5BKCs38o="),
            ("test key a", "移除安全组", "OKZIF6SjDruJWV18TmCtBGFx8NEkep0bgfngLrsm/qA="),
            (
                "9ffbc6f03c9157079cf8f526729114a7",
                "xxxxxxxxxxxxxxxx",
                "77pvJ7e5IivG7w6piZP2KswudCTP/351a2TuzbV7DvDOIb0EotuP8eooEBkWpnV2",
            ),
        ] {
            assert_eq!(encrypt(key, vector_of(encrypted), text), encrypted, "{text}");
        }
    }

    #[test]
    fn signature_is_that_of_the_official_client() {
        let encrypted = "sdRlBDjhdWow7qmbO8N/RdqXO99xo/EGt5MWCWVNlop1/ZrW5Zcwu5Np0V5NsUf4tLV1kL6ocwVfWxceEvRHeKxaA5Qg\
            DkJYD49nyC93Y8it6MvbPfcLSt/TK57cNb0+R4ZxnbD8ajYnZjKVnfPk6aJb4/dEp01qUyPpnctMuwYC+dpaaDH+kxgh\
            hSw/5j2zRVJ1NFLx2dpGdM2XVQyOP+YZvNntQPiiFVWDln6vwdF84fDg7Wsu2CV1IBt727H0hOa1jhoMJiNkV1QG4lxR\
            fYHJN0wIcNEUFgR4Gg6TgxlOPJdv78GOMurDIcVSXa0A2dLaWH5dMHMuz+Ko4oofNu0rEbadG+0IweCJSVLKr+gH8+RK\
            5XxhINBnbUSXN2/wp+RIlzLDQp3IZDHXrKFUzJZKNoI8vqXEegcXHktt/B0ImbWWvfc6S/+MFXauvmPINSgeOU+VC+L/\
            jsKJ6K6HuCguM8aeleY+hDP51Kjbj+wJhxhll4JN6rGwPFGe0A/2+019Tef0uZ+Md74PMkjiv8i3mkKjkMnr/2FUjNvt\
            4v4pGvXgbTi8378/xIONWdKuccmEr/HULRCEhTJJe6oSqS+B/n47KxkzUcwU5jb2NZNPhUPs+02WdTp39FgehF/aKqUh\
            GHxvMs6KfiBIWhk80FJEL4ned14UBtzPowD6+NA7sIyXss50v1rw/feTdtOEZeuEpVqN0RqCpPPlpt34h5BlG2nqn1Ti\
            vB5mCbBvBtt5eVmOZBx8oUi3Pi8XhrzrAc/fGQX+nUHm7RsHAP52EsCZo774CqvOsk2iWIO5T0BhGCGTDIbT7pRVT9E7\
            Hdoivxojkjz5AO9iDCRGNWR3bef8hpmqwofucsZ1qjhU3I0hgilZDdQ3e0O9MrLD8E/MB04RwR6/EjrjN8ojUkOTwWCv\
            bW33DnXCrkq30+eHPdvS33GUfBUtc+nSEgUYuYZJbhBdgNKhOQtdlzcHs/65EQaAvxa2W5kGI2wo9VvSH4Nlxx49lfZc\
            cOTeApGhuoDosBmcSQVEhwWKJuKfBYHKPKVK4cjBJJChFTavbqYG8L9FQThp873yFSo5ry9kWgXz";
        let body = format!(r#"{{"encrypt": "{encrypted}"}}"#);
        assert_eq!(
            signature("密钥a2bb523a31", 1_795_330_800, "0d2cf0576cf6", &body),
            "69926030014c82e681a651185efa2143934053993b421e5259a5f12d91ffd6ef"
        );
    }
}
