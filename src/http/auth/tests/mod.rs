//! Tokens that are taken and tokens that aren't, under a manual clock.

mod pairs;

use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto};
use serde_json::{Value, json};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::config::{AuthConfig, AuthConfigError, LEEWAY_MS_MAX, TOKENS_CACHED_MAX};
use super::keys::{Alg, KEYS_MAX, Key, KeyConfig, KeyError, Keys};
use super::mint::mint_hs256;
use super::tokens::TOKEN_BYTES_MAX;
use super::{AuthError, Authenticator, Principal, Relays, Role, Scope, Scopes};
use crate::domain::ids::MemberId;
use crate::http::secret::{Secret, SecretSource};

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8; 32] = b"fedcba9876543210fedcba9876543210";
/// Now, in ms and in s.
const NOW: u64 = 1_700_000_000_000;
const NOW_S: u64 = NOW / 1_000;

fn hs(kid: &str, secret: &[u8]) -> Key {
    Key::hs256(kid, &Secret::new(secret).unwrap()).unwrap()
}

fn rsa(kid: &str) -> Key {
    Key::public(kid, Alg::Rs256, pairs::RSA_PUBLIC.as_bytes()).unwrap()
}

fn ed(kid: &str) -> Key {
    Key::public(kid, Alg::EdDsa, pairs::ED_PUBLIC.as_bytes()).unwrap()
}

fn office(keys: Vec<Key>, config: &AuthConfig) -> Authenticator {
    Authenticator::new(Keys::new(keys).unwrap(), config).unwrap()
}

fn by(keys: Vec<Key>) -> Authenticator {
    office(keys, &AuthConfig::default())
}

/// A token of any header and claims, signed by `key`.
fn signed(header: &Value, claims: &Value, key: &EncodingKey, alg: Algorithm) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = crypto::sign(message.as_bytes(), key, alg).unwrap();
    format!("{message}.{signature}")
}

fn hs_signed(header: &Value, claims: &Value) -> String {
    signed(header, claims, &EncodingKey::from_secret(SECRET), Algorithm::HS256)
}

/// A member's claims, with these in place of or beside them; `null` takes one away.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({ "sub": "7", "role": "member", "exp": NOW_S + 60 });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn authenticate(office: &Authenticator, token: &str, now_ms: u64) -> Result<Principal, AuthError> {
    office.authenticate(Some(&format!("Bearer {token}")), now_ms).map(|principal| principal.unwrap())
}

fn member(id: u64) -> Principal {
    Principal::Member(MemberId(id))
}

#[test]
fn a_minted_token_speaks_for_whom_it_names() {
    let office = by(vec![hs("a", SECRET)]);
    let mint = |sub, role, scopes| mint_hs256(SECRET, "a", sub, role, scopes, NOW + 60_000);
    let token = mint("18446744073709551615", Role::Member, Scopes::ALL);
    assert_eq!(authenticate(&office, &token, NOW), Ok(member(u64::MAX)));
    let token = mint("shop-1", Role::Service, Scopes::NONE);
    assert_eq!(
        authenticate(&office, &token, NOW),
        Ok(Principal::Service { name: "shop-1".into(), relays: Relays::default() })
    );
    let scopes = Scopes::of(&[Scope::Finance, Scope::Security]);
    let token = mint("ann", Role::Admin, scopes);
    assert_eq!(authenticate(&office, &token, NOW), Ok(Principal::Admin { operator: "ann".into(), scopes }));
}

