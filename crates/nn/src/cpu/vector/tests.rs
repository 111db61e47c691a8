use super::*;

/// What [`made`] makes of two rows of numbers.
struct Made {
    rows: Vec<Vec<f32>>,
    numbers: [f32; 3],
}

on_vectors! {
    /// Every function of a vector, on the elements of `a` and `b`.
    ///
    /// # Safety  none beyond the lengths being equal.
    unsafe fn made<V>(a: &[f32], b: &[f32]) -> Made {
        // SAFETY: as the caller's.
        unsafe {
            let functions: [unsafe fn(V, V) -> V; 9] = [
                |a, b| a.add(b),
                |a, b| a.sub(b),
                |a, b| a.mul(b),
                |a, b| a.div(b),
                |a, b| a.mul_add(b, V::splat(0.25)),
                |a, b| a.mul_sub(b, V::splat(0.25)),
                |a, b| a.max(b),
                |a, _| a.round(),
                |a, b| a.times_two_to(V::splat(-3.0).max(b.round())),
            ];
            let rows = functions.map(|f| {
                let mut out = vec![f32::NAN; a.len()];
                by_vectors!(V, a.len(), |at, lanes| {
                    let (a, b) = (load::<V>(a.as_ptr().add(at), lanes), load::<V>(b.as_ptr().add(at), lanes));
                    store(f(a, b), out.as_mut_ptr().add(at), lanes);
                });
                out
            });
            let (mut sum, mut largest) = (V::splat(0.0), V::splat(f32::MIN));
            by_vectors!(V, a.len(), |at, lanes| {
                let x = load::<V>(a.as_ptr().add(at), lanes);
                sum = sum.add(x);
                largest = x.and_beyond(lanes, f32::MIN).max(largest);
            });
            Made { rows: rows.into(), numbers: [sum.sum(), largest.largest(), V::splat(1.0).and_beyond(1, -0.0).sum()] }
        }
    }
}

#[test]
fn every_level_does_what_plain_arithmetic_does() {
    for n in [0usize, 1, 3, 4, 5, 8, 15, 16, 31, 33] {
        let a: Vec<f32> = (0..n).map(|i| ((i * 29 % 31) as f32 - 17.0) * 0.37).collect();
        let b: Vec<f32> = (0..n).map(|i| ((i * 7 % 11) as f32 + 0.7) * -0.21).collect();
        // SAFETY: both are n long.
        let made = unsafe { made(&a, &b) };
        let functions: [fn(f32, f32) -> f32; 9] = [
            |a, b| a + b,
            |a, b| a - b,
            |a, b| a * b,
            |a, b| a / b,
            |a, b| a * b + 0.25,
            |a, b| a * b - 0.25,
            |a, b| a.max(b),
            |a, _| a.round_ties_even(),
            |a, b| a * b.round_ties_even().max(-3.0).exp2(),
        ];
        for (which, (f, row)) in functions.iter().zip(&made.rows).enumerate() {
            for i in 0..n {
                let want = f(a[i], b[i]);
                let off = (row[i] - want).abs();
                assert!(off <= want.abs() * 3e-7 + 1e-7, "function {which}, {i} of {n}: {} {want}", row[i]);
            }
        }
        let total: f32 = a.iter().sum();
        assert!((made.numbers[0] - total).abs() < 1e-4, "{n}: {} {total}", made.numbers[0]);
    }
    let rising: Vec<f32> = (0..16).map(|i| i as f32 - 40.0).collect();
    // SAFETY: one row twice.
    assert_eq!(unsafe { made(&rising, &rising) }.numbers[1..], [-25.0, 1.0]);
}

#[test]
fn the_second_is_taken_beside_nan() {
    let (nan, ones) = ([f32::NAN; 16], [1.0; 16]);
    // SAFETY: both are of one length.
    unsafe {
        assert_eq!(made(&nan, &ones).rows[6], ones);
        assert!(made(&ones, &nan).rows[6].iter().all(|x| x.is_nan()));
    }
}
