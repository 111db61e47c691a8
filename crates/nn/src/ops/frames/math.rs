//! 3 × 3 matrices row by row, and vectors of three.

pub type Matrix = [f32; 9];
pub type Vector = [f32; 3];

/// a·b.
pub fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|e| (0..3).map(|k| a[e / 3 * 3 + k] * b[3 * k + e % 3]).sum())
}

/// aᵀ·b.
pub fn product_tn(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|e| (0..3).map(|k| a[3 * k + e / 3] * b[3 * k + e % 3]).sum())
}

/// a·v.
pub fn turn(a: &Matrix, v: &Vector) -> Vector {
    std::array::from_fn(|i| (0..3).map(|k| a[3 * i + k] * v[k]).sum())
}

/// aᵀ·v.
pub fn turn_back(a: &Matrix, v: &Vector) -> Vector {
    std::array::from_fn(|i| (0..3).map(|k| a[3 * k + i] * v[k]).sum())
}

/// sum += a·bᵀ.
pub fn add_product_nt(sum: &mut Matrix, a: &Matrix, b: &Matrix) {
    for e in 0..9 {
        sum[e] += (0..3).map(|k| a[e / 3 * 3 + k] * b[e % 3 * 3 + k]).sum::<f32>();
    }
}

/// sum += u·vᵀ.
pub fn add_outer(sum: &mut Matrix, u: &Vector, v: &Vector) {
    for e in 0..9 {
        sum[e] += u[e / 3] * v[e % 3];
    }
}

/// sum += v.
pub fn add(sum: &mut Vector, v: &Vector) {
    sum.iter_mut().zip(v).for_each(|(a, b)| *a += b);
}

/// The first values of a slice.
pub fn at<const N: usize>(values: &[f32], start: usize) -> [f32; N] {
    values[start..start + N].try_into().expect("as long")
}

/// The rotation matrix of a unit quaternion (w, x, y, z).
pub fn rotation(q: &[f32; 4]) -> Matrix {
    let [w, x, y, z] = *q;
    let (ww, xx, yy, zz) = (w * w, x * x, y * y, z * z);
    let (xy, xz, yz) = (x * y * 2.0, x * z * 2.0, y * z * 2.0);
    let (wx, wy, wz) = (w * x * 2.0, w * y * 2.0, w * z * 2.0);
    [
        ww + xx - yy - zz,
        xy - wz,
        xz + wy,
        xy + wz,
        ww - xx + yy - zz,
        yz - wx,
        xz - wy,
        yz + wx,
        ww - xx - yy + zz,
    ]
}

/// The gradient of a quaternion from that of its rotation matrix.
pub fn rotation_backward(q: &[f32; 4], g: &Matrix) -> [f32; 4] {
    let [w, x, y, z] = *q;
    [
        2.0 * (w * (g[0] + g[4] + g[8]) + z * (g[3] - g[1]) + y * (g[2] - g[6]) + x * (g[7] - g[5])),
        2.0 * (x * (g[0] - g[4] - g[8]) + y * (g[1] + g[3]) + z * (g[2] + g[6]) + w * (g[7] - g[5])),
        2.0 * (y * (g[4] - g[0] - g[8]) + x * (g[1] + g[3]) + w * (g[2] - g[6]) + z * (g[5] + g[7])),
        2.0 * (z * (g[8] - g[0] - g[4]) + w * (g[3] - g[1]) + x * (g[2] + g[6]) + y * (g[5] + g[7])),
    ]
}