#[test]
fn no_header_is_nobody_and_a_bad_one_is_an_error() {
    let office = by(vec![hs("a", SECRET)]);
    let token = mint_hs256(SECRET, "a", "7", Role::Member, Scopes::NONE, NOW + 60_000);
    assert_eq!(office.authenticate(None, NOW), Ok(None));
    for good in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER   {token} ")] {
        assert_eq!(office.authenticate(Some(&good), NOW), Ok(Some(member(7))), "{good}");
    }
    for (bad, error) in [
        (String::new(), AuthError::Malformed),
        ("Bearer".to_owned(), AuthError::Missing),
        ("Bearer  ".to_owned(), AuthError::Missing),
        (format!("Basic {token}"), AuthError::Malformed),
        (format!("Bearer{token}"), AuthError::Malformed),
        (format!("Bearer\t{token}"), AuthError::Malformed),
        (format!("Bearer {token} {token}"), AuthError::Malformed),
        (format!("Bearer {token},Bearer {token}"), AuthError::Malformed),
        (token, AuthError::Malformed),
    ] {
        assert_eq!(office.authenticate(Some(&bad), NOW), Err(error), "{bad}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let office = by(vec![hs("a", SECRET)]);
    let good = hs_signed(&json!({ "alg": "HS256" }), &claims(&json!({})));
    assert_eq!(authenticate(&office, &good, NOW), Ok(member(7)));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    for bad in [
        ".".to_owned(),
        "..".to_owned(),
        "a.b".to_owned(),
        message.to_owned(),
        format!("{header}.{payload}.x.{signature}"),
        format!("{header}={payload}.{signature}"),
        format!("{header}==.{payload}.{signature}"),
        format!(" {header}.!{payload}.{signature}"),
        // JSON, but no header.
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("[]")),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(r#"{"kid":"a"}"#)),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","alg":"none"}"#)),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("{".repeat(3_000))),
        // An extension that must be understood.
        hs_signed(&json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), &claims(&json!({}))),
        "é.é.é".to_owned(),
    ] {
        assert_eq!(authenticate(&office, &bad, NOW), Err(AuthError::Malformed), "{bad}");
    }
}

#[test]
fn a_token_is_as_long_as_it_may_be() {
    let office = by(vec![hs("a", SECRET)]);
    // Grows the token by one character or two with each character of padding, until it passes the bound.
    let of = |padding: usize| {
        hs_signed(&json!({ "alg": "HS256" }), &claims(&json!({ "padding": "x".repeat(padding) })))
    };
    let base = of(0).len();
    let padding = (TOKEN_BYTES_MAX - base) * 3 / 4;
    let longest = (padding - 8..padding + 8).map(of).rfind(|token| token.len() <= TOKEN_BYTES_MAX);
    assert_eq!(authenticate(&office, &longest.unwrap(), NOW), Ok(member(7)));
    let longer = (padding - 8..padding + 8).map(of).find(|token| token.len() > TOKEN_BYTES_MAX);
    assert_eq!(authenticate(&office, &longer.unwrap(), NOW), Err(AuthError::Malformed));
}

#[test]
fn a_forged_token_is_refused() {
    let office = by(vec![hs("a", SECRET)]);
    let header = json!({ "alg": "HS256", "kid": "a" });
    let good = hs_signed(&header, &claims(&json!({})));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other_key = signed(&header, &claims(&json!({})), &EncodingKey::from_secret(OTHER), Algorithm::HS256);
    let promoted =
        URL_SAFE_NO_PAD.encode(claims(&json!({ "role": "admin", "scopes": "finance" })).to_string());
    let (first, _) = message.split_once('.').unwrap();
    // The last character of 32 bytes has two spare bits, which must be 0.
    let last = signature.chars().next_back().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let spare = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    for forged in [
        other_key,
        format!("{message}."),
        format!("{message}.{}", &signature[1..]),
        format!("{message}.{signature}A"),
        format!("{message}.{signature}="),
        format!("{message}.{}{spare}", &signature[..signature.len() - 1]),
        format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
        format!("{first}.{promoted}.{signature}"),
    ] {
        assert_eq!(authenticate(&office, &forged, NOW), Err(AuthError::SignatureInvalid), "{forged}");
    }
}

