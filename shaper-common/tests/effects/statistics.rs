//! What a sample is held against: each statement fails for one sample of a thousand from the right law.

/// Two-sided 99.9 % quantile of the standard normal distribution.
pub(crate) const Z_999: f64 = 3.290_527;
/// Kolmogorov's asymptotic critical value at 0.001: `sqrt(-ln(0.0005) / 2)`.
const KS_001: f64 = 1.949_475;
/// Expected in each cell of a chi-square test, at least.
const LEAST: f64 = 5.0;

/// The chi-square statistic's 99.9 % quantile (Wilson and Hilferty, 1931).
fn chi_square_999(freedom: f64) -> f64 {
    let z = 3.090_232;
    let cut = 2.0 / (9.0 * freedom);
    freedom * (1.0 - cut + z * cut.sqrt()).powi(3)
}

fn assert_chi_square(statistic: f64, freedom: f64, what: &str) {
    let limit = chi_square_999(freedom);
    assert!(statistic < limit, "{what}: chi-square {statistic:.1} of {freedom} degrees, {limit:.1} allowed");
}

/// Holds how often each of several things was seen against the share that each has.
pub(crate) fn assert_counts(seen: &[u64], shares: &[f64], what: &str) {
    assert_eq!(seen.len(), shares.len());
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{what}: the shares are not whole");
    let n = seen.iter().sum::<u64>() as f64;
    let mut statistic = 0.0;
    for (seen, share) in seen.iter().zip(shares) {
        let expected = n * share;
        assert!(expected >= LEAST, "{what}: {n} of share {share} say nothing");
        statistic += (*seen as f64 - expected).powi(2) / expected;
    }
    assert_chi_square(statistic, (seen.len() - 1) as f64, what);
}

/// The same where all have one share.
pub(crate) fn assert_uniform(seen: &[u64], what: &str) {
    assert_counts(seen, &vec![1.0 / seen.len() as f64; seen.len()], what);
}

/// How often each number came, from zero on.
pub(crate) fn histogram(numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut seen = Vec::new();
    for number in numbers {
        if number as usize >= seen.len() {
            seen.resize(number as usize + 1, 0);
        }
        seen[number as usize] += 1;
    }
    seen
}

/// Holds lengths against a geometric distribution that ends with probability `end` after each packet.
pub(crate) fn assert_geometric(lengths: &[u64], end: f64, what: &str) {
    let n = lengths.len() as f64;
    // So many packets are passed without an end.
    let longer = |than: u64| (1.0 - end).powf(than as f64);
    // Cells as narrow as they say something, and behind the last one the rest.
    let (mut ends, mut shares) = (vec![0], Vec::new());
    for length in 1.. {
        if n * longer(length) < LEAST {
            break;
        }
        let share = longer(*ends.last().unwrap()) - longer(length);
        if n * share >= LEAST {
            ends.push(length);
            shares.push(share);
        }
    }
    shares.push(longer(*ends.last().unwrap()));
    assert!(shares.len() >= 3, "{what}: {n} runs make {} cells", shares.len());
    let cells = lengths.iter().map(|length| ends.partition_point(|end| end < length) as u64 - 1);
    let mut seen = histogram(cells);
    seen.resize(shares.len(), 0);
    assert_counts(&seen, &shares, what);
}

/// Holds a table of counts against the independence of its rows from its columns.
pub(crate) fn assert_independent<const COLUMNS: usize>(table: &[[u64; COLUMNS]], what: &str) {
    let rows: Vec<f64> = table.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
    let columns: Vec<f64> = (0..COLUMNS).map(|at| table.iter().map(|row| row[at]).sum::<u64>() as f64).collect();
    let n: f64 = rows.iter().sum();
    let mut statistic = 0.0;
    for (counts, row) in table.iter().zip(&rows) {
        for (count, column) in counts.iter().zip(&columns) {
            let expected = row * column / n;
            assert!(expected >= LEAST, "{what}: a cell where {expected} are expected says nothing");
            statistic += (*count as f64 - expected).powi(2) / expected;
        }
    }
    assert_chi_square(statistic, ((table.len() - 1) * (COLUMNS - 1)) as f64, what);
}

/// Holds a share against its probability, where the variance is so many times that of independent ones.
pub(crate) fn assert_share(hits: usize, of: usize, share: f64, inflation: f64, what: &str) {
    let n = of as f64;
    let bound = Z_999 * (n * share * (1.0 - share) * inflation).sqrt() + 0.5;
    let off = (hits as f64 - n * share).abs();
    assert!(off <= bound, "{what}: {hits} of {of}, expected {share}, off by {off:.0}, allowed {bound:.0}");
}

/// Holds numbers against their distribution (Kolmogorov and Smirnov).
pub(crate) fn assert_distribution(mut numbers: Vec<u64>, cdf: impl Fn(f64) -> f64, what: &str) {
    numbers.sort_unstable();
    let n = numbers.len() as f64;
    let distance = numbers.iter().enumerate().fold(0f64, |worst, (rank, number)| {
        let below = cdf(*number as f64);
        worst.max((below - rank as f64 / n).abs()).max((below - (rank + 1) as f64 / n).abs())
    });
    assert!(distance < KS_001 / n.sqrt(), "{what}: KS distance {distance:e} of {n}");
}

/// Lengths of runs of `what`, the first and the last left out, which may have been longer.
pub(crate) fn runs(of: &[bool], what: bool) -> Vec<u64> {
    let mut lengths: Vec<u64> = Vec::new();
    let mut length = 0;
    for one in of {
        if *one == what {
            length += 1;
        } else if length > 0 {
            lengths.push(length);
            length = 0;
        }
    }
    lengths.remove(0);
    lengths
}
