//! Values that must not stand in what leaves a holder, in whichever form. The tests of the command line use this file too.

/// A value as it could stand somewhere: as text, in hexadecimal, in base64 at each of three places; as a number besides: as a whole
/// number of hundredths, as a double, and in fixed point, the bytes either way round.
pub(crate) fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![value.as_bytes().to_vec()];
    let hex: String = value.bytes().map(|b| format!("{b:02x}")).collect();
    forms.push(hex.to_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    for shift in 0..3 {
        let padded = [&vec![b' '; shift][..], value.as_bytes()].concat();
        // All characters but those that depend on what stands before and after: fewer would be met by chance.
        let own = (8 * shift).div_ceil(6)..8 * padded.len() / 6;
        forms.push(base64(&padded).as_bytes()[own].to_vec());
    }
    let (Ok(number), Ok(hundredths)) = (value.parse::<f64>(), value.replace('.', "").parse())
    else {
        return forms;
    };
    let hundredths: u64 = hundredths;
    forms.push(hundredths.to_string().into_bytes());
    let fixed = [16, 20, 24, 32].map(|frac_bits| (number * 2_f64.powi(frac_bits)) as u64);
    for bits in [hundredths, hundredths << 16, number.to_bits()]
        .into_iter()
        .chain(fixed)
    {
        forms.extend([bits.to_le_bytes().to_vec(), bits.to_be_bytes().to_vec()]);
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            text.push(match i <= chunk.len() {
                true => char::from(DIGITS[(bits >> (18 - 6 * i)) as usize & 63]),
                false => '=',
            });
        }
    }
    text
}

/// None of these values stands in `bytes`, in any form.
pub(crate) fn nothing_of(values: &[&str], bytes: &[u8], what: &str) {
    let forms: Vec<Vec<u8>> = values.iter().flat_map(|value| forms(value)).collect();
    // Megabytes are looked through: most places are passed by at their first two bytes.
    let mut starts = vec![false; 1 << 16];
    let first = |form: &[u8]| usize::from(u16::from_le_bytes([form[0], form[1]]));
    for form in &forms {
        starts[first(form)] = true;
    }
    for place in 0..bytes.len().saturating_sub(1) {
        if starts[first(&bytes[place..])] {
            let found = forms.iter().find(|form| bytes[place..].starts_with(form));
            assert!(found.is_none(), "{found:02x?} stands in {what} at {place}");
        }
    }
}

#[test]
fn canaries_are_found_where_they_are() {
    let value = "73400.25";
    for form in forms(value) {
        let hidden = [b"before ", &form[..], b" after"].concat();
        let looked = std::panic::catch_unwind(|| nothing_of(&[value], &hidden, "a text"));
        assert!(looked.is_err(), "{form:02x?}");
    }
    nothing_of(&[value], b"73400 25", "a text");
    // Whatever stands around it.
    for (before, after) in [("", "!"), ("a", "bc"), ("ab", ""), ("abc", "d")] {
        let encoded = base64(format!("{before}{value}{after}").as_bytes());
        let looked =
            std::panic::catch_unwind(|| nothing_of(&[value], encoded.as_bytes(), "a text"));
        assert!(looked.is_err(), "{encoded}");
    }
    assert_eq!(base64(b"canary"), "Y2FuYXJ5");
}
