//! Reads the subject, issuer and dates of a certificate. Checks nothing.
//!
//! Parses the DER (X.690) of RFC 5280 up to the two names. The bytes are untrusted.

use crate::base::time::Moment;

/// Names in a certificate.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    /// Name of the signer.
    pub issuer: String,
    /// Name of the holder.
    pub subject: String,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Explicit tag `[0]` of the version.
const VERSION: u8 = 0xa0;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// id-at-organizationName, 2.5.4.10.
const ORGANIZATION: &[u8] = &[0x55, 4, 10];

/// Removes the first element from `bytes` and returns its tag and content.
fn element<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if !(1..=3).contains(&count) {
            return None;
        }
        let (digits, behind) = rest.split_at_checked(count)?;
        length = digits.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length)?;
    *bytes = behind;
    Some((tag, content))
}

fn of(tag: u8, bytes: &mut &[u8]) -> Option<()> {
    (element(bytes)?.0 == tag).then_some(())
}

/// Returns the common name in a Name, or else its organization.
fn shown(mut name: &[u8]) -> String {
    let mut organization = None;
    while let Some((SET, mut set)) = element(&mut name) {
        while let Some((SEQUENCE, mut pair)) = element(&mut set) {
            let (Some((OID, kind)), Some((_, value))) = (element(&mut pair), element(&mut pair)) else { break };
            let value = String::from_utf8_lossy(value).into_owned();
            if kind == COMMON_NAME {
                return value;
            }
            if kind == ORGANIZATION {
                organization = Some(value);
            }
        }
    }
    organization.unwrap_or_else(|| "nobody".to_owned())
}

/// Returns the names in a DER certificate, unescaped.
pub fn names(der: &[u8]) -> Option<Names> {
    let Body { issuer, subject, .. } = body(der)?;
    Some(Names { issuer: shown(issuer), subject: shown(subject) })
}

/// Returns the first and last second, in Unix time, at which a DER certificate is valid.
pub fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let mut validity = body(der)?.validity;
    Some((time(element(&mut validity)?)?, time(element(&mut validity)?)?))
}

/// Returns the Unix time of a Time: `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280, 4.1.2.5).
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?.strip_suffix('Z')?;
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = text.split_at(2);
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        (GENERALIZED_TIME, 14) => (text[..4].to_owned(), &text[4..]),
        _ => return None,
    };
    let at = |from: usize| &rest[from..from + 2];
    let moment = format!("{year}-{}-{}T{}:{}:{}Z", at(0), at(2), at(4), at(6), at(8));
    Moment::parse(&moment).map(Moment::unix)
}

/// Parts of a certificate.
struct Body<'a> {
    issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
}

fn body(mut der: &[u8]) -> Option<Body<'_>> {
    let (_, mut certificate) = element(&mut der)?;
    let (_, mut body) = element(&mut certificate)?;
    if body.first() == Some(&VERSION) {
        of(VERSION, &mut body)?;
    }
    // Serial number, signature algorithm.
    of(0x02, &mut body)?;
    of(SEQUENCE, &mut body)?;
    let (_, issuer) = element(&mut body)?;
    let (_, validity) = element(&mut body)?;
    let (_, subject) = element(&mut body)?;
    Some(Body { issuer, validity, subject })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut out = vec![tag];
        if length < 128 {
            out.push(u8::try_from(length).unwrap());
        } else {
            out.extend([0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 255).unwrap()]);
        }
        [out, content.to_vec()].concat()
    }

    fn name(kind: &[u8], text: &str) -> Vec<u8> {
        der(SEQUENCE, &der(SET, &der(SEQUENCE, &[der(OID, kind), der(0x0c, text.as_bytes())].concat())))
    }

    fn certificate(issuer: &[u8], subject: &[u8]) -> Vec<u8> {
        let validity = der(SEQUENCE, &[0; 40]);
        let parts = [der(VERSION, &der(2, &[2])), der(2, &[1; 20]), der(SEQUENCE, &[]), issuer.to_vec(), validity];
        let body = [parts.concat(), subject.to_vec(), vec![0; 200]].concat();
        der(SEQUENCE, &der(SEQUENCE, &body))
    }

    #[test]
    fn common_name_or_organization() {
        let made = certificate(&name(ORGANIZATION, "Some CA"), &name(COMMON_NAME, "a.example"));
        let expected = Names { issuer: "Some CA".to_owned(), subject: "a.example".to_owned() };
        assert_eq!(names(&made), Some(expected));
        assert_eq!(names(&certificate(&der(SEQUENCE, &[]), &[0x30, 0])).unwrap().issuer, "nobody");
    }

    #[test]
    fn dates_of_both_forms() {
        let dated = |first: Vec<u8>, last: Vec<u8>| {
            let name = name(COMMON_NAME, "a");
            let validity = der(SEQUENCE, &[first, last].concat());
            let parts = [der(VERSION, &der(2, &[2])), der(2, &[1]), der(SEQUENCE, &[]), name.clone(), validity, name];
            super::validity(&der(SEQUENCE, &der(SEQUENCE, &parts.concat())))
        };
        let utc = |text: &str| der(UTC_TIME, text.as_bytes());
        let general = |text: &str| der(GENERALIZED_TIME, text.as_bytes());
        assert_eq!(dated(utc("700101000000Z"), general("20500101000000Z")), Some((0, 2_524_608_000)));
        assert_eq!(dated(utc("491231235959Z"), utc("500101000000Z")), Some((2_524_607_999, -631_152_000)));
        for wrong in ["", "Z", "700101000000", "701301000000Z", "7001010000Z", "70010100000\u{e4}Z", "+70101000000Z"] {
            assert_eq!(dated(utc(wrong), utc("700101000000Z")), None, "{wrong}");
            assert_eq!(dated(general(wrong), utc("700101000000Z")), None, "{wrong}");
        }
    }

    #[test]
    fn no_bytes_break_it() {
        let made = certificate(&name(COMMON_NAME, "ca"), &name(COMMON_NAME, "x"));
        for end in 0..made.len() {
            names(&made[..end]);
            validity(&made[..end]);
            for value in [0, 0x80, 0x84, 0xff] {
                let mut broken = made.clone();
                broken[end] = value;
                names(&broken);
                validity(&broken);
            }
        }
        assert_eq!(names(b""), None);
    }
}
