//! Sums over ranks, added on our side.

/// Puts the sums of `parts`, added from the first to the last, into `sums`.
pub(super) fn sum_in_order<'a, T>(mut parts: impl Iterator<Item = &'a [T]>, sums: &mut [T])
where
    T: Copy + std::ops::AddAssign + 'a,
{
    if let Some(first) = parts.next() {
        sums.copy_from_slice(first);
    }
    for part in parts {
        for (sum, &value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
}
