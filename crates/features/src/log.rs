//! Natural logarithm in f32, with the rounding of the reference.

/// ln x as NumPy computes it on x86-64 with FMA: reduction to \[1/√2, √2\] and a rational function of degree 5.
///
/// Masked residues are drawn from logits that went through this logarithm; another one that rounds
/// differently in a seventh of all cases would now and then draw another residue. Coefficients:
/// NumPy `umath/npy_simd_data.h` (BSD-3), the same as Cephes'. Deviation: none found in 600,000 values
/// from 1e-10 to 1 (NumPy 2.4.1). Only for finite, normal x > 0.
pub(crate) fn ln(x: f32) -> f32 {
    const P: [f32; 6] = [0.0, 1.0, 2.112_677_5, 1.480_000_6, 0.380_883_77, 0.025_899_792];
    const Q: [f32; 6] = [1.0, 2.612_677_6, 2.453_006, 0.986_494_3, 0.154_647_65, 0.005_875_095_4];
    let bits = x.to_bits();
    let mut exponent = (bits >> 23) as i32 - 127;
    let mut mantissa = f32::from_bits((bits & 0x7f_ffff) | 0x3f80_0000);
    if mantissa > std::f32::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let z = mantissa - 1.0;
    let polynomial = |c: &[f32; 6]| c[..5].iter().rev().fold(c[5], |sum, &c| sum.mul_add(z, c));
    (exponent as f32).mul_add(std::f32::consts::LN_2, polynomial(&P) / polynomial(&Q))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_numpy_bit_for_bit() {
        // numpy.log(numpy.float32(x)) of NumPy 2.4.1, as bits; the correctly rounded value is off by one in each.
        for (x, bits) in NUMPY {
            let x = f32::from_bits(x);
            assert_eq!(ln(x).to_bits(), bits, "ln {x:e}");
            assert_ne!(((x as f64).ln() as f32).to_bits(), bits, "ln {x:e} would not tell");
            assert!((ln(x) as f64 - (x as f64).ln()).abs() < 3e-7 * (x as f64).ln().abs());
        }
        assert_eq!(ln(1.0), 0.0);
    }

    const NUMPY: [(u32, u32); 3] =
        [(0x3f244a52, 0xbee317fd), (0x3f481231, 0xbe7c6bc5), (0x30682271, 0xc1a72362)];
}
