//! Feature arrays to tensors, and small host-side encodings.

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};
use ndarray::{ArrayBase, Data, Dimension};

/// A tensor of the array's values and shape.
pub fn tensor<S: Data<Elem = f32>, D: Dimension>(a: &ArrayBase<S, D>, device: &Device) -> Result<Tensor> {
    nn::cuda::upload(a.iter().copied().collect(), a.shape(), device)
}

/// A tensor from values and shape.
pub fn from_vec(v: Vec<f32>, shape: &[usize], device: &Device) -> Result<Tensor> {
    nn::cuda::upload(v, shape, device)
}

/// All values of a tensor, row-major.
pub fn values(t: &Tensor) -> Result<Vec<f32>> {
    t.flatten_all()?.to_vec1()
}

/// `f` of all values, row-major, in the tensor's own memory if that is the CPU's.
///
/// # Errors  If it is not a contiguous f32 tensor.
pub fn with_values<R>(t: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let t = &t.to_device(&Device::Cpu)?;
    let (storage, layout) = t.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Ok(f(&values[start..end])),
        _ => candle_core::bail!("expected a contiguous f32 tensor on the CPU, got {t:?}"),
    }
}

/// Which distance bin each pair of points is in, one-hot, `[n, n, bins]`. Bins start at `min..=max` Å, equally
/// spaced; edges are compared squared and strictly; the last bin is open; below `min` there is none.
pub fn distance_bins(points: &[[f32; 3]], bins: usize, min: f32, max: f32) -> Vec<f32> {
    let lower: Vec<f32> = linspace(min, max, bins).into_iter().map(|e| e * e).collect();
    let n = points.len();
    let mut out = vec![0.0; n * n * bins];
    for i in 0..n {
        for j in 0..n {
            let d2: f32 = (0..3).map(|x| (points[i][x] - points[j][x]).powi(2)).sum();
            let row = &mut out[(i * n + j) * bins..][..bins];
            for (b, v) in row.iter_mut().enumerate() {
                let upper = lower.get(b + 1).copied().unwrap_or(1e8);
                *v = f32::from(d2 > lower[b] && d2 < upper);
            }
        }
    }
    out
}

/// The same of points `[n, 3]` where they are, without a copy to the host.
pub fn distance_bins_of(points: &Tensor, bins: usize, min: f32, max: f32) -> Result<Tensor> {
    let lower: Vec<f32> = linspace(min, max, bins).into_iter().map(|e| e * e).collect();
    let upper: Vec<f32> = lower[1..].iter().copied().chain([1e8]).collect();
    let d = points.unsqueeze(1)?.broadcast_sub(&points.unsqueeze(0)?)?.sqr()?; // [n, n, 3]
    let d2 = ((d.narrow(2, 0, 1)? + d.narrow(2, 1, 1)?)? + d.narrow(2, 2, 1)?)?;
    let edges = |edges| Tensor::from_vec(edges, (1, 1, bins), points.device());
    let above = d2.broadcast_gt(&edges(lower)?)?.to_dtype(DType::F32)?;
    above * d2.broadcast_lt(&edges(upper)?)?.to_dtype(DType::F32)?
}

/// `n` equally spaced numbers from `a` to `b`.
pub fn linspace(a: f32, b: f32, n: usize) -> Vec<f32> {
    let step = |i: usize| i as f32 / (n.max(2) - 1) as f32;
    (0..n).map(|i| if i + 1 == n && n > 1 { b } else { a * (1.0 - step(i)) + b * step(i) }).collect()
}

/// [r, 3] rows of a flat list.
pub fn triples(flat: &[f32]) -> Vec<[f32; 3]> {
    flat.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_open_at_the_end_and_empty_below() {
        let p = [[0.0; 3], [3.0, 0.0, 0.0], [4.0, 0.0, 0.0], [99.0, 0.0, 0.0]];
        let d = distance_bins(&p, 15, 3.25, 20.75);
        let row = |j: usize| &d[j * 15..][..15];
        assert!(row(1).iter().all(|&v| v == 0.0));
        assert_eq!(row(2)[0], 1.0);
        assert_eq!(row(3)[14], 1.0);
        assert_eq!(row(3).iter().sum::<f32>(), 1.0);
        let points = Tensor::from_slice(p.as_flattened(), (4, 3), &Device::Cpu).unwrap();
        let tensor = distance_bins_of(&points, 15, 3.25, 20.75).unwrap();
        assert_eq!((tensor.dims(), values(&tensor).unwrap()), (&[4, 4, 15][..], d));
    }
}