#[test]
fn no_changed_character_goes_unnoticed() {
    let office = by(vec![hs("a", SECRET)]);
    let good = mint_hs256(SECRET, "a", "7", Role::Member, Scopes::NONE, NOW + 60_000);
    assert_eq!(authenticate(&office, &good, NOW), Ok(member(7)));
    for at in 0..good.len() {
        for with in ["A", "B", ".", "=", "\0"] {
            let changed = format!("{}{with}{}", &good[..at], &good[at + 1..]);
            let cut = format!("{}{}", &good[..at], &good[at + 1..]);
            let grown = format!("{}{with}{}", &good[..at], &good[at..]);
            for changed in [changed, cut, grown].iter().filter(|changed| **changed != good) {
                assert!(authenticate(&office, changed, NOW).is_err(), "{changed}");
            }
        }
    }
}

#[test]
fn the_algorithm_is_the_keys_and_not_the_tokens() {
    let office = by(vec![hs("hs", SECRET), rsa("rs"), ed("ed")]);
    let hmac = |kid: &str, alg: &str, secret: &[u8]| {
        let header = json!({ "alg": alg, "kid": kid });
        signed(&header, &claims(&json!({})), &EncodingKey::from_secret(secret), Algorithm::HS256)
    };
    let unsigned = |alg: &str, kid: Option<&str>| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(json!({ "alg": alg, "kid": kid })), part(claims(&json!({}))))
    };
    for bad in [
        unsigned("none", Some("hs")),
        unsigned("None", Some("rs")),
        unsigned("", Some("ed")),
        unsigned("none", None),
        // The public key, which everybody knows, as the secret.
        hmac("rs", "HS256", pairs::RSA_PUBLIC.as_bytes()),
        hmac("ed", "HS256", pairs::ED_PUBLIC.as_bytes()),
        hmac("hs", "RS256", SECRET),
        hmac("hs", "HS384", SECRET),
        hmac("hs", "hs256", SECRET),
        hmac("ed", "RS256", SECRET),
    ] {
        assert_eq!(authenticate(&office, &bad, NOW), Err(AuthError::KeyUnknown), "{bad}");
    }
    // It names the right algorithm, and is signed by another.
    for (kid, alg, secret) in
        [("rs", "RS256", pairs::RSA_PUBLIC.as_bytes()), ("ed", "EdDSA", pairs::ED_PUBLIC.as_bytes())]
    {
        let bad = hmac(kid, alg, secret);
        assert_eq!(authenticate(&office, &bad, NOW), Err(AuthError::SignatureInvalid), "{bad}");
    }
}

#[test]
fn a_token_names_its_key_unless_there_is_but_one() {
    let nameless = hs_signed(&json!({ "alg": "HS256" }), &claims(&json!({})));
    let of = |kid: &str| hs_signed(&json!({ "alg": "HS256", "kid": kid }), &claims(&json!({})));
    let one = by(vec![hs("a", SECRET)]);
    assert_eq!(authenticate(&one, &nameless, NOW), Ok(member(7)));
    assert_eq!(authenticate(&one, &of("a"), NOW), Ok(member(7)));
    let two = by(vec![hs("a", SECRET), hs("b", OTHER)]);
    assert_eq!(authenticate(&two, &nameless, NOW), Err(AuthError::KeyUnknown));
    assert_eq!(authenticate(&two, &of("a"), NOW), Ok(member(7)));
    assert_eq!(authenticate(&two, &of("b"), NOW), Err(AuthError::SignatureInvalid));
    for office in [&one, &two, &by(vec![])] {
        for unknown in ["", "A", "a ", "c"] {
            assert_eq!(authenticate(office, &of(unknown), NOW), Err(AuthError::KeyUnknown), "{unknown:?}");
        }
    }
    assert_eq!(authenticate(&by(vec![]), &nameless, NOW), Err(AuthError::KeyUnknown));
}

