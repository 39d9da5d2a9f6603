//! The guises in which one secret turns up: as it is, line by line, escaped for JSON, encoded for a URL, in base64.

use std::fmt::Write;

use super::MIN_SECRET;
use crate::lines;

/// Fewer characters of base64 than this come up by chance.
const MIN_BASE64: usize = 6;

/// All forms of a secret to look for.
pub fn of(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    // Output is split into lines, so a secret of several lines is never seen whole.
    forms.extend(secret.split(['\n', '\r']).map(str::to_owned));
    let plain = forms.clone();
    for form in &plain {
        forms.push(lines::clean(form));
        forms.push(form.trim().to_owned());
        forms.push(json(form));
        forms.push(url(form, |byte| format!("%{byte:02X}")));
        forms.push(url(form, |byte| format!("%{byte:02x}")));
        // As in a form, where a space is a plus.
        forms.push(url(form, |byte| {
            if byte == b' ' {
                "+".to_owned()
            } else {
                format!("%{byte:02X}")
            }
        }));
    }
    forms.retain(|form| form.chars().count() >= MIN_SECRET);
    if secret.chars().count() >= MIN_SECRET {
        forms.extend(base64(secret.as_bytes()));
    }
    // Asterisks hide nothing, and looking for them would mask the masks.
    forms.retain(|form| {
        form.chars()
            .any(|character| character != '*' && !character.is_whitespace())
    });
    forms
}

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn url(text: &str, encoded: impl Fn(u8) -> String) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "{}", encoded(byte));
        }
    }
    out
}

/// What the secret looks like inside the base64 of a longer text, such as `user:password`: for each of the three ways
/// it can lie on groups of three bytes, the characters that do not depend on what is around it.
fn base64(secret: &[u8]) -> Vec<String> {
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut forms = Vec::new();
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        let first = (before * 8).div_ceil(6);
        let bits = bytes.len() * 8;
        if bits / 6 - first < MIN_BASE64.min(secret.len()) {
            continue;
        }
        for alphabet in [STANDARD, URL_SAFE] {
            // Before more text, and at the end, where the last bits have a character to themselves.
            for sixes in [first..bits / 6, first..bits.div_ceil(6)] {
                forms.push(
                    sixes
                        .map(|index| alphabet[six_bits(&bytes, index)] as char)
                        .collect(),
                );
            }
        }
    }
    forms
}

fn six_bits(bytes: &[u8], index: usize) -> usize {
    let bit = index * 6;
    let high = usize::from(bytes[bit / 8]) << 8;
    let low = bytes.get(bit / 8 + 1).copied().map_or(0, usize::from);
    ((high | low) >> (10 - bit % 8)) & 0x3f
}
