//! Philox against its published answers, and the distributions drawn from it.

use super::*;

#[test]
fn known_answers_of_the_random123_suite() {
    let all = u32::MAX;
    assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    assert_eq!(philox([all; 4], [all; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    let digits_of_pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
    assert_eq!(philox(digits_of_pi, [0xa4093822, 0x299f31d0]), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
}

#[test]
fn a_position_alone_decides_the_word() {
    let mut one_by_one = Philox::new(7, 1 << 40);
    let words: Vec<u32> = (0..203).map(|_| one_by_one.next_u32()).collect();
    for (start, end) in [(0, 203), (1, 2), (3, 77), (8, 40), (201, 203), (5, 5)] {
        let mut part = vec![0; end - start];
        fill_words(&mut part, 7, 1 << 40, start as u64);
        assert_eq!(part, words[start..end], "words {start}..{end}");
        let mut reader = Philox::new(7, 1 << 40);
        reader.set_position(start as u64);
        if start < end {
            assert_eq!(reader.next_u32(), words[start]);
        }
    }
}

#[test]
fn blocks_count_past_32_bits() {
    let place = (1u64 << 34) - 6;
    let mut reader = Philox::new(1, 2);
    reader.set_position(place);
    let mut filled = [0; 12];
    fill_words(&mut filled, 1, 2, place);
    assert_eq!(filled, std::array::from_fn(|_| reader.next_u32()));
    let mut start = [0; 12];
    fill_words(&mut start, 1, 2, 0);
    assert_ne!(filled[6..], start[..6]);
}

#[test]
fn filled_arrays_equal_single_draws() {
    let mut single = Philox::new(3, 4);
    let mut whole = single.clone();
    let mut values = vec![0.0; 101];
    whole.fill_uniform(&mut values);
    assert!(values.iter().all(|&value| value == single.uniform()));
    whole.fill_normal(&mut values);
    assert!(values.iter().all(|&value| value == single.normal()));
    assert_eq!(whole.state(), single.state());
    assert_eq!(whole.next_u32(), single.next_u32());
    let mut doubles = vec![0.0; 33];
    fill_uniform_f64(&mut doubles, 3, 4, single.position());
    assert!(doubles.iter().all(|&value| value == single.uniform_f64()));
}

#[test]
fn uniform_and_normal_have_their_moments() {
    let mut reader = Philox::new(11, 0);
    let count = 200_000;
    let mut values = vec![0.0f32; count];
    reader.fill_uniform(&mut values);
    assert!(values.iter().all(|&value| (0.0..1.0).contains(&value)));
    let (mean, variance) = moments(&values);
    assert!((mean - 0.5).abs() < 0.004 && (variance - 1.0 / 12.0).abs() < 0.001, "{mean} {variance}");
    reader.fill_normal(&mut values);
    let (mean, variance) = moments(&values);
    assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    let beyond_two = values.iter().filter(|value| value.abs() > 2.0).count() as f64 / count as f64;
    assert!((beyond_two - 0.0455).abs() < 0.003, "{beyond_two}");
}

#[test]
fn integers_are_even_and_in_range() {
    let mut reader = Philox::new(5, 5);
    let mut counts = [0usize; 7];
    for _ in 0..70_000 {
        counts[reader.below(7) as usize] += 1;
    }
    assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 400), "{counts:?}");
    assert_eq!(reader.below(1), 0);
    let huge = u64::MAX / 3 * 2;
    assert!((0..100).all(|_| reader.below(huge) < huge));
    assert!((0..100).any(|_| reader.below(1 << 33) > u64::from(u32::MAX)));
}

#[test]
fn permutations_are_whole_and_evenly_spread() {
    let mut reader = Philox::new(9, 0);
    let mut order = reader.permutation(50);
    assert_ne!(order, (0..50).collect::<Vec<_>>());
    order.sort_unstable();
    assert_eq!(order, (0..50).collect::<Vec<_>>());
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..24_000 {
        *counts.entry(reader.permutation(4)).or_insert(0usize) += 1;
    }
    assert_eq!(counts.len(), 24);
    assert!(counts.values().all(|&count| count.abs_diff(1_000) < 150), "{counts:?}");
    assert!(reader.permutation(0).is_empty());
}

#[test]
fn derived_sequences_differ() {
    let first: Vec<u32> = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1 << 32, 0, 0)]
        .map(|(index, epoch, view)| Philox::derived(42, index, epoch, view).next_u32())
        .to_vec();
    for i in 0..first.len() {
        assert!(!first[..i].contains(&first[i]), "{first:?}");
    }
    assert_eq!(Philox::derived(1, 2, 3, 4).state(), Philox::derived(1, 2, 3, 4).state());
}

fn moments(values: &[f32]) -> (f64, f64) {
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance)
}
