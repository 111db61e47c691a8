//! Rearranging elements by strides: Fortran order, transposes, torch views.

/// Copies a strided view into row-major order. `strides` and `offset` count elements of `size` bytes.
/// Returns `None` if the view reaches outside `source`, or `size` is not 1, 2, 4 or 8.
pub(crate) fn gather(
    size: usize,
    source: &[u8],
    offset: usize,
    shape: &[usize],
    strides: &[usize],
) -> Option<Vec<u8>> {
    if shape.contains(&0) {
        return Some(Vec::new());
    }
    let mut last = offset;
    for (&extent, &stride) in shape.iter().zip(strides) {
        last = last.checked_add((extent - 1).checked_mul(stride)?)?;
    }
    if strides.len() != shape.len() || last.checked_add(1)?.checked_mul(size)? > source.len() {
        return None;
    }
    match size {
        1 => Some(gather_as::<1>(source, offset, shape, strides)),
        2 => Some(gather_as::<2>(source, offset, shape, strides)),
        4 => Some(gather_as::<4>(source, offset, shape, strides)),
        8 => Some(gather_as::<8>(source, offset, shape, strides)),
        _ => None,
    }
}

fn gather_as<const N: usize>(source: &[u8], offset: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let source = source.as_chunks::<N>().0;
    let count: usize = shape.iter().product();
    let mut out = Vec::with_capacity(count * N);
    let (outer, inner) = shape.split_at(shape.len().saturating_sub(1));
    let (run, step) = (inner.first().copied().unwrap_or(1), strides.last().copied().unwrap_or(0));
    let mut index = vec![0; outer.len()];
    let mut start = offset;
    loop {
        for i in 0..run {
            out.extend_from_slice(&source[start + i * step]);
        }
        // Count up like an odometer, the last outer axis fastest.
        let mut axis = outer.len();
        loop {
            if axis == 0 {
                return out;
            }
            axis -= 1;
            index[axis] += 1;
            start += strides[axis];
            if index[axis] < outer[axis] {
                break;
            }
            start -= outer[axis] * strides[axis];
            index[axis] = 0;
        }
    }
}

/// A row-major [rows, columns] matrix of `size`-byte elements as [columns, rows].
/// # Panics  if `source` is smaller than that, or `size` is not 1, 2, 4 or 8.
pub(crate) fn transpose(size: usize, source: &[u8], rows: usize, columns: usize) -> Vec<u8> {
    match size {
        1 => transpose_as::<1>(source, rows, columns),
        2 => transpose_as::<2>(source, rows, columns),
        4 => transpose_as::<4>(source, rows, columns),
        8 => transpose_as::<8>(source, rows, columns),
        other => panic!("elements of {other} bytes"),
    }
}

fn transpose_as<const N: usize>(source: &[u8], rows: usize, columns: usize) -> Vec<u8> {
    const TILE: usize = 32;
    let source = source.as_chunks::<N>().0;
    let mut bytes = vec![0; rows * columns * N];
    let out = bytes.as_chunks_mut::<N>().0;
    for row in (0..rows).step_by(TILE) {
        for column in (0..columns).step_by(TILE) {
            for c in column..(column + TILE).min(columns) {
                for r in row..(row + TILE).min(rows) {
                    out[c * rows + r] = source[r * columns + c];
                }
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathers_any_order() {
        let source: Vec<u8> = (0..24).collect();
        // [2, 3, 4] in Fortran order: strides 1, 2, 6.
        let fortran = gather(1, &source, 0, &[2, 3, 4], &[1, 2, 6]).unwrap();
        assert_eq!(fortran[..5], [0, 6, 12, 18, 2]);
        assert_eq!(gather(1, &source, 5, &[], &[]).unwrap(), [5]);
        assert_eq!(gather(2, &source, 3, &[2, 2], &[0, 4]).unwrap(), [6, 7, 14, 15, 6, 7, 14, 15]);
        assert_eq!(gather(4, &source, 0, &[0, 9], &[1, 1]).unwrap(), [0u8; 0]);
    }

    #[test]
    fn refuses_views_outside() {
        assert!(gather(4, &[0; 24], 0, &[2, 4], &[4, 1]).is_none());
        assert!(gather(1, &[0; 24], 24, &[], &[]).is_none());
        assert!(gather(8, &[0; 24], 1, &[usize::MAX], &[usize::MAX]).is_none());
        assert!(gather(3, &[0; 24], 0, &[1], &[1]).is_none());
    }

    #[test]
    fn transposes_across_tiles() {
        let (rows, columns) = (37, 70);
        let source: Vec<u8> = (0..rows * columns).flat_map(|i| (i as u32).to_le_bytes()).collect();
        let expected = gather(4, &source, 0, &[columns, rows], &[1, columns]).unwrap();
        assert_eq!(transpose(4, &source, rows, columns), expected);
    }
}