#[test]
fn a_token_is_good_in_its_time() {
    let config = AuthConfig { leeway_ms: 30_000, ..AuthConfig::default() };
    let office = office(vec![hs("a", SECRET)], &config);
    let check = |changes: Value, now_ms: u64| {
        authenticate(&office, &hs_signed(&json!({ "alg": "HS256" }), &claims(&changes)), now_ms)
    };
    let exp = |at: Value| json!({ "exp": at });
    assert_eq!(check(exp(json!(NOW_S)), NOW + 29_999), Ok(member(7)));
    assert_eq!(check(exp(json!(NOW_S)), NOW + 30_000), Err(AuthError::Expired));
    assert_eq!(check(exp(json!(NOW_S as f64 + 0.5)), NOW + 30_499), Ok(member(7)));
    assert_eq!(check(exp(json!(NOW_S as f64 + 0.5)), NOW + 30_500), Err(AuthError::Expired));
    assert_eq!(check(exp(json!(0)), NOW), Err(AuthError::Expired));
    assert_eq!(check(exp(json!(u64::MAX / 1_000)), NOW), Ok(member(7)));
    let nbf = |at: u64| json!({ "nbf": at });
    assert_eq!(check(nbf(NOW_S + 30), NOW), Ok(member(7)));
    assert_eq!(check(nbf(NOW_S + 30), NOW - 1), Err(AuthError::NotYetValid));
    assert_eq!(check(json!({ "nbf": NOW_S + 31 }), NOW), Err(AuthError::NotYetValid));
    assert_eq!(check(json!({ "iat": NOW_S + 1_000 }), NOW), Ok(member(7)));
    for wrong in
        [json!(null), json!("1700000060"), json!(-1), json!(-0.5), json!(u64::MAX), json!(1e300), json!([])]
    {
        assert_eq!(check(exp(wrong.clone()), NOW), Err(AuthError::ClaimsInvalid), "exp {wrong}");
        if !wrong.is_null() {
            assert_eq!(check(json!({ "nbf": wrong }), NOW), Err(AuthError::ClaimsInvalid), "nbf {wrong}");
        }
    }
}

#[test]
fn a_token_is_by_whom_and_for_whom_it_must_be() {
    let check = |issuer: Option<&str>, audience: Option<&str>, changes: Value| {
        let config = AuthConfig {
            issuer: issuer.map(str::to_owned),
            audience: audience.map(str::to_owned),
            ..AuthConfig::default()
        };
        let office = office(vec![hs("a", SECRET)], &config);
        authenticate(&office, &hs_signed(&json!({ "alg": "HS256" }), &claims(&changes)), NOW).is_ok()
    };
    assert!(check(None, None, json!({})));
    assert!(check(None, None, json!({ "iss": "anybody" })));
    assert!(!check(None, None, json!({ "aud": "another" })), "it is for somebody else");
    assert!(check(Some("sso"), None, json!({ "iss": "sso" })));
    for wrong in [json!({}), json!({ "iss": "SSO" }), json!({ "iss": "sso2" }), json!({ "iss": ["sso"] })] {
        assert!(!check(Some("sso"), None, wrong.clone()), "{wrong}");
    }
    for right in [json!("shop"), json!(["other", "shop"]), json!(["sh\u{6f}p"])] {
        assert!(check(None, Some("shop"), json!({ "aud": right })), "{right}");
    }
    for wrong in [json!(null), json!("Shop"), json!([]), json!(["other"]), json!(1), json!(["shop", 1])] {
        assert!(!check(None, Some("shop"), json!({ "aud": wrong })), "{wrong}");
    }
}

