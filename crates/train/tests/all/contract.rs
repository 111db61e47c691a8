//! What every way for ranks to talk has to keep to.

use train::Collective;

/// Panics if one of three ranks does not get what [`Collective`] promises, for up to `most` values.
pub fn keeps(ranks: &dyn Collective, most: usize) {
    let (rank, world) = (ranks.rank(), ranks.world());
    assert_eq!(world, 3);
    // Their sum depends on the order: 1e8 + 1 is 1e8 in f32.
    let value = |rank: usize, i: usize| [[1e8, -1e8, 1.0], [1.0, 1e8, -1e8]][i % 2][rank] + (i % 1000) as f32;
    let sum = |i| value(0, i) + value(1, i) + value(2, i);
    // Uneven pieces, one of them empty; and none at all.
    let uneven = [0..most / 2 + 1, most / 2 + 1..most, most..most];
    for (n, pieces) in [(most, uneven), (7, [0..3, 3..6, 6..7]), (0, [0..0, 0..0, 0..0])] {
        let mut values: Vec<f32> = (0..n).map(|i| value(rank, i)).collect();
        ranks.reduce_scatter(&mut values, &pieces).unwrap();
        for i in pieces[rank].clone() {
            assert_eq!(values[i], sum(i));
        }
        ranks.all_gather(&mut values, &pieces).unwrap();
        assert!(values.iter().copied().eq((0..n).map(sum)));
        let mut numbers: Vec<f64> = (0..n).map(|i| 0.1 * (rank + i) as f64).collect();
        ranks.all_reduce(&mut numbers).unwrap();
        let expected = |i| 0.1 * i as f64 + 0.1 * (1 + i) as f64 + 0.1 * (2 + i) as f64;
        assert!(numbers.into_iter().eq((0..n).map(expected)));
        let mut values: Vec<f32> = (0..n).map(|i| value(rank, i)).collect();
        ranks.broadcast(&mut values).unwrap();
        assert!(values.into_iter().eq((0..n).map(|i| value(0, i))));
    }
}
