use super::*;

fn noise(n: usize, seed: u32, scale: f32) -> Vec<f32> {
    let mut s = seed;
    let next = |_| {
        s = s.wrapping_mul(1664525).wrapping_add(1013904223);
        scale * ((s >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    (0..n).map(next).collect()
}

/// The definition, in f64.
fn exact(row: &NarrowHeads<'_>, bias: &[f32]) -> Vec<f64> {
    let (n, all) = (row.mask.len(), row.heads * D);
    let mut out = vec![0.0; n * all];
    for (head, q) in (0..row.heads).flat_map(|head| (0..n).map(move |q| (head, q))) {
        let of =
            |i: usize, what: usize, c: usize| f64::from(row.qkv[i * row.stride + what * all + head * D + c]);
        let logit = |k: usize| {
            let product: f64 = (0..D).map(|c| of(q, 0, c) * of(k, 1, c)).sum();
            let bias = if bias.is_empty() { 0.0 } else { bias[(head * n + q) * n + k] };
            product * f64::from(row.scale) + f64::from(bias) + f64::from(row.mask[k])
        };
        let logits: Vec<f64> = (0..n).map(logit).collect();
        let max = logits.iter().copied().fold(f64::MIN, f64::max);
        let powers: Vec<f64> = logits.iter().map(|x| (x - max).exp()).collect();
        for c in 0..D {
            let sum: f64 = powers.iter().enumerate().map(|(k, p)| p * of(k, 2, c)).sum();
            out[q * all + head * D + c] = sum / powers.iter().sum::<f64>();
        }
    }
    out
}

/// ‖got − want‖ / ‖want‖ of a made-up row, in which every fifth key may be masked.
fn error(number: Number, n: usize, scale: f32, biased: bool, masked: bool) -> f64 {
    let (heads, stride) = (3, 3 * 3 * D + 5);
    let mut qkv = noise(n * stride, n as u32, 1.0);
    for row in qkv.chunks_exact_mut(stride) {
        row[..heads * D].iter_mut().for_each(|q| *q *= scale);
        row[3 * heads * D..].fill(f32::NAN); // the gap between rows
    }
    let bias = noise(if biased { heads * n * n } else { 0 }, 7, scale);
    let mask: Vec<f32> = (0..n).map(|i| if masked && i % 5 == 4 { -1e9 } else { 0.0 }).collect();
    let mut out = vec![f32::NAN; n * heads * D];
    let want = with_turned_bias(&bias, n, |turned| {
        let row = NarrowHeads {
            qkv: &qkv,
            stride,
            heads,
            number,
            scale: (D as f32).powf(-0.5),
            bias: turned,
            mask: &mask,
        };
        attend_narrow(&row, &mut out);
        exact(&row, &bias)
    });
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut out.iter().zip(&want).map(|(a, b)| f64::from(*a) - b)) / norm(&mut want.iter().copied())
}

#[test]
fn agrees_with_f64_at_odd_sizes() {
    if !is_narrow(D, D) {
        return; // other levels have no such path; `ops::exactness` holds heads of 8 against f64 at each
    }
    for n in [1, 2, 3, 15, 16, 17, 31, 32, 33, 47, 49, 64, 65, 97, 130] {
        for (biased, masked) in [(false, false), (true, false), (false, true), (true, true)] {
            for (scale, most) in [(1.0, 5e-7), (1e-4, 5e-7), (20.0, 4e-6)] {
                let error = error(Number::F32, n, scale, biased, masked);
                assert!(error < most, "{n} keys, × {scale}, bias {biased}, masked {masked}: {error:e}");
            }
            if Number::bf16_if_fast() == Number::Bf16 {
                let error = error(Number::Bf16, n, 1.0, biased, masked);
                assert!(error < 5e-3, "{n} keys in bf16, bias {biased}, masked {masked}: {error:e}");
            }
        }
    }
}

#[test]
fn masked_rows_are_uniform_as_in_alphafold() {
    if !is_narrow(D, D) {
        return;
    }
    let n = 19;
    let qkv = noise(n * 3 * D, 3, 1.0);
    let row = NarrowHeads {
        qkv: &qkv,
        stride: 3 * D,
        heads: 1,
        number: Number::F32,
        scale: 1.0,
        bias: TurnedBias(&[]),
        mask: &[-1e9; 19],
    };
    let mut out = vec![f32::NAN; n * D];
    attend_narrow(&row, &mut out);
    for (i, got) in out.iter().enumerate() {
        let mean: f32 = (0..n).map(|k| qkv[k * 3 * D + 2 * D + i % D]).sum::<f32>() / n as f32;
        assert!((got - mean).abs() < 1e-6, "{i}: {got} {mean}");
    }
}

#[test]
fn queries_and_bias_beyond_the_last_are_zero() {
    let n = 35;
    let bias: Vec<f32> = (0..2 * n * n).map(|i| i as f32).collect();
    with_turned_bias(&bias, n, |turned| {
        for (at, got) in turned.0.iter().enumerate() {
            let (head, at) = (at / (n * 48), at % (n * 48));
            // A block of 32 queries, then one of 16 of which 3 are.
            let (key, q) =
                if at < n * 32 { (at / 32, at % 32) } else { ((at - n * 32) / 16, 32 + (at - n * 32) % 16) };
            let want = if q < n { bias[(head * n + q) * n + key] * std::f32::consts::LOG2_E } else { 0.0 };
            assert_eq!(*got, want, "head {head}, key {key}, query {q}");
        }
    });
}