#[test]
fn a_token_says_who_it_speaks_for_in_one_way_only() {
    let office = by(vec![hs("a", SECRET)]);
    let check = |changes: Value| {
        authenticate(&office, &hs_signed(&json!({ "alg": "HS256" }), &claims(&changes)), NOW)
    };
    assert_eq!(check(json!({ "sub": "0" })), Ok(member(0)));
    let longest = "n".repeat(64);
    assert_eq!(
        check(json!({ "sub": longest, "role": "service" })),
        Ok(Principal::Service { name: longest.as_str().into(), relays: Relays::default() })
    );
    assert_eq!(
        check(json!({ "sub": "ann", "role": "admin" })),
        Ok(Principal::Admin { operator: "ann".into(), scopes: Scopes::NONE })
    );
    assert_eq!(
        check(json!({ "sub": "ann", "role": "admin", "scopes": "support all" })),
        Ok(Principal::Admin { operator: "ann".into(), scopes: Scopes::of(&[Scope::Support]) })
    );
    for wrong in [
        json!({ "sub": "" }),
        json!({ "sub": "07" }),
        json!({ "sub": "+7" }),
        json!({ "sub": "-7" }),
        json!({ "sub": " 7" }),
        json!({ "sub": "0x7" }),
        json!({ "sub": "٧" }),
        json!({ "sub": "18446744073709551616" }),
        json!({ "sub": 7 }),
        json!({ "sub": null }),
        json!({ "role": null }),
        json!({ "role": "Member" }),
        json!({ "role": "root" }),
        json!({ "role": ["member"] }),
        json!({ "sub": "", "role": "service" }),
        json!({ "sub": "n".repeat(65), "role": "service" }),
        json!({ "sub": "two words", "role": "service" }),
        json!({ "sub": "new\nline", "role": "admin" }),
        json!({ "sub": "é", "role": "admin" }),
        json!({ "sub": "ann", "role": "admin", "scopes": 63 }),
        json!({ "sub": "ann", "role": "admin", "scopes": [1] }),
    ] {
        assert_eq!(check(wrong.clone()), Err(AuthError::ClaimsInvalid), "{wrong}");
    }
    // The first of two would be another than the last.
    let twice = format!(r#"{{"sub":"7","sub":"8","role":"member","exp":{}}}"#, NOW_S + 60);
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(twice));
    let signature =
        crypto::sign(message.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256).unwrap();
    let token = format!("{message}.{signature}");
    assert_eq!(authenticate(&office, &token, NOW), Err(AuthError::ClaimsInvalid));
}

/// A member's token by a private key.
fn public_signed(kid: &str, alg: Algorithm, member: u64, exp_s: u64) -> String {
    let key = match alg {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(pairs::RSA_PRIVATE.as_bytes()).unwrap(),
        _ => EncodingKey::from_ed_pem(pairs::ED_PRIVATE.as_bytes()).unwrap(),
    };
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(alg) };
    let claims = claims(&json!({ "sub": member.to_string(), "exp": exp_s }));
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}

#[test]
fn good_tokens_are_taken_and_remembered() {
    let office = by(vec![hs("hs", SECRET), rsa("rs"), ed("ed")]);
    for (nth, (kid, alg)) in [("rs", Algorithm::RS256), ("ed", Algorithm::EdDSA)].into_iter().enumerate() {
        let token = public_signed(kid, alg, 7, NOW_S + 60);
        assert_eq!(authenticate(&office, &token, NOW), Ok(member(7)), "{kid}");
        assert_eq!(authenticate(&office, &token, NOW), Ok(member(7)), "{kid}");
        assert_eq!(office.cached(), nth + 1);
        let (message, signature) = token.rsplit_once('.').unwrap();
        let mut forged = URL_SAFE_NO_PAD.decode(signature).unwrap();
        forged[20] ^= 1;
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&forged));
        assert_eq!(authenticate(&office, &forged, NOW), Err(AuthError::SignatureInvalid), "{kid}");
        assert_eq!(office.cached(), nth + 1, "what isn't good isn't remembered");
    }
    let token = mint_hs256(SECRET, "hs", "8", Role::Member, Scopes::NONE, NOW + 60_000);
    assert_eq!(authenticate(&office, &token, NOW), Ok(member(8)));
    assert_eq!(authenticate(&office, &token, NOW), Ok(member(8)));
    assert_eq!(office.cached(), 3, "what a shared secret signs is remembered as well");
}

#[test]
fn a_remembered_token_lives_no_longer_than_it_says() {
    let config = AuthConfig { leeway_ms: 0, ..AuthConfig::default() };
    let office = office(vec![ed("ed")], &config);
    let token = public_signed("ed", Algorithm::EdDSA, 7, NOW_S + 60);
    assert_eq!(authenticate(&office, &token, NOW), Ok(member(7)));
    assert_eq!(authenticate(&office, &token, NOW + 59_999), Ok(member(7)));
    assert_eq!(office.cached(), 1);
    assert_eq!(authenticate(&office, &token, NOW + 60_000), Err(AuthError::Expired));
    assert_eq!(office.cached(), 0);
    assert_eq!(authenticate(&office, &token, NOW + 60_000), Err(AuthError::Expired));
}

#[test]
fn the_memory_for_tokens_is_bounded() {
    let remember = |tokens_cached_max| {
        let config = AuthConfig { tokens_cached_max, ..AuthConfig::default() };
        let office = office(vec![ed("ed")], &config);
        for id in 0..60 {
            let token = public_signed("ed", Algorithm::EdDSA, id, NOW_S + 60);
            // The first time it is verified, the second time perhaps remembered: always the same member.
            assert_eq!(authenticate(&office, &token, NOW), Ok(member(id)));
            assert_eq!(authenticate(&office, &token, NOW), Ok(member(id)));
        }
        office.cached()
    };
    assert_eq!(remember(8), 8);
    assert!((8..=16).contains(&remember(23)));
    assert_eq!((remember(7), remember(0)), (0, 0));
}

#[test]
fn during_a_rotation_both_keys_are_good_and_afterwards_one() {
    let old = public_signed("old", Algorithm::EdDSA, 7, NOW_S + 60);
    let new = mint_hs256(SECRET, "new", "8", Role::Member, Scopes::NONE, NOW + 60_000);
    let before = by(vec![ed("old")]);
    assert_eq!(authenticate(&before, &old, NOW), Ok(member(7)));
    assert_eq!(authenticate(&before, &new, NOW), Err(AuthError::KeyUnknown));
    let during = by(vec![ed("old"), hs("new", SECRET)]);
    assert_eq!(authenticate(&during, &old, NOW), Ok(member(7)));
    assert_eq!(authenticate(&during, &new, NOW), Ok(member(8)));
    assert_eq!(during.cached(), 2);
    let after = by(vec![rsa("another"), hs("new", SECRET)]);
    assert_eq!(authenticate(&after, &old, NOW), Err(AuthError::KeyUnknown), "remembered by no one");
    assert_eq!(authenticate(&after, &new, NOW), Ok(member(8)));
}

#[test]
fn weak_and_wrong_keys_are_refused_when_loaded() {
    let secret = |text: &[u8]| Secret::new(text).unwrap();
    assert!(matches!(
        Key::hs256("a", &secret(&SECRET[1..])),
        Err(KeyError::SecretTooShort { bytes: 31, .. })
    ));
    let public = pairs::RSA_PUBLIC.as_bytes();
    assert!(matches!(Key::hs256("a", &secret(public)), Err(KeyError::Invalid { alg: "HS256", .. })));
    let short = pairs::RSA_SHORT_PUBLIC.as_bytes();
    assert!(matches!(Key::public("a", Alg::Rs256, short), Err(KeyError::RsaTooShort { bits: 1_024, .. })));
    let cut = pairs::ED_PUBLIC.replace("MCowBQYDK2VwAyEA", "");
    for (alg, pem) in [
        (Alg::Rs256, pairs::RSA_PRIVATE),
        (Alg::Rs256, pairs::ED_PUBLIC),
        (Alg::EdDsa, pairs::ED_PRIVATE),
        (Alg::EdDsa, pairs::RSA_PUBLIC),
        (Alg::EdDsa, cut.as_str()),
        (Alg::Rs256, "no key at all"),
        (Alg::EdDsa, ""),
    ] {
        assert!(
            matches!(Key::public("a", alg, pem.as_bytes()), Err(KeyError::Invalid { .. })),
            "{alg:?} {pem}"
        );
    }
    for kid in ["", "two words", "é", &"k".repeat(65)] {
        assert!(matches!(Key::hs256(kid, &secret(SECRET)), Err(KeyError::Kid { .. })), "{kid}");
    }
    assert!(matches!(Keys::new(vec![hs("a", SECRET), ed("a")]), Err(KeyError::Twice { .. })));
    let many = (0..=KEYS_MAX).map(|nth| hs(&nth.to_string(), SECRET)).collect();
    assert!(matches!(Keys::new(many), Err(KeyError::TooMany { .. })));
}

#[test]
fn a_configuration_is_read_with_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let config: AuthConfig = serde_json::from_value(json!({
        "issuer": "sso",
        "leeway_ms": 5_000,
        "keys": [
            { "kid": "hs", "alg": "HS256", "secret": { "file": path("hs", SECRET) } },
            { "kid": "ed", "alg": "EdDSA", "public_key_file": path("ed", pairs::ED_PUBLIC.as_bytes()) },
            { "kid": "rs", "alg": "RS256", "public_key_file": path("rs", pairs::RSA_PUBLIC.as_bytes()) },
        ],
    }))
    .unwrap();
    assert_eq!(config.tokens_cached_max, 8_192);
    let office = Authenticator::load(&config).unwrap();
    let token = hs_signed(&json!({ "alg": "HS256", "kid": "hs" }), &claims(&json!({ "iss": "sso" })));
    assert_eq!(authenticate(&office, &token, NOW), Ok(member(7)));
    let shown = format!("{office:?} {config:?}");
    assert!(!shown.contains("0123456789") && !shown.contains(&format!("{:?}", &SECRET[..4])), "{shown}");

    for wrong in [
        json!({ "keys": [{ "kid": "a", "alg": "HS256", "secret": "inline" }] }),
        json!({ "keys": [{ "kid": "a", "alg": "none" }] }),
        json!({ "keys": [{ "kid": "a", "alg": "HS512", "secret": { "env": "A" } }] }),
        json!({ "keys": [{ "alg": "HS256", "secret": { "env": "A" } }] }),
        json!({ "leeway": 5 }),
    ] {
        assert!(serde_json::from_value::<AuthConfig>(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let load = |config: AuthConfig| Authenticator::load(&config).err();
    let defaults = AuthConfig::default;
    assert!(load(AuthConfig { leeway_ms: LEEWAY_MS_MAX, ..defaults() }).is_none());
    let error = load(AuthConfig { leeway_ms: LEEWAY_MS_MAX + 1, ..defaults() });
    assert!(matches!(error, Some(AuthConfigError::Leeway { .. })));
    let error = load(AuthConfig { tokens_cached_max: TOKENS_CACHED_MAX + 1, ..defaults() });
    assert!(matches!(error, Some(AuthConfigError::Cache { .. })));
    let key = |alg, secret: bool, public: bool| KeyConfig {
        kid: "a".into(),
        alg,
        secret: secret.then(|| SecretSource::File("/nowhere/secret".into())),
        public_key_file: public.then(|| "/nowhere/public".into()),
    };
    for (alg, secret, public) in [
        (Alg::Hs256, false, false),
        (Alg::Hs256, false, true),
        (Alg::Hs256, true, true),
        (Alg::EdDsa, true, false),
        (Alg::Rs256, true, true),
    ] {
        let error = load(AuthConfig { keys: vec![key(alg, secret, public)], ..defaults() });
        assert!(matches!(error, Some(AuthConfigError::Key(KeyError::Source { .. }))), "{error:?}");
    }
    for (alg, secret) in [(Alg::Hs256, true), (Alg::EdDsa, false)] {
        let error = load(AuthConfig { keys: vec![key(alg, secret, !secret)], ..defaults() });
        assert!(matches!(error, Some(AuthConfigError::Key(KeyError::Unreadable { .. }))), "{error:?}");
    }
}

#[test]
fn errors_have_codes_of_their_own_and_repeat_nothing() {
    let codes: std::collections::BTreeSet<_> = AuthError::ALL.iter().map(|error| error.code()).collect();
    assert_eq!(codes.len(), AuthError::ALL.len());
    let office = by(vec![hs("a", SECRET)]);
    let error = authenticate(&office, "c2VjcmV0.c2VjcmV0.c2VjcmV0", NOW).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("c2Vj"));
}
